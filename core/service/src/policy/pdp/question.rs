//! The question to a PDP, and its wire form: the request of AuthZEN 1.0, sections 5, 6.1 and 7.1.
//!
//! ```json
//! {
//!   "subject": {"type": "user", "id": "svc-billing"},
//!   "action": {"name": "execute"},
//!   "resource": {"type": "secret", "id": "openbao+kv2://secret/app/api#token", "properties": {"owner": "team-a", …}},
//!   "context": {
//!     "tenant_id": "dev",
//!     "cnf_binding": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
//!     "issuer": "https://issuer.example", "client_id": "billing", "aud": ["crud.secrets"], "token_jti": "…",
//!     "correlation_id": "…", "workflow_run_id": "…", "node_id": "…", "system_id": "…",
//!     "resource_attributes": {"owner": "team-a", "created_by": "ada", "created_at": "2026-01-01T00:00:00Z"}
//!   }
//! }
//! ```
//!
//! What is not known is left out, never null: Cerbos refuses fields that it does not know, and policies ask
//! whether a field is there. What the provider says of the secret stands twice: in `context`, where the Secrets API
//! has it, and as the resource's `properties` (section 5.2.1), since Cerbos shows conditions nothing of `context`.

use std::collections::BTreeMap;

use serde::Serialize;
use zeroize::Zeroizing;

use super::unreachable;
use crate::caller::{Caller, SenderKey};
use crate::error::Result;
use crate::purpose::Purpose;

/// Whether this caller may do this with this secret.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The tenant: `context.tenant_id`.
    pub tenant_id: &'a str,
    /// Who asks: `subject.id` is the subject, or [`Caller::ANONYMOUS`]; the rest is in `context`.
    pub caller: &'a Caller,
    /// What for: `action.name`.
    pub purpose: Purpose,
    /// The canonical URI of the secret: `resource.id`.
    pub resource: &'a str,
    /// What the provider says of the secret: `context.resource_attributes` and `resource.properties`.
    pub attributes: ResourceAttributes,
}

/// What the secret's `custom_metadata` says of it. Each may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ResourceAttributes {
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Who wrote it first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// When that was: ISO 8601 in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
}

impl ResourceAttributes {
    /// The keys of a secret's `custom_metadata` that have these names.
    pub(crate) fn of(metadata: &BTreeMap<String, String>) -> Self {
        let of = |key: &str| metadata.get(key).cloned();
        Self { owner: of("owner"), created_by: of("created_by"), created_at: of("created_at") }
    }

    fn is_empty(&self) -> bool {
        self.owner.is_none() && self.created_by.is_none() && self.created_at.is_none()
    }
}

#[derive(Serialize)]
struct Evaluation<'a> {
    subject: Entity<'a>,
    action: Action<'a>,
    resource: Entity<'a>,
    context: Context<'a>,
}

#[derive(Serialize)]
struct Entity<'a> {
    r#type: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<&'a ResourceAttributes>,
}

#[derive(Serialize)]
struct Action<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Context<'a> {
    tenant_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf_binding: Option<Cnf<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    /// Always a list, though a token may have a text: policies need one type.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    aud: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    token_jti: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow_run_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_id: Option<&'a str>,
    #[serde(skip_serializing_if = "ResourceAttributes::is_empty")]
    resource_attributes: &'a ResourceAttributes,
}

/// The key that the caller has proved to hold, by the names of RFC 9449 and RFC 8705.
#[derive(Serialize)]
enum Cnf<'a> {
    #[serde(rename = "jkt")]
    Jkt(&'a str),
    #[serde(rename = "x5t#S256")]
    CertificateThumbprint(&'a str),
}

#[derive(Serialize)]
struct Evaluations<'a> {
    evaluations: Vec<Evaluation<'a>>,
}

impl<'a> Evaluation<'a> {
    fn of(question: &'a Question<'_>) -> Self {
        let (caller, attributes) = (question.caller, &question.attributes);
        let properties = (!attributes.is_empty()).then_some(attributes);
        Self {
            subject: Entity { r#type: "user", id: caller.subject(), properties: None },
            action: Action { name: question.purpose.as_str() },
            resource: Entity { r#type: "secret", id: question.resource, properties },
            context: Context {
                tenant_id: question.tenant_id,
                cnf_binding: caller.sender_key.as_ref().map(|key| match key {
                    SenderKey::Jkt(thumbprint) => Cnf::Jkt(thumbprint),
                    SenderKey::CertificateThumbprint(thumbprint) => Cnf::CertificateThumbprint(thumbprint),
                }),
                issuer: caller.issuer.as_deref(),
                client_id: caller.client_id.as_deref(),
                aud: &caller.audience,
                token_jti: caller.token_jti.as_deref(),
                correlation_id: caller.context.correlation_id.as_deref(),
                workflow_run_id: caller.context.workflow_run_id.as_deref(),
                node_id: caller.context.node_id.as_deref(),
                system_id: caller.context.system_id.as_deref(),
                resource_attributes: attributes,
            },
        }
    }
}

/// The body of one question.
pub(super) fn one(question: &Question<'_>) -> Result<Zeroizing<Vec<u8>>> {
    body(&Evaluation::of(question))
}

/// Whether two questions name one resource and say different things of it.
pub(super) fn is_ambiguous(questions: &[Question<'_>]) -> bool {
    let mut seen = BTreeMap::new();
    questions
        .iter()
        .any(|question| *seen.entry(question.resource).or_insert(&question.attributes) != &question.attributes)
}

/// The body of several. Each is complete: defaults for all would save bytes and cost clarity in the PDP's log.
pub(super) fn many(questions: &[Question<'_>]) -> Result<Zeroizing<Vec<u8>>> {
    body(&Evaluations { evaluations: questions.iter().map(Evaluation::of).collect() })
}

fn body(value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>> {
    baokit_core::to_json(value).map_err(|_| unreachable("the question can't be written as JSON"))
}
