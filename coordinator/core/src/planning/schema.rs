//! The JSON Schema of a mission's body, for editors of `mission.yaml`.

use serde_json::{Value, json};

const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$";
const CAPABILITY: &str = "^[a-z0-9_-]+(\\.[a-z0-9_-]+)+$";

/// JSON Schema (2020-12) of a mission's body.
pub fn mission_schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A NEXUSMON mission",
        "type": "object",
        "additionalProperties": false,
        "anyOf": [{"required": ["goal"]}, {"required": ["tasks"]}, {"required": ["playbook"]}],
        "properties": {
            "goal": {"type": "string", "minLength": 1, "description": "What is wanted, in words."},
            "tasks": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/task"},
                "description": "An explicit plan."},
            "playbook": {"type": "string", "description": "Instead of `tasks`: a playbook by name, or name@version."},
            "inputs": {"type": "object", "description": "Values for the playbook's inputs."},
            "rank": {"enum": ["E", "D", "C", "B", "A", "S"], "description": "Can only raise the assessed rank."},
            "start": {"type": "string", "default": "auto",
                "description": "`auto`, `manual`, or an RFC 3339 time."},
            "priority": {"type": "integer", "minimum": -100, "maximum": 100, "default": 0},
            "budget": {"$ref": "#/$defs/budget"},
            "labels": {"type": "object", "maxProperties": 64, "additionalProperties": {"type": "string", "maxLength": 256}},
            "metadata": {"type": "object", "description": "Anything, up to 64 KiB of JSON."},
        },
        "$defs": {
            "name": {"type": "string", "pattern": NAME},
            "duration": {
                "description": "`90s`, `5m`, `1h30m`, ISO 8601 `PT90S`, or seconds.",
                "oneOf": [{"type": "string"}, {"type": "number", "minimum": 0}],
            },
            "effects": effects(),
            "budget": budget(),
            "task": task(),
            "sandbox": sandbox(),
        },
    })
}

fn task() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["id", "uses"],
        "properties": {
            "id": {"$ref": "#/$defs/name", "description": "Unique in the plan."},
            "uses": {"type": "string", "pattern": CAPABILITY, "description": "A capability, such as `shell.run`."},
            "with": {"type": "object", "description": "Parameters; strings may hold ${{ CEL }}."},
            "needs": {"type": "array", "items": {"$ref": "#/$defs/name"}, "uniqueItems": true},
            "if": {"type": "string", "description": "CEL; false skips the task."},
            "for_each": {
                "type": "object", "additionalProperties": false, "required": ["in", "max"],
                "properties": {
                    "in": {"type": "string", "description": "CEL that gives a list."},
                    "max": {"type": "integer", "minimum": 1, "maximum": 10000},
                    "concurrency": {"type": "integer", "minimum": 1},
                },
            },
            "on": {
                "type": "object", "additionalProperties": false,
                "properties": {
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    "agent": {"type": "string", "description": "An agent's id or name."},
                    "same_as": {"$ref": "#/$defs/name", "description": "The agent that ran this task."},
                },
            },
            "timeout": {"$ref": "#/$defs/duration", "default": "1h"},
            "retry": {
                "type": "object", "additionalProperties": false,
                "properties": {
                    "max": {"type": "integer", "minimum": 0, "maximum": 100, "default": 0},
                    "backoff": {"$ref": "#/$defs/duration", "default": "5s"},
                    "jitter": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.2},
                    "on": {"type": "array", "items": {"enum": nexusmon_shared::outcome::Cause::RETRYABLE}},
                },
            },
            "idempotent": {"type": "boolean", "description": "May run again after a loss; default by rank: E and D."},
            "offline": {"$ref": "#/$defs/duration", "description": "How long a cut-off agent may finish it."},
            "sandbox": {"$ref": "#/$defs/sandbox"},
            "secrets": {"type": "array", "maxItems": 16, "description": "Handed over as files in $NEXUSMON_SECRETS.",
                "items": {"oneOf": [
                    {"$ref": "#/$defs/name"},
                    {"type": "object", "additionalProperties": false, "required": ["name"],
                        "properties": {"name": {"$ref": "#/$defs/name"},
                            "env": {"type": "string", "description": "Also in this environment variable."}}},
                ]}},
            "inputs": {"type": "array", "items": {"oneOf": [
                {"type": "object", "additionalProperties": false, "required": ["task", "artifact"],
                    "properties": {"task": {"$ref": "#/$defs/name"}, "artifact": {"type": "string"}}},
                {"type": "object", "additionalProperties": false, "required": ["version", "as"],
                    "properties": {"version": {"type": "string", "pattern": "^ver_"}, "as": {"type": "string"}}},
            ]}},
            "artifacts": {"type": "array", "items": {"type": "string"}, "description": "Globs beneath the workspace to keep."},
            "verify": {"type": "string", "description": "CEL over `outputs` and `exit_code`; must be true."},
            "effects": {"$ref": "#/$defs/effects"},
            "limits": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1},
                "description": "Concurrency keys with the most leases that may live under each."},
            "accept": {"type": "object", "additionalProperties": false,
                "description": "Values of run time that the approval of the plan covers.",
                "properties": {
                    "with": {"type": "object", "description": "JSON Schema of the evaluated value, by parameter."},
                    "inputs": {"type": "object", "additionalProperties": {"type": "string"},
                        "description": "SHA-256 of each fetched file, by its name in the inputs folder."}}},
            "spawn": {"type": "object", "additionalProperties": false, "required": ["capabilities", "max", "rank"],
                "description": "What it may add to its mission while it runs.",
                "properties": {
                    "capabilities": {"type": "array", "minItems": 1, "maxItems": 64, "items": {"type": "string", "pattern": CAPABILITY},
                        "description": "What added tasks may use."},
                    "max": {"type": "integer", "minimum": 1, "maximum": nexusmon_shared::plan::MAX_SPAWNED,
                        "description": "How many one attempt may add."},
                    "rank": {"enum": ["E", "D", "C", "B"], "description": "How much each may rank; the task itself ranks no lower."}}},
        },
    })
}

fn sandbox() -> Value {
    json!({
        "description": "What surrounds the process.",
        "oneOf": [
            {"enum": ["strict", "user", "none"]},
            {
                "type": "object", "additionalProperties": false, "required": ["profile"],
                "properties": {
                    "profile": {"enum": ["strict", "network", "user", "none"]},
                    "network": {"type": "array", "maxItems": 64, "items": {"type": "string"},
                        "description": "Hosts, such as `example.org`, `*.example.org`, `example.org:8443`; ports 80 and 443 where none is named."},
                    "paths": {"type": "array", "items": {
                        "type": "object", "additionalProperties": false, "required": ["path"],
                        "properties": {"path": {"type": "string", "pattern": "^/"}, "write": {"type": "boolean"}},
                    }},
                },
            },
        ],
    })
}

fn effects() -> Value {
    let flag = json!({"type": "boolean", "default": false});
    json!({
        "type": "object", "additionalProperties": false,
        "description": "What it may do to the world, beyond what its capability declares. Only raises the rank.",
        "properties": {"reads": flag, "writes": flag, "network": flag, "spends": flag, "irreversible": flag},
    })
}

fn budget() -> Value {
    let count = json!({"type": "integer", "minimum": 1});
    json!({
        "type": "object", "additionalProperties": false,
        "properties": {
            "tasks": count, "attempts": count, "duration": {"$ref": "#/$defs/duration"},
            "artifact_bytes": {"type": "integer", "minimum": 0}, "log_bytes": {"type": "integer", "minimum": 0},
        },
    })
}
