//! Machines that may not be what they say: words to compare, identities that live twice, agents that are shut out.

use nexusmon_coordinator::error::Error;
use nexusmon_coordinator::service::agents::{self, AgentCommand};
use nexusmon_coordinator::service::{Caller, audit};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::message::{
    AgentMessage, CertificateIssued, ChallengeRequest, ChallengeResponse, CoordinatorMessage, GoodbyeCode,
    RenewRequest,
};
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::tls::Trust;
use nexusmon_shared::trust::ed25519::PublicKey;
use nexusmon_shared::trust::enrollment::renew_message;
use nexusmon_shared::trust::key::KeyId;
use nexusmon_shared::trust::phrase::Phrase;
use nexusmon_shared::wire::proto;
use nexusmon_shared::wire::proto::enrollment_client::EnrollmentClient;
use serde_json::json;
use tonic::{Code, Status};

use super::scripted::{Machine, Scripted, Session, connect, within};
use super::site::Site;

/// What the machine itself would show, made of what it pins.
fn words(agent: &Scripted, authority: Digest) -> String {
    let identity = PublicKey::from_bytes(agent.machine.identity.public()).unwrap();
    let owner = KeyId(Digest::from_bytes(agent.joined.owner_key));
    Phrase::of(agent.joined.organism, &authority, &owner, &identity).to_string()
}

async fn actions(site: &Site) -> Vec<String> {
    let filter = audit::AuditFilter::default();
    let page = nexusmon_coordinator::service::PageRequest { limit: Some(200), cursor: None };
    let found = audit::list(&site.running.app, filter, page).await.unwrap();
    found.items.into_iter().map(|entry| entry.action).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_for_grave_work_waits_for_its_words() {
    let site = Site::start().await;
    let token = site.invite_up_to("nas", Rank::B).await;
    let authority = token.authority();
    let agent = Machine::new(1).enroll(&token).await;
    let app = &site.running.app;
    let caller = Caller::system(app);
    let mut session = agent.session().await;
    session.offer_credit(4).await;
    assert!(session.welcome.as_ref().unwrap().draining, "it is told that nothing comes");
    let view = agents::get(app, agent.id()).await.unwrap();
    let said = words(&agent, authority);
    assert_eq!((view.state.as_str(), view.enrollment.words.as_deref()), ("pending", Some(said.as_str())));
    let mission = site.mission(json!({"goal": "one", "tasks": [{"id": "a", "uses": "test.work"}]})).await;

    // Nothing else lets it in.
    for command in [AgentCommand::Resume, AgentCommand::Pause, AgentCommand::Drain] {
        let refused = agents::command(app, &caller, agent.id(), command).await.unwrap_err();
        assert!(matches!(refused, Error::Conflict { code: "not_confirmed", .. }), "{refused:?}");
    }
    let mut wrong: Vec<&str> = said.split(' ').collect();
    wrong.swap(0, 5);
    let refused = agents::confirm(app, &caller, agent.id(), &wrong.join(" ")).await.unwrap_err();
    assert!(matches!(refused, Error::Conflict { code: "words_differ", .. }), "{refused:?}");
    assert_eq!(agents::get(app, agent.id()).await.unwrap().state, "pending");
    assert!(actions(&site).await.contains(&"agent.words_differ".to_owned()));

    let shown = said.to_uppercase().replace(' ', "  ");
    let view = agents::confirm(app, &caller, agent.id(), &shown).await.unwrap();
    assert_eq!((view.state.as_str(), view.enrollment.words), ("active", None));
    let order = session.order().await;
    session.finish(order.attempt, super::succeeded()).await;
    session.acknowledged(order.attempt).await;
    assert_eq!(site.look(&mission).await.summary.status, MissionStatus::Succeeded);
    assert!(actions(&site).await.contains(&"agent.confirmed".to_owned()));
    let again = agents::confirm(app, &caller, agent.id(), &said).await.unwrap_err();
    assert!(matches!(again, Error::Conflict { code: "not_pending", .. }), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn quarantine_is_no_way_around_the_words() {
    let site = Site::start().await;
    let agent = Machine::new(1).enroll(&site.invite_up_to("nas", Rank::S).await).await;
    let app = &site.running.app;
    let caller = Caller::system(app);
    agents::command(app, &caller, agent.id(), AgentCommand::Quarantine).await.unwrap();
    let view = agents::command(app, &caller, agent.id(), AgentCommand::Resume).await.unwrap();
    assert_eq!(view.state, "pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantined_agent_is_cut_off_its_leases_fenced() {
    let site = Site::start().await;
    let agent = Machine::new(1).enroll(&site.invite("nas").await).await;
    let app = &site.running.app;
    let mut session = agent.session().await;
    session.offer_credit(4).await;
    let mission = site.mission(json!({"goal": "one", "tasks": [{"id": "a", "uses": "test.work"}]})).await;
    let order = session.order().await;
    let before = app.clock.boot();
    agents::command(app, &Caller::system(app), agent.id(), AgentCommand::Quarantine).await.unwrap();
    assert_eq!(session.farewell().await.code, GoodbyeCode::Quarantined);
    // Printed, not asserted: a busy machine proves nothing about time.
    println!("quarantine: the session was cut after {:?}", app.clock.boot().saturating_sub(before));
    assert_eq!(agents::get(app, agent.id()).await.unwrap().busy, 0, "its leases are fenced");
    let refused = agent.transfer().await.offer(proto::OfferRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    // What it reports under the old fence settles nothing; another agent does the work.
    let other = Machine::new(2).enroll(&site.invite("two").await).await;
    let mut session = other.session().await;
    session.offer_credit(4).await;
    let again = session.order().await;
    assert!(again.attempt.task == order.attempt.task && again.attempt.fence > order.attempt.fence);
    session.finish(again.attempt, super::succeeded()).await;
    session.acknowledged(again.attempt).await;
    assert_eq!(site.look(&mission).await.summary.status, MissionStatus::Succeeded);
}

/// Renews by challenge, as a machine does that was off too long.
async fn renew(agent: &Scripted, join_counter: u64, csr: Vec<u8>) -> Result<CertificateIssued, Status> {
    let trust = Trust::Authorities(vec![agent.authority.clone().into()]);
    let line = connect(&agent.address, trust, None).await;
    let mut client = EnrollmentClient::new(line.channel);
    let asked = proto::ChallengeRequest::from(ChallengeRequest { agent: agent.id() });
    let answer: ChallengeResponse = client.challenge(asked).await?.into_inner().try_into().unwrap();
    let message = renew_message(&answer.challenge, &csr, join_counter, &line.exporters.renew);
    let request = RenewRequest {
        agent: agent.id(),
        challenge: answer.challenge,
        csr: csr.into(),
        join_counter,
        signature: agent.machine.identity.sign(&message),
    };
    let issued = client.renew(proto::RenewRequest::from(request)).await?.into_inner();
    Ok(issued.try_into().unwrap())
}

fn signing_request() -> Vec<u8> {
    nexusmon_shared::pki::TlsKey::generate().unwrap().signing_request().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_lives_twice_is_locked_and_told() {
    let site = Site::start().await;
    let agent = Machine::new(1).enroll(&site.invite("nas").await).await;
    let counter = agent.joined.certificate.join_counter;
    let mut session = agent.session().await;
    // The copy renews first, and the answer to a repeated request is no alarm.
    let csr = signing_request();
    let copy = renew(&agent, counter, csr.clone()).await.unwrap();
    assert_eq!(copy.join_counter, counter + 1);
    assert_eq!(renew(&agent, counter, csr).await.unwrap().join_counter, counter + 1);
    // The original knows nothing of that.
    let refused = renew(&agent, counter, signing_request()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    assert_eq!(session.farewell().await.code, GoodbyeCode::Quarantined, "the one with a session is cut off");
    // Both are locked: the copy's counter is right, and helps it no more.
    let refused = renew(&agent, counter + 1, signing_request()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    let view = agents::get(&site.running.app, agent.id()).await.unwrap();
    assert_eq!(view.state, "quarantined");
    assert!(actions(&site).await.contains(&"agent.cloned".to_owned()), "the operator is told");
}

/// Asks for a certificate over the session.
async fn renew_here(session: &mut Session, join_counter: u64, csr: Vec<u8>) -> Option<u64> {
    session.say(AgentMessage::CertificateRequest { csr: csr.into(), join_counter: Some(join_counter) }).await;
    within("an answer to a certificate request", async {
        loop {
            match session.next().await {
                Ok(Some(CoordinatorMessage::Certificate(issued))) => break Some(issued.join_counter),
                Ok(Some(CoordinatorMessage::Goodbye(goodbye))) => {
                    assert_eq!(goodbye.code, GoodbyeCode::Quarantined);
                    break None;
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break None,
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_that_renew_in_turn_over_sessions_are_locked() {
    let site = Site::start().await;
    let agent = Machine::new(1).enroll(&site.invite("nas").await).await;
    let counter = agent.joined.certificate.join_counter;
    let mut session = agent.session().await;
    // An answer that was lost: the same key asks again, in a request that was signed anew.
    let key = nexusmon_shared::pki::TlsKey::generate().unwrap();
    for _ in 0..2 {
        let csr = key.signing_request().unwrap();
        assert_eq!(renew_here(&mut session, counter, csr).await, Some(counter + 1));
    }
    assert_eq!(renew_here(&mut session, counter + 1, signing_request()).await, Some(counter + 2));
    // The copy still has the counter of when it was made.
    assert_eq!(renew_here(&mut session, counter, signing_request()).await, None);
    assert_eq!(agents::get(&site.running.app, agent.id()).await.unwrap().state, "quarantined");
    assert!(actions(&site).await.contains(&"agent.cloned".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_never_used_again() {
    let site = Site::start().await;
    let app = &site.running.app;
    let first = Machine::new(1).enroll(&site.invite("nas").await).await;
    agents::command(app, &Caller::system(app), first.id(), AgentCommand::Revoke).await.unwrap();
    // The same machine, with the same keys, under the same name.
    let second = Machine::new(1).enroll(&site.invite("nas").await).await;
    assert_ne!(first.id(), second.id());
    let refused = first.transfer().await.offer(proto::OfferRequest::default()).await.unwrap_err();
    assert!(matches!(refused.code(), Code::PermissionDenied | Code::Unauthenticated), "{refused:?}");
    let refused =
        agents::command(app, &Caller::system(app), first.id(), AgentCommand::Resume).await.unwrap_err();
    assert!(matches!(refused, Error::Conflict { code: "revoked", .. }), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_learns_the_log_from_the_first_moment() {
    let site = Site::start().await;
    let app = &site.running.app;
    Machine::new(1).enroll(&site.invite("one").await).await;
    audit::publish(app).await.unwrap();
    let agent = Machine::new(2).enroll(&site.invite("two").await).await;
    let mut session = agent.session().await;
    let joined = &agent.joined;
    assert!(
        !joined.checkpoint.is_empty()
            && joined.checkpoint.contains(joined.log_key.split('+').next().unwrap())
    );
    let shown = within("a head of the log", async {
        loop {
            if let Ok(Some(CoordinatorMessage::Checkpoint(notice))) = session.next().await {
                break notice;
            }
        }
    })
    .await;
    assert_eq!(shown.key, joined.log_key, "the one that was pinned");
}
