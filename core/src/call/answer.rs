//! Answers: reading OpenBao's JSON envelope, and recognising what an error answer says.
//!
//! A server's text is never repeated in an error, since it may quote what was sent. Only fixed
//! phrases of OpenBao (and of Vault, which speaks the same protocol) are recognised, and those are
//! what errors show.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::object::Object;
use super::{Bearer, Spec};
use crate::error::{Code, Error, Result};
use crate::http::Response;
use crate::secret::SecretValue;

/// An error body longer than this is no OpenBao error.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// A final answer, on its way to the reader of its call.
#[derive(Debug)]
pub(crate) struct Answer {
    pub response: Response,
    pub said: Option<Said>,
    /// Whether an earlier try of the same call may have been executed, or may still be.
    pub in_doubt: bool,
}

/// What an error answer says, as far as baokit knows the phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// The token is unknown, expired or revoked.
    TokenDead,
    /// The token lives; a capability is missing.
    MissingRight,
    /// One of the phrases below: as all that was said, or as a part of it.
    Phrase(&'static Phrase, Extent),
    /// OpenBao's error document with an empty list.
    Nothing,
    /// OpenBao's error document with text that is not in the table.
    Unknown,
    /// No error document of OpenBao: a proxy's page, a body that was cut off.
    Foreign,
}

/// Whether a phrase is all that an error answer says.
///
/// In the middle of a request that is being carried out, the same words come wrapped in others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    Whole,
    Part,
}

/// A phrase of OpenBao and what it means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Phrase {
    text: &'static str,
    code: Code,
    /// Said at the door, where it is all that is said: the request was not carried out.
    before_execution: bool,
}

const fn phrase(text: &'static str, code: Code) -> Phrase {
    Phrase { text, code, before_execution: false }
}

const fn refused(text: &'static str, code: Code) -> Phrase {
    Phrase { text, code, before_execution: true }
}

/// What a refused log-in that goes along begins with, where it is not told in the words of the log-in itself.
const INLINE_REFUSED: &str = "failed to perform inline authentication";

/// The first phrase that occurs decides.
static PHRASES: &[Phrase] = &[
    phrase(INLINE_REFUSED, Code::AuthenticationFailed),
    phrase("check-and-set parameter did not match the current version", Code::CasConflict),
    phrase("metadata check-and-set parameter does not match the current version", Code::CasConflict),
    phrase("metadata_cas must be 0 when creating new metadata", Code::CasConflict),
    phrase("check-and-set parameter required for this call", Code::CasRequired),
    phrase("no handler for route", Code::MountNotFound),
    phrase("unsupported path", Code::NotSupported),
    phrase("unsupported operation", Code::NotSupported),
    refused("Vault is sealed", Code::ServerSealed),
    refused("Vault is not initialized", Code::ServerNotInitialized),
    refused("local node not active but active cluster node not found", Code::NoLeader),
    refused("rate limit quota exceeded", Code::RateLimited),
    refused("Upgrading from non-versioned to versioned data", Code::ServerError),
    // A standby's words for it, for as long as it has not heard that the leader is done.
    refused("Waiting for the primary to upgrade from non-versioned to versioned data", Code::ServerError),
    phrase("invalid role or secret ID", Code::AuthenticationFailed),
    phrase("invalid role ID", Code::AuthenticationFailed),
    phrase("invalid secret id", Code::AuthenticationFailed),
    phrase("missing secret_id", Code::AuthenticationFailed),
    phrase("missing role_id", Code::AuthenticationFailed),
    phrase("missing client token", Code::AuthenticationFailed),
    phrase("invalid username or password", Code::AuthenticationFailed),
    phrase("error validating token", Code::AuthenticationFailed),
    phrase("namespace not found", Code::NotFound),
    phrase("request body too large", Code::ValueTooLarge),
    phrase("value being too large", Code::ValueTooLarge),
    // 1000 texts, keys included, in one request.
    phrase("refused JSON input due to high complexity", Code::ValueTooLarge),
    phrase("no data provided", Code::RequestRejected),
    phrase("error parsing check-and-set parameter", Code::RequestRejected),
    phrase("wrapping token is not valid or does not exist", Code::WrappingTokenSpent),
    phrase("failed to decode JSON input", Code::RequestRejected),
    phrase("failed to parse JSON input", Code::RequestRejected),
    phrase("lease is not renewable", Code::RequestRejected),
    phrase("lease not found", Code::NotFound),
    phrase("invalid lease", Code::NotFound),
    phrase("endpoint requires response wrapping to be used", Code::RequestRejected),
    phrase("path is already in use at", Code::RequestRejected),
    phrase("plugin not found in the catalog", Code::RequestRejected),
    phrase("No secret engine mount at", Code::MountNotFound),
    phrase("failed to parse policy", Code::RequestRejected),
    phrase("Vault is already initialized", Code::RequestRejected),
    phrase("invalid seal configuration", Code::RequestRejected),
    phrase("'key' must be", Code::RequestRejected),
    phrase("failed to decrypt keys from storage", Code::RequestRejected),
    phrase("invalid key", Code::RequestRejected),
    phrase("failed to join raft cluster", Code::RequestRejected),
    phrase("server is already a non-voter", Code::RequestRejected),
    phrase("server is not a non-voter", Code::RequestRejected),
    phrase("not found in raft configuration", Code::RequestRejected),
    phrase("failed to decompress snapshot", Code::RequestRejected),
    phrase("Field validation failed", Code::RequestRejected),
];

impl Said {
    /// What an answer that is no success says.
    pub fn read(response: &Response) -> Self {
        let body = response.body();
        if body.len() > MAX_ERROR_BYTES || !is_json(response) {
            return Self::Foreign;
        }
        // The only document that counts as an error of OpenBao's.
        let document = serde_json::from_slice::<SecretValue>(body).ok().and_then(Object::of);
        let Some(errors) = document.and_then(|document| document.list("errors")) else {
            return Self::Foreign;
        };
        let [first, ..] = errors.as_slice() else { return Self::Nothing };
        // Vault, since 1.15, adds the second reason to the first.
        if first == "permission denied" || first.contains("* invalid token") {
            return Self::TokenDead;
        }
        if first.contains("permission denied") && !first.starts_with(INLINE_REFUSED) {
            return Self::MissingRight;
        }
        let Some(phrase) = PHRASES.iter().find(|phrase| errors.iter().any(|text| text.contains(phrase.text))) else {
            return Self::Unknown;
        };
        let whole = errors.len() == 1 && first == phrase.text;
        Self::Phrase(phrase, if whole { Extent::Whole } else { Extent::Part })
    }

    /// Whether the answer proves that the request was not carried out, and it may be sent again.
    pub fn is_refusal_at_the_door(self, status: u16) -> bool {
        match self {
            // A quota, and a standby that is behind its index.
            _ if matches!(status, 412 | 429) => true,
            Self::Phrase(phrase, extent) => phrase.before_execution && (extent == Extent::Whole || status == 400),
            _ => false,
        }
    }

    /// Whether it refuses who asks, not what is asked.
    pub fn refuses_log_in(self) -> bool {
        matches!(self, Self::Phrase(phrase, _) if phrase.code == Code::AuthenticationFailed)
    }

    /// Whether it is a refusal that another node may not give: a policy or a wrapping token reaches a standby
    /// after 100 ms, a mount after a second.
    pub fn may_be_late(self) -> bool {
        match self {
            Self::MissingRight => true,
            Self::Phrase(phrase, _) => matches!(phrase.code, Code::MountNotFound | Code::WrappingTokenSpent),
            _ => false,
        }
    }

    /// The error for an answer that is no success and that its call has no better reading of.
    pub fn into_error(self, spec: &Spec, status: u16) -> Error {
        let (code, reason) = match (self, status) {
            (_, 429) => (Code::RateLimited, "the server answered 429".to_owned()),
            (Self::Phrase(phrase, _), _) => (phrase.code, phrase.text.to_owned()),
            (Self::TokenDead, _) => {
                let reason = match spec.bearer {
                    Bearer::Nobody if spec.path().starts_with("auth/") => {
                        "the log-in is refused: is the method mounted there?"
                    }
                    Bearer::Nobody => "it is refused without a token",
                    Bearer::Client | Bearer::Token(_) => "the server does not know the token",
                };
                (Code::AuthenticationFailed, reason.to_owned())
            }
            (Self::MissingRight, _) => (Code::PermissionDenied, "no policy of the token allows it".to_owned()),
            (_, 502..=504) => (Code::ServerError, format!("the server, or a proxy before it, answered {status}")),
            (_, 413) => (Code::ValueTooLarge, "the server answered 413".to_owned()),
            (Self::Foreign, _) => (Code::MalformedAnswer, format!("a {status} that is no answer of OpenBao's")),
            (_, 403) => (Code::PermissionDenied, "the server answered 403".to_owned()),
            (_, 404) => (Code::NotFound, "the server has nothing there".to_owned()),
            (_, 405) => (Code::NotSupported, "the server answered 405".to_owned()),
            (_, 400..=499) => (Code::RequestRejected, format!("the server answered {status}")),
            _ => (Code::ServerError, format!("the server answered {status}")),
        };
        Error::new(code).about(spec.path().to_owned()).because(reason)
    }
}

/// OpenBao labels every answer with a body as JSON; a proxy's page calls itself something else.
fn is_json(response: &Response) -> bool {
    response.content_type().is_some_and(|kind| {
        let essence = kind.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/json")
    })
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.response.status())
    }

    /// Whether OpenBao has nothing there: no key, no version, no entry of a list.
    pub fn is_of_nothing(&self) -> bool {
        self.response.status() == 404 && self.said == Some(Said::Nothing)
    }

    /// Whether it may be about a version that is deleted or destroyed: a 404 with the document of a
    /// success.
    pub fn is_of_gone(&self) -> bool {
        self.response.status() == 404 && self.said == Some(Said::Foreign)
    }

    /// The error for an answer that is no success.
    pub fn into_error(self, spec: &Spec) -> Error {
        let status = self.response.status();
        self.said.unwrap_or(Said::Foreign).into_error(spec, status)
    }

    /// The `data` of a successful answer.
    pub fn data<T: DeserializeOwned>(self, spec: &Spec) -> Result<T> {
        self.document::<Envelope<T>>(spec).map(|envelope| envelope.data)
    }

    /// The whole document of a successful answer.
    pub fn document<T: DeserializeOwned>(self, spec: &Spec) -> Result<T> {
        if self.is_success() { parse(spec, &self.response) } else { Err(self.into_error(spec)) }
    }

    /// What `read` finds in the `data` of a successful answer.
    pub fn data_as<T>(self, spec: &Spec, read: fn(Object) -> Option<T>) -> Result<T> {
        if self.is_success() { self.part(spec, "data", read) } else { Err(self.into_error(spec)) }
    }

    /// What `read` finds in the `auth` of a successful answer.
    pub fn auth_as<T>(self, spec: &Spec, read: fn(Object) -> Option<T>) -> Result<T> {
        if self.is_success() { self.part(spec, "auth", read) } else { Err(self.into_error(spec)) }
    }

    /// What `read` finds in one part of the document, whatever the status.
    pub fn part<T>(&self, spec: &Spec, name: &str, read: fn(Object) -> Option<T>) -> Result<T> {
        let part = parse_object(spec, &self.response)?.and_then(|mut document| document.object(name));
        part.and_then(read).ok_or_else(|| another_shape(spec, &self.response))
    }

    /// The whole document of a successful answer, null for one without content.
    pub fn whole(spec: &Spec, answer: Self) -> Result<SecretValue> {
        // The only success without a document; a proxy's page is a 200.
        if answer.response.status() == 204 && answer.response.body().is_empty() {
            return Ok(SecretValue::default());
        }
        answer.document(spec)
    }

    /// A success whose document does not matter.
    pub fn nothing(spec: &Spec, answer: Self) -> Result<()> {
        Self::whole(spec, answer).map(drop)
    }
}

/// Reads a document of OpenBao's.
///
/// serde's text quotes the value that surprised it, so only the place is kept.
pub(crate) fn parse<T: DeserializeOwned>(spec: &Spec, response: &Response) -> Result<T> {
    if !is_json(response) {
        return Err(malformed(spec, format!("a {} that is not JSON", response.status())));
    }
    serde_json::from_slice(response.body()).map_err(|error| misread(spec, response, &error))
}

/// The object that a document of OpenBao's is; none where it is something else.
fn parse_object(spec: &Spec, response: &Response) -> Result<Option<Object>> {
    parse::<SecretValue>(spec, response).map(Object::of)
}

fn another_shape(spec: &Spec, response: &Response) -> Error {
    let reason =
        format!("a {} where the JSON has another shape, of {} bytes", response.status(), response.body().len());
    malformed(spec, reason)
}

fn misread(spec: &Spec, response: &Response, error: &serde_json::Error) -> Error {
    let what = match error.classify() {
        // serde's own text, which quotes nothing here.
        _ if error.to_string().starts_with("recursion limit") => "the JSON is nested too deep",
        Category::Eof => "the JSON is cut off",
        Category::Data => "the JSON has another shape",
        Category::Syntax | Category::Io => "it is not JSON",
    };
    let (status, place, size) = (response.status(), error.column(), response.body().len());
    malformed(spec, format!("a {status} where {what}, at byte {place} of {size}"))
}

fn malformed(spec: &Spec, reason: String) -> Error {
    Error::new(Code::MalformedAnswer).about(spec.path().to_owned()).because(reason)
}

/// A response for tests of readers.
#[cfg(test)]
pub(crate) fn json(status: u16, body: &str) -> Response {
    Response::new(status, zeroize::Zeroizing::new(body.as_bytes().to_vec())).header("content-type", b"application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(body: &str) -> Said {
        Said::read(&json(400, body))
    }

    #[test]
    fn a_dead_token_and_a_missing_right_are_told_apart() {
        assert_eq!(said(r#"{"errors":["permission denied"]}"#), Said::TokenDead);
        assert_eq!(
            said(r#"{"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}"#),
            Said::TokenDead
        );
        assert_eq!(said(r#"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#), Said::MissingRight);
    }

    #[test]
    fn a_mount_that_is_being_upgraded_serves_a_moment_later_and_did_nothing() {
        for first in ["Upgrading", "Waiting for the primary to upgrade"] {
            let body = format!(
                r#"{{"errors":["{first} from non-versioned to versioned data. This backend will be unavailable for a brief period"]}}"#
            );
            assert!(said(&body).is_refusal_at_the_door(400), "{first}");
        }
    }

    #[test]
    fn only_an_error_document_counts_as_openbao_s() {
        assert_eq!(said(r#"{"errors":[]}"#), Said::Nothing);
        assert_eq!(said(r#"{"errors":["something new"]}"#), Said::Unknown);
        for foreign in ["", "{}", "[]", r#"{"errors":"x"}"#, r#"{"errors":[1]}"#, r#"{"errors":["#, "<html>"] {
            assert_eq!(said(foreign), Said::Foreign, "{foreign}");
        }
        let html = Response::new(404, zeroize::Zeroizing::new(br#"{"errors":[]}"#.to_vec()))
            .header("Content-Type", b"text/html");
        assert_eq!(Said::read(&html), Said::Foreign);
    }

    #[test]
    fn text_of_a_server_is_not_repeated() {
        let spec = super::super::kv2::read(super::super::kv2::Address::for_test("secret", "app"), None).spec;
        for body in [
            r#"{"errors":["canary"]}"#,
            r#"{"errors":["check-and-set parameter required for this call canary"]}"#,
            "canary",
        ] {
            let error = said(body).into_error(&spec, 400);
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        }
    }
}
