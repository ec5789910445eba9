//! What is put on record: a refusal, and what came of a permit, also where nobody waited for the end.

use baokit_core::{Code as CoreCode, Host};

use super::{Enforcer, Permit, Who};
use crate::audit::{Effect, Event, Kind, KvVersion};
use crate::caller::{Caller, Context};
use crate::error::{Code, Error, Result};
use crate::operation::{Operation, Outcome};
use crate::policy::Store;
use crate::purpose::Purpose;
use crate::resource::Resource;

/// What came of a permit.
#[derive(Default)]
pub(super) struct Ending {
    /// The versions that it concerned.
    pub version: Option<KvVersion>,
    /// The provider that answered in place of the one that was asked.
    pub elsewhere: Option<String>,
    /// Why it failed.
    pub code: Option<Code>,
}

impl Ending {
    /// Of an operation whose outcome nobody waited for, or could learn.
    pub fn cut_off() -> Self {
        Self { code: Some(Code::Core(CoreCode::Indeterminate)), ..Self::default() }
    }

    /// Of a result; `named` are the versions that were named in the request.
    pub fn of(result: &Result<Outcome>, named: Option<KvVersion>) -> Self {
        match result {
            Ok(outcome) => Self { version: version_of(outcome).or(named), ..Self::default() },
            Err(error) => Self { version: named, code: Some(error.code()), ..Self::default() },
        }
    }
}

/// Runs what it holds when it is dropped, unless it was defused.
pub(super) struct Unfinished<F: Fn()>(Option<F>);

impl<F: Fn()> Unfinished<F> {
    pub fn new(record: F) -> Self {
        Self(Some(record))
    }

    pub fn finish(mut self) {
        self.0 = None;
    }
}

impl<F: Fn()> Drop for Unfinished<F> {
    fn drop(&mut self) {
        if let Some(record) = &self.0 {
            record();
        }
    }
}

impl<H: Host, S: Store> Enforcer<H, S> {
    /// Puts a refusal on record.
    pub(crate) fn refuse(&self, who: &Who<'_>, purpose: Purpose, resource: Option<&Resource>, error: Error) -> Error {
        self.not_permitted(error.code(), purpose, resource, who.caller(), who.context());
        error
    }

    /// Puts on record that nobody waited for a decision.
    pub(super) fn cut_off(&self, purpose: Purpose, resource: &Resource, caller: Option<&Caller>, context: &Context) {
        let (code, nobody) = (Code::Core(CoreCode::Indeterminate), Caller::anonymous());
        self.not_permitted(code, purpose, Some(resource), caller.unwrap_or(&nobody), context);
    }

    fn not_permitted(
        &self,
        code: Code,
        purpose: Purpose,
        resource: Option<&Resource>,
        caller: &Caller,
        context: &Context,
    ) {
        let metrics = self.audit.metrics();
        let (effect, kind) = if code.is_refusal() { (Effect::Deny, Kind::Deny) } else { (Effect::Error, Kind::Error) };
        metrics.decision(effect);
        metrics.error(code.as_str());
        match code {
            Code::Core(CoreCode::TenantMountMismatch) => metrics.tenant_violation(),
            Code::ProofReplayed | Code::TokenReplayed => metrics.anti_replay(),
            _ => {}
        }
        let mut event = self.event(kind, effect, purpose, resource, caller, context);
        event.code = Some(code.as_str());
        self.audit.record(event);
    }

    /// Puts what came of a permit on record.
    pub(super) fn conclude(&self, permit: &Permit, kind: Kind, ending: Ending) {
        let Permit { purpose, resource, caller, basis } = permit;
        let kind = if ending.code.is_none() { kind } else { Kind::Error };
        let mut event = self.event(kind, Effect::Permit, *purpose, Some(resource), caller, &caller.context);
        event.decision_id.clone_from(&basis.decision_id);
        event.policy_version.clone_from(&basis.policy_version);
        event.kv_version = ending.version;
        event.answered_by = ending.elsewhere;
        event.code = ending.code.map(Code::as_str);
        if let Some(code) = event.code {
            self.audit.metrics().error(code);
        }
        if basis.is_known && kind != Kind::Error {
            self.audit.record_hit(event);
        } else {
            self.audit.record(event);
        }
    }

    fn event(
        &self,
        kind: Kind,
        effect: Effect,
        purpose: Purpose,
        resource: Option<&Resource>,
        caller: &Caller,
        context: &Context,
    ) -> Event {
        let wall = self.outward.now().wall;
        let mut event = self.audit.event(kind, effect, purpose, caller, resource.map(Resource::as_str), wall);
        event.correlate(context);
        event
    }
}

/// What an event says was done.
pub(super) fn kind_of(operation: &Operation) -> Kind {
    if matches!(operation, Operation::DestroyAll) { Kind::Destroyed } else { Kind::of(operation.purpose()) }
}

/// The versions that an operation names itself.
pub(super) fn named(operation: &Operation) -> Option<KvVersion> {
    match operation {
        Operation::Undelete(versions) | Operation::Destroy(versions) => Some(KvVersion::Several(versions.clone())),
        _ => None,
    }
}

/// Which version an outcome is about.
fn version_of(outcome: &Outcome) -> Option<KvVersion> {
    match outcome {
        Outcome::Value(found) => found.version.map(KvVersion::One),
        Outcome::Changed(changed) => {
            changed.new_version.map(|new| KvVersion::Replaced { old: changed.old_version, new })
        }
        _ => None,
    }
}
