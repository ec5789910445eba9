//! The way from a credential to what a request shows: the one place that says what comes first and what next.
//!
//! Most credentials need one request, the log-in. Others need a file first, or have to be unwrapped.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use crate::call::Call;
use crate::call::auth::{Gain, Grant, LogIn, Proof};
use crate::call::sys::wrapping::{lookup_place, unwrap_secret_id};
use crate::config::{Credential, Gate, JwtSource, check_secret, check_token};
use crate::error::{Code, Error, Result};
use crate::uri::path::{ApiPath, Mount};

/// What is to be done next on the way to a token.
#[derive(Debug)]
pub(crate) enum Errand {
    /// The host reads this file.
    Load(Arc<str>, Gate),
    /// A server is asked.
    Ask(Call<Gain>),
    /// Nothing: this is it.
    Have(Grant),
}

/// The first errand for a credential, or the one after its file was read.
pub(super) fn first(credential: Option<&Credential>, loaded: Option<&SecretString>) -> Result<Errand> {
    let Some(credential) = credential else { return Err(nothing("the client gave its credential up")) };
    if let (Some((path, gate)), None) = (credential.file(), loaded) {
        return Ok(Errand::Load(path.clone(), gate));
    }
    let reason = match (credential, loaded) {
        (Credential::TokenFile(path, _), Some(token)) => {
            check_token(path, token)?;
            return Ok(Errand::Have(Grant::lasting(Proof::Token(Arc::new(token.clone())))));
        }
        (Credential::WrappedAppRole { wrapping_token, role: Some(_), .. }, _) => {
            return lookup_place(wrapping_token).map(Errand::Ask);
        }
        (Credential::WrappedAppRole { wrapping_token, .. }, _) => {
            return unwrap_secret_id(wrapping_token.clone()).map(Errand::Ask);
        }
        (Credential::Inline(inner, gate), _) => match log_in(inner, loaded)? {
            Some(log_in) => return Ok(Errand::Have(Grant::lasting(log_in.headers(*gate)?))),
            None => "this credential can't be shown with every request",
        },
        (Credential::None, _) => "the client was made without a credential",
        _ => match log_in(credential, loaded)? {
            Some(log_in) => return log_in.call().map(Errand::Ask),
            None => "the token is dead, and there is no credential to log in with",
        },
    };
    Err(nothing(reason))
}

fn nothing(reason: &'static str) -> Error {
    Error::new(Code::AuthenticationFailed).because(reason)
}

/// The log-in itself, where everything for it is at hand.
fn log_in<'a>(credential: &'a Credential, loaded: Option<&'a SecretString>) -> Result<Option<LogIn<'a>>> {
    Ok(Some(match credential {
        Credential::AppRole { mount, role_id, secret_id } => LogIn::app_role(mount, role_id, secret_id),
        Credential::UserPass { mount, name, password, .. } => LogIn::user_pass(mount, name, password),
        Credential::Certificate { mount, name, .. } => LogIn::cert(mount, name.as_deref()),
        Credential::Jwt { mount, role, jwt, .. } => {
            let jwt = match (jwt, loaded) {
                (JwtSource::Text(jwt), _) => jwt,
                (JwtSource::File(path), Some(jwt)) => {
                    check_secret(path, jwt)?;
                    jwt
                }
                (JwtSource::File(_), None) => return Ok(None),
            };
            LogIn::jwt(mount, role.as_deref(), jwt)
        }
        _ => return Ok(None),
    }))
}

/// A wrapping token was made at this path: whether that is where the role's secret ids are made.
///
/// Another path means that somebody may have put a token of his own in the place of the right one.
pub(super) fn check_place(mount: &ApiPath, role: Option<&Mount>, path: &str) -> Result<()> {
    let Some(role) = role else { return Ok(()) };
    let right = format!("auth/{}/role/{}/secret-id", mount.decoded(), role.decoded());
    if path == right {
        return Ok(());
    }
    let reason = "the wrapping token was made for something else: somebody may have put his own in its place";
    Err(Error::new(Code::AuthenticationFailed).about(right).because(reason))
}

/// The text of a file without the line break at its end.
pub(super) fn without_line_break(text: SecretString) -> SecretString {
    let Some(line) = text.expose_secret().strip_suffix('\n') else { return text };
    line.strip_suffix('\r').unwrap_or(line).into()
}
