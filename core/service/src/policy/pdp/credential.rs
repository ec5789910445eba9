//! What is shown to the PDP: a bearer token, or one that the client credentials grant gives (RFC 6749, section 4.4).

use std::time::Duration;

use baokit_core::Host;
use baokit_core::http::{Method, Request};
use base64ct::{Base64, Encoding};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Pdp, Pressed, json, send, unreachable};
use crate::error::Result;
use crate::settings::{Endpoint, PdpCredential};

/// How long a token is taken to live whose issuer does not say.
const UNSAID: f64 = 60.0;
/// The longest that a token is used, whatever the issuer says.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// How long before its end a token is replaced, unless it lives for a short time only.
const EARLY: Duration = Duration::from_secs(30);

/// A token that the client credentials grant gave.
#[derive(Clone)]
pub(super) struct Token {
    value: SecretString,
    /// On the monotonic clock.
    until: Duration,
}

#[derive(Deserialize)]
struct Answer {
    access_token: SecretString,
    token_type: String,
    expires_in: Option<f64>,
}

impl Pdp {
    /// The value of `Authorization`, where there is a credential; and whether it was remembered, so that a new one
    /// could differ.
    ///
    /// Two callers who find no token each get one: the second takes the place of the first, and both are good.
    pub(super) async fn authorization<H: Host>(&self, host: &H) -> Result<Option<(SecretString, bool)>> {
        let bearer = |token: &SecretString| SecretString::from(format!("Bearer {}", token.expose_secret()));
        let (id, secret, url) = match &self.credential {
            None => return Ok(None),
            Some(PdpCredential::Token(token)) => return Ok(Some((bearer(token), false))),
            Some(PdpCredential::Client { id, secret, token_url }) => (id, secret, token_url),
        };
        let now = host.now().monotonic;
        let known = self.state().token.clone().filter(|token| now < token.until);
        if let Some(token) = known {
            return Ok(Some((bearer(&token.value), true)));
        }
        let token = fetch(host, id, secret, url).await?;
        let value = bearer(&token.value);
        self.state().token = Some(token);
        Ok(Some((value, false)))
    }
}

async fn fetch<H: Host>(host: &H, id: &str, secret: &SecretString, url: &Endpoint) -> Result<Token> {
    let sent = host.now().monotonic;
    // Both are form-encoded before they are joined (RFC 6749, section 2.3.1).
    let pair = Zeroizing::new(format!("{}:{}", *form(id), *form(secret.expose_secret())));
    let basic = Zeroizing::new(Base64::encode_string(pair.as_bytes()));
    let target = if url.path().is_empty() { "/" } else { url.path() };
    let request = Request::new(Method::Post, url.origin().clone(), target)
        .with_header("content-type", "application/x-www-form-urlencoded")
        .with_header("accept", "application/json")
        .with_secret_header("authorization", SecretString::from(format!("Basic {}", *basic)))
        .with_body(Zeroizing::new(b"grant_type=client_credentials".to_vec()));
    let whom = "the token end point of PDP_TOKEN_URL";
    let response = send(host, request, whom).await?;
    match response.status() {
        200 => {}
        400 | 401 | 403 => {
            return Err(unreachable(format!("{whom} refuses the credential PDP_CLIENT_ID, PDP_CLIENT_SECRET")));
        }
        status => return Err(unreachable(format!("{whom} answers with status {status}")).pressed(&response)),
    }
    let response = json(response, whom)?;
    let malformed = |_| unreachable(format!("{whom} answers with no token"));
    let answer: Answer = serde_json::from_slice(response.body()).map_err(malformed)?;
    let token = answer.access_token.expose_secret();
    if !answer.token_type.eq_ignore_ascii_case("bearer") {
        return Err(unreachable(format!("{whom} gives another token than a bearer token")));
    }
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(unreachable(format!("{whom} gives a token that no header can hold")));
    }
    let lifetime = Duration::try_from_secs_f64(answer.expires_in.unwrap_or(UNSAID)).unwrap_or_default().min(LONGEST);
    let until = sent.saturating_add(lifetime.saturating_sub(EARLY.min(lifetime / 4)));
    Ok(Token { value: answer.access_token, until })
}

/// `application/x-www-form-urlencoded`.
fn form(text: &str) -> Zeroizing<String> {
    // Long enough at once, since a text that grows leaves copies of itself.
    let mut out = Zeroizing::new(String::with_capacity(text.len() * 3));
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'*' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
