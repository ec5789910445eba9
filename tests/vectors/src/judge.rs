//! Compares what a face posts with what a case demands: codes and fields, never messages.

use serde_json::{Map, Value};

use crate::flow::{Step, Want};

/// What the settings of a case may not be compared by: a face shows no credential.
const CREDENTIALS: [&str; 3] = ["token", "role_id", "secret_id"];
/// How every credential of config.json begins.
const CANARY: &str = "canary";

/// What a face posts when it has run a case.
pub(crate) enum Outcome {
    /// One for each step.
    Results(Vec<Value>),
    /// The client could not be made.
    Error(Value),
    /// The face lacks what the case needs.
    Skipped(String),
}

impl Outcome {
    pub fn parse(mut posted: Value) -> Result<Self, String> {
        let mut take = |field: &str| posted.get_mut(field).map(Value::take);
        match (take("results"), take("error"), take("skipped")) {
            (Some(Value::Array(results)), None, None) => Ok(Self::Results(results)),
            (None, Some(error @ Value::Object(_)), None) => Ok(Self::Error(error)),
            (None, None, Some(Value::String(need))) => Ok(Self::Skipped(need)),
            _ => Err(r#"an outcome is {"results": […]}, {"error": {…}} or {"skipped": "…"}"#.to_owned()),
        }
    }

    /// The one result of a case without steps. There a client that can't be made is a result as well.
    pub fn single(self) -> Result<Value, String> {
        match self {
            Self::Error(error) => Ok(error),
            Self::Results(results) => match <[Value; 1]>::try_from(results) {
                Ok([result]) => Ok(result),
                Err(results) => Err(format!("{} results instead of one", results.len())),
            },
            Self::Skipped(need) => Err(format!("skipped for want of {need:?}, which the case does not need")),
        }
    }
}

/// Whether two documents are equal. Numbers are by value, since JavaScript knows one kind of them.
pub(crate) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| other.get(key).is_some_and(|other| same(value, other)))
        }
        _ => one == other,
    }
}

/// One result against one wish.
pub(crate) fn judge(want: &Want, got: &Value) -> Result<(), String> {
    match (want, got.get("code").and_then(Value::as_str)) {
        (Want::Codes(codes), Some(code)) if codes.iter().any(|want| want == code) => Ok(()),
        (Want::Codes(codes), Some(code)) => Err(format!("{} expected, {}", codes.join(" or "), shown(code, got))),
        (Want::Codes(codes), None) => Err(format!("{} expected, {got} came", codes.join(" or "))),
        (Want::Fields(_), Some(code)) => Err(format!("a result expected, {}", shown(code, got))),
        (Want::Fields(fields), None) => judge_fields(fields, got),
    }
}

fn shown(code: &str, got: &Value) -> String {
    match got.get("subject").and_then(Value::as_str) {
        Some(subject) => format!("{code} about {subject:?} came"),
        None => format!("{code} came"),
    }
}

fn judge_fields(fields: &Map<String, Value>, got: &Value) -> Result<(), String> {
    if !got.is_object() {
        return Err(format!("a result is an object, {got} came"));
    }
    for (field, want) in fields {
        match got.get(field) {
            Some(got) if same(want, got) => {}
            got => return Err(format!("{field}: {want} expected, {} came", got.unwrap_or(&Value::Null))),
        }
    }
    Ok(())
}

/// The results of all steps.
pub(crate) fn judge_steps(steps: &[Step], results: &[Value]) -> Result<(), String> {
    if steps.len() != results.len() {
        return Err(format!("{} results for {} steps", results.len(), steps.len()));
    }
    for (number, (step, result)) in (1..).zip(steps.iter().zip(results)) {
        judge_step(step, result).map_err(|problem| format!("step {number}: {problem}"))?;
    }
    Ok(())
}

fn judge_step(step: &Step, result: &Value) -> Result<(), String> {
    if step.parallel == 1 {
        return step.wants.iter().try_for_each(|want| judge(want, result));
    }
    let Value::Array(results) = result else { return Err("a parallel step has a list of results".to_owned()) };
    if results.len() != step.parallel {
        return Err(format!("{} results instead of {}", results.len(), step.parallel));
    }
    if let [want] = step.wants.as_slice() {
        return results.iter().try_for_each(|result| judge(want, result));
    }
    // Each wish is fulfilled by a result of its own; wishes of one step exclude each other.
    let mut left: Vec<&Value> = results.iter().collect();
    for want in &step.wants {
        let Some(place) = left.iter().position(|result| judge(want, result).is_ok()) else {
            return Err(format!("{want:?} expected among {left:?}"));
        };
        left.swap_remove(place);
    }
    Ok(())
}

/// The result of parsing a URI or pointer.
pub(crate) fn judge_parse(case: &Value, got: &Value) -> Result<(), String> {
    if let Some(code) = case.get("code").and_then(Value::as_str) {
        return judge(&Want::code(code), got);
    }
    let mut want = Map::new();
    want.insert("canonical".to_owned(), case.get("canonical").cloned().unwrap_or_default());
    judge(&Want::Fields(want), got)?;
    let Some(parts) = case.get("parts") else { return Ok(()) };
    for part in ["provider", "mount", "path", "fragment", "version"] {
        let (want, got) = (parts.get(part).unwrap_or(&Value::Null), got.get(part).unwrap_or(&Value::Null));
        if !same(want, got) {
            return Err(format!("{part}: {want} expected, {got} came"));
        }
    }
    Ok(())
}

/// The settings that a face has found, or the error that names a key.
pub(crate) fn judge_settings(case: &Value, got: &Value) -> Result<(), String> {
    if got.to_string().contains(CANARY) {
        return Err("a credential shows".to_owned());
    }
    if let Some(code) = case.get("code").and_then(Value::as_str) {
        judge(&Want::code(code), got)?;
        let subject = got.get("subject").and_then(Value::as_str).unwrap_or_default();
        let names = case.get("names").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        return match names.into_iter().find(|name| !subject.contains(name)) {
            Some(name) => Err(format!("subject: {name} expected, {subject:?} came")),
            None => Ok(()),
        };
    }
    let mut expect = case.get("expect").and_then(Value::as_object).cloned().unwrap_or_default();
    expect.retain(|field, _| !CREDENTIALS.contains(&field.as_str()));
    expect.entry("warnings").or_insert_with(|| Value::Array(Vec::new()));
    let mut got = got.clone();
    for field in ["timeout", "renewal_threshold"] {
        let texts = [expect.get_mut(field), got.get_mut(field)];
        texts.into_iter().flatten().for_each(into_number);
    }
    judge(&Want::Fields(expect), &got)
}

/// Decimal text becomes the number that it stands for.
fn into_number(value: &mut Value) {
    if let Some(number) = value.as_str().and_then(|text| text.parse::<f64>().ok()) {
        *value = number.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_equal_by_value_and_objects_by_their_fields() {
        assert!(same(&json!({"a": 1, "b": [1.5]}), &json!({"b": [1.5], "a": 1.0})));
        assert!(!same(&json!({"a": 1}), &json!({"a": 1, "b": null})));
        assert!(!same(&json!("1"), &json!(1)));
    }

    #[test]
    fn a_code_is_no_result_and_a_result_no_code() {
        let fields = Want::Fields(json!({"version": 1}).as_object().unwrap().clone());
        assert!(judge(&fields, &json!({"version": 1, "more": 2})).is_ok());
        assert!(judge(&fields, &json!({"version": 2})).is_err());
        assert!(judge(&fields, &json!({"code": "INTERNAL", "version": 1})).is_err());
        assert!(judge(&Want::code("X"), &json!({"code": "X"})).is_ok());
        assert!(judge(&Want::code("X"), &json!({})).is_err());
        assert!(judge(&Want::Fields(Map::new()), &Value::Null).is_err());
    }

    #[test]
    fn wishes_of_a_parallel_step_are_fulfilled_in_any_order_and_each_once() {
        let step = json!({"op": "close", "parallel": 2, "want": [{"version": 1}, {"code": "X"}]});
        let step = Step::parse(step).unwrap();
        assert!(judge_step(&step, &json!([{"code": "X"}, {"version": 1}])).is_ok());
        assert!(judge_step(&step, &json!([{"version": 1}, {"version": 1}])).is_err());
        assert!(judge_step(&step, &json!([{"version": 1}])).is_err());
    }

    #[test]
    fn settings_show_no_credential_and_name_the_key() {
        let case = json!({"expect": {"timeout": "2.5", "token": "canary-1"}});
        assert!(judge_settings(&case, &json!({"timeout": 2.5, "warnings": []})).is_ok());
        assert!(judge_settings(&case, &json!({"timeout": "2.5", "warnings": ["PLAIN_HTTP"]})).is_err());
        assert!(judge_settings(&case, &json!({"timeout": 2.5, "warnings": [], "token": "canary-1"})).is_err());
        let case = json!({"code": "INVALID_SETTING", "names": ["OPENBAO_URL"]});
        assert!(judge_settings(&case, &json!({"code": "INVALID_SETTING", "subject": "OPENBAO_URL, entry 2"})).is_ok());
        assert!(judge_settings(&case, &json!({"code": "INVALID_SETTING", "subject": "OPENBAO_TOKEN"})).is_err());
    }
}
