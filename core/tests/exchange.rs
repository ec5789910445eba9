//! What the machine does with nodes, retries and deadlines, on virtual time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod scenario;

use std::time::Duration;

use baokit_core::http::{FailureKind, Method};
use baokit_core::{Code, ReadOptions, SecretValue};
use scenario::{
    CANARY_TOKEN, MISMATCH, Reply, SECOND, Seen, World, at_index, errors, json, raw, redirect, retry_after, secret,
    written,
};

const URI: &str = "openbao+kv2://secret/app/api#token";

fn data() -> SecretValue {
    SecretValue::from(serde_json::json!({"token": "new"}))
}

#[test]
fn a_read_is_one_request_with_the_token_to_the_data_path() {
    let world = World::new(|_| secret(3));
    let client = world.client(World::settings(1));
    let read = world.run(client.read("openbao+kv2://secret/app/caf%C3%A9?version=3")).unwrap();
    assert_eq!(read.version(), 3);
    let seen = world.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].target, "/v1/secret/data/app/caf%C3%A9?version=3");
    assert_eq!(seen[0].token.as_deref(), Some(CANARY_TOKEN));
}

#[test]
fn a_read_says_how_much_of_the_cluster_s_state_the_client_has_seen() {
    let mut answers = vec![
        at_index(written(1), "c", 12),
        at_index(secret(1), "c", 12),
        at_index(secret(1), "c", 13),
        at_index(secret(1), "d", 1),
        secret(1),
    ];
    answers.reverse();
    let world = World::new(move |_| answers.pop().unwrap());
    let client = world.client(World::settings(1));
    world.run(client.kv2_write("secret", "app", &data(), Some(0))).unwrap();
    for _ in 0..4 {
        world.run(client.read(URI)).unwrap();
    }
    let seen = world.seen();
    assert_eq!(seen[0].header("x-vault-index"), None, "nothing was seen yet");
    // base64 of {"cluster":"c","value":"12"}, and so on.
    let indices: Vec<_> = seen[1..].iter().map(|seen| seen.header("x-vault-index").unwrap()).collect();
    assert_eq!(indices[0], "eyJjbHVzdGVyIjoiYyIsInZhbHVlIjoiMTIifQ==");
    assert_eq!(indices[1], indices[0]);
    assert_eq!(indices[2], "eyJjbHVzdGVyIjoiYyIsInZhbHVlIjoiMTMifQ==");
    assert_eq!(indices[3], "eyJjbHVzdGVyIjoiZCIsInZhbHVlIjoiMSJ9", "another cluster's takes its place");
    assert!(seen[1..].iter().all(|seen| seen.header("x-vault-inconsistent") == Some("forward-active-node")));
}

#[test]
fn a_server_that_never_answers_fails_at_the_deadline_and_not_later() {
    for seconds in [1, 4, 12, 30] {
        let world = World::new(|_| Reply::Never);
        let client = world.client(World::settings(1).deadline(seconds * SECOND));
        let error = world.run(client.read(URI)).unwrap_err();
        assert_eq!(error.code(), Code::DeadlineExceeded);
        assert!(world.elapsed() <= seconds * SECOND, "{:?}", world.elapsed());
        assert!(world.elapsed() + SECOND > seconds * SECOND, "gave up early: {:?}", world.elapsed());
        assert_eq!(error.node(), Some("http://127.0.0.1:1"));
        assert_eq!(error.tries() as usize, world.seen().len());
    }
}

#[test]
fn a_node_that_hangs_costs_a_read_or_a_guarded_write_one_second_and_the_next_goes_to_another_node() {
    let hangs = |seen: &Seen, answer: fn() -> Reply| if seen.place() == 1 { Reply::Never } else { answer() };
    let world = World::new(move |seen| hangs(seen, || secret(1)));
    let client = world.client(World::settings(2));
    world.run(client.read(URI)).unwrap();
    assert_eq!(world.elapsed(), SECOND + Duration::from_millis(1));
    world.run(client.read(URI)).unwrap();
    assert_eq!(world.places(), [1, 2, 2], "the node that answered is asked first");

    let world = World::new(move |seen| hangs(seen, || written(2)));
    world.run(world.client(World::settings(2)).kv2_write("secret", "app", &data(), Some(1))).unwrap();
    assert_eq!(world.elapsed(), SECOND + Duration::from_millis(1));
}

#[test]
fn what_is_sent_once_only_is_given_five_seconds() {
    let world = World::new(|_| Reply::Never);
    let error = world.run(world.client(World::settings(3)).kv2_write("secret", "app", &data(), None)).unwrap_err();
    assert_eq!((error.code(), world.writes()), (Code::Indeterminate, 1));
    assert_eq!(world.seen()[1].at, 5 * SECOND, "then it is looked what is there");
}

#[test]
fn where_all_nodes_hang_each_is_given_more_time_in_every_pass() {
    let world = World::new(|_| Reply::Never);
    let client = world.client(World::settings(3).deadline(20 * SECOND));
    assert_eq!(world.run(client.read(URI)).unwrap_err().code(), Code::DeadlineExceeded);
    let at: Vec<_> = world.seen().iter().map(|seen| seen.at.as_secs_f64().round()).collect();
    assert_eq!(at[..4], [0.0, 1.0, 2.0, 3.0]);
    assert!(at[4..].windows(2).all(|pair| pair[1] - pair[0] >= 2.0), "{at:?}");
}

#[test]
fn nodes_that_are_slow_and_not_down_serve_all_the_same() {
    let world = World::slow(|_| (SECOND * 3 / 2, secret(1)));
    let client = world.client(World::settings(3));
    for _ in 0..20 {
        world.run(client.read(URI)).unwrap();
    }
    // At first all three are left after a second each; then it is known how long they take.
    assert_eq!(world.seen().len(), 20 + 3);
    assert!(world.elapsed() <= SECOND * 35, "{:?}", world.elapsed());
}

#[test]
fn every_node_is_asked_once_before_the_first_wait() {
    let world = World::new(|_| Reply::Fail(FailureKind::Connect));
    let client = world.client(World::settings(3).deadline(2 * SECOND));
    let error = world.run(client.read(URI)).unwrap_err();
    assert_eq!(error.code(), Code::ServerUnreachable);
    let seen = world.seen();
    let mut first: Vec<_> = seen[..3].iter().map(|seen| seen.node.clone()).collect();
    first.sort();
    assert_eq!(first, ["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"]);
    assert!(seen[2].at <= Duration::from_millis(2));
    assert_eq!(error.tries() as usize, seen.len());
    assert!(seen.len() < 60, "an outage is not hammered: {} requests in 2 s", seen.len());
}

#[test]
fn a_write_without_cas_is_never_sent_again_once_bytes_may_have_left() {
    let ambiguous: [fn() -> Reply; 8] = [
        || Reply::Fail(FailureKind::AfterSend),
        || Reply::Fail(FailureKind::Body),
        || Reply::Fail(FailureKind::TooLarge),
        || Reply::Never,
        || errors(500, "boom"),
        || raw(502, "text/html", b"<html>".to_vec()),
        || redirect("http://127.0.0.1:2/v1/secret/data/app"),
        || redirect("http://127.0.0.1:9/v1/secret/data/app"),
    ];
    for (i, reply) in ambiguous.into_iter().enumerate() {
        let world = World::new(move |_| reply());
        let client = world.client(World::settings(2));
        let error = world.run(client.kv2_write("secret", "app", &data(), None)).unwrap_err();
        assert_eq!((i, error.code(), world.writes()), (i, Code::Indeterminate, 1));
    }
}

#[test]
fn a_write_without_cas_is_sent_again_where_it_was_certainly_not_carried_out() {
    let harmless: [fn() -> Reply; 5] = [
        || Reply::Fail(FailureKind::Connect),
        || errors(503, "Vault is sealed"),
        || errors(429, "request path \"x\": rate limit quota exceeded"),
        || errors(500, "local node not active but active cluster node not found"),
        || json(412, r#"{"errors":["required index state not present"]}"#),
    ];
    for reply in harmless {
        let mut first = true;
        let world = World::new(move |_| if std::mem::take(&mut first) { reply() } else { written(1) });
        let client = world.client(World::settings(1));
        assert_eq!(world.run(client.kv2_write("secret", "app", &data(), None)).unwrap().version(), 1);
        assert_eq!(world.seen().len(), 2);
    }
}

#[test]
fn a_phrase_inside_another_text_proves_nothing_about_a_write() {
    let texts = [
        "1 error occurred:\n\t* failed to persist entry: Vault is sealed\n\n",
        "1 error occurred:\n\t* local node not active but active cluster node not found\n\n",
    ];
    for text in texts {
        let world = World::new(move |_| errors(500, text));
        let client = world.client(World::settings(2));
        let error = world.run(client.kv2_write("secret", "app", &data(), None)).unwrap_err();
        assert_eq!((error.code(), world.writes()), (Code::Indeterminate, 1));
        let world = World::new(move |_| errors(500, text));
        let client = world.client(World::settings(2));
        let error = world.run(client.request("POST", "auth/token/create", Some(&data()))).unwrap_err();
        assert_eq!((error.code(), world.seen().len()), (Code::Indeterminate, 1));
    }
}

#[test]
fn a_write_in_doubt_is_not_said_to_have_failed_whatever_comes_after() {
    let after: [fn() -> Reply; 5] = [
        || errors(403, "permission denied"),
        || errors(403, "1 error occurred:\n\t* permission denied\n\n"),
        || errors(404, "no handler for route \"secret/data/app\". route entry not found."),
        || Reply::Fail(FailureKind::Tls),
        || Reply::Fail(FailureKind::Connect),
    ];
    for reply in after {
        let mut first = true;
        let world = World::new(move |_| match std::mem::take(&mut first) {
            true => Reply::Fail(FailureKind::AfterSend),
            false => reply(),
        });
        let client = world.client(World::settings(1));
        let error = world.run(client.kv2_write("secret", "app", &data(), Some(3))).unwrap_err();
        assert_eq!(error.code(), Code::Indeterminate, "{error}");
    }
}

#[test]
fn closing_during_a_write_takes_its_answer_and_else_leaves_it_in_doubt() {
    let closing = |reply: fn() -> Reply| {
        let world = World::slow(move |_| (SECOND, reply()));
        let client = world.client(World::settings(1));
        let value = data();
        let mut write = Box::pin(client.kv2_write("secret", "app", &value, None));
        world.poll_once(&mut write);
        client.close();
        let result = world.run(write).map(|written| written.version()).map_err(|error| error.code());
        assert_eq!(world.seen().len(), 1);
        result
    };
    assert_eq!(closing(|| written(1)), Ok(1));
    assert_eq!(closing(|| Reply::Fail(FailureKind::AfterSend)), Err(Code::Indeterminate));
    assert_eq!(closing(|| Reply::Fail(FailureKind::Connect)), Err(Code::ClientClosed));
}

#[test]
fn a_page_of_a_proxy_is_not_taken_for_a_deletion() {
    let page = |status| World::new(move |_| raw(status, "text/html", b"<html>log in</html>".to_vec()));
    let world = page(200);
    let client = world.client(World::settings(1));
    assert_eq!(world.run(client.delete("openbao+kv2://secret/app")).unwrap_err().code(), Code::Indeterminate);
    let error = world.run(client.delete("openbao+kv2://secret/app?version=2")).unwrap_err();
    assert_eq!(error.code(), Code::Indeterminate);
    let world = World::wrapping(|seen| if seen.method == Method::Get { errors(404, "") } else { json(204, "") });
    let gone = world.run(world.client(World::settings(1)).delete("openbao+kv2://secret/app"));
    assert_eq!(gone.map_err(|error| error.code()), Err(Code::Indeterminate), "no answer of OpenBao's to the look");
}

#[test]
fn answers_that_speak_of_another_version_are_not_believed() {
    let world = World::new(|seen| if seen.body.is_empty() { secret(5) } else { written(2) });
    let client = world.client(World::settings(1));
    assert_eq!(world.run(client.rotate(URI, "new")).unwrap_err().code(), Code::Indeterminate);
    let error = world.run(client.read("openbao+kv2://secret/app?version=3")).unwrap_err();
    assert_eq!(error.code(), Code::MalformedAnswer);
    let error = world.run(client.kv2_read("secret", "app", Some(0), ReadOptions::new())).unwrap_err();
    assert_eq!(error.code(), Code::InvalidVersion);
    let error = world.run(client.kv2_delete("secret", "app", &[1, 0])).unwrap_err();
    assert_eq!(error.code(), Code::InvalidVersion);
}

#[test]
fn a_scalar_for_a_whole_secret_is_refused_before_anything_is_sent() {
    let world = World::new(|_| secret(1));
    let client = world.client(World::settings(1));
    let scalar = SecretValue::from("x");
    assert_eq!(world.run(client.write("openbao+kv2://secret/app", "x")).unwrap_err().code(), Code::InvalidValue);
    let error = world.run(client.kv2_write("secret", "app", &scalar, None)).unwrap_err();
    assert_eq!((error.code(), world.seen().len()), (Code::InvalidValue, 0));
}

/// So many arrays in each other.
fn nested(levels: usize) -> serde_json::Value {
    (1..levels).fold(serde_json::json!([]), |inner, _| serde_json::json!([inner]))
}

#[test]
fn what_could_be_written_and_not_be_read_again_is_refused_before_anything_is_sent() {
    let world = World::new(|seen| if seen.body.is_empty() { secret(1) } else { written(2) });
    let client = world.client(World::settings(1));
    let whole = |levels| SecretValue::from(serde_json::json!({"token": nested(levels)}));
    for error in [
        world.run(client.write("openbao+kv2://secret/app", whole(100))).unwrap_err(),
        world.run(client.write(URI, nested(100))).unwrap_err(),
        world.run(client.rotate(URI, nested(100))).unwrap_err(),
        world.run(client.kv2_write("secret", "app", &whole(100), Some(1))).unwrap_err(),
        world.run(client.request("POST", "secret/data/app", Some(&nested(101).into()))).unwrap_err(),
    ] {
        assert_eq!(error.code(), Code::InvalidValue, "{error}");
    }
    assert!(world.seen().is_empty());
    world.run(client.write("openbao+kv2://secret/app", whole(99))).unwrap();
    world.run(client.write(URI, nested(99))).unwrap();
}

#[test]
fn what_is_nested_as_deep_as_allowed_is_read_back() {
    let deep =
        serde_json::json!({"data": {"data": {"token": nested(99)}, "metadata": {"version": 1, "created_time": ""}}});
    let world = World::new(move |_| json(200, deep.to_string()));
    let client = world.client(World::settings(1));
    assert_eq!(world.run(client.read(URI)).unwrap().expose(), &nested(99));

    let world = World::new(|_| json(200, format!("{}{}", "[".repeat(200), "]".repeat(200))));
    let error = world.run(world.client(World::settings(1)).read(URI)).unwrap_err();
    assert!(error.to_string().contains("nested too deep"), "{error}");
}

#[test]
fn closing_ends_the_waits_of_those_under_way() {
    // One waits for the server's wish, one for a place.
    let world = World::new(|_| retry_after(json(429, r#"{"errors":[]}"#), "20"));
    let client = world.client(World::settings(1).max_concurrent(1));
    let results = world.run_all((0..3).map(|i| {
        let (client, world) = (&client, &world);
        async move {
            if i < 2 {
                return client.read(URI).await.map(drop);
            }
            baokit_core::Host::sleep(world, SECOND).await;
            client.close();
            Ok(())
        }
    }));
    let codes: Vec<_> = results.into_iter().filter_map(|result| Some(result.err()?.code())).collect();
    assert_eq!((codes, world.seen().len()), (vec![Code::ClientClosed; 2], 1));
    assert!(world.elapsed() <= SECOND, "{:?}", world.elapsed());
}

#[test]
fn a_cas_write_without_an_answer_is_sent_again_and_makes_good() {
    let mut first = true;
    let world = World::new(move |_| match std::mem::take(&mut first) {
        true => Reply::Fail(FailureKind::AfterSend),
        false => written(4),
    });
    let client = world.client(World::settings(1));
    assert_eq!(world.run(client.kv2_write("secret", "app", &data(), Some(3))).unwrap().version(), 4);
    assert_eq!(world.seen()[0].body, world.seen()[1].body);
}

#[test]
fn a_mismatch_after_a_lost_answer_is_not_called_a_conflict() {
    let mut first = true;
    let world = World::new(move |_| match std::mem::take(&mut first) {
        true => Reply::Fail(FailureKind::AfterSend),
        false => errors(400, MISMATCH),
    });
    let client = world.client(World::settings(1));
    let error = world.run(client.kv2_write("secret", "app", &data(), Some(3))).unwrap_err();
    assert_eq!(error.code(), Code::Indeterminate);

    let world = World::wrapping(|seen| if seen.method == Method::Get { secret(4) } else { errors(400, MISMATCH) });
    let client = world.client(World::settings(1));
    let error = world.run(client.kv2_write("secret", "app", &data(), Some(3))).unwrap_err();
    assert_eq!((error.code(), world.writes()), (Code::CasConflict, 1));
}

#[test]
fn a_success_that_is_not_openbao_s_leaves_a_write_indeterminate() {
    let world = World::new(|_| raw(200, "text/html", b"<html>welcome".to_vec()));
    let client = world.client(World::settings(1));
    assert_eq!(world.run(client.kv2_write("secret", "app", &data(), Some(0))).unwrap_err().code(), Code::Indeterminate);
}

#[test]
fn retry_after_is_honoured_and_one_beyond_the_deadline_ends_the_call() {
    let throttled =
        |seconds: &'static str| retry_after(json(429, r#"{"errors":["rate limit quota exceeded"]}"#), seconds);
    let mut first = true;
    let world = World::new(move |_| if std::mem::take(&mut first) { throttled("3") } else { secret(1) });
    world.run(world.client(World::settings(1)).read(URI)).unwrap();
    assert!(world.elapsed() >= 3 * SECOND && world.elapsed() < 4 * SECOND);

    let world = World::new(move |_| throttled("60"));
    let error = world.run(world.client(World::settings(1)).read(URI)).unwrap_err();
    assert_eq!((error.code(), world.seen().len()), (Code::RateLimited, 1));
    assert_eq!((error.retry_after(), world.elapsed() < SECOND), (Some(60 * SECOND), true));

    let world = World::new(|_| retry_after(errors(503, "Vault is sealed"), "60"));
    let error = world.run(world.client(World::settings(1)).read(URI)).unwrap_err();
    assert_eq!((error.code(), world.seen().len()), (Code::ServerSealed, 1));
}

#[test]
fn a_node_that_wants_to_be_left_alone_does_not_hold_up_a_call_that_another_can_serve() {
    for status in [429, 503] {
        let world = World::new(move |seen| match seen.node.ends_with(":1") {
            true => retry_after(json(status, r#"{"errors":[]}"#), "3600"),
            false => secret(1),
        });
        world.run(world.client(World::settings(2)).read(URI)).unwrap();
        assert!(world.elapsed() < SECOND);
    }
}

#[test]
fn a_cause_that_is_known_is_not_hidden_by_a_last_try_that_the_deadline_cut_short() {
    let mut count = 0;
    let world = World::new(move |_| {
        count += 1;
        if count < 3 { errors(503, "Vault is sealed") } else { Reply::Never }
    });
    let error = world.run(world.client(World::settings(1).deadline(SECOND)).read(URI)).unwrap_err();
    assert_eq!((error.code(), error.tries()), (Code::ServerSealed, 3));
}

#[test]
fn a_handshake_that_fails_at_every_node_is_not_waited_for() {
    let world = World::new(|_| Reply::Fail(FailureKind::Tls));
    let error = world.run(world.client(World::settings(3)).read(URI)).unwrap_err();
    assert_eq!((error.code(), world.seen().len()), (Code::TlsFailed, 3));
    assert!(world.elapsed() < SECOND);
}

#[test]
fn permanent_refusals_are_not_retried_and_have_codes_of_their_own() {
    let table: [(fn() -> Reply, Code); 14] = [
        (|| json(404, r#"{"errors":[]}"#), Code::SecretNotFound),
        (|| errors(404, "no handler for route \"secret/data/app\". route entry not found."), Code::MountNotFound),
        (|| errors(403, "1 error occurred:\n\t* permission denied\n\n"), Code::PermissionDenied),
        (|| errors(403, "something else"), Code::PermissionDenied),
        (|| errors(403, "permission denied"), Code::AuthenticationFailed),
        (|| errors(400, "something else"), Code::RequestRejected),
        (|| errors(405, "unsupported operation"), Code::NotSupported),
        (|| errors(413, "http: request body too large"), Code::ValueTooLarge),
        (|| errors(503, "Vault is not initialized"), Code::ServerNotInitialized),
        (|| Reply::Fail(FailureKind::TooLarge), Code::AnswerTooLarge),
        (|| Reply::Fail(FailureKind::BeforeSend), Code::Internal),
        (|| raw(404, "text/html", b"<html>not found".to_vec()), Code::MalformedAnswer),
        (|| raw(403, "text/html", b"<html>forbidden".to_vec()), Code::MalformedAnswer),
        (|| json(204, ""), Code::MalformedAnswer),
    ];
    for (reply, code) in table {
        let world = World::new(move |_| reply());
        let error = world.run(world.client(World::settings(1)).read(URI)).unwrap_err();
        assert_eq!((error.code(), world.seen().len()), (code, 1), "{error}");
        assert_eq!(error.node(), Some("http://127.0.0.1:1"), "{error}");
    }
}

#[test]
fn answers_that_openbao_does_not_give_are_named_as_such() {
    let bodies: [(&str, Vec<u8>); 9] = [
        ("application/json", br#"{"data":{"data":{"token":"canary-value""#.to_vec()),
        ("application/json", br#"{"data":{"data":{"token":"x"},"metadata":{"version":"canary-value"}}}"#.to_vec()),
        ("application/json", br#"{"data":"canary-value"}"#.to_vec()),
        ("application/json", b"[]".to_vec()),
        ("application/json", Vec::new()),
        ("application/json", vec![b'x'; 10 << 20]),
        ("text/html", br#"{"data":{"data":{"token":"x"},"metadata":{"version":1,"created_time":""}}}"#.to_vec()),
        ("text/html", b"<html>canary-value".to_vec()),
        ("application/octet-stream", vec![0xff; 10 << 20]),
    ];
    for (kind, body) in bodies {
        let answer = body.clone();
        let world = World::new(move |_| raw(200, kind, answer.clone()));
        let error = world.run(world.client(World::settings(1)).read(URI)).unwrap_err();
        assert_eq!((error.code(), error.subject()), (Code::MalformedAnswer, Some("secret/data/app/api")), "{error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
}

#[test]
fn a_sealed_server_is_asked_until_the_deadline_and_named_then() {
    let world = World::new(|_| errors(503, "Vault is sealed"));
    let error = world.run(world.client(World::settings(1).deadline(3 * SECOND)).read(URI)).unwrap_err();
    assert_eq!(error.code(), Code::ServerSealed);
    assert!(world.elapsed() > SECOND && world.elapsed() <= 3 * SECOND);
}

#[test]
fn no_more_operations_than_allowed_are_in_flight_and_waiting_counts_against_the_deadline() {
    let world = World::slow(|_| (2 * SECOND, secret(1)));
    let client = world.client(World::settings(1).max_concurrent(2).deadline(5 * SECOND));
    let results = world.run_all((0..6).map(|_| client.read(URI)));
    assert_eq!(world.most_in_flight(), 2);
    let codes: Vec<_> =
        results.iter().filter_map(|result| result.as_ref().err()).map(baokit_core::Error::code).collect();
    assert_eq!(codes, [Code::DeadlineExceeded; 2], "the third pair has one second left of the two that it needs");
    assert!(world.elapsed() <= 5 * SECOND);
}

#[test]
fn an_operation_that_waits_for_a_place_is_not_overtaken_by_those_who_come_later() {
    let world = World::new(|_| secret(1));
    let client = world.client(World::settings(1).max_concurrent(1).deadline(SECOND));
    let results = world.run_all((0..2).map(|i| {
        let client = &client;
        async move {
            let rounds = if i == 0 { 5000 } else { 1 };
            for _ in 0..rounds {
                client.read(URI).await?;
            }
            Ok::<_, baokit_core::Error>(())
        }
    }));
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

#[test]
fn a_closed_client_sends_nothing_more() {
    let world = World::new(|_| secret(1));
    let client = world.client(World::settings(1));
    client.close();
    assert_eq!(world.run(client.read(URI)).unwrap_err().code(), Code::ClientClosed);
    assert!(world.seen().is_empty());
}
