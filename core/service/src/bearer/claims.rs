//! What an access token says (RFC 9068, section 2.2), read strictly: a claim of the wrong kind is a refusal,
//! never an absent claim.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value};

use super::jws::Jws;
use super::{LEEWAY, check_end, invalid, json};
use crate::Result;
use crate::caller::Caller;

/// Most audiences, and most scopes, of one token.
const MAX_ENTRIES: usize = 64;
/// Longest text of a claim, in bytes.
const MAX_TEXT: usize = 2048;
/// Claims that an ID token has and an access token has not (OpenID Connect Core, sections 2 and 3.3.2.11).
const OF_ID_TOKENS: [&str; 4] = ["nonce", "at_hash", "c_hash", "s_hash"];

/// The claims of a token whose signature is right.
#[derive(Clone, Debug)]
pub(super) struct Claims {
    /// Without the sender key: that is proved by the request and not by the token.
    pub caller: Caller,
    /// `cnf.jkt`
    pub jkt: Option<String>,
    /// `cnf.x5t#S256`
    pub certificate: Option<String>,
    not_before: u64,
}

impl Claims {
    /// Reads the claims of a token that was issued by `issuer`, where one is configured.
    pub fn read(jws: &Jws<'_>, issuer: Option<&str>) -> Result<Self> {
        let claims = json::object(&jws.payload).map_err(|reason| invalid(format!("its payload {reason}")))?;
        check_kind(jws, &claims)?;
        let said = text(&claims, "iss")?;
        if issuer.is_some() && said.as_deref() != issuer {
            return Err(invalid("its iss is not OIDC_ISSUER, byte for byte"));
        }
        let expires = seconds(&claims, "exp")?.ok_or_else(|| invalid("it has no exp"))?;
        let not_before = seconds(&claims, "nbf")?.unwrap_or_default().max(seconds(&claims, "iat")?.unwrap_or_default());
        let (jkt, certificate) = confirmation(&claims)?;
        let mut caller = Caller::anonymous();
        caller.subject = text(&claims, "sub")?;
        caller.issuer = said;
        caller.client_id = match text(&claims, "client_id")? {
            Some(client) => Some(client),
            None => text(&claims, "azp")?,
        };
        caller.audience = audience(&claims)?;
        caller.scopes = scopes(&claims)?;
        caller.token_jti = text(&claims, "jti")?;
        caller.expires = Some(expires);
        Ok(Self { caller, jkt, certificate, not_before })
    }

    /// Whether the token is valid now: not past its end, for which there is no leeway, and not before its
    /// beginning by more than [`LEEWAY`].
    pub fn check_time(&self, wall: Duration) -> Result<()> {
        check_end(&self.caller, wall)?;
        if self.not_before > wall.saturating_add(LEEWAY).as_secs() {
            return Err(invalid("its nbf or iat lies in the future; see whether the clocks agree"));
        }
        Ok(())
    }
}

/// Whether it is an access token. RFC 9068 has `at+jwt`, but Keycloak, Auth0 and Entra ID write `JWT` or nothing;
/// from those the marks of other tokens are refused.
fn check_kind(jws: &Jws<'_>, claims: &Map<String, Value>) -> Result<()> {
    match jws.kind().map_err(|reason| invalid(format!("it {reason}")))?.as_str() {
        "at+jwt" | "application/at+jwt" => return Ok(()),
        "jwt" | "application/jwt" | "" => {}
        _ => return Err(invalid("its typ is that of another kind of token; an access token has at+jwt")),
    }
    if OF_ID_TOKENS.iter().any(|name| claims.contains_key(*name)) {
        return Err(invalid("it is an ID token: it has nonce, at_hash, c_hash or s_hash; send the access token"));
    }
    // A logout token (OpenID Connect Back-Channel Logout, section 2.4), or another security event (RFC 8417).
    if claims.contains_key("events") {
        return Err(invalid("it has the claim events: it tells of an event and is no access token"));
    }
    // Keycloak says in a claim what a token is for: Bearer, DPoP, ID, Refresh, Offline, Logout.
    let kind = text(claims, "typ")?;
    let access = |kind: &str| kind.eq_ignore_ascii_case("bearer") || kind.eq_ignore_ascii_case("dpop");
    match kind {
        Some(kind) if !access(&kind) => Err(invalid("its claim typ is not Bearer: it is no access token")),
        _ => Ok(()),
    }
}

fn text(claims: &Map<String, Value>, name: &str) -> Result<Option<String>> {
    let fits = |text: &str| (1..=MAX_TEXT).contains(&text.len()) && !text.chars().any(char::is_control);
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if fits(text) => Ok(Some(text.clone())),
        Some(_) => Err(invalid(format!("its {name} is no text of 1 to {MAX_TEXT} bytes without control characters"))),
    }
}

/// A NumericDate (RFC 7519, section 2) in whole seconds: a fraction is cut off.
fn seconds(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let whole = value.as_u64().or_else(|| value.as_f64().and_then(cut));
    whole.map(Some).ok_or_else(|| invalid(format!("its {name} is no number of seconds since 1970")))
}

/// Cuts the fraction off, where what remains is exact.
pub(super) fn cut(number: f64) -> Option<u64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (0.0..EXACT).contains(&number).then(|| Duration::from_secs_f64(number).as_secs())
}

/// `aud`: one text or a list. An empty list is refused, since an empty audience stands for a token that has none.
fn audience(claims: &Map<String, Value>) -> Result<Vec<String>> {
    let wrong = || invalid(format!("its aud is no text, and no list of 1 to {MAX_ENTRIES} texts"));
    match claims.get("aud") {
        None => Ok(Vec::new()),
        Some(Value::String(_)) => Ok(text(claims, "aud")?.into_iter().collect()),
        Some(Value::Array(list)) if (1..=MAX_ENTRIES).contains(&list.len()) => {
            list.iter().map(|entry| entry.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
        }
        Some(_) => Err(wrong()),
    }
}

/// `scope`, else `scp`: texts with spaces between them, or a list, as issuers have either.
fn scopes(claims: &Map<String, Value>) -> Result<BTreeSet<String>> {
    let wrong = || invalid(format!("its scope, or scp, is no text of up to {MAX_ENTRIES} scopes, and no list of such"));
    let scopes: Vec<&str> = match claims.get("scope").or_else(|| claims.get("scp")) {
        None => return Ok(BTreeSet::new()),
        Some(Value::String(text)) => text.split(' ').filter(|scope| !scope.is_empty()).collect(),
        Some(Value::Array(list)) => list.iter().map(Value::as_str).collect::<Option<_>>().ok_or_else(wrong)?,
        Some(_) => return Err(wrong()),
    };
    if scopes.len() > MAX_ENTRIES { Err(wrong()) } else { Ok(scopes.into_iter().map(str::to_owned).collect()) }
}

/// `cnf` (RFC 7800): `jkt` and `x5t#S256`. Where it has neither, the token is bound in a way that can't be checked
/// here, and so can't be used.
fn confirmation(claims: &Map<String, Value>) -> Result<(Option<String>, Option<String>)> {
    let Some(cnf) = claims.get("cnf") else { return Ok((None, None)) };
    let cnf = cnf.as_object().ok_or_else(|| invalid("its cnf is no object"))?;
    // Bits at the end that do not count are let pass, since the example of RFC 8705 has some; such a thumbprint is
    // compared as a text, and no key has it.
    let fits =
        |text: &str| text.len() == 43 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let thumbprint = |name: &str| match cnf.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if fits(text) => Ok(Some(text.clone())),
        Some(_) => Err(invalid(format!("its cnf.{name} is no SHA-256 in base64url"))),
    };
    match (thumbprint("jkt")?, thumbprint("x5t#S256")?) {
        (None, None) => Err(invalid("its cnf has neither jkt nor x5t#S256: what it is bound to can't be checked")),
        bound => Ok(bound),
    }
}
