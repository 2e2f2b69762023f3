//! `nexusmon up`: a coordinator in this process, an agent on this machine, and where to go from there.

mod agent;
mod demo;
mod screen;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nexusmon_shared::id::AgentId;
use nexusmon_shared::name::Name;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::selector::Labels;

use crate::app::App;
use crate::config::Config;
use crate::error::Error;
use crate::service::agents::NewInvite;
use crate::service::{Caller, agents};
use crate::{Running, StartError, Told};
pub use agent::AgentError;
use agent::LocalAgent;

/// How long the local agent may take to connect.
const CONNECTED_WITHIN: Duration = Duration::from_secs(30);
/// Until somebody has made a key.
const OWNER_KEY_LOOK: Duration = Duration::from_millis(500);
const INVITE_LIFE: Duration = Duration::from_mins(15);
/// How long the agent may take to end once asked.
const AGENT_GRACE: Duration = Duration::from_secs(15);

/// What `up` does beside starting.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Run a sample mission and show what it did.
    pub demo: bool,
    /// One line of JSON instead of text.
    pub json: bool,
}

/// Runs until a signal comes or something breaks.
pub async fn run(config: Config, options: Options) -> Result<(), StartError> {
    let binary = agent::find()?;
    let running = crate::start_process(config).await?;
    let local = Arc::new(LocalAgent::new(binary, &running.app.config.data_dir, running.grpc_addr));
    let served = serve(&running, &local, options).await;
    local.stop(AGENT_GRACE).await;
    crate::conclude(running, served).await
}

async fn serve(running: &Running, local: &Arc<LocalAgent>, options: Options) -> Result<(), StartError> {
    // One listener from first to last: a signal that came between two would be lost.
    let mut ended = std::pin::pin!(running.until_end());
    let agent = tokio::select! {
        biased;
        ended = &mut ended => return ended,
        connected = connect(running, local) => connected?,
    };
    let told = Told::of(running, Some(agent));
    let told = if options.json { told } else { told.with_link(running) };
    told.print(options.json);
    if options.demo {
        tokio::select! {
            shown = demo::run(running, options.json) => shown?,
            ended = &mut ended => return ended,
        }
    }
    if !options.json && running.new_operator_key.is_some() {
        screen::open(&running.page_url());
    }
    ended.await
}

/// Joins the local agent at the first start, runs it, and waits until it is connected.
async fn connect(running: &Running, local: &Arc<LocalAgent>) -> Result<AgentId, StartError> {
    local.end_orphan(AGENT_GRACE).await;
    let agent = match local.joined() {
        Some(agent) => agent,
        None => local.join(&invite(running).await?).await?,
    };
    // Whoever runs `up` sits before both screens.
    if agents::get(&running.app, agent).await?.enrollment.words.is_some()
        && let Some(words) = local.words().await?
    {
        agents::confirm(&running.app, &Caller::system(&running.app), agent, &words).await?;
    }
    let (app, told) = (running.app.clone(), Arc::clone(local));
    running.app.lifecycle.spawn("owner key", async move { name_owner_key(&app, &told).await });
    let supervised = Arc::clone(local);
    running.app.lifecycle.spawn("local agent", async move { supervised.supervise().await });
    let connected = async {
        while running.app.sessions.get(agent).is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(CONNECTED_WITHIN, connected).await {
        Ok(()) => Ok(agent),
        Err(_) => Err(AgentError::Silent { log: local.log().to_owned() }.into()),
    }
}

/// Names the owner key to the agent of this machine, which joined before there was one: whoever runs `up` is the admin of
/// both. Anywhere else a person does it.
async fn name_owner_key(app: &App, local: &LocalAgent) -> Result<(), AgentError> {
    let soft = app.lifecycle.soft();
    loop {
        if let Some(known) = app.roster.get() {
            return local.believe(&known.pin.to_string()).await;
        }
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            () = tokio::time::sleep(OWNER_KEY_LOOK) => {}
        }
    }
}

/// A one-time token for the agent of this machine.
async fn invite(running: &Running) -> Result<String, StartError> {
    let caller = Caller::system(&running.app);
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    for number in 1..100 {
        let invite = NewInvite {
            name: name(&host, number),
            labels: Labels::default(),
            // The ceiling would add nothing on the coordinator's own host; the agent's own configuration still counts.
            max_rank: Rank::S,
            ttl: INVITE_LIFE,
        };
        match agents::invite(&running.app, &caller, invite).await {
            Ok(made) => return Ok(made.token),
            // An earlier start joined under that name and was cut off before it could note so.
            Err(Error::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::conflict("name_taken", "every name for the agent of this machine is taken").into())
}

/// The machine's name, as far as it is one.
fn name(host: &str, number: u32) -> Name {
    let host: String = host
        .split('.')
        .next()
        .unwrap_or_default()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .skip_while(|c| *c == '-')
        .take(48)
        .collect();
    let host = if host.is_empty() { "local".to_owned() } else { host };
    let text = if number == 1 { host } else { format!("{host}-{number}") };
    text.parse().unwrap_or_else(|_| "local".parse().expect("`local` is a name"))
}

/// Below the data directory.
fn agent_folder(data: &Path) -> std::path::PathBuf {
    data.join("agent")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_host_name_gives_a_name() {
        for (host, number, expected) in [
            ("nas.home.example", 1, "nas"),
            ("", 1, "local"),
            ("--- ", 1, "local"),
            ("mein rechner", 3, "mein-rechner-3"),
            (&"x".repeat(300), 2, &format!("{}-2", "x".repeat(48))),
        ] {
            assert_eq!(name(host, number).as_str(), expected);
        }
    }
}
