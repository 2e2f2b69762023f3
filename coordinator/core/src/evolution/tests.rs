use nexusmon_shared::id::{MissionId, PrincipalId};
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use proptest::prelude::*;
use std::time::Duration;

use super::*;

fn day(days: u64) -> Timestamp {
    Timestamp::from_micros(0) + Duration::from_secs(days * 24 * 3600)
}

fn verified(mission: u128, xp: u64, at: Timestamp) -> LedgerEntry {
    let entry = Entry::Verified { mission: MissionId::from_bits(mission), rank: Rank::E, xp, shape: None };
    LedgerEntry { at, entry }
}

fn taken_back(mission: u128, at: Timestamp) -> LedgerEntry {
    let entry = Entry::TakenBack { mission: MissionId::from_bits(mission), reason: "rejected".into() };
    LedgerEntry { at, entry }
}

fn state(organism: &Organism, name: Trait) -> &TraitState {
    &organism.traits.iter().find(|held| held.name == name).unwrap().state
}

#[test]
fn stages_begin_at_their_thresholds() {
    for (count, stage) in [
        (0_u32, "DORMANT"),
        (1, "AWAKENING"),
        (9, "AWAKENING"),
        (10, "FORGING"),
        (50, "SOVEREIGN"),
        (200, "APEX"),
    ] {
        let entries: Vec<_> = (0..count).map(|n| verified(u128::from(n), 10, day(0))).collect();
        let organism = fold(&entries, day(1));
        assert_eq!((organism.stage.name(), organism.xp), (stage, 10 * u64::from(count)));
    }
}

#[test]
fn taking_back_relocks_at_once() {
    let mut entries: Vec<_> = (0..10).map(|n| verified(n, 10, day(0))).collect();
    assert!(fold(&entries, day(1)).may(Trait::BeliefTrack));
    entries.push(taken_back(3, day(1)));
    let organism = fold(&entries, day(1));
    assert_eq!((organism.stage, organism.xp, organism.missions_to_next), (Stage::Awakening, 90, 1));
    assert_eq!(state(&organism, Trait::BeliefTrack), &TraitState::Locked);
    entries.push(verified(3, 10, day(2)));
    assert_eq!(fold(&entries, day(2)).verified, 9, "what was rejected does not count again");
}

#[test]
fn a_suspension_wants_time_and_work() {
    let mut entries: Vec<_> = (0..10).map(|n| verified(n, 10, day(0))).collect();
    let entry = Entry::Suspended { r#trait: Trait::Recall, evidence: "two rejected".into() };
    entries.push(LedgerEntry { at: day(1), entry });
    assert!(matches!(
        state(&fold(&entries, day(9)), Trait::Recall),
        TraitState::Suspended { xp_needed: 100, .. }
    ));
    entries.push(verified(50, 100, day(2)));
    assert!(!fold(&entries, day(7)).may(Trait::Recall), "the week is not over");
    assert!(fold(&entries, day(8)).may(Trait::Recall));
}

#[test]
fn the_operator_overrides_in_both_directions() {
    let by = PrincipalId::from_bits(1);
    let granted = Entry::Granted { r#trait: Trait::SelfEvolve, by, until: day(5) };
    let mut entries = vec![LedgerEntry { at: day(0), entry: granted }];
    assert!(fold(&entries, day(4)).may(Trait::SelfEvolve));
    assert!(!fold(&entries, day(5)).may(Trait::SelfEvolve));
    entries.push(LedgerEntry { at: day(1), entry: Entry::Disabled { r#trait: Trait::SelfEvolve, by } });
    assert!(!fold(&entries, day(4)).may(Trait::SelfEvolve));
}

#[test]
fn a_grant_ends_where_evidence_speaks_against_it() {
    let by = PrincipalId::from_bits(1);
    let grant = |at| LedgerEntry { at, entry: Entry::Granted { r#trait: Trait::Recall, by, until: day(9) } };
    let suspended = Entry::Suspended { r#trait: Trait::Recall, evidence: "three failures".into() };
    let mut entries = vec![grant(day(0)), LedgerEntry { at: day(1), entry: suspended }];
    assert_eq!(state(&fold(&entries, day(1)), Trait::Recall), &TraitState::Locked);
    entries.push(grant(day(2)));
    assert!(fold(&entries, day(2)).may(Trait::Recall), "granted in the face of it");
}

fn completion() -> Completion {
    Completion {
        status: MissionStatus::Succeeded,
        rank: Rank::D,
        finished_at: day(0),
        executed: 1,
        left_something: true,
        rejected: false,
        reviewed: false,
        rerun: false,
        by_person: true,
        counted_today: false,
    }
}

#[test]
fn only_verified_completions_count() {
    assert_eq!(award(&completion(), day(0)), Award::Verified { xp: 25 });
    let at = |rank, reviewed| award(&Completion { rank, reviewed, ..completion() }, day(0));
    assert_eq!(at(Rank::C, false), Award::Pending(PendingOn::Review));
    assert_eq!(at(Rank::B, true), Award::Verified { xp: 100 });
    assert_eq!(at(Rank::A, true), Award::Pending(PendingOn::Time(day(1))));
    assert_eq!(award(&Completion { rank: Rank::S, ..completion() }, day(1)), Award::Verified { xp: 500 });
    for broken in [
        Completion { status: MissionStatus::Failed, ..completion() },
        Completion { executed: 0, ..completion() },
        Completion { left_something: false, ..completion() },
        Completion { rejected: true, ..completion() },
        Completion { rerun: true, ..completion() },
        Completion { by_person: false, ..completion() },
        Completion { counted_today: true, ..completion() },
    ] {
        assert!(matches!(award(&broken, day(9)), Award::Nothing { .. }), "{broken:?}");
    }
}

proptest! {
    #[test]
    fn the_fold_counts_each_mission_once(picks in prop::collection::vec((0_u128..20, any::<bool>()), 0..60)) {
        let entries: Vec<_> = picks
            .iter()
            .map(|(mission, back)| if *back { taken_back(*mission, day(0)) } else { verified(*mission, 10, day(0)) })
            .collect();
        let organism = fold(&entries, day(1));
        prop_assert_eq!(organism.xp, organism.verified * 10);
        prop_assert_eq!(organism.stage, Stage::at(organism.verified));
        for (mission, _) in picks.iter().filter(|(_, back)| *back) {
            let without: Vec<_> = entries
                .iter()
                .filter(|e| !matches!(&e.entry, Entry::Verified { mission: m, .. } if m.to_bits() == *mission))
                .cloned()
                .collect();
            let after_back = fold(&without, day(1));
            prop_assert!(after_back.verified <= organism.verified);
        }
        for held in &organism.traits {
            prop_assert_eq!(organism.may(held.name), organism.stage >= held.stage);
        }
    }
}
