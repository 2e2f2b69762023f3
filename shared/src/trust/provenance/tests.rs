use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::attempt::Fence;
use crate::id::TaskId;
use crate::trust::roster::tests::{ORGANISM, cli, principal, signing};

fn sample() -> Provenance {
    Provenance {
        organism: ORGANISM,
        agent: AgentId::from_bits(1),
        mission: MissionId::from_bits(2),
        plan_digest: Digest::of(b"plan"),
        task: "count".parse().unwrap(),
        attempt: AttemptRef { task: TaskId::from_bits(3), fence: Fence { epoch: 2, number: u64::MAX - 1 } },
        item_index: None,
        capability: "shell.run".parse().unwrap(),
        plugin_version: "1.2.3".to_owned(),
        rank: Rank::A,
        profile: Profile::Strict,
        level: Level::L3Lite,
        parameters: Digest::of(b"{}"),
        inputs: vec![Material { name: "out.csv".to_owned(), digest: Digest::of(b"in") }],
        approvals: vec![ApprovalUsed {
            subject: SubjectKind::MissionPlan,
            digest: Digest::of(b"plan"),
            person: principal(2),
            key: cli(2).id(),
            nonce: Nonce::from_bytes([7; 16]),
        }],
        artifacts: vec![Material { name: "lines.txt".to_owned(), digest: Digest::of(b"out") }],
        log: Some(Digest::of(b"log")),
        started_at: Timestamp::from_micros(1_700_000_000_000_000),
        finished_at: Timestamp::from_micros(1_700_000_001_500_000),
    }
}

fn identity(agent: AgentId) -> Option<PublicKey> {
    (agent == AgentId::from_bits(1)).then(|| PublicKey::of(&signing(51)))
}

#[test]
fn what_an_agent_signs_verifies_offline() {
    let envelope = sample().sign(&signing(51)).unwrap();
    let bytes = serde_json::to_vec(&envelope).unwrap();
    let read = Provenance::open(&Envelope::read(&bytes).unwrap(), identity).unwrap();
    assert_eq!(read, sample());
    assert_eq!(read.produced(&Digest::of(b"out")).unwrap().name, "lines.txt");
    assert!(matches!(read.produced(&Digest::of(b"other")), Err(ProvenanceError::OtherArtifact(_))));
}

#[test]
fn the_statement_has_the_form_that_others_read() {
    let envelope = sample().sign(&signing(51)).unwrap();
    let statement: serde_json::Value = serde_json::from_slice(envelope.unverified_payload()).unwrap();
    let sha256 = |bytes: &[u8]| json!({"sha256": Digest::of(bytes)});
    let expected = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "lines.txt", "digest": sha256(b"out")}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:nexusmon:task:v1",
                "externalParameters": {
                    "organism": ORGANISM, "mission": MissionId::from_bits(2), "planDigest": Digest::of(b"plan"),
                    "task": "count", "itemIndex": null, "capability": "shell.run",
                    "parametersDigest": Digest::of(b"{}"),
                },
                "internalParameters": {
                    "taskId": TaskId::from_bits(3), "fence": "2.18446744073709551614", "pluginVersion": "1.2.3",
                    "rank": "A", "sandbox": {"profile": "strict", "level": Level::L3Lite},
                    "approvals": [{
                        "subject": "mission_plan", "digest": Digest::of(b"plan"), "person": principal(2),
                        "key": cli(2).id(), "nonce": "BwcHBwcHBwcHBwcHBwcHBw",
                    }],
                },
                "resolvedDependencies": [{"name": "out.csv", "digest": sha256(b"in")}],
            },
            "runDetails": {
                "builder": {"id": format!("spiffe://{ORGANISM}/agent/{}", AgentId::from_bits(1))},
                "metadata": {
                    "invocationId": format!("{}/2.18446744073709551614", TaskId::from_bits(3)),
                    "startedOn": "2023-11-14T22:13:20.000000Z", "finishedOn": "2023-11-14T22:13:21.500000Z",
                },
                "byproducts": [{"name": "log", "digest": sha256(b"log")}],
            },
        },
    });
    assert_eq!(statement, expected);
}

#[test]
fn an_agent_speaks_for_itself_only() {
    // Another agent's key, and an agent nobody knows.
    let forged = sample().sign(&signing(52)).unwrap();
    assert!(matches!(
        Provenance::open(&forged, identity),
        Err(ProvenanceError::Envelope(EnvelopeError::NotSigned))
    ));
    let stranger = Provenance { agent: AgentId::from_bits(9), ..sample() }.sign(&signing(51)).unwrap();
    assert!(matches!(Provenance::open(&stranger, identity), Err(ProvenanceError::UnknownAgent(_))));
    let long = Provenance { artifacts: vec![sample().artifacts[0].clone(); MAX_LIST + 1], ..sample() };
    assert!(long.sign(&signing(51)).is_none());
}

#[test]
fn statements_that_contradict_themselves_are_refused() {
    let payload = sample().sign(&signing(51)).unwrap().unverified_payload().to_vec();
    let text = String::from_utf8(payload).unwrap();
    let open = |text: String| {
        let envelope = Envelope::sign(PAYLOAD_TYPE, text.into_bytes(), &signing(51));
        Provenance::open(&envelope, identity).unwrap_err()
    };
    let organism = ORGANISM.to_string();
    for (from, to) in [
        ("https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v2"),
        ("https://slsa.dev/provenance/v1", "https://slsa.dev/provenance/v2"),
        ("urn:nexusmon:task:v1", "urn:nexusmon:task:v2"),
    ] {
        assert!(matches!(open(text.replace(from, to)), ProvenanceError::OtherKind(_)), "{from}");
    }
    for (from, to) in [
        (format!("spiffe://{organism}/agent/"), format!("spiffe://{organism}/other/")),
        ("\"invocationId\":\"".to_owned(), "\"invocationId\":\"x".to_owned()),
        ("\"fence\":\"2.".to_owned(), "\"fence\":\"02.".to_owned()),
        ("\"name\":\"log\"".to_owned(), "\"name\":\"lag\"".to_owned()),
    ] {
        assert!(matches!(open(text.replace(&from, &to)), ProvenanceError::Value(_)), "{from}");
    }
    assert!(matches!(open("{}".to_owned()), ProvenanceError::Statement(_)));
}

proptest! {
    // Curves without optimization are slow.
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_changed_bit_is_refused(bit: usize) {
        let envelope = sample().sign(&signing(51)).unwrap();
        let mut bytes = serde_json::to_vec(&envelope).unwrap();
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(read) = Envelope::read(&bytes) {
            // The key id is a hint and not covered; everything that is said is.
            prop_assert!(Provenance::open(&read, identity).map_or(true, |provenance| provenance == sample() && read.signatures[0].keyid != envelope.signatures[0].keyid));
        }
    }

    #[test]
    fn outside_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(statement::read(&bytes).is_err());
    }
}
