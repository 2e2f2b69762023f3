//! The document of the API, held by a snapshot, and what must be true of every route in it.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::Value;

use crate::served::{Served, operations};

/// Everything that is open to everybody. Whoever adds to this list should know why.
const OPEN: [&str; 10] = [
    "get /healthz",
    "get /metrics",
    "get /readyz",
    "get /v1/auth/methods",
    "get /v1/auth/oidc/callback",
    "get /v1/auth/oidc/start",
    "get /v1/version",
    "post /v1/auth/login",
    "post /v1/auth/passkeys/challenge",
    "post /v1/hooks/{id}",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_as_it_was() -> Result<()> {
    let served = Served::start().await?;
    let mut document = served.get("/v1/openapi.json").await?;
    assert_eq!(document["openapi"], "3.1.0");
    document["info"]["version"] = Value::from("[version]");
    insta::assert_json_snapshot!("openapi", document);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reference_in_the_document_leads_somewhere() -> Result<()> {
    let served = Served::start().await?;
    let document = served.get("/v1/openapi.json").await?;
    let text = document.to_string();
    let references: BTreeSet<&str> =
        text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(references.len() > 20, "{references:?}");
    for pointer in references {
        assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_listed_routes_are_open_and_every_other_names_its_action() -> Result<()> {
    let served = Served::start().await?;
    let document = served.get("/v1/openapi.json").await?;
    let mut open = Vec::new();
    for operation in operations(&document) {
        let name = format!("{} {}", operation.method.to_lowercase(), operation.path);
        let security = operation.about["security"].as_array().cloned().unwrap_or_default();
        if security.is_empty() {
            open.push(name.clone());
        } else if name != "post /v1/auth/refresh" {
            assert!(operation.about["x-action"].is_string(), "{name} names no action");
        }
        assert!(operation.about["responses"]["default"].is_object(), "{name} says nothing about refusals");
        let summary = operation.about["summary"].as_str().unwrap_or_default();
        assert!(!summary.is_empty(), "{name} has no summary");
        if operation.method == "POST" {
            assert!(operation.about["parameters"].to_string().contains("Idempotency-Key"), "{name}");
        }
    }
    open.sort();
    assert_eq!(open, OPEN);
    Ok(())
}

/// Programs that are made from the document name their functions so.
#[tokio::test(flavor = "multi_thread")]
async fn every_operation_has_a_name_of_its_own() -> Result<()> {
    let served = Served::start().await?;
    let document = served.get("/v1/openapi.json").await?;
    let mut named = BTreeSet::new();
    for operation in operations(&document) {
        let name = operation.about["operationId"].as_str().unwrap_or_default().to_owned();
        assert!(
            !name.is_empty() && named.insert(name.clone()),
            "{} {}: `{name}`",
            operation.method,
            operation.path
        );
    }
    assert!(named.len() > 100, "{named:?}");
    Ok(())
}
