//! Checks an export while it is read: its memory grows with what is open at a time, not with the file.

mod heads;
mod trust;

use std::collections::{HashMap, HashSet};

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AgentId, AuditId, OrganismId};
use nexusmon_shared::trust::checkpoint::Checkpoint;
use nexusmon_shared::trust::ed25519::PublicKey;
use nexusmon_shared::trust::key::KeyId;
use nexusmon_shared::trust::merkle::{Frontier, leaf_hash};
use nexusmon_shared::trust::note::Note;

use super::bad::Bad;
use super::export::{FORMAT, OLD_FORMAT, chained, first_chain};
use super::line::{self, Entry, Kind, Line};
use super::meaning::{Meaning, Rosters};
use super::question::Sets;
use super::words;
pub use trust::{Known, Trusted, UnusableTrust};

/// What holds of a whole export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub organism: OrganismId,
    pub entries: u64,
    pub root: Digest,
    pub checkpoints: u64,
    /// Verifier key of the log, as the header names it.
    pub key: String,
    /// Whether that key, or a head signed by it, was known beforehand. Otherwise the file vouches for itself.
    pub key_was_known: bool,
    /// Heads known beforehand that this log contains.
    pub known_heads: u64,
    /// Agents that cosigned a head of this log; of these, those that do not share a host with a coordinator.
    pub witnesses: u64,
    pub witnesses_apart: u64,
    pub dispatches: u64,
    pub completions: u64,
    pub verdicts: u64,
    /// Decisions whose signatures hold, by the rosters in the log.
    pub signatures: u64,
    /// Decisions of before there was a roster that would have to be signed now.
    pub unsigned: u64,
    /// The key of a person that signed the first roster; `None`: there is none.
    pub owner_key: Option<KeyId>,
    /// Whether that key was known beforehand. Otherwise whose signatures count is the file's word.
    pub owner_key_was_known: bool,
    /// Restores from backups; of these, those that the owner has signed for.
    pub restores: u64,
    pub restores_signed: u64,
    /// Plans of versions that did not write down what the policies were asked.
    pub unjudged: u64,
    /// Words that entries sealed; of these, those that were erased since. All others are what was sealed.
    pub words: u64,
    pub words_erased: u64,
}

/// See the module. After the first thing that is wrong nothing more is to be fed.
#[derive(Debug)]
pub struct Verifier {
    trusted: Trusted,
    line: u64,
    header: Option<Head>,
    chain: Digest,
    frontier: Frontier,
    /// Entries under the newest root that held.
    good: u64,
    newest: Option<(Checkpoint, Note)>,
    /// Ids since then.
    ids: HashSet<AuditId>,
    /// Begins with the header.
    meaning: Meaning,
    /// What entries since then mean, if it is wrong; the root says whether they are the ones that were written.
    suspect: Option<Bad>,
    /// Epoch of the newest checkpoint.
    epoch: Option<u32>,
    identities: HashMap<AgentId, PublicKey>,
    witnesses: HashMap<AgentId, bool>,
    checkpoints: u64,
    known_heads: u64,
    /// Entries under the newest head that was known beforehand.
    known_good: u64,
    words: u64,
    words_erased: u64,
    ended: bool,
}

#[derive(Debug, Clone)]
struct Head {
    organism: OrganismId,
    key: PublicKey,
    named: String,
}

impl Verifier {
    pub fn new(trusted: Trusted) -> Self {
        let meaning = Meaning::of(OrganismId::from_bits(0), Sets::default(), Rosters::default());
        Self {
            trusted,
            line: 0,
            header: None,
            chain: first_chain(),
            frontier: Frontier::default(),
            good: 0,
            newest: None,
            ids: HashSet::new(),
            meaning,
            suspect: None,
            epoch: None,
            identities: HashMap::new(),
            witnesses: HashMap::new(),
            checkpoints: 0,
            known_heads: 0,
            known_good: 0,
            words: 0,
            words_erased: 0,
            ended: false,
        }
    }

    /// Entries read so far.
    pub fn entries(&self) -> u64 {
        self.frontier.size()
    }

    /// The next line, without its newline.
    pub fn line(&mut self, bytes: &[u8]) -> Result<(), Bad> {
        self.line += 1;
        self.take(bytes).map_err(|bad| if bad.line == 0 { bad.at(self.line) } else { bad })
    }

    /// The file is over.
    pub fn finish(self) -> Result<Verified, Bad> {
        let at = self.line;
        let bad = |code, reason: String| Err(Bad::new(code, reason).at(at));
        let Some(head) = self.header.clone() else {
            return bad("empty", "there is no export here".to_owned());
        };
        if !self.ended {
            let size = self.frontier.size();
            return bad(
                "truncated",
                format!("the export breaks off after entry {size}: its last line is not `end`"),
            );
        }
        if let Some(known) = self.trusted.heads.first() {
            let (size, ours) = (known.size, self.frontier.size());
            return bad(
                "shrunken",
                format!("the log had {size} entries when you last looked; this export has {ours}"),
            );
        }
        let of = |apart: bool| self.witnesses.values().filter(|each| !apart || **each).count() as u64;
        Ok(Verified {
            organism: head.organism,
            entries: self.frontier.size(),
            root: self.frontier.root(),
            checkpoints: self.checkpoints,
            key: head.named,
            key_was_known: self.trusted.key.is_some() || self.known_heads > 0,
            known_heads: self.known_heads,
            witnesses: of(false),
            witnesses_apart: of(true),
            dispatches: self.meaning.dispatches,
            completions: self.meaning.completions,
            verdicts: self.meaning.verdicts,
            signatures: self.meaning.signatures,
            unsigned: self.meaning.unsigned,
            owner_key: self.meaning.rosters.owner,
            owner_key_was_known: self.trusted.owner_key.is_some() && self.meaning.rosters.owner.is_some(),
            restores: self.meaning.restores.len() as u64,
            restores_signed: self.meaning.restores_signed,
            unjudged: self.meaning.unjudged,
            words: self.words,
            words_erased: self.words_erased,
        })
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Bad> {
        let next = self.frontier.size() + 1;
        let line = line::read(bytes).map_err(|reason| {
            let bad = Bad::new("line", format!("this is not a line of an export: {reason}"));
            if self.header.is_some() { bad.of(next, next) } else { bad }
        })?;
        if self.ended {
            return Err(Bad::new("end", "there is more after the end").of(next, next));
        }
        match (line.kind, &self.header) {
            (Kind::Header, None) => self.header(line),
            (Kind::Header, Some(_)) => Err(Bad::new("line", "a second header")),
            (_, None) => Err(Bad::new("line", "an export begins with its header")),
            (Kind::Entry, Some(_)) => self.entry(&line, next),
            (Kind::Roster, Some(_)) => {
                let signed = line.signed.ok_or_else(|| lacks("signed"))?;
                self.meaning.rosters.beside(signed.get()).map_err(|bad| bad.of(next, next))
            }
            (Kind::Checkpoint, Some(head)) => {
                let head = head.clone();
                self.checkpoint(&line, &head)
            }
            (Kind::Witness, Some(head)) => {
                let organism = head.organism;
                self.witness(&line, organism)
            }
            (Kind::End, Some(_)) => self.end(&line),
        }
    }

    fn header(&mut self, line: Line<'_>) -> Result<(), Bad> {
        let format = line.format.unwrap_or_default();
        if ![FORMAT, OLD_FORMAT].contains(&&*format) {
            let reason = format!("the format is `{format}`; this program reads {OLD_FORMAT} and {FORMAT}");
            return Err(Bad::new("format", reason));
        }
        let organism = line.organism.ok_or_else(|| lacks("organism"))?;
        let named = line.key.ok_or_else(|| lacks("key"))?.into_owned();
        let key = self.trusted.judge(organism, &named)?;
        let sets =
            Sets::read(&line.policies.unwrap_or_default()).map_err(|reason| Bad::new("policies", reason))?;
        let rosters = Rosters::beginning_with(self.trusted.owner_key);
        self.meaning = Meaning::of(organism, sets, rosters);
        self.header = Some(Head { organism, key, named });
        Ok(())
    }

    fn entry(&mut self, line: &Line<'_>, next: u64) -> Result<(), Bad> {
        let bad = |code, reason: String| Err(Bad::new(code, reason).of(next, next));
        let seq = line.seq.ok_or_else(|| lacks("seq").of(next, next))?;
        if seq != next {
            return bad("gap", format!("entry {next} is expected here, this is number {seq}"));
        }
        let entry = line.entry.ok_or_else(|| lacks("entry").of(next, next))?;
        let digest = Digest::of(entry.get().as_bytes());
        if line.digest != Some(digest) {
            return bad("digest", "the entry is not what its digest was made of: it was altered".to_owned());
        }
        self.chain = chained(&self.chain, &digest);
        if line.chain != Some(self.chain) {
            return bad(
                "chain",
                "the entry does not follow the ones before it: one was put in, left out, moved or replaced"
                    .to_owned(),
            );
        }
        self.frontier.append(leaf_hash(digest.as_bytes()));
        let entry: Entry<'_> = match serde_json::from_str(entry.get()) {
            Ok(entry) => entry,
            Err(error) => return bad("entry", format!("not an entry: {error}")),
        };
        let (sealed, erased) =
            words::check(entry.body.get(), &line.openings).map_err(|bad| bad.of(next, next))?;
        self.words += sealed;
        self.words_erased += erased;
        if self.suspect.is_none() {
            let read = if self.ids.insert(entry.id) {
                self.meaning.read(&entry)
            } else {
                Err(Bad::new("twice", format!("{} is in the log twice", entry.id)))
            };
            self.suspect = read.err().map(|bad| bad.of(next, next).at(self.line));
        }
        self.learn_identity(&entry);
        self.compare_known(next)
    }

    fn learn_identity(&mut self, entry: &Entry<'_>) {
        #[derive(serde::Deserialize)]
        struct Enrolled {
            /// 32 bytes in hexadecimal, as digests are written.
            identity_key: Digest,
        }
        if entry.action != "agent.enrolled" {
            return;
        }
        let key = serde_json::from_str::<Enrolled>(entry.body.get()).ok();
        let key = key.and_then(|body| PublicKey::from_bytes(*body.identity_key.as_bytes()).ok());
        if let (Ok(agent), Some(key)) = (entry.subject.parse(), key) {
            self.identities.insert(agent, key);
        }
    }

    fn end(&mut self, line: &Line<'_>) -> Result<(), Bad> {
        let size = self.frontier.size();
        if line.size != Some(size) {
            let said = line.size.unwrap_or_default();
            return Err(Bad::new("end", format!("the end speaks of {said} entries; there are {size}")));
        }
        if self.good != size {
            let reason = "no signed root covers these entries";
            return Err(Bad::new("unsigned", reason).of(self.good + 1, size));
        }
        self.ended = true;
        Ok(())
    }
}

fn lacks(field: &str) -> Bad {
    Bad::new("line", format!("the line lacks `{field}`"))
}
