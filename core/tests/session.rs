//! What the session does with tokens: one log-in for all, generations, leases, dead tokens.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod scenario;

use std::time::Duration;

use baokit_core::{Code, Error};
use scenario::{CANARY_SECRET_ID, CANARY_TOKEN, Reply, SECOND, Seen, World, errors, logged_in, secret};

const URI: &str = "openbao+kv2://secret/app/api#token";
const LOGIN: &str = "/v1/auth/approle/login";

fn is_login(seen: &Seen) -> bool {
    seen.target == LOGIN
}

fn logins(world: &World) -> usize {
    world.seen().iter().filter(|seen| is_login(seen)).count()
}

/// A server that counts log-ins and knows the tokens from `first_good` on.
fn server(lease: u64, first_good: usize) -> impl FnMut(&Seen) -> Reply {
    let mut count = 0;
    move |seen| {
        if is_login(seen) {
            count += 1;
            return logged_in(count, lease);
        }
        let known = (first_good..=count).any(|i| seen.token.as_deref() == Some(&format!("{CANARY_TOKEN}-{i}")));
        if known { secret(1) } else { errors(403, "permission denied") }
    }
}

#[test]
fn a_thousand_first_operations_make_one_log_in() {
    let world = World::new(server(3600, 1));
    let client = world.client(World::app_role(1).max_concurrent(1000));
    let results = world.run_all((0..1000).map(|_| client.read(URI)));
    assert!(results.iter().all(Result::is_ok));
    assert_eq!((logins(&world), world.seen().len()), (1, 1001));
}

#[test]
fn in_isolated_tasks_nobody_wakes_another_and_there_is_still_one_log_in() {
    let run = |world: World| {
        let before = World::wakes_across_tasks_seen();
        // Fewer places than operations, so that they wait for places as well as for the log-in.
        let client = world.client(World::app_role(1).max_concurrent(100));
        let results = world.run_all((0..1000).map(|_| client.read(URI)));
        assert!(results.iter().all(Result::is_ok));
        assert_eq!((logins(&world), world.seen().len()), (1, 1001));
        assert!(world.elapsed() < SECOND);
        World::wakes_across_tasks_seen() - before
    };
    assert_eq!(run(World::of_isolated_tasks(server(3600, 1))), 0);
    assert_ne!(run(World::new(server(3600, 1))), 0, "the count sees what it is to see");
}

#[test]
fn in_isolated_tasks_waiting_for_a_place_ends_at_the_deadline() {
    let world = World::of_isolated_tasks(|_| Reply::Never);
    let client = world.client(World::settings(1).max_concurrent(1).deadline(SECOND));
    let codes: Vec<_> =
        world.run_all([client.read(URI), client.read(URI)]).into_iter().map(|r| r.unwrap_err().code()).collect();
    assert_eq!((codes, world.elapsed()), (vec![Code::DeadlineExceeded; 2], SECOND));
}

#[test]
fn the_log_in_carries_no_token_and_the_role_in_its_body() {
    let world = World::new(server(3600, 1));
    world.run(world.client(World::app_role(1)).read(URI)).unwrap();
    let login = &world.seen()[0];
    assert_eq!(login.token, None);
    assert_eq!(login.body, format!(r#"{{"role_id":"role","secret_id":"{CANARY_SECRET_ID}"}}"#));
}

#[test]
fn a_refused_log_in_is_told_to_all_who_waited_and_not_repeated_by_them() {
    let world = World::new(|_| errors(400, "invalid role or secret ID"));
    let client = world.client(World::app_role(1).max_concurrent(100));
    let codes: Vec<_> =
        world.run_all((0..100).map(|_| client.read(URI))).into_iter().map(|r| r.unwrap_err().code()).collect();
    assert_eq!((codes, logins(&world)), (vec![Code::AuthenticationFailed; 100], 1));
}

#[test]
fn a_log_in_that_can_not_succeed_is_not_tried_by_each_who_waited_for_it() {
    let throttled = || scenario::retry_after(scenario::json(429, r#"{"errors":["rate limit quota exceeded"]}"#), "25");
    let world = World::new(move |_| throttled());
    let client = world.client(World::app_role(1));
    let results = world.run_all((0..10).map(|_| client.read(URI)));
    assert!(results.iter().all(|result| result.as_ref().unwrap_err().code() == Code::RateLimited));
    assert_eq!(logins(&world), 2, "one now, one when the server wants it");

    for kind in [baokit_core::http::FailureKind::Tls, baokit_core::http::FailureKind::TooLarge] {
        let world = World::new(move |_| Reply::Fail(kind));
        let client = world.client(World::app_role(1).max_concurrent(1000));
        let results = world.run_all((0..1000).map(|_| client.read(URI)));
        assert!(results.iter().all(Result::is_err));
        assert_eq!(logins(&world), 1);
    }
}

#[test]
fn a_follower_with_more_time_than_its_leader_tries_on_when_the_leader_was_throttled() {
    let mut throttle = true;
    let world = World::slow(move |seen| match is_login(seen) {
        true if std::mem::take(&mut throttle) => {
            (3 * SECOND, scenario::retry_after(scenario::json(429, r#"{"errors":[]}"#), "4"))
        }
        true => (Duration::ZERO, logged_in(1, 3600)),
        false => (Duration::ZERO, secret(1)),
    });
    let client = world.client(World::app_role(1).deadline(5 * SECOND));
    let results = world.run_all((0..2).map(|i| {
        let (client, world) = (&client, &world);
        async move {
            // The leader is told to wait beyond its 5 s after three of them; the other began at two.
            baokit_core::Host::sleep(world, i * 2 * SECOND).await;
            client.read(URI).await.map(drop)
        }
    }));
    assert_eq!(results[0].as_ref().unwrap_err().code(), Code::RateLimited);
    assert!(results[1].is_ok());
}

#[test]
fn an_outage_is_asked_by_one_log_in_at_a_time_up_to_the_deadline_of_all() {
    let world = World::new(|_| Reply::Fail(baokit_core::http::FailureKind::Connect));
    let client = world.client(World::app_role(1).max_concurrent(1000));
    let results = world.run_all((0..1000).map(|_| client.read(URI)));
    assert!(results.iter().all(|result| result.as_ref().unwrap_err().code() == Code::ServerUnreachable));
    assert!(logins(&world) < 150, "{} log-ins in 30 s", logins(&world));
}

#[test]
fn a_refused_log_in_says_that_it_was_the_log_in() {
    let world = World::new(|_| errors(403, "permission denied"));
    let error = world.run(world.client(World::app_role(1)).read(URI)).unwrap_err();
    assert_eq!((error.code(), error.subject()), (Code::AuthenticationFailed, Some("auth/approle/login")));
    assert!(error.to_string().contains("the log-in is refused"), "{error}");
}

#[test]
fn a_log_in_without_a_token_that_can_be_sent_is_no_openbao_s() {
    for token in ["", "bad\\ntoken", "bl ank", "\u{e9}"] {
        let world = World::new(move |_| {
            scenario::json(
                200,
                format!(r#"{{"auth":{{"client_token":"{token}","lease_duration":60,"renewable":true}}}}"#),
            )
        });
        let error = world.run(world.client(World::app_role(1)).read(URI)).unwrap_err();
        assert_eq!(error.code(), Code::MalformedAnswer, "{token:?}");
    }
}

#[test]
fn a_slow_renewal_of_an_old_token_does_not_touch_its_successor() {
    let mut count = 0;
    let world = World::slow(move |seen| match seen.target.as_str() {
        LOGIN => {
            count += 1;
            (Duration::from_millis(1), logged_in(count, 60))
        }
        "/v1/auth/token/renew-self" => {
            (3 * SECOND, scenario::json(200, r#"{"auth":{"lease_duration":3600,"renewable":true}}"#))
        }
        _ if seen.token.as_deref() == Some("hvs.canary-token-1") => (SECOND, errors(403, "permission denied")),
        _ => (Duration::from_millis(1), secret(1)),
    });
    let client = world.client(World::app_role(1));
    let results =
        world.run_all(
            (0..2).map(|i| {
                let client = &client;
                async move {
                    if i == 0 { client.renew_self(None).await.map(drop) } else { client.read(URI).await.map(drop) }
                }
            }),
        );
    assert!(results.iter().all(Result::is_ok));
    world.run(baokit_core::Host::sleep(&world, 120 * SECOND));
    world.run(client.read(URI)).unwrap();
    assert_eq!(logins(&world), 3, "the second token ended with its own lease");
}

#[test]
fn a_leader_that_is_dropped_hands_its_log_in_on() {
    let world = World::new(server(3600, 1));
    let client = world.client(World::app_role(1));
    let mut leader = Box::pin(client.read(URI));
    world.poll_once(&mut leader);
    drop(leader);
    world.run(client.read(URI)).unwrap();
    assert_eq!(logins(&world), 2);
    assert!(world.elapsed() < SECOND, "nobody waited for the lease");
}

#[test]
fn a_leader_that_nobody_polls_loses_its_log_in_after_the_lease() {
    let world = World::new(server(3600, 1));
    let client = world.client(World::app_role(1));
    let mut leader = Box::pin(client.read(URI));
    world.poll_once(&mut leader);
    world.run(client.read(URI)).unwrap();
    assert_eq!((logins(&world), world.elapsed()), (2, 6 * SECOND + Duration::from_millis(2)));
    world.run(leader).unwrap();
    assert_eq!(logins(&world), 2, "the late leader uses the token that the other brought");
    assert_eq!(world.seen().last().unwrap().token.as_deref(), Some("hvs.canary-token-2"));
}

#[test]
fn a_dead_token_is_replaced_once_for_all_who_carried_it() {
    let world = World::new(server(3600, 2));
    let client = world.client(World::app_role(1).max_concurrent(100));
    let results = world.run_all((0..100).map(|_| client.read(URI)));
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(logins(&world), 2);
}

#[test]
fn a_second_dead_token_in_one_call_is_an_answer() {
    let world = World::new(server(3600, usize::MAX));
    let error = world.run(world.client(World::app_role(1)).read(URI)).unwrap_err();
    assert_eq!((error.code(), logins(&world), world.seen().len()), (Code::AuthenticationFailed, 2, 4));
}

#[test]
fn a_missing_right_costs_no_log_in() {
    let world = World::new(|seen| match is_login(seen) {
        true => logged_in(1, 3600),
        false => errors(403, "1 error occurred:\n\t* permission denied\n\n"),
    });
    let error = world.run(world.client(World::app_role(1)).read(URI)).unwrap_err();
    assert_eq!((error.code(), logins(&world)), (Code::PermissionDenied, 1));
}

#[test]
fn a_token_is_not_sent_any_more_shortly_before_its_end() {
    let world = World::new(server(100, 1));
    let client = world.client(World::app_role(1));
    world.run(client.read(URI)).unwrap();
    world.run(baokit_core::Host::sleep(&world, 85 * SECOND));
    world.run(client.read(URI)).unwrap();
    assert_eq!(logins(&world), 1);
    world.run(baokit_core::Host::sleep(&world, 5 * SECOND));
    world.run(client.read(URI)).unwrap();
    assert_eq!(logins(&world), 2, "90 s of 100 s are over");
}

#[test]
fn a_renewal_lengthens_the_life_of_the_token() {
    let mut inner = server(100, 1);
    let world = World::new(move |seen| match seen.target.as_str() {
        "/v1/auth/token/renew-self" => scenario::json(200, r#"{"auth":{"lease_duration":1000,"renewable":true}}"#),
        _ => inner(seen),
    });
    let client = world.client(World::app_role(1));
    world.run(client.read(URI)).unwrap();
    assert_eq!(world.run(client.renew_self(Some(1000))).unwrap().lease_duration(), 1000);
    world.run(baokit_core::Host::sleep(&world, 900 * SECOND));
    world.run(client.read(URI)).unwrap();
    assert_eq!(logins(&world), 1);
}

#[test]
fn a_token_that_was_given_is_used_until_the_server_refuses_it() {
    let world = World::new(|seen| match seen.target.as_str() {
        "/v1/auth/token/renew-self" => scenario::json(200, r#"{"auth":{"lease_duration":10,"renewable":true}}"#),
        _ => secret(1),
    });
    let client = world.client(World::settings(1));
    world.run(client.renew_self(Some(10))).unwrap();
    world.run(baokit_core::Host::sleep(&world, 3600 * SECOND));
    world.run(client.read(URI)).unwrap();
}

#[test]
fn followers_keep_their_own_deadlines_when_the_leader_gets_no_answer() {
    let world = World::new(|_| Reply::Never);
    let client = world.client(World::app_role(1).deadline(8 * SECOND));
    let start = world.elapsed();
    let errors: Vec<Error> =
        world.run_all((0..10).map(|_| client.read(URI))).into_iter().map(Result::unwrap_err).collect();
    assert!(errors.iter().all(|error| error.code() == Code::DeadlineExceeded), "{errors:?}");
    assert!(world.elapsed() - start <= 8 * SECOND);
}

#[test]
fn closing_wakes_those_who_wait_for_a_log_in() {
    let world = World::new(|_| Reply::Never);
    let client = world.client(World::app_role(1));
    let mut leader = Box::pin(client.read(URI));
    world.poll_once(&mut leader);
    let results = world.run_all((0..2).map(|i| {
        let client = &client;
        async move {
            if i == 1 {
                client.close();
                return Ok(());
            }
            client.read(URI).await.map(drop)
        }
    }));
    assert_eq!(results[0].as_ref().unwrap_err().code(), Code::ClientClosed);
    assert_eq!(world.elapsed(), Duration::ZERO);
}
