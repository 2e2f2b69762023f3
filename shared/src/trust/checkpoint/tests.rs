use proptest::prelude::*;

use super::*;
use crate::trust::key::{KeySignature, Proof};
use crate::trust::merkle::stored::{self, Nodes};
use crate::trust::merkle::{Frontier, leaf_hash};
use crate::trust::note::Algorithm;
use crate::trust::roster::tests as people;
use crate::trust::signable::Signable as _;

/// The example of the specification. Its keys are not published; its forms are.
const EXAMPLE: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
    \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
    \u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";

fn log_key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

fn log() -> VerifierKey {
    VerifierKey::of(origin(people::ORGANISM, 0), Algorithm::Ed25519, &log_key())
}

fn agent(number: u8) -> (SigningKey, VerifierKey) {
    let key = SigningKey::from_bytes(&[100 + number; 32]);
    let name = witness(people::ORGANISM, AgentId::from_bits(number.into()));
    let verifier = VerifierKey::of(name, Algorithm::Cosignature, &key);
    (key, verifier)
}

fn checkpoint(size: u64, root: &[u8]) -> Checkpoint {
    Checkpoint { origin: origin(people::ORGANISM, 0), size, root: Digest::of(root) }
}

#[test]
fn the_specifications_example_is_read_and_printed() {
    let note = Note::parse(EXAMPLE.as_bytes()).unwrap();
    assert_eq!(note.to_string(), EXAMPLE);
    let read = Checkpoint::parse_body(note.text()).unwrap();
    assert_eq!((read.origin.as_str(), read.size), ("example.com/behind-the-sofa", 20_852_163));
    assert_eq!(read.body(), note.text());
    let [_, cosignature] = note.signatures.as_slice() else { panic!("two signatures") };
    let (at, signature) = cosignature.signature.split_first_chunk::<8>().unwrap();
    assert_eq!((u64::from_be_bytes(*at), signature.len()), (1_679_315_147, 64));
}

#[test]
fn a_text_has_three_lines_each_written_in_one_way() {
    let good = checkpoint(7, b"root").body();
    assert!(Checkpoint::parse_body(&good).is_ok());
    for bad in [
        good.replace("\n7\n", "\n07\n"),
        good.replace("\n7\n", "\n+7\n"),
        good.replace("\n7\n", "\n-7\n"),
        good.replace("\n7\n", "\n18446744073709551616\n"),
        good.replace('=', ""),
        format!("{good}extension\n"),
        good.trim_end().to_owned(),
        good.replacen("nexusmon/", "nexus mon/", 1),
        String::new(),
    ] {
        assert_eq!(Checkpoint::parse_body(&bad), Err(CheckpointError::Text), "{bad}");
    }
}

#[test]
fn the_log_signs_and_witnesses_cosign() {
    let checkpoint = checkpoint(7, b"root");
    let mut note = checkpoint.sign(&log_key());
    let witnesses: Vec<_> = (1..=3).map(agent).collect();
    for (key, verifier) in &witnesses[..2] {
        note.signatures.push(cosign(&checkpoint, verifier.name().clone(), key, 1_700_000_000));
    }
    let text = note.to_string();
    let (read, note) = Checkpoint::open(text.as_bytes(), &log()).unwrap();
    assert_eq!(read, checkpoint);
    let found = cosigned(&read, &note, witnesses.iter().map(|(_, verifier)| verifier)).unwrap();
    let names: Vec<_> = found.iter().map(|one| one.witness.clone()).collect();
    assert_eq!(names, [witnesses[0].1.name().clone(), witnesses[1].1.name().clone()]);
    assert!(found.iter().all(|one| one.at == 1_700_000_000));
    // A cosignature for another head is not one for this.
    let other = Checkpoint { size: 8, ..checkpoint.clone() };
    assert_eq!(cosigned(&other, &note, [&witnesses[0].1]), Err(NoteError::Signature));
    // Another log's note, though signed by a key of the same bytes.
    let foreign = VerifierKey::of(origin(people::ORGANISM, 1), Algorithm::Ed25519, &log_key());
    assert_eq!(
        Checkpoint::open(text.as_bytes(), &foreign).unwrap_err(),
        CheckpointError::Note(NoteError::NotSigned)
    );
    let note = checkpoint.sign(&log_key()).signed_by(foreign.name().clone(), &log_key());
    let error = Checkpoint::open(note.to_string().as_bytes(), &foreign).unwrap_err();
    assert_eq!(error, CheckpointError::Origin);
}

struct Known(std::collections::BTreeMap<stored::Node, Digest>);

impl Nodes for Known {
    type Error = ();

    fn node(&self, node: stored::Node) -> Result<Digest, ()> {
        self.0.get(&node).copied().ok_or(())
    }
}

#[test]
fn a_witness_follows_growth_and_names_what_is_wrong() {
    let (mut frontier, mut nodes, mut heads) =
        (Frontier::default(), Known(std::collections::BTreeMap::new()), Vec::new());
    for number in 0..40_u32 {
        let (size, root) = (frontier.size(), frontier.root());
        heads.push(Checkpoint { origin: origin(people::ORGANISM, 0), size, root });
        nodes.0.extend(frontier.append(leaf_hash(&number.to_be_bytes())));
    }
    let proof = stored::consistency(&nodes, 13, 37).unwrap().unwrap();
    assert_eq!(heads[37].follows(&heads[13], &proof), Ok(()));
    assert_eq!(heads[37].follows(&heads[0], &[]), Ok(()));
    assert_eq!(heads[13].follows(&heads[37], &proof), Err(Break::Shrunken { from: 37, to: 13 }));
    assert_eq!(heads[37].follows(&heads[14], &proof), Err(Break::Unproved { from: 14, to: 37 }));
    let forked = Checkpoint { root: Digest::of(b"another"), ..heads[37].clone() };
    assert_eq!(forked.follows(&heads[37], &[]), Err(Break::Forked(37)));
    assert_eq!(forked.follows(&heads[13], &proof), Err(Break::Unproved { from: 13, to: 37 }));
    let elsewhere = Checkpoint { origin: origin(people::ORGANISM, 1), ..heads[37].clone() };
    assert!(matches!(elsewhere.follows(&heads[13], &proof), Err(Break::OtherLog(_))));
}

#[test]
fn only_the_owner_lets_a_log_begin_again() {
    let roster = people::roster();
    let record = RestoreRecord {
        organism: people::ORGANISM,
        old_epoch: 3,
        new_epoch: 4,
        size: 9,
        root: Digest::of(b"r"),
    };
    let signed = |record: RestoreRecord, seed: u8| {
        let signature = crate::trust::ed25519::Signature::sign(&people::signing(seed), &record.to_sign());
        let signature = KeySignature { key: people::cli(seed).id(), proof: Proof::Ed25519 { signature } };
        let bytes = crate::trust::canonical::to_bytes(&SignedRestore { record, signature }).unwrap();
        SignedRestore::read(&bytes).unwrap()
    };
    let begun = signed(record, 1).verify(&roster, 3).unwrap();
    assert_eq!((begun.origin, begun.size, begun.root), (origin(people::ORGANISM, 4), 9, record.root));
    assert!(matches!(signed(record, 1).verify(&roster, 2), Err(RestoreError::Epoch { .. })));
    // The same backup, restored a second time: epoch 5 was seen in between.
    let again = RestoreRecord { new_epoch: 6, ..record };
    assert!(signed(again, 1).verify(&roster, 5).is_ok());
    assert!(matches!(signed(again, 1).verify(&roster, 6), Err(RestoreError::Epoch { .. })), "it is used up");
    assert_eq!(record.sign(&people::signing(1)), signed(record, 1));
    assert!(matches!(signed(record, 2).verify(&roster, 3), Err(RestoreError::NotTheOwner)));
    let same = RestoreRecord { new_epoch: 3, ..record };
    assert!(matches!(signed(same, 1).verify(&roster, 3), Err(RestoreError::Epoch { .. })));
    let mut changed = signed(record, 1);
    changed.record.size = 8;
    assert!(matches!(changed.verify(&roster, 3), Err(RestoreError::NotSigned(_))));
}

proptest! {
    #[test]
    fn any_changed_bit_is_refused(bit: usize) {
        let checkpoint = checkpoint(7, b"root");
        let (key, verifier) = agent(1);
        let mut note = checkpoint.sign(&log_key());
        note.signatures.push(cosign(&checkpoint, verifier.name().clone(), &key, 1_700_000_000));
        let mut bytes = note.to_string().into_bytes();
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok((read, note)) = Checkpoint::open(&bytes, &log()) {
            // Then the change lies in the witness's line.
            prop_assert_eq!(&read, &checkpoint);
            prop_assert!(cosigned(&read, &note, [&verifier]).is_ok_and(|found| found.is_empty()) || cosigned(&read, &note, [&verifier]).is_err());
        }
    }

    #[test]
    fn outside_bytes_never_panic(text in "[a-z\n0-9=+/ ]{0,100}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (Checkpoint::parse_body(&text), Checkpoint::open(&bytes, &log()), SignedRestore::read(&bytes));
    }
}
