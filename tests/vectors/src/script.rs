//! The requests that must be seen, and those that came: pure bookkeeping, no sockets.

use serde_json::Value;

use crate::flow::{Exchange, Node};
use crate::http::Request;
use crate::judge::same;

/// What becomes of one flow.
#[derive(Debug)]
pub(crate) struct Script {
    expected: Vec<Expected>,
    any_order: bool,
    /// The first exchange that may still be seen, where the order counts.
    cursor: usize,
    /// The token that exchanges mean where they name none.
    token: Option<String>,
    seen: usize,
    problems: Vec<String>,
}

#[derive(Debug)]
struct Expected {
    exchange: Exchange,
    seen: u32,
}

impl Expected {
    fn has_room(&self) -> bool {
        self.seen < self.exchange.times.range().1
    }

    fn is_satisfied(&self) -> bool {
        self.seen >= self.exchange.times.range().0
    }
}

impl Script {
    pub fn new(exchanges: &[Exchange], any_order: bool, token: Option<String>) -> Self {
        let expected = exchanges.iter().map(|exchange| Expected { exchange: exchange.clone(), seen: 0 }).collect();
        Self { expected, any_order, cursor: 0, token, seen: 0, problems: Vec::new() }
    }

    /// A request has arrived: what to do about it, or none where it must not have come.
    pub fn arrive(&mut self, node: usize, request: &Request) -> Option<Exchange> {
        self.seen += 1;
        let mut reason = None;
        for (index, expected) in self.expected.iter_mut().enumerate().skip(self.cursor) {
            let difference = difference(&expected.exchange, self.token.as_deref(), node, request);
            if difference.is_none() && expected.has_room() {
                expected.seen += 1;
                if !self.any_order {
                    self.cursor = index;
                }
                return Some(expected.exchange.clone());
            }
            if expected.has_room() {
                reason = reason.or(difference);
            }
            if !self.any_order && !expected.is_satisfied() {
                break;
            }
        }
        let reason = reason.unwrap_or_else(|| "nothing more was to come".to_owned());
        self.problem(format!("request {} to node {node}, {} {}: {reason}", self.seen, request.method, request.target));
        None
    }

    pub fn problem(&mut self, problem: String) {
        // The first few tell the story.
        if self.problems.len() < 8 {
            self.problems.push(problem);
        }
    }

    /// What was wrong with the requests, if anything.
    pub fn verdict(&self) -> Vec<String> {
        let missing = self.expected.iter().filter(|expected| !expected.is_satisfied()).map(|expected| {
            let Exchange { method, target, .. } = &expected.exchange;
            let (least, _) = expected.exchange.times.range();
            format!("{method} {} came {} times instead of {least}", target.as_deref().unwrap_or("…"), expected.seen)
        });
        self.problems.iter().cloned().chain(missing).collect()
    }
}

/// In what a request differs from the one that must be seen.
fn difference(exchange: &Exchange, default: Option<&str>, node: usize, request: &Request) -> Option<String> {
    let unlike = |what: &str, want: &str, got: &str| (want != got).then(|| format!("{what} {want:?} expected"));
    if let Node::Index(index) = exchange.node
        && index != node
    {
        return Some(format!("node {index} expected"));
    }
    let token = exchange.token.as_ref().map_or(default, Option::as_deref);
    unlike("method", &exchange.method, &request.method)
        .or_else(|| exchange.target.as_ref().and_then(|target| unlike("target", target, &request.target)))
        .or_else(|| header(request, "x-vault-token", token))
        .or_else(|| header(request, "x-vault-namespace", exchange.namespace.as_deref()))
        .or_else(|| header(request, "x-vault-request", Some("true")))
        .or_else(|| header(request, "x-vault-index", exchange.index.as_deref()))
        .or_else(|| header(request, "x-vault-inconsistent", exchange.index.as_ref().map(|_| "forward-active-node")))
        .or_else(|| {
            // How long it is kept is the client's choice.
            let is_wrapped = request.header("x-vault-wrap-ttl").is_some();
            (is_wrapped != exchange.wrap).then(|| format!("x-vault-wrap-ttl: {} expected", exchange.wrap))
        })
        .or_else(|| body(exchange.body.as_ref(), request))
}

fn header(request: &Request, name: &str, want: Option<&str>) -> Option<String> {
    let got = request.header(name);
    (got != want).then(|| format!("{name} {want:?} expected, {got:?} came"))
}

fn body(want: Option<&Value>, request: &Request) -> Option<String> {
    let Some(want) = want else {
        return (!request.body.is_empty()).then(|| "no body expected".to_owned());
    };
    let got: Option<Value> = serde_json::from_slice(&request.body).ok();
    if !got.as_ref().is_some_and(|got| same(want, got)) {
        return Some(format!("body {want} expected, {} came", String::from_utf8_lossy(&request.body)));
    }
    header(request, "content-type", Some("application/json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn exchange(target: &str, times: Value) -> Exchange {
        let exchange = json!({"method": "GET", "target": target, "times": times, "answer": {"status": 204}});
        serde_json::from_value(exchange).unwrap()
    }

    fn request(target: &str, headers: &str) -> Request {
        Request::parse(&format!("GET {target} HTTP/1.1\r\nX-Vault-Request: true{headers}")).unwrap()
    }

    /// How many of these requests, all with the right token, are out of place, and what is wrong in the end.
    fn play(exchanges: &[(&str, Value)], any_order: bool, targets: &[&str]) -> (usize, usize) {
        let exchanges: Vec<_> = exchanges.iter().map(|(target, times)| exchange(target, times.clone())).collect();
        let mut script = Script::new(&exchanges, any_order, Some("t".to_owned()));
        let wrong =
            targets.iter().filter(|target| script.arrive(0, &request(target, "\r\nX-Vault-Token: t")).is_none());
        (wrong.count(), script.verdict().len())
    }

    #[test]
    fn requests_come_in_order_as_often_as_they_must_and_no_others_do() {
        let script = [("/a", json!(1)), ("/b", json!(2)), ("/c", json!("any")), ("/d", json!({"at_least": 1}))];
        assert_eq!(play(&script, false, &["/a", "/b", "/b", "/d", "/d", "/d"]), (0, 0));
        assert_eq!(play(&script, false, &["/a", "/b", "/b", "/c", "/d"]), (0, 0));
        assert_eq!(play(&script, false, &["/a", "/b", "/d"]), (1, 3), "one is early, and then two are missing");
        assert_eq!(play(&script, false, &["/b"]).0, 1);
        assert_eq!(play(&script, false, &["/a", "/a"]).0, 1);
        assert_eq!(play(&script, false, &["/a", "/b", "/b", "/d", "/c"]).0, 1);
        assert_eq!(play(&script, false, &[]), (0, 3));
        assert_eq!(play(&[], false, &["/a"]), (1, 1));
        assert_eq!(play(&script, true, &["/d", "/b", "/c", "/a", "/b"]), (0, 0));
        assert_eq!(play(&script, true, &["/d", "/b", "/a", "/a"]), (1, 2));
        assert_eq!(play(&[("/a", json!({"at_most": 1}))], false, &["/a", "/a"]).0, 1);
    }

    #[test]
    fn a_request_is_compared_with_everything_that_it_carries() {
        let accepts = |exchange: Value, node: usize, request: &Request| {
            let exchange: Exchange = serde_json::from_value(exchange).unwrap();
            Script::new(&[exchange], false, Some("t".to_owned())).arrive(node, request).is_some()
        };
        let plain = json!({"method": "GET", "target": "/a", "answer": {"status": 204}});
        let with = |field: &str, value: Value| {
            let mut exchange = plain.clone();
            exchange[field] = value;
            exchange
        };
        let token = "\r\nX-Vault-Token: t";
        let mut posted = request("/a", &format!("{token}\r\nContent-Type: application/json"));
        assert!(accepts(plain.clone(), 0, &posted));
        assert!(!accepts(plain.clone(), 1, &posted));
        assert!(accepts(with("node", json!("any")), 1, &posted));
        assert!(!accepts(with("token", json!(null)), 0, &posted));
        assert!(!accepts(with("token", json!("other")), 0, &posted));
        assert!(!accepts(with("namespace", json!("team")), 0, &posted));
        assert!(!accepts(with("method", json!("POST")), 0, &posted));
        assert!(!accepts(plain.clone(), 0, &request("/a?x", token)));
        assert!(!accepts(plain.clone(), 0, &request("/a", "")));
        assert!(accepts(with("token", json!(null)), 0, &request("/a", "")));
        assert!(!accepts(plain.clone(), 0, &request("/a", &format!("{token}\r\nX-Vault-Namespace: team"))));
        for (field, value, headers) in [
            ("wrap", json!(true), "X-Vault-Wrap-TTL: 60s"),
            ("index", json!("i"), "X-Vault-Index: i\r\nX-Vault-Inconsistent: forward-active-node"),
        ] {
            let request = request("/a", &format!("{token}\r\n{headers}"));
            assert!(accepts(with(field, value.clone()), 0, &request));
            assert!(!accepts(plain.clone(), 0, &request), "{field} is not expected");
            assert!(!accepts(with(field, value), 0, &posted), "{field} is missing");
        }
        posted.body = br#"{"a":1}"#.to_vec();
        assert!(!accepts(plain.clone(), 0, &posted));
        assert!(accepts(with("body", json!({"a": 1})), 0, &posted));
        assert!(!accepts(with("body", json!({"a": 2})), 0, &posted));
    }
}
