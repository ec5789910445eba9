//! JSON as the real server reads and writes it: numbers keep their text, objects keep the order they
//! were built in (parsed ones are sorted), and text is escaped the way Go escapes it.
//! A general JSON library normalises all three, and then the bytes on the wire would differ.

mod parse;

pub use parse::parse;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as its text.
    Number(String),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object: pairs in the order in which they are written out.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// An object with its keys in the given order.
    pub fn object<K: Into<String>>(pairs: impl IntoIterator<Item = (K, Json)>) -> Json {
        Json::Object(pairs.into_iter().map(|(k, v)| (k.into(), v)).collect())
    }

    /// An object with its keys sorted, as Go writes a map.
    pub fn map<K: Into<String>>(pairs: impl IntoIterator<Item = (K, Json)>) -> Json {
        let mut pairs: Vec<(String, Json)> = pairs.into_iter().map(|(k, v)| (k.into(), v)).collect();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        Json::Object(pairs)
    }

    /// A string.
    pub fn text(value: impl Into<String>) -> Json {
        Json::Text(value.into())
    }

    /// A whole number.
    pub fn int(value: impl Into<i128>) -> Json {
        Json::Number(value.into().to_string())
    }

    /// A list of strings.
    pub fn texts<S: Into<String>>(values: impl IntoIterator<Item = S>) -> Json {
        Json::List(values.into_iter().map(Json::text).collect())
    }

    /// The value under a key of an object.
    pub fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Json::Object(pairs) => pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value, every number rewritten as Go writes the nearest float64.
    pub fn with_float_numbers(self) -> Json {
        match self {
            Json::Number(text) => Json::Number(text.parse::<f64>().map_or(text, go_float)),
            Json::List(items) => Json::List(items.into_iter().map(Json::with_float_numbers).collect()),
            Json::Object(pairs) => Json::Object(pairs.into_iter().map(|(k, v)| (k, v.with_float_numbers())).collect()),
            other => other,
        }
    }

    /// The value as compact text.
    pub fn write(&self) -> String {
        let mut out = String::new();
        self.write_to(&mut out);
        out
    }

    fn write_to(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(true) => out.push_str("true"),
            Json::Bool(false) => out.push_str("false"),
            Json::Number(text) => out.push_str(text),
            Json::Text(text) => write_text(text, out),
            Json::List(items) => {
                out.push('[');
                for (n, item) in items.iter().enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    item.write_to(out);
                }
                out.push(']');
            }
            Json::Object(pairs) => {
                out.push('{');
                for (n, (key, value)) in pairs.iter().enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    write_text(key, out);
                    out.push(':');
                    value.write_to(out);
                }
                out.push('}');
            }
        }
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            // Go guards text that may end up inside HTML or JavaScript.
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A float64 as Go's JSON encoder writes it: plain between 1e-6 and 1e21, else with a signed exponent.
fn go_float(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        match text.split_once('e') {
            Some((digits, power)) if !power.starts_with('-') => format!("{digits}e+{power}"),
            _ => text,
        }
    } else {
        format!("{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_go_writes_float64() {
        for (from, to) in [
            ("1.0", "1"),
            ("1e3", "1000"),
            ("12345678901234567890", "12345678901234567000"),
            ("-0", "-0"),
            ("1e21", "1e+21"),
            ("0.0000001", "1e-7"),
            ("1e-400", "0"),
            ("123456789.123456789", "123456789.12345679"),
        ] {
            assert_eq!(Json::Number(from.into()).with_float_numbers().write(), to, "{from}");
        }
    }

    #[test]
    fn text_is_escaped_as_go_escapes_it() {
        assert_eq!(Json::text("<&>\u{2028}\u{1}\t\"é").write(), r#""\u003c\u0026\u003e\u2028\u0001\t\"é""#);
    }
}
