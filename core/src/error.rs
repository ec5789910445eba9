//! What can go wrong: one [`Error`] with a stable [`Code`], and one table of everything a code means.
//!
//! The table is the only list of codes there is. Each face builds its exception classes from
//! [`Code::family`] and its documentation from [`Code::advice`]; none keeps a list of its own.
//!
//! An error names the key, path or node at fault and never holds a secret, a token or text that a
//! server made up: what a server said is repeated only where it is one of OpenBao's own fixed
//! phrases.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// The result of everything in baokit that can fail.
///
/// ```
/// fn port(text: &str) -> baokit_core::Result<u16> {
///     Ok(baokit_core::config::Origin::parse(text)?.port())
/// }
/// assert_eq!(port("https://openbao.internal:8200")?, 8200);
/// # Ok::<(), baokit_core::Error>(())
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who has to act on an error.
///
/// ```
/// use baokit_core::{Code, Family};
///
/// assert_eq!(Code::PermissionDenied.family(), Family::Policy);
/// assert_eq!(Family::Policy.as_str(), "policy");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Family {
    /// The program that called: a malformed URI or setting, an absent secret, a conflict.
    Caller,
    /// Whoever grants rights: the tenant guard, OpenBao's policies, a refused log-in.
    Policy,
    /// Whoever runs the server, or the proxy before it.
    Server,
    /// The network between: nobody reachable, no answer in time, an outcome that is not known.
    Transport,
    /// baokit itself: please report it.
    Bug,
}

impl Family {
    /// The family's name in lower case, as faces use it to name their classes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Policy => "policy",
            Self::Server => "server",
            Self::Transport => "transport",
            Self::Bug => "bug",
        }
    }
}

macro_rules! codes {
    ($( $(#[doc = $doc:literal])+ $name:ident = $text:literal, $family:ident, $status:literal, $retry:ident, $advice:literal; )+) => {
        /// What failed, as a stable name that programs may compare.
        ///
        /// New codes may come; a code's text, family and status do not change.
        ///
        /// ```
        /// use baokit_core::Code;
        ///
        /// let code = Code::NoLeader;
        /// assert_eq!((code.as_str(), code.http_status(), code.is_retryable()), ("NO_LEADER", 503, true));
        /// println!("{code}: {}", code.advice());
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code { $( $(#[doc = $doc])+ $name, )+ }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$( Self::$name, )+];

            /// The stable text, such as `SECRET_NOT_FOUND`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$name => $text, )+ }
            }

            /// Who has to act.
            #[must_use]
            pub const fn family(self) -> Family {
                match self { $( Self::$name => Family::$family, )+ }
            }

            /// The HTTP status with which the Secrets API reports this code.
            #[must_use]
            pub const fn http_status(self) -> u16 {
                match self { $( Self::$name => $status, )+ }
            }

            /// Whether the same call may succeed later without anybody changing anything.
            ///
            /// baokit has used its own retries up by then. [`Code::Indeterminate`] is not
            /// retryable: read first whether the change happened.
            #[must_use]
            pub const fn is_retryable(self) -> bool {
                match self { $( Self::$name => codes!(@retry $retry), )+ }
            }

            /// What to do next, in one line.
            #[must_use]
            pub const fn advice(self) -> &'static str {
                match self { $( Self::$name => $advice, )+ }
            }
        }
    };
    (@retry retryable) => { true };
    (@retry final) => { false };
}

codes! {
    /// Text that is no secret URI at all: no provider, no `://`, no mount or no path.
    InvalidUri = "INVALID_URI", Caller, 400, final, "write it as openbao+kv2://mount/path#fragment?version=N";
    /// A URI or path over the limit of [`crate::uri::MAX_LENGTH`] bytes.
    UriTooLong = "URI_TOO_LONG", Caller, 400, final, "shorten the path";
    /// An empty segment, `.` or `..`, an escaped slash or dot, a backslash, white space, a control
    /// character, or a character that looks like a dot or a slash.
    IllegalSegment = "ILLEGAL_SEGMENT", Caller, 400, final, "use plain path segments, separated by single slashes";
    /// A `*` anywhere but as the last segment, or where no wildcard is allowed.
    InvalidWildcard = "INVALID_WILDCARD", Caller, 400, final, "name one secret; a wildcard may only end a prefix, as in mount/path/*";
    /// A provider or engine that does not exist, or that this client does not serve. A mount of KVv1 shows
    /// itself where something is written or found there; what is not there is a [`Code::SecretNotFound`].
    UnsupportedEngine = "UNSUPPORTED_ENGINE", Caller, 400, final, "use openbao+kv2, hashicorp+kv2 or yaml, a client made for that provider, and a mount of KVv2";
    /// The mount in the URI and the one given beside it differ.
    AmbiguousMount = "AMBIGUOUS_MOUNT", Caller, 400, final, "give the mount once, in the URI";
    /// The mount stands in the URI and is given beside it as well.
    DoubleMountSource = "DOUBLE_MOUNT_SOURCE", Caller, 400, final, "give the mount once, in the URI";
    /// A query key that is unknown or given twice.
    AmbiguousQuery = "AMBIGUOUS_QUERY", Caller, 400, final, "the only query key is version, and it is given once";
    /// A trailing slash where a secret is meant, not a prefix.
    TrailingSlash = "PROVIDER_TRAILING_SLASH_MISMATCH", Caller, 400, final, "drop the trailing slash: it means a prefix, and a secret is asked for";
    /// A version that is no positive integer.
    InvalidVersion = "INVALID_VERSION", Caller, 400, final, "versions count from 1";
    /// An empty or malformed fragment.
    InvalidFragment = "INVALID_FRAGMENT", Caller, 400, final, "name one key of the secret after the #, or leave the # out";
    /// A fragment where the operation concerns the whole secret.
    FragmentNotAllowed = "FRAGMENT_NOT_ALLOWED", Caller, 400, final, "leave the fragment out: this operation concerns the whole secret";
    /// A pinned version where the operation makes a new one.
    VersionNotAllowed = "VERSION_NOT_ALLOWED", Caller, 400, final, "leave ?version= out: only a read or a delete of one version takes it";
    /// A malformed `file:` or `db:credentials:` pointer.
    InvalidPointer = "INVALID_POINTER", Caller, 400, final, "write it as file:store:name or db:credentials:uuid";
    /// A setting that is not set and has no default.
    MissingSetting = "MISSING_SETTING", Caller, 500, final, "set the key that is named";
    /// A setting whose value can't be understood.
    InvalidSetting = "INVALID_SETTING", Caller, 500, final, "correct the key that is named";
    /// A value that can't be written, such as a scalar for a whole secret.
    InvalidValue = "INVALID_VALUE", Caller, 400, final, "a whole secret is a JSON object; with a fragment any JSON value will do";
    /// A value over OpenBao's limits: 1 MiB stored, 32 MiB and 1000 texts (keys included) for a request.
    ValueTooLarge = "VALUE_TOO_LARGE", Caller, 413, final, "store less than 1 MiB, and fewer than 1000 keys and texts, in one secret";
    /// A secret's value has another type than the one it was exposed as.
    WrongType = "WRONG_TYPE", Caller, 400, final, "expose it as the type that it has";
    /// No secret was ever written at the path. A mount of KVv1 says the same of what it does not have, in the
    /// same words, so that only another request (`sys().mounts()`) tells the two apart.
    SecretNotFound = "SECRET_NOT_FOUND", Caller, 404, final, "check the path and that the mount is KVv2, or write the secret first";
    /// OpenBao has nothing at a path that is no secret of KVv2.
    NotFound = "NOT_FOUND", Caller, 404, final, "check the path";
    /// The secret's newest version was deleted; it can be undeleted.
    SecretDeleted = "SECRET_DELETED", Caller, 404, final, "undelete the version, write a new one, or read an older one";
    /// The secret's newest version was destroyed: its data is gone for good.
    SecretDestroyed = "SECRET_DESTROYED", Caller, 404, final, "write a new version, or read an older one";
    /// The secret has no such key.
    FragmentNotFound = "FRAGMENT_NOT_FOUND", Caller, 404, final, "check the key after the #";
    /// The pinned version was never written, or has been pruned.
    VersionNotFound = "VERSION_NOT_FOUND", Caller, 404, final, "list the versions that there are";
    /// The pinned version was deleted; it can be undeleted.
    VersionDeleted = "VERSION_DELETED", Caller, 409, final, "undelete the version, or read another one";
    /// The pinned version was destroyed: its data is gone for good.
    VersionDestroyed = "VERSION_DESTROYED", Caller, 409, final, "read another version; this one can't be brought back";
    /// Another writer came first: the check-and-set parameter did not match.
    CasConflict = "CAS_CONFLICT", Caller, 409, final, "read the secret again and decide anew";
    /// Another process is at work on a rotation of the secret.
    RotationInProgress = "ROTATION_IN_PROGRESS", Caller, 409, final, "wait until it is over, or until its lease is; then any process may finish it";
    /// The rotation that is to be resumed is not the last one of the secret, or was never recorded.
    RotationUnknown = "ROTATION_UNKNOWN", Caller, 404, final, "see the secret's versions and its custom_metadata baokit_rotation";
    /// What a rotation changes outside OpenBao could not be changed.
    RotationFailed = "ROTATION_FAILED", Caller, 502, final, "mend what the reason names; rotate again where the old value was brought back, else resume the rotation";
    /// The mount takes writes with a check-and-set parameter only.
    CasRequired = "CAS_REQUIRED", Caller, 400, final, "write with cas: 0 for a new secret, else its current version";
    /// OpenBao called the request malformed.
    RequestRejected = "REQUEST_REJECTED", Caller, 400, final, "check the parameters of the request against OpenBao's API";
    /// A call that concerns one node, of a client that has several, or a node that is not the client's.
    InvalidNode = "INVALID_NODE", Caller, 400, final, "name one of the client's nodes, as in sys().at(url)";
    /// The reader or writer that the caller passed in failed.
    LocalIo = "LOCAL_IO", Caller, 500, final, "see the reason; what was written so far is not complete";
    /// The client was closed.
    ClientClosed = "CLIENT_CLOSED", Caller, 500, final, "make a new client";

    /// The URI's mount is not among the tenant's mounts.
    TenantMountMismatch = "TENANT_MOUNT_MISMATCH", Policy, 400, final, "add the mount to TENANT_ALLOWED_MOUNTS if this tenant may use it";
    /// OpenBao does not accept the credential, or the token is dead and no other can be had.
    AuthenticationFailed = "AUTHENTICATION_FAILED", Policy, 502, final, "check the token, or the role id and secret id, and whether they have expired";
    /// A wrapping token that is not valid any more: its content was taken out before, or its time is over.
    WrappingTokenSpent = "WRAPPING_TOKEN_SPENT", Policy, 502, final, "it was unwrapped before, perhaps by somebody else, or is too old: revoke what was in it (a secret id, say) and issue another";
    /// The token is good, but its policies do not allow the request.
    PermissionDenied = "PERMISSION_DENIED", Policy, 403, final, "grant the capability on the path that is named (KVv2 policies name mount/data/… and mount/metadata/…)";

    /// Nothing is mounted where the path points.
    MountNotFound = "MOUNT_NOT_FOUND", Server, 404, final, "check the mount's name, or enable it";
    /// The server is sealed.
    ServerSealed = "SERVER_SEALED", Server, 503, retryable, "unseal the node that is named";
    /// The server has never been initialised.
    ServerNotInitialized = "SERVER_NOT_INITIALIZED", Server, 503, final, "initialise and unseal the cluster";
    /// The cluster has no leader at the moment.
    NoLeader = "NO_LEADER", Server, 503, retryable, "wait for the election, then see whether a quorum of nodes is up";
    /// No node could show a state as new as the client has seen, or as was asked for.
    StaleRead = "STALE_READ", Server, 503, retryable, "see whether the cluster has a leader; the secret may have changed, and what a node shows of it is too old";
    /// A rate limit quota refused the request.
    RateLimited = "RATE_LIMITED", Server, 429, retryable, "send fewer requests, or raise the quota";
    /// The server answered with an error of its own.
    ServerError = "SERVER_ERROR", Server, 502, retryable, "see the log of the node that is named";
    /// An answer that OpenBao does not give: cut off, of another type, or a proxy's.
    MalformedAnswer = "MALFORMED_ANSWER", Server, 502, retryable, "see what answers at that address: a proxy or a log-in page, perhaps";
    /// An answer over the limit of [`crate::http::MAX_ANSWER_BYTES`].
    AnswerTooLarge = "ANSWER_TOO_LARGE", Server, 502, final, "see what answers at that address";
    /// A redirect to an address that is not among the configured ones; it was not followed.
    RedirectRefused = "REDIRECT_REFUSED", Server, 502, final, "add the node to the list of URLs if it belongs to the cluster";
    /// The server, or a proxy, changed the path; the request was not sent to the changed one.
    PathRewritten = "PATH_REWRITTEN", Server, 502, final, "see whether a proxy before OpenBao rewrites paths";
    /// The server does not know the operation.
    NotSupported = "NOT_SUPPORTED", Server, 501, final, "check the method and the server's version";

    /// No connection to any node.
    ServerUnreachable = "SERVER_UNREACHABLE", Transport, 502, retryable, "check the address, the port and whether the server runs";
    /// The TLS handshake failed: an unknown authority, a wrong name, an expired certificate.
    TlsFailed = "TLS_FAILED", Transport, 502, final, "check the private CA (OPENBAO_CACERT), the certificate's names and its dates";
    /// The connection broke before the answer was complete.
    ConnectionLost = "CONNECTION_LOST", Transport, 502, retryable, "check the network and whether the node restarted";
    /// The deadline of the operation passed.
    DeadlineExceeded = "DEADLINE_EXCEEDED", Transport, 504, retryable, "check whether the node answers at all; VAULT_TIMEOUT is the deadline of a whole operation";
    /// A change was sent and its outcome is not known: it may have happened, and may still happen.
    Indeterminate = "INDETERMINATE", Transport, 502, final, "read what is there before you send it again: it may have happened, and may still happen";

    /// A state that baokit's authors thought impossible.
    Internal = "INTERNAL", Bug, 500, final, "please report it with this text";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failed operation: what failed, where, after how many tries, and what to do next.
///
/// ```
/// use baokit_core::{Code, Error};
///
/// let error = Error::new(Code::SecretNotFound).about("secret/app/api");
/// assert_eq!(error.code().as_str(), "SECRET_NOT_FOUND");
/// assert_eq!(
///     error.to_string(),
///     "SECRET_NOT_FOUND: secret/app/api; check the path and that the mount is KVv2, or write the secret first",
/// );
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: Code,
    subject: Option<Cow<'static, str>>,
    reason: Option<Cow<'static, str>>,
    node: Option<String>,
    tries: u32,
    retry_after: Option<Duration>,
}

impl Error {
    /// An error of this code that says nothing else yet.
    #[must_use]
    pub fn new(code: Code) -> Self {
        Self(Box::new(Inner { code, subject: None, reason: None, node: None, tries: 0, retry_after: None }))
    }

    /// Names the key, path or host at fault. Never pass a value or a token.
    #[must_use]
    pub fn about(mut self, subject: impl Into<Cow<'static, str>>) -> Self {
        self.0.subject = Some(subject.into());
        self
    }

    /// Says what exactly was wrong. Never pass text that came from a server, a value or a token.
    #[must_use]
    pub fn because(mut self, reason: impl Into<Cow<'static, str>>) -> Self {
        self.0.reason = Some(reason.into());
        self
    }

    /// Names the node that was asked last, and how many requests were sent by then.
    #[must_use]
    pub fn at(mut self, node: impl Into<String>, tries: u32) -> Self {
        self.0.node = Some(node.into());
        self.0.tries = tries;
        self
    }

    /// Says when the same request may succeed, where the server has said so.
    pub(crate) fn after(mut self, time: Option<Duration>) -> Self {
        self.0.retry_after = time;
        self
    }

    /// The same story with an outcome that is not known.
    pub(crate) fn into_indeterminate(mut self) -> Self {
        let was = self.0.code;
        let reason = self.0.reason.take().unwrap_or_else(|| was.as_str().into());
        self.0.code = Code::Indeterminate;
        self.because(format!("no certain answer ({reason})"))
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The key, path or host at fault, where one is known.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }

    /// The node that was asked last, as `https://host:port`, where one was asked.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.0.node.as_deref()
    }

    /// How many requests were sent, 0 where none was.
    #[must_use]
    pub fn tries(&self) -> u32 {
        self.0.tries
    }

    /// When the same call may succeed, where the server has said so: its `Retry-After`, of a quota say, in whole
    /// seconds. The client has waited for it as long as its deadline let it.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether the same call may succeed later; see [`Code::is_retryable`].
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.code.is_retryable()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { code, subject, reason, node, tries, .. } = &*self.0;
        write!(f, "{code}: ")?;
        if let Some(subject) = subject {
            write!(f, "{subject}")?;
        }
        if let Some(reason) = reason {
            write!(f, "{}{reason}", if subject.is_some() { ": " } else { "" })?;
        }
        if let Some(node) = node {
            let plural = if *tries == 1 { "try" } else { "tries" };
            write!(f, " (node {node}, {tries} {plural})")?;
        }
        let lead = if subject.is_none() && reason.is_none() && node.is_none() { "" } else { "; " };
        write!(f, "{lead}{}", code.advice())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self})")
    }
}

impl std::error::Error for Error {}
