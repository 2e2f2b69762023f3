//! Makes honest logs of any length for tests and benches: missions with tasks, some of them approved by signatures, as
//! the coordinator writes them, signed by a key that is known.

use std::collections::BTreeMap;

use nexusmon_shared::attempt::Fence;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::effects::Effects;
use nexusmon_shared::id::{AgentId, ApprovalId, AuditId, MissionId, OrganismId, PrincipalId, TaskId};
use nexusmon_shared::plan::Author;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::approval::{
    Act, Nonce, Proposal, SignedDecision, Statement, SubjectKind, Verdict,
};
use nexusmon_shared::trust::canonical;
use nexusmon_shared::trust::checkpoint::{Checkpoint, cosign, origin, witness};
use nexusmon_shared::trust::ed25519::{PublicKey, SigningKey};
use nexusmon_shared::trust::key::{KeyId, PersonKey};
use nexusmon_shared::trust::merkle::{Frontier, leaf_hash};
use nexusmon_shared::trust::note::{Algorithm, VerifierKey};
use nexusmon_shared::trust::roster::{Need, Person, Role, Roster, SignedRoster};
use nexusmon_shared::trust::signable::Signable as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use super::export::{Exporter, Header};
use super::words::{self, Openings};
use crate::policy::{AuthorKind, PolicyContext, PolicySet, Question};

pub const ORGANISM: OrganismId = OrganismId::from_bits(7);
pub const EPOCH: u32 = 1;
const AGENT: AgentId = AgentId::from_bits(11);
const AUTHOR: PrincipalId = PrincipalId::from_bits(21);
const APPROVER: PrincipalId = PrincipalId::from_bits(22);
/// 2026-01-01.
const BEGAN: i64 = 1_767_225_600_000_000;

/// The key of the log.
pub fn log_key() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

/// The key of the owner, who signs rosters.
pub fn owner_key() -> SigningKey {
    SigningKey::from_bytes(&[31; 32])
}

/// As the owner knows it.
pub fn owner_key_id() -> KeyId {
    person_key(&owner_key()).id()
}

pub(super) fn approver_key() -> SigningKey {
    SigningKey::from_bytes(&[32; 32])
}

pub(super) fn person_key(key: &SigningKey) -> PersonKey {
    PersonKey::Cli { public_key: PublicKey::of(key) }
}

/// The first roster: the owner, who writes the plans, and somebody who approves them.
pub fn roster() -> SignedRoster {
    let person = |name: &str, role, key: &SigningKey| Person {
        name: name.to_owned(),
        role,
        keys: [person_key(key)].into(),
    };
    let roster = Roster {
        organism: ORGANISM,
        number: 1,
        predecessor: None,
        persons: BTreeMap::from([
            (AUTHOR, person("owner", Role::Owner, &owner_key())),
            (APPROVER, person("approver", Role::Approver, &approver_key())),
        ]),
        need: Need::default(),
        agents: BTreeMap::new(),
        recovery: None,
    };
    SignedRoster::new(roster).signed_by(&owner_key())
}

/// What an entry tells of a roster.
pub(super) fn told(signed: &SignedRoster, at: Timestamp) -> Value {
    json!({"number": signed.roster.number, "digest": signed.roster.digest(), "in_force_at": at, "signed": signed})
}

/// What an entry tells of an approval of a plan by the holder of a key.
pub(super) fn decision(
    key: &SigningKey,
    mission: MissionId,
    digest: Digest,
    at: Timestamp,
    nonce: u128,
) -> SignedDecision {
    decision_on(key, (SubjectKind::MissionPlan, Some(mission)), digest, at, nonce)
}

fn decision_on(
    key: &SigningKey,
    (subject, mission): (SubjectKind, Option<MissionId>),
    digest: Digest,
    at: Timestamp,
    nonce: u128,
) -> SignedDecision {
    let statement = Statement {
        organism: ORGANISM,
        subject,
        digest,
        mission,
        verdict: Verdict::Approve,
        valid_until: at + std::time::Duration::from_hours(24),
        nonce: Nonce::from_bytes(nonce.to_be_bytes()),
    };
    statement.sign(key)
}

/// As operators know it.
pub fn verifier_key(key: &SigningKey) -> VerifierKey {
    VerifierKey::of(origin(ORGANISM, EPOCH), Algorithm::Ed25519, key)
}

/// Where entries go, one at a time.
struct Log<'a> {
    key: SigningKey,
    agent: SigningKey,
    exporter: Exporter,
    frontier: Frontier,
    rng: StdRng,
    every: u64,
    until: u64,
    due: u64,
    /// Of the next entry.
    openings: Openings,
    line: String,
    sink: &'a mut dyn FnMut(&str),
}

/// Writes an export of about `entries` entries, with a checkpoint after every `every` or so.
pub fn write(seed: u64, entries: u64, every: u64, sink: &mut dyn FnMut(&str)) -> u64 {
    let (key, mut line) = (log_key(), String::new());
    let named = verifier_key(&key);
    let policies = PolicySet::shipped();
    let header = Header { organism: ORGANISM, key: &named, policies: &[policies.text()] };
    let exporter = Exporter::begin(&header, &mut line);
    sink(&line);
    let (rng, agent) = (StdRng::seed_from_u64(seed), SigningKey::from_bytes(&[5; 32]));
    let frontier = Frontier::default();
    let line = String::new();
    let openings = Openings::new();
    let mut log =
        Log { key, agent, exporter, frontier, rng, every, until: entries, due: every, openings, line, sink };
    log.enroll();
    let body = told(&roster(), log.now());
    log.entry(&AUTHOR.to_string(), "roster.changed", ("roster", "1".to_owned()), None, &body);
    let mut number = 0;
    while log.frontier.size() < log.until {
        number += 1;
        if number % 4 == 2 {
            log.release(number);
        }
        log.mission(number, &policies);
    }
    log.checkpoint();
    log.line.clear();
    log.exporter.end(&mut log.line);
    (log.sink)(&log.line);
    log.frontier.size()
}

/// The same in memory.
pub fn text(seed: u64, entries: u64, every: u64) -> String {
    let mut text = String::new();
    write(seed, entries, every, &mut |line: &str| text.push_str(line));
    text
}

impl Log<'_> {
    fn enroll(&mut self) {
        let key = Digest::from_bytes(*PublicKey::of(&self.agent).as_bytes());
        self.entry(
            "nexusmon",
            "agent.enrolled",
            ("agent", AGENT.to_string()),
            None,
            &json!({"identity_key": key}),
        );
    }

    /// The kill switch is pulled, and released by signatures.
    fn release(&mut self, number: u64) {
        let (author, approver) = (AUTHOR.to_string(), APPROVER.to_string());
        let organism = ("organism", ORGANISM.to_string());
        let body = json!({"from": "none", "to": "halt", "number": number});
        self.entry(&author, "halt.pulled", organism.clone(), None, &body);
        let nonce = u128::from(number) << 64;
        let id = ApprovalId::from_bits(nonce).to_string();
        let (act, comment) = (Act::HaltRelease { number }, "sample".to_owned());
        let proposal = Proposal { organism: ORGANISM, at: self.now(), comment, act };
        let digest = proposal.digest();
        let body = json!({"subject_kind": "halt_release", "subject": ORGANISM, "digest": digest, "rank": Rank::A,
            "needed": 1, "author": Author::Person(AUTHOR), "document": proposal});
        self.entry(&author, "approval.requested", ("approval", id.clone()), None, &body);
        let about = (SubjectKind::HaltRelease, None);
        let signed = decision_on(&approver_key(), about, digest, self.now(), nonce);
        let body = json!({"verdict": "approve", "digest": digest, "signed": signed});
        self.entry(&approver, "approval.decided", ("approval", id.clone()), None, &body);
        let body =
            json!({"from": "halt", "to": "none", "number": number + 1, "reason": "sample", "approval": id});
        self.entry(&approver, "halt.released", organism, None, &body);
    }

    fn mission(&mut self, number: u64, policies: &PolicySet) {
        let grave = number.is_multiple_of(5);
        let mission = MissionId::from_bits(u128::from(number) << 32);
        let tasks = self.rng.random_range(1_u32..6);
        let rank = if grave { Rank::A } else { Rank::E };
        let plan = Digest::of(format!("plan {number}").as_bytes());
        let about = PolicyContext {
            author: AuthorKind::Person,
            principal: AUTHOR.to_string(),
            ceiling: None,
            verified_runs: 0,
            eligible: 1,
            foresight: crate::policy::Foresight::default(),
            circumstances: crate::policy::Circumstances::default(),
        };
        let question = Question {
            about,
            rank,
            requested: Rank::E,
            requires_approval: false,
            effects: Effects::default(),
            unconfined: u32::from(grave),
            tasks,
            capabilities: vec!["shell.run".parse().expect("a capability")],
        };
        let decision = policies.answer(&question);
        let status = if grave { "awaiting_approval" } else { "running" };
        let mut body = json!({"goal": format!("sample {number}"), "status": status, "rank": rank, "plan_digest": plan, "tasks": tasks,
            "policies": decision.policies, "author": Author::Person(AUTHOR),
            "judged": {"policy_set": policies.digest(), "question": question, "answer": decision.verdict}});
        let subject = ("mission", mission.to_string());
        let actor = AUTHOR.to_string();
        self.openings = words::seal(&actor, &mut body, &mut self.rng);
        if number.is_multiple_of(7) {
            // Erased since.
            self.openings.clear();
        }
        self.entry(&actor, "mission.created", subject.clone(), Some(mission), &body);
        if grave {
            self.approve(mission, plan, number);
        }
        for task in 0..tasks {
            self.task(mission, plan, rank, TaskId::from_bits(mission.to_bits() + u128::from(task)));
        }
        let body = json!({"status": "succeeded"});
        self.entry("nexusmon", "mission.completed", subject, Some(mission), &body);
    }

    fn approve(&mut self, mission: MissionId, plan: Digest, number: u64) {
        let id = ApprovalId::from_bits(u128::from(number)).to_string();
        let body = json!({"subject_kind": "mission_plan", "subject": mission, "digest": plan, "rank": Rank::A,
            "needed": 1, "author": Author::Person(AUTHOR)});
        self.entry("nexusmon", "approval.requested", ("approval", id.clone()), Some(mission), &body);
        let signed = decision(&approver_key(), mission, plan, self.now(), number.into());
        let body = json!({"verdict": "approve", "digest": plan, "signed": signed});
        let approver = APPROVER.to_string();
        self.entry(&approver, "approval.decided", ("approval", id.clone()), Some(mission), &body);
        let body = json!({"from": "awaiting_approval", "to": "running", "approval": id, "digest": plan});
        self.entry(&approver, "mission.approved", ("mission", mission.to_string()), Some(mission), &body);
    }

    fn task(&mut self, mission: MissionId, plan: Digest, rank: Rank, task: TaskId) {
        let again = self.rng.random_ratio(1, 4);
        let (subject, agent) = (("task", task.to_string()), AGENT.to_string());
        for number in 1..=(1 + u64::from(again)) {
            let fence = Fence { epoch: EPOCH, number }.to_string();
            let body =
                json!({"fence": fence, "agent": agent, "rank": rank, "plan_digest": plan, "attempt": number});
            self.entry("nexusmon", "task.granted", subject.clone(), Some(mission), &body);
            let (status, ending) =
                if again && number == 1 { ("backoff", "failed") } else { ("succeeded", "succeeded") };
            let body = json!({"fence": fence, "agent": agent, "status": status, "ending": ending, "attempt": number});
            self.entry(&agent, "task.settled", subject.clone(), Some(mission), &body);
        }
    }

    /// When the next entry is written.
    fn now(&self) -> Timestamp {
        let number = i64::try_from(self.frontier.size() + 1).unwrap_or(0);
        Timestamp::from_micros(BEGAN + number * 1_000)
    }

    fn entry(
        &mut self,
        actor: &str,
        action: &str,
        subject: (&str, String),
        mission: Option<MissionId>,
        body: &Value,
    ) {
        let number = self.frontier.size() + 1;
        let at = self.now().to_string();
        let id = AuditId::from_bits(u128::from(number)).to_string();
        let fields: BTreeMap<&str, Value> = BTreeMap::from([
            ("action", action.into()),
            ("actor", actor.into()),
            ("at", at.into()),
            ("body", body.clone()),
            ("id", id.into()),
            ("mission", mission.map(|id| id.to_string()).into()),
            ("subject", subject.1.into()),
            ("subject_kind", subject.0.into()),
        ]);
        let text = canonical::to_bytes(&fields).expect("plain values have a canonical form");
        let text = String::from_utf8(text).expect("JSON is UTF-8");
        let digest = Digest::of(text.as_bytes());
        self.frontier.append(leaf_hash(digest.as_bytes()));
        self.line.clear();
        self.exporter.entry(&text, &digest, &std::mem::take(&mut self.openings), &mut self.line);
        (self.sink)(&self.line);
        if number >= self.due && number < self.until {
            self.checkpoint();
        }
    }

    fn checkpoint(&mut self) {
        let size = self.frontier.size();
        let checkpoint = Checkpoint { origin: origin(ORGANISM, EPOCH), size, root: self.frontier.root() };
        self.line.clear();
        self.exporter.checkpoint(&checkpoint.sign(&self.key).to_string(), &mut self.line);
        let line = cosign(&checkpoint, witness(ORGANISM, AGENT), &self.agent, 1_767_225_600);
        self.exporter.witness(AGENT, true, &line.to_string(), &mut self.line);
        (self.sink)(&self.line);
        self.due = size + self.rng.random_range(1..=self.every.max(1));
    }
}
