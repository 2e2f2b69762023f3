//! Acts beside work: where people sign, each waits for their approval and is done with the last signature that was
//! missing; what changed meanwhile makes it void.

use std::time::Duration;

use nexusmon_coordinator::error::Error;
use nexusmon_coordinator::service::approvals::{self, ApprovalFilter, ApprovalView};
use nexusmon_coordinator::service::evolution::{self, TraitChange};
use nexusmon_coordinator::service::missions;
use nexusmon_coordinator::service::{PageRequest, halt, policies};
use nexusmon_shared::message::HaltLevel;
use nexusmon_shared::plan::Budget;
use nexusmon_shared::time::Clock as _;
use serde_json::json;

use crate::consent::{decide, second, sign_roster, signature};
use crate::harness::{World, both};

async fn waiting(world: &World, kind: &str) -> ApprovalView {
    let filter = ApprovalFilter { status: Some("pending".to_owned()), mission: None };
    let found = approvals::list(&world.app, filter, PageRequest::default()).await.unwrap().items;
    found.into_iter().find(|one| one.subject_kind == kind).unwrap_or_else(|| panic!("no {kind} waits"))
}

fn code(error: &Error) -> &'static str {
    match error {
        Error::Forbidden { code, .. } | Error::Conflict { code, .. } => code,
        other => panic!("{other}"),
    }
}

both! {
    async fn the_switch_is_released_by_signatures_over_that_pull(world) {
        let owner = world.owner().await;
        sign_roster(&world, None).await;
        halt::pull(&world.app, &owner, HaltLevel::Halt, Some("smoke".to_owned())).await.unwrap();
        let (view, waits) = halt::release(&world.app, &owner, "the toaster".to_owned()).await.unwrap();
        assert!(waits && view.level == HaltLevel::Halt, "asking releases nothing");
        let asked = waiting(&world, "halt_release").await;
        assert_eq!((view.release, asked.mission, asked.needed), (Some(asked.id), None, 1));
        // Asked again, the same one waits.
        let (again, _) = halt::release(&world.app, &owner, "still the toaster".to_owned()).await.unwrap();
        assert_eq!(again.release, view.release);
        let unsigned = decide(&world, &owner, &asked, None).await.unwrap_err();
        assert!(unsigned.to_string().contains("signature"), "{unsigned}");
        // Another pull: what was asked for was the release of the one before.
        halt::pull(&world.app, &owner, HaltLevel::Stop, None).await.unwrap();
        assert_eq!(approvals::get(&world.app, asked.id).await.unwrap().status, "void");
        let late = decide(&world, &owner, &asked, Some(signature(&world, &asked, 1, 1))).await.unwrap_err();
        assert_eq!(code(&late), "already_decided");
        assert_eq!(halt::view(&world.app).await.unwrap().level, HaltLevel::Stop);

        halt::release(&world.app, &owner, "the toaster".to_owned()).await.unwrap();
        let asked = waiting(&world, "halt_release").await;
        let forged = decide(&world, &owner, &asked, Some(signature(&world, &asked, 7, 1))).await.unwrap_err();
        assert_eq!(code(&forged), "unknown_key");
        let done = decide(&world, &owner, &asked, Some(signature(&world, &asked, 1, 2))).await.unwrap();
        assert_eq!((done.status.as_str(), done.decisions[0].method.as_str()), ("approved", "key"));
        assert_eq!(halt::view(&world.app).await.unwrap().level, HaltLevel::None);
        assert!(!world.app.switch.is_pulled(), "this process knows, too");
    }

    async fn policies_change_by_somebody_else_than_their_author(world) {
        let (owner, other) = (world.owner().await, second(&world).await);
        sign_roster(&world, Some(&other)).await;
        let shipped = policies::view(&world.app, None).await.unwrap();
        let text = format!("{}\n@id(\"none-today\")\nforbid (principal, action == Action::\"run_unattended\", resource);\n", shipped.text);
        let (view, waits) =
            policies::change(&world.app, &owner, text.clone(), "quiet day".to_owned(), Some(0)).await.unwrap();
        assert!(waits && view.version == 0);
        let asked = waiting(&world, "policy_change").await;
        assert_eq!(asked.proposal.as_ref().unwrap()["act"]["text"], json!(text), "all of it is shown");
        let own = decide(&world, &owner, &asked, Some(signature(&world, &asked, 1, 1))).await.unwrap_err();
        assert_eq!(code(&own), "author_may_not_approve");
        world.pass(1).await;
        // A second proposal in place of the same set: whichever is approved first voids the other.
        let (view, _) = policies::change(&world.app, &owner, format!("{text}\n@id(\"b\")\nforbid (principal, action == Action::\"run_flagged\", resource);"), "b".to_owned(), None).await.unwrap();
        let rival = approvals::get(&world.app, view.pending.unwrap()).await.unwrap();
        decide(&world, &other, &asked, Some(signature(&world, &asked, 2, 2))).await.unwrap();
        let now = policies::view(&world.app, None).await.unwrap();
        assert_eq!((now.version, now.by), (1, Some(other.principal)));
        assert_eq!(world.app.policy.get().version, 1, "judged by it from here on");
        assert_eq!(approvals::get(&world.app, rival.id).await.unwrap().status, "void");
    }

    async fn traits_and_budgets_are_asked_for(world) {
        let owner = world.owner().await;
        let until = world.clock.now() + Duration::from_hours(24);
        let grant = TraitChange::Grant { until };
        // Without a roster: a fresh log-in.
        let tired = evolution::change_trait(&world.app, &owner, "RECALL", grant, "try it".to_owned()).await;
        assert_eq!(code(&tired.unwrap_err()), "log_in_again");
        let fresh = world.logged_in().await;
        let (held, waits) =
            evolution::change_trait(&world.app, &fresh, "RECALL", grant, "try it".to_owned()).await.unwrap();
        assert_eq!((held.state.as_str(), waits), ("granted", None));

        sign_roster(&world, None).await;
        let (held, waits) = evolution::change_trait(&world.app, &owner, "OPERATOR_FUSION", grant, "nightly".to_owned())
            .await
            .unwrap();
        assert_eq!((held.state.as_str(), waits.is_some()), ("locked", true));
        let asked = waiting(&world, "trait_grant").await;
        decide(&world, &owner, &asked, Some(signature(&world, &asked, 1, 1))).await.unwrap();
        let off = evolution::change_trait(&world.app, &owner, "RECALL", TraitChange::Disable, String::new());
        assert_eq!(off.await.unwrap().0.state, "disabled");
        let all = evolution::evolution(&world.app, PageRequest::default()).await.unwrap();
        let state = |name: &str| all.traits.iter().find(|held| held.name == name).unwrap().state.clone();
        assert_eq!((state("OPERATOR_FUSION"), state("RECALL")), ("granted".to_owned(), "disabled".to_owned()));

        let body = json!({"goal": "held", "start": "manual", "tasks": [{"id": "t", "uses": "core.noop"}]});
        let mission = world.create(body).await.summary.id;
        let to = Budget { attempts: 7, ..Budget::default() };
        missions::propose_budget(&world.app, &owner, mission, to, "more".to_owned()).await.unwrap();
        let asked = waiting(&world, "budget").await;
        assert_eq!((asked.mission, asked.signature_needed), (Some(mission), false), "the work is rank E");
        decide(&world, &owner, &asked, None).await.unwrap();
        assert_eq!(missions::get(&world.app, mission).await.unwrap().budget, to);
    }
}
