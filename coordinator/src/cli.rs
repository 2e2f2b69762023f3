//! The operator's commands: thin clients of the REST API. Nothing here reads the database or decides anything.
//!
//! Exit codes: 0 done; 1 the mission did not succeed, the export does not hold; 2 bad input or usage; 3 not logged in or not allowed; 4 no such
//! thing; 5 the state does not allow it; 6 the coordinator cannot be reached; 7 it failed.

mod agents;
mod approvals;
mod approve;
mod artifacts;
mod ask;
mod audit;
mod authority;
mod belief;
mod chain;
mod client;
mod cognition;
mod confirm;
mod event_trigger;
mod flags;
mod halt;
mod invite;
mod key;
mod learned;
mod log;
mod login;
mod memory;
mod missions;
mod notify;
mod organism;
mod planning;
mod playbook;
mod policy;
mod principals;
mod provenance;
mod render;
mod roster;
mod schedule;
mod secrets;
mod trigger;
mod verify;
mod watch;
mod webhook;

use clap::{Args, Subcommand};

pub(crate) use client::Client;
pub use client::CommandError;

/// How to reach the coordinator, and how to print.
#[derive(Debug, Clone, Args)]
pub struct Connection {
    /// Address of the coordinator
    #[arg(long, global = true, env = "NEXUSMON_URL", default_value = "http://127.0.0.1:7300")]
    pub url: String,
    /// Access token; without one, what `nexusmon login` kept, else `OPERATOR_KEY` is used
    #[arg(long, global = true, env = "NEXUSMON_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Print JSON for programs instead of text for people
    #[arg(long, global = true)]
    pub json: bool,
}

/// Everything that talks to a coordinator.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create, run and follow missions
    #[command(subcommand, visible_alias = "missions")]
    Mission(missions::MissionCommand),
    /// Invite and look after agents
    #[command(subcommand, visible_alias = "agents")]
    Agent(agents::AgentCommand),
    /// List, fetch, compare and review what missions produced
    #[command(subcommand, visible_alias = "artifacts")]
    Artifact(artifacts::ArtifactCommand),
    /// Missions with their inputs left open
    #[command(subcommand, visible_alias = "playbooks")]
    Playbook(playbook::PlaybookCommand),
    /// Missions made by the clock
    #[command(subcommand, visible_alias = "schedules")]
    Schedule(schedule::ScheduleCommand),
    /// Missions made by what happens
    #[command(subcommand, visible_alias = "event-triggers")]
    EventTrigger(event_trigger::EventTriggerCommand),
    /// Missions made by calls from outside
    #[command(subcommand, visible_alias = "webhooks")]
    Webhook(webhook::WebhookCommand),
    /// Which mission led to which, and what the system would do next
    #[command(subcommand, visible_alias = "chains")]
    Chain(chain::ChainCommand),
    /// Playbooks approved ahead of time
    #[command(subcommand)]
    Standing(playbook::StandingCommand),
    /// What waits for a decision
    Approvals(approvals::ApprovalsArgs),
    /// Make and show the key you sign with
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Who may approve
    #[command(subcommand)]
    Roster(roster::RosterCommand),
    /// Flagged work that waits for a judgement, or was judged
    #[command(visible_alias = "review")]
    Reviews(approvals::ReviewsArgs),
    /// Pull the kill switch: nothing new starts anywhere, until `resume`
    Halt(halt::HaltArgs),
    /// Release the kill switch (the owner's; asks for the operator key)
    Resume(halt::ResumeArgs),
    /// Switch capabilities and plugins off and on
    #[command(subcommand, visible_alias = "flags")]
    Flag(flags::FlagCommand),
    /// Show, change and try out policies
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Keep secrets for tasks: set, list, remove; none is ever shown
    #[command(subcommand, visible_alias = "secrets")]
    Secret(secrets::SecretCommand),
    /// Bound how often work starts
    #[command(subcommand, visible_alias = "rates")]
    Rate(flags::RateCommand),
    /// The audit log: read it, export it, verify an export
    Audit(audit::AuditArgs),
    /// Ask the companion: status, why something waits or failed, what changed, what needs you
    Ask(ask::AskArgs),
    /// Where you are told of approvals, failures and the like
    #[command(subcommand, visible_alias = "notifications")]
    Notify(notify::NotifyCommand),
    /// What is remembered of missions: search it, forget it
    #[command(subcommand)]
    Memory(memory::MemoryCommand),
    /// What was observed of the fleet, and what is held to be true
    #[command(subcommand, visible_alias = "beliefs")]
    Belief(belief::BeliefCommand),
    /// Predictions, failures, planners and memory in numbers
    Cognition(cognition::CognitionArgs),
    /// Stage, traits and what earned them
    Evolution,
    /// Switch traits off and on, or grant one before it is earned
    Trait(organism::TraitArgs),
    /// People who may log in, and their roles
    #[command(subcommand, visible_alias = "principals")]
    Principal(principals::PrincipalCommand),
    /// Tokens for programs
    #[command(subcommand, visible_alias = "tokens")]
    Token(principals::TokenCommand),
    /// Log in with the operator key and keep the token
    Login(login::LoginArgs),
    /// Forget the kept token and end its session
    Logout,
    /// Exit with 0 if the coordinator takes work, for health checks; where only PORT is set, asks there
    Ready,
    /// Print a completion script for a shell
    Completions {
        /// bash, zsh, fish, elvish or powershell
        shell: clap_complete::Shell,
    },
}

/// Runs one command. `command_line` is the whole program's, for completions.
pub async fn run(
    connection: Connection,
    command: Command,
    command_line: &mut clap::Command,
) -> Result<(), CommandError> {
    if let Command::Completions { shell } = command {
        clap_complete::generate(shell, command_line, "nexusmon", &mut std::io::stdout());
        return Ok(());
    }
    if let Command::Ready = command {
        return ready(connection).await;
    }
    if let Command::Audit(arguments) = command {
        // Verifying needs no coordinator.
        return audit::audit(&connection, arguments).await;
    }
    if let Command::Artifact(artifacts::ArtifactCommand::Verify(arguments)) = &command {
        return provenance::verify(arguments, connection.json);
    }
    let client = Client::new(&connection)?;
    match command {
        Command::Mission(command) => missions::run(&client, command).await,
        Command::Agent(command) => agents::run(&client, command).await,
        Command::Artifact(command) => artifacts::run(&client, command).await,
        Command::Playbook(command) => playbook::playbooks(&client, command).await,
        Command::Schedule(command) => schedule::run(&client, command).await,
        Command::EventTrigger(command) => event_trigger::run(&client, command).await,
        Command::Webhook(command) => webhook::run(&client, command).await,
        Command::Chain(command) => chain::run(&client, command).await,
        Command::Standing(command) => playbook::standing(&client, command).await,
        Command::Approvals(arguments) => approvals::approvals(&client, arguments).await,
        Command::Key(command) => key::run(&client, command).await,
        Command::Roster(command) => roster::run(&client, command).await,
        Command::Reviews(arguments) => approvals::reviews(&client, arguments).await,
        Command::Halt(arguments) => halt::halt(&client, arguments).await,
        Command::Resume(arguments) => halt::resume(&client, arguments).await,
        Command::Flag(command) => flags::flags(&client, command).await,
        Command::Policy(command) => policy::run(&client, command).await,
        Command::Secret(command) => secrets::run(&client, command).await,
        Command::Rate(command) => flags::rates(&client, command).await,
        Command::Ask(arguments) => ask::ask(&client, arguments).await,
        Command::Notify(command) => notify::run(&client, command).await,
        Command::Memory(command) => memory::run(&client, command).await,
        Command::Belief(command) => belief::run(&client, command).await,
        Command::Cognition(arguments) => cognition::cognition(&client, arguments).await,
        Command::Evolution => organism::evolution(&client).await,
        Command::Trait(arguments) => organism::change_trait(&client, arguments).await,
        Command::Principal(command) => principals::principals(&client, command).await,
        Command::Token(command) => principals::tokens(&client, command).await,
        Command::Login(arguments) => login::login(&client, arguments).await,
        Command::Logout => login::logout(&client).await,
        Command::Completions { .. } | Command::Ready | Command::Audit(_) => Ok(()),
    }
}

/// A container's health check has no shell to put PORT into a URL.
async fn ready(mut connection: Connection) -> Result<(), CommandError> {
    let port = std::env::var("PORT").ok().filter(|port| !port.is_empty());
    if let Some(port) = port.filter(|_| std::env::var_os("NEXUSMON_URL").is_none()) {
        connection.url = format!("http://127.0.0.1:{port}");
    }
    Client::new(&connection)?.probe("/readyz").await
}
