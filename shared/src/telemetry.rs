//! Logs and traces: set up once per process; W3C trace context in and out.
//!
//! Never sees a secret: types that hold one redact their `Debug`.

use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

const HEADER: &str = "traceparent";

/// How a process logs.
#[derive(Debug, Clone, Default)]
pub struct TelemetryConfig {
    /// `service.name` of the traces: `nexusmon` or `nexusmon-agent`.
    pub service: &'static str,
    /// Directives such as `info,nexusmon_coordinator=debug`; `RUST_LOG` where absent, else [`Self::default_filter`].
    pub filter: Option<String>,
    pub default_filter: &'static str,
    /// One JSON object per line instead of text for people.
    pub json: bool,
    /// OTLP/gRPC collector, for example `http://localhost:4317`.
    pub otlp_endpoint: Option<String>,
}

/// Why telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("the log filter `{filter}` cannot be read: {reason}")]
    Filter { filter: String, reason: String },
    #[error("the OTLP endpoint `{endpoint}` cannot be used: {reason}")]
    Endpoint { endpoint: String, reason: String },
    #[error("logging was set up already")]
    Twice,
}

/// Flushes traces when dropped; hold it until the process ends.
#[derive(Debug, Default)]
pub struct TelemetryGuard(Option<SdkTracerProvider>);

impl Drop for TelemetryGuard {
    fn drop(&mut self) {
        if let Some(provider) = self.0.take() {
            // Nobody is left to tell.
            let _ = provider.shutdown();
        }
    }
}

/// Sets up logs on standard error and, where an endpoint is configured, traces. Once per process, inside a runtime.
pub fn init(config: &TelemetryConfig) -> Result<TelemetryGuard, TelemetryError> {
    let filter = filter(config)?;
    let provider =
        config.otlp_endpoint.as_deref().map(|endpoint| provider(config.service, endpoint)).transpose()?;
    let traces = provider
        .as_ref()
        .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer(config.service)));
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if config.json {
        lines.json().flatten_event(true).boxed()
    } else {
        lines.with_ansi(terminal).with_target(!terminal).compact().boxed()
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(traces)
        .with(lines)
        .try_init()
        .map_err(|_| TelemetryError::Twice)?;
    Ok(TelemetryGuard(provider))
}

fn filter(config: &TelemetryConfig) -> Result<EnvFilter, TelemetryError> {
    let given =
        config.filter.clone().or_else(|| std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty()));
    let text = given.unwrap_or_else(|| config.default_filter.to_owned());
    EnvFilter::try_new(&text)
        .map_err(|error| TelemetryError::Filter { filter: text, reason: error.to_string() })
}

fn provider(service: &'static str, endpoint: &str) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter =
        opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint).build().map_err(
            |error| TelemetryError::Endpoint { endpoint: endpoint.to_owned(), reason: error.to_string() },
        )?;
    let resource = Resource::builder().with_service_name(service).build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// The current span as a W3C `traceparent`; `None` when nothing traces.
pub fn current_traceparent() -> Option<String> {
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut carrier);
    carrier.remove(HEADER)
}

/// Makes `span` a child of the span a `traceparent` names. A text that is none is ignored.
pub fn set_parent(span: &Span, traceparent: &str) {
    let carrier = HashMap::from([(HEADER.to_owned(), traceparent.to_owned())]);
    // Without a tracing layer there is no parent to set.
    let _ = span.set_parent(TraceContextPropagator::new().extract(&carrier));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_trace_goes_through() {
        let provider = SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let incoming = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
            let span = tracing::info_span!("request");
            set_parent(&span, incoming);
            let outgoing = span.in_scope(current_traceparent).expect("something traces");
            assert_eq!(outgoing[..35], incoming[..35], "the same trace");
            assert_ne!(outgoing, incoming, "another span");
            set_parent(&tracing::info_span!("other"), "not a traceparent");
        });
    }

    #[test]
    fn a_bad_filter_is_named() {
        let config =
            TelemetryConfig { filter: Some("nexusmon=loud".to_owned()), ..TelemetryConfig::default() };
        let error = filter(&config).unwrap_err().to_string();
        assert!(error.contains("nexusmon=loud"), "{error}");
    }
}
