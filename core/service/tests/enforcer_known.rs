//! Callers that the host has authenticated itself: it vouches for who they are, and for nothing else; and callers
//! whose requests take longer than their tokens last.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use baokit_core::uri::tenant::TenantGuard;
use baokit_core::uri::{ParseOptions, SecretPointer, SecretUri};
use baokit_service::bearer::Presented;
use baokit_service::caller::{Context, SenderKey};
use baokit_service::operation::Window;
use baokit_service::resource::Resource;
use baokit_service::{Caller, Code, Operation, Result, Who};
use serde_json::{Value, json};
use support::{APP, ISSUER, Party, Service};

/// Without scopes and PDP, so that nothing but what is tested here refuses.
fn service(more: &[(&str, &str)]) -> Service {
    let open = [("SECRETS_ENFORCE_SCOPES", "0"), ("ENABLE_AUTHORIZATION", "0")];
    let service = Service::new(&[&open, more].concat());
    service.put("app", json!({"a": 1}));
    service
}

fn alice() -> Caller {
    let mut caller = Caller::anonymous();
    (caller.subject, caller.issuer) = (Some("alice".into()), Some(ISSUER.into()));
    caller
}

fn read(service: &Service, caller: &Caller) -> Result<(), Code> {
    let read = service.world.run(service.api.enforcer().get_credentials(APP, caller));
    read.map(drop).map_err(|error| error.code())
}

#[test]
fn a_host_that_names_nobody_has_authenticated_nobody() {
    let required = service(&[]);
    assert_eq!(read(&required, &Caller::anonymous()), Err(Code::TokenMissing));
    assert_eq!(required.asked(Party::Bao).len(), 0);
    assert_eq!(required.event()["code"], "TOKEN_MISSING");
    assert_eq!(read(&required, &alice()), Ok(()));
    assert_eq!(read(&service(&[("SECRETS_API_REQUIRE_AUTH", "0")]), &Caller::anonymous()), Ok(()));
}

#[test]
fn what_a_host_knows_of_a_caller_ends_with_its_token() {
    let service = service(&[]);
    let mut caller = alice();
    caller.expires = Some(service.wall() + 10);
    assert_eq!(read(&service, &caller), Ok(()));
    service.pass(10);
    assert_eq!(read(&service, &caller), Err(Code::TokenExpired));
}

#[test]
fn the_sender_key_that_the_mode_asks_for_is_asked_of_the_host_too() {
    let (jkt, certificate) = (SenderKey::Jkt("k".into()), SenderKey::CertificateThumbprint("c".into()));
    let keys = [None, Some(jkt), Some(certificate)];
    for (mode, passes) in
        [("dpop", [false, true, false]), ("mtls", [false, false, true]), ("bound", [false, true, true])]
    {
        let header = [("FORWARDED_CLIENT_CERT_HEADER", "x-cert"), ("TRUSTED_PROXY_CIDRS", "10.0.0.0/8")];
        let service = service(&[("INBOUND_AUTH_MODE", mode), header[0], header[1]]);
        for (key, passes) in keys.iter().zip(passes) {
            let mut caller = alice();
            caller.sender_key.clone_from(key);
            let expected = if passes { Ok(()) } else { Err(Code::TokenInvalid) };
            assert_eq!(read(&service, &caller), expected, "{mode} {key:?}");
        }
    }
}

#[test]
fn a_token_that_may_be_used_once_may_be_used_once_through_the_host() {
    let service = service(&[("ANTI_REPLAY_TTL_S", "60")]);
    let (mut named, mut hashed) = (alice(), alice());
    named.token_jti = Some("one".into());
    hashed.token_hash = Some([7; 32]);
    for caller in [named, hashed] {
        assert_eq!(read(&service, &caller), Ok(()));
        assert_eq!(read(&service, &caller), Err(Code::TokenReplayed));
    }
    // Who can't be told from others passes.
    assert_eq!((read(&service, &alice()), read(&service, &alice())), (Ok(()), Ok(())));
}

#[test]
fn a_resource_of_another_guard_goes_round_none() {
    let service = service(&[("SECRETS_API_REQUIRE_AUTH", "0")]);
    assert_eq!(service.bao("POST", "other/data/app", &json!({"data": {"a": 1}})).0, 200);
    let guard = TenantGuard::new("x", ["other"]).unwrap();
    let uri = guard.admit(SecretUri::parse("openbao+kv2://other/app").unwrap()).unwrap();
    let prefix = guard.admit_prefix(ParseOptions::new().parse_prefix("openbao+kv2://other/").unwrap()).unwrap();
    let file = SecretPointer::parse("file:primary:key").unwrap();
    let mismatch = Code::Core(baokit_core::Code::TenantMountMismatch);
    let enforcer = service.api.enforcer();
    service.forget();
    for (resource, operation, code) in [
        (Resource::Secret(uri), Operation::DestroyAll, mismatch),
        (Resource::Prefix(prefix), Operation::List(Window { offset: 0, limit: 10 }), mismatch),
        (Resource::Tenant("azure://other/app".into()), Operation::Read, mismatch),
        (Resource::Pointer(file), Operation::Read, Code::PolicyDenied),
    ] {
        let mut who = Who::known(alice());
        let refused = service.world.run(enforcer.run(&mut who, resource, operation)).unwrap_err();
        assert_eq!(refused.code(), code);
        assert_eq!(service.event()["code"], code.as_str());
    }
    assert_eq!(service.asked(Party::Bao).len(), 0);
    assert_eq!(service.bao("GET", "other/data/app", &json!(null)).0, 200);
}

/// What becomes of three reads of one request, ten minutes apart; `between` comes after the first.
fn three_reads(service: &Service, claims: Value, between: impl Fn()) -> [Result<(), Code>; 3] {
    let header = format!("Bearer {}", service.token(claims));
    let headers = [header.as_str()];
    let mut presented = Presented::new("POST", "/api/secrets/bulk");
    presented.authorization = &headers;
    let mut who = Who::presented(presented, Context::default());
    let enforcer = service.api.enforcer();
    [0, 1, 2].map(|number| {
        let resource = enforcer.admit(&who, APP, &Operation::Read).unwrap();
        let read = service.world.run(enforcer.run(&mut who, resource, Operation::Read));
        if number == 0 {
            between();
        }
        service.pass(600);
        read.map(drop).map_err(|error| error.code())
    })
}

#[test]
fn a_long_request_outlives_neither_its_token_nor_the_key_of_it() {
    let service = service(&[]);
    let far = || json!({"exp": service.wall() + 10_000});
    assert_eq!(three_reads(&service, far(), || ()), [Ok(()), Ok(()), Ok(())]);
    let expired = Err(Code::TokenExpired);
    assert_eq!(three_reads(&service, json!({"exp": service.wall() + 30}), || ()), [Ok(()), expired, expired]);
    let invalid = Err(Code::TokenInvalid);
    assert_eq!(three_reads(&service, far(), || service.state.borrow_mut().keys.clear()), [Ok(()), invalid, invalid]);
}
