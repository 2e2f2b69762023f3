//! A language model that may be asked for plans. Without one everything else works.

use std::time::Duration;

use super::{ConfigError, Environment, Secret, oidc::is_private, secret};

/// How a model's endpoint is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    Anthropic,
    /// Chat completions, as many servers offer them.
    Openai,
    Ollama,
}

impl ModelKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::Openai => "openai",
            Self::Ollama => "ollama",
        }
    }
}

/// `[model]` of the file, `--model-…`, `NEXUSMON_MODEL_…`.
#[derive(Debug, Clone, Default, PartialEq, clap::Args, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSettings {
    /// How the model is spoken to [default: anthropic where `ANTHROPIC_API_KEY` is set; without either no model is asked].
    /// The key comes by `ANTHROPIC_API_KEY`, or `NEXUSMON_MODEL_API_KEY` for others; each also as …_FILE.
    #[arg(id = "model_kind", long = "model-kind", env = "NEXUSMON_MODEL_KIND", value_name = "KIND")]
    pub kind: Option<ModelKind>,
    /// Name of the model, as its endpoint knows it [default for anthropic: claude-sonnet-4-5].
    #[arg(id = "model_name", long = "model-name", env = "NEXUSMON_MODEL_NAME", value_name = "NAME")]
    pub name: Option<String>,
    /// Where it answers [default: `https://api.anthropic.com`, `https://api.openai.com/v1`, `http://127.0.0.1:11434`].
    #[arg(id = "model_url", long = "model-url", env = "NEXUSMON_MODEL_URL", value_name = "URL")]
    pub url: Option<String>,
    /// Plain HTTP to a model on another machine; goals and recalled plans then travel in the clear.
    #[arg(id = "model_allow_http", long = "model-allow-http", env = "NEXUSMON_MODEL_ALLOW_HTTP")]
    pub allow_http: Option<bool>,
    /// Longest wait for one answer, in seconds [default: 60].
    #[arg(
        id = "model_seconds",
        long = "model-seconds",
        env = "NEXUSMON_MODEL_SECONDS",
        value_name = "SECONDS"
    )]
    pub seconds: Option<u32>,
    /// Most tokens of one answer [default: 4096].
    #[arg(
        id = "model_answer_tokens",
        long = "model-answer-tokens",
        env = "NEXUSMON_MODEL_ANSWER_TOKENS",
        value_name = "TOKENS"
    )]
    pub answer_tokens: Option<u32>,
    /// Most tokens in a day (UTC), asked and answered [default: 1000000].
    #[arg(
        id = "model_daily_tokens",
        long = "model-daily-tokens",
        env = "NEXUSMON_MODEL_DAILY_TOKENS",
        value_name = "TOKENS"
    )]
    pub daily_tokens: Option<u64>,
    /// Most US dollars in a day (UTC) [default: 5].
    #[arg(
        id = "model_daily_usd",
        long = "model-daily-usd",
        env = "NEXUSMON_MODEL_DAILY_USD",
        value_name = "USD"
    )]
    pub daily_usd: Option<f64>,
    /// Most tokens for the plans of one goal, however often it is planned [default: those of a day].
    #[arg(
        id = "model_goal_tokens",
        long = "model-goal-tokens",
        env = "NEXUSMON_MODEL_GOAL_TOKENS",
        value_name = "TOKENS"
    )]
    pub goal_tokens: Option<u64>,
    /// Most US dollars for the plans of one goal, however often it is planned [default: those of a day].
    #[arg(
        id = "model_goal_usd",
        long = "model-goal-usd",
        env = "NEXUSMON_MODEL_GOAL_USD",
        value_name = "USD"
    )]
    pub goal_usd: Option<f64>,
    /// US dollars for a million tokens asked [default: 3, for ollama 0].
    #[arg(id = "model_usd_in", long = "model-usd-in", env = "NEXUSMON_MODEL_USD_IN", value_name = "USD")]
    pub usd_in: Option<f64>,
    /// US dollars for a million tokens answered [default: 15, for ollama 0].
    #[arg(id = "model_usd_out", long = "model-usd-out", env = "NEXUSMON_MODEL_USD_OUT", value_name = "USD")]
    pub usd_out: Option<f64>,
}

/// Checked.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    pub kind: ModelKind,
    pub name: String,
    /// Without a slash at the end.
    pub url: String,
    pub key: Option<Secret>,
    pub patience: Duration,
    pub answer_tokens: u32,
    pub daily_tokens: u64,
    /// Micro-dollars.
    pub daily_cost: u64,
    /// For the plans of one goal; the day's alone count where it is unset.
    pub goal_tokens: Option<u64>,
    /// Micro-dollars.
    pub goal_cost: Option<u64>,
    /// Micro-dollars for a million tokens.
    pub price_in: u64,
    pub price_out: u64,
}

impl ModelSettings {
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            kind: self.kind.or(other.kind),
            name: self.name.or(other.name),
            url: self.url.or(other.url),
            allow_http: self.allow_http.or(other.allow_http),
            seconds: self.seconds.or(other.seconds),
            answer_tokens: self.answer_tokens.or(other.answer_tokens),
            daily_tokens: self.daily_tokens.or(other.daily_tokens),
            daily_usd: self.daily_usd.or(other.daily_usd),
            goal_tokens: self.goal_tokens.or(other.goal_tokens),
            goal_usd: self.goal_usd.or(other.goal_usd),
            usd_in: self.usd_in.or(other.usd_in),
            usd_out: self.usd_out.or(other.usd_out),
        }
    }

    pub(super) fn check(self, environment: &impl Environment) -> Result<Option<ModelConfig>, ConfigError> {
        let wrong = |key: &str, why: String| ConfigError::new(format!("model.{key}"), why);
        let anthropic = secret::read(environment, "ANTHROPIC_API_KEY")?;
        let other = secret::read(environment, "NEXUSMON_MODEL_API_KEY")?;
        let kind = match (self.kind, &anthropic) {
            (Some(kind), _) => kind,
            (None, Some(_)) => ModelKind::Anthropic,
            (None, None) if self.name.is_some() || self.url.is_some() => {
                return Err(wrong("kind", "is not set: say anthropic, openai or ollama".to_owned()));
            }
            (None, None) => return Ok(None),
        };
        let key = match kind {
            ModelKind::Anthropic => other.or(anthropic),
            _ => other,
        };
        if key.as_ref().is_some_and(|key| !key.expose().chars().all(|c| c.is_ascii_graphic())) {
            return Err(wrong("kind", "the key holds characters that no key has".to_owned()));
        }
        let (url, name) = match kind {
            ModelKind::Anthropic => ("https://api.anthropic.com", Some("claude-sonnet-4-5")),
            ModelKind::Openai => ("https://api.openai.com/v1", None),
            ModelKind::Ollama => ("http://127.0.0.1:11434", None),
        };
        let ours = self.url.is_none();
        let url = self.url.unwrap_or_else(|| url.to_owned());
        let Ok(uri) = url.parse::<http::Uri>() else {
            return Err(wrong("url", format!("`{url}` is not a URL")));
        };
        let (scheme, host) = (uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default());
        let open = self.allow_http.unwrap_or(false) && scheme == "http";
        if host.is_empty() || uri.query().is_some() || !(is_private(scheme, host) || open) {
            let why = format!(
                "`{url}` must be an https:// address, or http:// on this machine; model.allow_http lets plain HTTP through"
            );
            return Err(wrong("url", why));
        }
        if kind == ModelKind::Anthropic && ours && key.is_none() {
            return Err(wrong("kind", "is anthropic, and ANTHROPIC_API_KEY is not set".to_owned()));
        }
        let Some(name) = self.name.or(name.map(str::to_owned)).filter(|name| !name.trim().is_empty()) else {
            return Err(wrong("name", format!("is not set: say which model of {} to ask", kind.as_str())));
        };
        let seconds = self.seconds.unwrap_or(60);
        if !(1..=600).contains(&seconds) {
            return Err(wrong("seconds", format!("{seconds} must be from 1 to 600")));
        }
        let answer_tokens = self.answer_tokens.unwrap_or(4096);
        if !(64..=64_000).contains(&answer_tokens) {
            return Err(wrong("answer_tokens", format!("{answer_tokens} must be from 64 to 64000")));
        }
        let free = kind == ModelKind::Ollama;
        let money = |key: &str, given: Option<f64>, default: f64| match given.unwrap_or(default) {
            usd if usd.is_finite() && (0.0..=1e6).contains(&usd) => Ok(micro(usd)),
            usd => Err(wrong(key, format!("{usd} must be from 0 to 1000000"))),
        };
        Ok(Some(ModelConfig {
            kind,
            name,
            url: url.trim_end_matches('/').to_owned(),
            key,
            patience: Duration::from_secs(u64::from(seconds)),
            answer_tokens,
            daily_tokens: self.daily_tokens.unwrap_or(1_000_000),
            daily_cost: money("daily_usd", self.daily_usd, 5.0)?,
            goal_tokens: self.goal_tokens,
            goal_cost: self.goal_usd.map(|usd| money("goal_usd", Some(usd), usd)).transpose()?,
            price_in: money("usd_in", self.usd_in, if free { 0.0 } else { 3.0 })?,
            price_out: money("usd_out", self.usd_out, if free { 0.0 } else { 15.0 })?,
        }))
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 10^12")]
fn micro(usd: f64) -> u64 {
    (usd * 1e6).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(settings: ModelSettings, variables: &[(&str, &str)]) -> Result<Option<ModelConfig>, String> {
        let environment = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        settings.check(&environment).map_err(|error| error.to_string())
    }

    #[test]
    fn a_key_is_enough_and_without_one_there_is_no_model() {
        assert!(check(ModelSettings::default(), &[]).unwrap().is_none());
        let model = check(ModelSettings::default(), &[("ANTHROPIC_API_KEY", "sk-test")]).unwrap().unwrap();
        assert_eq!((model.kind, model.url.as_str()), (ModelKind::Anthropic, "https://api.anthropic.com"));
        assert_eq!((model.daily_cost, model.price_in, model.price_out), (5_000_000, 3_000_000, 15_000_000));
        assert_eq!((model.goal_tokens, model.goal_cost), (None, None));
        let local = ModelSettings {
            kind: Some(ModelKind::Ollama),
            name: Some("llama3".into()),
            ..ModelSettings::default()
        };
        let model = check(local, &[]).unwrap().unwrap();
        assert_eq!((model.price_in, model.url.as_str()), (0, "http://127.0.0.1:11434"));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let settings = ModelSettings {
            kind: Some(ModelKind::Openai),
            name: Some("m".into()),
            ..ModelSettings::default()
        };
        let refused = |change: fn(&mut ModelSettings)| {
            let mut wrong = settings.clone();
            change(&mut wrong);
            check(wrong, &[]).unwrap_err()
        };
        assert!(refused(|s| s.url = Some("http://models.lan/v1".into())).contains("model.url"));
        assert!(refused(|s| s.name = None).contains("model.name"));
        assert!(refused(|s| s.kind = None).contains("model.kind"));
        assert!(refused(|s| s.kind = Some(ModelKind::Anthropic)).contains("ANTHROPIC_API_KEY"));
        assert!(refused(|s| s.seconds = Some(0)).contains("model.seconds"));
        assert!(refused(|s| s.usd_in = Some(f64::NAN)).contains("model.usd_in"));
        assert!(refused(|s| s.goal_usd = Some(-1.0)).contains("model.goal_usd"));
        let mut open = settings;
        open.url = Some("http://models.lan/v1/".into());
        open.allow_http = Some(true);
        assert_eq!(check(open, &[]).unwrap().unwrap().url, "http://models.lan/v1");
    }
}
