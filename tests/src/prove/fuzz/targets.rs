//! Total functions over bytes: whatever comes, they answer. True means that the bytes were taken for something.

use nexusmon_core::expression::{Context, Expression};
use nexusmon_core::planning;
use nexusmon_core::trigger::{self, Timetable};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::join_token::JoinToken;
use nexusmon_shared::manifest::Manifest;
use nexusmon_shared::message::{AgentMessage, CoordinatorMessage, JoinRequest, LogChunk};
use nexusmon_shared::schema::Schema;
use nexusmon_shared::time::{Span, Timestamp};
use nexusmon_shared::trust::passkey::{Assertion, CredentialKey, Passkey, Registration};
use nexusmon_shared::trust::plan_digest;
use nexusmon_shared::wire::proto;
use prost::Message as _;
use serde_json::{Map, Value, json};

/// One parser.
pub(super) struct Target {
    pub(super) name: &'static str,
    /// Good bytes to begin with.
    pub(super) seeds: fn() -> Vec<Vec<u8>>,
    pub(super) run: fn(&[u8]) -> bool,
}

/// Each input takes milliseconds: signatures are checked.
pub(super) const COSTLY: [&str; 1] = ["audit-export"];
pub(super) const COUNT: u32 = 33;

/// Every parser of bytes that come from outside.
pub(super) const TARGETS: [Target; COUNT as usize] = [
    Target { name: "mission-json", seeds: missions, run: mission_json },
    Target { name: "mission-yaml", seeds: yaml, run: mission_yaml },
    Target { name: "expression", seeds: expressions, run: expression },
    Target { name: "join-token", seeds: tokens, run: join_token },
    Target { name: "manifest", seeds: manifests, run: manifest },
    Target { name: "plugin-manifest", seeds: manifests, run: nexusmon_agent::plugins::fuzzing::manifest },
    Target {
        name: "plugin-declaration",
        seeds: declarations,
        run: nexusmon_agent::plugins::fuzzing::declaration,
    },
    Target { name: "egress-request", seeds: requests, run: nexusmon_agent::egress::fuzzing::request },
    Target { name: "egress-host", seeds: hosts, run: nexusmon_agent::egress::fuzzing::host },
    Target { name: "plugin-line", seeds: lines, run: nexusmon_agent::plugins::fuzzing::line },
    Target { name: "journal", seeds: journals, run: nexusmon_agent::journal::fuzzing::replay },
    Target { name: "agent-message", seeds: agent_messages, run: agent_message },
    Target { name: "coordinator-message", seeds: coordinator_messages, run: coordinator_message },
    Target { name: "log-chunk", seeds: log_chunks, run: log_chunk },
    Target { name: "join-request", seeds: Vec::new, run: join_request },
    Target { name: "proof", seeds: proofs, run: proof },
    Target { name: "json-schema", seeds: schemas, run: schema },
    Target { name: "cursor-and-range", seeds: ranges, run: nexusmon_coordinator::http::fuzzing::query },
    Target { name: "access-token", seeds: jwts, run: nexusmon_coordinator::service::auth::fuzzing::token },
    Target { name: "passkey", seeds: passkeys, run: passkey },
    Target {
        name: "id-token",
        seeds: id_tokens,
        run: nexusmon_coordinator::service::auth::fuzzing::id_token,
    },
    Target {
        name: "push-subscription",
        seeds: subscriptions,
        run: nexusmon_coordinator::service::push::fuzz,
    },
    Target { name: "playbook", seeds: playbooks, run: playbook },
    Target { name: "signed-documents", seeds: documents, run: document },
    Target { name: "audit-export", seeds: exports, run: export },
    Target { name: "provenance", seeds: provenances, run: provenance },
    Target { name: "secret-binding", seeds: bindings, run: secret_binding },
    Target { name: "schedule", seeds: schedules, run: schedule },
    Target { name: "model-answer", seeds: answers, run: answer },
    Target {
        name: "webhook-call",
        seeds: calls,
        run: nexusmon_coordinator::service::triggers::webhooks::fuzzing::delivery,
    },
    Target { name: "notification", seeds: notifications, run: notification },
    Target { name: "companion-question", seeds: questions, run: question },
    Target { name: "names-and-times", seeds: names, run: names_and_times },
];

fn notifications() -> Vec<Vec<u8>> {
    let rule = json!({"kinds": ["approval", "failure"], "rank": "B", "labels": {"team": "web"}, "digest": "30m",
        "quiet": {"from": "22:00", "to": "07:00", "time_zone": "Europe/Berlin"},
        "escalate": {"after": "15m", "channel": "chn_01jzzzzzzzzzzzzzzzzzzzzzzz"}});
    let replies = "250-mail.example greets\r\n250-AUTH PLAIN LOGIN\r\n250 STARTTLS\r\n".to_owned();
    [rule.to_string(), replies, "nexusmon@example.org".to_owned()]
        .into_iter()
        .map(String::into_bytes)
        .collect()
}

/// Rules of notifications, and what a mail server says.
fn notification(bytes: &[u8]) -> bool {
    let rule = serde_json::from_slice::<nexusmon_core::notification::Rule>(bytes).ok();
    let followed = rule.is_some_and(|rule| {
        let at = Timestamp::from_micros(1_900_000_000_000_000);
        rule.check().is_ok() && rule.due(at).at >= at
    });
    nexusmon_coordinator::outward::fuzz(bytes) || followed
}

fn questions() -> Vec<Vec<u8>> {
    let asked = [
        "why is mis_01jzzzzzzzzzzzzzzzzzzzzzzz waiting?",
        "what changed in 3 hours",
        "draft a mission that counts",
        "compare mis_01jzzzzzzzzzzzzzzzzzzzzzzz with this",
        "what is new since 2031-05-01?",
    ];
    asked.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Questions to the companion: every text is one, if only one without an answer.
fn question(bytes: &[u8]) -> bool {
    use nexusmon_core::companion::{Intent, read};
    let now = Timestamp::from_micros(1_900_000_000_000_000);
    match read(&String::from_utf8_lossy(bytes), now) {
        Intent::Unknown => false,
        Intent::ChangedSince(since) => {
            assert!(since <= now, "the future has changed");
            true
        }
        _ => true,
    }
}

fn schedules() -> Vec<Vec<u8>> {
    let body = json!({"name": "nightly", "cron": "30 3 * * 1-5", "time_zone": "Europe/Berlin", "jitter": "5m",
        "playbook": "backup@2", "inputs": {"day": "${{ trigger.date }}"}});
    let hook = json!({"name": "push", "format": "github", "events": ["push"], "playbook": "build",
        "inputs": {"ref": "${{ trigger.body.ref }}"}});
    let lines = [body.to_string(), hook.to_string(), "0 0 29 2 *".to_owned(), "*/5 1-3 LW * 5#2".to_owned()];
    lines.into_iter().map(String::into_bytes).collect()
}

/// Bodies of schedules and webhooks, cron lines, and the values of a firing.
fn schedule(bytes: &[u8]) -> bool {
    let mut taken = false;
    if let Ok(value) = serde_json::from_slice::<Value>(bytes) {
        if let Ok(new) = trigger::parse_schedule(&value) {
            taken = true;
            let _ = new.work.filled(&json!({"due": "x", "date": value}));
        }
        if let Ok(new) = trigger::parse_webhook(&value) {
            taken = true;
            let _ = new.work.filled(&json!({"body": value, "event": null}));
        }
    }
    let text = String::from_utf8_lossy(bytes);
    if let Ok(timetable) = Timetable::parse(&text, "Europe/Berlin") {
        taken = true;
        let at = Timestamp::from_micros(1_900_000_000_000_000);
        let next = timetable.next_after(at);
        assert!(next.is_none_or(|next| next > at), "time goes on");
        assert!(timetable.last_until(at).is_none_or(|last| last <= at), "the past lies behind");
    }
    let _ = Timetable::parse("@daily", &text);
    taken
}

fn answers() -> Vec<Vec<u8>> {
    let plan = json!({"answer": "plan", "summary": "s", "tasks": [{"id": "t", "uses": "shell.run", "with": {"script": "x"}}]});
    let used = json!({"type": "tool_use", "name": "plan", "input": plan});
    let chosen = json!({"message": {"content": plan.to_string()}, "finish_reason": "stop"});
    let bodies = [
        json!({"content": [used], "stop_reason": "tool_use", "usage": {"input_tokens": 1}}),
        json!({"choices": [chosen], "usage": {"completion_tokens": 2}}),
        json!({"message": {"content": format!("```json\n{plan}\n```")}, "done_reason": "stop", "eval_count": 3}),
    ];
    bodies.iter().map(|body| body.to_string().into_bytes()).collect()
}

/// What a model's endpoint says, and what it hands in; the words of a goal that matches nothing.
fn answer(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let _ = (planning::match_playbook(&text, &[]), planning::changes(&text, "count the boxes"));
    let handed = nexusmon_coordinator::models::fuzz(bytes);
    handed.iter().any(|value| planning::parse_answer(value).is_ok())
}

fn calls() -> Vec<Vec<u8>> {
    vec![b"whsec_AAAA\nsha256=00".to_vec(), b"whsec_AAAA\nv1,AAAA v1,BBBB".to_vec(), b"k\nk".to_vec()]
}

fn provenances() -> Vec<Vec<u8>> {
    let envelope = json!({"payloadType": "application/vnd.in-toto+json", "payload": "eyJfdHlwZSI6ICJodHRwczovL2luLXRvdG8uaW8vU3RhdGVtZW50L3YxIn0=",
        "signatures": [{"sig": "AAAA"}]});
    vec![envelope.to_string().into_bytes()]
}

/// An agent's envelope, and what a statement says without regard to who signed it.
fn provenance(bytes: &[u8]) -> bool {
    use nexusmon_shared::trust::{dsse::Envelope, provenance::Provenance};
    Envelope::read(bytes).is_ok_and(|envelope| {
        let _ = Provenance::open(&envelope, |_| None);
        true
    })
}

fn bindings() -> Vec<Vec<u8>> {
    vec![json!({"playbooks": ["deploy"], "hosts": ["api.example.org"]}).to_string().into_bytes()]
}

fn secret_binding(bytes: &[u8]) -> bool {
    serde_json::from_slice::<nexusmon_core::secrets::Binding>(bytes)
        .is_ok_and(|binding| binding.check().is_ok() && !binding.scope().is_empty())
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn mission_json(bytes: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
        return nexusmon_coordinator::service::missions::NewMission::parse(bytes).is_ok();
    };
    let _ = planning::parse_tasks(&value);
    planning::parse_mission(&value).is_ok()
}

fn playbooks() -> Vec<Vec<u8>> {
    let playbook = json!({
        "name": "p", "goal": "x ${{ inputs.a }}",
        "input_schema": {"properties": {"a": {"type": "string", "default": "b"}}},
        "tasks": [{"id": "t", "uses": "shell.run", "if": "inputs.a == 'b'", "with": {"script": "x", "env": {"A": "${{ inputs.a }}"}},
            "accept": {"with": {"env": true}}}]
    });
    vec![playbook.to_string().into_bytes()]
}

/// A playbook, its inputs, and a mission made of it.
fn playbook(bytes: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return false };
    let Ok(playbook) = planning::parse_playbook(&value) else { return false };
    let _ = planning::unfilled(&playbook.mission);
    planning::complete_inputs(&playbook.input_schema, &Map::new())
        .is_ok_and(|inputs| planning::fill(&playbook.mission, &inputs).is_ok())
}

fn documents() -> Vec<Vec<u8>> {
    let organism = nexusmon_shared::id::OrganismId::from_bits(1);
    let proposal = json!({"organism": organism, "at": Timestamp::from_micros(1), "comment": "c",
        "act": {"kind": "halt_release", "number": 1}});
    let standing = json!({"organism": organism, "author": {"kind": "planner", "id": "model"},
        "shape": Digest::of(b"s"), "input_schema": true, "selector": {}, "max_rank": "A",
        "expires_at": Timestamp::from_micros(1), "uses": 1});
    let canonical = |value: &Value| nexusmon_shared::trust::canonical::of_value(value).unwrap_or_default();
    let record =
        json!({"organism": organism, "old_epoch": 1, "new_epoch": 2, "size": 3, "root": Digest::of(b"r")});
    let signature =
        json!({"key": Digest::of(b"k"), "proof": {"kind": "ed25519", "signature": "A".repeat(86) + "=="}});
    let restore = json!({"record": record, "signature": signature});
    [proposal, standing, restore].iter().map(|value| canonical(value).into_bytes()).collect()
}

/// What people and agents sign beside plans.
fn document(bytes: &[u8]) -> bool {
    use nexusmon_shared::trust::approval::{Proposal, SignedDecision, StandingApproval};
    use nexusmon_shared::trust::checkpoint::SignedRestore;
    use nexusmon_shared::trust::{signable::Signable as _, spawned::SignedSpawned};
    Proposal::read(bytes).is_ok()
        || StandingApproval::read(bytes).is_ok()
        || SignedRestore::read(bytes).is_ok()
        || SignedDecision::read(bytes).is_ok()
        || SignedSpawned::read(bytes).is_ok_and(|read| !read.document.to_sign().is_empty())
}

fn exports() -> Vec<Vec<u8>> {
    vec![nexusmon_core::audit::sample::text(1, 8, 8).into_bytes()]
}

/// A file that claims to be an audit log.
fn export(bytes: &[u8]) -> bool {
    let mut verifier = nexusmon_core::audit::Verifier::new(nexusmon_core::audit::Trusted::default());
    let mut lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.try_for_each(|line| verifier.line(line)).is_ok() && verifier.finish().is_ok()
}

fn mission_yaml(bytes: &[u8]) -> bool {
    let Some(text) = text(bytes) else { return false };
    serde_yaml_ng::from_str::<Value>(text).is_ok_and(|value| planning::parse_mission(&value).is_ok())
}

fn expression(bytes: &[u8]) -> bool {
    let Some(text) = text(bytes) else { return false };
    let inputs = json!({"names": ["a", "b", "c"], "limit": 3, "deep": {"list": [[1], [2, 3]]}});
    let Value::Object(inputs) = inputs else { return false };
    let mut context = Context::new(inputs, Map::new());
    context.item(json!({"name": "x"}), 1);
    let Ok(expression) = Expression::parse(text) else { return false };
    let _ = (expression.references(), expression.condition(&context), expression.list(&context, 100));
    expression.evaluate(&context).is_ok()
}

fn join_token(bytes: &[u8]) -> bool {
    let Some(parsed) = text(bytes).and_then(|text| text.parse::<JoinToken>().ok()) else { return false };
    assert!(parsed.to_string().parse::<JoinToken>().is_ok(), "what was read can be written and read again");
    true
}

fn manifest(bytes: &[u8]) -> bool {
    let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) else { return false };
    let _ = nexusmon_agent::consent::Catalogue::new(&[manifest]);
    true
}

fn agent_message(bytes: &[u8]) -> bool {
    proto::AgentMessage::decode(bytes).is_ok_and(|message| AgentMessage::try_from(message).is_ok())
}

fn coordinator_message(bytes: &[u8]) -> bool {
    proto::CoordinatorMessage::decode(bytes)
        .is_ok_and(|message| CoordinatorMessage::try_from(message).is_ok())
}

fn log_chunk(bytes: &[u8]) -> bool {
    proto::LogChunk::decode(bytes).is_ok_and(|chunk| LogChunk::try_from(chunk).is_ok())
}

fn join_request(bytes: &[u8]) -> bool {
    proto::JoinRequest::decode(bytes).is_ok_and(|request| JoinRequest::try_from(request).is_ok())
}

/// Index, size, a path of digests, the rest a leaf.
fn proof(bytes: &[u8]) -> bool {
    let (Some((head, rest)), root) = (bytes.split_at_checked(17), Digest::of(b"root")) else { return false };
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default());
    let steps = usize::from(head[16]).min(rest.len() / 32);
    let (path, leaf) = rest.split_at(steps * 32);
    let path: Vec<Digest> = path
        .chunks_exact(32)
        .map(|digest| Digest::from_bytes(digest.try_into().unwrap_or_default()))
        .collect();
    let _ = plan_digest::open_header(leaf, &root, &Digest::of(leaf));
    plan_digest::open_leaf(leaf, number(&head[..8]), number(&head[8..16]), &path, &root).is_ok()
}

fn schema(bytes: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return false };
    let Ok(schema) = Schema::compile(&value) else { return false };
    let _ = (schema.check(&value), schema.accepts(&json!({"a": [1, "x", null]})));
    true
}

fn names_and_times(bytes: &[u8]) -> bool {
    let Some(text) = text(bytes) else { return false };
    let capability = text.parse::<nexusmon_shared::capability::Capability>().is_ok();
    let name = text.parse::<nexusmon_shared::name::Name>().is_ok();
    let address = text.parse::<nexusmon_shared::join_token::Address>().is_ok();
    let id = text.parse::<nexusmon_shared::id::TaskId>().is_ok();
    let digest = text.parse::<Digest>().is_ok();
    let time = text.parse::<Timestamp>().is_ok_and(|time| {
        let again = time.to_string().parse::<Timestamp>();
        assert!(again.is_ok_and(|again| again == time), "a time that was read can be written and read again");
        true
    });
    let span = text.parse::<Span>().is_ok();
    capability || name || address || id || digest || time || span
}

fn all(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn missions() -> Vec<Vec<u8>> {
    all(&[
        r#"{"goal":"g","tasks":[{"id":"a","uses":"shell.run","with":{"script":"true"}}]}"#,
        r#"{"goal":"g","rank":"B","priority":3,"start":"manual","labels":{"k":"v"},"metadata":{"x":[1]},"inputs":{"n":3},
            "budget":{"attempts":5},"tasks":[{"id":"a","uses":"shell.run","if":"inputs.n > 2","for_each":{"in":"[1,2]","max":2},
            "with":{"script":"true","env":{"A":"${{ inputs.n }}"}},"timeout":"90s","retry":{"max":2,"backoff":"5s","jitter":0.5,"on":["timeout"]},
            "sandbox":{"profile":"user","paths":[{"path":"/tmp","write":true}]},"artifacts":["**/*.txt"],"verify":"exit_code == 0",
            "limits":{"db":2},"effects":["network"],"on":{"labels":{"a":"b"}}},{"id":"b","uses":"core.noop","needs":["a"]}]}"#,
        r#"{"goal":"only a goal"}"#,
    ])
}

fn yaml() -> Vec<Vec<u8>> {
    all(&[
        "goal: g\ntasks:\n  - id: a\n    uses: shell.run\n    with: {script: \"true\"}\n",
        "goal: &g g\nlabels: {a: *g}\ntasks:\n- id: a\n  uses: core.noop\n  needs: []\n  retry:\n    max: 1\n    backoff: 5s\n",
        "---\ngoal: |\n  many\n  lines\nstart: 2031-05-01T12:00:00Z\n",
    ])
}

fn expressions() -> Vec<Vec<u8>> {
    all(&[
        "inputs.names.map(n, n + '!').filter(n, size(n) > 1)",
        "tasks.a.outputs.x == 1 && tasks.a.state == 'succeeded' || has(inputs.y)",
        "inputs.deep.list.all(l, l.exists(x, x > inputs.limit))",
        "item.name.matches('^x+$') ? 'a' : \"b\" + string(1.5)",
        "[1, 2u, 3.0, b'\\x00', null, {'a': [true]}][inputs.limit - 3]",
        "timestamp('2031-05-01T12:00:00Z') - duration('1h30m') < timestamp('2032-01-01T00:00:00Z')",
    ])
}

fn tokens() -> Vec<Vec<u8>> {
    let token = JoinToken::new(
        "host.example:7301".parse().expect("an address"),
        nexusmon_shared::id::InviteId::from_bits(7),
        [1; 32],
        Digest::of(b"ca"),
        [2; 32],
    );
    vec![token.to_string().into_bytes()]
}

fn manifests() -> Vec<Vec<u8>> {
    all(&[
        r#"{"name":"demo","version":"1.0","capabilities":[{"name":"demo.x"}]}"#,
        r##"{"name":"demo","version":"1.0","concurrency":4,"capabilities":[{"name":"demo.x","description":"d","risk_level":"C",
            "requires_approval":true,"effects":["network"],"params":{"type":"object","properties":{"a":{"type":"string","pattern":"^a+$"}}},
            "outputs":{"$ref":"#/$defs/x","$defs":{"x":{"type":"object"}}},"idempotent":true,"dry_run":false,"sandbox":"strict"}]}"##,
    ])
}

fn declarations() -> Vec<Vec<u8>> {
    all(&[
        "command = [\"python3\", \"plugin.py\"]\nprofile = \"strict\"\nenv = [\"LANG\"]\nconcurrency = 2\n",
        "command = [\"./run\"]\n",
    ])
}

fn lines() -> Vec<Vec<u8>> {
    all(&[
        r#"{"jsonrpc":"2.0","id":1,"result":{"outputs":{"a":1}}}"#,
        r#"{"jsonrpc":"2.0","id":2,"error":{"code":-32602,"message":"bad","data":"trace"}}"#,
        r#"{"jsonrpc":"2.0","method":"progress","params":{"attempt":"a","fraction":0.5,"text":"half"}}"#,
        r#"{"jsonrpc":"2.0","method":"log","params":{"attempt":"a","text":"x\n"}}"#,
        r#"{"jsonrpc":"2.0","method":"artifact","params":{"attempt":"a","path":"x/y.txt"}}"#,
    ])
}

fn requests() -> Vec<Vec<u8>> {
    vec![
        b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n".to_vec(),
        b"POST http://[fd00::5]:80/a?b#c HTTP/1.1\r\nContent-Length: 5\r\nConnection: X\r\nX: 1\r\n\r\nhello"
            .to_vec(),
    ]
}

fn hosts() -> Vec<Vec<u8>> {
    ["example.org", "*.example.org:8443", "[fd00::5]:443", "192.168.1.5:80"].map(Into::into).to_vec()
}

fn journals() -> Vec<Vec<u8>> {
    nexusmon_agent::journal::fuzzing::seeds()
}

fn encoded(message: impl Into<proto::AgentMessage>) -> Vec<u8> {
    message.into().encode_to_vec()
}

fn agent_messages() -> Vec<Vec<u8>> {
    use nexusmon_shared::attempt::{AttemptRef, Fence};
    use nexusmon_shared::message::{Events, Heartbeat, Progress, Started};
    use nexusmon_shared::outcome::{Cause, Ending, Report};
    let attempt =
        AttemptRef { task: nexusmon_shared::id::TaskId::from_bits(3), fence: Fence { epoch: 1, number: 9 } };
    let report = |ending| Report {
        attempt,
        ending,
        started_at: Some(Timestamp::from_micros(5)),
        finished_at: Timestamp::from_micros(9),
        artifacts: Vec::new(),
        log_bytes: 7,
        sandbox_level: None,
        provenance: None,
    };
    let events = Events {
        accepted: vec![attempt],
        started: vec![Started { attempt, at: Timestamp::from_micros(4) }],
        progress: vec![Progress { attempt, fraction: Some(0.5), text: "half".to_owned() }],
        finished: vec![
            report(Ending::Succeeded { outputs: Map::from_iter([("a".to_owned(), json!([1]))]) }),
            report(Ending::Failed { cause: Cause::ExitStatus { code: 2 } }),
            report(Ending::Unknown),
        ],
        credit: 4,
    };
    vec![
        encoded(AgentMessage::Events(events)),
        encoded(AgentMessage::Heartbeat(Heartbeat { number: 3, credit: 2, ..Heartbeat::default() })),
        encoded(AgentMessage::DrainRequested { reason: "r".to_owned() }),
    ]
}

fn coordinator_messages() -> Vec<Vec<u8>> {
    use nexusmon_shared::message::{Goodbye, GoodbyeCode};
    let goodbye = Goodbye { code: GoodbyeCode::Shutdown, detail: "x".to_owned() };
    [CoordinatorMessage::Goodbye(goodbye), CoordinatorMessage::Drain { on: true }]
        .into_iter()
        .map(|message| proto::CoordinatorMessage::from(message).encode_to_vec())
        .collect()
}

fn log_chunks() -> Vec<Vec<u8>> {
    vec![
        proto::LogChunk { offset: 5, data: b"line\n".to_vec().into(), ..proto::LogChunk::default() }
            .encode_to_vec(),
    ]
}

fn proofs() -> Vec<Vec<u8>> {
    let mut bytes = vec![0_u8; 17 + 64];
    bytes[8] = 4;
    bytes[16] = 2;
    bytes.extend_from_slice(br#"{"id":"a","uses":"shell.run"}"#);
    vec![bytes]
}

fn schemas() -> Vec<Vec<u8>> {
    all(&[
        r#"{"type":"object","properties":{"a":{"type":"array","items":{"enum":[1,"x",null]},"maxItems":3}},"required":["a"]}"#,
        r##"{"$defs":{"n":{"type":"object","properties":{"next":{"$ref":"#/$defs/n"}}}},"$ref":"#/$defs/n","additionalProperties":false}"##,
        r#"{"anyOf":[{"pattern":"^(a|b)*$"},{"multipleOf":0.1},{"not":{"const":{}}}],"format":"date-time"}"#,
    ])
}

fn ranges() -> Vec<Vec<u8>> {
    all(&["bytes=0-99", "bytes=-5", "bytes=7-", "bytes=0-0,5-9", "W/\"5\"", "\"12\"", "01HZX"])
}

fn jwts() -> Vec<Vec<u8>> {
    nexusmon_coordinator::service::auth::fuzzing::seeds()
}

fn id_tokens() -> Vec<Vec<u8>> {
    all(&[
        "eyJhbGciOiJFZERTQSIsImtpZCI6IjEifQ.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOlsibmV4dXNtb24iXX0.AAAA",
    ])
}

/// Addresses, and keys as browsers give them: one a line.
fn subscriptions() -> Vec<Vec<u8>> {
    all(&[
        "https://push.example/wpush/v2/gAAAA",
        "https://[2606:4700::1111]:8443/x?y=1",
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4\nBTBZMqHH6r4Tts7J_aSIgg",
    ])
}

/// A new passkey and an answer, at a place of their own.
fn passkeys() -> Vec<Vec<u8>> {
    all(&[
        r#"{"client_data":"eyJ0eXBlIjoid2ViYXV0aG4uY3JlYXRlIiwiY2hhbGxlbmdlIjoiIiwib3JpZ2luIjoiIn0","authenticator_data":"SZYN5YgOjGh0NBcPZHZgW4_krrmihjLHmVzzuoMdl2NFAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAQAQEBAQEBAQEBAQEBAQEBAaQBAQMnIAYhWCA"}"#,
        r#"{"client_data":"eyJ0eXBlIjoid2ViYXV0aG4uZ2V0In0","authenticator_data":"SZYN5YgOjGh0NBcPZHZgW4_krrmihjLHmVzzuoMdl2MFAAAAAQ","signature":"MEUCIQ"}"#,
    ])
}

const P256_GENERATOR: &[u8] = b"\x03\x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96";

fn passkey(bytes: &[u8]) -> bool {
    let challenge = Digest::of(b"");
    let (rp, origin) = ("localhost", "http://localhost:7300");
    let mut taken = false;
    if let Ok(new) = serde_json::from_slice::<Registration>(bytes) {
        taken |= new.accept(rp, origin, &challenge).is_ok();
    }
    // The bytes as what an authenticator says, behind client data that are right.
    let client_data = |kind: &str| {
        let challenge = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
        json!({"type": kind, "challenge": challenge, "origin": origin}).to_string().into_bytes()
    };
    let new =
        Registration { client_data: client_data("webauthn.create"), authenticator_data: bytes.to_vec() };
    if let Ok((passkey, _)) = new.accept(rp, origin, &challenge) {
        assert!(passkey.is_plausible(), "what is taken can be listed");
        let answer = Assertion {
            client_data: client_data("webauthn.get"),
            authenticator_data: bytes.to_vec(),
            signature: bytes.to_vec(),
        };
        assert!(passkey.verify(&challenge, &answer).is_err(), "nobody signed this");
        taken = true;
    }
    if let Ok(answer) = serde_json::from_slice::<Assertion>(bytes) {
        let public_key = CredentialKey::es256(P256_GENERATOR).expect("a point of the curve");
        let (rp_id, origin) = (rp.to_owned(), origin.to_owned());
        let passkey = Passkey { rp_id, origin, credential_id: vec![1], public_key };
        assert!(passkey.verify(&challenge, &answer).is_err(), "nobody signed this");
        taken = true;
    }
    taken
}

fn names() -> Vec<Vec<u8>> {
    all(&[
        "shell.run",
        "agent-1",
        "[::1]:7301",
        "2031-05-01T12:00:00.000001Z",
        "1h30m",
        "PT90S",
        "127.0.0.1:1",
    ])
}
