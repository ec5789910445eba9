//! Grants, tokens and proofs that four processes share in OpenBao: a thousand callers at once, and as many are let
//! in as one process would.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Barrier, Mutex, PoisonError};
use std::time::Duration;

use baokit_openbao::{Server, Version};
use serde_json::json;
use support::issuer::Issuer;
use support::pdp::Pdp;
use support::{CANARY, Service, VALUE, send};

const PROCESSES: usize = 4;
const RACERS: usize = 1000;
/// Two races at once would say nothing more, and take the machine twice as long.
static TRACK: Mutex<()> = Mutex::new(());

/// A real server with a mount of its own for the store, and the services that share it: four, and one more that takes
/// no part in races.
fn services(server: &Server, more: &[(&str, &str)]) -> Vec<Service> {
    let token = [("X-Vault-Token", server.root_token())];
    let mount = json!({"type": "kv", "options": {"version": "2"}}).to_string();
    let made = send(server.address(), "POST", "/v1/sys/mounts/pep", &token, &mount);
    assert_eq!(made.status, 204, "{made:?}");
    let secret = json!({"data": {"token": CANARY}}).to_string();
    let made = send(server.address(), "POST", "/v1/secret/data/app/api", &token, &secret);
    assert_eq!(made.status, 200, "{made:?}");
    let base = [
        ("OPENBAO_URL", server.url()),
        ("OPENBAO_TOKEN", server.root_token()),
        ("TENANT_ALLOWED_MOUNTS", "secret"),
        ("SECRETS_STORE", "openbao+kv2://pep/state"),
        ("MAX_CONCURRENT_REQUESTS", "1000"),
        // A thousand at once wait for each other, on a slow machine longer than one would.
        ("VAULT_TIMEOUT", "120"),
    ];
    (0..=PROCESSES).map(|_| Service::start(&[&base, more].concat())).collect()
}

/// The status that this request for the value is answered with, within two minutes.
fn status(to: SocketAddr, headers: &str) -> u16 {
    let mut socket = TcpStream::connect(to).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    write!(socket, "GET {VALUE} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// A thousand requests with these headers that start at once. How many were answered with which status.
fn race(services: &[Service], headers: &str) -> BTreeMap<u16, usize> {
    let line = Barrier::new(RACERS);
    let mut statuses = BTreeMap::new();
    std::thread::scope(|scope| {
        let run = |racer: usize| {
            let (line, address) = (&line, services[racer % PROCESSES].address);
            move || {
                line.wait();
                status(address, headers)
            }
        };
        // Each waits for an answer, which takes no deep stack.
        let spawn = |racer| std::thread::Builder::new().stack_size(256 * 1024).spawn_scoped(scope, run(racer)).unwrap();
        let racers: Vec<_> = (0..RACERS).map(spawn).collect();
        for racer in racers {
            *statuses.entry(racer.join().unwrap()).or_default() += 1;
        }
    });
    statuses
}

/// The PDP permits a thing twice, once: that use and one more. So one of the thousand finds a use, and the PDP
/// denies it to all others.
#[test]
#[ignore = "needs the real server: tests/run service"]
fn of_a_thousand_racers_in_four_processes_one_gets_the_use_that_is_left() {
    let _alone = TRACK.lock().unwrap_or_else(PoisonError::into_inner);
    let server = Server::start(Version::V2_7_2).unwrap();
    let mut permits = 1;
    let pdp = Pdp::start(move |_| {
        let permit = permits > 0;
        permits = 0;
        json!({"decision": permit, "context": {"max_uses": 2, "ttl_seconds": 300}})
    });
    let url = pdp.url();
    let services = services(&server, &[("ENABLE_AUTHORIZATION", "true"), ("PDP_URL", &url)]);
    // By the fifth, so that no other knows of the grant but from the store.
    assert_eq!(services[PROCESSES].value(&[]).status, 200, "the use that makes the grant");
    let statuses = race(&services, "");
    assert_eq!(statuses, BTreeMap::from([(200, 1), (403, RACERS - 1)]));
    assert_eq!(pdp.questions().len(), RACERS, "all but the winner's were asked");
}

#[test]
#[ignore = "needs the real server: tests/run service"]
fn of_a_thousand_racers_in_four_processes_one_uses_a_token_that_is_good_once() {
    let _alone = TRACK.lock().unwrap_or_else(PoisonError::into_inner);
    let (server, issuer) = (Server::start(Version::V2_7_2).unwrap(), Issuer::start());
    let url = issuer.url();
    let environment =
        [("SECRETS_API_REQUIRE_AUTH", "true"), ("OIDC_ISSUER", url.as_str()), ("ANTI_REPLAY_TTL_S", "300")];
    let services = services(&server, &environment);
    let token = issuer.bearer(json!({}));
    let statuses = race(&services, &format!("Authorization: {token}\r\n"));
    assert_eq!(statuses, BTreeMap::from([(200, 1), (401, RACERS - 1)]));
}
