//! The schemas of a mission as written. Reading one is the service's business, which names every mistake at once; a test
//! holds these schemas to what it reads.

#![expect(dead_code, reason = "these types only document what `shared::plan` reads")]

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

use super::shape::Rank;

/// A mission: `tasks` (an explicit plan), a `playbook` with `inputs`, or a `goal` alone, which then waits for a plan.
#[derive(ToSchema)]
pub(in crate::http) struct NewMission {
    goal: Option<String>,
    tasks: Option<Vec<TaskDraft>>,
    /// Instead of `tasks`: the name of a playbook, or `name@version`.
    playbook: Option<String>,
    /// Values for the playbook's `inputs.*`; they satisfy its schema.
    #[schema(value_type = Option<Object>)]
    inputs: Option<Value>,
    /// Can only raise.
    rank: Option<Rank>,
    /// `auto` (default), `manual`, or an RFC 3339 time.
    start: Option<String>,
    /// -100 to 100; larger goes first.
    priority: Option<i32>,
    budget: Option<Budget>,
    labels: Option<BTreeMap<String, String>>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
}

/// Another plan for a mission.
#[derive(ToSchema)]
pub(in crate::http) struct NewPlan {
    tasks: Vec<TaskDraft>,
}

/// Ceilings; absent ones have finite defaults. Durations: seconds, `90s` or ISO 8601.
#[derive(ToSchema)]
pub(in crate::http) struct Budget {
    tasks: Option<u32>,
    attempts: Option<u32>,
    #[schema(value_type = Option<Duration>)]
    duration: Option<Value>,
    artifact_bytes: Option<u64>,
    log_bytes: Option<u64>,
}

/// A duration: seconds, or text such as `90s`, `5m`, `PT90S`.
#[derive(ToSchema, serde::Serialize)]
#[serde(untagged)]
pub(in crate::http) enum Duration {
    Seconds(f64),
    Text(String),
}

/// A task of a plan.
#[derive(ToSchema)]
pub(in crate::http) struct TaskDraft {
    /// Unique in the plan.
    id: String,
    /// The capability: `shell.run`.
    uses: String,
    /// Parameters; strings may hold `${{ expression }}` (CEL).
    #[schema(value_type = Option<Object>)]
    with: Option<Value>,
    needs: Option<Vec<String>>,
    /// CEL; false skips the task.
    r#if: Option<String>,
    for_each: Option<ForEach>,
    on: Option<On>,
    #[schema(value_type = Option<Duration>)]
    timeout: Option<Value>,
    retry: Option<Retry>,
    idempotent: Option<bool>,
    /// How long a cut-off agent may go on.
    #[schema(value_type = Option<Duration>)]
    offline: Option<Value>,
    sandbox: Option<Sandbox>,
    /// Names, or `{name, env}`: handed over as files in `NEXUSMON_SECRETS`, or as a variable too.
    secrets: Option<Vec<Value>>,
    inputs: Option<Vec<Input>>,
    /// Globs beneath the workspace to keep.
    artifacts: Option<Vec<String>>,
    /// CEL over `outputs` and `exit_code`.
    verify: Option<String>,
    effects: Option<Effects>,
    /// The most leases that may live under each key.
    limits: Option<BTreeMap<String, u32>>,
    /// Values of run time that the approval of the plan covers, so that A and S work is not asked about once more.
    accept: Option<Accept>,
    /// What it may add to its mission while it runs.
    spawn: Option<Envelope>,
}

/// Bounds of what a running task may add.
#[derive(ToSchema)]
pub(in crate::http) struct Envelope {
    /// What added tasks may use.
    capabilities: Vec<String>,
    /// How many one attempt may add: 1 to 256.
    max: u32,
    /// How much each may rank, E to B; the task itself ranks no lower.
    rank: String,
}

/// Bounds for values of run time.
#[derive(ToSchema)]
pub(in crate::http) struct Accept {
    /// JSON Schema of the evaluated value, by parameter; every parameter with an expression needs one.
    #[schema(value_type = Option<Object>)]
    with: Option<BTreeMap<String, Value>>,
    /// SHA-256 of each fetched file, by its name in the inputs folder.
    inputs: Option<BTreeMap<String, String>>,
}

/// One child task per element of a list.
#[derive(ToSchema)]
pub(in crate::http) struct ForEach {
    /// CEL that gives a list.
    r#in: String,
    max: u32,
    concurrency: Option<u32>,
}

/// Where the task may run.
#[derive(ToSchema)]
pub(in crate::http) struct On {
    labels: Option<BTreeMap<String, String>>,
    /// Id or name.
    agent: Option<String>,
    /// The agent that ran this task.
    same_as: Option<String>,
}

#[derive(ToSchema)]
pub(in crate::http) struct Retry {
    max: Option<u32>,
    #[schema(value_type = Option<Duration>)]
    backoff: Option<Value>,
    /// 0 to 1.
    jitter: Option<f64>,
    /// Causes by name.
    on: Option<Vec<String>>,
}

/// A profile, or what it opens.
#[derive(ToSchema, serde::Serialize)]
#[serde(untagged)]
pub(in crate::http) enum Sandbox {
    Profile(Profile),
    Full { profile: Profile, network: Option<Vec<String>>, paths: Option<Vec<HostPath>> },
}

#[derive(ToSchema, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum Profile {
    Strict,
    Network,
    User,
    None,
}

#[derive(ToSchema, serde::Serialize)]
pub(in crate::http) struct HostPath {
    path: String,
    write: Option<bool>,
}

/// An artifact to fetch: of an ancestor task, or a version in the vault.
#[derive(ToSchema, serde::Serialize)]
#[serde(untagged)]
pub(in crate::http) enum Input {
    FromTask {
        task: String,
        artifact: String,
    },
    FromVault {
        version: String,
        /// File name in the inputs folder.
        r#as: String,
    },
}

/// What the work may do to the world; only ever raises the rank.
#[derive(ToSchema)]
pub(in crate::http) struct Effects {
    reads: Option<bool>,
    writes: Option<bool>,
    network: Option<bool>,
    spends: Option<bool>,
    irreversible: Option<bool>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use utoipa::PartialSchema;
    use utoipa::openapi::{RefOr, Schema};

    use super::*;

    /// Field names a schema documents.
    fn documented<T: PartialSchema>() -> BTreeSet<String> {
        match T::schema() {
            RefOr::T(Schema::Object(object)) => object.properties.keys().cloned().collect(),
            _ => BTreeSet::new(),
        }
    }

    /// Field names serde reads, from its own complaint about one it does not know.
    fn read<T: serde::de::DeserializeOwned>() -> BTreeSet<String> {
        let error = serde_json::from_str::<T>(r#"{"no such field": 1}"#).err().expect("refused").to_string();
        let (_, expected) = error.split_once("expected ").expect("serde lists what it knows");
        expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn the_schemas_name_what_is_read() {
        use nexusmon_shared::{effects, plan, selector};
        assert_eq!(documented::<TaskDraft>(), read::<plan::TaskDraft>());
        assert_eq!(documented::<ForEach>(), read::<plan::ForEach>());
        assert_eq!(documented::<Retry>(), read::<plan::RetryDraft>());
        assert_eq!(documented::<Budget>(), read::<plan::Budget>());
        // `agents` is resolved into a leaf and never written by anybody.
        let mut on = read::<selector::On>();
        assert!(on.remove("agents"));
        assert_eq!(documented::<On>(), on);
        assert_eq!(documented::<Effects>(), read::<effects::Effects>());
        assert_eq!(documented::<Accept>(), read::<plan::Accept>());
    }
}
