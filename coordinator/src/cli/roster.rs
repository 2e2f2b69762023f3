//! `nexusmon roster`: who may approve. Each change is a new roster that the owner's key signs on this machine.

mod changes;
mod served;

use clap::{Args, Subcommand};
use nexusmon_shared::id::{AgentId, OrganismId, PrincipalId};
use nexusmon_shared::trust::ed25519::PublicKey;
use nexusmon_shared::trust::key::{KeyId, PersonKey};
use nexusmon_shared::trust::owner_key::OwnerKey;
use nexusmon_shared::trust::recovery::RecoveryKey;
use nexusmon_shared::trust::roster::{Need, Person, Role, Roster, SignedRoster};
use nexusmon_shared::trust::signable::Signable as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::client::{Client, CommandError};
use super::key::{Place, failed, randomness};
use super::render;

pub(super) use served::{Signing, signed};

const PATH: &str = "/v1/governance/roster";

#[derive(Debug, Subcommand)]
pub enum RosterCommand {
    /// Who may approve, with which keys, and how many of them A and S need
    Show,
    /// Add a person, or another key of one
    Add(AddArgs),
    /// Take a person out; their signatures count no more
    Remove {
        /// `prn_…`
        principal: PrincipalId,
        #[command(flatten)]
        signing: Signing,
    },
    /// How many persons have to approve
    Need {
        #[arg(long)]
        a: u8,
        /// At least 2; where fewer are eligible, all of them
        #[arg(long)]
        s: u8,
        #[command(flatten)]
        signing: Signing,
    },
    /// Begin again with the recovery words and a new key; in force a day after every machine has alerted
    ///
    /// Name the lost key with --owner-key, as `nexusmon-agent roster show` does on a machine of yours.
    Recover(Signing),
}

#[derive(Debug, Args)]
pub struct AddArgs {
    /// `prn_…`
    principal: PrincipalId,
    /// As `nexusmon key show` prints it on that person's own machine
    #[arg(long, required_unless_present = "passkey", conflicts_with = "passkey")]
    public_key: Option<PublicKey>,
    /// As the settings of the console show it to that person: the 64 digits of one of their passkeys
    #[arg(long, value_name = "KEY")]
    passkey: Option<KeyId>,
    #[arg(long, default_value = "approver", value_parser = ["approver", "operator", "viewer"])]
    role: String,
    /// For people to read
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    signing: Signing,
}

/// What the first roster is made of.
pub(super) struct First {
    organism: OrganismId,
    owner: PrincipalId,
    name: String,
}

/// What is needed for a first roster; `None` where there is one.
pub(super) async fn first(client: &Client) -> Result<Option<First>, CommandError> {
    match client.get(PATH).await {
        Ok(_) => return Ok(None),
        Err(CommandError::Refused { status: 404, .. }) => {}
        Err(error) => return Err(error),
    }
    let me = client.get("/v1/auth/me").await?;
    if me["role"] != "owner" {
        let text = "there is no roster yet, and only the owner signs the first one";
        return Err(CommandError::Usage(text.to_owned()));
    }
    let status = client.get("/v1/nexusmon/organism/status").await?;
    Ok(Some(First {
        organism: parse(&status["id"], "the organism's id")?,
        owner: parse(&me["id"], "your id")?,
        name: me["name"].as_str().unwrap_or("owner").to_owned(),
    }))
}

fn parse<T: std::str::FromStr>(value: &Value, what: &str) -> Result<T, CommandError> {
    let parsed = value.as_str().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| CommandError::Failed(format!("the coordinator did not say {what}")))
}

/// Signs and sends roster 1, and shows the recovery words.
pub(super) async fn begin(
    client: &Client,
    first: &First,
    place: &Place,
    key: &OwnerKey,
    rng: &mut StdRng,
) -> Result<(), CommandError> {
    let First { organism, owner, name } = first;
    let (organism, owner, name) = (*organism, *owner, name.clone());
    let recovery = RecoveryKey::generate(rng);
    let person = Person { name, role: Role::Owner, keys: [key.person_key()].into() };
    let roster = Roster {
        organism,
        number: 1,
        predecessor: None,
        persons: [(owner, person)].into(),
        need: Need::default(),
        agents: std::collections::BTreeMap::new(),
        recovery: Some(PublicKey::of(&recovery.signing_key())),
    };
    // Before the roster is sent: should its answer get lost, the words must not.
    words(client, &recovery);
    let signed = SignedRoster::new(roster).signed_by(key.signing_key());
    send(client, &signed).await?;
    served::keep(place, &signed.roster)?;
    if !client.json {
        println!("\nRoster 1 is signed: you approve A and S work with `nexusmon mission approve`.");
        println!("Machines that join from now on pin your key. On each one that joined before:");
        println!("    nexusmon-agent roster reset --owner-key {}", key.id());
    }
    Ok(())
}

/// Shown once; kept nowhere.
fn words(client: &Client, recovery: &RecoveryKey) {
    if client.json {
        render::json(&json!({"recovery_words": recovery.words().as_str()}));
        return;
    }
    println!("\nRecovery words. Write them down on paper now: they are shown once, and kept nowhere.");
    println!("Who has them can replace your key, a day after every machine has alerted.\n");
    for (number, line) in recovery.words().split(' ').collect::<Vec<_>>().chunks(6).enumerate() {
        println!("    {:>2}  {}", number * 6 + 1, line.join(" "));
    }
}

async fn send(client: &Client, signed: &SignedRoster) -> Result<Value, CommandError> {
    let body = serde_json::to_value(signed).map_err(|error| CommandError::Failed(error.to_string()))?;
    client.post(PATH, &body).await
}

pub(super) async fn run(client: &Client, command: RosterCommand) -> Result<(), CommandError> {
    match command {
        RosterCommand::Show => show(client).await,
        RosterCommand::Add(arguments) => {
            let AddArgs { principal, public_key, passkey, role, name, signing } = arguments;
            let added = match (public_key, passkey) {
                (Some(public_key), _) => PersonKey::Cli { public_key },
                (None, Some(id)) => registered(client, principal, id).await?,
                (None, None) => return Err(CommandError::Usage("name --public-key or --passkey".to_owned())),
            };
            let role = match role.as_str() {
                "operator" => Role::Operator,
                "viewer" => Role::Viewer,
                _ => Role::Approver,
            };
            change(client, &signing, |roster| {
                let person = roster.persons.entry(principal).or_insert_with(|| Person {
                    name: principal.to_string(),
                    role,
                    keys: std::collections::BTreeSet::new(),
                });
                if let Some(name) = name {
                    person.name = name;
                }
                person.keys.insert(added);
            })
            .await
        }
        RosterCommand::Remove { principal, signing } => {
            change(client, &signing, |roster| drop(roster.persons.remove(&principal))).await
        }
        RosterCommand::Need { a, s, signing } => {
            change(client, &signing, |roster| roster.need = Need { a, s }).await
        }
        RosterCommand::Recover(signing) => recover(client, &signing).await,
    }
}

/// The passkey a person registered, if it is the one that was named. What the coordinator says of it is held against its
/// digest, which came to the owner from that person.
async fn registered(client: &Client, person: PrincipalId, id: KeyId) -> Result<PersonKey, CommandError> {
    let answer = client.get(&format!("/v1/governance/principals/{person}/passkeys")).await?;
    let listed = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let keys = listed.iter().filter_map(|one| serde_json::from_value(one["roster_key"].clone()).ok());
    let found = keys.into_iter().find(|key: &PersonKey| key.id() == id);
    found.ok_or_else(|| {
        CommandError::Failed(format!(
            "{person} has no passkey {id}; the settings of their console show theirs"
        ))
    })
}

/// The successor of the roster there is, signed.
async fn change(
    client: &Client,
    signing: &Signing,
    edit: impl FnOnce(&mut Roster),
) -> Result<(), CommandError> {
    let before = served::get(client, signing).await?;
    follow(client, signing, &before, edit).await
}

async fn follow(
    client: &Client,
    signing: &Signing,
    before: &Roster,
    edit: impl FnOnce(&mut Roster),
) -> Result<(), CommandError> {
    let mut next = Roster { number: before.number + 1, predecessor: Some(before.digest()), ..before.clone() };
    edit(&mut next);
    next.validate().map_err(failed)?;
    if !client.json {
        print_roster(&next);
        changes::print(before, &next);
    }
    let key = signing.place.open()?;
    let signed = SignedRoster::new(next).signed_by(key.signing_key());
    // What every agent will ask is asked here first.
    signed.verify_successor(before).map_err(failed)?;
    said(client, &send(client, &signed).await?);
    served::keep(&signing.place, &signed.roster)
}

/// What the coordinator says the roster is; `None` where there is none.
pub(super) async fn known(client: &Client) -> Result<Option<Value>, CommandError> {
    match client.get(PATH).await {
        Ok(answer) => Ok(Some(answer)),
        Err(CommandError::Refused { status: 404, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Signs an agent's identity key into the next roster; false where the key here is not the owner's.
pub(super) async fn admit(
    client: &Client,
    signing: &Signing,
    agent: AgentId,
    identity: PublicKey,
) -> Result<bool, CommandError> {
    let before = served::get(client, signing).await?;
    if before.agents.get(&agent) == Some(&identity) {
        return Ok(true);
    }
    let own = signing.place.id()?;
    let is_owners = before.owner().is_some_and(|(_, owner)| owner.keys.iter().any(|key| key.id() == own));
    if !is_owners {
        return Ok(false);
    }
    follow(client, signing, &before, |roster| {
        roster.agents.insert(agent, identity);
    })
    .await?;
    Ok(true)
}

async fn recover(client: &Client, signing: &Signing) -> Result<(), CommandError> {
    let before = served::get(client, signing).await?;
    eprintln!("The 24 recovery words, then Enter:");
    let text = super::login::hidden_line()?;
    let recovery = RecoveryKey::from_words(&text).map_err(failed)?;
    let (owner, _) =
        before.owner().ok_or_else(|| CommandError::Failed("the roster names no owner".to_owned()))?;
    let key = signing.place.open()?;
    let mut rng = randomness();
    let next_recovery = RecoveryKey::generate(&mut rng);
    let mut next = Roster {
        number: before.number + 1,
        predecessor: Some(before.digest()),
        recovery: Some(PublicKey::of(&next_recovery.signing_key())),
        ..before.clone()
    };
    if let Some(person) = next.persons.get_mut(&owner) {
        person.keys = [key.person_key()].into();
    }
    if !client.json {
        print_roster(&next);
        changes::print(&before, &next);
    }
    let signed = SignedRoster::new(next).signed_by(key.signing_key()).recovered_by(&recovery.signing_key());
    signed.verify_successor(&before).map_err(failed)?;
    said(client, &send(client, &signed).await?);
    words(client, &next_recovery);
    Ok(())
}

fn said(client: &Client, answer: &Value) {
    if client.json {
        render::json(answer);
        return;
    }
    match answer["pending"]["number"].as_u64() {
        Some(number) => println!(
            "Roster {number} comes into force at {}; machines alert until then.",
            render::time(&answer["pending"]["in_force_at"])
        ),
        None => println!("Roster {} is in force.", answer["number"]),
    }
}

async fn show(client: &Client) -> Result<(), CommandError> {
    let answer = client.get(PATH).await?;
    if client.json {
        render::json(&answer);
        return Ok(());
    }
    println!("roster     {}", answer["number"]);
    println!("owner key  {}", render::text(&answer["owner_key"]));
    let signed = signed(&answer).map_err(|error| CommandError::Failed(error.to_string()))?;
    print_roster(&signed.roster);
    if let Some(number) = answer["pending"]["number"].as_u64() {
        println!(
            "ALERT      roster {number}, signed by the recovery words, decides from {}",
            render::time(&answer["pending"]["in_force_at"])
        );
    }
    if answer["key_shares_host"] == true {
        println!(
            "note       the key lies on the coordinator's own host: signatures add nothing against that host"
        );
    }
    Ok(())
}

fn print_roster(roster: &Roster) {
    println!("needed     A {}, S {} (where that many are eligible)", roster.need.a, roster.need.s);
    match roster.recovery {
        Some(key) => println!("recovery   {key}"),
        None => println!("recovery   none"),
    }
    println!("agents     {}", roster.agents.len());
    let rows = roster.persons.iter().map(|(id, person)| {
        let short = |key: &PersonKey| {
            let kind = if matches!(key, PersonKey::Passkey(_)) { "passkey " } else { "" };
            format!("{kind}{}", &key.id().to_string()[..12])
        };
        let keys: Vec<String> = person.keys.iter().map(short).collect();
        let role = format!("{:?}", person.role).to_lowercase();
        vec![id.to_string(), role, render::short(&person.name, 40), keys.join(", ")]
    });
    render::table(&["person", "role", "name", "keys"], rows.collect());
}
