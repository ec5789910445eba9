//! Reads are never older than what the client has seen, on virtual time: indices, floors, strong reads.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod scenario;

use std::time::Duration;

use baokit_core::http::{FailureKind, Method};
use baokit_core::{Client, Code, Host, ReadOptions, Result, Secret, SecretValue};
use scenario::{
    CANARY_VALUE, EPOCH, Reply, SECOND, Seen, World, at_index, errors, gone, holding, json, nothing, raw, secret,
    wrap_info, written,
};

const URI: &str = "openbao+kv2://secret/app#token";
const DATA: &str = "/v1/secret/data/app";
const UNWRAP: &str = "/v1/sys/wrapping/unwrap";
const PROBE: &str = "/v1/sys/wrapping/wrap";
const LATER: &str = "2026-03-01T00:00:00Z";

fn data() -> SecretValue {
    SecretValue::from(serde_json::json!({"token": "new"}))
}

fn version(result: &Result<Secret>) -> u64 {
    result.as_ref().unwrap().version()
}

/// A client that has written versions up to this one. The server must answer writes.
fn having_written(world: &World, nodes: usize, newest: u64) -> Client<World> {
    let client = world.client(World::settings(nodes));
    world.run(client.kv2_write("secret", "app", &data(), newest.checked_sub(1))).unwrap();
    client
}

fn is_write(seen: &Seen) -> bool {
    seen.method == Method::Post && seen.target == DATA
}

/// The node and kind of each request since the n-th: `r` an everyday read, `w` a wrapped one, `u` an
/// unwrapping, `p` a probe of the leader.
fn story(world: &World, from: usize) -> String {
    let tell = |seen: &Seen| {
        let kind = match seen.target.as_str() {
            UNWRAP => 'u',
            PROBE => 'p',
            _ if seen.is_wrapped() => 'w',
            _ if seen.method == Method::Get => 'r',
            _ => 'x',
        };
        format!("{kind}{}", seen.place())
    };
    world.seen()[from..].iter().map(tell).collect::<Vec<_>>().join(" ")
}

#[test]
fn an_answer_behind_the_index_is_asked_elsewhere_and_its_node_goes_to_the_back_until_it_acknowledges_a_write() {
    // Node 1 slept through an election. The other secret has no floor: the index alone tells.
    let mut deposed = false;
    let world = World::new(move |seen| match (seen.place(), is_write(seen)) {
        (1, true) if !std::mem::replace(&mut deposed, true) => at_index(written(1), "c", 9),
        (_, true) => at_index(written(2), "c", 9),
        (1, false) => at_index(secret(1), "c", 5),
        _ => at_index(secret(2), "c", 9),
    });
    let client = having_written(&world, 2, 1);
    for _ in 0..2 {
        assert_eq!(version(&world.run(client.read("openbao+kv2://secret/other"))), 2);
    }
    assert_eq!(story(&world, 1), "r1 r2 r2");
}

#[test]
fn where_every_node_is_behind_the_index_a_read_that_needs_the_leader_settles_it() {
    // After a restore from a disk's copy the cluster counts on from a lower number, wrapped reads too.
    let world = World::new(|seen| match seen.target.as_str() {
        UNWRAP => secret(2),
        _ if is_write(seen) => at_index(written(1), "c", 9),
        _ if seen.is_wrapped() => at_index(json(200, wrap_info("w")), "c", 5),
        _ => at_index(secret(2), "c", 5),
    });
    let client = having_written(&world, 2, 1);
    assert_eq!(version(&world.run(client.read("openbao+kv2://secret/other"))), 2);
    assert_eq!(story(&world, 1), "r1 r2 w1 u1");
}

#[test]
fn an_answer_below_the_floor_is_settled_by_a_wrapped_read_and_its_unwrapping() {
    let world = World::wrapping(|seen| match (is_write(seen), seen.is_wrapped()) {
        (true, _) => written(5),
        (_, true) => secret(5),
        _ => secret(4),
    });
    let client = having_written(&world, 1, 5);
    let read = world.run(client.read(URI));
    assert_eq!((version(&read), read.unwrap().expose_str().unwrap()), (5, CANARY_VALUE));
    assert_eq!(story(&world, 1), "r1 w1 u1");
    assert!(world.notices().is_empty());
}

#[test]
fn a_floor_falls_to_what_a_strong_read_shows_and_an_operator_hears_of_it_once() {
    let world = World::wrapping(|seen| if is_write(seen) { written(5) } else { holding(2, "x", LATER) });
    let client = having_written(&world, 1, 5);
    assert_eq!(version(&world.run(client.read(URI))), 2);
    assert_eq!(version(&world.run(client.read(URI))), 2);
    assert_eq!(story(&world, 1), "r1 w1 u1 r1", "the second read meets the floor where it is now");
    assert_eq!(world.notices().len(), 1);
    assert!(world.notices()[0].contains("secret/app: version 5 was seen, and now 2"), "{:?}", world.notices());
}

#[test]
fn a_secret_that_is_gone_is_believed_of_the_leader_alone() {
    // Node 2 is a standby: it can store nothing of ours.
    let world = World::wrapping(|seen| match (seen.target.as_str(), seen.place()) {
        (PROBE, 2) => errors(500, "standby"),
        (PROBE, _) => json(200, "{}"),
        _ if is_write(seen) => written(5),
        _ => nothing(),
    });
    let client = having_written(&world, 2, 5);
    assert_eq!(world.run(client.read(URI)).unwrap_err().code(), Code::SecretNotFound);
    assert_eq!(story(&world, 1), "r1 w2 p2 p1 r1");
    assert_eq!(world.notices().len(), 1);
    let seen = world.seen().len();
    assert_eq!(world.run(client.read(URI)).unwrap_err().code(), Code::SecretNotFound);
    assert_eq!(world.seen().len(), seen + 1, "it is known now");
}

#[test]
fn a_deposed_leader_s_404_of_a_secret_that_is_there_is_not_believed() {
    let world = World::wrapping(|seen| match (seen.target.as_str(), seen.place()) {
        (PROBE, 1 | 2) => errors(500, "no leader any more"),
        (PROBE, _) => json(200, "{}"),
        _ if is_write(seen) => written(1),
        (_, 1 | 2) => nothing(),
        _ => secret(1),
    });
    let client = having_written(&world, 3, 1);
    assert_eq!(version(&world.run(client.read(URI))), 1);
    assert_eq!(story(&world, 1), "r1 w2 p2 p3 r3");
    assert!(world.notices().is_empty());
}

#[test]
fn a_node_that_showed_the_truth_below_the_floor_is_not_suspect() {
    // Node 2, which serves the strong read, dies then.
    let mut dead = false;
    let world = World::wrapping(move |seen| match (is_write(seen), seen.place()) {
        (true, _) => written(5),
        (_, 2) if dead => Reply::Fail(FailureKind::Connect),
        (_, place) => {
            dead = place == 2;
            holding(2, "x", LATER)
        }
    });
    let client = having_written(&world, 3, 5);
    world.run(client.read(URI)).unwrap();
    world.run(client.read(URI)).unwrap();
    assert_eq!(story(&world, 1), "r1 w2 u2 r2 r1");
}

#[test]
fn a_pinned_version_that_was_pruned_does_not_lower_the_floor() {
    let world = World::wrapping(|seen| match seen.target.as_str() {
        PROBE => json(200, "{}"),
        _ if is_write(seen) => written(5),
        target if target.ends_with("?version=5") => nothing(),
        // A stale node; the truth is version 6.
        _ if seen.is_wrapped() => secret(6),
        _ => secret(4),
    });
    let client = having_written(&world, 1, 5);
    let error = world.run(client.read("openbao+kv2://secret/app?version=5")).unwrap_err();
    assert_eq!(error.code(), Code::VersionNotFound);
    assert!(world.notices().is_empty(), "nothing regressed: {:?}", world.notices());
    assert_eq!(version(&world.run(client.read(URI))), 6);
}

#[test]
fn a_strong_read_counts_though_the_floor_rose_a_little_meanwhile() {
    // The strong read takes a second and shows 7; meanwhile an everyday read shows 6.
    let world = World::slow(|seen| match (seen.target.as_str(), seen.is_wrapped()) {
        (UNWRAP, _) => (Duration::ZERO, secret(7)),
        (_, true) => (SECOND, json(200, wrap_info("w"))),
        _ => (Duration::ZERO, secret(6)),
    });
    let client = world.client(World::settings(1));
    let results = world.run_all((0..2).map(|i| {
        let (client, world) = (&client, &world);
        async move {
            if i == 0 {
                return client.read_with(URI, ReadOptions::new().strong()).await;
            }
            world.sleep(SECOND / 2).await;
            client.read(URI).await
        }
    }));
    assert_eq!((version(&results[0]), version(&results[1])), (7, 6));
    let seen = world.seen().len();
    assert_eq!(version(&world.run(client.read(URI))), 7, "7 was seen");
    assert_eq!(story(&world, seen), "r1 w1 u1");
}

#[test]
fn an_older_answer_that_comes_late_does_not_undo_what_was_seen_meanwhile() {
    // The first answer, of the time before the secret was made anew, takes a second.
    let mut first = true;
    let world = World::slow(move |seen| match (seen.target.as_str(), seen.is_wrapped()) {
        (UNWRAP, _) => (Duration::ZERO, holding(1, "anew", LATER)),
        (_, true) => (Duration::ZERO, json(200, wrap_info("w"))),
        _ if std::mem::take(&mut first) => (SECOND, holding(1, "old", EPOCH)),
        _ => (Duration::ZERO, holding(1, "old", EPOCH)),
    });
    let client = world.client(World::settings(1));
    let results = world.run_all((0..2).map(|i| {
        let (client, world) = (&client, &world);
        async move {
            world.sleep(i * SECOND / 2).await;
            let options = if i == 0 { ReadOptions::new() } else { ReadOptions::new().strong() };
            client.read_with(URI, options).await
        }
    }));
    assert_eq!(results.iter().map(|r| r.as_ref().unwrap().expose_str().unwrap()).collect::<Vec<_>>(), ["old", "anew"]);
    assert_eq!(world.run(client.read(URI)).unwrap().expose_str().unwrap(), "anew");
}

#[test]
fn a_reader_may_ask_for_a_version_that_another_process_wrote() {
    let world = World::wrapping(|seen| if seen.is_wrapped() { secret(7) } else { secret(6) });
    let client = world.client(World::settings(1));
    let read = world.run(client.read_with(URI, ReadOptions::new().min_version(7)));
    assert_eq!((version(&read), story(&world, 0)), (7, "r1 w1 u1".to_owned()));

    let error = world.run(client.read_with(URI, ReadOptions::new().min_version(8))).unwrap_err();
    assert_eq!(error.code(), Code::StaleRead);
    assert_eq!((error.node(), error.tries()), (Some("http://127.0.0.1:1"), 1));
    assert!(error.to_string().contains("version 7 is the newest, and 8"), "{error}");
    assert!(world.elapsed() < SECOND, "nobody waits for a version that may never come");
}

#[test]
fn a_strong_read_asks_no_everyday_question() {
    let world = World::wrapping(|_| secret(3));
    let client = world.client(World::settings(1));
    assert_eq!(version(&world.run(client.read_with(URI, ReadOptions::new().strong()))), 3);
    assert_eq!(story(&world, 0), "w1 u1");
}

#[test]
fn a_deleted_version_is_a_right_answer_of_an_unwrapping() {
    let world = World::wrapping(|_| gone(3));
    let client = world.client(World::settings(1));
    let error = world.run(client.read_with(URI, ReadOptions::new().strong())).unwrap_err();
    assert_eq!((error.code(), story(&world, 0)), (Code::SecretDeleted, "w1 u1".to_owned()));
}

#[test]
fn a_refused_or_lost_unwrapping_says_nothing_of_the_secret_and_another_token_is_asked_for() {
    let wrong: [fn() -> Reply; 6] = [
        || errors(400, "wrapping token is not valid or does not exist"),
        || errors(403, "permission denied"),
        || scenario::no_right(),
        nothing,
        || errors(500, "boom"),
        || Reply::Fail(FailureKind::AfterSend),
    ];
    for (i, reply) in wrong.into_iter().enumerate() {
        let mut first = true;
        let world = World::new(move |seen| match seen.target.as_str() {
            UNWRAP if std::mem::take(&mut first) => reply(),
            UNWRAP => secret(3),
            _ => json(200, wrap_info("w")),
        });
        let client = world.client(World::settings(1));
        let read = world.run(client.read_with(URI, ReadOptions::new().strong()));
        assert_eq!((i, version(&read), story(&world, 0)), (i, 3, "w1 u1 w1 u1".to_owned()));
        assert!(world.elapsed() < SECOND);
    }
}

#[test]
fn a_strong_read_that_can_not_be_had_is_a_stale_read_at_the_deadline_with_node_and_tries_and_no_token() {
    let world = World::new(|seen| match seen.target.as_str() {
        UNWRAP => errors(400, "wrapping token is not valid or does not exist"),
        _ => json(200, wrap_info(scenario::CANARY_WRAP)),
    });
    let client = world.client(World::settings(1).deadline(3 * SECOND));
    let error = world.run(client.read_with(URI, ReadOptions::new().strong())).unwrap_err();
    assert_eq!((error.code(), error.subject()), (Code::StaleRead, Some("secret/data/app")));
    assert!(error.node().is_some() && error.tries() > 0, "{error}");
    assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    assert!(world.elapsed() > 2 * SECOND && world.elapsed() <= 3 * SECOND, "{:?}", world.elapsed());
    assert!(world.seen().len() <= 60, "{} requests in 3 s", world.seen().len());
}

#[test]
fn behind_one_address_a_read_that_is_sent_again_may_reach_another_node_than_the_one_that_leads() {
    let mut plain = 0;
    let world = World::wrapping(move |seen| match seen.target.as_str() {
        PROBE => json(200, ""),
        _ if seen.is_wrapped() => nothing(),
        _ => {
            plain += 1;
            match plain {
                1 => Reply::Fail(FailureKind::AfterSend),
                // A standby that has not heard of it.
                2 => nothing(),
                _ => secret(3),
            }
        }
    });
    let client = world.client(World::settings(1));
    let read = world.run(client.read_with(URI, ReadOptions::new().strong()));
    assert_eq!(version(&read), 3);
    let [one, two] = ["p1", "r1"].map(|kind| story(&world, 0).matches(kind).count());
    assert_eq!((one, two), (2, 3));
}

#[test]
fn an_answer_that_should_have_come_wrapped_proves_nothing() {
    for reply in [|| secret(3), || gone(3)] {
        let world = World::new(move |seen| if seen.target == PROBE { errors(500, "standby") } else { reply() });
        let client = world.client(World::settings(1).deadline(SECOND));
        let error = world.run(client.read_with(URI, ReadOptions::new().strong())).unwrap_err();
        assert_eq!(error.code(), Code::StaleRead, "{error}");
        assert!(error.to_string().contains("X-Vault-Wrap-TTL"), "{error}");
        assert_eq!(error.node(), Some("http://127.0.0.1:1"));
    }
}

#[test]
fn a_token_that_may_not_find_the_leader_is_told_so_at_once() {
    let world = World::wrapping(|seen| match seen.target.as_str() {
        PROBE => scenario::no_right(),
        _ if is_write(seen) => written(1),
        _ => nothing(),
    });
    let client = having_written(&world, 2, 1);
    let error = world.run(client.read(URI)).unwrap_err();
    assert_eq!(error.code(), Code::StaleRead);
    assert!(error.to_string().contains("sys/wrapping/wrap"), "{error}");
    assert!(error.node().is_some() && error.tries() > 0, "{error}");
    assert!(world.elapsed() < SECOND, "{:?}", world.elapsed());
}

#[test]
fn a_deletion_is_looked_after_and_not_forgotten_where_the_server_does_not_say_how_far_it_is() {
    let run = |with_index: bool| {
        let world = World::wrapping(move |seen| {
            let reply = match seen.method {
                Method::Delete => json(204, ""),
                _ if seen.is_wrapped() => gone(3),
                _ if with_index => gone(3),
                // A standby is behind.
                _ => secret(3),
            };
            if with_index { at_index(reply, "c", 1) } else { reply }
        });
        let client = world.client(World::settings(1));
        world.run(client.delete("openbao+kv2://secret/app")).unwrap();
        let codes = [(); 2].map(|()| world.run(client.read(URI)).unwrap_err().code());
        (codes, story(&world, 1))
    };
    // The everyday answers contradict what was seen.
    assert_eq!(run(false), ([Code::SecretDeleted; 2], "w1 u1 r1 w1 u1 r1 w1 u1".to_owned()));
    // Before the first answer nobody has said how far the cluster is.
    assert_eq!(run(true), ([Code::SecretDeleted; 2], "w1 u1 r1 r1".to_owned()));
}

#[test]
fn what_baokit_does_not_model_is_read_as_safely() {
    let world = World::wrapping(|seen| match (is_write(seen), seen.is_wrapped()) {
        (true, _) => at_index(written(1), "c", 9),
        (_, true) => at_index(json(200, r#"{"data":"fresh"}"#), "c", 9),
        _ => at_index(json(200, r#"{"data":"stale"}"#), "c", 5),
    });
    let client = having_written(&world, 2, 1);
    let value = world.run(client.request("GET", "sys/mounts", None)).unwrap();
    assert_eq!(value.expose()["data"], "fresh");
    assert_eq!(story(&world, 1), "r1 r2 w1 u1");
}

#[test]
fn versions_are_not_older_than_what_was_seen_either() {
    let metadata = |current: u64| {
        let versions = format!(r#"{{"{current}":{{"created_time":"{EPOCH}"}}}}"#);
        json(200, format!(r#"{{"data":{{"current_version":{current},"versions":{versions}}}}}"#))
    };
    let world = World::wrapping(move |seen| match (is_write(seen), seen.is_wrapped()) {
        (true, _) => written(5),
        (_, true) => metadata(5),
        _ => metadata(4),
    });
    let client = having_written(&world, 1, 5);
    assert_eq!(world.run(client.versions("openbao+kv2://secret/app")).unwrap().current_version(), 5);
}

#[test]
fn another_cluster_behind_the_address_begins_anew() {
    let mut cluster = "a";
    let world = World::new(move |seen| match is_write(seen) {
        true => at_index(written(5), cluster, 9),
        false => {
            cluster = "b";
            at_index(secret(2), cluster, 1)
        }
    });
    let client = having_written(&world, 1, 5);
    world.run(client.read("openbao+kv2://secret/other")).unwrap();
    assert_eq!(version(&world.run(client.read(URI))), 2);
    assert!(world.notices().is_empty() && story(&world, 1) == "r1 r1", "{}", story(&world, 1));
}

#[test]
fn how_a_node_is_and_a_snapshot_are_asked_without_an_index() {
    let world = World::new(|seen| match seen.target.as_str() {
        "/v1/sys/storage/raft/snapshot" => at_index(raw(200, "application/gzip", Vec::new()), "c", 5),
        _ if is_write(seen) => at_index(written(1), "c", 9),
        _ => json(200, r#"{"initialized":true,"sealed":false,"standby":true,"version":"2.7.2","server_time_utc":1}"#),
    });
    let client = having_written(&world, 2, 1);
    world.run(client.sys().health()).unwrap_or_else(|error| panic!("{error}"));
    let file = world.run(client.sys().raft().snapshot(Vec::new())).unwrap();
    assert_eq!(file, b"a snapshot", "once");
    let seen = world.seen();
    let asked: Vec<&str> = seen.iter().skip(1).filter_map(|seen| seen.target.split('?').next()).collect();
    assert_eq!(asked, ["/v1/sys/health", "/v1/sys/leader", "/v1/sys/storage/raft/snapshot"]);
    assert!(seen.iter().all(|seen| seen.header("x-vault-index").is_none()));
}

#[test]
fn an_index_that_can_not_be_decoded_is_passed_on_and_does_not_prove_that_a_deletion_was_done() {
    let mut left = 1;
    let world = World::wrapping(move |seen| {
        let is_deletion = seen.target == "/v1/secret/delete/app";
        let reply = match (is_deletion, seen.is_wrapped()) {
            (true, _) => json(204, ""),
            // The first was answered by a node that is behind, and did nothing.
            (_, true) if std::mem::take(&mut left) > 0 => secret(1),
            (_, true) => gone(1),
            _ => secret(1),
        };
        match reply {
            Reply::Answer(response) => Reply::Answer(response.header("X-Vault-Index", b"opaque")),
            reply => reply,
        }
    });
    let client = world.client(World::settings(1));
    world.run(client.read(URI)).unwrap();
    world.run(client.kv2_delete("secret", "app", &[1])).unwrap();
    let deletions: Vec<_> = world.seen().into_iter().filter(|seen| seen.target.contains("/delete/")).collect();
    assert_eq!(deletions.len(), 2, "a strong read looked whether it was done");
    assert!(deletions.iter().all(|seen| seen.header("x-vault-index") == Some("opaque")));
}

#[cfg(feature = "broken-rules")]
mod broken {
    use super::*;
    use baokit_core::Rule;

    /// What is read below a floor of 5, where everyday answers show 4 and strong ones this.
    fn read(rule: Rule, strong: u64) -> (u64, u64, usize) {
        let world = World::wrapping(move |seen| match (is_write(seen), seen.is_wrapped()) {
            (true, _) => written(5),
            (_, true) => secret(strong),
            _ => secret(4),
        });
        let client = world.client(World::settings(1)).without(rule);
        world.run(client.kv2_write("secret", "app", &data(), Some(4))).unwrap();
        let versions = [(); 2].map(|()| version(&world.run(client.read(URI))));
        (versions[0], versions[1], world.seen().len() - 1)
    }

    #[test]
    fn each_rule_here_is_needed() {
        assert_eq!(read(Rule::DoubtIsTold, 5), (5, 5, 6), "another rule makes no difference");
        assert_eq!(read(Rule::FloorIsJudged, 5), (4, 4, 2));
        assert_eq!(read(Rule::StrongReadsAreStrong, 5), (4, 4, 3), "and lowers the floor");
        assert_eq!(read(Rule::DoubtIsTold, 4), (4, 4, 4));
        assert_eq!(read(Rule::FloorsFall, 4), (4, 4, 6), "each read pays for what was settled");

        let world = World::new(|seen| match is_write(seen) {
            true => at_index(written(1), "c", 9),
            false if seen.place() == 1 => at_index(secret(1), "c", 5),
            false => at_index(secret(2), "c", 9),
        });
        let client = world.client(World::settings(2)).without(Rule::IndexIsJudged);
        world.run(client.kv2_write("secret", "app", &data(), Some(0))).unwrap();
        assert_eq!(version(&world.run(client.read("openbao+kv2://secret/other"))), 1);
    }
}
