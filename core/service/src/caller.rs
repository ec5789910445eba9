//! Who asks: what an access token says, or what the host knows of a caller that it has authenticated itself.

use std::collections::BTreeSet;
use std::fmt;

/// The key that a caller has proved to hold, by its thumbprint in base64url without padding.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SenderKey {
    /// Of a DPoP key: `cnf.jkt` (RFC 9449, RFC 7638).
    Jkt(String),
    /// Of a client certificate: `cnf.x5t#S256` (RFC 8705).
    CertificateThumbprint(String),
}

impl SenderKey {
    /// The thumbprint.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        match self {
            Self::Jkt(thumbprint) | Self::CertificateThumbprint(thumbprint) => thumbprint,
        }
    }
}

/// A caller. Every field may be absent: a host says what it knows, and a check that needs more refuses.
///
/// The names are those of the claims and of CRUDService's `execution_context`.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caller {
    /// Whom the token is about: `sub`.
    pub subject: Option<String>,
    /// Who issued it: `iss`.
    pub issuer: Option<String>,
    /// The client that it was issued to: `client_id`, else `azp`.
    pub client_id: Option<String>,
    /// For whom it is: `aud`. Empty where the token does not say.
    pub audience: Vec<String>,
    /// What it allows: `scope`, else `scp`.
    pub scopes: BTreeSet<String>,
    /// Its name: `jti`.
    pub token_jti: Option<String>,
    /// The SHA-256 of the token without its signature, by which it is known where it has no `jti`.
    pub token_hash: Option<[u8; 32]>,
    /// The end of the token: seconds of the wall clock since 1970.
    pub expires: Option<u64>,
    /// The key that the caller has proved to hold.
    pub sender_key: Option<SenderKey>,
    /// What ties this request to others of the same work.
    pub context: Context,
}

/// What ties a request to others: passed on to the PDP and to the audit as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Context {
    /// Of the request.
    pub correlation_id: Option<String>,
    /// Of the run of a workflow.
    pub workflow_run_id: Option<String>,
    /// Of the node of a workflow.
    pub node_id: Option<String>,
    /// Of the system that asks.
    pub system_id: Option<String>,
    /// Of the trace (W3C Trace Context).
    pub trace_id: Option<String>,
}

impl Caller {
    /// The name that stands for a caller without a subject.
    pub const ANONYMOUS: &'static str = "anonymous";

    /// A caller of whom nothing is known.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// The subject, or [`Caller::ANONYMOUS`].
    #[must_use]
    pub fn subject(&self) -> &str {
        self.subject.as_deref().unwrap_or(Self::ANONYMOUS)
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("subject", &self.subject)
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .field("audience", &self.audience)
            .field("scopes", &self.scopes)
            .field("sender_key", &self.sender_key)
            .finish_non_exhaustive()
    }
}
