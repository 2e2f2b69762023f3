use nexusmon_shared::digest::Digest;
use nexusmon_shared::trust::checkpoint::Checkpoint;
use nexusmon_shared::trust::ed25519::SigningKey;
use nexusmon_shared::trust::merkle::stored::{self, Node, Nodes};
use nexusmon_shared::trust::merkle::{Frontier, leaf_hash};
use nexusmon_shared::trust::note::{Algorithm, VerifierKey};
use rand::SeedableRng as _;
use std::collections::HashMap;

use super::*;

const WHO: (OrganismId, AgentId) = (OrganismId::from_bits(1), AgentId::from_bits(2));

/// A log with its nodes.
#[derive(Default)]
struct Log {
    frontier: Frontier,
    nodes: HashMap<Node, Digest>,
}

impl Nodes for Log {
    type Error = ();

    fn node(&self, node: Node) -> Result<Digest, ()> {
        self.nodes.get(&node).copied().ok_or(())
    }
}

impl Log {
    fn grow(&mut self, entries: impl IntoIterator<Item = u64>) {
        for entry in entries {
            self.nodes.extend(self.frontier.append(leaf_hash(&entry.to_be_bytes())));
        }
    }

    fn notice(&self, from: u64, epoch: u32, key: u8) -> CheckpointNotice {
        let key = SigningKey::from_bytes(&[key; 32]);
        let origin = checkpoint::origin(WHO.0, epoch);
        let head =
            Checkpoint { origin: origin.clone(), size: self.frontier.size(), root: self.frontier.root() };
        CheckpointNotice {
            note: head.sign(&key).to_string(),
            key: VerifierKey::of(origin, Algorithm::Ed25519, &key).to_string(),
            from,
            proof: stored::consistency(self, from, head.size).unwrap().unwrap_or_default(),
            cosignatures: Vec::new(),
        }
    }
}

fn identity() -> IdentityKey {
    IdentityKey::generate(&mut rand::rngs::StdRng::seed_from_u64(1))
}

fn consider(witness: &Witness, notice: &CheckpointNotice) -> Cosignature {
    witness.consider(notice, WHO, &identity(), Timestamp::from_micros(1_700_000_000_000_000))
}

#[test]
fn a_log_that_grows_is_cosigned_also_after_a_restart_and_a_restore_that_lost_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = Log::default();
    let mut kept = 0;
    for (round, epoch) in [(1_u64, 1), (2, 1), (3, 1), (4, 9)] {
        let witness = Witness::open(folder.path());
        assert_eq!(witness.size(), kept);
        log.grow(0..round * 5);
        let answer = consider(&witness, &log.notice(kept, epoch, 7));
        assert_eq!((answer.size, answer.alarm.as_str()), (log.frontier.size(), ""));
        assert!(!answer.line.is_empty());
        kept = answer.size;
    }
    // The same head once more.
    let witness = Witness::open(folder.path());
    assert!(!consider(&witness, &log.notice(kept, 9, 7)).line.is_empty());
}

#[test]
fn a_shrunken_a_forked_and_a_foreign_log_raise_an_alarm_that_stays() {
    let mut log = Log::default();
    log.grow(0..20);
    let mut shorter = Log::default();
    shorter.grow(0..15);
    let mut forked = Log::default();
    forked.grow((0..19).chain([99]));
    let mut longer = Log::default();
    longer.grow((0..19).chain([99, 100, 101]));
    for (what, notice) in [
        ("shrunk", shorter.notice(15, 1, 7)),
        ("two different histories", forked.notice(20, 1, 7)),
        ("does not begin", longer.notice(20, 1, 7)),
        ("another key", log.notice(20, 1, 8)),
        ("epoch", log.notice(20, 0, 7)),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let witness = Witness::open(folder.path());
        assert!(consider(&witness, &log.notice(0, 1, 7)).alarm.is_empty());
        let answer = consider(&witness, &notice);
        assert!(answer.alarm.contains(what) && answer.line.is_empty(), "{what}: {}", answer.alarm);
        // Neither the right log nor a restart makes it forget.
        let witness = Witness::open(folder.path());
        assert!(witness.is_alarmed());
        assert!(!consider(&witness, &log.notice(20, 1, 7)).alarm.is_empty());
        // The machine's admin does.
        let evidence = accept_new_log(folder.path(), Timestamp::from_micros(5_000_000)).unwrap().unwrap();
        assert!(std::fs::read_to_string(evidence).unwrap().contains(what));
        assert!(!witness.reload());
        assert!(!consider(&witness, &shorter.notice(0, 2, 8)).line.is_empty());
    }
}

#[test]
fn what_cannot_be_judged_is_neither_cosigned_nor_an_alarm() {
    let folder = tempfile::tempdir().unwrap();
    let witness = Witness::open(folder.path());
    let mut log = Log::default();
    log.grow(0..10);
    assert!(!consider(&witness, &log.notice(0, 1, 7)).line.is_empty());
    log.grow(10..12);
    let right = log.notice(10, 1, 7);
    for wrong in [
        CheckpointNotice { from: 9, ..right.clone() },
        CheckpointNotice { note: right.note.replace("nexusmon", "nexusmoo"), ..right.clone() },
        CheckpointNotice { note: "nonsense".to_owned(), ..right.clone() },
        CheckpointNotice { key: "nonsense".to_owned(), ..right.clone() },
    ] {
        let answer = consider(&witness, &wrong);
        assert_eq!((answer.size, answer.line.as_str(), answer.alarm.as_str()), (10, "", ""));
    }
    assert_eq!(consider(&witness, &right).size, 12);
}

#[test]
fn a_memory_that_cannot_be_read_is_an_alarm() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(FILE), "{").unwrap();
    let witness = Witness::open(folder.path());
    assert!(witness.is_alarmed());
    let mut log = Log::default();
    log.grow(0..3);
    assert!(consider(&witness, &log.notice(0, 1, 7)).alarm.contains("cannot be read"));
}
