//! Challenges without a row: whoever asks for one costs nothing. A challenge is a MAC over what it is for, where, until
//! when, and a random part; the ticket that comes back with the answer lets any coordinator make it again.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::PrincipalId;
use nexusmon_shared::time::Timestamp;
use rand::Rng as _;
use sha2::Sha256;

use super::passkeys::Place;
use crate::app::App;
use crate::error::{Error, Result};

/// To find the authenticator, touch it, and be asked by it for a code.
const LIFE: Duration = Duration::from_mins(5);
/// Sixteen digits of microseconds last until the year 2286.
const LONGEST: usize = 17 + 32;

/// What an answer will be good for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    Register(PrincipalId),
    LogIn,
}

/// A challenge and what has to come back with its answer.
#[derive(Debug, Clone)]
pub struct Challenge {
    pub challenge: Digest,
    pub ticket: String,
}

pub(super) fn make(app: &App, purpose: Purpose, place: &Place) -> Challenge {
    let mut nonce = [0_u8; 16];
    app.rng.with(|rng| rng.fill_bytes(&mut nonce));
    let until = app.expiry_clock.now() + LIFE;
    let ticket = format!("{}.{}", until.as_micros(), hex::encode(nonce));
    Challenge { challenge: mac(app, purpose, place, &ticket), ticket }
}

/// The challenge a ticket was given out with, if its time is not over.
pub(super) fn read(app: &App, purpose: Purpose, place: &Place, ticket: &str) -> Result<(Digest, Timestamp)> {
    let over = || {
        let message = "this challenge is over: ask for another and answer it within five minutes";
        Error::field("/ticket", "challenge_over", message)
    };
    if ticket.len() > LONGEST {
        return Err(over());
    }
    let (until, _) = ticket.split_once('.').ok_or_else(over)?;
    let until = Timestamp::from_micros(until.parse().map_err(|_| over())?);
    let now = app.expiry_clock.now();
    // One that lasts longer was never given out; its answer would not fit either.
    if until <= now || until.since(now) > LIFE {
        return Err(over());
    }
    Ok((mac(app, purpose, place, ticket), until))
}

fn mac(app: &App, purpose: Purpose, place: &Place, ticket: &str) -> Digest {
    let mut hmac =
        Hmac::<Sha256>::new_from_slice(&app.keyring.token_key).expect("HMAC takes keys of any length");
    let purpose = match purpose {
        Purpose::Register(person) => format!("register {person}"),
        Purpose::LogIn => "log in".to_owned(),
    };
    // None of the parts holds a newline.
    hmac.update(format!("nexusmon/challenge/v1\n{purpose}\n{}\n{ticket}", place.origin).as_bytes());
    Digest::from_bytes(hmac.finalize().into_bytes().into())
}
