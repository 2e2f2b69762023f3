//! What `shell.run` and `script.run` start.

use std::collections::BTreeMap;
use std::path::Path;

use nexusmon_shared::outcome::Cause;
use serde_json::{Map, Value};

use super::workspace::Workspace;
use crate::run::Job;

/// The kernel takes at most 128 KiB in one argument; longer scripts go through a file.
const LONGEST_ARGUMENT: usize = 100 * 1024;

/// A program with everything it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) cwd: String,
}

/// The command of a job. `path` is where programs are looked for.
pub(crate) fn of(job: &Job, workspace: &mut Workspace, path: &str) -> Result<Command, Cause> {
    let with = &job.parameters;
    let (program, arguments) = match job.spec.uses.as_str() {
        "shell.run" => shell(with, workspace)?,
        "script.run" => script(with, workspace)?,
        other => return Err(bad(format!("the executor does not know {other}"))),
    };
    let program =
        find(&program, path).ok_or_else(|| bad(format!("there is no program `{program}` in {path}")))?;
    let mut environment = workspace.environment(job);
    environment.insert("PATH".to_owned(), path.to_owned());
    environment.insert("LANG".to_owned(), "C.UTF-8".to_owned());
    environment.insert("TZ".to_owned(), std::env::var("TZ").unwrap_or_else(|_| "UTC".to_owned()));
    environment.extend(given_environment(with)?);
    for secret in &job.secrets {
        if let Some(variable) = &secret.env {
            let text = std::str::from_utf8(&secret.value).ok().filter(|text| !text.contains('\0'));
            let text = text.ok_or_else(|| {
                bad(format!(
                    "the secret `{}` is no text that a variable could hold; read its file",
                    secret.name
                ))
            })?;
            environment.insert(variable.clone(), text.to_owned());
        }
    }
    let cwd = match text(with, "cwd")? {
        Some(cwd) if cwd.starts_with('/') => cwd.to_owned(),
        Some(cwd) => format!("{}/{cwd}", workspace.inside()),
        None => workspace.inside().to_owned(),
    };
    Ok(Command { program, arguments, environment, cwd })
}

fn shell(with: &Map<String, Value>, workspace: &mut Workspace) -> Result<(String, Vec<String>), Cause> {
    let script = text(with, "script")?.ok_or_else(|| bad("script: is missing".to_owned()))?;
    let shell = text(with, "shell")?.unwrap_or("sh").to_owned();
    let arguments = if script.len() <= LONGEST_ARGUMENT {
        vec!["-c".to_owned(), script.to_owned()]
    } else {
        vec![workspace.put_script(script)?]
    };
    Ok((shell, arguments))
}

fn script(with: &Map<String, Value>, workspace: &mut Workspace) -> Result<(String, Vec<String>), Cause> {
    let interpreter =
        text(with, "interpreter")?.ok_or_else(|| bad("interpreter: is missing".to_owned()))?.to_owned();
    let file = match (text(with, "source")?, text(with, "artifact")?) {
        (Some(source), None) => workspace.put_script(source)?,
        (None, Some(name)) => workspace.input(name)?,
        _ => return Err(bad("give either source or artifact".to_owned())),
    };
    let mut arguments = vec![file];
    for argument in list(with, "args")? {
        arguments
            .push(plain(argument).ok_or_else(|| bad("args: must be texts, numbers or booleans".to_owned()))?);
    }
    Ok((interpreter, arguments))
}

fn given_environment(with: &Map<String, Value>) -> Result<BTreeMap<String, String>, Cause> {
    let given = match with.get("env") {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Object(given)) => given,
        Some(_) => return Err(bad("env: must be an object".to_owned())),
    };
    given
        .iter()
        .map(|(name, value)| {
            let value =
                plain(value).ok_or_else(|| bad(format!("env.{name}: must be a text, number or boolean")))?;
            let good = !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0');
            if !good {
                return Err(bad(format!("env.{name}: cannot be an environment variable")));
            }
            if name.starts_with("NEXUSMON_") {
                return Err(bad(format!("env.{name}: names that begin with NEXUSMON_ are the agent's")));
            }
            Ok((name.clone(), value))
        })
        .collect()
}

/// Numbers and booleans become text; `${{ }}` may have made them.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn text<'a>(with: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, Cause> {
    match with.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.contains('\0') => Ok(Some(text)),
        Some(_) => Err(bad(format!("{key}: must be a text without zero bytes"))),
    }
}

fn list<'a>(with: &'a Map<String, Value>, key: &str) -> Result<&'a [Value], Cause> {
    match with.get(key) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(bad(format!("{key}: must be a list"))),
    }
}

fn bad(detail: String) -> Cause {
    Cause::BadParameters { detail }
}

/// The full path of a program, looked for in `path` unless it names a folder itself.
pub(crate) fn find(program: &str, path: &str) -> Option<String> {
    use std::os::unix::fs::PermissionsExt as _;
    if program.contains('/') {
        return Some(program.to_owned());
    }
    path.split(':').map(|folder| Path::new(folder).join(program)).find_map(|file| {
        let found = std::fs::metadata(&file)
            .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0);
        found.then(|| file.display().to_string())
    })
}
