//! Round trips for what we say, and totality for what others say.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use prop::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use prost::Message as _;

use super::{Problem, WireError, proto};
use crate::attempt::{AttemptRef, Fence};
use crate::capability::Capability;
use crate::digest::Digest;
use crate::id::{AgentId, InviteId, JournalId, OrganismId, TaskId};
use crate::message::*;
use crate::outcome::{Cause, Ending, ProducedArtifact, Refusal, Report};
use crate::rank::Rank;
use crate::sandbox::Level;
use crate::selector::Labels;
use crate::time::Timestamp;

fn attempt() -> impl Strategy<Value = AttemptRef> {
    (any::<u128>(), any::<u32>(), any::<u64>()).prop_map(|(task, epoch, number)| AttemptRef {
        task: TaskId::from_bits(task),
        fence: Fence { epoch, number },
    })
}

fn attempts() -> impl Strategy<Value = Vec<AttemptRef>> {
    vec(attempt(), 0..5)
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest::from_bytes)
}

fn blob() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn rank() -> impl Strategy<Value = Rank> {
    prop::sample::select(Rank::ALL.to_vec())
}

fn labels() -> impl Strategy<Value = Labels> {
    btree_map("[a-z]{1,8}", "[a-z0-9]{0,8}", 0..4)
}

fn capabilities() -> impl Strategy<Value = Vec<Capability>> {
    vec("[a-z]{1,6}\\.[a-z]{1,6}".prop_map(|text| text.parse().unwrap()), 0..3)
}

fn levels() -> impl Strategy<Value = BTreeSet<Level>> {
    btree_set(prop::sample::select(vec![Level::L0, Level::L1, Level::L2, Level::L3Lite, Level::L3]), 0..5)
}

fn facts() -> impl Strategy<Value = Facts> {
    ("[a-z.]{0,20}", "[a-z]{0,8}", any::<u32>(), any::<u64>()).prop_map(
        |(hostname, os, cpus, memory_bytes)| Facts {
            hostname,
            arch: os.clone(),
            build: "0.1.0".into(),
            os,
            cpus,
            memory_bytes,
        },
    )
}

fn range() -> impl Strategy<Value = ProtocolRange> {
    (any::<u32>(), any::<u32>()).prop_map(|(a, b)| ProtocolRange { lowest: a.min(b), highest: a.max(b) })
}

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        btree_map("[a-z]{1,6}", any::<i32>(), 0..4).prop_map(|outputs| Ending::Succeeded {
            outputs: outputs.into_iter().map(|(key, value)| (key, value.into())).collect(),
        }),
        any::<i32>().prop_map(|code| Ending::Failed { cause: Cause::ExitStatus { code } }),
        "\\PC{0,20}".prop_map(|detail| Ending::Failed { cause: Cause::PluginError { detail } }),
        Just(Ending::Cancelled),
        Just(Ending::Returned),
        Just(Ending::Unknown),
        prop::sample::select(vec![
            Refusal::LocalPolicy,
            Refusal::MissingConsent,
            Refusal::BadSignature,
            Refusal::BadProof,
            Refusal::ParametersDiffer,
            Refusal::SelectorDiffers,
            Refusal::UnknownCapability,
            Refusal::SandboxUnavailable,
            Refusal::Draining,
            Refusal::ParametersInvalid,
        ])
        .prop_map(|reason| Ending::Refused { reason, detail: "why".into() }),
    ]
}

fn report() -> impl Strategy<Value = Report> {
    let artifact = ("[a-z/]{1,9}", digest(), any::<u64>()).prop_map(|(name, digest, size)| {
        ProducedArtifact { name, digest, size, media_type: "text/plain".into(), withheld: false }
    });
    let level = prop::option::of(prop::sample::select(vec![Level::L0, Level::L3Lite, Level::L3]));
    let started = prop::option::of((1_i64..).prop_map(Timestamp::from_micros));
    (attempt(), ending(), started, any::<i64>(), vec(artifact, 0..3), any::<u64>(), level).prop_map(
        |(attempt, ending, started_at, finished, artifacts, log_bytes, sandbox_level)| Report {
            attempt,
            ending,
            started_at,
            finished_at: Timestamp::from_micros(finished),
            artifacts,
            log_bytes,
            sandbox_level,
            provenance: None,
        },
    )
}

fn events() -> impl Strategy<Value = Events> {
    let started = (attempt(), any::<i64>())
        .prop_map(|(attempt, at)| Started { attempt, at: Timestamp::from_micros(at) });
    let progress = (attempt(), prop::option::of(0.0..=1.0), "\\PC{0,20}")
        .prop_map(|(attempt, fraction, text)| Progress { attempt, fraction, text });
    (attempts(), vec(started, 0..4), vec(progress, 0..4), vec(report(), 0..4), any::<u32>()).prop_map(
        |(accepted, started, progress, finished, credit)| Events {
            accepted,
            started,
            progress,
            finished,
            credit,
        },
    )
}

fn hello() -> impl Strategy<Value = Hello> {
    let held = (attempt(), any::<bool>(), any::<bool>())
        .prop_map(|(attempt, started, finished)| HeldAttempt { attempt, started, finished });
    let policy = (rank(), capabilities(), any::<bool>()).prop_map(|(max_rank, capabilities, signed)| {
        LocalPolicy { max_rank, capabilities, unsigned_consent: !signed }
    });
    let manifest = serde_json::from_value(serde_json::json!({
        "name": "shell", "version": "1", "capabilities": [{"name": "shell.run", "params": {"type": "object"}}],
    }));
    let manifest: crate::manifest::Manifest = manifest.unwrap();
    let who = (range(), labels(), any::<u32>(), levels(), any::<u128>(), facts());
    (who, vec(held, 0..4), policy, any::<bool>(), 0_usize..3, any::<u64>()).prop_map(
        move |(
            (protocol, labels, slots, sandbox_levels, journal, facts),
            held,
            local_policy,
            paused,
            plugins,
            roster,
        )| {
            Hello {
                protocol,
                build: "0.1.0".into(),
                manifests: vec![manifest.clone(); plugins],
                labels,
                slots,
                sandbox_missing: [(Level::L2, "no bubblewrap".to_owned())].into(),
                sandbox_levels,
                journal: JournalId::from_bits(journal),
                held,
                local_policy,
                paused,
                facts,
                checkpoint_size: u64::from(slots) * 7,
                authority: (slots % 2 == 0).then(|| Digest::of(&slots.to_be_bytes())),
                authorities: slots % 3,
                spawns: slots % 2 == 1,
                roster,
            }
        },
    )
}

fn order() -> impl Strategy<Value = Order> {
    let input = ("[a-z]{1,8}", digest(), any::<u64>()).prop_map(|(name, digest, size)| OrderInput {
        name,
        digest,
        size,
    });
    let place = (attempt(), any::<u32>(), digest(), blob(), any::<u64>(), vec(digest(), 0..17));
    let values = (prop::option::of(any::<u32>()), prop::option::of(blob()), vec(input, 0..3), rank());
    let used = (blob(), vec(blob(), 0..3), blob(), any::<u64>(), vec(digest(), 0..17), blob()).prop_map(
        |(standing, decisions, open_leaf, size, proof, inputs)| {
            Box::new(StandingUse { standing, decisions, open_leaf, size, proof, inputs })
        },
    );
    let spawned = (blob(), blob(), any::<u64>(), vec(digest(), 0..17)).prop_map(
        |(signed, parent_leaf, parent_index, parent_proof)| {
            Box::new(SpawnedUse { signed, parent_leaf, parent_index, parent_proof })
        },
    );
    (place, values, vec(blob(), 0..3), prop::option::of(used), prop::option::of(spawned)).prop_map(
        |(
            (attempt, attempt_number, plan_digest, leaf, leaf_index, proof),
            (item_index, parameters, inputs, rank),
            decisions,
            standing,
            spawned,
        )| Order {
            attempt,
            attempt_number,
            plan_digest,
            leaf,
            leaf_index,
            proof,
            item_index,
            parameters,
            inputs,
            rank,
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
            idempotency_key: "key".into(),
            decisions,
            standing,
            spawned,
        },
    )
}

fn certificate() -> impl Strategy<Value = CertificateIssued> {
    (vec(blob(), 2..4), any::<u64>())
        .prop_map(|(chain, join_counter)| CertificateIssued { chain, join_counter })
}

fn halt_level() -> impl Strategy<Value = HaltLevel> {
    prop::sample::select(std::vec![HaltLevel::None, HaltLevel::Halt, HaltLevel::Stop])
}

fn agent_message() -> impl Strategy<Value = AgentMessage> {
    prop_oneof![
        hello().prop_map(|hello| AgentMessage::Hello(Box::new(hello))),
        (any::<u64>(), any::<u32>(), any::<u64>(), any::<u32>()).prop_map(
            |(number, load_percent, memory_free_bytes, credit)| AgentMessage::Heartbeat(Heartbeat {
                number,
                load_percent,
                memory_free_bytes,
                credit
            })
        ),
        events().prop_map(AgentMessage::Events),
        Just(AgentMessage::CapabilitiesChanged(Vec::new())),
        "\\PC{0,20}".prop_map(|reason| AgentMessage::DrainRequested { reason }),
        (blob(), any::<Option<u64>>())
            .prop_map(|(csr, join_counter)| AgentMessage::CertificateRequest { csr, join_counter }),
        (halt_level(), any::<u64>(), any::<u32>())
            .prop_map(|(level, number, running)| AgentMessage::HaltAck(HaltAck { level, number, running })),
        (any::<u64>(), ".{0,80}", ".{0,80}")
            .prop_map(|(size, line, alarm)| AgentMessage::Cosignature(Cosignature { size, line, alarm })),
        (any::<u128>(), blob())
            .prop_map(|(task, signed)| AgentMessage::Spawn(Spawn { task: TaskId::from_bits(task), signed })),
    ]
}

fn welcome() -> impl Strategy<Value = Welcome> {
    (any::<u64>(), any::<u32>(), labels(), rank(), attempts(), any::<bool>()).prop_map(
        |(session, epoch, labels, max_rank, stale, draining)| Welcome {
            session,
            epoch,
            protocol: PROTOCOL,
            lease: LEASE,
            heartbeat: HEARTBEAT,
            labels,
            max_rank,
            stale,
            warning: String::new(),
            prefetch: 7,
            draining,
        },
    )
}

fn coordinator_message() -> impl Strategy<Value = CoordinatorMessage> {
    use CoordinatorMessage as Message;
    prop_oneof![
        welcome().prop_map(|welcome| Message::Welcome(Box::new(welcome))),
        (digest(), blob(), digest(), any::<u64>()).prop_map(|(digest, header, tasks_root, size)| {
            Message::Plan(PlanNotice { decisions: vec![header.clone()], digest, header, tasks_root, size })
        }),
        (any::<u64>(), any::<u64>(), vec(order(), 0..4)).prop_map(|(heartbeat_number, session, orders)| {
            Message::Orders(Orders { heartbeat_number, session, orders })
        }),
        any::<u64>().prop_map(|heartbeat_number| Message::Renewed { heartbeat_number }),
        attempts().prop_map(Message::Ack),
        (attempts(), any::<u64>()).prop_map(|(attempts, millis)| {
            Message::Cancel(Cancel { attempts, grace: Duration::from_millis(millis) })
        }),
        attempts().prop_map(Message::Recall),
        any::<bool>().prop_map(|on| Message::Drain { on }),
        certificate().prop_map(Message::Certificate),
        "[a-z]{1,12}".prop_map(|code| Message::Goodbye(Goodbye {
            code: GoodbyeCode::parse(&code),
            detail: "why".into()
        })),
        capabilities().prop_map(|disabled_capabilities| Message::Flags { disabled_capabilities }),
        (halt_level(), any::<u64>()).prop_map(|(level, number)| Message::Halt(HaltNotice { level, number })),
        (".{0,80}", ".{0,80}", any::<u64>(), vec(digest(), 0..9), vec(".{0,40}", 0..4)).prop_map(
            |(note, key, from, proof, cosignatures)| {
                let restores = cosignatures.iter().map(|text: &String| text.clone().into()).collect();
                let restore_proof = proof.iter().rev().copied().collect();
                Message::Checkpoint(Box::new(CheckpointNotice {
                    note,
                    key,
                    from,
                    proof,
                    cosignatures,
                    restores,
                    restore_proof,
                }))
            }
        ),
        vec((digest(), any::<i64>()), 0..4).prop_map(|told| {
            let one =
                |(digest, micros)| RevokedApproval { digest, expires_at: Timestamp::from_micros(micros) };
            Message::RevokedStanding(told.into_iter().map(one).collect())
        }),
        vec((vec(any::<u8>(), 0..40), vec(any::<u8>(), 0..40)), 0..4).prop_map(|told| {
            let one = |(certificate, vouched): (Vec<u8>, Vec<u8>)| AuthorityNotice {
                certificate: certificate.into(),
                vouched: vouched.into(),
            };
            Message::Authorities(told.into_iter().map(one).collect())
        }),
    ]
}

/// Through the encoded bytes and back.
fn there_and_back<T, W>(value: T) -> Result<T, WireError>
where
    W: From<T> + prost::Message + Default,
    T: TryFrom<W, Error = WireError>,
{
    let bytes = W::from(value).encode_to_vec();
    W::decode(bytes.as_slice()).expect("what we encode can be decoded").try_into()
}

proptest! {
    #[test]
    fn agent_messages_round_trip(message in agent_message()) {
        prop_assert_eq!(there_and_back::<_, proto::AgentMessage>(message.clone()), Ok(message));
    }

    #[test]
    fn coordinator_messages_round_trip(message in coordinator_message()) {
        prop_assert_eq!(there_and_back::<_, proto::CoordinatorMessage>(message.clone()), Ok(message));
    }

    /// Batches are cut by this estimate, so it must never be below the truth.
    #[test]
    fn the_size_of_an_order_is_estimated_from_above(order in order()) {
        let hint = order.size_hint();
        let batch = proto::Orders { heartbeat_number: 0, session: 0, orders: std::vec![order.into()] };
        prop_assert!(batch.encoded_len() <= hint, "{} > {hint}", batch.encoded_len());
    }

    #[test]
    fn enrollment_round_trips(
        bits: u128, key: [u8; 32], mac: [u8; 32], csr in blob(), facts in facts(), protocol in range(),
        certificate in certificate(), labels in labels(), max_rank in rank(), join_counter: u64,
    ) {
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&key);
        let join = JoinRequest {
            protocol, invite: InviteId::from_bits(bits), csr: csr.clone(), identity_key: key, sealing_key: mac,
            sealing_key_signature: signature, facts, mac,
        };
        prop_assert_eq!(there_and_back::<_, proto::JoinRequest>(join.clone()), Ok(join));
        let joined = JoinResponse {
            agent: AgentId::from_bits(bits), name: "nas".parse().unwrap(), organism: OrganismId::from_bits(!bits),
            certificate, labels, max_rank, owner_key: key, log_key: "key".to_owned(), checkpoint: "note".to_owned(),
        };
        prop_assert_eq!(there_and_back::<_, proto::JoinResponse>(joined.clone()), Ok(joined));
        let renew =
            RenewRequest { agent: AgentId::from_bits(bits), challenge: mac, csr, join_counter, signature };
        prop_assert_eq!(there_and_back::<_, proto::RenewRequest>(renew.clone()), Ok(renew));
    }

    #[test]
    fn transfer_round_trips(
        attempt in attempt(), offset in 0..u64::MAX / 2, lengths in vec(0_u32..100, 0..5), digest in digest(),
        last: bool, refused in prop::option::of("[a-z]{1,9}"),
    ) {
        let size: u32 = lengths.iter().sum();
        let chunk = LogChunk {
            attempt, offset, size, last,
            data: std::vec![7; size as usize].into(), compressed: false, at: Timestamp::from_micros(3),
            runs: lengths.iter().map(|&length| LogRun { source: LogSource::Stderr, length }).collect(),
        };
        prop_assert_eq!(there_and_back::<_, proto::LogChunk>(chunk.clone()), Ok(chunk));
        let ack = LogAck { attempt, received: offset, stored: offset / 2, sealed: last, refused: refused.clone() };
        prop_assert_eq!(there_and_back::<_, proto::LogAck>(ack.clone()), Ok(ack));
        let answers = std::vec![
            OfferAnswer::Present,
            OfferAnswer::Send { offset },
            OfferAnswer::Refused { reason: refused.unwrap_or_else(|| "large".into()) },
        ];
        prop_assert_eq!(there_and_back::<_, proto::OfferResponse>(answers.clone()), Ok(answers));
        let start = UploadMessage::Start(UploadStart { attempt, digest, size: offset, offset: offset / 2 });
        prop_assert_eq!(there_and_back::<_, proto::UploadMessage>(start.clone()), Ok(start));
    }

    #[test]
    fn outside_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        any_message(&bytes);
    }

    /// Damage that still decodes reaches further than noise does.
    #[test]
    fn damaged_messages_never_panic(
        agent in agent_message(), coordinator in coordinator_message(), at: usize, byte: u8,
    ) {
        for mut bytes in [
            proto::AgentMessage::from(agent).encode_to_vec(),
            proto::CoordinatorMessage::from(coordinator).encode_to_vec(),
        ] {
            let length = bytes.len();
            if length > 0 {
                bytes[at % length] = byte;
            }
            any_message(&bytes);
        }
    }
}

/// Reads the bytes as every message there is.
fn any_message(bytes: &[u8]) {
    macro_rules! read {
        ($($wire:ident => $plain:ty),* $(,)?) => {$(
            if let Ok(message) = proto::$wire::decode(bytes) {
                let _ = <$plain>::try_from(message);
            }
        )*};
    }
    read! {
        AgentMessage => AgentMessage, CoordinatorMessage => CoordinatorMessage, Hello => Hello, Events => Events,
        Finished => Report, Orders => Orders, Plan => PlanNotice, Welcome => Welcome, JoinRequest => JoinRequest,
        JoinResponse => JoinResponse, CertificateIssued => CertificateIssued, ChallengeRequest => ChallengeRequest,
        ChallengeResponse => ChallengeResponse, RenewRequest => RenewRequest, LogChunk => LogChunk, LogAck => LogAck,
        OfferRequest => Offer, OfferResponse => Vec<OfferAnswer>, UploadMessage => UploadMessage,
        UploadDone => UploadDone, DownloadRequest => DownloadRequest,
    }
}

fn finished() -> proto::Finished {
    proto::Finished {
        attempt: Some(proto::AttemptRef { task_id: vec_of(1, 16), fence: Some(proto::Fence::default()) }),
        ending: Some(proto::finished::Ending::Cancelled(proto::Empty {})),
        ..proto::Finished::default()
    }
}

fn vec_of(byte: u8, length: usize) -> Bytes {
    std::vec![byte; length].into()
}

#[test]
fn errors_name_the_field() {
    let mut short = finished();
    short.attempt.as_mut().unwrap().task_id = vec_of(1, 15);
    let events = proto::Events { finished: std::vec![finished(), short], ..proto::Events::default() };
    let message = proto::AgentMessage { kind: Some(proto::agent_message::Kind::Events(events)) };
    let error = AgentMessage::try_from(message).unwrap_err();
    assert_eq!(error.field(), "events.finished[1].attempt.task_id");
    assert_eq!(*error.problem(), Problem::Length { expected: 16, found: 15 });
    assert_eq!(error.to_string(), "`events.finished[1].attempt.task_id`: is 15 bytes, expected 16");
    assert_eq!(tonic::Status::from(error).code(), tonic::Code::InvalidArgument);
}

#[test]
fn limits_hold() {
    let too_many = proto::Events { finished: std::vec![finished(); 501], ..proto::Events::default() };
    let error = Events::try_from(too_many).unwrap_err();
    assert_eq!(*error.problem(), Problem::TooLarge { limit: 500, found: 501 });

    let large = Bytes::from(format!("{{\"a\":\"{}\"}}", "x".repeat(crate::plan::MAX_OUTPUT_BYTES)));
    let outputs = proto::Finished { ending: Some(proto::finished::Ending::Succeeded(large)), ..finished() };
    assert_eq!(Report::try_from(outputs).unwrap_err().field(), "succeeded");

    let deep = Bytes::from("[".repeat(100_000));
    let outputs = proto::Finished { ending: Some(proto::finished::Ending::Succeeded(deep)), ..finished() };
    assert_eq!(Report::try_from(outputs).unwrap_err().field(), "succeeded");

    for name in ["", "..", "a/b", "a\\b", "a\0b"] {
        let input = proto::OrderInput { name: name.into(), digest: vec_of(1, 32), size: 1 };
        assert_eq!(OrderInput::try_from(input).unwrap_err().field(), "name", "{name:?}");
    }
}

#[test]
fn what_a_newer_build_says_is_told_from_what_is_wrong() {
    let unknown = AgentMessage::try_from(proto::AgentMessage { kind: None }).unwrap_err();
    assert!(unknown.is_unknown());
    let ending = Report::try_from(proto::Finished { ending: None, ..finished() }).unwrap_err();
    assert!(ending.is_unknown());
    let missing = Report::try_from(proto::Finished { attempt: None, ..finished() }).unwrap_err();
    assert!(!missing.is_unknown());
    let halt = proto::coordinator_message::Kind::Halt(proto::Halt { level: "freeze".into(), number: 3 });
    let halt = CoordinatorMessage::try_from(proto::CoordinatorMessage { kind: Some(halt) });
    assert_eq!(
        halt,
        Ok(CoordinatorMessage::Halt(HaltNotice { level: HaltLevel::Stop, number: 3 })),
        "taken for the gravest"
    );
}

/// The large parts of an order are shared with the message they came in, not copied.
#[test]
fn leaves_are_not_copied() {
    let leaf = vec_of(7, 1000);
    let order = proto::Order {
        attempt: Some(proto::AttemptRef { task_id: vec_of(1, 16), fence: Some(proto::Fence::default()) }),
        plan_digest: vec_of(1, 32),
        leaf: leaf.clone(),
        rank: "E".into(),
        ..proto::Order::default()
    };
    let read = Order::try_from(order).unwrap();
    assert_eq!(read.leaf.as_ptr(), leaf.as_ptr());
    let written = proto::Order::from(read);
    assert_eq!(written.leaf.as_ptr(), leaf.as_ptr());
    assert_eq!(written.rank, "E");
}
