//! Access tokens (RFC 9068), proofs of possession (RFC 9449) and client certificates (RFC 8705): who sent a request.
//!
//! # What is checked
//! - **Token**: a JWT of at most 16 KiB, signed with RS256, PS256, ES256 or EdDSA by a key of the issuer. The key says
//!   which algorithm is possible. `iss` equals `OIDC_ISSUER` byte for byte; `exp` is required and has no leeway; `nbf`
//!   and `iat` may lie up to 60 s ahead. `aud`, scopes and replay are checked later, in the order of the checks.
//! - **Kind**: `typ` is `at+jwt`. Issuers that write `JWT`, or nothing, are accepted too, since many of them do; ID
//!   tokens (`nonce`, `at_hash`, `c_hash`, `s_hash`), logout tokens and refresh tokens are refused.
//! - **Keys**: from `AUTH_JWKS_URL`, else by discovery. They count for 60 s after they were fetched, and are fetched
//!   anew after 30 s of use; for an unknown `kid` at once, and once a minute at most. RSA keys have 2048 to 4096 bits.
//! - **Binding**: a token with `cnf.jkt` is sent as `DPoP`, with one proof; one with `cnf.x5t#S256` over a connection
//!   with that client certificate; one with both, with both. `INBOUND_AUTH_MODE` may ask for a binding.
//! - **Proof**: `htm`, `htu` (against `SECRETS_PUBLIC_URL`, never the header `Host`), `ath`, and an `iat` at most 60 s
//!   away. That it is used once is checked by whoever keeps [`UsedProof`].
//!
//! # Without a token
//! A request without an access token is [`Caller::anonymous`] where `SECRETS_API_REQUIRE_AUTH` is off. So is one with a
//! token where neither `OIDC_ISSUER` nor `AUTH_JWKS_URL` is set: nobody could verify it, and it lends nothing. A token
//! that can be verified and is wrong is refused, whatever the settings: nobody falls back to being anonymous.

pub mod certificate;

mod claims;
mod dpop;
mod htu;
mod issuer;
mod json;
mod jwk;
mod jws;
mod keys;
#[cfg(test)]
mod tests;
mod verified;

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baokit_core::Host;
use sha2::{Digest, Sha256};

use self::claims::Claims;
pub use self::dpop::UsedProof;
use self::issuer::Source;
use self::jws::Jws;
use self::keys::{KeySet, Keys, Want};
use self::verified::{Cache, Verified};
use crate::caller::{Caller, SenderKey};
use crate::settings::{Endpoint, InboundAuth, Settings};
use crate::{Code, Error, Result};

/// How far the clocks of issuer, caller and service may be apart.
const LEEWAY: Duration = Duration::from_secs(60);
/// Longest access token, in bytes.
const MAX_TOKEN: usize = 16 * 1024;
/// Longest key id that an error repeats, in bytes.
const MAX_SHOWN: usize = 64;

/// What a request shows of its caller, as the host received it.
#[derive(Clone, Copy, Default)]
#[non_exhaustive]
pub struct Presented<'a> {
    /// The method, in its own case: `GET`.
    pub method: &'a str,
    /// The path of the request, escaped as it came, as it stands below `SECRETS_PUBLIC_URL`. A query is ignored.
    pub path: &'a str,
    /// Every header `Authorization`.
    pub authorization: &'a [&'a str],
    /// Every header `DPoP`.
    pub dpop: &'a [&'a str],
    /// The client's certificate, as [`certificate::of_request`] has found it.
    pub certificate: Option<&'a SenderKey>,
}

impl<'a> Presented<'a> {
    /// A request that shows nothing yet.
    #[must_use]
    pub fn new(method: &'a str, path: &'a str) -> Self {
        Self { method, path, ..Self::default() }
    }
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The headers are what an eavesdropper would like to read.
        f.debug_struct("Presented").field("method", &self.method).finish_non_exhaustive()
    }
}

/// A caller whose token and proof are right.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Authenticated {
    /// Who it is. The sender key is there where the token is bound to one.
    pub caller: Caller,
    /// The proof that came with it, to be remembered as used.
    pub proof: Option<UsedProof>,
}

/// Finds out who sent a request.
///
/// It keeps the issuer's keys, and what it has verified: 10,000 tokens at most. Use one for all requests.
pub struct Bearer {
    keys: Option<Keys>,
    verified: Mutex<Cache>,
    checks: AtomicU64,
    issuer: Option<String>,
    public: Option<Endpoint>,
    inbound: InboundAuth,
    require_auth: bool,
}

impl Bearer {
    /// With these settings, and nothing fetched yet.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            keys: Source::of(settings).map(Keys::new),
            verified: Mutex::default(),
            checks: AtomicU64::new(0),
            issuer: settings.issuer.clone(),
            public: settings.public_url.clone(),
            inbound: settings.inbound,
            require_auth: settings.require_auth,
        }
    }

    /// Verifies token and proof: everything but audience, scope and replay, which come later in the order of checks.
    ///
    /// The future may be dropped at any time. It waits for the issuer alone; a fetch of keys takes 5 s at most.
    ///
    /// ```
    /// use baokit_core::Host;
    /// use baokit_service::Result;
    /// use baokit_service::bearer::{Bearer, Presented};
    ///
    /// /// The name of whoever sent a request.
    /// async fn name<H: Host>(host: &H, bearer: &Bearer, authorization: &[&str]) -> Result<String> {
    ///     let mut presented = Presented::new("GET", "/api/secrets/value");
    ///     presented.authorization = authorization;
    ///     let authenticated = bearer.authenticate(host, &presented).await?;
    ///     Ok(authenticated.caller.subject().to_owned())
    /// }
    /// ```
    ///
    /// # Errors
    /// - [`Code::TokenMissing`]: there is none, and `SECRETS_API_REQUIRE_AUTH` is on.
    /// - [`Code::TokenInvalid`]: malformed, not signed by the issuer, of another kind, not valid yet, not bound as
    ///   `INBOUND_AUTH_MODE` asks, or sent as `DPoP` without being bound to a key.
    /// - [`Code::TokenExpired`]: past its `exp`.
    /// - [`Code::ProofInvalid`]: the token is bound to a key, and the proof is absent or wrong (RFC 9449, section 4.3).
    /// - [`Code::SenderKeyMismatch`]: the proof, or the client's certificate, is of another key than the token's.
    /// - [`Code::KeysUnreachable`]: the issuer's keys can't be had; it says when to try again.
    pub async fn authenticate<H: Host>(&self, host: &H, presented: &Presented<'_>) -> Result<Authenticated> {
        let Some(keys) = &self.keys else { return self.anonymous("nobody's tokens count: OIDC_ISSUER is not set") };
        let (scheme, token) = match credential(presented.authorization)? {
            Ok(credential) => credential,
            Err(reason) => return self.anonymous(reason),
        };
        if token.len() > MAX_TOKEN {
            return Err(invalid("it is longer than 16 KiB"));
        }
        let claims = self.claims(host, keys, token).await?;
        let wall = host.now().wall;
        claims.check_time(wall)?;
        let proof = self.proof(scheme, token, &claims, presented, wall)?;
        let certificate = certificate_of(&claims, presented.certificate)?;
        self.check_mode(claims.jkt.is_some(), claims.certificate.is_some())?;
        let mut caller = claims.caller.clone();
        caller.sender_key = proof.as_ref().map(|proof| SenderKey::Jkt(proof.jkt.clone())).or(certificate);
        Ok(Authenticated { caller, proof })
    }

    /// Verifies a token once more that was right when the request began: its key, its end and its beginning. What else
    /// was shown does not change, and a proof is older than a proof may be by the time that a long request ends.
    pub(crate) async fn verify_again<H: Host>(&self, host: &H, presented: &Presented<'_>) -> Result<()> {
        let Some(keys) = &self.keys else { return Ok(()) };
        let Ok((_, token)) = credential(presented.authorization)? else { return Ok(()) };
        self.claims(host, keys, token).await?.check_time(host.now().wall)
    }

    /// Checks what a host says of a caller that it has authenticated itself: what is asked of a token is asked of it.
    ///
    /// # Errors
    /// - [`Code::TokenMissing`]: it has no subject, and `SECRETS_API_REQUIRE_AUTH` is on.
    /// - [`Code::TokenExpired`]: past [`Caller::expires`].
    /// - [`Code::TokenInvalid`]: without a sender key of the kind that `INBOUND_AUTH_MODE` asks for.
    pub(crate) fn check_known(&self, caller: &Caller, wall: Duration) -> Result<()> {
        if caller.subject.is_none() {
            return self.anonymous("the host names no subject").map(drop);
        }
        check_end(caller, wall)?;
        let (dpop, mtls) = match caller.sender_key {
            Some(SenderKey::Jkt(_)) => (true, false),
            Some(SenderKey::CertificateThumbprint(_)) => (false, true),
            None => (false, false),
        };
        self.check_mode(dpop, mtls)
    }

    /// How many signatures of access tokens were checked, for metrics: a caller who comes back costs none.
    #[must_use]
    pub fn signatures_checked(&self) -> u64 {
        self.checks.load(Ordering::Relaxed)
    }

    fn anonymous(&self, reason: &'static str) -> Result<Authenticated> {
        if self.require_auth {
            return Err(Error::new(Code::TokenMissing).because(reason));
        }
        Ok(Authenticated { caller: Caller::anonymous(), proof: None })
    }

    /// What the token says, where a key that counts at this moment has signed it.
    async fn claims<H: Host>(&self, host: &H, keys: &Keys, token: &str) -> Result<Arc<Claims>> {
        let jws = Jws::parse(token).map_err(|reason| invalid(format!("it {reason}")))?;
        if jws.header.contains_key("jwk") {
            return Err(invalid("it has a header member jwk: keys come from the configured issuer alone"));
        }
        let kid = jwk::kid(&jws.header).map_err(|reason| invalid(format!("it {reason}")))?;
        let before = keys.generation();
        let mut set = keys.get(host, Want::Current).await?;
        // Keys that were fetched for this very request are not fetched again.
        if set.generation == before && kid.is_some_and(|kid| !set.has(kid)) {
            set = keys.get(host, Want::Other(before)).await?;
        }
        let hash: [u8; 32] = Sha256::digest(token).into();
        let known = self.lock().get(&hash);
        if let Some(known) = known {
            // The key must still be there, under the same name and for the same algorithm.
            if set.candidates(kid, jws.algorithm).any(|key| *key.thumbprint == *known.thumbprint) {
                return Ok(known.claims);
            }
            self.lock().remove(&hash);
        }
        let signer = self.signer(&jws, kid, &set)?;
        let mut claims = Claims::read(&jws, self.issuer.as_deref())?;
        // Not of the whole: whoever has a signature of ECDSA can write it in another way.
        claims.caller.token_hash = Some(Sha256::digest(jws.signed()).into());
        let claims = Arc::new(claims);
        let verified =
            Verified { claims: claims.clone(), thumbprint: signer.thumbprint.as_str().into(), bytes: token.len() };
        self.lock().put(hash, verified);
        Ok(claims)
    }

    /// The key that signed it.
    fn signer<'k>(&self, jws: &Jws<'_>, kid: Option<&str>, set: &'k KeySet) -> Result<&'k jwk::Key> {
        let mut tried = false;
        for key in set.candidates(kid, jws.algorithm) {
            tried = true;
            self.checks.fetch_add(1, Ordering::Relaxed);
            if jws.is_signed_by(key) {
                return Ok(key);
            }
        }
        Err(match (tried, kid) {
            (true, _) => invalid("its signature is not of the issuer's key"),
            (false, Some(kid)) if !set.has(kid) => invalid(format!("the issuer has no key with its kid{}", shown(kid))),
            (false, _) => invalid("the issuer has no such key for the token's alg"),
        })
    }

    /// The proof, where the token is bound to a key.
    fn proof(
        &self,
        scheme: Scheme,
        token: &str,
        claims: &Claims,
        presented: &Presented<'_>,
        wall: Duration,
    ) -> Result<Option<UsedProof>> {
        let jkt = match (scheme, &claims.jkt) {
            (Scheme::Bearer, None) => return Ok(None),
            (Scheme::Dpop, None) => {
                return Err(invalid("it is sent as DPoP and is not bound to a key: it has no cnf.jkt"));
            }
            (Scheme::Bearer, Some(_)) => {
                let reason = "the token is bound to a key (cnf.jkt): send it as Authorization: DPoP, with a proof";
                return Err(Error::new(Code::ProofInvalid).because(reason));
            }
            (Scheme::Dpop, Some(jkt)) => jkt,
        };
        let Presented { method, path, .. } = *presented;
        let expected = dpop::Expected { token, method, path, public: self.public.as_ref(), wall };
        let proof = dpop::verify(presented.dpop, &expected)?;
        if proof.jkt != *jkt {
            return Err(mismatch("the proof is of another key than the token's cnf.jkt"));
        }
        Ok(Some(proof))
    }

    fn check_mode(&self, dpop: bool, mtls: bool) -> Result<()> {
        match self.inbound {
            InboundAuth::Dpop if !dpop => Err(invalid("INBOUND_AUTH_MODE asks for tokens with cnf.jkt")),
            InboundAuth::Mtls if !mtls => Err(invalid("INBOUND_AUTH_MODE asks for tokens with cnf.x5t#S256")),
            InboundAuth::Bound if !dpop && !mtls => {
                Err(invalid("INBOUND_AUTH_MODE asks for tokens with cnf.jkt or cnf.x5t#S256"))
            }
            _ => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        // A panic may leave a token uncounted, and nothing wrong.
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer").field("issuer", &self.issuer).field("inbound", &self.inbound).finish_non_exhaustive()
    }
}

/// Whether what is known of a caller still counts: there is no leeway for the end of a token.
pub(crate) fn check_end(caller: &Caller, wall: Duration) -> Result<()> {
    if caller.expires.is_some_and(|end| wall.as_secs() >= end) {
        return Err(Error::new(Code::TokenExpired).because("its exp has passed"));
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Bearer,
    Dpop,
}

/// The access token in the headers, and how it is presented (RFC 6750, section 2.1; RFC 9449, section 7.1). The inner
/// error says why there is none.
fn credential<'a>(headers: &[&'a str]) -> Result<Result<(Scheme, &'a str), &'static str>> {
    let header = match headers {
        [] => return Ok(Err("there is no header Authorization")),
        [header] => header.trim_matches([' ', '\t']),
        _ => return Err(invalid("there is more than one header Authorization")),
    };
    let (scheme, token) = header.split_once(' ').unwrap_or((header, ""));
    let scheme = if scheme.eq_ignore_ascii_case("bearer") {
        Scheme::Bearer
    } else if scheme.eq_ignore_ascii_case("dpop") {
        Scheme::Dpop
    } else {
        return Ok(Err("the header Authorization is neither Bearer nor DPoP"));
    };
    match token.trim_start_matches(' ') {
        "" => Err(invalid("the header Authorization names a scheme and has no token")),
        token => Ok(Ok((scheme, token))),
    }
}

/// The certificate that the token is bound to, where it is.
fn certificate_of(claims: &Claims, presented: Option<&SenderKey>) -> Result<Option<SenderKey>> {
    match (&claims.certificate, presented) {
        (None, _) => Ok(None),
        (Some(bound), Some(SenderKey::CertificateThumbprint(sent))) if bound == sent => Ok(presented.cloned()),
        (Some(_), None) => Err(mismatch("the token is bound to a client certificate, and none was presented")),
        (Some(_), Some(_)) => Err(mismatch("the client certificate is not the one of the token's cnf.x5t#S256")),
    }
}

/// A key id, where it is short and plain enough to be shown.
fn shown(kid: &str) -> String {
    let plain =
        kid.len() <= MAX_SHOWN && kid.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    if plain { format!(" ({kid})") } else { String::new() }
}

fn invalid(reason: impl Into<Cow<'static, str>>) -> Error {
    Error::new(Code::TokenInvalid).because(reason)
}

fn mismatch(reason: &'static str) -> Error {
    Error::new(Code::SenderKeyMismatch).because(reason)
}
