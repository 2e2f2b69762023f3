//! The REST API and the pages, on one port.
//!
//! Handlers translate and nothing else: what may happen, and whether, is `service`'s. Never touches the store or the
//! core.

mod access;
mod admission;
mod envelope;
mod etag;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod health;
mod idempotency;
mod json;
mod listener;
mod live;
mod metrics;
mod openapi;
mod pages;
mod problem;
mod query;
mod range;
mod router;
mod v1;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use nexusmon_shared::id::PrincipalId;
use rand::RngExt as _;

use crate::app::App;

pub use listener::serve;

/// What every handler and layer can reach; cheap to clone.
#[derive(Clone)]
struct Web(Arc<Parts>);

struct Parts {
    app: App,
    hosts: admission::Hosts,
    failures: admission::Buckets<IpAddr>,
    callers: admission::Buckets<PrincipalId>,
    metrics: metrics::Metrics,
    document: OnceLock<Bytes>,
}

impl std::ops::Deref for Web {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Web {
    fn new(app: App) -> Self {
        let config = &app.config;
        Self(Arc::new(Parts {
            hosts: admission::Hosts::new(
                config.public_url.as_deref(),
                config.tls.is_some(),
                config.trusted_proxies.clone(),
                config.hosts.clone(),
            ),
            failures: admission::failures(),
            callers: admission::callers(config.rate_limit),
            metrics: metrics::Metrics::new(&app),
            document: OnceLock::new(),
            app,
        }))
    }

    /// A trace id and a span id, neither zero.
    fn fresh_trace(&self) -> (u128, u64) {
        self.app.rng.with(|rng| (rng.random::<u128>().max(1), rng.random::<u64>().max(1)))
    }
}

/// The router with everything around it.
pub fn router(app: &App) -> axum::Router {
    router::router(&Web::new(app.clone()))
}
