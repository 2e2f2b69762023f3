//! Plans and orders as an honest coordinator makes them.

use bytes::Bytes;
use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{MissionId, PrincipalId, TaskId};
use nexusmon_shared::message::{CoordinatorMessage, Order, OrderInput, Orders, PlanNotice};
use nexusmon_shared::plan::{Author, Budget, Plan, PlanHeader, TaskSpec};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::trust::plan_digest::{Sealed, seal};
use serde_json::{Value, json};

pub(crate) struct Sample(pub Sealed);

/// A task; `change` makes it another one.
pub(crate) fn task(id: &str, change: impl FnOnce(&mut Value)) -> TaskSpec {
    let mut value = json!({
        "id": id, "uses": "core.noop", "with": {}, "needs": [], "if": null, "for_each": null, "on": {},
        "timeout": 60, "retry": {"max": 1, "backoff": 1, "jitter": 0.1, "on": []}, "idempotent": true,
        "offline": 0, "sandbox": "strict", "inputs": [], "artifacts": [], "verify": null,
        "effects": {}, "limits": {}
    });
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

impl Sample {
    pub(crate) fn new(tasks: Vec<TaskSpec>) -> Self {
        Self::by(Author::Person(PrincipalId::from_bits(2)), "g", tasks)
    }

    /// A plan of somebody; another goal makes it another plan.
    pub(crate) fn by(author: Author, goal: &str, tasks: Vec<TaskSpec>) -> Self {
        let header = PlanHeader {
            mission: MissionId::from_bits(1),
            goal: goal.to_owned(),
            author,
            input_digests: Vec::new(),
            playbook: None,
            policy_digest: Digest::of(b"policy"),
            plugins: std::collections::BTreeMap::new(),
            budget: Budget::default(),
        };
        Self(seal(&Plan { header, tasks }).unwrap())
    }

    pub(crate) fn notice(&self) -> CoordinatorMessage {
        self.notice_with(Vec::new())
    }

    pub(crate) fn notice_with(&self, decisions: Vec<Bytes>) -> CoordinatorMessage {
        CoordinatorMessage::Plan(PlanNotice {
            digest: self.0.digest,
            header: self.0.header.clone().into(),
            tasks_root: self.0.tasks_root,
            size: self.0.leaves.len() as u64,
            decisions,
        })
    }

    /// An order of task `index` under fence `number`.
    pub(crate) fn order(&self, index: usize, number: u64) -> Order {
        Order {
            attempt: attempt(index, number),
            attempt_number: 1,
            plan_digest: self.0.digest,
            leaf: Bytes::from(self.0.leaves[index].clone()),
            leaf_index: index as u64,
            proof: self.0.tree.proof(index).unwrap(),
            item_index: None,
            parameters: None,
            inputs: Vec::new(),
            rank: Rank::E,
            traceparent: String::new(),
            idempotency_key: format!("key-{index}"),
            decisions: Vec::new(),
            standing: None,
            spawned: None,
        }
    }

    pub(crate) fn order_with(&self, index: usize, number: u64, inputs: Vec<OrderInput>) -> Order {
        Order { inputs, ..self.order(index, number) }
    }
}

pub(crate) fn attempt(index: usize, number: u64) -> AttemptRef {
    AttemptRef { task: TaskId::from_bits(100 + index as u128), fence: Fence { epoch: 1, number } }
}

pub(crate) fn orders(session: u64, orders: Vec<Order>) -> CoordinatorMessage {
    CoordinatorMessage::Orders(Orders { heartbeat_number: 0, session, orders })
}
