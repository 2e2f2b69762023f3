//! Spoils good bytes: flips, cuts, doubles, splices, and puts in what parsers trip over.

use rand::RngExt as _;
use rand::rngs::StdRng;

/// Pieces that mean something to somebody.
const WORDS: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"9223372036854775808",
    b"\\u0000",
    b"\\ud800",
    b"\xff",
    b"\xf0\x9f\x98\x80",
    b"${{",
    b"}}",
    b"inputs",
    b"tasks",
    b"outputs",
    b"item",
    b"shell.run",
    b"../",
    b"\0",
    b"\r\n",
    b"bytes=",
    b"-",
    b"0-0",
    b"&a",
    b"*a",
    b"<<:",
    b"!!",
    b"---",
    b"%",
    b"e",
    b"map(x, ",
    b".filter(",
    b"size(",
    b"matches(",
    b"(",
    b")",
    b"||",
    b"==",
    b"\xe2\x80\xae",
    b"nxj1.",
    b".",
    b"|",
    b"P1Y",
    b"99999999999999999999",
    b"0x",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"\x0a",
    b"\x12",
    b"\x1a",
];

/// A new input out of one or two of `pool`.
pub(super) fn spoil(pool: &[Vec<u8>], rng: &mut StdRng) -> Vec<u8> {
    let mut input = match pool.len() {
        0 => Vec::new(),
        length => pool[rng.random_range(0..length)].clone(),
    };
    for _ in 0..rng.random_range(1..=4) {
        once(&mut input, pool, rng);
    }
    input.truncate(64 * 1024);
    input
}

fn once(input: &mut Vec<u8>, pool: &[Vec<u8>], rng: &mut StdRng) {
    let place = |input: &[u8], rng: &mut StdRng| rng.random_range(0..=input.len());
    let (one, other) = (place(input, rng), place(input, rng));
    let (from, to) = (one.min(other), one.max(other));
    match rng.random_range(0..10) {
        0 if !input.is_empty() => {
            let at = from.min(input.len() - 1);
            input[at] ^= 1 << rng.random_range(0..8);
        }
        1 if !input.is_empty() => {
            let at = from.min(input.len() - 1);
            input[at] = rng.random();
        }
        2 => input.truncate(to),
        3 => drop(input.drain(from..to.min(from + 16))),
        4 => {
            // Doubled, up to the point where it nests deep.
            let piece = input[from..to.min(from + 256)].to_vec();
            for _ in 0..rng.random_range(1..=8) {
                input.splice(from..from, piece.iter().copied());
            }
        }
        5 if !pool.is_empty() => {
            let other = &pool[rng.random_range(0..pool.len())];
            let cut = rng.random_range(0..=other.len());
            input.truncate(from);
            input.extend_from_slice(&other[cut..]);
        }
        6 => {
            // One word, many times: depth is where parsers without a limit fall over.
            let word = WORDS[rng.random_range(0..WORDS.len())];
            let times = if rng.random_ratio(1, 50) { 4_000 } else { rng.random_range(2..40) };
            let piece = word.repeat(times);
            input.splice(from..from, piece);
        }
        _ => {
            let word = WORDS[rng.random_range(0..WORDS.len())];
            input.splice(from..to.min(from + word.len() * rng.random_range(0..=1)), word.iter().copied());
        }
    }
}
