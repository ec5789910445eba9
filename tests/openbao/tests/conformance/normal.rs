//! What of two answers is compared: status, some headers, and the body with ids and times replaced by
//! their shape. Numbers and strings are compared as written, escapes included; only the order of an
//! object's keys is free, as Go shuffles some of them.

use baokit_openbao::wire::Reply;
use std::collections::BTreeMap;

const HEADERS: [&str; 6] =
    ["cache-control", "content-type", "location", "retry-after", "strict-transport-security", "x-vault-namespace"];

pub fn normal(reply: &Reply) -> String {
    let mut out = reply.status.to_string();
    for name in HEADERS {
        for (_, value) in reply.headers.iter().filter(|(n, _)| n == name) {
            out.push_str(&format!("\n{name}: {value}"));
        }
    }
    out.push_str("\n\n");
    let body = String::from_utf8_lossy(&reply.body).into_owned();
    let mut reader = Reader { text: &body, at: 0 };
    match reader.value("") {
        Some(json) => {
            out.push_str(&json);
            out.push_str(body.get(reader.at..).unwrap_or_default());
        }
        _ => out.push_str(&body),
    }
    out
}

/// Reads JSON and writes it anew in its normal form. The servers' JSON is well formed, so nothing is
/// diagnosed here; what doesn't parse is compared as text.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn value(&mut self, key: &str) -> Option<String> {
        match self.peek()? {
            b'{' => {
                self.at += 1;
                let mut pairs = BTreeMap::new();
                while self.peek()? != b'}' {
                    let name = self.string()?;
                    self.eat(b':')?;
                    let value = self.value(&name)?;
                    if pairs.insert(name.clone(), value).is_some() {
                        return None; // A key twice would be lost here.
                    }
                    if self.peek()? != b'}' {
                        self.eat(b',')?;
                    }
                }
                self.at += 1;
                let pairs: Vec<String> = pairs.iter().map(|(k, v)| format!("{k:?}:{v}")).collect();
                Some(format!("{{{}}}", pairs.join(",")))
            }
            b'[' => {
                self.at += 1;
                let mut items = Vec::new();
                while self.peek()? != b']' {
                    items.push(self.value(key)?);
                    if self.peek()? != b']' {
                        self.eat(b',')?;
                    }
                }
                self.at += 1;
                Some(format!("[{}]", items.join(",")))
            }
            b'"' => self.string().map(|text| shape(key, &text)),
            _ => {
                let rest = self.text.get(self.at..)?;
                let end = rest.find([',', '}', ']', '\n']).unwrap_or(rest.len());
                self.at += end;
                Some(number(key, rest.get(..end)?))
            }
        }
    }

    /// A string as it is written, without its quotes.
    fn string(&mut self) -> Option<String> {
        self.eat(b'"')?;
        let start = self.at;
        while self.peek()? != b'"' {
            self.at += if self.peek()? == b'\\' { 2 } else { 1 };
        }
        let text = self.text.get(start..self.at)?.to_owned();
        self.at += 1;
        Some(text)
    }
}

fn number(key: &str, text: &str) -> String {
    let value: i64 = text.parse().unwrap_or(0);
    match key {
        "server_time_utc" | "creation_time" | "last_renewal_time" if value > 1_500_000_000 => "<seconds>".into(),
        // A second or two pass between the servers; every ttl in the scripts is a multiple of five.
        "ttl" => ((value + 4) / 5 * 5).to_string(),
        _ => text.to_owned(),
    }
}

fn shape(key: &str, text: &str) -> String {
    let alphanumeric = |t: &str| t.bytes().all(|b| b.is_ascii_alphanumeric());
    let hex = |t: &str| t.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    let is_time = text.len() >= 20
        && text.starts_with("20")
        && text.ends_with('Z')
        && text.bytes().all(|b| b.is_ascii_digit() || b"-:.TZ".contains(&b));
    if groups == [8, 4, 4, 4, 12] && hex(&text.replace('-', "")) {
        return "<uuid>".into();
    }
    if is_time {
        return "<time>".into();
    }
    if text.len() == 26 && text.strip_prefix("s.").is_some_and(alphanumeric) {
        return "<token>".into();
    }
    if text.len() == 24 && alphanumeric(text) && matches!(key, "accessor" | "wrapped_accessor" | "keys") {
        return "<accessor>".into();
    }
    let named = text.rsplit_once(['_', '-']).filter(|(_, id)| id.len() == 8 && hex(id));
    if let Some((kind, _)) = named.filter(|_| matches!(key, "accessor" | "cluster_name")) {
        return format!("<{kind}>");
    }
    match key {
        "version" if text.starts_with("2.") => "<version>".into(),
        "running_plugin_version" if text.ends_with("+builtin.bao") => "<version>".into(),
        _ => format!("\"{text}\""),
    }
}
