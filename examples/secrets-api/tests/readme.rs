//! The commands of this example's README, run as they stand there, but for addresses.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;

use baokit_openbao::{Server, Version};
use serde_json::{Value, json};
use support::issuer::Issuer;
use support::pdp::Pdp;
use support::{Service, shell};

const README: &str = include_str!("../README.md");

/// The answers of a block's commands, each of which is one call of curl.
fn answers(block: &str, service: &Service, token: &str) -> Vec<Value> {
    let block = block.replace("\\\n", " ").replace("127.0.0.1:8000", &service.address.to_string());
    let run = |line: &str| {
        assert!(line.starts_with("curl "), "{line}");
        let answer = shell(&format!("TOKEN={token}; {line} 2>/dev/null"));
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{line}: {answer}"))
    };
    block.lines().map(run).collect()
}

#[test]
#[ignore = "needs the real server: tests/run service"]
fn every_command_of_the_readme_works() {
    let (server, issuer, pdp) = (Server::start(Version::V2_7_2).unwrap(), Issuer::start(), Pdp::permitting());
    let token = issuer.token(json!({}));
    let mut services: Vec<Service> = Vec::new();
    let mut environment = BTreeMap::new();
    let mut calls = Vec::new();
    for block in README.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
        if !block.contains("cargo run") {
            let found = answers(block, services.last().unwrap(), &token);
            assert!(found.iter().all(|answer| answer["uri"].is_string()), "{block}: {found:?}");
            calls.push(found.len());
            continue;
        }
        // As in one terminal: what was exported before stays.
        let text = block.replace("http://127.0.0.1:8200", server.url());
        let text = text.replace("https://issuer.example", &issuer.url()).replace("https://pdp.example", &pdp.url());
        let words = text.split_whitespace().filter_map(|word| word.split_once('='));
        environment.extend(words.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let words: Vec<_> = environment.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        services.push(Service::start(&words));
        assert_eq!(services.last().unwrap().get("/readyz", &[]).status, 200, "{block}");
    }
    assert_eq!((services.len(), calls), (3, vec![3, 1, 3]));
    assert_eq!(pdp.questions().len(), 3);
}

#[test]
fn the_settings_that_help_tells_of_are_those_that_are_read() {
    let help = String::from_utf8(support::program(&[]).arg("--help").output().unwrap().stdout).unwrap();
    let source = concat!(include_str!("../src/settings.rs"), include_str!("../src/main.rs"));
    let own = help.lines().filter(|line| line.starts_with("  ") && line.len() > 27);
    let told: Vec<_> =
        own.flat_map(|line| line.get(..27).unwrap().split([',', ' ']).filter(|word| !word.is_empty())).collect();
    assert!(told.len() >= 8, "{told:?}");
    for key in told {
        assert!(source.contains(&format!("\"{key}\"")), "{key}");
    }
}
