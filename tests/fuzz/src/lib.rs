//! What is fuzzed, each as one function from bytes to a verdict. A panic is a finding.
//!
//! | target | what is read | what must hold, beside that nothing panics |
//! |---|---|---|
//! | [`uri`] | URIs, prefixes, pointers | canonical text is a fixed point; the web's reader of addresses changes nothing in the wire path |
//! | [`jwt`] | access tokens | none is accepted that was not signed by the issuer as it stands, nor one whose claims are wrong |
//! | [`dpop`] | proofs of possession | the same, for the key that the token is bound to |
//! | [`jwks`] | key sets and discovery documents | a token is accepted only where its key is in the set |
//! | [`query`] | request lines and headers of the Secrets API | never a 500, always JSON, never kept by a cache |
//! | [`body`] | bodies of the Secrets API | the same, and no error repeats a value |
//! | [`pdp`] | answers of a PDP | a permit only where `decision` is `true` |
//!
//! They go in by the public entry points, with a host that answers at once.

pub mod api;
pub mod dpop;
pub mod jwks;
pub mod jwt;
pub mod pdp;
pub mod uri;
pub mod world;

/// Keys, tokens and proofs: those of the service's own tests.
#[allow(missing_docs, reason = "it is a part of another crate's tests")]
#[path = "../../../core/service/tests/bearer/keys.rs"]
pub mod keys;

pub use api::{body, query};

/// Whether an input may be built upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It reached what is fuzzed.
    Worth,
    /// It is not of the form that the target takes.
    NoInput,
}

/// One target.
pub type Target = fn(&[u8]) -> Judged;

/// All targets, by their names.
pub const TARGETS: [(&str, Target); 7] = [
    ("uri", uri::run),
    ("jwt", jwt::run),
    ("dpop", dpop::run),
    ("jwks", jwks::run),
    ("query", api::query),
    ("body", api::body),
    ("pdp", pdp::run),
];

/// The target with this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}
