//! What is known of all enrolled agents, in memory: names, capabilities, labels. Read in full at start and when another
//! node changed the fleet; what this node changes itself is put in place, so that ten thousand agents that connect one
//! after another do not read ten thousand rows each.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use nexusmon_core::planning::Catalog;
use nexusmon_core::schedule::AgentView;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::AgentId;
use nexusmon_shared::manifest::Manifest;

/// The fleet as it is known.
#[derive(Debug, Default, Clone)]
pub struct Fleet {
    /// Everything agents advertise, and what is built in.
    pub catalog: Arc<Catalog>,
    /// Enrolled, not revoked.
    pub by_name: BTreeMap<String, AgentId>,
    pub names: HashMap<AgentId, String>,
    /// Agents that may speak.
    pub admitted: HashSet<AgentId>,
    /// As the scheduler sees them, without what sessions add: every one is offline here.
    pub views: HashMap<AgentId, AgentView>,
    /// Version of each agent's row, and what it offers.
    known: HashMap<AgentId, (i64, Digest)>,
    /// What is offered, once each however many agents offer it, and by how many: fleets are much the same.
    offered: BTreeMap<Digest, (usize, Arc<Vec<Manifest>>)>,
}

/// One agent to be known.
#[derive(Debug)]
pub struct Member {
    /// Of its row: what is older than what is known is ignored.
    pub version: i64,
    pub name: String,
    pub revoked: bool,
    pub admitted: bool,
    pub view: AgentView,
    pub manifests: Vec<Manifest>,
}

impl Fleet {
    /// Takes in a reading that began when `before` was known. What was put in place meanwhile is newer, and stays.
    fn replace(&mut self, before: &Self, members: Vec<Member>) {
        let read: HashSet<_> = members.iter().map(|member| member.view.id).collect();
        let mut changed = false;
        for (id, (version, _)) in before.known.iter().filter(|(id, _)| !read.contains(id)) {
            if self.known.get(id).is_some_and(|(known, _)| known == version) {
                self.unlist(*id);
                changed |= self.withdraw(*id);
            }
        }
        for member in members {
            changed |= self.place(member);
        }
        if changed {
            self.catalogue();
        }
    }

    /// Puts one agent in its place; true if what the fleet offers changed with it.
    fn place(&mut self, member: Member) -> bool {
        let Member { version, name, revoked, admitted, view, manifests } = member;
        let id = view.id;
        if self.known.get(&id).is_some_and(|(known, _)| *known > version) {
            return false;
        }
        self.unlist(id);
        if revoked {
            return self.withdraw(id);
        }
        self.by_name.insert(name.clone(), id);
        self.names.insert(id, name);
        if admitted {
            self.admitted.insert(id);
        }
        self.views.insert(id, view);
        let digest = Digest::of(&serde_json::to_vec(&manifests).expect("manifests are JSON"));
        if let Some((known, offers)) = self.known.get_mut(&id)
            && *offers == digest
        {
            *known = version;
            return false;
        }
        let withdrawn = self.withdraw(id);
        let (count, _) = self.offered.entry(digest).or_insert_with(|| (0, Arc::new(manifests)));
        *count += 1;
        let new = *count == 1;
        self.known.insert(id, (version, digest));
        new || withdrawn
    }

    fn unlist(&mut self, id: AgentId) {
        self.admitted.remove(&id);
        self.views.remove(&id);
        if let Some(name) = self.names.remove(&id)
            && self.by_name.get(&name) == Some(&id)
        {
            self.by_name.remove(&name);
        }
    }

    /// Takes back what an agent offers; true if nobody else offers the same.
    fn withdraw(&mut self, id: AgentId) -> bool {
        let Some((_, digest)) = self.known.remove(&id) else { return false };
        let Some((count, _)) = self.offered.get_mut(&digest) else { return false };
        *count -= 1;
        let last = *count == 0;
        if last {
            self.offered.remove(&digest);
        }
        last
    }

    /// Compiles schemas: only when something new is offered, or nobody offers something any more.
    fn catalogue(&mut self) {
        self.catalog =
            Arc::new(Catalog::new(self.offered.values().flat_map(|(_, manifests)| manifests.iter())));
    }
}

/// The newest knowledge.
#[derive(Debug, Default)]
pub struct FleetCache {
    current: RwLock<Arc<Fleet>>,
    turn: tokio::sync::Mutex<()>,
    /// Readings asked for, and how many of those a finished one covers.
    asked: AtomicU64,
    covered: AtomicU64,
}

impl FleetCache {
    pub fn get(&self) -> Arc<Fleet> {
        Arc::clone(&self.current.read().expect("no holder panics"))
    }

    /// One agent changed.
    pub fn put(&self, member: Member) {
        let mut current = self.current.write().expect("no holder panics");
        let fleet = Arc::make_mut(&mut current);
        if fleet.place(member) {
            fleet.catalogue();
        }
    }

    /// Reads all of it anew. Who asks while a reading is under way shares the next one with all who wait.
    pub async fn refresh<R, E>(&self, read: impl FnOnce() -> R + Send) -> Result<(), E>
    where
        R: Future<Output = Result<Vec<Member>, E>> + Send,
    {
        let mine = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let _turn = self.turn.lock().await;
        if self.covered.load(Ordering::SeqCst) >= mine {
            return Ok(());
        }
        let covers = self.asked.load(Ordering::SeqCst);
        let before = self.get();
        let members = read().await?;
        let mut current = self.current.write().expect("no holder panics");
        Arc::make_mut(&mut current).replace(&before, members);
        drop(current);
        self.covered.store(covers, Ordering::SeqCst);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
