//! Renewal on the way, and the end of a session, on virtual time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod scenario;

use std::time::Duration;

use baokit_core::http::FailureKind;
use baokit_core::{Client, Code, Host, Result};
use scenario::{CANARY_TOKEN, Reply, SECOND, Seen, World, errors, json, logged_in, no_right, secret};

const URI: &str = "openbao+kv2://secret/app#token";
const LOGIN: &str = "/v1/auth/approle/login";
const RENEW: &str = "/v1/auth/token/renew-self";
const REVOKE: &str = "/v1/auth/token/revoke-self";

/// A server of leases of 300 s, with the answers to renewals that the test wants. The threshold of a
/// client here is 60 s, so a token is renewed from 240 s on and not used from 270 s on.
fn server(mut renewal: impl FnMut(&Seen) -> Reply + 'static) -> World {
    let mut logins = 0;
    World::new(move |seen| match seen.target.as_str() {
        LOGIN => {
            logins += 1;
            logged_in(logins, 300)
        }
        RENEW => renewal(seen),
        _ => secret(1),
    })
}

fn renewed(seen: &Seen, lease: u64, renewable: bool) -> Reply {
    let token = seen.token.as_deref().unwrap();
    json(200, format!(r#"{{"auth":{{"client_token":"{token}","lease_duration":{lease},"renewable":{renewable}}}}}"#))
}

fn client(world: &World) -> Client<World> {
    world.client(World::app_role(1).renewal_threshold(60 * SECOND).max_concurrent(1000))
}

fn read_at(world: &World, client: &Client<World>, at: u32) -> Result<()> {
    world.run(async {
        world.sleep((at * SECOND).saturating_sub(world.elapsed())).await;
        client.read(URI).await.map(drop)
    })
}

fn count(world: &World, target: &str) -> usize {
    world.seen().iter().filter(|seen| seen.target == target).count()
}

/// The token of the last read.
fn last_token(world: &World) -> String {
    let seen = world.seen();
    let token = seen.iter().rev().find(|seen| seen.target.contains("/data/")).unwrap().token.clone();
    token.unwrap().replace(CANARY_TOKEN, "")
}

#[test]
fn a_token_is_renewed_from_the_threshold_on_and_not_before() {
    let world = server(|seen| renewed(seen, 300, true));
    let client = client(&world);
    read_at(&world, &client, 0).unwrap();
    read_at(&world, &client, 239).unwrap();
    assert_eq!(count(&world, RENEW), 0);
    read_at(&world, &client, 241).unwrap();
    assert_eq!(count(&world, RENEW), 1);
    // The new lease counts from the renewal on, and is renewed in its turn.
    read_at(&world, &client, 241 + 239).unwrap();
    assert_eq!(count(&world, RENEW), 1);
    read_at(&world, &client, 241 + 241).unwrap();
    assert_eq!((count(&world, RENEW), count(&world, LOGIN), last_token(&world).as_str()), (2, 1, "-1"));
}

#[test]
fn many_operations_make_one_renewal_and_only_one_of_them_waits_for_it() {
    let world = World::slow(|seen| match seen.target.as_str() {
        LOGIN => (Duration::ZERO, logged_in(1, 300)),
        RENEW => (SECOND, renewed(seen, 300, true)),
        _ => (Duration::ZERO, secret(1)),
    });
    let client = client(&world);
    read_at(&world, &client, 0).unwrap();
    world.run(world.sleep(250 * SECOND));
    let begun = world.elapsed();
    let took = world.run_all((0..1000).map(|_| async {
        client.read(URI).await.unwrap();
        world.elapsed() - begun
    }));
    assert_eq!(count(&world, RENEW), 1);
    assert_eq!(took.iter().filter(|took| !took.is_zero()).count(), 1);
}

#[test]
fn a_lease_shorter_than_the_threshold_is_not_renewed_at_each_call() {
    let world = World::new(|seen| match seen.target.as_str() {
        LOGIN => logged_in(1, 30),
        RENEW => renewed(seen, 30, true),
        _ => secret(1),
    });
    let client = client(&world);
    for at in 0..100 {
        read_at(&world, &client, at).unwrap();
    }
    assert_eq!((count(&world, RENEW), count(&world, LOGIN)), (4, 1), "every 20 s");
}

#[test]
fn a_refused_renewal_is_followed_by_a_log_in_while_the_old_token_is_still_used() {
    for refusal in [no_right as fn() -> Reply, || errors(400, "lease is not renewable")] {
        let world = server(move |_| refusal());
        let client = client(&world);
        read_at(&world, &client, 0).unwrap();
        read_at(&world, &client, 245).unwrap();
        assert_eq!((count(&world, LOGIN), last_token(&world).as_str()), (1, "-1"));
        read_at(&world, &client, 246).unwrap();
        assert_eq!((count(&world, RENEW), count(&world, LOGIN)), (1, 2), "a log-in instead of another renewal");
        assert_eq!(last_token(&world), "-1", "who brings the new token goes on with the good one");
        read_at(&world, &client, 247).unwrap();
        assert_eq!((last_token(&world).as_str(), count(&world, LOGIN)), ("-2", 2));
    }
}

#[test]
fn a_renewal_that_gives_less_than_there_was_is_the_last() {
    let world = server(|seen| renewed(seen, 100, true));
    let client = client(&world);
    read_at(&world, &client, 0).unwrap();
    read_at(&world, &client, 245).unwrap();
    read_at(&world, &client, 300).unwrap();
    assert_eq!((count(&world, RENEW), count(&world, LOGIN)), (1, 1), "it is good until 335");
    read_at(&world, &client, 325).unwrap();
    read_at(&world, &client, 326).unwrap();
    assert_eq!((count(&world, RENEW), count(&world, LOGIN), last_token(&world).as_str()), (1, 2, "-2"));
}

#[test]
fn a_renewal_without_an_answer_delays_one_operation_by_two_seconds_and_fails_none() {
    let world = server(|_| Reply::Never);
    let client = client(&world);
    read_at(&world, &client, 0).unwrap();
    world.run(world.sleep(240 * SECOND));
    let begun = world.elapsed();
    let took = world.run_all((0..100).map(|_| async {
        client.read(URI).await.unwrap();
        world.elapsed() - begun
    }));
    assert!(took.iter().all(|took| *took <= 2 * SECOND + Duration::from_millis(2)), "{took:?}");
    assert_eq!(took.iter().filter(|took| **took > SECOND).count(), 1);
    // The token is left alone for a while, and replaced when its end comes.
    read_at(&world, &client, 243).unwrap();
    assert_eq!((count(&world, RENEW), count(&world, LOGIN)), (1, 1));
    read_at(&world, &client, 271).unwrap();
    assert_eq!((count(&world, LOGIN), last_token(&world).as_str()), (2, "-2"));
}

#[test]
fn a_renewal_that_fails_fails_no_operation() {
    let failures: [fn() -> Reply; 6] = [
        || errors(500, "boom"),
        || errors(503, "Vault is sealed"),
        || Reply::Fail(FailureKind::AfterSend),
        || Reply::Fail(FailureKind::Tls),
        || json(200, "{}"),
        || errors(403, "permission denied"),
    ];
    for (i, failure) in failures.into_iter().enumerate() {
        let world = server(move |_| failure());
        let client = client(&world);
        read_at(&world, &client, 0).unwrap();
        for at in 240..290 {
            let begun = world.elapsed().max(at * SECOND);
            read_at(&world, &client, at).unwrap_or_else(|error| panic!("{i}: {error}"));
            assert!(world.elapsed() - begun <= 2 * SECOND + Duration::from_millis(2), "{i}");
        }
        assert!(count(&world, RENEW) <= 90, "{i}: {} renewals", count(&world, RENEW));
        assert_eq!(last_token(&world), "-2", "{i}");
    }
}

#[test]
fn an_operation_with_little_time_keeps_half_of_it_for_itself() {
    let world = server(|_| Reply::Never);
    let settings = World::app_role(1).renewal_threshold(60 * SECOND).deadline(SECOND);
    let client = world.client(settings);
    read_at(&world, &client, 0).unwrap();
    read_at(&world, &client, 245).unwrap();
    assert_eq!(count(&world, RENEW), 1);
}

#[test]
fn a_renewal_that_is_dropped_is_taken_up_by_the_next_operation() {
    let mut first = true;
    let world = server(move |seen| match std::mem::take(&mut first) {
        true => Reply::Never,
        false => renewed(seen, 300, true),
    });
    let client = client(&world);
    read_at(&world, &client, 0).unwrap();
    world.run(world.sleep(245 * SECOND));
    let mut reader = Box::pin(client.read(URI));
    world.poll_once(&mut reader);
    drop(reader);
    let begun = world.elapsed();
    world.run(client.read(URI)).unwrap();
    assert_eq!((count(&world, RENEW), count(&world, LOGIN)), (2, 1));
    assert!(world.elapsed() - begun < SECOND);
}

#[test]
fn a_token_that_was_given_is_never_renewed_on_the_way() {
    let world = server(|seen| renewed(seen, 300, true));
    let client = world.client(World::settings(1).renewal_threshold(60 * SECOND));
    for hour in 0..100 {
        read_at(&world, &client, hour * 3600).unwrap();
    }
    assert_eq!((count(&world, RENEW), count(&world, LOGIN), world.seen().len()), (0, 0, 100));
}

#[test]
fn revoke_self_revokes_the_token_and_closes() {
    let world = World::new(|seen| match seen.target.as_str() {
        LOGIN => logged_in(1, 300),
        REVOKE => json(204, ""),
        _ => secret(1),
    });
    let client = client(&world);
    read_at(&world, &client, 0).unwrap();
    world.run(client.revoke_self()).unwrap();
    let seen = world.seen();
    assert_eq!((seen[2].target.as_str(), seen[2].token.as_deref()), (REVOKE, Some("hvs.canary-token-1")));
    assert_eq!(world.run(client.read(URI)).unwrap_err().code(), Code::ClientClosed);
    assert_eq!(world.run(client.revoke_self()).map_err(|error| error.code()), Ok(()), "there is no token any more");
    assert_eq!(world.seen().len(), 3);
}

#[test]
fn revoke_self_does_not_log_in_for_it() {
    let world = server(|_| Reply::Never);
    let client = client(&world);
    world.run(client.revoke_self()).unwrap();
    assert!(world.seen().is_empty());
    assert_eq!(world.run(client.read(URI)).unwrap_err().code(), Code::ClientClosed);
}

#[test]
fn revoke_self_closes_though_no_node_answers() {
    let world = World::new(|seen| match seen.target.as_str() {
        LOGIN => logged_in(1, 300),
        REVOKE => Reply::Fail(FailureKind::Connect),
        _ => secret(1),
    });
    let client = world.client(World::app_role(1).deadline(3 * SECOND));
    read_at(&world, &client, 0).unwrap();
    let error = world.run(client.revoke_self()).unwrap_err();
    assert_eq!(error.code(), Code::ServerUnreachable);
    assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    assert!(world.elapsed() <= 4 * SECOND);
    assert_eq!(world.run(client.read(URI)).unwrap_err().code(), Code::ClientClosed);
}

#[test]
fn revoke_self_of_a_token_that_is_dead_already_has_nothing_to_do() {
    // The answer to the first is lost; the second finds no token.
    let mut first = true;
    let world = World::new(move |seen| match seen.target.as_str() {
        LOGIN => logged_in(1, 300),
        REVOKE if std::mem::take(&mut first) => Reply::Fail(FailureKind::AfterSend),
        REVOKE => errors(403, "permission denied"),
        _ => secret(1),
    });
    let client = client(&world);
    read_at(&world, &client, 0).unwrap();
    world.run(client.revoke_self()).unwrap();
    assert_eq!((count(&world, REVOKE), count(&world, LOGIN)), (2, 1));
}
