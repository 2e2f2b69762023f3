//! Rosters over time: who lost the key comes back with the recovery words, an owner objects, and whoever has an export of
//! the log finds by whose signatures things were decided.

use std::time::Duration;

use ed25519_dalek::SigningKey;
use futures::TryStreamExt as _;
use nexusmon_coordinator::service::{audit, house, roster};
use nexusmon_core::audit::{Trusted, Verified, Verifier};
use nexusmon_shared::id::AgentId;
use nexusmon_shared::message::CoordinatorMessage;
use nexusmon_shared::time::Clock as _;
use nexusmon_shared::trust::ed25519::PublicKey;
use nexusmon_shared::trust::recovery::RecoveryKey;
use nexusmon_shared::trust::roster::{Need, Person, Role, Roster, SignedRoster};
use nexusmon_shared::trust::signable::Signable as _;

use crate::consent::{approve, cli, decide, grave, pending, signature, signing};
use crate::harness::{World, both};

const DAY: Duration = Duration::from_hours(24);

/// As somebody types them who has written them on paper.
fn words(seed: u8) -> SigningKey {
    let written = RecoveryKey::from_bytes([seed; 32]).words().to_uppercase();
    RecoveryKey::from_words(&written).unwrap().signing_key()
}

async fn first(world: &World) -> Roster {
    let owner = world.owner().await.principal;
    let person = Person { name: "owner".to_owned(), role: Role::Owner, keys: [cli(1)].into() };
    let roster = Roster {
        organism: world.app.organism,
        number: 1,
        predecessor: None,
        persons: [(owner, person)].into(),
        need: Need::default(),
        agents: std::collections::BTreeMap::new(),
        recovery: Some(PublicKey::of(&words(90))),
    };
    let signed = SignedRoster::new(roster.clone()).signed_by(&signing(1));
    roster::put(&world.app, &world.owner().await, signed).await.unwrap();
    roster
}

/// The successor in which the owner has key `seed`, with other recovery words.
fn next(before: &Roster, seed: u8) -> Roster {
    let mut next = Roster {
        number: before.number + 1,
        predecessor: Some(before.digest()),
        recovery: Some(PublicKey::of(&words(91))),
        ..before.clone()
    };
    let (owner, _) = before.owner().unwrap();
    next.persons.get_mut(&owner).unwrap().keys = [cli(seed)].into();
    next
}

/// What somebody says who has the file alone, and knows the first owner's key.
pub(crate) async fn verified(world: &World) -> Verified {
    let lines: Vec<String> = audit::export(&world.app).await.unwrap().try_collect().await.unwrap();
    let trusted = Trusted::default().with_owner_key(&cli(1).id().to_string()).unwrap();
    let mut verifier = Verifier::new(trusted);
    for line in lines.concat().lines() {
        verifier.line(line.as_bytes()).unwrap();
    }
    verifier.finish().unwrap()
}

both! {
    async fn words_bring_back_who_lost_the_key_after_a_day(world) {
        let owner = world.owner().await;
        let first = first(&world).await;
        let mut agent = world.agent("a").await;
        assert!(matches!(agent.next().await, CoordinatorMessage::Roster(_)));
        let mission = grave(&world).await;
        approve(&world, mission, 1).await;

        let recovered = next(&first, 3);
        let other_words =
            SignedRoster::new(recovered.clone()).signed_by(&signing(3)).recovered_by(&words(92));
        let error = roster::put(&world.app, &owner, other_words).await.unwrap_err();
        assert_eq!(error.code(), "invalid", "{error}");
        let kept_words = Roster { recovery: first.recovery, ..recovered.clone() };
        let kept_words = SignedRoster::new(kept_words).signed_by(&signing(3)).recovered_by(&words(90));
        let error = roster::put(&world.app, &owner, kept_words).await.unwrap_err();
        assert!(error.to_string().contains("it signs once"), "{error}");

        let signed = SignedRoster::new(recovered.clone()).signed_by(&signing(3)).recovered_by(&words(90));
        let view = roster::put(&world.app, &owner, signed).await.unwrap();
        let from = world.clock.now() + DAY;
        assert_eq!((view.signed.roster.number, view.pending), (1, Some((2, from))));
        // Every machine alerts from now on, also one that connects later.
        loop {
            if let CoordinatorMessage::Roster(bytes) = agent.next().await {
                let told = SignedRoster::read(&bytes).unwrap();
                assert_eq!(told.roster, recovered);
                break;
            }
        }
        let told = world.written(2, |action| action == "roster.changed").await;
        assert_eq!(told[0].body["recovered"], true);

        // Until then the old key decides and the new one does not.
        world.clock.advance(Duration::from_secs(24 * 3_600 - 1));
        house::tidy(&world.app).await.unwrap();
        let mission = grave(&world).await;
        let approval = pending(&world, mission).await.remove(0);
        let error = decide(&world, &owner, &approval, Some(signature(&world, &approval, 3, 7))).await.unwrap_err();
        assert_eq!(error.code(), "unknown_key");
        assert_eq!(roster::get(&world.app).await.unwrap().owner_key, cli(1).id());

        world.clock.advance(Duration::from_secs(1));
        house::tidy(&world.app).await.unwrap();
        let now = roster::get(&world.app).await.unwrap();
        assert_eq!((now.signed.roster.number, now.owner_key, now.pending), (2, cli(3).id(), None));
        // What machines pin that join from now on.
        assert_eq!(world.app.roster.get().unwrap().pin, cli(3).id());
        let error = decide(&world, &owner, &approval, Some(signature(&world, &approval, 1, 8))).await.unwrap_err();
        assert_eq!(error.code(), "unknown_key");
        decide(&world, &owner, &approval, Some(signature(&world, &approval, 3, 9))).await.unwrap();
        assert_eq!(world.status(mission).await, "running");

        world.written(2, |action| action == "approval.decided").await;
        let verified = verified(&world).await;
        assert_eq!((verified.signatures, verified.unsigned), (2, 0));
        assert_eq!((verified.owner_key, verified.owner_key_was_known), (Some(cli(1).id()), true));
    }

    async fn an_owner_who_still_has_the_key_objects(world) {
        let owner = world.owner().await;
        let _agent = world.agent("a").await;
        let first = first(&world).await;
        let thief = SignedRoster::new(next(&first, 3)).signed_by(&signing(3)).recovered_by(&words(90));
        roster::put(&world.app, &owner, thief).await.unwrap();
        world.clock.advance(DAY / 2);
        let objection = SignedRoster::new(next(&first, 1)).signed_by(&signing(1));
        let view = roster::put(&world.app, &owner, objection).await.unwrap();
        assert_eq!((view.signed.roster.number, view.owner_key, view.pending), (2, cli(1).id(), None));
        world.clock.advance(DAY);
        house::tidy(&world.app).await.unwrap();
        assert_eq!(roster::get(&world.app).await.unwrap().owner_key, cli(1).id());
        let mission = grave(&world).await;
        approve(&world, mission, 1).await;
        world.written(1, |action| action == "approval.decided").await;
        assert_eq!(verified(&world).await.signatures, 1);
    }

    async fn a_roster_too_large_for_an_entry_stands_before_it(world) {
        let owner = world.owner().await;
        let _agent = world.agent("a").await;
        let before = first(&world).await;
        let mut large = next(&before, 1);
        for number in 0..4_000_u32 {
            let mut seed = [7; 32];
            seed[..4].copy_from_slice(&number.to_be_bytes());
            let key = PublicKey::of(&SigningKey::from_bytes(&seed));
            large.agents.insert(AgentId::from_bits(u128::from(number) + 1), key);
        }
        let signed = SignedRoster::new(large).signed_by(&signing(1));
        roster::put(&world.app, &owner, signed).await.unwrap();
        let told = world.written(2, |action| action == "roster.changed").await;
        assert!(told[0].body["signed"].is_null(), "it would not fit");
        let mission = grave(&world).await;
        approve(&world, mission, 1).await;
        world.written(1, |action| action == "approval.decided").await;
        assert_eq!(verified(&world).await.signatures, 1);
        // Left out, it is missed.
        let lines: Vec<String> = audit::export(&world.app).await.unwrap().try_collect().await.unwrap();
        let mut verifier = Verifier::new(Trusted::default());
        let text = lines.concat();
        let mut without = text.lines().filter(|line| !line.starts_with("{\"kind\":\"roster\""));
        let bad = without.find_map(|line| verifier.line(line.as_bytes()).err()).unwrap();
        let place = u64::try_from(told[0].seq).unwrap();
        assert_eq!((bad.code, bad.entries), ("roster", Some((place, place))), "{bad}");
    }
}
