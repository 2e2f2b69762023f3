//! The document of the API (`OpenAPI` 3.1), made from the routes themselves.

use axum::extract::State;
use axum::response::IntoResponse;
use http::header;
use utoipa::OpenApi;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::Header;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn, Paths};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{OpenApi as Document, Ref, Required};

use super::Web;
use super::problem::{MEDIA_TYPE, ProblemBody};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "NEXUSMON",
        description = "Missions on your own machines, governed. Refusals are problem details (RFC 9457) with a stable \
                       `code`. Lists answer `{items, next_cursor}`. Every POST takes an `Idempotency-Key`. \
                       What is read from the \
                       database has an `X-Seq`: `/v1/events?after=` that misses nothing the answer does not hold.",
        license(name = "MIT"),
    ),
    components(schemas(ProblemBody)),
    tags(
        (name = "engine", description = "Missions and their tasks"),
        (name = "vault", description = "Artifacts"),
        (name = "fleet", description = "Agents"),
        (name = "governance", description = "Approvals, reviews, audit"),
        (name = "nexusmon", description = "The organism"),
        (name = "cognition", description = "What it knows about its own thinking"),
        (name = "companion", description = "Questions about live state, answered with links"),
        (name = "events", description = "Live changes"),
        (name = "auth", description = "Logging in"),
        (name = "me", description = "What is yours alone"),
        (name = "notifications", description = "Where you are told of what"),
        (name = "health", description = "Process and version"),
    ),
)]
struct Skeleton;

const TOKEN: &str = "token";
const SESSION: &str = "session";

/// The document before any route is in it.
pub(super) fn skeleton() -> Document {
    let mut document = Skeleton::openapi();
    let components = document.components.get_or_insert_default();
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    components.add_security_scheme(TOKEN, SecurityScheme::Http(token));
    let cookie = ApiKey::Cookie(ApiKeyValue::new("nexusmon_session"));
    components.add_security_scheme(SESSION, SecurityScheme::ApiKey(cookie));
    document
}

/// Who may call an operation.
#[derive(Clone, Copy)]
pub(super) enum Callers {
    Everybody,
    /// Whom we know, as far as the policy allows this action.
    Allowed(&'static str),
    /// Whoever holds a token, even an expired one.
    Holders,
}

/// Adds what every operation has: refusals, the idempotency key of POSTs, and who may call.
pub(super) fn complete(paths: &mut Paths, callers: Callers) {
    for item in paths.paths.values_mut() {
        if let Some(post) = &mut item.post {
            post.parameters.get_or_insert_default().push(idempotency_key().into());
        }
        let operations =
            [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch, &mut item.head];
        for operation in operations.into_iter().flatten() {
            finish(operation, callers);
        }
    }
}

fn finish(operation: &mut Operation, callers: Callers) {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let trace = Header::new(ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).build());
    let refusal = ResponseBuilder::new()
        .description("Refused")
        .content(MEDIA_TYPE, content)
        .header("traceparent", trace)
        .build();
    operation.responses.responses.insert("default".to_owned(), refusal.into());
    let none: [&str; 0] = [];
    let token = SecurityRequirement::new(TOKEN, none);
    operation.security = Some(match callers {
        Callers::Everybody => Vec::new(),
        Callers::Allowed(_) => vec![token, SecurityRequirement::new(SESSION, none)],
        Callers::Holders => vec![token],
    });
    if let Callers::Allowed(action) = callers {
        operation.extensions = Some([("x-action", action)].into_iter().collect());
    }
}

fn idempotency_key() -> utoipa::openapi::path::Parameter {
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "1 to 128 printable characters; the same key and body give the same answer for a day",
        ))
        .schema(Some(ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).build()))
        .build()
}

/// This document
#[utoipa::path(
    get, path = "/v1/openapi.json", tag = "health",
    responses((status = 200, body = Object, description = "OpenAPI 3.1")),
)]
pub(super) async fn document(State(web): State<Web>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], web.document.get().cloned().unwrap_or_default())
}
