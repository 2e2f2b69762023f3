//! Exports of the audit log, spoilt in every way: by somebody with the file, by somebody with the coordinator's key, and
//! by a coordinator that writes down what must not have happened. All of it is found offline, at its place.

use nexusmon_core::audit::sample::{self, log_key, verifier_key};
use nexusmon_core::audit::tamper::tamper;
use nexusmon_core::audit::{Bad, Trusted, Verified, Verifier};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::{Case, Findings, Run, at_least, none};

/// Of one case.
const EACH: u64 = 100;

pub(super) const RUN: Run = Run {
    name: "tampering",
    what: "exports of the audit log spoilt in every way, verified offline: found, the first bad entry named",
    cases: (5, 100),
    at_once: 1,
    patience_seconds: 1_200,
    case: |case| Box::pin(async move { Ok(tokio::task::spawn_blocking(move || carry_out(&case)).await?) }),
    targets: &[&[
        at_least("tamperings_found", 500, 10_000),
        at_least("named_exactly", 150, 3_000),
        at_least("honest_logs_held", 500, 10_000),
        none("missed"),
        none("honest_refused"),
    ]],
};

fn carry_out(case: &Case) -> Findings {
    let mut findings = Findings::default();
    findings.parameter("each", EACH);
    for number in 0..EACH {
        let seed = case.seed.wrapping_mul(EACH).wrapping_add(number);
        let mut rng = StdRng::seed_from_u64(seed);
        let (entries, every) = (rng.random_range(20..120), rng.random_range(3..40));
        let honest = sample::text(seed, entries, every);
        match verify(&honest, &honest, true) {
            Ok(_) => findings.count("honest_logs_held", 1),
            Err(bad) => findings.violation("honest_refused", format!("seed {seed}: {bad}")),
        }
        let tampered = tamper(&honest, Some(&log_key()), &mut rng);
        let found = verify(&honest, &tampered.text, tampered.with_head);
        match tampered.judge(&found) {
            None => {
                findings.count("tamperings_found", 1);
                findings.count(&format!("found_{}", tampered.kind), 1);
                let exact = found.is_err_and(|bad| bad.entries.is_some_and(|(first, last)| first == last));
                findings.count("named_exactly", u64::from(exact));
            }
            Some(wrong) => findings.violation("missed", format!("seed {seed}: {wrong}")),
        }
    }
    findings
}

/// As an auditor who knows the key, and perhaps the newest head of the honest log, from before.
fn verify(honest: &str, text: &str, with_head: bool) -> Result<Verified, Bad> {
    let trusted = Trusted::default().with_key(&verifier_key(&log_key()).to_string());
    let mut trusted = trusted.expect("the key of the samples is one");
    if with_head {
        let head =
            honest.lines().rev().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let note = head.into_iter().find_map(|line| line["note"].as_str().map(str::to_owned));
        let note = note.expect("every sample has a head");
        trusted = trusted.with_checkpoint(note.as_bytes()).expect("heads of samples can be read");
    }
    let mut verifier = Verifier::new(trusted);
    text.lines().try_for_each(|line| verifier.line(line.as_bytes()))?;
    verifier.finish()
}
