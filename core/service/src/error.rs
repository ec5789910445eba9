//! Why a request is refused: one table of the service's own codes, beside core's.
//!
//! An error names what was wrong with a request and never repeats a token, a proof or a secret.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use baokit_core::Family;

/// The result of everything in the service that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! codes {
    ($( $(#[doc = $doc:literal])+ $name:ident = $text:literal, $status:literal, $kind:literal, $advice:literal; )+) => {
        /// Why a request was refused, as a stable name that programs may compare.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $( $(#[doc = $doc])+ $name, )+
            /// The client of OpenBao says why, with a code of its own.
            Core(baokit_core::Code),
        }

        impl Code {
            /// Every code of the service's own, in the order of the table.
            pub const ALL: &'static [Self] = &[$( Self::$name, )+];

            /// The stable text, such as `SECRET_AUTHZ_FAILED`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$name => $text, )+ Self::Core(code) => code.as_str() }
            }

            /// The status of an answer that carries it.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $( Self::$name => $status, )+ Self::Core(code) => code.http_status() }
            }

            /// The kind of error, in the words of RFC 6750 and RFC 9449 where they have one.
            #[must_use]
            pub fn kind(self) -> &'static str {
                match self { $( Self::$name => $kind, )+ Self::Core(code) => code.family().as_str() }
            }

            /// Whether it was refused by a check, the caller's or a policy's, rather than failed.
            #[must_use]
            pub fn is_refusal(self) -> bool {
                matches!(self.status(), 401 | 403) || self == Self::Core(baokit_core::Code::TenantMountMismatch)
            }

            /// What to do next.
            #[must_use]
            pub fn advice(self) -> &'static str {
                match self { $( Self::$name => $advice, )+ Self::Core(code) => code.advice() }
            }
        }
    };
}

codes! {
    /// A request that is malformed beyond what core's codes name: its body, its query, its headers.
    InvalidRequest = "INVALID_REQUEST", 400, "invalid_request", "see the API's description at /openapi.json";
    /// No access token, where one is required.
    TokenMissing = "TOKEN_MISSING", 401, "unauthorized", "send an access token: Authorization: Bearer …, or DPoP …";
    /// An access token that is malformed, not signed by the issuer, of the wrong kind, or not valid yet.
    TokenInvalid = "TOKEN_INVALID", 401, "invalid_token", "get an access token from the issuer that the service trusts";
    /// An access token that is past its end.
    TokenExpired = "TOKEN_EXPIRED", 401, "invalid_token", "get a new access token";
    /// An access token that may be used once, and was.
    TokenReplayed = "TOKEN_REPLAYED", 401, "invalid_token", "get a new access token: here each may be used once";
    /// No proof of possession where the token asks for one, or one that proves nothing (RFC 9449).
    ProofInvalid = "DPOP_PROOF_INVALID", 401, "invalid_dpop_proof", "make a new proof for this very request with the key that the token is bound to";
    /// A proof of possession that was used before.
    ProofReplayed = "DPOP_PROOF_REPLAYED", 401, "invalid_dpop_proof", "make a new proof for each request";
    /// The request was sent with another key than the one that the token, or an earlier grant, is bound to.
    SenderKeyMismatch = "SENDER_KEY_MISMATCH", 401, "invalid_token", "use the key, or the client certificate, that the token is bound to";
    /// The access token is for somebody else.
    AudienceMismatch = "SECRET_AUTHZ_FAILED", 403, "invalid_audience", "get a token for the audience of this service";
    /// The access token lacks the scope.
    ScopeMissing = "SECRET_AUTHZ_FAILED", 403, "insufficient_scope", "get a token with the scope that is named";
    /// The PDP does not permit it, or there is nothing there that it could permit.
    PolicyDenied = "SECRET_AUTHZ_FAILED", 403, "access_denied", "ask whoever writes the policies";
    /// The API has no such path.
    RouteNotFound = "ROUTE_NOT_FOUND", 404, "not_found", "see the API's description at /openapi.json";
    /// The path is there, the method is not.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", 405, "method_not_allowed", "see the API's description at /openapi.json";
    /// A body over the limit.
    BodyTooLarge = "BODY_TOO_LARGE", 413, "invalid_request", "send less";
    /// A body that is no JSON.
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", 415, "invalid_request", "send application/json";
    /// The provider can't do this.
    OperationNotSupported = "OPERATION_NOT_SUPPORTED", 501, "not_supported", "use a provider that can: openbao+kv2 can everything";
    /// A provider other than OpenBao failed.
    ProviderFailed = "PROVIDER_FAILED", 502, "provider_failure", "see whether what stands behind the provider is there, and can be read";
    /// What remembers used proofs and tokens is full, so that none can be told from a repeated one.
    ReplayStoreFull = "REPLAY_STORE_FULL", 503, "temporarily_unavailable", "try again when older proofs have expired";
    /// The store of grants or used proofs does not answer.
    StoreUnreachable = "STORE_UNREACHABLE", 503, "temporarily_unavailable", "see whether the store answers";
    /// The keys of the issuer can't be had.
    KeysUnreachable = "KEYS_UNREACHABLE", 503, "temporarily_unavailable", "see whether the issuer answers";
    /// The PDP does not answer, or answers something else than a decision.
    PdpUnreachable = "PDP_UNREACHABLE", 503, "temporarily_unavailable", "see whether the PDP answers";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request that was refused, or failed.
#[derive(Clone)]
pub struct Error {
    inner: Box<Inner>,
    /// Whether a caller is told the code and no more.
    is_reticent: bool,
}

#[derive(Clone)]
enum Inner {
    Own { code: Code, reason: Option<Cow<'static, str>>, retry_after: Option<Duration> },
    Core(baokit_core::Error),
}

impl Error {
    fn of(inner: Inner) -> Self {
        Self { inner: Box::new(inner), is_reticent: false }
    }

    /// The same for a caller about whom nobody has decided yet: it is told the code and no more.
    pub(crate) fn reticent(mut self) -> Self {
        self.is_reticent = true;
        self
    }

    /// What a caller is told: neither nodes nor tries, and nothing of what a server said. All of it, which is
    /// [`Display`](fmt::Display)'s, is for the log of the host.
    pub(crate) fn outward(&self) -> String {
        let code = self.code();
        let subject = match &*self.inner {
            _ if self.is_reticent => None,
            Inner::Own { .. }
                if matches!(code, Code::KeysUnreachable | Code::PdpUnreachable | Code::StoreUnreachable) =>
            {
                None
            }
            Inner::Own { .. } => return self.to_string(),
            Inner::Core(error) => match (error.code().family(), error.code()) {
                (Family::Server | Family::Transport, _) => None,
                (_, baokit_core::Code::InvalidSetting | baokit_core::Code::MissingSetting) => None,
                // Nobody was asked, so the reason is of the request itself.
                _ if error.node().is_none() => return self.to_string(),
                _ => error.subject(),
            },
        };
        let subject = subject.map(|subject| format!("{subject}; ")).unwrap_or_default();
        format!("{code}: {subject}{}", code.advice())
    }

    /// An error of this code that says nothing else yet.
    #[must_use]
    pub fn new(code: Code) -> Self {
        match code {
            Code::Core(code) => baokit_core::Error::new(code).into(),
            code => Self::of(Inner::Own { code, reason: None, retry_after: None }),
        }
    }

    /// Says what exactly was wrong. Never pass a token, a value, or text that a caller or a server sent.
    #[must_use]
    pub fn because(mut self, because: impl Into<Cow<'static, str>>) -> Self {
        match &mut *self.inner {
            Inner::Own { reason, .. } => *reason = Some(because.into()),
            Inner::Core(error) => *error = error.clone().because(because),
        }
        self
    }

    /// Says when the same request may succeed.
    #[must_use]
    pub fn retry_after(mut self, time: Duration) -> Self {
        if let Inner::Own { retry_after, .. } = &mut *self.inner {
            *retry_after = Some(time);
        }
        self
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match &*self.inner {
            Inner::Own { code, .. } => *code,
            Inner::Core(error) => Code::Core(error.code()),
        }
    }

    /// When the same request may succeed, where that is known.
    #[must_use]
    pub fn when(&self) -> Option<Duration> {
        match &*self.inner {
            Inner::Own { retry_after, .. } => *retry_after,
            Inner::Core(error) => error.retry_after(),
        }
    }

    /// The error of the client of OpenBao, where it is one.
    #[must_use]
    pub fn core(&self) -> Option<&baokit_core::Error> {
        match &*self.inner {
            Inner::Own { .. } => None,
            Inner::Core(error) => Some(error),
        }
    }
}

impl From<baokit_core::Error> for Error {
    fn from(error: baokit_core::Error) -> Self {
        Self::of(Inner::Core(error))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.inner {
            Inner::Own { code, reason, .. } => {
                write!(f, "{code}: ")?;
                if let Some(reason) = reason {
                    write!(f, "{reason}; ")?;
                }
                f.write_str(code.advice())
            }
            Inner::Core(error) => error.fmt(f),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self})")
    }
}

impl std::error::Error for Error {}
