//! The flow server judges: a face that does nothing passes nothing, and one that does right passes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use baokit_vectors::{Misuse, Suite};
use serde_json::{Value, json};

fn finish(suite: &Suite, case: &Value, result: &Value) -> Option<String> {
    let id = case["id"].as_str().unwrap();
    suite.start(id).unwrap();
    let steps = case["steps"].as_array().map_or(1, Vec::len);
    suite.finish(id, json!({"results": vec![result; steps]})).unwrap()
}

#[tokio::test]
async fn a_face_that_does_nothing_passes_nothing() {
    for result in [json!({"code": "FOREIGN"}), json!({}), json!(null)] {
        let suite = Suite::load("idle").unwrap();
        for case in suite.cases(None) {
            // To be admitted, and nothing more, is a result without fields.
            let admitted = case["steps"][0]["op"] == "admit_prefix" && case["name"] == "prefix" && result == json!({});
            assert_eq!(finish(&suite, &case, &result).is_none(), admitted, "{case}");
        }
        assert!(!suite.is_good());
    }
}

#[tokio::test]
async fn only_a_need_of_the_case_is_a_reason_to_skip() {
    let suite = Suite::load("lazy").unwrap();
    for case in suite.cases(None) {
        let need = case["needs"][0].as_str();
        let outcome = json!({"skipped": need.unwrap_or("sleep")});
        let problem = suite.finish(case["id"].as_str().unwrap(), outcome).unwrap();
        assert_eq!(problem.is_none(), need.is_some(), "{case}");
    }
    assert!(suite.tally()["skipped"].as_array().unwrap().len() < 100);
}

#[tokio::test]
async fn misuse_is_told_apart() {
    let suite = Suite::load("wrong").unwrap();
    assert_eq!(suite.start("uri-99999").unwrap_err(), Misuse::Unknown);
    suite.start("flow-0").unwrap();
    assert_eq!(suite.start("flow-0").unwrap_err(), Misuse::Twice);
    assert!(matches!(suite.finish("flow-0", json!([])), Err(Misuse::Malformed(_))));
    suite.finish("flow-0", json!({"error": {"code": "X"}})).unwrap().unwrap();
    assert_eq!(suite.finish("flow-0", json!({"results": []})).unwrap_err(), Misuse::Twice);
    assert_eq!(suite.finish("flow-1", json!({"results": [{}]})).unwrap().unwrap(), "it was not started");
}

/// Every name is used once, and every need is one that README.md explains.
#[test]
fn names_and_needs_are_in_order() {
    let readme = include_str!("../README.md");
    let mut names = std::collections::HashSet::new();
    for case in Suite::load("reader").unwrap().cases(None) {
        assert!(names.insert((case["kind"].to_string(), case["name"].to_string())), "{case}");
        for need in case["needs"].as_array().unwrap() {
            assert!(readme.contains(&format!("| `{}` |", need.as_str().unwrap())), "{need}");
        }
        for step in case["steps"].as_array().into_iter().flatten() {
            assert!(readme.contains(&format!("`{}`", step["op"].as_str().unwrap())), "{step}");
        }
    }
}

/// The program, stopped with this value.
struct Program(Child, String);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_flow-server"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self(child, line.trim().strip_prefix("listening http://").unwrap().to_owned())
    }

    fn ask(&self, method: &str, target: &str, body: &Value) -> (u16, Value) {
        ask(&self.1, method, target, &[], &body.to_string())
    }
}

fn ask(address: &str, method: &str, target: &str, headers: &[&str], body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).unwrap();
    let headers = headers.iter().map(|header| format!("{header}\r\n")).collect::<String>();
    write!(stream, "{method} {target} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
        .unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim().split_once(": ") {
            Some(("Content-Length", value)) => length = value.parse().unwrap(),
            Some(_) => {}
            None => break,
        }
    }
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}

#[test]
fn the_control_api_runs_a_case_and_writes_the_report() {
    let report = std::env::temp_dir().join(format!("flow-server-{}.json", std::process::id()));
    let mut program = Program::start(&["--face", "by hand", "--report", report.to_str().unwrap()]);
    let nothing = Value::Null;
    let (status, answer) = program.ask("GET", "/cases?kind=flow", &nothing);
    let cases = answer["cases"].as_array().unwrap();
    let case = cases.iter().find(|case| case["name"] == "read one key").unwrap();
    assert_eq!((status, case["steps"][0]["op"].as_str()), (200, Some("read")));
    let id = case["id"].as_str().unwrap();
    let (_, started) = program.ask("POST", &format!("/cases/{id}/start"), &nothing);
    let node = started["env"]["OPENBAO_URL"].as_str().unwrap().strip_prefix("http://").unwrap();
    let headers = ["X-Vault-Token: flow-token", "X-Vault-Request: true"];
    let (status, secret) = ask(node, "GET", "/v1/secret/data/app/api", &headers, "");
    assert_eq!((status, &secret["data"]["data"]["token"]), (200, &json!("v")));
    let result = json!({"value": "v", "version": 3, "created_time": "2026-01-01T00:00:00Z", "custom_metadata": {}});
    let (_, verdict) = program.ask("POST", &format!("/cases/{id}/finish"), &json!({"results": [result]}));
    assert_eq!(verdict, json!({"ok": true}));

    assert_eq!(program.ask("POST", "/cases/none/start", &nothing).0, 404);
    assert_eq!(program.ask("POST", &format!("/cases/{id}/start"), &nothing).0, 409);
    assert_eq!(program.ask("POST", "/cases/uri-0/finish", &json!({"result": 1})).0, 400);
    assert_eq!(program.ask("GET", "/elsewhere", &nothing).0, 404);
    let (_, tally) = program.ask("POST", "/end", &nothing);
    assert_eq!(tally["kinds"]["flow"]["passed"], 1);
    assert_eq!(program.0.wait().unwrap().code(), Some(1), "the other cases are missing");
    let written: Value = serde_json::from_str(&std::fs::read_to_string(&report).unwrap()).unwrap();
    std::fs::remove_file(&report).unwrap();
    assert_eq!((written["face"].as_str(), &written), (Some("by hand"), &tally));
}

#[test]
fn a_program_that_watches_its_stdin_ends_with_it() {
    let mut program = Program::start(&["--watch-stdin"]);
    drop(program.0.stdin.take());
    assert_eq!(program.0.wait().unwrap().code(), Some(1));
}
