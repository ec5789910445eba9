//! Grants, denials, replay and scopes in the memory of one process: what they are bound to, how often and how long
//! they hold, who is refused; and a thousand threads that race for one use.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use baokit_core::Now;
use baokit_service::caller::{Caller, SenderKey};
use baokit_service::policy::replay::{check_proof, check_token};
use baokit_service::policy::{
    Basis, Binding, Decision, Denial, Grant, Grants, Key, MemoryStore, Outcome, Store, Taken, check_audience,
    check_scope,
};
use baokit_service::purpose::Purpose;
use baokit_service::settings::Settings;
use baokit_service::{Code, Result};
use proptest::prelude::*;

const URI: &str = "openbao+kv2://secret/app/api#token";
const EPOCH: u64 = 1_800_000_000;

/// The memory store never waits.
fn now_or_never<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

fn at(seconds: u64) -> Now {
    Now { monotonic: Duration::from_secs(seconds), wall: Duration::from_secs(EPOCH + seconds) }
}

fn settings(pairs: &[(&str, &str)]) -> Settings {
    let lookup = |key: &str| pairs.iter().find(|(known, _)| *known == key).map(|(_, value)| (*value).to_owned());
    Settings::from_lookup(lookup).unwrap()
}

fn caller() -> Caller {
    let mut caller = Caller::anonymous();
    caller.subject = Some("ada".to_owned());
    caller.issuer = Some("https://issuer.example".to_owned());
    caller.client_id = Some("cli".to_owned());
    caller.audience = vec!["crud.secrets".to_owned()];
    caller.token_jti = Some("jti-1".to_owned());
    caller.token_hash = Some([1; 32]);
    caller.sender_key = Some(SenderKey::Jkt("thumb".to_owned()));
    caller
}

fn bound(caller: &Caller) -> Binding {
    Binding::new("dev", caller, Purpose::Execute, URI)
}

fn permit(ttl: Option<u64>, max_uses: Option<u32>) -> Decision {
    Decision {
        permit: true,
        ttl: ttl.map(Duration::from_secs),
        max_uses,
        decision_id: Some("d-1".to_owned()),
        policy_version: Some("p-1".to_owned()),
    }
}

struct Pep {
    store: MemoryStore,
    grants: Grants,
}

impl Pep {
    fn new(pairs: &[(&str, &str)]) -> Self {
        Self { store: MemoryStore::new(), grants: Grants::new(&settings(pairs)) }
    }

    fn find(&self, caller: &Caller, now: Now) -> Result<Outcome> {
        now_or_never(self.grants.find(&self.store, &bound(caller), now))
    }

    fn keep(&self, caller: &Caller, decision: &Decision, now: Now) -> Result<Outcome> {
        now_or_never(self.grants.keep(&self.store, &bound(caller), decision, now))
    }

    /// How many uses are left.
    fn uses(&self, caller: &Caller, now: Now) -> usize {
        (0..100).take_while(|_| matches!(self.find(caller, now), Ok(Outcome::Granted(_)))).count()
    }
}

fn known() -> Basis {
    Basis { decision_id: Some("d-1".to_owned()), policy_version: Some("p-1".to_owned()), is_known: true }
}

#[test]
fn the_permit_that_makes_a_grant_is_its_first_use() {
    let pep = Pep::new(&[]);
    let caller = caller();
    assert_eq!(pep.find(&caller, at(0)).unwrap(), Outcome::NotKnown);
    let basis = Basis { is_known: false, ..known() };
    assert_eq!(pep.keep(&caller, &permit(None, Some(3)), at(0)).unwrap(), Outcome::Granted(basis));
    assert_eq!(pep.find(&caller, at(1)).unwrap(), Outcome::Granted(known()));
    assert_eq!(pep.find(&caller, at(2)).unwrap(), Outcome::Granted(known()));
    assert_eq!(pep.find(&caller, at(3)).unwrap(), Outcome::NotKnown, "three uses, the permit among them");
    pep.keep(&caller, &permit(None, None), at(4)).unwrap();
    assert_eq!(pep.uses(&caller, at(4)), 0, "one use by default");
    let pep = Pep::new(&[("GRANT_MAX_USES_DEFAULT", "5")]);
    pep.keep(&caller, &permit(None, None), at(0)).unwrap();
    assert_eq!(pep.uses(&caller, at(0)), 4);
}

#[test]
fn a_grant_ends_with_its_ttl_and_never_after_the_token() {
    let pep = Pep::new(&[("GRANT_TTL_DEFAULT", "300")]);
    let mut caller = caller();
    pep.keep(&caller, &permit(None, Some(9)), at(0)).unwrap();
    assert!(matches!(pep.find(&caller, at(299)).unwrap(), Outcome::Granted(_)));
    assert_eq!(pep.find(&caller, at(300)).unwrap(), Outcome::NotKnown);
    pep.keep(&caller, &permit(Some(10), Some(9)), at(400)).unwrap();
    assert_eq!(pep.find(&caller, at(410)).unwrap(), Outcome::NotKnown);
    pep.keep(&caller, &permit(Some(0), Some(9)), at(500)).unwrap();
    assert_eq!(pep.find(&caller, at(500)).unwrap(), Outcome::NotKnown, "this one use alone");
    caller.expires = Some(EPOCH + 620);
    pep.keep(&caller, &permit(Some(1000), Some(9)), at(600)).unwrap();
    assert!(matches!(pep.find(&caller, at(619)).unwrap(), Outcome::Granted(_)));
    assert_eq!(pep.find(&caller, at(620)).unwrap(), Outcome::NotKnown);
}

#[test]
fn a_clock_that_is_set_back_does_not_lengthen_a_grant() {
    let pep = Pep::new(&[]);
    pep.keep(&caller(), &permit(Some(60), Some(9)), at(0)).unwrap();
    let set_back = Now { monotonic: Duration::from_secs(60), wall: Duration::from_secs(EPOCH - 3600) };
    assert_eq!(pep.find(&caller(), set_back).unwrap(), Outcome::NotKnown);
}

#[test]
fn a_grant_is_good_for_nothing_that_differs_in_any_part() {
    let changes: Vec<fn(&mut Caller)> = vec![
        |caller| caller.subject = Some("eve".to_owned()),
        |caller| caller.subject = None,
        |caller| caller.issuer = Some("https://other.example".to_owned()),
        |caller| caller.client_id = None,
        |caller| caller.audience.push("more".to_owned()),
        |caller| caller.token_jti = Some("jti-2".to_owned()),
        |caller| caller.token_jti = None,
        |caller| caller.context.workflow_run_id = Some("run".to_owned()),
        |caller| caller.context.node_id = Some("run".to_owned()),
        |caller| caller.context.system_id = Some("run".to_owned()),
    ];
    let base = bound(&caller());
    let mut keys = vec![*base.key()];
    for change in changes {
        let mut other = caller();
        change(&mut other);
        keys.push(*bound(&other).key());
    }
    keys.push(*Binding::new("other", &caller(), Purpose::Execute, URI).key());
    keys.push(*Binding::new("dev", &caller(), Purpose::Read, URI).key());
    keys.push(*Binding::new("dev", &caller(), Purpose::Execute, "openbao+kv2://secret/app/api").key());
    let mut by_hash = caller();
    (by_hash.token_jti, by_hash.token_hash) = (None, Some([2; 32]));
    keys.push(*bound(&by_hash).key());
    for (place, key) in keys.iter().enumerate() {
        assert!(!keys[place + 1..].contains(key), "{place}");
    }
    let mut same = caller();
    same.context.correlation_id = Some("new for each request".to_owned());
    same.context.trace_id = Some("too".to_owned());
    same.token_hash = Some([9; 32]);
    assert_eq!(bound(&same), base);
}

#[test]
fn another_sender_key_is_refused_while_the_grant_lives_and_takes_no_use() {
    for max_uses in [1, 2] {
        let pep = Pep::new(&[]);
        pep.keep(&caller(), &permit(Some(60), Some(max_uses)), at(0)).unwrap();
        let others = [
            None,
            Some(SenderKey::Jkt("other".to_owned())),
            Some(SenderKey::CertificateThumbprint("thumb".to_owned())),
        ];
        for sender_key in others {
            let mut other = caller();
            other.sender_key = sender_key;
            assert_eq!(pep.find(&other, at(1)).unwrap_err().code(), Code::SenderKeyMismatch);
            let kept = pep.keep(&other, &permit(None, Some(9)), at(1));
            assert_eq!(kept.unwrap_err().code(), Code::SenderKeyMismatch, "a permit that came in between");
            let denial = Decision { permit: false, ..permit(None, None) };
            assert!(matches!(pep.keep(&other, &denial, at(1)).unwrap(), Outcome::Denied(_)));
            assert_eq!(pep.find(&other, at(60)).unwrap(), Outcome::NotKnown, "it is over");
            pep.keep(&caller(), &permit(Some(60), Some(max_uses)), at(0)).unwrap();
        }
        assert_eq!(pep.uses(&caller(), at(1)), max_uses as usize - 1);
    }
}

#[test]
fn a_denial_is_remembered_for_its_time_and_for_the_same_sender_key() {
    let denial = Decision { permit: false, ..permit(Some(600), Some(9)) };
    let pep = Pep::new(&[]);
    assert!(matches!(pep.keep(&caller(), &denial, at(0)).unwrap(), Outcome::Denied(basis) if !basis.is_known));
    assert_eq!(pep.find(&caller(), at(0)).unwrap(), Outcome::NotKnown, "not at all by default");
    let pep = Pep::new(&[("NEGATIVE_CACHE_TTL_S", "5")]);
    pep.keep(&caller(), &denial, at(0)).unwrap();
    assert_eq!(pep.find(&caller(), at(4)).unwrap(), Outcome::Denied(known()));
    let mut other = caller();
    other.sender_key = None;
    assert_eq!(pep.find(&other, at(4)).unwrap(), Outcome::NotKnown);
    assert_eq!(pep.find(&caller(), at(5)).unwrap(), Outcome::NotKnown);
    pep.keep(&caller(), &permit(None, Some(2)), at(6)).unwrap();
    pep.keep(&caller(), &denial, at(6)).unwrap();
    assert_eq!(pep.find(&caller(), at(6)).unwrap(), Outcome::Denied(known()), "the newer decision counts");
}

#[test]
fn a_proof_is_used_once_in_its_window_and_tokens_only_where_it_is_asked_for() {
    let store = MemoryStore::new();
    let until = at(300).wall;
    let proof = |jkt: &str, jti: &str, now| now_or_never(check_proof(&store, jkt, jti, until, now));
    proof("k", "1", at(0)).unwrap();
    proof("k", "2", at(0)).unwrap();
    proof("k2", "1", at(0)).unwrap();
    assert_eq!(proof("k", "1", at(299)).unwrap_err().code(), Code::ProofReplayed);
    assert_eq!(proof("k", "1", at(300)).unwrap_err().code(), Code::ProofInvalid, "too old to be remembered");

    let token = |settings: &Settings, caller: &Caller, now| now_or_never(check_token(&store, settings, caller, now));
    let (off, on) = (settings(&[]), settings(&[("ANTI_REPLAY_TTL_S", "60")]));
    for _ in 0..3 {
        token(&off, &caller(), at(0)).unwrap();
    }
    token(&on, &caller(), at(0)).unwrap();
    assert_eq!(token(&on, &caller(), at(59)).unwrap_err().code(), Code::TokenReplayed);
    token(&on, &caller(), at(60)).unwrap();
    let mut other = caller();
    other.issuer = None;
    token(&on, &other, at(0)).unwrap();
    other.token_jti = None;
    token(&on, &other, at(0)).unwrap();
    assert_eq!(token(&on, &other, at(0)).unwrap_err().code(), Code::TokenReplayed, "by its hash");
    for _ in 0..2 {
        token(&on, &Caller::anonymous(), at(0)).unwrap();
    }
}

#[test]
fn a_full_store_of_proofs_refuses_and_a_full_store_of_grants_forgets_the_first_to_end() {
    let store = MemoryStore::with_capacity(2);
    let proof = |jti: &str, until: u64, now| now_or_never(check_proof(&store, "k", jti, at(until).wall, now));
    proof("1", 10, at(0)).unwrap();
    proof("2", 20, at(0)).unwrap();
    let full = proof("3", 20, at(1)).unwrap_err();
    assert_eq!((full.code(), full.when()), (Code::ReplayStoreFull, Some(Duration::from_secs(10))));
    assert_eq!(proof("1", 10, at(1)).unwrap_err().code(), Code::ProofReplayed);
    proof("3", 20, at(10)).unwrap();

    let on = settings(&[("ANTI_REPLAY_TTL_S", "60")]);
    let token = |jti: &str| {
        let mut caller = caller();
        caller.token_jti = Some(jti.to_owned());
        now_or_never(check_token(&store, &on, &caller, at(10))).map_err(|error| error.code())
    };
    assert_eq!((token("1"), token("2")), (Ok(()), Ok(())), "full of proofs, not of tokens");
    assert_eq!((token("3"), token("1")), (Err(Code::ReplayStoreFull), Err(Code::TokenReplayed)));
    proof("4", 30, at(20)).unwrap();

    let key = |name: &str| Key::of("grant", &[Some(name)]);
    let grant =
        |until: u64| Grant { sender: None, uses: 9, until: at(until).wall, decision_id: None, policy_version: None };
    for (name, until) in [("a", 50), ("b", 40), ("c", 60)] {
        assert!(now_or_never(store.put_grant(&key(name), grant(until), at(11))).unwrap());
    }
    let take = |name: &str| now_or_never(store.take_use(&key(name), None, at(11))).unwrap();
    assert_eq!(take("b"), Taken::Nothing);
    assert!(matches!((take("a"), take("c")), (Taken::Use(_), Taken::Use(_))));
    let denial = Denial { sender: None, until: at(70).wall, decision_id: None, policy_version: None };
    now_or_never(store.put_denial(&key("c"), denial.clone(), at(11))).unwrap();
    assert_eq!(take("c"), Taken::Denied(denial));
    assert!(matches!(take("a"), Taken::Use(_)), "one in the place of another needs no room");
}

#[test]
fn a_token_is_remembered_until_it_ends_and_no_longer() {
    let (store, settings) = (MemoryStore::with_capacity(301), settings(&[("ANTI_REPLAY_TTL_S", "86400")]));
    let token = |n: u64, ends: u64, now| {
        let mut caller = caller();
        (caller.token_jti, caller.expires) = (Some(format!("jti-{n}")), Some(EPOCH + ends));
        now_or_never(check_token(&store, &settings, &caller, now)).map_err(|error| error.code())
    };
    for n in 0..2000 {
        assert_eq!(token(n, n + 300, at(n)), Ok(()));
        assert_eq!(token(n, n + 300, at(n)), Err(Code::TokenReplayed));
    }
    assert_eq!(token(1999, 2299, at(2298)), Err(Code::TokenReplayed));
    // The host vouches for one that has ended: it is used once all the same.
    assert_eq!(token(5000, 1, at(3000)), Ok(()));
    assert_eq!(token(5000, 1, at(3001)), Err(Code::TokenReplayed));
}

#[test]
fn a_wall_clock_that_is_set_back_or_forward_lets_nobody_use_a_proof_twice() {
    let store = MemoryStore::new();
    let clocks = |monotonic: u64, wall: u64| Now { monotonic: Duration::from_secs(monotonic), ..at(wall) };
    let proof = |jti: &str, now| now_or_never(check_proof(&store, "k", jti, at(60).wall, now)).map_err(|e| e.code());
    proof("1", clocks(0, 0)).unwrap();
    assert_eq!(proof("1", clocks(61, 31)), Err(Code::ProofReplayed), "set back by 30 s");
    assert_eq!(proof("1", clocks(89, 59)), Err(Code::ProofReplayed));
    assert_eq!(proof("1", clocks(90, 60)), Err(Code::ProofInvalid));
    proof("2", clocks(100, 0)).unwrap();
    assert_eq!(proof("2", clocks(101, 60)), Err(Code::ProofInvalid), "set forward");
    assert_eq!(proof("2", clocks(102, 1)), Err(Code::ProofReplayed), "and back again");
}

const RACERS: usize = 1000;

/// How many of a thousand threads win.
fn race(attempt: impl Fn() -> bool + Send + Sync + 'static) -> usize {
    let (attempt, start, won) = (Arc::new(attempt), Arc::new(Barrier::new(RACERS)), Arc::new(AtomicUsize::new(0)));
    let threads: Vec<_> = (0..RACERS)
        .map(|_| {
            let (attempt, start, won) = (attempt.clone(), start.clone(), won.clone());
            let body = move || {
                start.wait();
                if attempt() {
                    won.fetch_add(1, Ordering::SeqCst);
                }
            };
            std::thread::Builder::new().stack_size(128 * 1024).spawn(body).unwrap()
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    won.load(Ordering::SeqCst)
}

#[test]
fn of_a_thousand_threads_as_many_win_as_there_are_uses() {
    for uses in [1, 7] {
        let store = Arc::new(MemoryStore::new());
        let key = Key::of("grant", &[]);
        let grant = Grant { sender: None, uses, until: at(60).wall, decision_id: None, policy_version: None };
        now_or_never(store.put_grant(&key, grant, at(0))).unwrap();
        let won = race(move || matches!(now_or_never(store.take_use(&key, None, at(1))), Ok(Taken::Use(_))));
        assert_eq!(won, uses as usize);
    }
}

#[test]
fn of_a_thousand_threads_with_the_same_proof_one_wins() {
    let store = Arc::new(MemoryStore::new());
    let shared = store.clone();
    assert_eq!(race(move || now_or_never(check_proof(&shared, "k", "1", at(60).wall, at(0))).is_ok()), 1);
    let on = settings(&[("ANTI_REPLAY_TTL_S", "60")]);
    assert_eq!(race(move || now_or_never(check_token(&store, &on, &caller(), at(0))).is_ok()), 1);
}

#[test]
fn audience_and_scope_are_checked_where_they_count() {
    let settings_of = |enforce: &str| settings(&[("SECRETS_ENFORCE_SCOPES", enforce)]);
    let mut caller = Caller::anonymous();
    check_audience(&settings_of("true"), &caller).unwrap();
    caller.audience = vec!["a".to_owned(), "crud.secrets".to_owned()];
    check_audience(&settings_of("true"), &caller).unwrap();
    for audience in ["crud.secrets2", "CRUD.SECRETS", "", "crud.secrets "] {
        caller.audience = vec![audience.to_owned()];
        assert_eq!(check_audience(&settings_of("true"), &caller).unwrap_err().code(), Code::AudienceMismatch);
    }
    check_scope(&settings_of("false"), &caller, Purpose::Write).unwrap();
    for purpose in Purpose::ALL {
        let error = check_scope(&settings_of("true"), &caller, purpose).unwrap_err();
        assert_eq!(error.code(), Code::ScopeMissing);
        assert!(error.to_string().contains(purpose.scope()));
        let mut caller = caller.clone();
        caller.scopes.insert(purpose.scope().to_owned());
        check_scope(&settings_of("true"), &caller, purpose).unwrap();
    }
}

#[test]
fn the_futures_of_a_store_whose_parts_are_send_are_send() {
    fn is_send<T: Send>(_: T) {}
    let (store, grants, caller) = (Arc::new(MemoryStore::new()), Grants::new(&settings(&[])), caller());
    is_send(grants.find(&store, &bound(&caller), at(0)));
    is_send(grants.keep(&store, &bound(&caller), &permit(None, None), at(0)));
    is_send(check_proof(&store, "k", "1", at(1).wall, at(0)));
    is_send(check_token(&store, &settings(&[]), &caller, at(0)));
}

#[derive(Clone, Debug)]
enum Step {
    Find(u8),
    Permit(u8, u64, u32),
    Deny(u8),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..2u8).prop_map(Step::Find),
        (0..2u8, 0..20u64, 1..4u32).prop_map(|(sender, ttl, uses)| Step::Permit(sender, ttl, uses)),
        (0..2u8).prop_map(Step::Deny),
        (0..10u64).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    /// Whatever happens in whatever order, a grant is used no more often than permits allow, and by its key alone.
    #[test]
    fn no_order_of_steps_gives_more_uses_than_were_permitted(steps in steps()) {
        let pep = Pep::new(&[("NEGATIVE_CACHE_TTL_S", "3")]);
        let mut left = [0_u32; 2];
        let mut until = [0_u64; 2];
        let mut time = 0;
        for step in steps {
            let who = |sender: u8| {
                let mut who = caller();
                who.sender_key = Some(SenderKey::Jkt(sender.to_string()));
                who
            };
            match step {
                Step::Wait(seconds) => time += seconds,
                Step::Deny(sender) => {
                    let denial = Decision { permit: false, ..permit(None, None) };
                    pep.keep(&who(sender), &denial, at(time)).unwrap();
                }
                Step::Permit(sender, ttl, uses) => {
                    if pep.keep(&who(sender), &permit(Some(ttl), Some(uses)), at(time)).is_ok() {
                        left[usize::from(sender)] = left[usize::from(sender)].max(uses - 1);
                        until[usize::from(sender)] = until[usize::from(sender)].max(time + ttl);
                    }
                }
                Step::Find(sender) => {
                    if let Ok(Outcome::Granted(_)) = pep.find(&who(sender), at(time)) {
                        prop_assert!(left[usize::from(sender)] > 0 && time < until[usize::from(sender)]);
                        left[usize::from(sender)] -= 1;
                    }
                }
            }
        }
    }
}
