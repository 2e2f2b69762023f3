//! Asks a language model and gives back one JSON object, or says in one sentence why there is none. Knows endpoints, not
//! missions; decides nothing and believes nothing of what comes back but its form.
//!
//! Three wire formats over the HTTP client that is here already: crates for many providers bring twenty more crates and
//! switch on further features of that client, and leave the size of an answer to the endpoint.

mod anthropic;
mod breaker;
mod cache;
mod ollama;
mod openai;
mod reading;

use std::time::Duration;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::time::SharedClock;
use serde_json::Value;

use crate::config::{ModelConfig, ModelKind};
use breaker::Breaker;
use cache::Cache;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    /// What the model is to do; a versioned text of ours.
    pub system: &'a str,
    /// Alternating, the model's own earlier answers at odd places.
    pub turns: &'a [String],
    /// JSON Schema of the answer.
    pub schema: &'a Value,
    /// Name of the answer, for endpoints that want one.
    pub name: &'static str,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    pub value: Value,
    pub spent: Spent,
    /// An equal question was answered before: nothing was spent.
    pub cached: bool,
    /// What the answer is kept under, for [`Model::unfit`].
    pub question: Digest,
}

/// What asking cost, in tokens and micro-dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    pub calls: u32,
    pub tokens_in: u64,
    pub tokens_out: u64,
    pub cost: u64,
}

impl Spent {
    pub fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.tokens_in = self.tokens_in.saturating_add(other.tokens_in);
        self.tokens_out = self.tokens_out.saturating_add(other.tokens_out);
        self.cost = self.cost.saturating_add(other.cost);
    }

    pub fn tokens(&self) -> u64 {
        self.tokens_in.saturating_add(self.tokens_out)
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoAnswer {
    pub fault: Fault,
    /// One sentence for people.
    pub text: String,
    /// Also what is not answered may cost.
    pub spent: Spent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nobody there, or not in time, or out of order.
    Away,
    /// The endpoint refuses us: a wrong key, an unknown model.
    Refused,
    /// It answered something that is no answer.
    Nonsense,
    /// It failed too often a moment ago and is left alone.
    Open,
}

/// What an endpoint's answer says once it is read.
#[derive(Debug)]
struct Reply {
    value: Result<Value, String>,
    tokens_in: Option<u64>,
    tokens_out: Option<u64>,
}

/// One model; one for the whole process.
#[derive(Debug)]
pub struct Model {
    pub config: ModelConfig,
    http: reqwest::Client,
    clock: SharedClock,
    breaker: Breaker,
    cache: Cache,
}

impl Model {
    pub fn new(config: ModelConfig, clock: SharedClock) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            // The key is for this address and no other.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { config, http, clock, breaker: Breaker::default(), cache: Cache::default() })
    }

    /// `kind/name`, as records have it.
    pub fn label(&self) -> String {
        format!("{}/{}", self.config.kind.as_str(), self.config.name)
    }

    /// The most that asking once may cost.
    pub fn at_most(&self, ask: &Ask<'_>) -> Spent {
        let asked = ask.system.len()
            + ask.turns.iter().map(String::len).sum::<usize>()
            + ask.schema.to_string().len();
        // No tokenizer makes more than one token of a byte; two bytes are a bound for text that is mostly words.
        self.priced(asked as u64 / 2, u64::from(self.config.answer_tokens))
    }

    /// What an equal question was answered a while ago.
    pub fn remembered(&self, ask: &Ask<'_>) -> Option<Said> {
        let key = self.key(ask);
        let value = self.cache.get(&key, self.clock.boot())?;
        Some(Said { value, spent: Spent::default(), cached: true, question: key })
    }

    /// Asks once, within the patience that is configured.
    pub async fn ask(&self, ask: &Ask<'_>) -> Result<Said, NoAnswer> {
        let key = self.key(ask);
        let now = self.clock.boot();
        if let Err(wait) = self.breaker.enter(now) {
            let text = format!(
                "the model's endpoint failed again and again; it is left alone for another {} s",
                wait.as_secs().max(1)
            );
            return Err(NoAnswer { fault: Fault::Open, text, spent: Spent::default() });
        }
        let asked = tokio::time::timeout(self.config.patience, self.exchange(ask)).await;
        let asked = asked.unwrap_or_else(|_| {
            let seconds = self.config.patience.as_secs();
            Err((Fault::Away, format!("the model's endpoint did not answer within {seconds} s")))
        });
        self.breaker.leave(self.clock.boot(), came(&asked));
        match asked {
            Err((fault, text)) => {
                // What was sent was read, for all we know.
                let spent = match fault {
                    Fault::Away => Spent { calls: 1, ..self.priced(Self::estimate(ask), 0) },
                    _ => Spent { calls: 1, ..Spent::default() },
                };
                Err(NoAnswer { fault, text, spent })
            }
            Ok((reply, bytes)) => {
                // An endpoint that counts less than it wrote does not get more out of the budget.
                let least = bytes as u64 / 8;
                let tokens_in = reply.tokens_in.unwrap_or(0).clamp(Self::estimate(ask) / 2, 100_000_000);
                let tokens_out = reply.tokens_out.unwrap_or(0).clamp(least, 100_000_000);
                let spent = Spent { calls: 1, ..self.priced(tokens_in, tokens_out) };
                match reply.value {
                    Ok(value) => {
                        self.cache.put(key, value.clone(), now);
                        Ok(Said { value, spent, cached: false, question: key })
                    }
                    Err(text) => Err(NoAnswer { fault: Fault::Nonsense, text, spent }),
                }
            }
        }
    }

    /// The answer to this did not stand the test: asked again, it is asked anew.
    pub fn unfit(&self, question: &Digest) {
        self.cache.forget(question);
    }

    async fn exchange(&self, ask: &Ask<'_>) -> Result<(Reply, usize), (Fault, String)> {
        let request = match self.config.kind {
            ModelKind::Anthropic => anthropic::request(&self.http, &self.config, ask),
            ModelKind::Openai => openai::request(&self.http, &self.config, ask),
            ModelKind::Ollama => ollama::request(&self.http, &self.config, ask),
        };
        let body = reading::send(request).await?;
        let reply = match self.config.kind {
            ModelKind::Anthropic => anthropic::read(&body, ask),
            ModelKind::Openai => openai::read(&body),
            ModelKind::Ollama => ollama::read(&body),
        };
        Ok((reply, body.len()))
    }

    /// Tokens of a question, about.
    fn estimate(ask: &Ask<'_>) -> u64 {
        let bytes = ask.system.len() + ask.turns.iter().map(String::len).sum::<usize>();
        bytes as u64 / 4
    }

    fn priced(&self, tokens_in: u64, tokens_out: u64) -> Spent {
        let price = |tokens: u64, price: u64| tokens.saturating_mul(price).div_ceil(1_000_000);
        let cost =
            price(tokens_in, self.config.price_in).saturating_add(price(tokens_out, self.config.price_out));
        Spent { calls: 1, tokens_in, tokens_out, cost }
    }

    fn key(&self, ask: &Ask<'_>) -> Digest {
        let parts = serde_json::json!([self.config.url, self.label(), ask.system, ask.turns, ask.schema]);
        Digest::of(parts.to_string().as_bytes())
    }
}

/// Whether the endpoint works: a refusal is about us and says neither.
fn came(asked: &Result<(Reply, usize), (Fault, String)>) -> Option<bool> {
    match asked {
        Ok((reply, _)) => Some(reply.value.is_ok()),
        Err((Fault::Refused, _)) => None,
        Err(_) => Some(false),
    }
}

/// The longest a whole plan takes, rounds and all, with room for what happens between them.
pub fn longest(config: &ModelConfig, rounds: u32) -> Duration {
    config.patience * rounds + Duration::from_secs(30)
}

/// Entry for `make prove RUN=fuzz`: any bytes as any endpoint's answer; what was handed in.
#[cfg(feature = "fuzzing")]
pub fn fuzz(bytes: &[u8]) -> Vec<Value> {
    let schema = serde_json::json!({});
    let ask = Ask { system: "", turns: &[], schema: &schema, name: "plan" };
    let replies = [anthropic::read(bytes, &ask), openai::read(bytes), ollama::read(bytes)];
    replies.into_iter().filter_map(|reply| reply.value.ok()).collect()
}
