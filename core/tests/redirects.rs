//! What the machine does with redirects: where it follows one, and what it makes of the others, on virtual time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod scenario;

use baokit_core::config::Credential;
use baokit_core::{Code, SecretValue};
use scenario::{CANARY_SECRET_ID, CANARY_TOKEN, CANARY_VALUE, SECOND, World, redirect, secret};

const URI: &str = "openbao+kv2://secret/app/api#token";

fn data() -> SecretValue {
    SecretValue::from(serde_json::json!({"token": "new"}))
}

#[test]
fn a_redirect_is_followed_to_a_configured_node_with_the_same_target_only() {
    let world = World::new(|seen| match seen.node.ends_with(":1") {
        true => redirect(&format!("http://127.0.0.1:2{}", seen.target)),
        false => secret(1),
    });
    let client = world.client(World::settings(2));
    world.run(client.read("openbao+kv2://secret/a%20b?version=1")).unwrap();
    assert_eq!(world.targets(), ["/v1/secret/data/a%20b?version=1"; 2]);
}

#[test]
fn a_redirect_to_a_stranger_is_never_followed_and_the_stranger_is_named() {
    let world = World::new(|seen| redirect(&format!("http://stranger.example:80{}", seen.target)));
    let client = world.client(World::settings(2).deadline(SECOND));
    let error = world.run(client.read(URI)).unwrap_err();
    assert_eq!((error.code(), error.subject()), (Code::RedirectRefused, Some("http://stranger.example:80")));
    assert!(world.seen().iter().all(|seen| seen.node.starts_with("http://127.0.0.1:")));
}

#[test]
fn a_redirect_to_another_path_ends_the_call_at_once() {
    for location in [
        "/v1/secret/data/other",
        "../x",
        "http://127.0.0.1:2/v1/secret/data/other",
        "http://127.0.0.1:2/v1/secret/data/app/api?x=1",
    ] {
        let world = World::new(move |_| redirect(location));
        let client = world.client(World::settings(2));
        let error = world.run(client.read(URI)).unwrap_err();
        assert_eq!((location, error.code(), world.seen().len()), (location, Code::PathRewritten, 1));
    }
}

#[test]
fn a_redirect_to_what_is_no_node_s_address_is_refused_and_leaves_a_write_in_doubt() {
    for location in [
        "//127.0.0.1:2/v1/secret/data/app",
        "http://127.0.0.1.:2/v1/secret/data/app",
        "http://user@127.0.0.1:2/v1/secret/data/app",
        "http://127.0.0.1:02/v1/secret/data/app",
        "ftp://127.0.0.1:2/v1/secret/data/app",
    ] {
        let world = World::new(move |_| redirect(location));
        let client = world.client(World::settings(2).deadline(SECOND));
        assert_eq!(world.run(client.read("openbao+kv2://secret/app")).unwrap_err().code(), Code::RedirectRefused);
        let error = world.run(client.kv2_write("secret", "app", &data(), None)).unwrap_err();
        assert_eq!(error.code(), Code::Indeterminate, "{location}");
    }
}

#[test]
fn a_server_that_puts_the_token_into_a_redirect_s_host_does_not_get_it_shown() {
    let world = World::new(|seen| redirect(&format!("http://{CANARY_TOKEN}.example{}", seen.target)));
    let error = world.run(world.client(World::settings(1).deadline(SECOND)).read(URI)).unwrap_err();
    assert_eq!((error.code(), error.subject()), (Code::RedirectRefused, Some("secret/data/app/api")));
}

#[test]
fn a_server_that_puts_a_secret_of_the_request_into_a_redirect_s_host_does_not_get_it_shown() {
    let errs = |secret: &'static str, credential: Credential, cas: Option<u64>| {
        let world = World::new(move |seen| redirect(&format!("http://a.{secret}.example{}", seen.target)));
        let client = world.client(World::settings(1).credential(credential).deadline(SECOND));
        let data = SecretValue::from(serde_json::json!({"token": ["\u{e9}\"", CANARY_VALUE, "pin"], "n": 123_456_789}));
        let error = match cas {
            Some(cas) => world.run(client.kv2_write("secret", "app", &data, Some(cas))).unwrap_err(),
            None => world.run(client.read(URI)).unwrap_err(),
        };
        (error.subject().unwrap().to_owned(), format!("{error} {error:?}").to_ascii_lowercase())
    };
    let role = || Credential::app_role("Canary-Role", CANARY_SECRET_ID).unwrap();
    let user = Credential::user_pass("ada", "Canary-Password").unwrap();
    let jwt = Credential::jwt("role", "Canary.Jwt.Token").unwrap();
    let inline = Credential::inline;
    for (secret, credential, cas, subject) in [
        (CANARY_VALUE, Credential::token(CANARY_TOKEN), Some(0), "secret/data/app"),
        (CANARY_TOKEN, Credential::token(CANARY_TOKEN), Some(0), "secret/data/app"),
        ("canary-role", role(), None, "auth/approle/login"),
        (CANARY_SECRET_ID, role(), None, "auth/approle/login"),
        ("canary-role", inline(role()), None, "secret/data/app/api"),
        (CANARY_SECRET_ID, inline(role()), None, "secret/data/app/api"),
        ("canary-password", inline(user), None, "secret/data/app/api"),
        ("canary.jwt.token", inline(jwt), None, "secret/data/app/api"),
        // A number, a short text and a part of a text.
        ("123456789", Credential::token(CANARY_TOKEN), Some(0), "secret/data/app"),
        ("pin", Credential::token(CANARY_TOKEN), Some(0), "secret/data/app"),
        ("anary-va", Credential::token(CANARY_TOKEN), Some(0), "secret/data/app"),
    ] {
        let (about, text) = errs(secret, credential, cas);
        assert_eq!(about, subject, "{secret}");
        assert!(!text.contains(&*secret.to_ascii_lowercase()), "{text}");
    }
    // A request without a secret in it names the address: whoever runs the cluster has to know.
    let (about, _) = errs("stranger", Credential::token(CANARY_TOKEN), None);
    assert_eq!(about, "http://a.stranger.example:80");
}

#[test]
fn nodes_that_redirect_to_each_other_do_not_make_a_loop() {
    let world = World::new(|seen| {
        let other = if seen.node.ends_with(":1") { 2 } else { 1 };
        redirect(&format!("http://127.0.0.1:{other}{}", seen.target))
    });
    let client = world.client(World::settings(2).deadline(SECOND));
    assert_eq!(world.run(client.read(URI)).unwrap_err().code(), Code::NoLeader);
    assert!(world.seen().len() < 60, "{}", world.seen().len());
}
