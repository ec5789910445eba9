//! Answers of a PDP, to one question and to several.

use std::cell::OnceCell;
use std::time::Duration;

use baokit_service::caller::Caller;
use baokit_service::policy::{Decision, Pdp, Question, ResourceAttributes};
use baokit_service::purpose::Purpose;
use baokit_service::settings::Settings;
use serde_json::Value;

use crate::Judged;
use crate::world::{World, at_once, json, settings};

thread_local!(static SETTINGS: OnceCell<Settings> = const { OnceCell::new() });

/// The first byte says how much is asked, and where the answer goes: to one question (0), to three (1), or to the
/// search for the end points (2).
pub fn run(data: &[u8]) -> Judged {
    let Some((mode, data)) = data.split_first() else { return Judged::NoInput };
    let (mode, body) = (mode % 3, data.to_vec());
    let world = World::new(move |request, _| match request.target().starts_with("/.well-known/") {
        true if mode == 2 => json(200, &body),
        true => json(404, b"{}"),
        false if mode == 2 => json(200, br#"{"decision":false}"#),
        false => json(200, &body),
    });
    let pdp = SETTINGS.with(|cell| {
        let read = || settings(&[("ENABLE_AUTHORIZATION", "true"), ("PDP_URL", "https://pdp.example")]);
        Pdp::new(cell.get_or_init(read).pdp.as_ref().expect("a PDP is set"))
    });
    let caller = Caller::anonymous();
    let question = |resource| Question {
        tenant_id: "dev",
        caller: &caller,
        purpose: Purpose::Execute,
        resource,
        attributes: ResourceAttributes::default(),
    };
    let names = ["openbao+kv2://secret/a", "openbao+kv2://secret/b", "openbao+kv2://secret/c"];
    if mode == 1 {
        let Ok(decisions) = at_once(pdp.evaluate_all(&world, &names.map(question))) else { return Judged::Worth };
        assert_eq!(decisions.len(), names.len(), "one decision for each question");
        let said: Value = serde_json::from_slice(data).expect("the answer is JSON");
        for (place, decision) in decisions.iter().enumerate() {
            check(decision, &said["evaluations"][place]);
        }
    } else if let Ok(decision) = at_once(pdp.evaluate(&world, &question(names[0]))) {
        if mode == 2 {
            assert!(!decision.permit, "the PDP said no");
        } else {
            check(&decision, &serde_json::from_slice(data).expect("the answer is JSON"));
        }
    }
    for address in world.asked() {
        assert!(address.starts_with("https://pdp.example:443/"), "a question went elsewhere");
    }
    Judged::Worth
}

fn check(decision: &Decision, said: &Value) {
    assert!(!decision.permit || said["decision"] == Value::Bool(true), "a permit that nobody gave");
    assert!(decision.ttl.is_none_or(|ttl| ttl <= Duration::from_secs(86_400)));
    assert!(decision.max_uses.is_none_or(|uses| (1..=1_000_000).contains(&uses)));
    for name in [&decision.decision_id, &decision.policy_version].into_iter().flatten() {
        assert!((1..=256).contains(&name.len()));
    }
}
