//! Whoever is stuck costs the others nothing: a reader of events that stops reading, an object store that stops answering.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use nexusmon_tests::{Cluster, Nodes, Options};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// Logs in memory, of a coordinator whose store is slow: `docs/limits.md`.
const MOST_LOG_BYTES: u64 = 48 * 1024 * 1024;

/// Asks for the event stream on a connection that takes little and of which nothing is read yet.
async fn unread(cluster: &Cluster) -> Result<TcpStream> {
    let address = cluster.api.url.trim_start_matches("http://").to_owned();
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4_096)?;
    let mut line = socket.connect(address.parse()?).await?;
    let token = cluster.api.access_token().await?;
    // Without chunks, so that the text is the events and nothing else.
    let request = format!(
        "GET /v1/events?after=0 HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         Accept: text/event-stream\r\n\r\n"
    );
    line.write_all(request.as_bytes()).await?;
    Ok(line)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_reading_holds_up_nobody_and_misses_nothing() -> Result<()> {
    const MISSIONS: usize = 6;
    let cluster = Cluster::start(Options { agents: 1, slots: 8, ..Options::default() }).await?;
    let mut line = unread(&cluster).await?;
    let tasks: Vec<Value> = (0..1_000).map(|n| json!({"id": format!("t{n}"), "uses": "core.noop"})).collect();
    let mut missions = BTreeSet::new();
    for _ in 0..MISSIONS {
        missions.insert(cluster.api.create(json!({"goal": "many events", "tasks": tasks})).await?);
    }
    // Far more events than are kept for those who listen.
    for mission in &missions {
        assert_eq!(cluster.api.finished(mission).await?["status"], "succeeded");
    }

    let (mut text, mut piece) = (String::new(), vec![0; 65_536]);
    let (mut last, mut told) = (0, 0);
    while !missions.is_empty() {
        let read = line.read(&mut piece).await?;
        ensure!(read > 0, "the stream ends while {} missions are not told of", missions.len());
        text.push_str(std::str::from_utf8(&piece[..read]).context("events are ASCII here")?);
        while let Some((event, rest)) = text.split_once("\n\n") {
            if let Some(change) = change(event)
                && let Some(seq) = change["seq"].as_u64()
            {
                assert!(seq > last, "{seq} comes after {last}");
                (last, told) = (seq, told + 1);
                if change["kind"] == "mission.completed" {
                    missions.remove(change["mission"].as_str().unwrap_or_default());
                }
            }
            text = rest.to_owned();
        }
    }
    assert!(told > 2 * MISSIONS * 1_000, "each grant and each end is told: {told}");
    Ok(())
}

fn change(event: &str) -> Option<Value> {
    let data = event.lines().find_map(|line| line.strip_prefix("data:"))?;
    serde_json::from_str(data).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_stops_answering_holds_up_only_what_needs_it() -> Result<()> {
    let mut cluster = Nodes::start(1).await?;
    cluster.add_agent("agent-1", 4).await?;
    let api = &cluster.api;
    cluster.objects.freeze(true)?;
    let printing = "yes 'a line that has to go somewhere while nobody takes it' | head -c 100000000";
    let loud = api
        .create(json!({"goal": "print", "tasks": [{"id": "loud", "uses": "shell.run", "with": {"script": printing}}]}))
        .await?;
    api.task_reaches(&loud, "loud", "running").await?;
    // Memory fills to its bound and no further; the rest waits on the agent's disk.
    let held = |metrics: &[u8]| -> Option<u64> {
        let text = std::str::from_utf8(metrics).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("nexusmon_log_buffer_bytes "))?;
        line.trim().parse().ok()
    };
    api.until_bytes("/metrics", "text/plain", "holding log bytes", |metrics| held(metrics) > Some(4_000_000))
        .await?;
    // What needs no bytes of the store goes on.
    for _ in 0..20 {
        let quiet =
            api.create(json!({"goal": "nothing", "tasks": [{"id": "a", "uses": "core.noop"}]})).await?;
        assert_eq!(api.finished(&quiet).await?["status"], "succeeded");
        let held = held(&api.bytes("/metrics", "text/plain").await?).context("the metric is there")?;
        assert!(held <= MOST_LOG_BYTES, "{held} bytes of logs in memory");
    }
    cluster.objects.freeze(false)?;
    let done = api.finished(&loud).await?;
    assert_eq!(done["status"], "succeeded", "{done:#}");
    let task = done["tasks"][0]["task_id"].as_str().context("a task has an id")?;
    let lines = 100_000_000_usize.div_ceil("a line that has to go somewhere while nobody takes it\n".len());
    let path = format!("/v1/engine/tasks/{task}/log?from_line={lines}&lines=1");
    api.until_bytes(&path, "application/x-ndjson", "holding the last line", |body| {
        serde_json::from_slice::<Value>(body).is_ok_and(|line| line["n"] == lines)
    })
    .await
}
