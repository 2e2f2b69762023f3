//! `nexusmon artifact …`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::client::{Client, CommandError, escape};
use super::{login, render};

#[derive(Debug, Subcommand)]
pub enum ArtifactCommand {
    /// List artifacts, newest first
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// One artifact with all its versions
    Show { artifact: String },
    /// Download a version
    Get {
        artifact: String,
        /// Version number or id; the newest without it
        #[arg(long)]
        version: Option<String>,
        /// Where to; `-` is standard output; the artifact's own name without it
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
    /// Upload a file as a new artifact, or a new version of one
    Put {
        file: PathBuf,
        /// Name in the vault; the file's own name without it
        #[arg(long)]
        name: Option<String>,
        #[arg(long, default_value = "application/octet-stream")]
        media_type: String,
    },
    /// What changed between two versions
    Diff {
        artifact: String,
        /// Version number or id to compare with; the one before without it
        #[arg(long)]
        with: Option<String>,
    },
    /// What the agent that made a version signed about it
    Provenance {
        artifact: String,
        /// Version number or id; the newest without it
        #[arg(long)]
        version: Option<String>,
    },
    /// Check a downloaded artifact against what its agent signed; asks no coordinator
    Verify(super::provenance::VerifyArgs),
    /// Add a judgement to the review trail
    Review {
        artifact: String,
        #[arg(value_parser = ["accept", "reject"])]
        verdict: String,
        #[arg(long, short)]
        comment: Option<String>,
    },
    /// Erase the bytes of a version for good; a tombstone says what there was
    Erase {
        artifact: String,
        /// Version number or id; the newest without it
        #[arg(long)]
        version: Option<String>,
        /// Stays in the audit log for good
        #[arg(long, short)]
        reason: String,
        /// Needed: this cannot be undone
        #[arg(long)]
        yes: bool,
        /// Read the operator key from this file instead of asking for it
        #[arg(long)]
        key_file: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub struct ListArgs {
    #[arg(long)]
    mission: Option<String>,
    #[arg(long)]
    name: Option<String>,
    /// output, log or upload
    #[arg(long)]
    kind: Option<String>,
    /// Words in its text
    #[arg(long, short)]
    q: Option<String>,
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

pub(super) async fn run(client: &Client, command: ArtifactCommand) -> Result<(), CommandError> {
    match command {
        ArtifactCommand::List(arguments) => list(client, &arguments).await,
        ArtifactCommand::Show { artifact } => {
            let mut answer = client.get(&path(&artifact)).await?;
            let versions = client.list(&format!("{}/versions", path(&artifact)), usize::MAX).await?;
            answer["versions"] = Value::Array(versions);
            render::json(&answer);
            Ok(())
        }
        ArtifactCommand::Get { artifact, version, output } => {
            get(client, &artifact, version.as_deref(), output.as_deref()).await
        }
        ArtifactCommand::Put { file, name, media_type } => put(client, &file, name, &media_type).await,
        ArtifactCommand::Diff { artifact, with } => {
            let query = with.map(|with| format!("?with={}", escape(&with))).unwrap_or_default();
            let answer = client.get(&format!("{}/diff{query}", path(&artifact))).await?;
            match answer["unified"].as_str() {
                Some(text) if !client.json => {
                    text.lines().for_each(|line| println!("{}", render::plain(line)));
                }
                _ => render::json(&answer),
            }
            Ok(())
        }
        ArtifactCommand::Provenance { artifact, version } => {
            let query = version.map(|version| format!("?version={}", escape(&version))).unwrap_or_default();
            render::json(&client.get(&format!("{}/provenance{query}", path(&artifact))).await?);
            Ok(())
        }
        ArtifactCommand::Verify(arguments) => super::provenance::verify(&arguments, client.json),
        ArtifactCommand::Review { artifact, verdict, comment } => {
            let body = json!({ "verdict": verdict, "comment": comment });
            let answer = client.post(&format!("{}/reviews", path(&artifact)), &body).await?;
            if client.json {
                render::json(&answer);
            } else {
                println!("{artifact}: {verdict} recorded");
            }
            Ok(())
        }
        ArtifactCommand::Erase { artifact, yes: false, .. } => {
            Err(CommandError::Usage(format!("erasing `{artifact}` cannot be undone; repeat with --yes")))
        }
        ArtifactCommand::Erase { artifact, version, reason, key_file, .. } => {
            let body = json!({ "reason": reason, "version": version });
            let place = format!("{}/erase", path(&artifact));
            let answer =
                login::fresh(client, reqwest::Method::POST, key_file.as_deref(), &place, Some(&body)).await?;
            if client.json {
                render::json(&answer);
            } else {
                println!("{artifact}: erased; the tombstone stands in the audit log (artifact.purged)");
            }
            Ok(())
        }
    }
}

/// The table of artifacts, also at the end of a mission.
pub(super) fn print(artifacts: &[Value]) {
    let rows = artifacts.iter().map(|artifact| {
        let latest = &artifact["latest"];
        vec![
            render::text(&artifact["name"]),
            render::text(&artifact["kind"]),
            format!("v{}", render::text(&latest["version"])),
            render::size(&latest["size"]),
            render::short(&render::text(&latest["digest"]), 13),
            render::text(&artifact["id"]),
        ]
    });
    render::table(&["artifact", "kind", "version", "size", "sha-256", "id"], rows.collect());
}

async fn list(client: &Client, arguments: &ListArgs) -> Result<(), CommandError> {
    let mut query = "/v1/vault/artifacts?sort=-created_at".to_owned();
    let filters = [
        ("mission", &arguments.mission),
        ("name", &arguments.name),
        ("kind", &arguments.kind),
        ("q", &arguments.q),
    ];
    for (name, value) in filters {
        if let Some(value) = value {
            query.push_str(&format!("&{name}={}", escape(value)));
        }
    }
    let artifacts = client.list(&query, arguments.limit).await?;
    if client.json {
        render::json(&Value::Array(artifacts));
    } else if artifacts.is_empty() {
        println!("No artifacts. A task keeps files that match its `artifacts` globs.");
    } else {
        print(&artifacts);
    }
    Ok(())
}

async fn get(
    client: &Client,
    artifact: &str,
    version: Option<&str>,
    output: Option<&Path>,
) -> Result<(), CommandError> {
    let about = client.get(&path(artifact)).await?;
    let query = version.map(|version| format!("?version={}", escape(version))).unwrap_or_default();
    let response = client.stream(&format!("{}/content{query}", path(artifact)), "*/*").await?;
    let size = response.content_length();
    let mut body = response.bytes_stream();
    let broken =
        |error: &dyn std::fmt::Display| CommandError::Failed(format!("the download broke off: {error}"));
    if output == Some(Path::new("-")) {
        let mut out = tokio::io::stdout();
        while let Some(chunk) = body.next().await {
            out.write_all(&chunk.map_err(|error| broken(&error))?).await.map_err(|error| broken(&error))?;
        }
        return out.flush().await.map_err(|error| broken(&error));
    }
    let own = about["name"]
        .as_str()
        .and_then(|name| name.rsplit('/').next())
        .filter(|name| !name.is_empty() && *name != "..");
    let target = match (output, own) {
        (Some(output), _) => output.to_owned(),
        (None, Some(name)) => PathBuf::from(render::plain(name)),
        (None, None) => {
            return Err(CommandError::Usage(
                "this artifact has no usable file name: name one with -o".to_owned(),
            ));
        }
    };
    // Never a half file under the final name.
    let partial =
        target.with_file_name(format!("{}.part", target.file_name().unwrap_or_default().to_string_lossy()));
    let bar = ProgressBar::new(size.unwrap_or(0));
    bar.set_style(
        ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec}")
            .expect("the template is valid"),
    );
    let mut file = tokio::fs::File::create(&partial)
        .await
        .map_err(|error| CommandError::Usage(format!("cannot write {}: {error}", partial.display())))?;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| broken(&error))?;
        bar.inc(chunk.len() as u64);
        file.write_all(&chunk).await.map_err(|error| broken(&error))?;
    }
    file.sync_all().await.map_err(|error| broken(&error))?;
    tokio::fs::rename(&partial, &target).await.map_err(|error| broken(&error))?;
    bar.finish_and_clear();
    if client.json {
        render::json(&json!({ "file": target, "artifact": about }));
    } else {
        println!("{}", target.display());
    }
    Ok(())
}

async fn put(
    client: &Client,
    file: &Path,
    name: Option<String>,
    media_type: &str,
) -> Result<(), CommandError> {
    let name = name.or_else(|| file.file_name().map(|name| name.to_string_lossy().into_owned()));
    let name = name.ok_or_else(|| CommandError::Usage("name the artifact with --name".to_owned()))?;
    let handle = tokio::fs::File::open(file)
        .await
        .map_err(|error| CommandError::Usage(format!("cannot read {}: {error}", file.display())))?;
    let answer =
        client.upload(&format!("/v1/vault/artifacts?name={}", escape(&name)), media_type, handle).await?;
    if client.json {
        render::json(&answer);
    } else {
        print(std::slice::from_ref(&answer));
    }
    Ok(())
}

fn path(artifact: &str) -> String {
    format!("/v1/vault/artifacts/{}", escape(artifact))
}
