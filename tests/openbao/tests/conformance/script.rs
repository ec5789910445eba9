//! The scripts: what a line means, and running one against a server.
//!
//! A line is `METHOD target body`; `${name}` stands for a captured value and `${repeat:text:count}` for
//! a repeated one. Around it:
//!
//! | line | meaning |
//! |---|---|
//! | `# …` | a remark |
//! | `@token x` | the token of all that follows; `none` for none |
//! | `@until 403 METHOD …` | sends the request until it answers so |
//! | `@differs name` | the next request is known to differ, see the table |
//! | `+ Name: value` | a header of the request above |
//! | `> name = a.b` | captures a value from the answer to the request above |

use baokit_openbao::wire::{Reply, exchange};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// One request of a script.
#[derive(Debug, Default)]
pub struct Step {
    pub line: usize,
    pub token: String,
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub until: Option<u16>,
    pub differs: Option<String>,
    pub captures: Vec<(String, String)>,
}

pub fn read(source: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut token = "root".to_owned();
    let mut differs = None;
    for (n, text) in source.lines().enumerate() {
        let line = n + 1;
        let last = steps.last_mut();
        if text.trim().is_empty() || text.starts_with('#') {
        } else if let Some(rest) = text.strip_prefix("@token ") {
            token = rest.trim().to_owned();
        } else if let Some(rest) = text.strip_prefix("@differs ") {
            differs = Some(rest.trim().to_owned());
        } else if let Some(rest) = text.strip_prefix("+ ") {
            let (name, value) = rest.split_once(':').unwrap_or_else(|| panic!("line {line}: no header"));
            last.unwrap().headers.push((name.trim().into(), value.trim().into()));
        } else if let Some(rest) = text.strip_prefix("> ") {
            let (name, path) = rest.split_once('=').unwrap_or_else(|| panic!("line {line}: no capture"));
            last.unwrap().captures.push((name.trim().into(), path.trim().into()));
        } else {
            let (until, request) = match text.strip_prefix("@until ") {
                Some(rest) => {
                    let (status, request) = rest.split_once(' ').unwrap();
                    (Some(status.parse().unwrap()), request)
                }
                None => (None, text),
            };
            let mut parts = request.splitn(3, ' ');
            let mut part = || parts.next().unwrap_or_default().to_owned();
            steps.push(Step {
                line,
                token: token.clone(),
                method: part(),
                target: part(),
                body: part(),
                until,
                differs: differs.take(),
                ..Step::default()
            });
        }
    }
    steps
}

/// A server under test and what has been captured from it.
pub struct Side {
    pub address: SocketAddr,
    values: BTreeMap<String, String>,
}

impl Side {
    pub fn new(address: SocketAddr) -> Side {
        Side { address, values: BTreeMap::new() }
    }

    pub fn run(&mut self, step: &Step) -> Reply {
        let mut headers: Vec<(String, String)> =
            step.headers.iter().map(|(name, value)| (name.clone(), self.fill(value))).collect();
        if step.token != "none" {
            headers.push(("X-Vault-Token".into(), self.fill(&step.token)));
        }
        let (target, body) = (self.fill(&step.target), self.fill(&step.body));
        let mut reply = None;
        for _ in 0..100 {
            let answer = exchange(self.address, &step.method, &target, &headers, body.as_bytes())
                .unwrap_or_else(|e| panic!("line {}: {} {}: {e}", step.line, step.method, step.target));
            let done = step.until.is_none_or(|status| status == answer.status);
            reply = Some(answer);
            if done {
                break;
            }
            // The real server's clock can't be moved: ask again soon.
            std::thread::sleep(Duration::from_millis(25));
        }
        let reply = reply.unwrap();
        for (name, path) in &step.captures {
            let text = String::from_utf8_lossy(&reply.body).into_owned();
            let value = find(&text, path).unwrap_or_else(|| panic!("line {}: no {path} in {text}", step.line));
            self.values.insert(name.clone(), value);
        }
        reply
    }

    fn fill(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((head, tail)) = rest.split_once("${") {
            let (name, after) = tail.split_once('}').expect("an open ${");
            // A repeated closing brace would end the name too early.
            let (name, after) = match name {
                "repeat:" => {
                    let (count, after) = after.strip_prefix(':').unwrap().split_once('}').unwrap();
                    (format!("repeat:}}:{count}"), after)
                }
                name => (name.to_owned(), after),
            };
            out.push_str(head);
            match name.strip_prefix("repeat:") {
                Some(what) => {
                    let (text, count) = what.rsplit_once(':').unwrap();
                    out.push_str(&text.repeat(count.parse().unwrap()));
                }
                None => out.push_str(self.values.get(&name).unwrap_or_else(|| panic!("no value {name}"))),
            }
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

fn find(body: &str, path: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(body).ok()?;
    let mut at = &value;
    for name in path.split('.') {
        at = at.get(name)?;
    }
    at.as_str().map(str::to_owned)
}
