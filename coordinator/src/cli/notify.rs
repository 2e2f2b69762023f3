//! `nexusmon notify …`: where you are told, of what, and what became of it. What opens a door comes from files or standard
//! input; on a command line others could see it.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, CommandError, escape};
use super::render;

const CHANNELS: &str = "/v1/notifications/channels";
const RULES: &str = "/v1/notifications/rules";
/// The longest value that is read from a file.
const MOST: u64 = 64 * 1024;

#[derive(Debug, Subcommand)]
pub enum NotifyCommand {
    /// Where you are told
    #[command(subcommand, visible_alias = "channels")]
    Channel(ChannelCommand),
    /// What you are told, where and when
    #[command(subcommand, visible_alias = "rules")]
    Rule(RuleCommand),
    /// What you were told lately, and what waits
    Deliveries,
}

#[derive(Debug, Subcommand)]
pub enum ChannelCommand {
    /// Make a channel
    Add(Box<ChannelArgs>),
    /// Yours, by name
    #[command(visible_alias = "ls")]
    List,
    /// Send it something now, and say what came of it
    Test { channel: String },
    /// Take it away
    #[command(name = "rm", visible_alias = "remove")]
    Remove { channel: String },
}

#[derive(Debug, Args)]
pub struct ChannelArgs {
    name: String,
    /// webhook, ntfy, slack, email, or push (your browsers)
    #[arg(long)]
    kind: String,
    /// File with the address of a webhook, topic or hook; - is standard input
    #[arg(long, value_name = "FILE")]
    url_file: Option<PathBuf>,
    /// ntfy: file with an access token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Webhook: file with a key of your own (`whsec_…`); one is made otherwise, and shown once
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// E-mail: the server
    #[arg(long)]
    host: Option<String>,
    #[arg(long, default_value_t = 465)]
    port: u16,
    /// tls, starttls, or none (only within `NEXUSMON_NOTIFY_INSIDE`)
    #[arg(long, default_value = "tls")]
    security: String,
    #[arg(long)]
    username: Option<String>,
    /// File with the password of the mail server; - is standard input
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// E-mail: whom it comes from
    #[arg(long)]
    from: Option<String>,
    /// E-mail: who gets it; may be repeated
    #[arg(long)]
    to: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub enum RuleCommand {
    /// Make a rule, or with --replace change the one of that name
    Set(Box<RuleArgs>),
    /// Yours, by name
    #[command(visible_alias = "ls")]
    List,
    /// Take it away
    #[command(name = "rm", visible_alias = "remove")]
    Remove { rule: String },
}

#[derive(Debug, Args)]
pub struct RuleArgs {
    name: String,
    /// Name or id of a channel of yours
    #[arg(long)]
    channel: String,
    /// approval, review, failure, suspension, budget, `agent_lost`, alert or halt; may be repeated
    #[arg(long, required = true)]
    kind: Vec<String>,
    /// Nothing about work below it
    #[arg(long)]
    rank: Option<String>,
    /// Only about missions with this label; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// Nothing between these times, as in 22:00-07:00
    #[arg(long, value_name = "FROM-TO")]
    quiet: Option<String>,
    /// Of the quiet hours, as in Europe/Berlin
    #[arg(long, default_value = "UTC")]
    time_zone: String,
    /// Gather over this time and say it together, as in 30m
    #[arg(long)]
    digest: Option<String>,
    /// Tell another channel of an approval that nobody has looked at, as in 15m=phone
    #[arg(long, value_name = "AFTER=CHANNEL")]
    escalate: Option<String>,
    /// Keep it, and tell nothing by it
    #[arg(long)]
    paused: bool,
    /// Change the rule of that name
    #[arg(long)]
    replace: bool,
}

pub(super) async fn run(client: &Client, command: NotifyCommand) -> Result<(), CommandError> {
    match command {
        NotifyCommand::Channel(command) => channels(client, command).await,
        NotifyCommand::Rule(command) => rules(client, command).await,
        NotifyCommand::Deliveries => deliveries(client).await,
    }
}

/// What a file holds, without the end of its line.
fn value(path: &Path) -> Result<String, CommandError> {
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(MOST).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MOST).read_to_string(&mut text))
    };
    read.map_err(|error| CommandError::Usage(format!("cannot read {}: {error}", path.display())))?;
    let text = text.trim_end_matches(['\r', '\n']).to_owned();
    if text.is_empty() {
        return Err(CommandError::Usage(format!("there is nothing in {}", path.display())));
    }
    Ok(text)
}

/// The id of one, by id or by name.
async fn id(client: &Client, list: &str, prefix: &str, name: &str) -> Result<String, CommandError> {
    if name.starts_with(prefix) {
        return Ok(name.to_owned());
    }
    let items = client.list(list, usize::MAX).await?;
    let found = items.iter().find(|item| item["name"] == name).and_then(|item| item["id"].as_str());
    found.map(str::to_owned).ok_or_else(|| CommandError::Refused {
        status: 404,
        body: json!({"detail": format!("you have no `{}`", render::plain(name)), "code": "not_found"}),
    })
}

async fn channels(client: &Client, command: ChannelCommand) -> Result<(), CommandError> {
    match command {
        ChannelCommand::Add(arguments) => add(client, *arguments).await,
        ChannelCommand::List => {
            let items = client.list(CHANNELS, usize::MAX).await?;
            if client.json {
                render::json(&Value::Array(items));
                return Ok(());
            }
            let rows = items.iter().map(|item| {
                let to = item["shown"]["to"]
                    .as_array()
                    .map(|to| to.iter().map(render::text).collect::<Vec<_>>().join(", "));
                vec![
                    render::text(&item["name"]),
                    render::text(&item["kind"]),
                    to.unwrap_or_else(|| render::text(&item["shown"]["host"])),
                    render::time(&item["last_sent_at"]),
                    render::text(&item["last_error"]),
                ]
            });
            render::table(&["channel", "kind", "where", "last sent (UTC)", "last error"], rows.collect());
            Ok(())
        }
        ChannelCommand::Test { channel } => {
            let id = id(client, CHANNELS, "chn_", &channel).await?;
            client.post(&format!("{CHANNELS}/{}/test", escape(&id)), &json!({})).await?;
            println!("Sent to {}: it should be there now.", render::plain(&channel));
            Ok(())
        }
        ChannelCommand::Remove { channel } => {
            let id = id(client, CHANNELS, "chn_", &channel).await?;
            client.call(Method::DELETE, &format!("{CHANNELS}/{}", escape(&id)), None).await?;
            println!("{} is gone.", render::plain(&channel));
            Ok(())
        }
    }
}

async fn add(client: &Client, arguments: ChannelArgs) -> Result<(), CommandError> {
    let read = |path: &Option<PathBuf>| path.as_deref().map(value).transpose();
    let mut body = json!({"name": arguments.name, "kind": arguments.kind, "url": read(&arguments.url_file)?,
        "token": read(&arguments.token_file)?, "key": read(&arguments.key_file)?, "from": arguments.from,
        "to": arguments.to});
    if let Some(host) = &arguments.host {
        body["server"] = json!({"host": host, "port": arguments.port, "security": arguments.security,
            "username": arguments.username, "password": read(&arguments.password_file)?});
    }
    let answer = client.post(CHANNELS, &body).await?;
    if client.json {
        render::json(&answer);
        return Ok(());
    }
    let channel = &answer["channel"];
    println!(
        "{}  {}  {}",
        render::text(&channel["name"]),
        render::text(&channel["id"]),
        render::text(&channel["kind"])
    );
    if let Some(key) = answer["key"].as_str() {
        println!("Its key, shown this once; receivers check signatures with it:\n{key}");
    }
    println!("Try it: nexusmon notify channel test {}", render::text(&channel["name"]));
    Ok(())
}

async fn rules(client: &Client, command: RuleCommand) -> Result<(), CommandError> {
    match command {
        RuleCommand::Set(arguments) => set(client, *arguments).await,
        RuleCommand::List => {
            let items = client.list(RULES, usize::MAX).await?;
            if client.json {
                render::json(&Value::Array(items));
                return Ok(());
            }
            let channels = client.list(CHANNELS, usize::MAX).await?;
            let names: BTreeMap<_, _> =
                channels.iter().map(|one| (render::text(&one["id"]), render::text(&one["name"]))).collect();
            let rows = items.iter().map(|item| {
                let kinds =
                    item["kinds"].as_array().into_iter().flatten().map(render::text).collect::<Vec<_>>();
                let channel = render::text(&item["channel"]);
                let quiet = &item["quiet"];
                vec![
                    render::text(&item["name"]),
                    kinds.join(", "),
                    render::text(&item["rank"]),
                    names.get(&channel).cloned().unwrap_or(channel),
                    if quiet.is_null() {
                        "-".to_owned()
                    } else {
                        format!(
                            "{}-{} {}",
                            render::text(&quiet["from"]),
                            render::text(&quiet["to"]),
                            render::text(&quiet["time_zone"])
                        )
                    },
                    if item["paused"] == true { "paused".to_owned() } else { "active".to_owned() },
                ]
            });
            render::table(&["rule", "of", "from rank", "channel", "quiet", "state"], rows.collect());
            Ok(())
        }
        RuleCommand::Remove { rule } => {
            let id = id(client, RULES, "rul_", &rule).await?;
            client.call(Method::DELETE, &format!("{RULES}/{}", escape(&id)), None).await?;
            println!("{} is gone.", render::plain(&rule));
            Ok(())
        }
    }
}

fn pair<'a>(text: &'a str, by: char, example: &str) -> Result<(&'a str, &'a str), CommandError> {
    text.split_once(by).ok_or_else(|| CommandError::Usage(format!("`{text}`: write it as in {example}")))
}

async fn set(client: &Client, arguments: RuleArgs) -> Result<(), CommandError> {
    let channel = id(client, CHANNELS, "chn_", &arguments.channel).await?;
    let mut labels = BTreeMap::new();
    for label in &arguments.label {
        let (key, value) = pair(label, '=', "team=web")?;
        labels.insert(key, value);
    }
    let mut body = json!({"name": arguments.name, "channel": channel, "kinds": arguments.kind,
        "rank": arguments.rank, "labels": labels, "digest": arguments.digest, "paused": arguments.paused});
    if let Some(quiet) = &arguments.quiet {
        let (from, to) = pair(quiet, '-', "22:00-07:00")?;
        body["quiet"] = json!({"from": from, "to": to, "time_zone": arguments.time_zone});
    }
    if let Some(escalate) = &arguments.escalate {
        let (after, other) = pair(escalate, '=', "15m=phone")?;
        body["escalate"] = json!({"after": after, "channel": id(client, CHANNELS, "chn_", other).await?});
    }
    let answer = if arguments.replace {
        let id = id(client, RULES, "rul_", &arguments.name).await?;
        client.call(Method::PUT, &format!("{RULES}/{}", escape(&id)), Some(&body)).await?
    } else {
        client.post(RULES, &body).await?
    };
    if client.json {
        render::json(&answer);
    } else {
        println!("{}  {}", render::text(&answer["name"]), render::text(&answer["id"]));
    }
    Ok(())
}

async fn deliveries(client: &Client) -> Result<(), CommandError> {
    let items = client.list("/v1/notifications/deliveries", 50).await?;
    if client.json {
        render::json(&Value::Array(items));
        return Ok(());
    }
    let rows = items.iter().map(|item| {
        vec![
            render::time(&item["created_at"]),
            render::text(&item["kind"]),
            render::text(&item["subject"]),
            render::text(&item["rank"]),
            render::text(&item["state"]),
            render::text(&item["attempts"]),
            render::short(&render::text(&item["error"]), 50),
        ]
    });
    render::table(&["when (UTC)", "kind", "about", "rank", "state", "attempts", "why"], rows.collect());
    Ok(())
}
