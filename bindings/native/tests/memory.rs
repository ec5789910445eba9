//! Ten thousand calls, and a thousand that are dropped half-way, leave memory as it was. One test in a
//! process of its own, since the figure is the process's.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use baokit::Client;
use baokit_devserver::DevServer;
use serde_json::json;

const URI: &str = "openbao+kv2://secret/app/api#token";
/// What allocator and runtime may keep on top; a leak of 400 bytes in each call is found.
const SLACK_KIB: u64 = 4096;

/// Resident memory, by the kernel's account.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn ten_thousand_calls_leave_memory_flat() {
    let server = DevServer::start().await.unwrap();
    let client = Client::builder().url(server.url()).token("root").allowed_mounts(["secret"]).build().unwrap();
    client.write("openbao+kv2://secret/app/api", json!({"token": "x".repeat(1000)})).await.unwrap();
    let round = async |calls: usize| {
        for i in 0..calls {
            client.read(URI).await.unwrap();
            if i % 10 == 0 {
                // Dropped after its request has left, or before: both happen.
                let _ = tokio::time::timeout(Duration::from_micros(200), client.read(URI)).await;
            }
        }
        // The server is in this process, and its log is no leak.
        server.clear_requests();
    };
    round(10_000).await;
    let before = resident_kib();
    round(10_000).await;
    let after = resident_kib();
    println!("memory of 10000 calls: {before} KiB, then {after} KiB");
    assert!(after < before + SLACK_KIB, "{before} KiB, then {after} KiB");
}
