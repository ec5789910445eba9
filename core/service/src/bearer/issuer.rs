//! How the issuer's keys are got: its discovery document (OpenID Connect Discovery, section 4; RFC 8414), and its key
//! set (RFC 7517, section 5).
//!
//! Only the configured issuer is asked, and the one address that its document names: over https, or over http on this
//! machine where the issuer is configured so. Redirects are not followed.

use baokit_core::Host;
use baokit_core::config::{Origin, Scheme};
use baokit_core::http::{Failure, FailureKind, Method, Request};
use serde_json::Value;

use super::json;
use super::jwk::Key;
use super::keys::unreachable;
use crate::settings::{Endpoint, Settings};
use crate::{Error, Result};

/// Longest document, in bytes.
const MAX_DOCUMENT: usize = 256 * 1024;
/// Most keys of a set.
const MAX_KEYS: usize = 100;

/// Where the keys come from.
#[derive(Debug)]
pub(super) enum Source {
    /// From a configured address.
    At(Location),
    /// From the address that the issuer's document names.
    Of {
        /// As its tokens and its document name it.
        issuer: String,
        document: Location,
    },
}

/// An address to fetch from: path and query go onto the wire as they stand.
#[derive(Debug)]
pub(super) struct Location {
    origin: Origin,
    target: String,
}

impl Source {
    /// As configured; `None` where nobody's tokens count.
    pub fn of(settings: &Settings) -> Option<Self> {
        if let Some(url) = &settings.jwks_url {
            return Some(Self::At(Location { origin: url.origin().clone(), target: target(url.path()) }));
        }
        let issuer = settings.issuer.clone()?;
        // The settings have parsed it before.
        let url = Endpoint::parse(&issuer).ok()?;
        let document = Location { origin: url.origin().clone(), target: url.join("/.well-known/openid-configuration") };
        Some(Self::Of { issuer, document })
    }

    /// Fetches the keys. Where the document names an address it is read each time: keys are withdrawn by naming
    /// another one, too.
    pub async fn fetch<H: Host>(&self, host: &H) -> Result<Vec<Key>> {
        let set = match self {
            Self::At(location) => location.fetch(host).await?,
            Self::Of { issuer, document } => {
                key_set(issuer, &document.origin, &document.fetch(host).await?)?.fetch(host).await?
            }
        };
        keys(&set)
    }
}

impl Location {
    async fn fetch<H: Host>(&self, host: &H) -> Result<Vec<u8>> {
        let request = Request::new(Method::Get, self.origin.clone(), self.target.as_str());
        let answer = host.send(request.with_header("accept", "application/json")).await;
        let answer = answer.map_err(|failure| self.failed(&failure))?;
        match (answer.status(), answer.body().len()) {
            (200, 0..=MAX_DOCUMENT) => Ok(answer.body().to_vec()),
            (200, _) => Err(unreachable(format!("{} sent more than 256 KiB", self.origin))),
            (300..=399, _) => Err(unreachable(format!("{} redirects, which is not followed", self.origin))),
            (status, _) => Err(unreachable(format!("{} answered with status {status}", self.origin))),
        }
    }

    fn failed(&self, failure: &Failure) -> Error {
        let what = match failure.kind() {
            FailureKind::Connect => "does not accept connections",
            FailureKind::Tls => "and this host don't agree on TLS; see its certificate and the CA",
            FailureKind::TooLarge => "sent more than can be read",
            FailureKind::Timeout => "did not answer in time",
            _ => "broke the connection off",
        };
        unreachable(format!("{} {what}", self.origin))
    }
}

/// The path, which is never empty on the wire.
fn target(path: &str) -> String {
    if path.is_empty() { "/".to_owned() } else { path.to_owned() }
}

/// Where the issuer's document says that its keys are.
fn key_set(issuer: &str, asked: &Origin, document: &[u8]) -> Result<Location> {
    let document = json::object(document).map_err(|reason| unreachable(format!("the issuer's document {reason}")))?;
    if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
        return Err(unreachable("the issuer's document names another issuer than OIDC_ISSUER, byte for byte"));
    }
    let url = document.get("jwks_uri").and_then(Value::as_str);
    let url = url.ok_or_else(|| unreachable("the issuer's document has no jwks_uri"))?;
    let wrong = || unreachable("the jwks_uri in the issuer's document is no https URL without user and fragment");
    let (address, query) = url.split_once('?').map_or((url, None), |(address, query)| (address, Some(query)));
    let address = Endpoint::parse(address).map_err(|_| wrong())?;
    // On this machine for an issuer on this machine, and for no other.
    if address.origin().scheme() == Scheme::Http && asked.scheme() == Scheme::Https {
        return Err(wrong());
    }
    let target = target(address.path());
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte);
    match query {
        None => Ok(Location { origin: address.origin().clone(), target }),
        Some(query) if query.bytes().all(legal) => {
            Ok(Location { origin: address.origin().clone(), target: format!("{target}?{query}") })
        }
        Some(_) => Err(wrong()),
    }
}

/// The keys of a set that can be used here; what can't is passed over (RFC 7517, section 5).
fn keys(document: &[u8]) -> Result<Vec<Key>> {
    let document = json::object(document).map_err(|reason| unreachable(format!("the key set {reason}")))?;
    let keys = document.get("keys").and_then(Value::as_array);
    let keys = keys.ok_or_else(|| unreachable("the key set has no list keys"))?;
    if keys.len() > MAX_KEYS {
        return Err(unreachable("the key set has more than 100 keys"));
    }
    Ok(keys.iter().filter_map(Value::as_object).filter_map(|key| Key::parse(key).ok()).collect())
}
