//! Agents of other protocol versions: the neighbours are served in the version both speak, the others are told to upgrade.

use nexusmon_shared::message::{AgentMessage, CoordinatorMessage, GoodbyeCode, Hello, ProtocolRange};

use crate::scripted::Machine;
use crate::site::Site;

const OURS: ProtocolRange = ProtocolRange::OURS;

#[tokio::test(flavor = "multi_thread")]
async fn neighbouring_versions_are_served_and_strangers_told_to_upgrade() {
    let site = Site::start().await;
    let agent = Machine::new(1).enroll(&site.invite("nas").await).await;
    let older = ProtocolRange { lowest: OURS.lowest.saturating_sub(1), highest: OURS.lowest };
    let newer = ProtocolRange { lowest: OURS.highest, highest: OURS.highest + 1 };
    for protocol in [older, newer] {
        let hello = AgentMessage::Hello(Box::new(Hello { protocol, ..agent.hello() }));
        let mut session = agent.stream(hello.into()).await;
        match session.next().await {
            Ok(Some(CoordinatorMessage::Welcome(welcome))) => {
                assert_eq!(Some(welcome.protocol), OURS.common(protocol));
            }
            other => panic!("expected Welcome for {protocol:?}, got {other:?}"),
        }
    }
    let future = ProtocolRange { lowest: OURS.highest + 1, highest: OURS.highest + 2 };
    let hello = AgentMessage::Hello(Box::new(Hello { protocol: future, ..agent.hello() }));
    let mut session = agent.stream(hello.into()).await;
    match session.next().await {
        Ok(Some(CoordinatorMessage::Goodbye(goodbye))) => {
            assert_eq!(goodbye.code, GoodbyeCode::Protocol, "{goodbye:?}");
            assert!(goodbye.detail.contains("upgrade"), "{goodbye:?}");
        }
        other => panic!("expected a goodbye, got {other:?}"),
    }
}
