//! `nexusmon mission approve`: shows what is to be approved, computes its digest from what was shown, and signs that.
//!
//! A coordinator in the wrong hands could show one plan and have another signed; so nothing it says about digests counts.

use nexusmon_shared::capability::Capability;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{MissionId, OrganismId};
use nexusmon_shared::plan::{Plan, PlanHeader, TaskSpec};
use nexusmon_shared::time::{Clock as _, Span, SystemClock, Timestamp};
use nexusmon_shared::trust::approval::{
    Instance, Nonce, Proposal, SignedDecision, StandingApproval, Statement, SubjectKind, Verdict, shape,
};
use nexusmon_shared::trust::canonical;
use nexusmon_shared::trust::key::Proof;
use nexusmon_shared::trust::merkle::leaf_hash;
use nexusmon_shared::trust::plan_digest;
use nexusmon_shared::trust::signable::Signable as _;
use serde_json::{Value, json};

use super::client::{Client, CommandError, escape};
use super::key::{Place, randomness};
use super::render;

/// What waits, and how to decide it.
pub(super) struct Wanted<'a> {
    pub(super) mission: &'a str,
    /// `apr_…`, where several wait.
    pub(super) approval: Option<&'a str>,
    pub(super) place: &'a Place,
    pub(super) valid_for: Span,
}

/// The pending approval, and its signature if it needs one.
pub(super) async fn sign(
    client: &Client,
    wanted: &Wanted<'_>,
) -> Result<(Value, Option<Value>), CommandError> {
    let approval = pending(client, wanted).await?;
    let signature = signature(client, &approval, wanted.place, wanted.valid_for).await?;
    Ok((approval, signature))
}

/// A signature over what an approval is about, once that was shown; none where none is needed.
pub(super) async fn signature(
    client: &Client,
    approval: &Value,
    place: &Place,
    valid_for: Span,
) -> Result<Option<Value>, CommandError> {
    let document = match &approval["proposal"] {
        Value::Null => None,
        document => Some(shown_document(approval, document)?),
    };
    if approval["signature_needed"] != true {
        return Ok(None);
    }
    let mut valid_until = SystemClock.now() + valid_for.0;
    let digest = match document {
        Some(Shown { digest, ends }) => {
            valid_until = ends.unwrap_or(valid_until);
            digest
        }
        None => shown(client, approval["mission"].as_str().unwrap_or_default(), approval).await?,
    };
    for note in approval["notes"].as_array().into_iter().flatten() {
        eprintln!("note: {}", render::text(note));
    }
    let to_sign = &approval["to_sign"];
    let statement = Statement {
        organism: read::<OrganismId>(&to_sign["organism"], "organism")?,
        subject: read::<SubjectKind>(&to_sign["subject"], "subject")?,
        digest,
        mission: read::<Option<MissionId>>(&approval["mission"], "mission")?,
        verdict: Verdict::Approve,
        valid_until,
        nonce: Nonce::random(&mut randomness()),
    };
    let key = place.open()?;
    let SignedDecision { statement, key, proof } = statement.sign(key.signing_key());
    let Proof::Ed25519 { signature } = proof else {
        return Err(CommandError::Failed("a key in a file signs with Ed25519".to_owned()));
    };
    Ok(Some(
        json!({"key": key, "valid_until": statement.valid_until, "nonce": statement.nonce, "bytes": signature}),
    ))
}

/// A document that was shown.
struct Shown {
    digest: Digest,
    /// When what it grants ends; the signature lasts as long.
    ends: Option<Timestamp>,
}

/// Prints a document and gives its digest, computed here.
fn shown_document(approval: &Value, document: &Value) -> Result<Shown, CommandError> {
    let failed = |error: &dyn std::fmt::Display| CommandError::Failed(format!("it cannot be read: {error}"));
    let bytes = canonical::to_bytes(document).map_err(|error| failed(&error))?;
    let subject = read::<SubjectKind>(&approval["to_sign"]["subject"], "subject")?;
    let (digest, ends) = if subject == SubjectKind::StandingApproval {
        let standing = StandingApproval::read(&bytes).map_err(|error| failed(&error))?;
        show_shape(approval, &standing)?;
        (standing.digest(), Some(standing.expires_at))
    } else {
        let proposal = Proposal::read(&bytes).map_err(|error| failed(&error))?;
        if proposal.act.subject() != subject {
            let text = "the coordinator calls it something else than it is: do not sign";
            return Err(CommandError::Failed(text.to_owned()));
        }
        (proposal.digest(), None)
    };
    eprintln!("subject  {}", render::text(&approval["subject_kind"]));
    print_value(document, 1);
    let said = approval["digest"].as_str().unwrap_or_default();
    if digest.to_string() != said {
        let text = format!(
            "what the coordinator shows has the digest {digest}, and it asks for a signature over {said}: do not sign"
        );
        return Err(CommandError::Failed(text));
    }
    eprintln!("digest   {digest}");
    Ok(Shown { digest, ends })
}

/// What a shape does cannot be seen in its digest: the leaves are shown, and have to make that digest.
fn show_shape(approval: &Value, standing: &StandingApproval) -> Result<(), CommandError> {
    if approval["leaves"].is_null() {
        let text = "the playbook, or what machines offer, has changed since this was asked for: ask again";
        return Err(CommandError::Failed(text.to_owned()));
    }
    let leaves: Vec<TaskSpec> = read(&approval["leaves"], "leaves")?;
    let tree = shape(&leaves).map_err(|error| CommandError::Failed(error.to_string()))?;
    if tree.root() != standing.shape {
        let text = "the tasks the coordinator shows are not those of the shape: do not sign";
        return Err(CommandError::Failed(text.to_owned()));
    }
    for leaf in &leaves {
        print_task(leaf, &leaf.with);
    }
    Ok(())
}

fn print_value(value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    for (name, value) in value.as_object().into_iter().flatten() {
        let name = render::plain(name);
        match value {
            Value::Object(_) => {
                eprintln!("{indent}{name}:");
                print_value(value, depth + 1);
            }
            Value::String(text) if text.contains('\n') => {
                eprintln!("{indent}{name}:");
                for line in text.lines() {
                    eprintln!("{indent}  | {}", render::plain(line));
                }
            }
            Value::String(text) => eprintln!("{indent}{name}: {}", render::plain(text)),
            other => eprintln!("{indent}{name}: {}", render::plain(&other.to_string())),
        }
    }
}

async fn pending(client: &Client, wanted: &Wanted<'_>) -> Result<Value, CommandError> {
    if let Some(id) = wanted.approval {
        return client.get(&format!("/v1/governance/approvals/{}", escape(id))).await;
    }
    let path = format!("/v1/governance/approvals?status=pending&mission={}", escape(wanted.mission));
    let mut found = client.list(&path, 200).await?;
    match found.len() {
        0 => Err(CommandError::Usage(format!("nothing of {} waits for approval", wanted.mission))),
        1 => Ok(found.remove(0)),
        _ => {
            let ids: Vec<_> = found.iter().map(|one| render::text(&one["id"])).collect();
            Err(CommandError::Usage(format!("several wait; name one with --approval: {}", ids.join(", "))))
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(value: &Value, what: &str) -> Result<T, CommandError> {
    serde_json::from_value(value.clone())
        .map_err(|error| CommandError::Failed(format!("the coordinator's `{what}` cannot be read: {error}")))
}

/// Prints what is to be approved and gives its digest, computed here.
async fn shown(client: &Client, mission: &str, approval: &Value) -> Result<Digest, CommandError> {
    let answer = client.get(&format!("/v1/engine/missions/{}/plan", escape(mission))).await?;
    let plan = Plan {
        header: read::<PlanHeader>(&answer["header"], "header")?,
        tasks: read::<Vec<TaskSpec>>(&answer["tasks"], "tasks")?,
    };
    if plan.header.mission.to_string() != approval["mission"].as_str().unwrap_or_default() {
        return Err(CommandError::Failed("the plan is another mission's: do not sign it".to_owned()));
    }
    let sealed = plan_digest::seal(&plan).map_err(|error| CommandError::Failed(error.to_string()))?;
    let digest = if approval["subject_kind"] == "task_instance" {
        instance(&plan, sealed.digest, &approval["instance"])?
    } else {
        print_plan(&plan);
        sealed.digest
    };
    let said = approval["digest"].as_str().unwrap_or_default();
    if digest.to_string() != said {
        let text = format!(
            "what the coordinator shows has the digest {digest}, and it asks for a signature over {said}: do not sign"
        );
        return Err(CommandError::Failed(text));
    }
    eprintln!("digest   {digest}");
    Ok(digest)
}

fn instance(plan: &Plan, digest: Digest, values: &Value) -> Result<Digest, CommandError> {
    let leaf_index: u32 = read(&values["leaf_index"], "leaf_index")?;
    let spec = plan.tasks.get(leaf_index as usize);
    let spec = spec.ok_or_else(|| CommandError::Failed("the plan has no such task".to_owned()))?;
    let parameters: serde_json::Map<String, Value> = read(&values["parameters"], "parameters")?;
    let inputs: Vec<Digest> = read(&values["inputs"], "inputs")?;
    let leaf = canonical::to_bytes(spec).map_err(|error| CommandError::Failed(error.to_string()))?;
    let instance = Instance {
        plan_digest: digest,
        leaf_index,
        leaf: leaf_hash(&leaf),
        item_index: read(&values["item_index"], "item_index")?,
        parameters: &parameters,
        inputs: &inputs,
    };
    eprintln!("goal     {}", render::text(&plan.header.goal.clone().into()));
    print_task(spec, &parameters);
    for input in &inputs {
        eprintln!("  input    {input}");
    }
    instance.subject().map_err(|error| CommandError::Failed(error.to_string()))
}

/// On standard error, so that standard output stays a program's.
fn print_plan(plan: &Plan) {
    eprintln!("goal     {}", render::text(&plan.header.goal.clone().into()));
    let author = serde_json::to_value(&plan.header.author).unwrap_or_default();
    eprintln!("author   {} {}", render::text(&author["kind"]), render::text(&author["id"]));
    for spec in &plan.tasks {
        print_task(spec, &spec.with);
    }
}

fn print_task(spec: &TaskSpec, parameters: &serde_json::Map<String, Value>) {
    let profile = spec.sandbox.profile.as_str();
    eprintln!("task     {}  {}  sandbox {profile}", render::text(&spec.id.to_string().into()), spec.uses);
    if let Some(list) = &spec.for_each {
        eprintln!("  for each of {} (at most {})", render::text(&list.list.clone().into()), list.max);
    }
    let machines: Vec<String> = spec.on.agents.iter().map(ToString::to_string).collect();
    match machines.as_slice() {
        [] => {}
        few if few.len() <= 10 => eprintln!("  on       {}", few.join(" ")),
        many => eprintln!("  on       {} machines", many.len()),
    }
    if let Some(envelope) = &spec.spawn {
        let uses: Vec<&str> = envelope.capabilities.iter().map(Capability::as_str).collect();
        eprintln!("  may add  {} tasks of rank {} at most: {}", envelope.max, envelope.rank, uses.join(" "));
    }
    for path in &spec.sandbox.paths {
        let how = if path.write { "writes" } else { "reads" };
        eprintln!("  {how}   {}", render::text(&path.path.clone().into()));
    }
    for (name, value) in parameters {
        match value {
            // Line by line: what cannot be seen cannot be approved.
            Value::String(text) => {
                eprintln!("  {name}:");
                for line in text.lines() {
                    eprintln!("    | {}", render::text(&line.to_owned().into()));
                }
            }
            other => eprintln!("  {name}: {}", render::text(&other.to_string().into())),
        }
    }
}
