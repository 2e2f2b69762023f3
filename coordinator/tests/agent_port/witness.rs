//! Agents as witnesses: a head with its proof comes, a cosignature that holds is kept, an alarm is written down.

use nexusmon_coordinator::service::PageRequest;
use nexusmon_coordinator::service::audit::{self, AuditFilter, CheckpointView};
use nexusmon_shared::message::{AgentMessage, CheckpointNotice, CoordinatorMessage, Cosignature, Hello};
use nexusmon_shared::trust::checkpoint::{Checkpoint, witness};
use nexusmon_shared::trust::merkle::verify_consistency;
use nexusmon_shared::trust::note::VerifierKey;

use crate::scripted::{Machine, Scripted, Session, within};
use crate::site::Site;

async fn notice(session: &mut Session) -> CheckpointNotice {
    loop {
        match session.next().await.unwrap() {
            Some(CoordinatorMessage::Checkpoint(notice)) => return *notice,
            Some(_) => {}
            None => panic!("the stream ended before a head came"),
        }
    }
}

fn open(notice: &CheckpointNotice) -> Checkpoint {
    let key: VerifierKey = notice.key.parse().unwrap();
    Checkpoint::open(notice.note.as_bytes(), &key).unwrap().0
}

/// Says hello as one that keeps a head of so many entries.
async fn keeping(agent: &Scripted, checkpoint_size: u64) -> Session {
    agent.stream(AgentMessage::Hello(Box::new(Hello { checkpoint_size, ..agent.hello() })).into()).await
}

async fn until(site: &Site, wanted: impl Fn(&CheckpointView) -> bool) -> CheckpointView {
    let look = async {
        loop {
            let view = audit::checkpoint(&site.running.app).await.unwrap();
            if wanted(&view) {
                return view;
            }
            tokio::task::yield_now().await;
        }
    };
    within("the cosignature", Box::pin(look)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_proved_cosigned_and_kept_and_one_on_the_same_host_is_not_counted() {
    let site = Site::start().await;
    let agent = Machine::new(3).enroll(&site.invite("witness").await).await;
    let organism = site.running.app.organism;
    let mut session = agent.session().await;
    let first = notice(&mut session).await;
    let head = open(&first);
    assert_eq!((first.from, first.proof.len()), (0, 0));
    let line = agent.machine.identity.cosign(&head, witness(organism, agent.id()), 5).to_string();
    // One that does not hold comes to nothing; the same agent's good one is kept.
    let wrong =
        Cosignature { size: head.size, line: line.replace("nexusmon/", "nexusmoo/"), alarm: String::new() };
    session.say(AgentMessage::Cosignature(wrong)).await;
    session.say(AgentMessage::Cosignature(Cosignature { size: head.size, line, alarm: String::new() })).await;
    let view = until(&site, |view| !view.witnesses.is_empty()).await;
    assert_eq!(view.witnesses.len(), 1);
    let kept = &view.witnesses[0];
    assert_eq!((kept.agent, kept.size, kept.apart), (agent.id(), head.size, false));
    assert_eq!((view.attested, view.of, view.attested_ago), (0, 0, None));

    // It comes back with what it keeps, and the log is proved to have grown from there.
    drop(session);
    let mut session = keeping(&agent, head.size).await;
    let second = notice(&mut session).await;
    let grown = open(&second);
    assert_eq!(second.from, head.size);
    assert!(grown.size > head.size);
    assert!(verify_consistency(head.size, grown.size, &head.root, &grown.root, &second.proof));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_has_seen_more_is_shown_what_there_is_and_its_alarm_is_written_down() {
    let site = Site::start().await;
    let agent = Machine::new(3).enroll(&site.invite("witness").await).await;
    let mut session = keeping(&agent, 1_000_000).await;
    let shown = notice(&mut session).await;
    assert!(open(&shown).size < 1_000_000);
    let alarm = "the log has shrunk".to_owned();
    session.say(AgentMessage::Cosignature(Cosignature { size: 1_000_000, line: String::new(), alarm })).await;
    let found = async {
        loop {
            let filter = AuditFilter { action: Some("alert.raised".to_owned()), ..AuditFilter::default() };
            let page = audit::list(&site.running.app, filter, PageRequest::default()).await.unwrap();
            if let Some(entry) = page.items.into_iter().next() {
                return entry;
            }
            tokio::task::yield_now().await;
        }
    };
    let entry = within("the alert", Box::pin(found)).await;
    assert_eq!((entry.actor, entry.subject), (agent.id().to_string(), agent.id().to_string()));
    assert!(entry.body["alert"].as_str().unwrap().contains("has shrunk"));
}
