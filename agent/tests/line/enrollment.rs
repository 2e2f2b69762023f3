use std::os::unix::fs::PermissionsExt as _;

use bytes::Bytes;
use nexusmon_agent::enroll::{EnrollError, NeverBehind, renew_by_challenge};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::join_token::JoinToken;
use nexusmon_shared::message::CertificateIssued;
use nexusmon_shared::pki::Authority;
use nexusmon_shared::time::Clock as _;
use nexusmon_shared::tls::ConnectError;
use std::time::Duration;

use super::*;

async fn try_join(stage: &Stage, token: &JoinToken, folder: &Path) -> Result<(), EnrollError> {
    let mut rng = StdRng::seed_from_u64(3);
    let clock = Arc::new(stage.clock.clone());
    join(token, folder, Labels::new(), facts::gather(), clock, &mut rng).await.map(drop)
}

fn entries(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[tokio::test]
async fn keys_are_private_and_the_folder_is_complete() {
    let stage = Stage::new().await;
    let identity = stage.folder.path().join("identity");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&identity), 0o700);
    for entry in std::fs::read_dir(&identity).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    let home = Home::open(stage.folder.path()).unwrap();
    assert_eq!(home.membership().name.as_str(), "nas");
    assert_eq!(home.membership().labels["region"], "home");
}

#[tokio::test]
async fn an_enrolled_folder_is_never_overwritten() {
    let stage = Stage::new().await;
    let before = std::fs::read(stage.folder.path().join("identity/identity.pem")).unwrap();
    let error = try_join(&stage, &stage.fake.token(6), stage.folder.path()).await.unwrap_err();
    assert!(matches!(error, EnrollError::AlreadyEnrolled { .. }), "{error}");
    assert_eq!(std::fs::read(stage.folder.path().join("identity/identity.pem")).unwrap(), before);
    // The token was not spent on it.
    let other = tempfile::tempdir().unwrap();
    try_join(&stage, &stage.fake.token(6), other.path()).await.unwrap();
}

#[tokio::test]
async fn refusals_leave_nothing_behind() {
    let stage = Stage::new().await;
    let folder = tempfile::tempdir().unwrap();
    let error = try_join(&stage, &stage.fake.token(5), folder.path()).await.unwrap_err();
    assert!(matches!(error, EnrollError::InviteRefused), "{error}");

    let good = stage.fake.token(7);
    let pin = Digest::of(b"another authority");
    let wrong = JoinToken::new(good.address().clone(), good.invite(), [7; 32], pin, [0; 32]);
    let error = try_join(&stage, &wrong, folder.path()).await.unwrap_err();
    assert!(matches!(error, EnrollError::Connect(ConnectError::WrongPin { .. })), "{error}");

    let wrong = JoinToken::new(good.address().clone(), good.invite(), [8; 32], good.authority(), [0; 32]);
    let error = try_join(&stage, &wrong, folder.path()).await.unwrap_err();
    assert!(matches!(error, EnrollError::InviteRefused), "{error}");
    assert_eq!(entries(folder.path()), 0);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_the_same_key() {
    let stage = Stage::new().await;
    let home = Home::open(stage.folder.path()).unwrap();
    let counter = home.join_counter();
    stage.fake.state().lose = 1;
    let clock = || Arc::new(stage.clock.clone());
    let error = renew_by_challenge(&home, None, clock()).await.unwrap_err();
    assert!(error.is_passing(), "{error}");
    // A new process goes on with what the old one had prepared.
    let again = Home::open(stage.folder.path()).unwrap();
    renew_by_challenge(&again, None, clock()).await.unwrap();
    let renewals = stage.fake.state().renewals.clone();
    assert_eq!(renewals[0], renewals[1], "same counter, same key");
    assert_eq!(renewals[0].0, counter);
    let kept = Home::open(stage.folder.path()).unwrap();
    assert_eq!(kept.join_counter(), stage.fake.state().counter);
}

#[tokio::test]
async fn a_machine_that_was_off_for_weeks_comes_back() {
    let stage = Stage::new().await;
    stage.clock.advance(Duration::from_hours(480));
    let actor = stage.agent(|_| Act::UntilCancelled).await;
    let session = stage.fake.session().await;
    assert_eq!(stage.fake.state().renewals.len(), 1);
    session.welcome(Vec::new()).await;
    actor.kill().await;
}

#[tokio::test]
async fn certificates_are_renewed_over_the_session() {
    let stage = Stage::new().await;
    // Past the time renewal is due, well before the end.
    stage.clock.advance(Duration::from_hours(2));
    let before = Home::open(stage.folder.path()).unwrap().renewal(0.0).unwrap();
    let actor = stage.agent(|_| Act::UntilCancelled).await;
    let mut session = stage.fake.session().await;
    session.welcome(Vec::new()).await;
    let (csr, counter) = session
        .until(|message| match message {
            nexusmon_shared::message::AgentMessage::CertificateRequest { csr, join_counter } => {
                Some((csr, join_counter))
            }
            _ => None,
        })
        .await;
    assert_eq!(counter, Some(Home::open(stage.folder.path()).unwrap().join_counter()));
    let issued = stage.fake.issue(&csr, actor.agent.id());
    session.send(nexusmon_shared::message::CoordinatorMessage::Certificate(issued)).await;
    // The agent shows the new one at once, on a new line.
    let again = stage.fake.session().await;
    again.welcome(Vec::new()).await;
    let after = Home::open(stage.folder.path()).unwrap().renewal(0.0).unwrap();
    assert!(after.expires > before.expires);
    actor.kill().await;
}

#[tokio::test]
async fn a_certificate_pushes_no_clock_ahead() {
    let stage = Stage::new().await;
    let home = Arc::new(Home::open(stage.folder.path()).unwrap());
    let (agent, now, before) = (home.membership().agent, stage.clock.now(), home.signed_time());
    let csr = home.prepare().unwrap();
    let day = Duration::from_hours(24);
    let error = home.install(&stage.fake.issue_at(&csr, agent, now + day), now).unwrap_err();
    assert!(matches!(error, EnrollError::WrongAnswer(why) if why.contains("in the future")), "{error}");
    assert_eq!(home.signed_time(), before);
    // Of an authority nobody here has vouched for, it is shown to the coordinator and says nothing of the time.
    let stranger = Authority::generate(home.membership().organism, now).unwrap();
    let issued = stranger.issue_agent(&csr, agent, now + Duration::from_mins(5)).unwrap();
    let chain = issued.chain.iter().map(|der| Bytes::copy_from_slice(der)).collect();
    home.install(&CertificateIssued { chain, join_counter: 2 }, now).unwrap();
    assert_eq!(home.signed_time(), before);

    let later = now + Duration::from_hours(3);
    let csr = home.prepare().unwrap();
    home.install(&stage.fake.issue_at(&csr, agent, later), later).unwrap();
    let signed = home.signed_time();
    assert!(signed > before);
    // What ends goes by that; what begins after a delay, by the machine's own clock.
    let clock = NeverBehind::new(Arc::new(stage.clock.clone()), home);
    assert_eq!((clock.now(), clock.wall()), (signed, now));
}
