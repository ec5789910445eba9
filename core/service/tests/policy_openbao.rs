//! The store in OpenBao, on virtual time against a server that keeps what it is told: a thousand racers in ten
//! processes, answers that are lost, both sides of midnight, the policy that it needs, and what is left in the end.

// The world of these tests is of one thread.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arc_with_non_send_sync)]

#[path = "../../tests/scenario/mod.rs"]
mod scenario;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use baokit_core::config::Credential;
use baokit_core::http::{FailureKind, Method, Response};
use baokit_core::{Host, Now};
use baokit_devserver::model::{Model, Request};
use baokit_service::caller::Caller;
use baokit_service::policy::replay::{check_proof, check_token};
use baokit_service::policy::{Denial, Grant, Key, OpenBaoStore, Store, Taken};
use baokit_service::settings::Settings;
use baokit_service::{Code, Error, Result};
use scenario::{CANARY_TOKEN, Reply, SECOND, Seen, World};
use serde_json::{Value, json};
use zeroize::Zeroizing;

const POLICY: &str = r#"
path "pep/data/state/*"     { capabilities = ["create", "read", "update"] }
path "pep/metadata/state/*" { capabilities = ["list", "delete"] }
"#;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Answered,
    /// Carried out; nobody hears of it.
    AnswerLost,
    /// Not carried out.
    RequestLost,
    /// Carried out after the next request.
    Late,
    Refused,
}

type Judge = Box<dyn FnMut(&Seen) -> Fate>;

struct Bao {
    world: World,
    model: Rc<RefCell<Model>>,
    judge: Rc<RefCell<Judge>>,
    token: String,
}

fn handle(model: &RefCell<Model>, seen: &Seen) -> Reply {
    let method = match seen.method {
        Method::Get => "GET",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        _ => "POST",
    };
    let mut request = Request::new(method, seen.target.clone()).body(seen.body.clone());
    for (name, value) in &seen.headers {
        request = request.header(name, value);
    }
    let answer = model.borrow_mut().handle(Duration::from_secs(1_767_225_600) + seen.at, &request);
    let mut response = Response::new(answer.status, Zeroizing::new(answer.body));
    for (name, value) in &answer.headers {
        response = response.header(name, value.as_bytes());
    }
    Reply::Answer(response)
}

impl Bao {
    fn new() -> Self {
        let model = Rc::new(RefCell::new(Model::new(7, CANARY_TOKEN)));
        let judge: Rc<RefCell<Judge>> = Rc::new(RefCell::new(Box::new(|_| Fate::Answered)));
        let (server, decide, late) = (model.clone(), judge.clone(), RefCell::new(None::<Seen>));
        let world = World::new(move |seen| {
            let fate = (decide.borrow_mut())(seen);
            let before = late.take();
            let reply = match fate {
                Fate::Answered => handle(&server, seen),
                Fate::AnswerLost => {
                    handle(&server, seen);
                    Reply::Fail(FailureKind::AfterSend)
                }
                Fate::RequestLost => Reply::Fail(FailureKind::AfterSend),
                Fate::Late => {
                    *late.borrow_mut() = Some(seen.clone());
                    Reply::Fail(FailureKind::AfterSend)
                }
                Fate::Refused => Reply::Fail(FailureKind::Connect),
            };
            if let Some(before) = before {
                handle(&server, &before);
            }
            reply
        });
        let mut bao = Self { world, model, judge, token: String::new() };
        bao.request("POST", "sys/mounts/pep", &json!({"type": "kv", "options": {"version": "2"}}));
        bao.request("POST", "sys/policies/acl/pep", &json!({"policy": POLICY}));
        let answer = bao.request("POST", "auth/token/create", &json!({"policies": ["pep"], "ttl": "720h"}));
        bao.token = answer["auth"]["client_token"].as_str().unwrap().to_owned();
        bao
    }

    fn request(&self, method: &str, target: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = Request::new(method, format!("/v1/{target}")).token(CANARY_TOKEN).body(body);
        let answer = self.model.borrow_mut().handle(self.world.now().wall, &request);
        serde_json::from_str(&answer.text()).unwrap_or_default()
    }

    fn judge(&self, judge: impl FnMut(&Seen) -> Fate + 'static) {
        *self.judge.borrow_mut() = Box::new(judge);
    }

    /// A process of its own, whose token can do no more than it needs.
    fn process(&self) -> OpenBaoStore<World> {
        let settings = World::settings(1).credential(Credential::token(self.token.clone()));
        OpenBaoStore::new(Arc::new(self.world.client(settings)), "pep", "state").unwrap()
    }

    fn processes(&self, count: usize) -> Vec<OpenBaoStore<World>> {
        (0..count).map(|_| self.process()).collect()
    }

    fn now(&self) -> Now {
        self.world.now()
    }

    fn wait(&self, seconds: u64) {
        self.world.run(self.world.sleep(Duration::from_secs(seconds)));
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let list = self.request("GET", &format!("pep/metadata/{folder}?list=true"), &Value::Null);
        serde_json::from_value(list["data"]["keys"].clone()).unwrap_or_default()
    }

    /// All documents of a kind.
    fn documents(&self, folder: &str) -> Vec<String> {
        let windows = self.names(&format!("state/{folder}/"));
        let below = windows.iter().flat_map(|window| {
            let folder = format!("state/{folder}/{window}");
            self.names(&folder).into_iter().map(move |name| format!("{folder}{name}"))
        });
        below.collect()
    }
}

fn key() -> Key {
    Key::of("grant", &[Some("canary-key")])
}

fn grant(bao: &Bao, uses: u32, seconds: u64) -> Grant {
    let until = bao.now().wall + Duration::from_secs(seconds);
    Grant { sender: None, uses, until, decision_id: Some("d-1".to_owned()), policy_version: None }
}

fn is_write(seen: &Seen) -> bool {
    seen.method == Method::Post && seen.target.contains("/data/")
}

fn put(bao: &Bao, grant: Grant) -> bool {
    bao.world.run(bao.process().put_grant(&key(), grant, bao.now())).unwrap()
}

/// A thousand attempts at once, in ten processes.
fn race<T>(bao: &Bao, attempt: impl AsyncFn(&OpenBaoStore<World>) -> T) -> Vec<T> {
    let stores = bao.processes(10);
    bao.world.run_all((0..1000).map(|i| attempt(&stores[i % 10])))
}

fn uses(results: &[Result<Taken>]) -> usize {
    results.iter().filter(|result| matches!(result, Ok(Taken::Use(_)))).count()
}

#[test]
fn of_a_thousand_racers_in_ten_processes_as_many_win_as_there_are_uses() {
    for count in [1, 7] {
        let bao = Bao::new();
        assert!(put(&bao, grant(&bao, count, 300)));
        let results = race(&bao, async |store| store.take_use(&key(), None, bao.now()).await);
        assert!(results.iter().all(Result::is_ok), "{:?}", results.iter().find(|result| result.is_err()));
        assert_eq!(uses(&results), count as usize);
        let taken = bao.world.run(bao.process().take_use(&key(), None, bao.now())).unwrap();
        assert_eq!(taken, Taken::Nothing);
    }
}

#[test]
fn of_a_thousand_racers_with_the_same_proof_one_wins() {
    let bao = Bao::new();
    let until = bao.now().wall + Duration::from_secs(300);
    let results = race(&bao, async |store| check_proof(store, "k", "1", until, bao.now()).await);
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    let is_replay = |error: &Error| error.code() == Code::ProofReplayed;
    assert!(results.iter().filter_map(|result| result.as_ref().err()).all(is_replay));
}

/// Every request meets a fate by a number that looks random, so that runs differ and can be repeated.
fn troubled(bao: &Bao, seed: u64) {
    let mut state = seed;
    bao.judge(move |seen| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        match (state >> 33) % 10 {
            0 | 1 => Fate::AnswerLost,
            2 => Fate::RequestLost,
            3 if is_write(seen) => Fate::Late,
            _ => Fate::Answered,
        }
    });
}

#[test]
fn where_answers_are_lost_a_use_may_be_lost_and_is_never_given_twice() {
    let mut won = 0;
    for seed in 0..25 {
        let bao = Bao::new();
        assert!(put(&bao, grant(&bao, 3, 300)));
        troubled(&bao, seed);
        let (stores, name) = (bao.processes(4), key());
        let results = bao.world.run_all((0..12).map(|i| stores[i % 4].take_use(&name, None, bao.now())));
        assert!(uses(&results) <= 3, "seed {seed}: {results:?}");
        won += uses(&results);

        let until = bao.now().wall + Duration::from_secs(300);
        let proofs = bao.world.run_all((0..12).map(|i| check_proof(&stores[i % 4], "k", "1", until, bao.now())));
        assert!(proofs.iter().filter(|result| result.is_ok()).count() <= 1, "seed {seed}: {proofs:?}");
    }
    assert!(won > 40, "most go well: {won}");
}

#[test]
fn two_who_take_the_last_use_do_not_take_each_others_write_for_their_own() {
    let bao = Bao::new();
    assert!(put(&bao, grant(&bao, 1, 300)));
    let lost = Cell::new(false);
    // The first write is not carried out and not answered; the other process's is.
    bao.judge(move |seen| match is_write(seen) && !lost.replace(true) {
        true => Fate::RequestLost,
        false => Fate::Answered,
    });
    let (stores, name) = (bao.processes(2), key());
    let results = bao.world.run_all(stores.iter().map(|store| store.take_use(&name, None, bao.now())));
    assert_eq!(uses(&results), 1, "{results:?}");
}

#[test]
fn a_use_whose_answer_was_lost_is_the_callers_own() {
    let bao = Bao::new();
    assert!(put(&bao, grant(&bao, 1, 300)));
    let lost = Cell::new(false);
    bao.judge(move |seen| match is_write(seen) && !lost.replace(true) {
        true => Fate::AnswerLost,
        false => Fate::Answered,
    });
    let taken = bao.world.run(bao.process().take_use(&key(), None, bao.now())).unwrap();
    assert!(matches!(taken, Taken::Use(Grant { uses: 0, .. })), "{taken:?}");
}

#[test]
fn a_grant_is_found_in_the_next_hour_and_ends_within_one() {
    let bao = Bao::new();
    bao.wait(HOUR - 60);
    assert!(put(&bao, grant(&bao, 9, DAY)));
    bao.wait(120);
    let store = bao.process();
    let Taken::Use(left) = bao.world.run(store.take_use(&key(), None, bao.now())).unwrap() else { panic!("none") };
    assert_eq!((left.uses, left.decision_id.as_deref()), (8, Some("d-1")));
    let sender = Key::of("jkt", &[]);
    let other = bao.world.run(store.take_use(&key(), Some(&sender), bao.now())).unwrap();
    assert_eq!(other, Taken::OtherSender);
    bao.wait(HOUR - 120);
    assert_eq!(bao.world.run(store.take_use(&key(), None, bao.now())).unwrap(), Taken::Nothing, "an hour is over");
    let until = bao.now().wall + Duration::from_secs(5);
    let denial = Denial { sender: None, until, decision_id: None, policy_version: Some("p".to_owned()) };
    bao.world.run(store.put_denial(&key(), denial.clone(), bao.now())).unwrap();
    assert_eq!(bao.world.run(bao.process().take_use(&key(), None, bao.now())).unwrap(), Taken::Denied(denial));
    bao.wait(5);
    assert_eq!(bao.world.run(store.take_use(&key(), None, bao.now())).unwrap(), Taken::Nothing);
}

#[test]
fn a_living_grant_is_not_replaced_by_that_of_another_sender_key() {
    let bao = Bao::new();
    let (ours, theirs) = (Key::of("jkt", &[Some("ours")]), Key::of("jkt", &[Some("theirs")]));
    assert!(put(&bao, Grant { sender: Some(ours), ..grant(&bao, 0, 60) }));
    assert!(!put(&bao, Grant { sender: Some(theirs), ..grant(&bao, 5, 60) }));
    assert!(put(&bao, Grant { sender: Some(ours), ..grant(&bao, 5, 60) }));
    bao.wait(60);
    assert!(put(&bao, Grant { sender: Some(theirs), ..grant(&bao, 5, 60) }));
}

#[test]
fn a_token_is_used_once_for_its_time_also_on_both_sides_of_midnight() {
    let lookup = |key: &str| (key == "ANTI_REPLAY_TTL_S").then(|| "300".to_owned());
    let settings = Settings::from_lookup(lookup).unwrap();
    let mut caller = Caller::anonymous();
    caller.token_jti = Some("canary-jti".to_owned());
    let bao = Bao::new();
    // Half of the processes have a clock that is two seconds ahead.
    let seconds = bao.now().wall.as_secs();
    bao.wait(DAY - seconds % DAY - 1);
    let stores = bao.processes(2);
    let attempt = |i: usize| {
        let mut now = bao.now();
        now.wall += SECOND * 2 * (i % 2) as u32;
        check_token(&stores[i % 2], &settings, &caller, now)
    };
    let won = |results: Vec<Result<()>>| results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(won(bao.world.run_all((0..40).map(attempt))), 1);
    bao.wait(290);
    assert_eq!(won(bao.world.run_all((0..4).map(attempt))), 0);
    bao.wait(20);
    assert_eq!(won(bao.world.run_all((0..40).map(attempt))), 1, "its time is over");
}

#[test]
fn what_has_ended_is_deleted_with_its_metadata_by_those_who_write_later() {
    let bao = Bao::new();
    let store = bao.process();
    let mut most = 0;
    for i in 0..400 {
        let jti = i.to_string();
        let until = bao.now().wall + Duration::from_secs(300);
        bao.world.run(check_proof(&store, "k", &jti, until, bao.now())).unwrap();
        let made = Grant { uses: 1, ..grant(&bao, 1, 300) };
        bao.world.run(store.put_grant(&Key::of("grant", &[Some(&jti)]), made, bao.now())).unwrap();
        bao.wait(60);
        most = most.max(bao.documents("used").len());
    }
    // Ten proofs each window, four windows that count, and what is on its way out.
    assert!((30..=60).contains(&most), "{most}");
    assert!((120..=270).contains(&bao.documents("grants").len()), "{}", bao.documents("grants").len());
    let until = bao.now().wall + Duration::from_secs(300);
    let again = bao.world.run(check_proof(&store, "k", "399", until, bao.now()));
    assert_eq!(again.unwrap_err().code(), Code::ProofReplayed, "what lives is left alone");
}

#[test]
fn who_may_not_list_or_delete_is_no_worse_served() {
    let bao = Bao::new();
    let policy = r#"path "pep/data/state/*" { capabilities = ["create", "read", "update"] }"#;
    bao.request("POST", "sys/policies/acl/pep", &json!({"policy": policy}));
    let store = bao.process();
    for jti in ["1", "2", "3"] {
        let until = bao.now().wall + Duration::from_secs(300);
        bao.world.run(check_proof(&store, "k", jti, until, bao.now())).unwrap();
    }
    let lists = bao.world.targets().iter().filter(|target| target.contains("list=true")).count();
    assert_eq!(lists, 1, "it is tried once in each window");
}

#[test]
fn a_server_that_does_not_answer_is_an_error() {
    let bao = Bao::new();
    assert!(put(&bao, grant(&bao, 5, 300)));
    for fate in [Fate::Refused, Fate::RequestLost] {
        bao.judge(move |_| fate);
        let store = bao.process();
        let taken = bao.world.run(store.take_use(&key(), None, bao.now()));
        assert_eq!(taken.unwrap_err().code(), Code::StoreUnreachable);
        let until = bao.now().wall + Duration::from_secs(300);
        let proof = bao.world.run(check_proof(&store, "k", "1", until, bao.now()));
        assert_eq!(proof.unwrap_err().code(), Code::StoreUnreachable);
    }
    // Reads are answered, writes never: one deadline holds for all tries.
    bao.judge(|seen| if is_write(seen) { Fate::RequestLost } else { Fate::Answered });
    let begun = bao.world.elapsed();
    let taken = bao.world.run(bao.process().take_use(&key(), None, bao.now()));
    assert_eq!(taken.unwrap_err().code(), Code::StoreUnreachable);
    assert!(bao.world.elapsed() - begun <= 65 * SECOND, "{:?}", bao.world.elapsed() - begun);
    bao.judge(|_| Fate::Answered);
    bao.request("POST", "sys/policies/acl/pep", &json!({"policy": r#"path "other/*" { capabilities = ["read"] }"#}));
    let error = bao.world.run(bao.process().take_use(&key(), None, bao.now())).unwrap_err();
    assert_eq!(error.code(), Code::StoreUnreachable);
    assert!(error.to_string().contains("PERMISSION_DENIED"), "{error}");
}

#[test]
fn what_is_there_and_not_its_own_is_an_error() {
    let bao = Bao::new();
    assert!(put(&bao, grant(&bao, 5, 300)));
    let path = bao.documents("grants").pop().unwrap();
    let foreign = [
        json!({"kind": "used", "until_ms": 9_000_000_000_000_u64}),
        json!({"kind": "grant", "until_ms": 9_000_000_000_000_u64}),
        json!({"kind": "grant", "until_ms": 9_000_000_000_000_u64, "uses": 1, "sender": "x"}),
        json!({"kind": "grant", "until_ms": 9_000_000_000_000_u64, "uses": -1}),
        json!({}),
    ];
    for data in foreign {
        bao.request("POST", &format!("pep/data/{path}"), &json!({"data": data}));
        let taken = bao.world.run(bao.process().take_use(&key(), None, bao.now()));
        assert_eq!(taken.unwrap_err().code(), Code::StoreUnreachable, "{data}");
    }
    let client = || Arc::new(bao.world.client(World::settings(1)));
    for (mount, prefix) in [("pep", ""), ("pep", "a//b"), ("pep", "../x"), ("", "state"), ("a/../b", "state")] {
        assert!(OpenBaoStore::new(client(), mount, prefix).is_err(), "{mount} {prefix}");
    }
}

#[test]
fn documents_hold_hashes_and_numbers_and_nothing_of_the_caller() {
    let bao = Bao::new();
    assert!(put(&bao, Grant { sender: Some(Key::of("jkt", &[Some("canary-thumb")])), ..grant(&bao, 2, 300) }));
    let until = bao.now().wall + Duration::from_secs(300);
    bao.world.run(check_proof(&bao.process(), "canary-jkt", "canary-jti", until, bao.now())).unwrap();
    for seen in bao.world.seen() {
        assert!(!seen.target.contains("canary") && !seen.body.contains("canary"), "{} {}", seen.target, seen.body);
    }
    let path = bao.documents("grants").pop().unwrap();
    let data = bao.request("GET", &format!("pep/data/{path}"), &Value::Null)["data"]["data"].clone();
    let fields: Vec<_> = data.as_object().unwrap().keys().cloned().collect();
    assert_eq!(fields, ["decision_id", "kind", "sender", "until_ms", "uses", "writer"]);
}
