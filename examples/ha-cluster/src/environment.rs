//! The environment that a client of the cluster needs, as shell text or JSON.

use std::fmt;

use zeroize::Zeroizing;

/// Settings for a client, in the order in which they are shown. Two of them are the AppRole credential, so `Debug`
/// shows names only.
pub struct Environment(Vec<(&'static str, Zeroizing<String>)>);

impl Environment {
    pub(crate) fn new(settings: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Self(settings.into_iter().map(|(key, value)| (key, Zeroizing::new(value))).collect())
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (*key, value.as_str()))
    }

    /// Lines for a shell's `eval`: `export NAME='value'`.
    #[must_use]
    pub fn to_shell(&self) -> String {
        self.iter().map(|(key, value)| format!("export {key}={}\n", quoted(value))).collect()
    }

    /// One JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        let object: serde_json::Map<_, _> = self.iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
        format!("{:#}\n", serde_json::Value::Object(object))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|(key, _)| key)).finish()
    }
}

/// A word that every shell takes literally: in single quotes, which can't hold one themselves.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_shell_gets_back_what_was_quoted() {
        let hard = "a'b \"c\" $(id) `id` \\ ü\n;#";
        let environment = Environment::new([("ONE", hard.to_owned()), ("TWO", String::new())]);
        let script = format!("{}printf %s \"$ONE|$TWO\"", environment.to_shell());
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{hard}|"));
        let json: serde_json::Value = serde_json::from_str(&environment.to_json()).unwrap();
        assert_eq!(json["ONE"], hard);
    }

    #[test]
    fn debug_shows_no_value() {
        let environment = Environment::new([("OPENBAO_SECRET_ID", "canary".to_owned())]);
        assert_eq!(format!("{environment:?}"), r#"{"OPENBAO_SECRET_ID"}"#);
    }
}
