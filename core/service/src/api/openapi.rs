//! The description of the API: OpenAPI 3.1, made from the table of end points.

use serde_json::{Map, Value, json};

use super::route::{ROUTES, Route};
use crate::audit::{Effect, Kind};
use crate::purpose::Purpose;

/// The whole document.
pub(crate) fn document() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let methods = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Value::Object(methods) = methods {
            methods.insert(route.method.to_ascii_lowercase(), operation(route));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Secrets API",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "dpop": {"type": "http", "scheme": "dpop", "description": "RFC 9449"},
            },
        },
    })
}

fn operation(route: &Route) -> Value {
    let parameters: Vec<_> = route.query.iter().map(|name| parameter(name)).collect();
    let kind = match route.answer {
        "Events" => "text/event-stream",
        "Text" => "text/plain",
        _ => "application/json",
    };
    let schema = json!({"$ref": format!("#/components/schemas/{}", route.answer)});
    let mut operation = json!({
        "operationId": format!("{:?}", route.target).to_lowercase(),
        "summary": route.summary,
        "parameters": parameters,
        "responses": {
            "200": {"description": "Done", "content": {kind: {"schema": schema}}},
            "default": {
                "description": "Refused, or failed",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    });
    let Value::Object(map) = &mut operation else { return operation };
    if let Some(body) = route.body {
        let schema = json!({"$ref": format!("#/components/schemas/{body}")});
        map.insert(
            "requestBody".into(),
            json!({"required": true, "content": {"application/json": {"schema": schema}}}),
        );
    }
    if let Some(purpose) = route.purpose {
        map.insert("security".into(), json!([{"bearer": [purpose.scope()]}, {"dpop": [purpose.scope()]}, {}]));
    }
    operation
}

fn parameter(name: &str) -> Value {
    let schema = match name {
        "offset" => json!({"type": "integer", "minimum": 0, "default": 0}),
        "limit" => json!({"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}),
        "version" => json!({"type": "integer", "minimum": 1}),
        "destroy" => json!({"type": "boolean", "default": false}),
        _ => json!({"type": "string"}),
    };
    let required = matches!(name, "uri" | "q");
    json!({"name": name, "in": "query", "required": required, "schema": schema})
}

fn schemas() -> Value {
    let uri = json!({"type": "string", "examples": ["openbao+kv2://secret/app/api#token"]});
    let version = json!({"type": "integer", "minimum": 1});
    let numbers = json!({"type": "array", "items": version, "minItems": 1});
    let text = json!({"type": "string"});
    let (some_text, some_version) = (json!({"type": ["string", "null"]}), json!({"type": ["integer", "null"]}));
    let object = |required: &[&str], properties: Value| json!({"type": "object", "required": required, "properties": properties, "additionalProperties": false});
    let answer = |required: &[&str], properties: Value| json!({"type": "object", "required": required, "properties": properties});
    let one = json!({
        "type": "object",
        "required": ["op", "uri"],
        "properties": {
            "op": {"enum": ["set", "rotate", "delete", "undelete", "destroy", "owner"]},
            "uri": uri, "value": {}, "versions": numbers, "owner": text,
        },
    });
    let result = answer(
        &["op", "uri", "status"],
        json!({
            "op": text, "uri": text, "status": {"type": "integer"}, "code": text, "message": text,
            "old_version": some_version, "new_version": some_version,
        }),
    );
    let each = answer(
        &["version", "created_time", "deletion_time", "destroyed"],
        json!({
            "version": version, "created_time": some_text, "deletion_time": some_text, "destroyed": {"type": "boolean"},
        }),
    );
    let versions = json!({
        "uri": uri, "current_version": {"type": ["integer", "null"], "minimum": 0},
        "versions": {"type": "array", "items": each},
    });
    json!({
        "Write": object(&["uri", "value"], json!({"uri": uri, "value": {}})),
        "Numbers": object(&["uri", "versions"], json!({"uri": uri, "versions": numbers})),
        "Versions": answer(&["uri", "current_version", "versions"], versions.clone()),
        "Owner": object(&["uri", "owner"], json!({"uri": uri, "owner": text})),
        "Transfer": object(&["fromUri", "toUri"], json!({
            "fromUri": uri, "toUri": uri, "overwrite": {"type": "boolean", "default": false},
        })),
        "Bulk": object(&["operations"], json!({
            "operations": {"type": "array", "items": one, "minItems": 1, "maxItems": super::body::MAX_BULK},
            "continueOnError": {"type": "boolean", "default": false},
        })),
        "Results": answer(&["results"], json!({"results": {"type": "array", "items": result}})),
        "Value": answer(&["uri", "value", "version"], json!({
            "uri": uri, "value": {}, "version": some_version,
        })),
        "Change": answer(&["uri", "old_version", "new_version", "resource_ref"], json!({
            "uri": uri, "old_version": some_version, "new_version": some_version, "resource_ref": text,
        })),
        "Done": answer(&["uri"], json!({"uri": uri})),
        "Metadata": metadata(&uri, &versions),
        "Items": answer(&["items", "offset", "limit", "total", "complete"], json!({
            "items": {"type": "array", "items": text}, "offset": {"type": "integer"}, "limit": {"type": "integer"},
            "total": {"type": "integer"}, "complete": {"type": "boolean"},
        })),
        "Audit": answer(&["items", "offset", "limit", "total"], json!({
            "items": {"type": "array", "items": event()}, "offset": {"type": "integer"}, "limit": {"type": "integer"},
            "total": {"type": "integer"},
        })),
        "Events": text,
        "Text": text,
        "Health": answer(&["status"], json!({"status": text})),
        "OpenApi": {"type": "object"},
        "Error": answer(&["error", "code", "message"], json!({"error": text, "code": text, "message": text})),
    })
}

/// What is known of a secret of KVv2. A host's own providers may say less, or more.
fn metadata(uri: &Value, versions: &Value) -> Value {
    json!({"type": "object", "required": ["uri"], "properties": {
        "uri": uri,
        "current_version": versions.pointer("/current_version"),
        "versions": versions.pointer("/versions"),
        "oldest_version": {"type": "integer", "minimum": 0},
        "created_time": {"type": "string", "format": "date-time"},
        "updated_time": {"type": "string", "format": "date-time"},
        "max_versions": {"type": "integer", "minimum": 0},
        "cas_required": {"type": "boolean"},
        "delete_version_after_seconds": {"type": "integer", "minimum": 0},
        "custom_metadata": {"type": "object", "additionalProperties": {"type": "string"}},
    }})
}

/// An event on record: what is not known is left out.
fn event() -> Value {
    let (text, version) = (json!({"type": "string"}), json!({"type": "integer", "minimum": 1}));
    let kinds: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    let purposes: Vec<_> = Purpose::ALL.iter().map(|purpose| purpose.as_str()).collect();
    let effects: Vec<_> = Effect::ALL.iter().map(|effect| effect.as_str()).collect();
    let replaced = json!({"type": "object", "required": ["old", "new"], "properties": {
        "old": {"type": ["integer", "null"]}, "new": version,
    }});
    let mut properties = json!({
        "sequence": version, "event": {"enum": kinds}, "ts": {"type": "string", "format": "date-time"},
        "purpose": {"enum": purposes}, "effect": {"enum": effects}, "sampled": version,
        "kv_version": {"anyOf": [version, {"type": "array", "items": version}, replaced]},
    });
    if let Value::Object(map) = &mut properties {
        let texts = [
            "tenant_id",
            "subject",
            "resource_ref",
            "salt_id",
            "decision_id",
            "policy_version",
            "answered_by",
            "code",
            "system_id",
            "workflow_run_id",
            "node_id",
            "correlation_id",
            "trace_id",
            "cnf_jkt",
            "mtls_thumbprint",
            "token_jti",
        ];
        map.extend(texts.map(|name| (name.to_owned(), text.clone())));
    }
    json!({
        "type": "object", "additionalProperties": false, "properties": properties,
        "required": ["sequence", "event", "ts", "tenant_id", "subject", "purpose", "effect", "salt_id", "sampled"],
    })
}
