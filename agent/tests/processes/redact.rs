//! Secrets in logs: every form of them, wherever what is read was cut.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use nexusmon_agent::redact::Redactor;
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// Characters that encoders treat differently.
const LETTERS: &[char] = &[
    'a', 'B', 'c', 'D', 'e', 'F', '0', '7', '+', '/', '=', '%', '"', '\\', '&', '<', ' ', '$', 'ü', '✓', '~',
    ':',
];

fn canary(rng: &mut StdRng) -> String {
    let length = rng.random_range(12..40);
    let body: String = (0..length).map(|_| LETTERS[rng.random_range(0..LETTERS.len())]).collect();
    format!("Kq{body}zX")
}

fn url(value: &str) -> String {
    value
        .bytes()
        .map(|byte| {
            let plain = byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
            if plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
        })
        .collect()
}

/// The eight encodings, each as a tool would print it.
fn printed(value: &str) -> [String; 8] {
    let shifted = |before: &str| STANDARD.encode(format!("{before}{value}; and more"));
    [
        value.to_owned(),
        STANDARD.encode(value),
        URL_SAFE_NO_PAD.encode(value),
        shifted("x") + &shifted("xy"),
        url(value),
        hex::encode(value),
        hex::encode_upper(value),
        serde_json::to_string(value).expect("text has a JSON form"),
    ]
}

/// Whether any eight bytes of an encoding are left.
fn leaks(out: &[u8], text: &str) -> bool {
    // The first and last characters of base64 in the middle of something mix with their neighbours.
    let inner = &text.as_bytes()[4..text.len() - 4];
    inner.windows(8).any(|piece| holds(out, piece))
}

fn holds(out: &[u8], piece: &[u8]) -> bool {
    out.windows(piece.len()).any(|window| window == piece)
}

/// What comes of a line that is read in two pieces.
fn through(redactor: &Redactor, line: &[u8], split: usize) -> Vec<u8> {
    let mut stream = redactor.stream();
    let (left, right) = line.split_at(split);
    [stream.push(left), stream.push(right), stream.finish()].concat()
}

#[test]
fn five_hundred_canaries_in_eight_encodings_split_at_every_boundary_leak_nothing() {
    let mut rng = StdRng::seed_from_u64(500);
    let (mut splits, mut texts) = (0_u64, 0_u64);
    for number in 0..500 {
        let value = canary(&mut rng);
        let redactor = Redactor::new([value.as_bytes()]).unwrap();
        for (encoding, text) in printed(&value).iter().enumerate() {
            let line = format!("before {{ {text} }} after\n");
            let whole = through(&redactor, line.as_bytes(), 0);
            let shown = String::from_utf8_lossy(&whole);
            assert!(shown.starts_with("before { ") && shown.ends_with(" } after\n"), "{number}: {shown}");
            assert!(shown.contains("***"), "{number}/{encoding}: {shown}");
            // Two shifted texts stand for one encoding; what must not be left is what the value itself decides.
            let secrets = match encoding {
                3 => ["x", "xy"].map(|before| STANDARD.encode(format!("{before}{value}"))).to_vec(),
                _ => vec![text.clone()],
            };
            for secret in &secrets {
                assert!(!leaks(&whole, secret), "{number}/{encoding}: {shown}");
            }
            texts += 1;
            for split in 1..=line.len() {
                let out = through(&redactor, line.as_bytes(), split);
                assert_eq!(out, whole, "{number}/{encoding}/{split}");
                splits += 1;
            }
        }
    }
    println!("canaries: 500 values, {texts} printed texts, {splits} splits, 0 leaked");
    assert!(splits > 150_000, "{splits}");
}

#[test]
fn byte_by_byte_is_the_same_as_at_once() {
    let redactor = Redactor::new([b"hunter2-hunter3".as_slice(), b"hunter2".as_slice()]).unwrap();
    let text = b"hunter hunter2 hunter2-hunter2-hunter3 hunter2-hunterhunter2";
    let mut stream = redactor.stream();
    let mut slowly: Vec<u8> = text.iter().flat_map(|byte| stream.push(&[*byte])).collect();
    slowly.extend(stream.finish());
    assert_eq!(String::from_utf8(slowly).unwrap(), "hunter *** ***-*** ***-hunter***");
}

#[test]
fn what_cannot_be_a_secret_is_given_at_once() {
    let redactor = Redactor::new([b"Secret-Value-1".as_slice()]).unwrap();
    let mut stream = redactor.stream();
    assert_eq!(stream.push(b"line one\nand {\n"), b"line one\nand {\n");
    assert_eq!(stream.push(b"then Secr"), b"then ", "the rest may follow");
    assert_eq!(stream.push(b"ets\n"), b"Secrets\n");
}

#[test]
fn short_and_simple_values_mask_nothing() {
    assert!(Redactor::new([b"{".as_slice(), b"true", b"12345", b"aaaaaaaaaa", b""]).is_none());
    let key = "{\n  \"type\": \"account\",\n  \"private\": \"MIIEvQIBADANBgkqhkiG9w0\"\n}\n";
    let redactor = Redactor::new([key.as_bytes()]).unwrap();
    let mut stream = redactor.stream();
    let log = "{ \"a\": 1 }\n{\n  \"private\": \"MIIEvQIBADANBgkqhkiG9w0\"\n}\n";
    let mut out = stream.push(log.as_bytes());
    out.extend(stream.finish());
    assert_eq!(String::from_utf8(out).unwrap(), "{ \"a\": 1 }\n{\n  ***\n}\n");
}

#[test]
fn base64_as_its_tool_breaks_it_is_found() {
    let value: String = (0..200_u8).map(|n| char::from(b'A' + n % 26)).collect();
    let redactor = Redactor::new([value.as_bytes()]).unwrap();
    let whole = STANDARD.encode(&value);
    let wrapped: Vec<&str> =
        whole.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let mut stream = redactor.stream();
    let mut out = stream.push(wrapped.join("\n").as_bytes());
    out.extend(stream.finish());
    assert_eq!(String::from_utf8(out).unwrap(), "***\n***\n***\n***");
}

proptest! {
    /// Without a secret in it, everything comes out as it went in, whatever the edges.
    #[test]
    fn other_text_is_left_alone(chunks in prop::collection::vec("[a-zA-Z%+/= \n]{0,30}", 0..12)) {
        let redactor = Redactor::new([b"0123-not-there-4567".as_slice()]).unwrap();
        let mut stream = redactor.stream();
        let mut out: Vec<u8> = chunks.iter().flat_map(|chunk| stream.push(chunk.as_bytes())).collect();
        out.extend(stream.finish());
        prop_assert_eq!(out, chunks.concat().into_bytes());
    }

    /// Bytes of any kind, cut anywhere: the value itself never comes out, and nothing panics.
    #[test]
    fn a_value_never_comes_out(
        value in prop::collection::vec(any::<u8>(), 6..60), noise: Vec<u8>, cuts in prop::collection::vec(0_usize..200, 0..5),
    ) {
        let Some(redactor) = Redactor::new([value.as_slice()]) else { return Ok(()) };
        let text = [noise.as_slice(), &value, &value, &noise].concat();
        let mut stream = redactor.stream();
        let mut out = Vec::new();
        let mut rest = text.as_slice();
        for cut in cuts {
            let (left, right) = rest.split_at(cut.min(rest.len()));
            out.extend(stream.push(left));
            rest = right;
        }
        out.extend(stream.push(rest));
        out.extend(stream.finish());
        prop_assert!(!holds(&out, &value));
        prop_assert!(redactor.finds(&text));
    }
}
