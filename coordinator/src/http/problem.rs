//! Problem details (RFC 9457): the one shape every refused request is answered with.
//!
//! A handler returns a [`Problem`]; it travels in the response's extensions, and the outermost layer
//! ([`super::envelope`]) writes the body, because only that layer knows the trace id. This module must not know how a
//! use case fails: [`crate::error::Error`] names its own status and code.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

use crate::error::Error;

/// The media type of a problem body.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub(super) struct FieldProblem {
    /// JSON pointer (RFC 6901) into the request body, `?name` for a query parameter, or a header's name.
    pub(super) pointer: String,
    /// Stable name of the reason.
    pub(super) code: String,
    /// For people.
    pub(super) message: String,
}

/// A problem body (RFC 9457).
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody {
    /// `urn:nexusmon:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// The status in words.
    title: String,
    status: u16,
    /// Stable; programs decide by it.
    code: String,
    /// What happened and what to do.
    detail: String,
    /// Each field that was refused.
    errors: Vec<FieldProblem>,
    /// Finds this request in logs and traces.
    trace_id: String,
    /// What the code brings along, such as the approval that waits.
    #[serde(flatten)]
    #[schema(value_type = Object, additional_properties)]
    extra: Map<String, Value>,
}

/// A refused request. Boxed, because `Result<_, Problem>` is everywhere and refusals are rare.
#[derive(Clone, Debug)]
pub(super) struct Problem(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    status: StatusCode,
    code: String,
    detail: String,
    errors: Vec<FieldProblem>,
    extra: Map<String, Value>,
    headers: HeaderMap,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            status,
            code: code.to_owned(),
            detail: detail.into(),
            errors: Vec::new(),
            extra: Map::new(),
            headers: HeaderMap::new(),
        }))
    }

    /// One field of the body, a query parameter or a header is wrong.
    pub(super) fn field(pointer: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Error::field(pointer, code, message).into()
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    pub(super) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "The coordinator failed to answer; its log has the reason under this trace id.",
        )
    }

    pub(super) fn with_field(
        mut self,
        pointer: impl Into<String>,
        code: &str,
        message: impl Into<String>,
    ) -> Self {
        self.0.errors.push(FieldProblem {
            pointer: pointer.into(),
            code: code.to_owned(),
            message: message.into(),
        });
        self
    }

    pub(super) fn with_header(mut self, name: header::HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers.insert(name, value);
        }
        self
    }

    #[cfg(test)]
    pub(super) fn code(&self) -> &str {
        &self.0.code
    }

    /// The body as it leaves.
    pub(super) fn body(&self, trace_id: &str) -> ProblemBody {
        ProblemBody {
            kind: format!("urn:nexusmon:problem:{}", self.0.code),
            title: self.0.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.0.status.as_u16(),
            code: self.0.code.clone(),
            detail: self.0.detail.clone(),
            errors: self.0.errors.clone(),
            trace_id: trace_id.to_owned(),
            extra: self.0.extra.clone(),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        if let Error::Internal(source) = &error {
            tracing::error!(error = &**source as &dyn std::error::Error, "a request failed inside");
        }
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut problem = Self::new(status, error.code(), error.to_string());
        for field in error.fields() {
            problem = problem.with_field(&field.pointer, field.code, &field.message);
        }
        match error {
            Error::Conflict { extra, .. } => problem.0.extra = extra,
            Error::RateLimited { retry_after } => {
                let seconds = retry_after.as_secs().max(1).to_string();
                problem = problem.with_header(header::RETRY_AFTER, &seconds);
            }
            Error::Unauthenticated { .. } => {
                problem = problem.with_header(header::WWW_AUTHENTICATE, "Bearer realm=\"nexusmon\"");
            }
            Error::RangeNotSatisfiable { size, .. } => {
                problem = problem.with_header(header::CONTENT_RANGE, &format!("bytes */{size}"));
            }
            _ => {}
        }
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        response.headers_mut().extend(self.0.headers.clone());
        response.extensions_mut().insert(self);
        response
    }
}
