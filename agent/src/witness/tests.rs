use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::PrincipalId;
use nexusmon_shared::trust::canonical;
use nexusmon_shared::trust::checkpoint::{Checkpoint, RestoreRecord, SignedRestore};
use nexusmon_shared::trust::ed25519::{PublicKey, SigningKey};
use nexusmon_shared::trust::key::PersonKey;
use nexusmon_shared::trust::merkle::stored::{self, Node, Nodes};
use nexusmon_shared::trust::merkle::{Frontier, leaf_hash};
use nexusmon_shared::trust::note::{Algorithm, VerifierKey};
use nexusmon_shared::trust::roster::{Need, Person, Role, Roster};
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
            restores: Vec::new(),
            restore_proof: Vec::new(),
        }
    }

    /// As it came back from a backup.
    fn record(&self, old_epoch: u32, new_epoch: u32) -> RestoreRecord {
        let (size, root) = (self.frontier.size(), self.frontier.root());
        RestoreRecord { organism: WHO.0, old_epoch, new_epoch, size, root }
    }

    /// As a coordinator shows it to an agent that keeps `from`, with what the owner signed.
    fn restored(&self, from: u64, epoch: u32, restores: &[SignedRestore]) -> CheckpointNotice {
        let begun = restores.last().unwrap().record.size;
        CheckpointNotice {
            restores: restores.iter().map(|one| canonical::to_bytes(one).unwrap().into()).collect(),
            restore_proof: stored::consistency(self, begun, self.frontier.size())
                .unwrap()
                .unwrap_or_default(),
            proof: Vec::new(),
            ..self.notice(from.min(self.frontier.size()), epoch, 7)
        }
    }
}

fn owner() -> SigningKey {
    SigningKey::from_bytes(&[41; 32])
}

fn roster() -> Roster {
    let keys = [PersonKey::Cli { public_key: PublicKey::of(&owner()) }].into();
    let person = Person { name: "owner".to_owned(), role: Role::Owner, keys };
    Roster {
        organism: WHO.0,
        number: 1,
        predecessor: None,
        persons: [(PrincipalId::from_bits(1), person)].into(),
        need: Need::default(),
        agents: std::collections::BTreeMap::new(),
        recovery: None,
    }
}

fn identity() -> IdentityKey {
    IdentityKey::generate(&mut rand::rngs::StdRng::seed_from_u64(1))
}

fn consider(witness: &Witness, notice: &CheckpointNotice) -> Cosignature {
    let now = Timestamp::from_micros(1_700_000_000_000_000);
    let considered = witness.consider(notice, WHO, &identity(), Some(&roster()), now);
    assert_eq!(considered.begun_again, None);
    considered.answer
}

#[test]
fn a_restore_that_the_owner_signed_is_taken_and_what_was_seen_before_is_kept() {
    for grown in [0..0_u64, 100..101, 100..140] {
        // Seen: twenty entries of epoch 1; the backup had fifteen.
        let (folder, mut seen, mut log) = (tempfile::tempdir().unwrap(), Log::default(), Log::default());
        seen.grow(0..20);
        log.grow(0..15);
        let signed = log.record(1, 5).sign(&owner());
        log.grow(grown);
        let witness = Witness::open(folder.path());
        let first = seen.notice(0, 1, 7);
        assert!(!consider(&witness, &first).line.is_empty());
        let restored = log.restored(20, 5, std::slice::from_ref(&signed));
        let bare = CheckpointNotice { restores: Vec::new(), ..restored.clone() };
        let other = |change: fn(&mut RestoreRecord), key: &SigningKey| {
            let mut record = signed.record;
            change(&mut record);
            log.restored(20, 5, &[record.sign(key)])
        };
        let stranger = SigningKey::from_bytes(&[42; 32]);
        for wrong in [
            bare,
            other(|_| {}, &stranger),
            other(|record| record.old_epoch = 2, &owner()),
            other(|record| (record.old_epoch, record.new_epoch) = (0, 1), &owner()),
            other(|record| record.new_epoch = 6, &owner()),
            other(|record| record.root = Digest::of(b"another"), &owner()),
            other(|record| record.organism = OrganismId::from_bits(9), &owner()),
            CheckpointNotice { restores: vec![b"nonsense".to_vec().into()], ..restored.clone() },
        ] {
            let answer = consider(&witness, &wrong);
            assert!(answer.line.is_empty() && !answer.alarm.is_empty(), "{wrong:?}");
        }
        // Nor without a roster.
        let now = Timestamp::from_micros(9_000_000);
        assert!(!witness.consider(&restored, WHO, &identity(), None, now).answer.alarm.is_empty());
        assert!(witness.is_alarmed());

        let considered = witness.consider(&restored, WHO, &identity(), Some(&roster()), now);
        assert_eq!((considered.answer.size, considered.answer.alarm.as_str()), (log.frontier.size(), ""));
        let evidence = std::fs::read_to_string(considered.begun_again.unwrap()).unwrap();
        let evidence: Kept = serde_json::from_str(&evidence).unwrap();
        assert_eq!((evidence.note, evidence.size), (first.note, 20));
        assert!(!Witness::open(folder.path()).is_alarmed());
        // From here on the log only grows; the record is used up.
        let from = log.frontier.size();
        log.grow(200..203);
        assert!(!consider(&witness, &log.notice(from, 5, 7)).line.is_empty());
        let mut rolled_back = Log::default();
        rolled_back.grow(0..15);
        let again = rolled_back.restored(from, 5, &[signed]);
        assert!(!consider(&witness, &again).alarm.is_empty());
    }
}

#[test]
fn of_several_restores_each_leads_to_the_next() {
    let (folder, mut seen, mut log) = (tempfile::tempdir().unwrap(), Log::default(), Log::default());
    seen.grow(0..20);
    let witness = Witness::open(folder.path());
    assert!(!consider(&witness, &seen.notice(0, 1, 7)).line.is_empty());
    log.grow(0..15);
    let first = log.record(1, 5).sign(&owner());
    log.grow(300..320);
    let second = log.record(5, 8).sign(&owner());
    log.grow(400..401);
    let now = Timestamp::from_micros(9_000_000);
    // The second alone does not say how the log of epoch 1 came to be that of epoch 5.
    let alone = log.restored(20, 8, std::slice::from_ref(&second));
    assert!(!consider(&witness, &alone).alarm.is_empty());
    let both = log.restored(20, 8, &[first, second]);
    let considered = witness.consider(&both, WHO, &identity(), Some(&roster()), now);
    assert!(considered.begun_again.is_some() && !considered.answer.line.is_empty());
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
