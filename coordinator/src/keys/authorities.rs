//! The authorities in force: one, and while it is being replaced the next one beside it. Followed at run time, because
//! another node may have begun or ended that.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::OrganismId;
use nexusmon_shared::message::AuthorityNotice;
use nexusmon_shared::pki::{Authority, CertificateDer, Vouched};
use nexusmon_shared::time::Timestamp;
use nexusmon_store::KeyRow;
use tokio::sync::{Mutex, MutexGuard, watch};

use super::keyring::{KeyringError, context, unwrap};
use super::master::MasterKey;

pub(super) const AUTHORITY: &str = "authority";
/// The one that takes its place; there only while both are in force.
pub(super) const NEXT: &str = "authority-next";

/// What is in force now.
#[derive(Debug)]
pub struct InForce {
    /// What the agent port shows, and what join tokens pin.
    pub current: Authority,
    pub next: Option<Next>,
}

/// An authority that is about to take over.
#[derive(Debug)]
pub struct Next {
    pub authority: Authority,
    vouched: Vouched,
    pub begun_at: Timestamp,
}

impl InForce {
    /// Of rows of the table of keys.
    pub(super) fn read(
        master: &MasterKey,
        organism: OrganismId,
        rows: &[KeyRow],
        now: Timestamp,
    ) -> Result<Self, KeyringError> {
        let row = |name: &str| rows.iter().find(|row| row.name == name);
        let current = row(AUTHORITY).ok_or(KeyringError::Damaged(AUTHORITY))?;
        let current = opened(master, organism, AUTHORITY, current)?;
        let next = match row(NEXT) {
            None => None,
            Some(row) => {
                let authority = opened(master, organism, NEXT, row)?;
                let vouched = current.vouch_for(&authority, now)?;
                Some(Next { authority, vouched, begun_at: row.created_at })
            }
        };
        Ok(Self { current, next })
    }

    /// What signs certificates of agents: whoever has one of the next authority need not be asked to come again.
    pub fn issuing(&self) -> &Authority {
        self.next.as_ref().map_or(&self.current, |next| &next.authority)
    }

    /// Whose certificates are taken, newest first.
    pub fn certificates(&self) -> Vec<CertificateDer<'static>> {
        let next = self.next.iter().map(|next| next.authority.certificate().clone());
        next.chain(std::iter::once(self.current.certificate().clone())).collect()
    }

    /// What agents are told.
    pub fn notice(&self) -> Vec<AuthorityNotice> {
        let one = |certificate: &CertificateDer<'_>, vouched: Option<&CertificateDer<'_>>| AuthorityNotice {
            certificate: certificate.to_vec().into(),
            vouched: vouched.map(|vouched| vouched.to_vec().into()).unwrap_or_default(),
        };
        let next = self.next.iter().map(|next| &next.vouched);
        let next = next.map(|next| one(&next.certificate, next.vouched.as_ref()));
        next.chain(std::iter::once(one(self.current.certificate(), None))).collect()
    }

    fn pins(&self) -> (Digest, Option<Digest>) {
        (self.current.pin(), self.next.as_ref().map(|next| next.authority.pin()))
    }
}

fn opened(
    master: &MasterKey,
    organism: OrganismId,
    name: &'static str,
    row: &KeyRow,
) -> Result<Authority, KeyringError> {
    let certificate = row.public.as_ref().and_then(|text| STANDARD.decode(text).ok());
    let certificate = certificate.ok_or(KeyringError::Damaged(name))?;
    Ok(Authority::from_der(organism, &unwrap(master, name, organism, row)?, &certificate)?)
}

/// An authority's row, sealed for the place it takes.
pub(super) fn row(
    master: &MasterKey,
    name: &str,
    authority: &Authority,
    now: Timestamp,
    rng: &mut impl rand::CryptoRng,
) -> KeyRow {
    let context = context(name, authority.organism());
    KeyRow {
        name: name.to_owned(),
        wrapped: STANDARD.encode(master.wrap(&context, &authority.key(), rng)),
        public: Some(STANDARD.encode(authority.certificate())),
        created_at: now,
    }
}

/// What is in force, and who follows it.
#[derive(Debug)]
pub struct Authorities {
    in_force: watch::Sender<Arc<InForce>>,
    turn: Mutex<()>,
}

impl Authorities {
    pub(super) fn new(in_force: InForce) -> Self {
        Self { in_force: watch::Sender::new(Arc::new(in_force)), turn: Mutex::new(()) }
    }

    pub fn get(&self) -> Arc<InForce> {
        self.in_force.borrow().clone()
    }

    /// Held from reading the table until what it says is followed: one at a time.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    pub fn watch(&self) -> watch::Receiver<Arc<InForce>> {
        self.in_force.subscribe()
    }

    /// True if something else was in force before.
    pub(super) fn put(&self, in_force: InForce) -> bool {
        self.in_force.send_if_modified(|known| {
            let differs = known.pins() != in_force.pins();
            if differs {
                *known = Arc::new(in_force);
            }
            differs
        })
    }

    /// Whether these rows say what is known already: then nothing has to be opened.
    pub(super) fn is_of(&self, rows: &[KeyRow]) -> bool {
        let known = self.get();
        let says = |name: &str, authority: Option<&Authority>| {
            let row = rows.iter().find(|row| row.name == name).and_then(|row| row.public.clone());
            row == authority.map(|authority| STANDARD.encode(authority.certificate()))
        };
        says(AUTHORITY, Some(&known.current)) && says(NEXT, known.next.as_ref().map(|next| &next.authority))
    }
}
