//! Nodes that hang, nodes that are slow, and clusters without a leader, on virtual time: who hangs is left, who is
//! slow is waited for, and nobody is hammered.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod scenario;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use baokit_core::http::{FailureKind, Method};
use baokit_core::{Client, Code, Host, ReadOptions, Result, SecretValue};
use scenario::{Reply, SECOND, World, errors, json, nothing, redirect, retry_after, secret, wrap_info, written};

const URI: &str = "openbao+kv2://secret/app";
const NO_LEADER: &str = "local node not active but active cluster node not found";
const BACK: Duration = Duration::from_secs(20);

async fn read(client: &Client<World>) -> Result<()> {
    client.read(URI).await.map(drop)
}

async fn write(client: &Client<World>) -> Result<()> {
    let data = SecretValue::from(serde_json::json!({"token": "new"}));
    client.kv2_write("secret", "app", &data, Some(1)).await.map(drop)
}

fn failures(results: &[Result<()>]) -> Vec<Code> {
    results.iter().filter_map(|result| result.as_ref().err().map(|error| error.code())).collect()
}

#[test]
fn when_all_nodes_hang_hundreds_of_operations_ask_three_times_a_second_after_the_first_and_none_is_lost() {
    for writes in [false, true] {
        let world = World::new(|seen| match (seen.at < BACK, seen.method) {
            (true, _) => Reply::Never,
            (_, Method::Get) => secret(1),
            _ => written(2),
        });
        let client = world.client(World::settings(3).max_concurrent(10_000));
        let results =
            world.run_all((0..300).map(|_| async { if writes { write(&client).await } else { read(&client).await } }));
        assert_eq!(failures(&results), []);
        let most = world.most_in_a_second(SECOND + SECOND / 10, BACK);
        assert!(most <= 4, "{most} requests in a second");
    }
}

#[test]
fn a_cluster_that_is_slow_is_waited_for_and_not_asked_over_and_over() {
    for (milliseconds, deadline, writes) in [(1200, 10, false), (1200, 10, true), (2500, 10, false), (900, 5, false)] {
        let world = World::slow(move |seen| {
            let answer = if seen.method == Method::Get { secret(1) } else { written(2) };
            (Duration::from_millis(milliseconds), answer)
        });
        let client = world.client(World::settings(3).max_concurrent(10_000).deadline(deadline * SECOND));
        let results = world.run_all((0..1000).map(|i| {
            let (world, client) = (&world, &client);
            async move {
                world.sleep(BACK * i / 1000).await;
                if writes { write(client).await } else { read(client).await }
            }
        }));
        let sent = world.seen().len();
        assert_eq!(failures(&results), [], "{milliseconds} ms, {sent} requests");
        assert!(sent <= 1200, "{milliseconds} ms: {sent} requests for 1000 operations");
    }
}

#[test]
fn a_stall_of_the_whole_cluster_is_over_when_it_is_over() {
    let (from, until) = (5 * SECOND, Duration::from_millis(8500));
    let world = World::slow(move |seen| {
        let stalls = seen.at >= from && seen.at < until;
        (if stalls { until - seen.at } else { Duration::from_millis(1) }, secret(1))
    });
    let client = world.client(World::settings(3).max_concurrent(10_000));
    let times = world.run_all((0..2000).map(|i| {
        let (world, client) = (&world, &client);
        async move {
            world.sleep(BACK * i / 2000).await;
            let begun = world.elapsed();
            client.read(URI).await.unwrap();
            world.elapsed() - begun
        }
    }));
    assert!(*times.iter().max().unwrap() <= 5 * SECOND, "{:?}", times.iter().max());
    assert!(world.seen().len() <= 2200, "{}", world.seen().len());
}

#[test]
fn a_node_that_hangs_costs_a_second_also_where_the_others_failed_long_ago() {
    let world = World::new(|seen| match (seen.place(), seen.at.as_secs()) {
        (1, 0..50) | (2, 100..150) => Reply::Fail(FailureKind::Connect),
        (3, 1000..) => Reply::Never,
        _ => secret(1),
    });
    let client = world.client(World::settings(3));
    world.run(async {
        for _ in 0..11 {
            client.read(URI).await.unwrap();
            world.sleep(110 * SECOND).await;
        }
        let begun = world.elapsed();
        assert_eq!(world.places().last(), Some(&1), "it is left by now");
        client.read(URI).await.unwrap();
        assert!(world.elapsed() - begun <= SECOND);
    });
    let waits: Vec<_> = world.seen().windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    assert!(waits.iter().all(|wait| *wait <= 111 * SECOND), "{waits:?}");
}

#[test]
fn strong_reads_of_nothing_wait_for_a_leader_together() {
    let world = World::new(|seen| if seen.method == Method::Get { nothing() } else { errors(500, NO_LEADER) });
    let client = world.client(World::settings(3).max_concurrent(10_000).deadline(BACK));
    let results =
        world.run_all((0..50).map(|_| async { client.read_with(URI, ReadOptions::new().strong()).await.map(drop) }));
    assert!(failures(&results).iter().all(|code| *code == Code::StaleRead));
    // Two rounds a second, each of a wrapped read and a question to every node.
    let most = world.most_in_a_second(3 * SECOND, BACK);
    assert!(most <= 12, "{most} requests in a second");
}

#[test]
fn a_read_behind_one_address_leaves_the_connection_that_leads_to_a_node_without_a_leader() {
    for hangs in [false, true] {
        let pinned = Rc::new(Cell::new(true));
        let is_pinned = pinned.clone();
        let world = World::of_closing_connections(move |seen| match (is_pinned.get(), seen.method) {
            _ if seen.target.starts_with("/v1/sys/health") => {
                is_pinned.set(false);
                json(200, "{}")
            }
            (_, Method::Get) => nothing(),
            (true, _) if hangs => Reply::Never,
            (true, _) => errors(500, NO_LEADER),
            (false, _) => json(200, wrap_info("w")),
        });
        let client = world.client(World::settings(1));
        let error = world.run(client.read_with(URI, ReadOptions::new().strong())).unwrap_err();
        assert_eq!(error.code(), Code::SecretNotFound, "{error}");
        assert!(!pinned.get() && world.elapsed() <= 6 * SECOND, "{:?}", world.elapsed());
    }
}

#[test]
fn while_standbys_send_everybody_to_a_dead_leader_three_requests_a_second_are_made() {
    for reply in [|| Reply::Never, || Reply::Fail(FailureKind::Connect)] as [fn() -> Reply; 2] {
        let world = World::new(move |seen| match seen.place() {
            _ if seen.at >= BACK => written(2),
            1 => reply(),
            _ => redirect(&format!("http://127.0.0.1:1{}", seen.target)),
        });
        let client = world.client(World::settings(3).max_concurrent(10_000));
        let results = world.run_all((0..50).map(|_| write(&client)));
        assert_eq!(failures(&results), []);
        let most = world.most_in_a_second(3 * SECOND, BACK);
        assert!(most <= 3, "{most} requests in a second");
    }
}

#[test]
fn operations_that_waited_for_a_retry_get_through_when_the_cluster_serves_again() {
    for reply in [|| errors(500, "internal error"), || retry_after(errors(429, "rate limit quota exceeded"), "1")]
        as [fn() -> Reply; 2]
    {
        let world = World::new(move |seen| if seen.at < BACK { reply() } else { secret(1) });
        let client = world.client(World::settings(3).max_concurrent(10_000));
        let results = world.run_all((0..300).map(|_| read(&client)));
        assert_eq!(failures(&results), []);
    }
}
