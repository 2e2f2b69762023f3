//! The bounds of a task's plain fields: counts, durations, paths, globs, names.

use std::time::Duration;

use nexusmon_shared::egress::{Host, MOST_HOSTS};
use nexusmon_shared::outcome::Cause;
use nexusmon_shared::plan::{Input, TaskDraft};
use nexusmon_shared::sandbox::{Profile, Sandbox};

use super::{Invalid, Known};
use crate::expression::template::escape;

const MAX_DURATION: Duration = Duration::from_hours(720);
const MAX_RETRIES: u32 = 100;
const MAX_LIST: usize = 256;
const MAX_TEXT: usize = 1024;
const MAX_CHILDREN: u32 = 10_000;

/// Checks everything about a task that needs neither the graph nor expressions.
pub(super) fn check(index: usize, draft: &TaskDraft, known: Option<&Known>, errors: &mut Vec<Invalid>) {
    let mut refuse = |place: &str, code: &'static str, message: String| {
        errors.push(Invalid::new(format!("/tasks/{index}/{place}"), code, message));
    };
    durations(draft, &mut refuse);
    retry(draft, &mut refuse);
    lists(draft, &mut refuse);
    for_each(draft, &mut refuse);
    accept(draft, &mut refuse);
    spawn(draft, &mut refuse);
    for (key, max) in draft.limits.iter().filter(|(_, max)| **max == 0) {
        refuse(
            &format!("limits/{key}"),
            "out_of_range",
            format!("the limit `{key}` is {max}: it must be 1 or more"),
        );
    }
    if let Some(wanted) = &draft.sandbox {
        sandbox(wanted, &mut refuse);
        if let Some(least) = known.and_then(|known| known.spec.sandbox)
            && strength(wanted.profile) < strength(least)
        {
            let (wanted, least) = (wanted.profile.as_str(), least.as_str());
            refuse(
                "sandbox",
                "sandbox_too_weak",
                format!("`{}` runs in `{least}` at least; `{wanted}` is weaker", draft.uses),
            );
        }
    }
    if draft.on.agent.is_some() && draft.on.same_as.is_some() {
        refuse("on", "conflict", "`agent` and `same_as` both name one agent: give one of them".to_owned());
    }
    for (key, value) in &draft.on.labels {
        if key.parse::<nexusmon_shared::name::Name>().is_err() || value.is_empty() || value.len() > 256 {
            refuse("on/labels", "bad_label", format!("`{key}` with this value cannot be an agent's label"));
        }
    }
}

/// Bounds for values of run time: usable, and of something that is there.
fn accept(draft: &TaskDraft, refuse: &mut Refuse<'_>) {
    let Some(accept) = &draft.accept else { return };
    if let Err((name, error)) = accept.validate() {
        refuse(&format!("accept/with/{}", escape(&name)), "bad_schema", error.to_string());
    }
    for name in accept.with.keys().filter(|name| !draft.with.contains_key(*name)) {
        let message = format!("`with` has no `{name}`");
        refuse(&format!("accept/with/{}", escape(name)), "unknown_name", message);
    }
    for name in accept.inputs.keys() {
        if !draft.inputs.iter().any(|input| input.name() == name) {
            let message = format!("`inputs` brings no file `{name}`");
            refuse(&format!("accept/inputs/{}", escape(name)), "unknown_name", message);
        }
    }
}

fn spawn(draft: &TaskDraft, refuse: &mut Refuse<'_>) {
    let Some(envelope) = &draft.spawn else { return };
    if let Err(error) = envelope.validate() {
        refuse(&format!("spawn/{}", error.field()), "out_of_range", error.to_string());
    }
    if draft.for_each.is_some() {
        let message = "a task with `for_each` adds no tasks: let one that needs it add them";
        refuse("spawn", "conflict", message.to_owned());
    }
    if draft.uses.plugin() == "core" {
        let message = format!("`{}` starts no process that could add tasks", draft.uses);
        refuse("spawn", "not_applicable", message);
    }
}

type Refuse<'r> = dyn FnMut(&str, &'static str, String) + 'r;

fn durations(draft: &TaskDraft, refuse: &mut Refuse<'_>) {
    let mut bounded = |place: &str, span: Option<nexusmon_shared::time::Span>, least: Duration| {
        if let Some(span) = span.filter(|span| span.0 < least || span.0 > MAX_DURATION) {
            let (least, most) = (least.as_secs_f64(), MAX_DURATION.as_secs());
            let message =
                format!("{} s is not between {least} s and {most} s (30 days)", span.0.as_secs_f64());
            refuse(place, "out_of_range", message);
        }
    };
    bounded("timeout", draft.timeout, Duration::from_millis(100));
    bounded("offline", draft.offline, Duration::ZERO);
    bounded("retry/backoff", draft.retry.as_ref().and_then(|retry| retry.backoff), Duration::ZERO);
}

fn retry(draft: &TaskDraft, refuse: &mut Refuse<'_>) {
    let Some(retry) = &draft.retry else { return };
    if let Some(max) = retry.max.filter(|max| *max > MAX_RETRIES) {
        refuse("retry/max", "out_of_range", format!("{max} retries are more than {MAX_RETRIES}"));
    }
    if let Some(jitter) = retry.jitter.filter(|jitter| !(0.0..=1.0).contains(jitter)) {
        refuse("retry/jitter", "out_of_range", format!("{jitter} is not a share between 0 and 1"));
    }
    for (at, name) in retry.on.iter().flatten().enumerate() {
        if !Cause::RETRYABLE.contains(&name.as_str()) {
            let known = Cause::RETRYABLE.join(", ");
            let shown: String = name.chars().take(40).collect();
            refuse(
                &format!("retry/on/{at}"),
                "unknown_cause",
                format!("`{shown}` is no cause that retrying could help; those are {known}"),
            );
        }
    }
}

fn lists(draft: &TaskDraft, refuse: &mut Refuse<'_>) {
    for (place, length) in [
        ("artifacts", draft.artifacts.len()),
        ("inputs", draft.inputs.len()),
        ("limits", draft.limits.len()),
        ("on/labels", draft.on.labels.len()),
    ] {
        if length > MAX_LIST {
            refuse(place, "too_many", format!("{length} entries are more than {MAX_LIST}"));
        }
    }
    for (at, glob) in draft.artifacts.iter().enumerate().take(MAX_LIST) {
        if let Err(message) = glob_within(glob) {
            refuse(&format!("artifacts/{at}"), "bad_glob", message);
        }
    }
    let mut names = std::collections::HashSet::new();
    for (at, input) in draft.inputs.iter().enumerate().take(MAX_LIST) {
        let (place, name) = match input {
            Input::FromTask(from) => ("artifact", &from.artifact),
            Input::FromVault(from) => ("as", &from.name),
        };
        let place = format!("inputs/{at}/{place}");
        if let Err(message) = path_within(name) {
            refuse(&place, "bad_path", message);
        } else if !names.insert(name) {
            refuse(&place, "duplicate_input", format!("two inputs would be fetched as `{name}`"));
        }
    }
}

fn for_each(draft: &TaskDraft, refuse: &mut Refuse<'_>) {
    let Some(for_each) = &draft.for_each else { return };
    if !(1..=MAX_CHILDREN).contains(&for_each.max) {
        let message = format!("{} is not between 1 and {MAX_CHILDREN}", for_each.max);
        refuse("for_each/max", "out_of_range", message);
    }
    if for_each.concurrency == Some(0) {
        refuse("for_each/concurrency", "out_of_range", "the concurrency must be 1 or more".to_owned());
    }
}

fn sandbox(sandbox: &Sandbox, refuse: &mut Refuse<'_>) {
    match sandbox.profile {
        Profile::Network if sandbox.network.is_empty() => {
            let message =
                "list the hosts the task may speak to, such as `[\"example.org\", \"*.example.org:8443\"]`";
            refuse("sandbox/network", "missing_field", message.to_owned());
        }
        Profile::Network => {}
        profile if !sandbox.network.is_empty() => {
            let message = format!("hosts belong to the profile `network`, not to `{}`", profile.as_str());
            refuse("sandbox/network", "not_applicable", message);
        }
        _ => {}
    }
    if sandbox.network.len() > MOST_HOSTS {
        let message = format!("{} hosts are more than {MOST_HOSTS}", sandbox.network.len());
        refuse("sandbox/network", "too_many", message);
    }
    for (at, host) in sandbox.network.iter().enumerate().take(MOST_HOSTS) {
        if let Err(error) = host.parse::<Host>() {
            refuse(&format!("sandbox/network/{at}"), "bad_host", error.to_string());
        }
    }
    if sandbox.paths.len() > MAX_LIST {
        refuse(
            "sandbox/paths",
            "too_many",
            format!("{} paths are more than {MAX_LIST}", sandbox.paths.len()),
        );
    }
    for (at, host) in sandbox.paths.iter().enumerate().take(MAX_LIST) {
        if let Err(message) = absolute(&host.path) {
            refuse(&format!("sandbox/paths/{at}/path"), "bad_path", message);
        }
    }
}

/// Stronger is more.
const fn strength(profile: Profile) -> u8 {
    match profile {
        Profile::None => 0,
        Profile::User => 1,
        Profile::Network => 2,
        Profile::Strict => 3,
    }
}

fn plain(text: &str) -> Result<(), String> {
    match text {
        "" => Err("it is empty".to_owned()),
        long if long.len() > MAX_TEXT => Err(format!("it is longer than {MAX_TEXT} bytes")),
        odd if odd.chars().any(char::is_control) => Err("it holds control characters".to_owned()),
        _ => Ok(()),
    }
}

/// A host path: absolute, without `.` or `..`.
fn absolute(path: &str) -> Result<(), String> {
    plain(path)?;
    let shown: String = path.chars().take(80).collect();
    if !path.starts_with('/') {
        return Err(format!("`{shown}` is not absolute"));
    }
    if path.split('/').any(|part| part == ".." || part == ".") {
        return Err(format!("`{shown}` holds `.` or `..`: write where it leads"));
    }
    Ok(())
}

/// A path beneath the workspace.
fn path_within(path: &str) -> Result<(), String> {
    plain(path)?;
    let shown: String = path.chars().take(80).collect();
    if path.starts_with('/') || path.contains('\\') {
        return Err(format!("`{shown}` must be relative, with `/`"));
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(format!("`{shown}` holds an empty part, `.` or `..`"));
    }
    Ok(())
}

/// A glob beneath the workspace: a relative path that may hold `*`, `?`, `**`, `[…]` and `{…}`.
fn glob_within(glob: &str) -> Result<(), String> {
    path_within(glob)?;
    let (mut class, mut braces) = (false, 0_u32);
    for byte in glob.bytes() {
        match byte {
            b'[' if !class => class = true,
            b']' if class => class = false,
            b'{' if !class => braces += 1,
            b'}' if !class => braces = braces.checked_sub(1).ok_or("a `}` has no `{` before it")?,
            _ => {}
        }
    }
    if class || braces > 0 { Err("a `[` or `{` is not closed".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn globs_stay_beneath_the_workspace() {
        for good in ["*.csv", "out/**/*.txt", "a[0-9].log", "{a,b}.txt", "x"] {
            assert!(glob_within(good).is_ok(), "{good}");
        }
        for bad in ["", "/etc/*", "../x", "a/../b", "a[", "{a", "a}", "a//b", "a\0b"] {
            assert!(glob_within(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_never_leaves(path in "[a-z./\\\\*]{0,12}") {
            if glob_within(&path).is_ok() {
                prop_assert!(!path.starts_with('/') && path.split('/').all(|part| part != ".." && !part.is_empty()));
            }
            if absolute(&path).is_ok() {
                prop_assert!(path.starts_with('/') && path.split('/').all(|part| part != ".."));
            }
        }
    }
}
