//! The commands of the mind, as a person types them: the released program against a coordinator that serves.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::learned::{body, offered};
use crate::served::{KEY, PATIENCE, Served};

/// Somebody at a terminal, with a home of their own.
struct Person<'a> {
    served: &'a Served,
    home: tempfile::TempDir,
}

impl<'a> Person<'a> {
    fn at(served: &'a Served) -> Result<Self> {
        Ok(Self { served, home: tempfile::tempdir()? })
    }

    async fn ran(&self, arguments: &[&str]) -> Result<std::process::Output> {
        let ended = Command::new(env!("CARGO_BIN_EXE_nexusmon"))
            .args(arguments)
            .env_clear()
            .env("HOME", self.home.path())
            .envs([("NEXUSMON_URL", self.served.url.as_str()), ("OPERATOR_KEY", KEY)])
            .kill_on_drop(true)
            .output();
        Ok(tokio::time::timeout(PATIENCE, ended).await??)
    }

    /// What it printed.
    async fn says(&self, arguments: &[&str]) -> Result<String> {
        let ended = self.ran(arguments).await?;
        let error = String::from_utf8_lossy(&ended.stderr);
        ensure!(ended.status.success(), "{arguments:?}: {} {error}", ended.status);
        Ok(String::from_utf8(ended.stdout)?)
    }

    async fn json(&self, arguments: &[&str]) -> Result<Value> {
        let arguments = [&["--json"][..], arguments].concat();
        Ok(serde_json::from_str(&self.says(&arguments).await?)?)
    }

    /// How it ended and why, where it does not do what was asked.
    async fn refused(&self, arguments: &[&str]) -> Result<(i32, String)> {
        let ended = self.ran(arguments).await?;
        ensure!(!ended.status.success(), "{arguments:?} did not fail");
        Ok((ended.status.code().context("a code")?, String::from_utf8(ended.stderr)?))
    }
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("text, not {value}"))
}

/// Sends what a `curl` line says.
async fn sent(line: &str) -> Result<(u16, Value)> {
    let mut quoted: Vec<&str> = line.split('\'').skip(1).step_by(2).collect();
    let (url, body) = (quoted.pop().context("an address")?, quoted.pop().context("a body")?);
    let mut request = reqwest::Client::new().post(url).body(body.to_owned());
    for header in quoted {
        let (name, value) = header.split_once(": ").context("a header")?;
        request = request.header(name, value);
    }
    let answer = request.send().await?;
    Ok((answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await?)?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_kept_and_the_call_that_is_printed_makes_a_mission() -> Result<()> {
    let served = Served::start().await?;
    let playbook = json!({"name": "build", "goal": "build ${{ inputs.ref }}",
        "input_schema": {"properties": {"ref": {"type": "string", "maxLength": 40}}, "required": ["ref"]},
        "tasks": [{"id": "a", "uses": "core.noop"}]});
    assert_eq!(served.call("POST", "/v1/engine/playbooks", Some(&playbook)).await?.0, 201);
    let person = Person::at(&served)?;
    let input = "ref=${{ trigger.body.ref }}";
    for format in ["github", "gitlab", "generic"] {
        let create = ["webhook", "create", format, "--format", format, "--playbook", "build", "-i", input];
        let made = person.json(&create).await?;
        assert!(text(&made["secret"])?.starts_with("whsec_"), "{made}");
        let (status, answer) = sent(text(&made["curl"])?).await?;
        assert_eq!((status, &answer["result"]), (202, &json!("fired")), "{made} {answer}");
        // Whoever has no key makes nothing.
        let forged = text(&made["curl"])?.replace("\"example\"", "\"another\"").replace("whsec_", "whsec-");
        assert_eq!(sent(&forged).await?.0, 401, "{forged}");
    }
    // The key is shown once: `list` and `show` have none, and another one shuts out the first.
    let listed = person.says(&["webhook", "list"]).await?;
    assert!(["github", "gitlab", "generic", "build"].iter().all(|word| listed.contains(word)), "{listed}");
    let shown = person.says(&["webhook", "show", "github"]).await?;
    assert!(shown.contains("fired") && shown.contains("1000 missions an hour"), "{shown}");
    assert!(!listed.contains("whsec_") && !shown.contains("whsec_"), "{listed} {shown}");
    let said = person.says(&["webhook", "rotate", "gitlab"]).await?;
    let line = said.lines().find(|line| line.trim_start().starts_with("curl ")).context("a call")?;
    let (status, answer) = sent(line).await?;
    assert_eq!((status, &answer["result"]), (202, &json!("already")), "the same bytes count once: {said}");

    let change = ["webhook", "create", "github", "--format", "github", "--event", "push", "--event", "ping"];
    let bounds = ["--per-hour", "5", "--max-depth", "2", "--max-repeats", "4", "--replace"];
    let changed = [&change[..], &["--playbook", "build", "-i", input], &bounds[..]].concat();
    let said = person.says(&changed).await?;
    assert!(said.contains("events: push, ping") && said.contains("At most 5 missions an hour"), "{said}");
    assert!(said.contains("2 deep in a chain, 4 alike"), "{said}");
    assert!(person.says(&["webhook", "pause", "github"]).await?.contains("paused"));
    assert!(person.says(&["webhook", "resume", "github"]).await?.contains("active"));
    person.says(&["webhook", "remove", "github"]).await?;
    let (code, why) = person.refused(&["webhook", "show", "github"]).await?;
    assert_eq!(code, 4, "{why}");
    assert!(why.contains("there is no webhook `github`"), "{why}");
    let wrong = ["webhook", "create", "x", "--format", "generic", "--playbook", "build", "--event", "push"];
    let (code, why) = person.refused(&wrong).await?;
    assert_eq!(code, 2, "{why}");
    assert!(why.contains("/events"), "{why}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_searched_and_forgotten() -> Result<()> {
    let served = Served::start().await?;
    let person = Person::at(&served)?;
    assert!(person.says(&["memory", "search"]).await?.contains("Nothing is remembered"));
    let mission = json!({"goal": "count the herons", "tasks": [{"id": "a", "uses": "core.noop"}]});
    let (status, made) = served.call("POST", "/v1/engine/missions", Some(&mission)).await?;
    assert_eq!(status, 201, "{made}");
    let path = format!("/v1/engine/missions/{}/cancel", text(&made["id"])?);
    assert!(served.call("POST", &path, None).await?.0.is_success());
    let learned = async {
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(100));
        loop {
            pace.tick().await;
            let found = served.get("/v1/cognition/memory?q=herons").await?;
            if let Some(one) = found["items"].get(0) {
                return anyhow::Ok(one.clone());
            }
        }
    };
    let learned = tokio::time::timeout(PATIENCE, learned).await??;
    let id = text(&learned["id"])?;
    let found = person.says(&["memory", "search", "grey", "herons", "--kind", "mission"]).await?;
    assert!(
        found.contains(id) && found.contains("cancelled") && found.contains("count the herons"),
        "{found}"
    );
    assert!(!person.says(&["memory", "search", "--kind", "review"]).await?.contains(id));
    assert_eq!(person.json(&["memory", "search", "herons", "--limit", "1"]).await?[0]["id"], json!(id));
    let (code, why) = person.refused(&["memory", "search", "--kind", "dream"]).await?;
    assert_eq!(code, 2, "{why}");

    let (code, why) = person.refused(&["memory", "forget", id]).await?;
    assert!(code == 2 && why.contains("--yes"), "{code} {why}");
    assert!(person.says(&["memory", "forget", id, "--yes"]).await?.contains("is forgotten"));
    assert_eq!(person.json(&["memory", "search", "herons"]).await?, json!([]));
    assert_eq!(person.refused(&["memory", "forget", id, "--yes"]).await?.0, 4);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn beliefs_are_asserted_revised_and_taken_back() -> Result<()> {
    let served = Served::start().await?;
    let person = Person::at(&served)?;
    let disk = ["belief", "assert", "the disk is sound", "--confidence", "0.9", "--note", "smart test"];
    let disk = person.json(&disk).await?;
    let disk = text(&disk["id"])?;
    let backups = ["belief", "assert", "backups are whole", "--confidence", "0.8", "--rests-on", disk];
    let said = person.says(&backups).await?;
    assert!(said.contains("Rests on:") && said.contains("the disk is sound"), "{said}");
    let all = person.json(&["belief", "list"]).await?;
    let whole = all["asserted"].as_array().context("beliefs")?.iter().find(|one| one["id"] != disk);
    let whole = text(&whole.context("the other")?["id"])?.to_owned();

    let (code, why) = person.refused(&["belief", "revise", disk, "--evidence", "mis_1"]).await?;
    assert!(code == 2 && why.contains("KIND:ID"), "{code} {why}");
    let revise =
        ["belief", "revise", disk, "--confidence", "0.4", "--comment", "it clicks", "--revision", "1"];
    let said = person.says(&revise).await?;
    assert!(said.contains("confidence 0.40") && said.contains("it clicks"), "{said}");
    let (code, why) = person.refused(&revise).await?;
    assert_eq!(code, 5, "somebody else was faster: {why}");
    let said = person.says(&["belief", "retract", disk, "--comment", "replaced"]).await?;
    assert!(said.contains("withdrawn") && said.contains("What rests on it:"), "{said}");
    assert!(said.contains(&whole) && said.contains("smart test") && said.contains("replaced"), "{said}");

    let shown = person.says(&["belief", "show", &whole]).await?;
    assert!(shown.contains(&format!("Doubted: it rests on {disk}")), "{shown}");
    let listed = person.says(&["belief", "list"]).await?;
    assert!(listed.contains("BELIEF_TRACK is not held") && listed.contains("backups are whole"), "{listed}");
    assert_eq!(person.refused(&["belief", "show", "blf_00000000000000000000000000"]).await?.0, 4);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_learned_is_kept_or_dismissed() -> Result<()> {
    let served = Served::start().await?;
    let person = Person::at(&served)?;
    assert!(person.says(&["playbook", "learned", "list"]).await?.contains("Nothing is learned yet"));
    for name in ["learned-one", "learned-two", "learned-three"] {
        offered(&served, name).await?;
    }
    let listed = person.says(&["playbook", "learned", "list"]).await?;
    assert!(listed.contains("learned-one") && listed.contains("offered"), "{listed}");
    assert!(
        person
            .says(&["playbook", "learned", "show", "learned-one"])
            .await?
            .contains("No playbook is like it")
    );
    assert_eq!(served.call("POST", "/v1/engine/playbooks", Some(&body("scales", "old"))).await?.0, 201);
    let shown = person.says(&["playbook", "learned", "show", "learned-one"]).await?;
    let line =
        |sign: char, what: &str| shown.lines().any(|line| line.starts_with(sign) && line.contains(what));
    assert!(line('-', "old") && line('+', "new") && shown.contains("scales"), "{shown}");

    let kept = ["playbook", "learned", "keep", "learned-one", "--comment", "as it should be"];
    assert_eq!(person.says(&kept).await?.trim(), "learned-one@1");
    assert_eq!(person.json(&["playbook", "promote", "learned-three"]).await?["version"], 1);
    let (code, why) = person.refused(&["playbook", "promote", "learned-one"]).await?;
    assert_eq!(code, 5, "{why}");
    assert!(why.contains("already_decided"), "{why}");
    person.says(&["playbook", "learned", "dismiss", "learned-two"]).await?;
    let all = person.json(&["playbook", "learned", "list"]).await?;
    let mut states = Vec::new();
    for one in all.as_array().context("a list")? {
        states.push((text(&one["name"])?, text(&one["status"])?));
    }
    states.sort_unstable();
    let decided = [("learned-one", "promoted"), ("learned-three", "promoted"), ("learned-two", "declined")];
    assert_eq!(states, decided);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_its_own_thinking_is_told_in_tables() -> Result<()> {
    let served = Served::start().await?;
    let person = Person::at(&served)?;
    let goal = json!({"goal": "do something unheard of"});
    let (status, made) = served.call("POST", "/v1/engine/missions", Some(&goal)).await?;
    assert_eq!((status.as_u16(), &made["status"]), (201, &json!("needs_plan")), "{made}");
    let said = person.says(&["cognition"]).await?;
    let row = |name: &str| said.lines().find(|line| line.starts_with(name)).map(str::to_owned);
    assert!(row("goals without a plan").context("a row")?.ends_with('1'), "{said}");
    assert!(row("predictions scored").context("a row")?.ends_with("0 of 0"), "{said}");
    assert!(row("playbook").is_some() && row("model").is_some(), "every planner has its numbers: {said}");
    assert_eq!(person.json(&["cognition", "status"]).await?["attention"]["needs_plan"], 1);
    assert!(person.says(&["cognition", "predictions", "--days", "7"]).await?.contains("in the last 7 days"));
    assert!(person.says(&["cognition", "errors"]).await?.starts_with("0 failures in the last 30 days"));
    assert_eq!(person.refused(&["cognition", "errors", "--days", "0"]).await?.0, 2);
    assert!(person.says(&["review", "list"]).await?.contains("No flagged work"));
    assert_eq!(person.json(&["reviews", "--status", "all"]).await?, json!([]));
    let nobody = "rev_00000000000000000000000000";
    assert_eq!(person.refused(&["review", "give", nobody, "accept"]).await?.0, 4);
    assert_eq!(person.refused(&["review", "show", nobody]).await?.0, 4);
    Ok(())
}

/// What people's scripts may rely on, beside whatever the pages below name.
const DECIDED: [&str; 51] = [
    "serve",
    "up",
    "mission create",
    "mission list",
    "mission show",
    "mission run",
    "mission approve",
    "mission reject",
    "mission cancel",
    "mission rerun",
    "mission logs",
    "mission watch",
    "playbook list",
    "playbook learned",
    "playbook promote",
    "schedule list",
    "webhook create",
    "webhook rotate",
    "event-trigger list",
    "chain show",
    "agent invite",
    "agent list",
    "agent show",
    "agent drain",
    "agent quarantine",
    "agent revoke",
    "artifact list",
    "artifact get",
    "artifact put",
    "artifact diff",
    "artifact review",
    "approvals",
    "review give",
    "halt",
    "resume",
    "policy show",
    "policy set",
    "policy replay",
    "secret set",
    "secret list",
    "secret rm",
    "evolution",
    "cognition errors",
    "memory search",
    "belief retract",
    "audit tail",
    "audit export",
    "audit verify",
    "login",
    "doctor",
    "completions",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_command_that_is_promised_is_there_and_explains_itself() -> Result<()> {
    let served = Served::start().await?;
    let person = Person::at(&served)?;
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut named: std::collections::BTreeSet<String> =
        DECIDED.iter().map(|words| (*words).to_owned()).collect();
    for page in ["README.md", "docs/triggers.md", "docs/cognition.md", "docs/playbooks.md", "docs/chains.md"]
    {
        let page = std::fs::read_to_string(root.join(page)).with_context(|| page.to_owned())?;
        for line in page.lines().filter_map(|line| line.strip_prefix("nexusmon ")) {
            // Words up to the first that no command is named: a value, an option, a comment.
            let plain = |word: &&str| {
                !word.is_empty() && word.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-')
            };
            let words: Vec<&str> = line.split(' ').take_while(plain).take(2).collect();
            named.insert(words.join(" "));
        }
    }
    assert!(named.contains("webhook list") && named.contains("belief assert"), "{named:?}");
    for words in named {
        let arguments: Vec<&str> = words.split(' ').chain(["--help"]).collect();
        let help = person.says(&arguments).await?;
        let usage = format!("Usage: nexusmon {}", words.split(' ').next().unwrap_or_default());
        assert!(help.contains(&usage), "{words}: {help}");
    }
    Ok(())
}
