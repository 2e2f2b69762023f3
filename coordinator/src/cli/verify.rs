//! `nexusmon audit verify`: a file, and nothing else.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use nexusmon_core::audit::{Bad, Trusted, Verified, Verifier};
use serde_json::json;

use super::client::CommandError;
use super::render;

/// No line of an export is longer.
const LONGEST_LINE: u64 = 16 * 1024 * 1024;
/// Bytes between two looks at the progress bar.
const GLANCE: u64 = 4 * 1024 * 1024;

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// What `audit export` wrote; `-` for standard input
    file: PathBuf,
    /// The log's key as you know it from elsewhere (`audit checkpoint`, or `nexusmon-agent status` on another machine):
    /// without it the file vouches for itself
    #[arg(long)]
    key: Option<String>,
    /// The owner's key, as `nexusmon key show` prints it on its own machine: whose signatures count begins with it
    #[arg(long, value_name = "DIGITS")]
    owner_key: Option<String>,
    /// A head kept from an earlier look, as a file with its note: the log must contain it. May be given several times
    #[arg(long)]
    checkpoint: Vec<PathBuf>,
}

pub(super) fn verify(arguments: &VerifyArgs, json: bool) -> Result<(), CommandError> {
    let trusted = trusted(arguments)?;
    let (input, length): (Box<dyn io::Read>, u64) = if arguments.file == Path::new("-") {
        (Box::new(io::stdin().lock()), 0)
    } else {
        let file = File::open(&arguments.file).map_err(|error| unreadable(&arguments.file, &error))?;
        let length = file.metadata().map_or(0, |about| about.len());
        (Box::new(file), length)
    };
    let bar = progress(length, json);
    let input = BufReader::with_capacity(1024 * 1024, input);
    let checked =
        read(input, Verifier::new(trusted), &bar).map_err(|error| unreadable(&arguments.file, &error))?;
    bar.finish_and_clear();
    match checked {
        Ok(verified) => {
            tell(&verified, json);
            Ok(())
        }
        Err(bad) => {
            if json {
                render::json(
                    &json!({"holds": false, "line": bad.line, "entries": bad.entries, "code": bad.code,
                    "reason": bad.reason}),
                );
            }
            Err(CommandError::DoesNotHold(format!("the log does not hold: {bad}")))
        }
    }
}

fn trusted(arguments: &VerifyArgs) -> Result<Trusted, CommandError> {
    let mut trusted = Trusted::default();
    if let Some(key) = &arguments.key {
        trusted = trusted.with_key(key).map_err(|error| CommandError::Usage(format!("--key: {error}")))?;
    }
    if let Some(key) = &arguments.owner_key {
        let known = trusted.with_owner_key(key);
        trusted = known.map_err(|error| CommandError::Usage(format!("--owner-key: {error}")))?;
    }
    for path in &arguments.checkpoint {
        let note = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
        trusted = trusted
            .with_checkpoint(&note)
            .map_err(|error| CommandError::Usage(format!("--checkpoint {}: {error}", path.display())))?;
    }
    Ok(trusted)
}

/// Line by line: what is remembered of a long log is what is open at a time.
fn read(
    mut input: impl BufRead,
    mut verifier: Verifier,
    bar: &ProgressBar,
) -> io::Result<Result<Verified, Bad>> {
    let mut line = Vec::new();
    let (mut done, mut shown) = (0, 0);
    loop {
        line.clear();
        let length = (&mut input).take(LONGEST_LINE).read_until(b'\n', &mut line)? as u64;
        if length == 0 {
            return Ok(verifier.finish());
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if let Err(bad) = verifier.line(&line) {
            return Ok(Err(bad));
        }
        done += length;
        if done - shown >= GLANCE {
            shown = done;
            bar.set_position(done);
            bar.set_message(format!("{} entries", verifier.entries()));
        }
    }
}

fn progress(length: u64, json: bool) -> ProgressBar {
    if json || length < 4 * GLANCE || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {percent}%  {msg}  {eta} left");
    ProgressBar::new(length).with_style(style.expect("the template is valid"))
}

fn tell(verified: &Verified, json: bool) {
    let Verified {
        organism,
        entries,
        root,
        checkpoints,
        key,
        key_was_known,
        known_heads,
        witnesses,
        witnesses_apart,
        dispatches,
        completions,
        verdicts,
        signatures,
        unsigned,
        owner_key,
        owner_key_was_known,
        restores,
        restores_signed,
        unjudged,
        words,
        words_erased,
    } = verified;
    let owner_key = owner_key.map(|key| key.to_string());
    if json {
        render::json(&json!({"holds": true, "organism": organism.to_string(), "entries": entries,
            "root": root.to_string(), "checkpoints": checkpoints, "key": key,
            "key_was_known": key_was_known, "known_heads": known_heads, "witnesses": witnesses,
            "witnesses_apart": witnesses_apart, "dispatches": dispatches, "completions": completions,
            "verdicts": verdicts, "signatures": signatures, "unsigned": unsigned, "owner_key": owner_key,
            "owner_key_was_known": owner_key_was_known, "restores": restores,
            "restores_signed": restores_signed, "unjudged": unjudged, "words": words,
            "words_erased": words_erased}));
        return;
    }
    println!("holds: {entries} entries of {organism} under {checkpoints} signed heads");
    println!("root   {root}");
    println!("checked {dispatches} dispatches, {completions} completions, {verdicts} policy verdicts");
    match &owner_key {
        None => println!("nobody could sign: there is no roster"),
        Some(key) if *owner_key_was_known => {
            println!("checked {signatures} signatures by the rosters that begin with your owner key {key}");
        }
        Some(key) => {
            println!("checked {signatures} signatures by the rosters that begin with owner key {key}");
            println!(
                "compare that with `nexusmon key show` on the owner's machine, or give it with --owner-key"
            );
        }
    }
    if *words > 0 {
        println!(
            "{words} values were sealed; {words_erased} of them erased since, the rest is what was sealed"
        );
    }
    if *restores > 0 {
        println!("restored from a backup {restores} times, {restores_signed} of them signed by the owner");
    }
    if *unsigned > 0 {
        println!("{unsigned} decisions were made before anybody could sign, and have no signature");
    }
    if *unjudged > 0 {
        println!(
            "{unjudged} plans were judged by a version that did not write down what it asked the policies"
        );
    }
    println!("cosigned by {witnesses} agents, {witnesses_apart} of them apart from the coordinators' hosts");
    if *known_heads > 0 {
        println!("contains {known_heads} of {known_heads} heads you knew");
    }
    if !key_was_known {
        println!("signed by {}", render::plain(key));
        println!(
            "compare that with the key you know, or give yours with --key; until then the file vouches for itself"
        );
    }
}

fn unreadable(path: &Path, error: &io::Error) -> CommandError {
    CommandError::Usage(format!("cannot read {}: {error}", path.display()))
}
