//! A checker of JSON Schema, as far as the API's description uses it: what it does not know is an error of the
//! description.

use serde_json::Value;

use super::{Answer, Ask};

/// Holds an answer against what the description says of it.
pub fn check_answer(document: &Value, ask: &Ask, answer: &Answer) {
    let method = if ask.method == "HEAD" { "GET" } else { ask.method };
    let operation = &document["paths"][ask.path.as_str()][method.to_lowercase().as_str()];
    let kind = answer.header("content-type").unwrap().split(';').next().unwrap();
    let schema = match (operation, answer.status) {
        (Value::Null, status) => {
            assert!(matches!(status, 404 | 405), "{} {} is not described", ask.method, ask.path);
            &serde_json::json!({"$ref": "#/components/schemas/Error"})
        }
        (_, 200) => &operation["responses"]["200"]["content"][kind]["schema"],
        _ => &operation["responses"]["default"]["content"][kind]["schema"],
    };
    assert!(!schema.is_null(), "{kind} is not described for {} {}", ask.method, ask.path);
    if let Err(reason) = check(document, schema, &answer.body) {
        panic!("{} {}: {reason}: {}", ask.method, ask.path, answer.body);
    }
}

/// Says why a value does not fit a schema.
pub fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    for (keyword, rule) in schema.as_object().ok_or("a schema is an object")? {
        let fits = match keyword.as_str() {
            "$ref" => check(document, resolve(document, rule), value).map(|()| true)?,
            "type" => match rule {
                Value::Array(types) => types.iter().any(|one| is_of(value, one)),
                one => is_of(value, one),
            },
            "enum" => rule.as_array().unwrap().contains(value),
            "anyOf" => rule.as_array().unwrap().iter().any(|one| check(document, one, value).is_ok()),
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= rule.as_u64().unwrap()),
            "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= rule.as_u64().unwrap()),
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    check(document, rule, item)?;
                }
                true
            }
            "required" => {
                let is_there = |name: &Value| value.get(name.as_str().unwrap()).is_some();
                !value.is_object() || rule.as_array().unwrap().iter().all(is_there)
            }
            "properties" => {
                for (name, rule) in rule.as_object().unwrap() {
                    value.get(name).map_or(Ok(()), |member| {
                        check(document, rule, member).map_err(|reason| format!("{name}: {reason}"))
                    })?;
                }
                true
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                for (name, member) in value.as_object().into_iter().flatten() {
                    if known.is_some_and(|known| known.contains_key(name)) {
                        continue;
                    }
                    match rule {
                        Value::Bool(true) => {}
                        Value::Bool(false) => return Err(format!("{name} is not described")),
                        rule => check(document, rule, member).map_err(|reason| format!("{name}: {reason}"))?,
                    }
                }
                true
            }
            "format" => rule != "date-time" || value.as_str().is_some_and(|text| text.ends_with('Z')),
            "examples" | "default" => true,
            other => panic!("the checker does not know {other}"),
        };
        if !fits {
            return Err(format!("{keyword} {rule} does not fit {value}"));
        }
    }
    Ok(())
}

pub fn resolve<'a>(document: &'a Value, reference: &Value) -> &'a Value {
    let pointer = reference.as_str().and_then(|text| text.strip_prefix('#')).unwrap();
    document.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

fn is_of(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap() {
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        other => panic!("the checker does not know the type {other}"),
    }
}
