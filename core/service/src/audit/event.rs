//! One event on record: who wanted what of which resource, what was decided, and what it led to.

use serde::{Serialize, Serializer};

use crate::caller::Context;
use crate::purpose::Purpose;

/// Longest text of an event, in bytes: a longer one is cut and ends in `…`.
pub const MAX_TEXT: usize = 256;
/// The most versions that one event names.
pub const MAX_VERSIONS: usize = 100;

/// What happened. The names are those of the server-sent events as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// `SECRET_PERMIT`: a value, metadata or names were given out; the purpose says which.
    Permit,
    /// `SECRET_DENY`: refused before anything was done.
    Deny,
    /// `SECRET_WRITTEN`: a new version was written.
    Written,
    /// `SECRET_ROTATED`: a value was replaced; `kv_version` has the old and the new version.
    Rotated,
    /// `SECRET_VERSION_DELETED`: the newest version was deleted, and can be undeleted.
    VersionDeleted,
    /// `SECRET_VERSIONS_UNDELETED`: versions were brought back.
    VersionsUndeleted,
    /// `SECRET_VERSIONS_DESTROYED`: versions were destroyed for good.
    VersionsDestroyed,
    /// `SECRET_DESTROYED`: every version and the metadata were destroyed for good.
    Destroyed,
    /// `SECRET_OWNER_CHANGED`: it has another owner.
    OwnerChanged,
    /// `SECRET_ERROR`: it failed, or could not be decided; `code` says why, `effect` how far it came.
    Error,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Permit,
        Self::Deny,
        Self::Written,
        Self::Rotated,
        Self::VersionDeleted,
        Self::VersionsUndeleted,
        Self::VersionsDestroyed,
        Self::Destroyed,
        Self::OwnerChanged,
        Self::Error,
    ];

    /// What an operation of this purpose leads to when it succeeds. One that destroys the whole secret is
    /// [`Kind::Destroyed`] instead.
    #[must_use]
    pub const fn of(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Execute | Purpose::Read | Purpose::ReadMetadata => Self::Permit,
            Purpose::Write => Self::Written,
            Purpose::Rotate => Self::Rotated,
            Purpose::Delete => Self::VersionDeleted,
            Purpose::Undelete => Self::VersionsUndeleted,
            Purpose::DestroyVersions => Self::VersionsDestroyed,
            Purpose::OwnerUpdate => Self::OwnerChanged,
        }
    }

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "SECRET_PERMIT",
            Self::Deny => "SECRET_DENY",
            Self::Written => "SECRET_WRITTEN",
            Self::Rotated => "SECRET_ROTATED",
            Self::VersionDeleted => "SECRET_VERSION_DELETED",
            Self::VersionsUndeleted => "SECRET_VERSIONS_UNDELETED",
            Self::VersionsDestroyed => "SECRET_VERSIONS_DESTROYED",
            Self::Destroyed => "SECRET_DESTROYED",
            Self::OwnerChanged => "SECRET_OWNER_CHANGED",
            Self::Error => "SECRET_ERROR",
        }
    }
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// The operation was permitted; it may have failed afterwards.
    Permit,
    /// It was refused.
    Deny,
    /// Nothing was decided: the PDP or the issuer's keys could not be reached, say. Nobody was let through.
    Error,
}

impl Effect {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Permit, Self::Deny, Self::Error];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Deny => "deny",
            Self::Error => "error",
        }
    }
}

/// The versions that an event concerns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum KvVersion {
    /// One version: a number.
    One(u64),
    /// Several, at most [`MAX_VERSIONS`]: a list of numbers.
    Several(Vec<u64>),
    /// A new one in the place of an old one: an object of both.
    Replaced {
        /// The version before; null where there was none.
        old: Option<u64>,
        /// The version that was made.
        new: u64,
    },
}

/// One event. As JSON it has the fields' names; what is not known is left out.
///
/// It holds no value, no token and no URI. Texts that a caller sent are cut to [`MAX_TEXT`] bytes, and characters
/// that control a terminal or end a line are replaced, before a sink sees them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Event {
    /// What happened.
    #[serde(serialize_with = "kind")]
    pub event: Kind,
    /// When: RFC 3339 in UTC with milliseconds, by the host's clock.
    pub ts: String,
    /// The tenant.
    pub tenant_id: String,
    /// Who, or `anonymous`.
    pub subject: String,
    /// What for.
    #[serde(serialize_with = "purpose")]
    pub purpose: Purpose,
    /// What was decided.
    #[serde(serialize_with = "effect")]
    pub effect: Effect,
    /// The reference of the resource; see [`References`](super::References). None where the request named no legal one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_ref: Option<String>,
    /// Which salt the reference was made with.
    pub salt_id: String,
    /// The PDP's name for its decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision_id: Option<String>,
    /// The version of the policy that it decided by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_version: Option<String>,
    /// The versions that were read, made or changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_version: Option<KvVersion>,
    /// The provider that answered in place of the one that was asked and could not be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<String>,
    /// Why it was refused, or failed: a code such as `SECRET_AUTHZ_FAILED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// The system that asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_id: Option<String>,
    /// The run of a workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_run_id: Option<String>,
    /// The node of a workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// Of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// Of the trace (W3C Trace Context).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The thumbprint of the DPoP key that the caller has proved to hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cnf_jkt: Option<String>,
    /// The thumbprint of the client certificate that the caller has proved to hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtls_thumbprint: Option<String>,
    /// The name of the access token, which is no secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_jti: Option<String>,
    /// How many operations it stands for: 1, or, for a permit by a grant, `AUDIT_SAMPLE_CACHE_HIT_N`.
    pub sampled: u32,
}

impl Event {
    /// Ties the event to others, where its caller is not known and its request is.
    pub(crate) fn correlate(&mut self, context: &Context) {
        self.system_id.clone_from(&context.system_id);
        self.workflow_run_id.clone_from(&context.workflow_run_id);
        self.node_id.clone_from(&context.node_id);
        self.correlation_id.clone_from(&context.correlation_id);
        self.trace_id.clone_from(&context.trace_id);
    }

    /// Bounds and cleans every text, so that no caller can fill a disk or forge a line.
    pub(super) fn bounded(mut self) -> Self {
        let always = [&mut self.ts, &mut self.tenant_id, &mut self.subject, &mut self.salt_id];
        let known = [
            &mut self.resource_ref,
            &mut self.decision_id,
            &mut self.policy_version,
            &mut self.answered_by,
            &mut self.system_id,
            &mut self.workflow_run_id,
            &mut self.node_id,
            &mut self.correlation_id,
            &mut self.trace_id,
            &mut self.cnf_jkt,
            &mut self.mtls_thumbprint,
            &mut self.token_jti,
        ];
        always.into_iter().chain(known.into_iter().flatten()).for_each(bound);
        if let Some(KvVersion::Several(versions)) = &mut self.kv_version {
            versions.truncate(MAX_VERSIONS);
        }
        self
    }

    /// Whether one of its texts contains this one.
    pub(super) fn mentions(&self, text: &str) -> bool {
        let always = [self.event.as_str(), &self.tenant_id, &self.subject, self.purpose.as_str(), self.effect.as_str()];
        let known = [
            self.code,
            self.resource_ref.as_deref(),
            self.decision_id.as_deref(),
            self.policy_version.as_deref(),
            self.answered_by.as_deref(),
            self.system_id.as_deref(),
            self.workflow_run_id.as_deref(),
            self.node_id.as_deref(),
            self.correlation_id.as_deref(),
            self.trace_id.as_deref(),
            self.cnf_jkt.as_deref(),
            self.mtls_thumbprint.as_deref(),
            self.token_jti.as_deref(),
        ];
        always.into_iter().chain(known.into_iter().flatten()).any(|field| field.contains(text))
    }
}

const CUT: char = '…';

fn bound(text: &mut String) {
    if text.len() <= MAX_TEXT && !text.chars().any(is_unsafe) {
        return;
    }
    let clean: String = text.chars().map(|c| if is_unsafe(c) { char::REPLACEMENT_CHARACTER } else { c }).collect();
    *text = clean;
    if text.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT - CUT.len_utf8()).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        text.push(CUT);
    }
}

/// What moves a terminal's cursor, ends a line for somebody, or turns the direction of what follows.
fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn kind<S: Serializer>(kind: &Kind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.as_str())
}

fn purpose<S: Serializer>(purpose: &Purpose, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(purpose.as_str())
}

fn effect<S: Serializer>(effect: &Effect, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(effect.as_str())
}
