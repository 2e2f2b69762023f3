use proptest::prelude::*;

use super::*;

/// The example of the format's first implementation.
const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\n\
    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn name(text: &str) -> KeyName {
    KeyName::new(text).unwrap()
}

#[test]
fn the_published_example_verifies() {
    let key: VerifierKey = KEY.parse().unwrap();
    assert_eq!(key.to_string(), KEY);
    let note = Note::parse(NOTE.as_bytes()).unwrap();
    assert_eq!(note.verify(&key), Ok(()));
    assert_eq!(note.to_string(), NOTE);
    let changed = Note::parse(NOTE.replace("think", "thinc").as_bytes()).unwrap();
    assert_eq!(changed.verify(&key), Err(NoteError::Signature));
}

/// The key of the Go checksum database, as every Go tool carries it.
#[test]
fn key_ids_are_as_others_compute_them() {
    let text = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
    let key: VerifierKey = text.parse().unwrap();
    assert_eq!((hex::encode(key.id()).as_str(), key.name().as_str()), ("033de0ae", "sum.golang.org"));
    assert!(text.replace("033de0ae", "033de0af").parse::<VerifierKey>().is_err());
}

#[test]
fn blank_lines_belong_to_the_text_up_to_the_last() {
    let key = SigningKey::from_bytes(&[1; 32]);
    let note =
        Note::new("one\n\n\u{2014} not a signature\n\ntwo\n").unwrap().signed_by(name("a.example/b"), &key);
    let read = Note::parse(note.to_string().as_bytes()).unwrap();
    assert_eq!(read, note);
    assert_eq!(read.verify(&VerifierKey::of(name("a.example/b"), Algorithm::Ed25519, &key)), Ok(()));
    assert_eq!(
        read.verify(&VerifierKey::of(name("a.example/c"), Algorithm::Ed25519, &key)),
        Err(NoteError::NotSigned)
    );
    // The same key as a witness is another one, and does not sign plain text.
    assert_eq!(
        read.verify(&VerifierKey::of(name("a.example/b"), Algorithm::Cosignature, &key)),
        Err(NoteError::NotSigned)
    );
}

#[test]
fn what_is_not_a_note_says_why() {
    let bad = |text: &str| Note::parse(text.as_bytes()).unwrap_err();
    assert_eq!(bad("text\n"), NoteError::NoSignatures);
    assert_eq!(bad("text\n\n"), NoteError::NoSignatures);
    assert_eq!(bad("text\n\n\u{2014} a AAAAAAA="), NoteError::NoSignatures);
    assert_eq!(bad("text\n\n- a AAAAAAA=\n"), NoteError::SignatureLine(1));
    assert_eq!(bad("text\n\n\u{2014} a AAAAAAA=\n\u{2014} a+b AAAAAAA=\n"), NoteError::SignatureLine(2));
    assert_eq!(bad("text\n\n\u{2014} a AAAA\n"), NoteError::SignatureLine(1));
    assert_eq!(bad("text\n\n\u{2014} a AAAAAAA=\n\n"), NoteError::NoSignatures);
    assert_eq!(bad("te\txt\n\n\u{2014} a AAAAAAA=\n"), NoteError::NotText);
    assert_eq!(bad("\n\n\u{2014} a AAAAAAA=\n"), NoteError::NotText);
    let many = format!("text\n\n{}", "\u{2014} a AAAAAAA=\n".repeat(MAX_NOTE_SIGNATURES + 1));
    assert_eq!(bad(&many), NoteError::TooManySignatures);
    assert_eq!(bad(&"x".repeat(MAX_NOTE_BYTES + 1)), NoteError::TooLarge(MAX_NOTE_BYTES + 1));
}

proptest! {
    #[test]
    fn any_changed_bit_is_refused(bit in 0_usize..NOTE.len() * 8) {
        let key: VerifierKey = KEY.parse().unwrap();
        let mut bytes = NOTE.as_bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(Note::parse(&bytes).is_err() || Note::parse(&bytes).unwrap().verify(&key).is_err());
    }

    #[test]
    fn outside_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "[a\n\u{2014} +A=]{0,80}") {
        let _ = Note::parse(&bytes);
        if let Ok(note) = Note::parse(text.as_bytes()) {
            prop_assert_eq!(note.to_string(), text);
        }
        let _ = String::from_utf8_lossy(&bytes).parse::<VerifierKey>();
    }
}
