use nexusmon_shared::digest::Digest;
use nexusmon_shared::effects::Effects;
use nexusmon_shared::id::{AuditId, MissionId, TaskId};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::note::Note;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::line::Entry;
use super::meaning::{Meaning, Rosters};
use super::question::Sets;
use super::sample::{self, log_key, verifier_key};
use super::tamper::tamper;
use super::{Bad, Trusted, Verified, Verifier};
use crate::policy::{PolicyContext, PolicySet, Question};

fn verify(trusted: Trusted, text: &str) -> Result<Verified, Bad> {
    let mut verifier = Verifier::new(trusted);
    for line in text.lines() {
        verifier.line(line.as_bytes())?;
    }
    verifier.finish()
}

/// What an auditor has who looked once before: key and newest head.
fn trusted(honest: &str, with_head: bool) -> Trusted {
    let key = verifier_key(&log_key()).to_string();
    let trusted = Trusted::default().with_key(&key).unwrap();
    if with_head { trusted.with_checkpoint(newest_note(honest).as_bytes()).unwrap() } else { trusted }
}

fn newest_note(text: &str) -> String {
    let line = text.lines().rfind(|line| line.contains("\"checkpoint\"")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    line["note"].as_str().unwrap().to_owned()
}

#[test]
fn an_honest_log_holds() {
    for (entries, every) in [(1, 1), (40, 1), (300, 20), (300, 1_000)] {
        let text = sample::text(entries, entries, every);
        let verified = verify(Trusted::default(), &text).unwrap();
        assert!(verified.entries >= entries && !verified.key_was_known);
        let verified = verify(trusted(&text, true), &text).unwrap();
        assert!(verified.key_was_known);
        assert_eq!((verified.known_heads, verified.witnesses_apart, verified.unjudged), (1, 1, 0));
        assert_eq!((verified.owner_key, verified.owner_key_was_known), (Some(sample::owner_key_id()), false));
        assert_eq!(verified.unsigned, 0);
        if entries == 300 {
            assert!(verified.completions > 50 && verified.dispatches == verified.completions);
            assert!(verified.verdicts > 10 && verified.signatures > 3);
            assert!(verified.words > verified.words_erased && verified.words_erased > 0);
        }
    }
}

/// Each tampered with once. `make prove RUN=tampering` goes on to ten thousand.
const LOGS: u64 = 600;

#[test]
fn whatever_is_done_to_a_log_is_found_at_its_place() {
    let mut kinds = std::collections::BTreeSet::new();
    let mut exactly = 0;
    for seed in 0..LOGS {
        let mut rng = StdRng::seed_from_u64(seed);
        let honest = sample::text(seed, 60, 4 + seed % 25);
        let tampered = tamper(&honest, Some(&log_key()), &mut rng);
        let found = verify(trusted(&honest, tampered.with_head), &tampered.text);
        assert_eq!(tampered.judge(&found), None, "seed {seed}");
        exactly +=
            usize::from(found.is_err_and(|bad| bad.entries.is_some_and(|(first, last)| first == last)));
        kinds.insert(tampered.kind);
    }
    println!("tampering: {LOGS} logs, {} ways, all found, {exactly} with the very entry named", kinds.len());
    assert_eq!(kinds.len(), 46, "every way was taken: {kinds:?}");
}

#[test]
fn words_that_were_erased_leave_a_log_that_holds() {
    let honest = sample::text(4, 120, 20);
    let whole = verify(trusted(&honest, true), &honest).unwrap();
    let mut erased = String::new();
    for line in honest.lines() {
        let mut line: Value = serde_json::from_str(line).unwrap();
        line.as_object_mut().unwrap().remove("openings");
        erased.push_str(&format!("{line}\n"));
    }
    assert!(honest.contains("\"sample 1\"") && !erased.contains("\"sample 1\""), "only beside the entries");
    let verified = verify(trusted(&honest, true), &erased).unwrap();
    assert_eq!(verified.words_erased, verified.words);
    assert_eq!((verified.words, verified.root), (whole.words, whole.root));
}

#[test]
fn exports_of_before_words_were_sealed_still_hold() {
    let text = sample::text(5, 40, 10).replacen("nexusmon-audit/2", "nexusmon-audit/1", 1);
    verify(trusted(&text, true), &text).unwrap();
    let unknown = text.replacen("nexusmon-audit/1", "nexusmon-audit/3", 1);
    assert_eq!(verify(Trusted::default(), &unknown).unwrap_err().code, "format");
}

#[test]
fn a_reason_names_the_entry_and_says_why() {
    let honest = sample::text(1, 40, 10);
    let altered = honest.replacen("\"attempt\":1", "\"attempt\":2", 1);
    let bad = verify(trusted(&honest, false), &altered).unwrap_err();
    let number = 1 + honest
        .lines()
        .filter(|line| line.contains("\"entry\""))
        .position(|line| line.contains("\"attempt\":1"))
        .unwrap();
    assert_eq!(bad.entries, Some((number as u64, number as u64)));
    assert_eq!(bad.code, "digest");
    assert!(bad.to_string().starts_with(&format!("entry {number} (line ")), "{bad}");
}

#[test]
fn only_the_key_that_is_known_counts() {
    let text = sample::text(2, 20, 5);
    let other = verifier_key(&nexusmon_shared::trust::ed25519::SigningKey::from_bytes(&[8; 32])).to_string();
    let bad = verify(Trusted::default().with_key(&other).unwrap(), &text).unwrap_err();
    assert_eq!(bad.code, "key");
    assert!(Trusted::default().with_key("nonsense").is_err());
    assert!(Trusted::default().with_checkpoint(b"nonsense").is_err());
    // A head signed by that other key is none of this log.
    let note = Note::parse(newest_note(&text).as_bytes()).unwrap();
    let forged = Note::new(note.text()).unwrap().signed_by(
        note.signatures[0].name.clone(),
        &nexusmon_shared::trust::ed25519::SigningKey::from_bytes(&[8; 32]),
    );
    let trusted = Trusted::default().with_checkpoint(forged.to_string().as_bytes()).unwrap();
    assert_eq!(verify(trusted, &text).unwrap_err().code, "key");
}

#[test]
fn whose_signatures_count_begins_with_the_owner_key_that_is_known() {
    let text = sample::text(3, 120, 20);
    let known = |key: &str| trusted(&text, false).with_owner_key(key).unwrap();
    let verified = verify(known(&sample::owner_key_id().to_string()), &text).unwrap();
    assert!(verified.owner_key_was_known && verified.signatures > 0);
    let bad = verify(known(&"00".repeat(32)), &text).unwrap_err();
    assert_eq!((bad.code, bad.entries), ("roster", Some((2, 2))), "{bad}");
    assert!(Trusted::default().with_owner_key("nonsense").is_err());
}

proptest::proptest! {
    #[test]
    fn outside_bytes_never_panic(lines in proptest::collection::vec(".{0,200}", 0..20), seed in 0_u64..50, cut in 0_usize..4_000) {
        let _ = verify(Trusted::default(), &lines.join("\n"));
        let mut honest = sample::text(seed, 12, 3);
        honest.truncate(honest.floor_char_boundary(cut.min(honest.len())));
        proptest::prop_assert!(verify(Trusted::default(), &honest).is_err());
    }
}

/// What the verifier says of a task that is added to a mission of rank B, with something changed in the entry.
fn added(rank: Rank, change: impl Fn(&mut Value)) -> Result<(), &'static str> {
    let (shipped, mission) = (PolicySet::shipped(), MissionId::from_bits(1));
    let judged = |rank| {
        let question = Question {
            about: PolicyContext::of_person(&"prn_x"),
            rank,
            requested: Rank::E,
            requires_approval: false,
            effects: Effects::default(),
            unconfined: 0,
            tasks: 1,
            capabilities: vec!["shell.run".parse().unwrap()],
        };
        let decision = shipped.answer(&question);
        json!({"rank": rank, "plan_digest": Digest::of(b"plan"), "policies": decision.policies,
            "judged": {"policy_set": shipped.digest(), "question": question, "answer": decision.verdict}})
    };
    let mut created = judged(Rank::B);
    created["status"] = json!("running");
    let mut spawned = judged(rank);
    change(&mut spawned);
    let mut meaning = Meaning::of(sample::ORGANISM, Sets::default(), Rosters::beginning_with(None));
    for (number, action, body) in [(1, "mission.created", created), (2, "task.spawned", spawned)] {
        let entry = json!({"action": action, "actor": "agt", "at": Timestamp::from_micros(number), "body": body,
            "id": AuditId::from_bits(1), "mission": mission, "subject": TaskId::from_bits(1), "subject_kind": "task"});
        let text = entry.to_string();
        let entry: Entry<'_> = serde_json::from_str(&text).unwrap();
        meaning.read(&entry).map_err(|bad| bad.code)?;
    }
    Ok(())
}

#[test]
fn what_a_running_task_adds_is_what_policies_allow_to_the_plan_that_goes_on() {
    assert_eq!(added(Rank::B, |_| {}), Ok(()));
    assert_eq!(added(Rank::E, |_| {}), Ok(()));
    assert_eq!(added(Rank::A, |_| {}), Err("approval"));
    assert_eq!(added(Rank::B, |body| body["rank"] = json!("E")), Err("verdict"));
    assert_eq!(added(Rank::B, |body| body["judged"]["answer"] = json!({"verdict": "allow"})), Err("verdict"));
    assert_eq!(added(Rank::B, |body| body["plan_digest"] = json!(Digest::of(b"other"))), Err("plan"));
}
