//! Every way to a token, on virtual time: what is sent, what is read from files and when, what is unwrapped
//! once, and what becomes of it where an answer is lost.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod scenario;

use std::cell::Cell;
use std::rc::Rc;

use baokit_core::config::{Credential, JwtSource, SERVICE_ACCOUNT_TOKEN};
use baokit_core::http::FailureKind;
use baokit_core::{Client, Code, Result};
use base64ct::{Base64UrlUnpadded, Encoding};
use scenario::{CANARY_SECRET_ID, CANARY_WRAP, Reply, SECOND, Seen, World, errors, json, logged_in, secret};

const URI: &str = "openbao+kv2://secret/app/api#token";
const UNWRAP: &str = "/v1/sys/wrapping/unwrap";
const LOOKUP: &str = "/v1/sys/wrapping/lookup";
const FILE: &str = "/run/openbao/token";

fn client(world: &World, credential: Result<Credential>) -> Client<World> {
    world.client(World::settings(1).credential(credential.unwrap()).max_concurrent(1000))
}

/// A server that lets everybody in.
fn open_door() -> impl FnMut(&Seen) -> Reply {
    |seen| if seen.target.starts_with("/v1/auth/") { logged_in(1, 3600) } else { secret(1) }
}

#[test]
fn each_method_logs_in_at_its_own_end_point_with_its_own_parameters() {
    let world = World::new(open_door());
    world.put_file(SERVICE_ACCOUNT_TOKEN, "pod.canary.jwt");
    let cases = [
        (Credential::app_role("r", "s"), "approle/login", r#"{"role_id":"r","secret_id":"s"}"#),
        (Credential::user_pass("ann", "pass word"), "userpass/login/ann", r#"{"password":"pass word"}"#),
        (Credential::jwt("ci", "a.b.c"), "jwt/login", r#"{"role":"ci","jwt":"a.b.c"}"#),
        (Credential::kubernetes("app"), "kubernetes/login", r#"{"role":"app","jwt":"pod.canary.jwt"}"#),
        (Credential::certificate(None), "cert/login", "{}"),
        (Credential::certificate(Some("web".into())), "cert/login", r#"{"name":"web"}"#),
        (
            Credential::user_pass("ann", "p").and_then(|it| it.at("team/people")),
            "team/people/login/ann",
            r#"{"password":"p"}"#,
        ),
    ];
    for (credential, target, body) in cases {
        let before = world.seen().len();
        world.run(client(&world, credential).read(URI)).unwrap();
        let login = &world.seen()[before];
        assert_eq!((login.target.as_str(), login.body.as_str()), (format!("/v1/auth/{target}").as_str(), body));
        assert_eq!(login.token, None);
    }
}

#[test]
fn a_refused_log_in_is_a_failed_authentication_in_every_method_s_words() {
    for text in ["invalid username or password", "invalid role name \"x\"", "no client certificate found", "anything"] {
        let world = World::new(move |_| errors(400, text));
        let error = world.run(client(&world, Credential::user_pass("ann", "p")).read(URI)).unwrap_err();
        assert_eq!(error.code(), Code::AuthenticationFailed, "{text}");
        assert_eq!(error.subject(), Some("auth/userpass/login/ann"));
    }
}

/// A server that knows one token at a time.
fn knows(token: &Rc<Cell<&'static str>>) -> impl FnMut(&Seen) -> Reply + use<> {
    let token = token.clone();
    move |seen| if seen.token.as_deref() == Some(token.get()) { secret(1) } else { errors(403, "permission denied") }
}

#[test]
fn a_token_file_is_read_at_the_first_need_and_again_when_its_token_is_dead() {
    let good = Rc::new(Cell::new("first"));
    let world = World::new(knows(&good));
    let client = client(&world, Ok(Credential::token_file(FILE)));
    let error = world.run(client.read(URI)).unwrap_err();
    assert_eq!((error.code(), error.subject()), (Code::InvalidSetting, Some(FILE)));
    assert!(error.to_string().contains("No such file"), "{error}");

    world.put_file(FILE, "first\n");
    world.run(client.read(URI)).unwrap();
    world.run(client.read(URI)).unwrap();
    assert_eq!((world.loads(), world.seen().len()), (2, 2), "one failed, one for both reads");

    good.set("second");
    world.put_file(FILE, "second\r\n");
    world.run(client.read(URI)).unwrap();
    assert_eq!((world.loads(), world.seen().len()), (3, 4));
}

#[test]
fn a_file_that_still_holds_the_dead_token_ends_the_operation_and_says_so() {
    let good = Rc::new(Cell::new("first"));
    let world = World::new(knows(&good));
    world.put_file(FILE, "canary-stale");
    let client = client(&world, Ok(Credential::token_file(FILE)));
    let error = world.run(client.read(URI)).unwrap_err();
    assert_eq!((error.code(), error.subject()), (Code::AuthenticationFailed, Some(FILE)));
    assert!(error.to_string().contains("still holds") && !error.to_string().contains("canary"), "{error}");
    assert_eq!((world.loads(), world.seen().len()), (2, 1));

    // Nothing of it sticks: the next operation begins anew.
    world.put_file(FILE, "first");
    world.run(client.read(URI)).unwrap();
}

#[test]
fn what_a_file_holds_is_never_shown_and_must_be_a_token() {
    for (text, reason) in [("", "empty"), ("canary token", "visible ASCII"), ("canary\n\n", "line break")] {
        let world = World::new(open_door());
        world.put_file(FILE, text);
        let error = world.run(client(&world, Ok(Credential::token_file(FILE))).read(URI)).unwrap_err();
        assert_eq!((error.code(), world.seen().len()), (Code::InvalidSetting, 0), "{text:?}");
        assert!(error.to_string().contains(reason) && !error.to_string().contains("canary"), "{error}");
    }
}

#[test]
fn the_service_account_s_token_is_read_afresh_at_every_log_in() {
    let world = World::new(move |seen| match seen.target.starts_with("/v1/auth/") {
        true => logged_in(if seen.body.contains("one") { 1 } else { 2 }, 3600),
        false if seen.token.as_deref() == Some("hvs.canary-token-2") => secret(1),
        false => errors(403, "permission denied"),
    });
    world.put_file(SERVICE_ACCOUNT_TOKEN, "one");
    let client = client(&world, Credential::kubernetes("app"));
    assert_eq!(world.run(client.read(URI)).unwrap_err().code(), Code::AuthenticationFailed);
    world.put_file(SERVICE_ACCOUNT_TOKEN, "two");
    world.run(client.read(URI)).unwrap();
    assert_eq!(world.loads(), 3, "at the first, when it died, and when it died again");
}

#[test]
fn a_thousand_operations_make_one_read_of_the_file_and_one_log_in() {
    let world = World::new(open_door());
    world.put_file(SERVICE_ACCOUNT_TOKEN, "pod");
    let client = client(&world, Credential::kubernetes("app"));
    let results = world.run_all((0..1000).map(|_| client.read(URI)));
    assert!(results.iter().all(Result::is_ok));
    assert_eq!((world.loads(), world.seen().len()), (1, 1001));
}

#[test]
fn a_jwt_from_a_file_replaces_a_token_that_can_not_be_renewed() {
    let mut count = 0;
    let world = World::new(move |seen| match seen.target.starts_with("/v1/auth/") {
        true => {
            count += 1;
            json(200, format!(r#"{{"auth":{{"client_token":"t-{count}","lease_duration":300,"renewable":false}}}}"#))
        }
        false => secret(1),
    });
    world.put_file("/jwt", "a.b.c");
    let client = client(&world, Credential::jwt_file("ci", "/jwt"));
    world.run(async {
        client.read(URI).await.unwrap();
        baokit_core::Host::sleep(&world, 290 * SECOND / 1).await;
        client.read(URI).await.unwrap();
    });
    let tokens: Vec<_> = world.seen().into_iter().filter_map(|seen| seen.token).collect();
    assert_eq!((tokens, world.loads()), (vec!["t-1".to_owned(), "t-2".to_owned()], 2));
}

/// A server that holds a wrapped secret id, made at this path.
fn wrapping(path: &'static str) -> impl FnMut(&Seen) -> Reply {
    let (mut spent, mut logins) = (false, 0);
    move |seen| match seen.target.as_str() {
        LOOKUP => json(
            200,
            format!(
                r#"{{"data":{{"creation_path":"{path}","creation_time":"2026-01-01T00:00:00Z","creation_ttl":60}}}}"#
            ),
        ),
        UNWRAP if std::mem::replace(&mut spent, true) => errors(400, "wrapping token is not valid or does not exist"),
        UNWRAP => json(200, format!(r#"{{"data":{{"secret_id":"{CANARY_SECRET_ID}","secret_id_accessor":"a"}}}}"#)),
        target if target.starts_with("/v1/auth/") => {
            logins += 1;
            logged_in(logins, 3600)
        }
        // The first token dies.
        _ if seen.token.as_deref() == Some("hvs.canary-token-1") && logins == 1 => errors(403, "permission denied"),
        _ => secret(1),
    }
}

fn wrapped(role: Option<&str>) -> Result<Credential> {
    Credential::wrapped_app_role("role", CANARY_WRAP, role)
}

#[test]
fn a_wrapped_secret_id_is_looked_at_and_unwrapped_once_and_kept_for_later_log_ins() {
    let world = World::new(wrapping("auth/approle/role/app/secret-id"));
    let client = client(&world, wrapped(Some("app")));
    let results = world.run_all((0..10).map(|_| client.read(URI)));
    assert!(results.iter().all(Result::is_ok));
    let seen = world.seen();
    assert_eq!((seen[0].target.as_str(), seen[1].target.as_str()), (LOOKUP, UNWRAP));
    assert_eq!((seen[0].token.as_deref(), seen[1].token.as_deref()), (None, Some(CANARY_WRAP)));
    assert_eq!(seen[2].body, format!(r#"{{"role_id":"role","secret_id":"{CANARY_SECRET_ID}"}}"#));
    let count = |target: &str| seen.iter().filter(|seen| seen.target == target).count();
    assert_eq!((count(LOOKUP), count(UNWRAP), count("/v1/auth/approle/login")), (1, 1, 2));
}

#[test]
fn a_wrapping_token_that_was_made_for_something_else_is_not_unwrapped() {
    for path in ["sys/wrapping/wrap", "auth/approle/role/other/secret-id", "auth/else/role/app/secret-id"] {
        let world = World::new(wrapping(path));
        let error = world.run(client(&world, wrapped(Some("app"))).read(URI)).unwrap_err();
        assert_eq!(error.code(), Code::AuthenticationFailed);
        assert_eq!(error.subject(), Some("auth/approle/role/app/secret-id"));
        assert!(error.to_string().contains("made for something else"), "{error}");
        assert_eq!(world.targets(), [LOOKUP]);
    }
}

#[test]
fn one_that_was_unwrapped_before_is_an_alarm_and_no_retry() {
    let world = World::new(|_| errors(400, "wrapping token is not valid or does not exist"));
    for role in [None, Some("app")] {
        let before = world.seen().len();
        let error = world.run(client(&world, wrapped(role)).read(URI)).unwrap_err();
        assert_eq!((error.code(), world.seen().len() - before), (Code::WrappingTokenSpent, 1));
        let text = error.to_string();
        assert!(text.contains("perhaps by somebody else") && text.contains("issue another"), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }
}

#[test]
fn a_lost_answer_to_the_unwrapping_is_told_and_not_asked_for_again() {
    let mut lost = false;
    let mut server = wrapping("");
    let world = World::new(move |seen| {
        let reply = server(seen);
        if seen.target == UNWRAP && !std::mem::replace(&mut lost, true) {
            Reply::Fail(FailureKind::AfterSend)
        } else {
            reply
        }
    });
    let client = client(&world, wrapped(None));
    let error = world.run(client.read(URI)).unwrap_err();
    assert_eq!((error.code(), world.targets().len()), (Code::Indeterminate, 1));
    assert!(error.to_string().contains("the secret id most likely with it"), "{error}");
    // Who looks again is told that it was no thief, most likely.
    let error = world.run(client.read(URI)).unwrap_err();
    assert_eq!(error.code(), Code::WrappingTokenSpent);
    assert!(error.to_string().contains("its own, perhaps"), "{error}");
}

#[test]
fn who_goes_away_while_it_is_unwrapped_leaves_the_same_word() {
    let mut server = wrapping("");
    let world = World::new(move |seen| {
        let reply = server(seen);
        if seen.at < SECOND { Reply::Never } else { reply }
    });
    let client = client(&world, wrapped(None));
    let mut first = Box::pin(client.read(URI));
    world.poll_once(&mut first);
    drop(first);
    let error = world.run(async {
        baokit_core::Host::sleep(&world, SECOND).await;
        client.read(URI).await.unwrap_err()
    });
    assert!(error.to_string().contains("its own, perhaps"), "{error}");
}

fn parameter(text: &str) -> serde_json::Value {
    serde_json::from_slice(&Base64UrlUnpadded::decode_vec(text).unwrap()).unwrap()
}

#[test]
fn inline_auth_goes_along_with_every_request_in_place_of_a_token() {
    let world = World::wrapping(|_| secret(1));
    let credential = Credential::app_role("r", CANARY_SECRET_ID).unwrap().inline();
    let client = world.client(World::settings(1).namespace("team").credential(credential));
    world.run(client.read(URI)).unwrap();
    world.run(client.kv2_read_strongly()).unwrap();
    let seen = world.seen();
    assert_eq!(seen.len(), 3, "a read, a wrapped one, and its unwrapping");
    for seen in seen.iter().filter(|seen| seen.target != UNWRAP) {
        assert_eq!(seen.token, None);
        assert_eq!(seen.header("x-vault-inline-auth-path"), Some("auth/approle/login"));
        assert_eq!(seen.header("x-vault-inline-auth-namespace"), Some("team"));
        let one = parameter(seen.header("x-vault-inline-auth-parameter-1").unwrap());
        let two = parameter(seen.header("x-vault-inline-auth-parameter-2").unwrap());
        assert_eq!(one, serde_json::json!({"key": "role_id", "value": "r"}));
        assert_eq!(two, serde_json::json!({"key": "secret_id", "value": CANARY_SECRET_ID}));
    }
    let unwrapping = seen.iter().find(|seen| seen.target == UNWRAP).unwrap();
    assert_eq!(unwrapping.header("x-vault-inline-auth-path"), None, "a token and a log-in are refused together");
}

trait Strongly {
    async fn kv2_read_strongly(&self) -> Result<()>;
}

impl Strongly for Client<World> {
    async fn kv2_read_strongly(&self) -> Result<()> {
        self.read_with(URI, baokit_core::ReadOptions::new().strong()).await.map(drop)
    }
}

#[test]
fn a_refused_inline_log_in_is_a_failed_authentication_without_a_second_try() {
    let refusals: [fn() -> Reply; 6] = [
        || errors(403, "permission denied"),
        || errors(400, "invalid role or secret ID"),
        || errors(400, "invalid username or password"),
        || errors(400, "error validating token: invalid expiration time (exp) claim: token is expired"),
        || errors(403, "failed to perform inline authentication: permission denied"),
        || errors(403, "failed to perform inline authentication: service account name not authorized"),
    ];
    for refusal in refusals {
        let world = World::new(move |_| refusal());
        let client = client(&world, Ok(Credential::user_pass("ann", "canary").unwrap().inline()));
        for tries in 1..=2 {
            let error = world.run(client.read(URI)).unwrap_err();
            assert_eq!((error.code(), world.seen().len()), (Code::AuthenticationFailed, tries));
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }
}

#[test]
fn inline_with_a_file_reads_it_again_where_it_is_refused() {
    let world = World::new(|seen| {
        let jwt = parameter(seen.header("x-vault-inline-auth-parameter-2").unwrap());
        if jwt["value"] == "new" { secret(1) } else { errors(400, "error validating token: token is expired") }
    });
    world.put_file(SERVICE_ACCOUNT_TOKEN, "old");
    let client = client(&world, Credential::kubernetes("app").map(Credential::inline));
    let error = world.run(client.read(URI)).unwrap_err();
    assert!(error.to_string().contains("still holds"), "{error}");
    assert_eq!((world.loads(), world.seen().len()), (2, 1));
    world.put_file(SERVICE_ACCOUNT_TOKEN, "new");
    world.run(client.read(URI)).unwrap();
}

#[test]
fn revoking_the_client_s_own_token_asks_nobody_where_there_is_none() {
    let world = World::new(|_| secret(1));
    let client = client(&world, Credential::app_role("r", "s").map(Credential::inline));
    world.run(client.read(URI)).unwrap();
    world.run(client.revoke_self()).unwrap();
    assert_eq!(world.seen().len(), 1);
    assert_eq!(world.run(client.read(URI)).unwrap_err().code(), Code::ClientClosed);
}

#[test]
fn no_debug_shows_a_secret_part() {
    let credentials = [
        Credential::token("canary"),
        Credential::app_role("canary", "canary").unwrap(),
        Credential::wrapped_app_role("canary", "canary", Some("app")).unwrap(),
        Credential::user_pass("ann", "canary").unwrap(),
        Credential::jwt("ci", "canary").unwrap(),
        Credential::app_role("canary", "canary").unwrap().inline(),
    ];
    for credential in credentials {
        assert!(!format!("{credential:?}").contains("canary"), "{credential:?}");
        let settings = World::settings(1).credential(credential).build().unwrap();
        assert!(!format!("{settings:?} {}", settings.describe()).contains("canary"));
    }
    assert!(format!("{:?}", Credential::token_file(FILE)).contains(FILE));
}

#[test]
fn what_can_not_be_a_credential_is_refused_when_the_settings_are_made() {
    let long = "x".repeat(8193);
    let jwt = |path: &str| Credential::jwt_file("ci", path).unwrap();
    let refused = [
        (Credential::token_file(""), "token_file"),
        (Credential::user_pass("ann", "").unwrap(), "password"),
        (Credential::user_pass("ann", long.as_str()).unwrap(), "password"),
        (Credential::jwt("ci", "a b\n").unwrap(), "jwt"),
        (jwt("a\nb"), "jwt_file"),
        (Credential::wrapped_app_role("r", "a b", None).unwrap(), "wrapping_token"),
        (Credential::token("t").inline(), "inline"),
        (Credential::certificate(None).unwrap().inline(), "inline"),
        (wrapped(None).unwrap().inline(), "inline"),
    ];
    for (credential, key) in refused {
        let error = World::settings(1).credential(credential).build().unwrap_err();
        assert_eq!((error.code(), error.subject()), (Code::InvalidSetting, Some(key)));
    }
    assert_eq!(Credential::user_pass("a/b", "p").unwrap_err().code(), Code::IllegalSegment);
    assert!(matches!(jwt("/x"), Credential::Jwt { jwt: JwtSource::File(_), .. }));
}

#[test]
fn a_leader_that_is_late_with_the_secret_id_leaves_the_log_in_to_the_one_that_took_over() {
    let (spent, mut log_ins) = (std::cell::Cell::new(false), 0);
    let world = World::new(move |seen| match seen.target.as_str() {
        "/v1/sys/wrapping/unwrap" if spent.replace(true) => {
            scenario::errors(400, "wrapping token is not valid or does not exist")
        }
        "/v1/sys/wrapping/unwrap" => scenario::json(200, r#"{"data":{"secret_id":"unwrapped"}}"#),
        "/v1/auth/approle/login" => {
            // It may be used once.
            log_ins += 1;
            if log_ins > 1 { scenario::errors(400, "invalid role or secret ID") } else { scenario::logged_in(1, 3600) }
        }
        _ => scenario::secret(1),
    });
    let credential = Credential::wrapped_app_role("role", scenario::CANARY_WRAP, None).unwrap();
    let client = world.client(World::settings(1).credential(credential));
    let uri = "openbao+kv2://secret/app";
    let mut first = Box::pin(client.read(uri));
    world.poll_once(&mut first);
    // Nobody polls it for longer than a flight's lease.
    world.run(baokit_core::Host::sleep(&world, 7 * scenario::SECOND));
    let mut second = Box::pin(client.read(uri));
    world.poll_once(&mut second);
    let both = world.run_all([first, second]);
    assert!(both.iter().all(Result::is_ok), "{both:?}");
    assert_eq!(world.targets().iter().filter(|target| target.ends_with("/login")).count(), 1);
}
