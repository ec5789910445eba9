//! Reading the service's settings by their keys, and refusing what would be unsafe together.

use std::time::Duration;

use baokit_core::config::parse;
use baokit_core::{Code, Error, Result};
use secrecy::SecretString;

use super::{Endpoint, InboundAuth, Network, PdpCredential, PdpSettings, Settings};
use crate::providers::AllowedFiles;

const DAY: u64 = 24 * 60 * 60;
/// Shortest key of audit references, in bytes: 128 bits.
const MIN_SALT: usize = 16;

struct Keys<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Keys<'_> {
    /// A text that is set but empty counts as unset: Compose writes `${KEY}` so.
    fn text(&self, key: &str) -> Option<String> {
        (self.0)(key).filter(|text| !text.is_empty())
    }

    fn parsed<T>(&self, key: &str, parse: impl Fn(&str) -> Result<T>) -> Result<Option<T>> {
        self.text(key).map(|text| parse(&text).map_err(|error| error.about(key.to_owned()))).transpose()
    }

    fn list(&self, key: &str) -> Result<Vec<String>> {
        let Some(text) = self.text(key) else { return Ok(Vec::new()) };
        let entries = parse::list(&text).map_err(|reason| invalid(key, reason))?;
        Ok(entries.into_iter().map(str::to_owned).collect())
    }

    fn boolean(&self, key: &str) -> Result<bool> {
        (self.0)(key).map_or(Ok(false), |text| parse::boolean(&text).map_err(|reason| invalid(key, reason)))
    }

    fn seconds(&self, key: &str, default: u64, most: u64) -> Result<Duration> {
        let Some(text) = (self.0)(key) else { return Ok(Duration::from_secs(default)) };
        let time = parse::seconds(&text).map_err(|reason| invalid(key, reason))?;
        if time <= Duration::from_secs(most) { Ok(time) } else { Err(invalid(key, "it is too long")) }
    }

    fn count(&self, key: &str) -> Result<u32> {
        let Some(text) = (self.0)(key) else { return Ok(1) };
        let count = parse::whole(&text).map_err(|reason| invalid(key, reason))?;
        let count = u32::try_from(count).ok().filter(|count| (1..=1_000_000).contains(count));
        count.ok_or_else(|| invalid(key, "it is a number from 1 to 1,000,000"))
    }
}

fn invalid(key: &str, reason: &'static str) -> Error {
    Error::new(Code::InvalidSetting).about(key.to_owned()).because(reason)
}

fn missing(key: &'static str, reason: &'static str) -> Error {
    Error::new(Code::MissingSetting).about(key).because(reason)
}

pub(super) fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Settings> {
    let keys = Keys(lookup);
    let settings = Settings {
        environment: keys.text("ENVIRONMENT").unwrap_or_else(|| "dev".to_owned()),
        tenant_id: keys.text("TENANT_ID").unwrap_or_else(|| "dev".to_owned()),
        salt: salt(&keys)?,
        require_auth: keys.boolean("SECRETS_API_REQUIRE_AUTH")?,
        enforce_scopes: keys.boolean("SECRETS_ENFORCE_SCOPES")?,
        audience: keys.text("SECRETS_AUDIENCE").unwrap_or_else(|| "crud.secrets".to_owned()),
        issuer: issuer(&keys)?,
        jwks_url: keys.parsed("AUTH_JWKS_URL", Endpoint::parse)?,
        inbound: keys.parsed("INBOUND_AUTH_MODE", inbound)?.unwrap_or_default(),
        certificate_header: keys.parsed("FORWARDED_CLIENT_CERT_HEADER", header_name)?,
        trusted_proxies: networks(&keys)?,
        public_url: keys.parsed("SECRETS_PUBLIC_URL", Endpoint::parse)?,
        pdp: pdp(&keys)?,
        pdp_is_idle: !keys.boolean("ENABLE_AUTHORIZATION")? && keys.text("PDP_URL").is_some(),
        grant_ttl: keys.seconds("GRANT_TTL_DEFAULT", 300, DAY)?,
        grant_max_uses: keys.count("GRANT_MAX_USES_DEFAULT")?,
        negative_ttl: keys.seconds("NEGATIVE_CACHE_TTL_S", 0, 60 * 60)?,
        anti_replay_ttl: keys.seconds("ANTI_REPLAY_TTL_S", 0, DAY)?,
        sample_cache_hits: keys.count("AUDIT_SAMPLE_CACHE_HIT_N")?,
        file_folder: keys.text("FILE_MOUNT_PATH").unwrap_or_else(|| "/run/secrets".to_owned()),
        file_names: keys.list("FILE_ALLOWED_NAMES")?,
        yaml_file: keys.text("YAML_VAULT_PATH"),
        fallback: fallback(&keys)?,
    };
    check(settings)
}

/// What is safe alone and unsafe together.
fn check(settings: Settings) -> Result<Settings> {
    let Settings { require_auth, issuer, jwks_url, certificate_header, trusted_proxies, .. } = &settings;
    if *require_auth && issuer.is_none() && jwks_url.is_none() {
        return Err(missing("OIDC_ISSUER", "SECRETS_API_REQUIRE_AUTH is on: say whose tokens count, or AUTH_JWKS_URL"));
    }
    if settings.inbound != InboundAuth::Bearer && !require_auth {
        return Err(missing("SECRETS_API_REQUIRE_AUTH", "INBOUND_AUTH_MODE asks for tokens that are bound to a key"));
    }
    if settings.inbound == InboundAuth::Dpop && settings.public_url.is_none() {
        return Err(missing("SECRETS_PUBLIC_URL", "INBOUND_AUTH_MODE is dpop: without the address no proof is good"));
    }
    if certificate_header.is_some() && trusted_proxies.is_empty() {
        return Err(missing("TRUSTED_PROXY_CIDRS", "or anybody could send FORWARDED_CLIENT_CERT_HEADER"));
    }
    if settings.salt.is_none() && !settings.is_development() {
        return Err(missing("TENANT_SALT", "outside ENVIRONMENT dev and test, audit references need a key"));
    }
    if let Err(error) = AllowedFiles::new(&settings) {
        return Err(error.core().cloned().unwrap_or_else(|| invalid("FILE_ALLOWED_NAMES", "it is no list of names")));
    }
    if settings.yaml_file.is_some() && !settings.is_development() {
        return Err(invalid("YAML_VAULT_PATH", "yaml is for ENVIRONMENT dev and test alone"));
    }
    Ok(settings)
}

fn salt(keys: &Keys<'_>) -> Result<Option<SecretString>> {
    for key in ["TENANT_SALT", "SECRET_TENANT_SALT"] {
        if let Some(text) = keys.text(key) {
            if text.len() < MIN_SALT {
                return Err(invalid(key, "it has fewer than 16 bytes"));
            }
            return Ok(Some(text.into()));
        }
    }
    Ok(None)
}

/// Kept as text, since `iss` is compared byte for byte (RFC 8414, section 3.3).
fn issuer(keys: &Keys<'_>) -> Result<Option<String>> {
    const KEY: &str = "OIDC_ISSUER";
    keys.parsed(KEY, Endpoint::parse).map(|_| keys.text(KEY))
}

fn inbound(text: &str) -> Result<InboundAuth> {
    match text.to_ascii_lowercase().as_str() {
        "bearer" => Ok(InboundAuth::Bearer),
        "dpop" => Ok(InboundAuth::Dpop),
        "mtls" => Ok(InboundAuth::Mtls),
        "bound" => Ok(InboundAuth::Bound),
        _ => Err(Error::new(Code::InvalidSetting).because("it is bearer, dpop, mtls or bound")),
    }
}

fn header_name(text: &str) -> Result<String> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if text.bytes().all(legal) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Error::new(Code::InvalidSetting).because("a header's name has letters, digits, - and _"))
}

fn networks(keys: &Keys<'_>) -> Result<Vec<Network>> {
    const KEY: &str = "TRUSTED_PROXY_CIDRS";
    let networks = keys.list(KEY)?.into_iter().map(|text| Network::parse(&text).map_err(|error| error.about(KEY)));
    networks.collect()
}

fn pdp(keys: &Keys<'_>) -> Result<Option<PdpSettings>> {
    if !keys.boolean("ENABLE_AUTHORIZATION")? {
        return Ok(None);
    }
    let url = keys.parsed("PDP_URL", Endpoint::parse)?;
    let url = url.ok_or_else(|| missing("PDP_URL", "ENABLE_AUTHORIZATION is on: say which PDP decides"))?;
    let token = keys.text("PDP_TOKEN").map(|token| PdpCredential::Token(token.into()));
    let client = (keys.text("PDP_CLIENT_ID"), keys.text("PDP_CLIENT_SECRET"), keys.text("PDP_TOKEN_URL"));
    let credential = match (token, client) {
        (token, (None, None, None)) => token,
        (Some(_), _) => return Err(invalid("PDP_TOKEN", "give a token or the client's credentials, not both")),
        (None, (Some(id), Some(secret), Some(_))) => {
            let token_url = keys.parsed("PDP_TOKEN_URL", Endpoint::parse)?;
            token_url.map(|token_url| PdpCredential::Client { id, secret: secret.into(), token_url })
        }
        (None, (None, _, _)) => return Err(missing("PDP_CLIENT_ID", "id, secret and token URL go together")),
        (None, (_, None, _)) => return Err(missing("PDP_CLIENT_SECRET", "id, secret and token URL go together")),
        (None, (_, _, None)) => return Err(missing("PDP_TOKEN_URL", "id, secret and token URL go together")),
    };
    Ok(Some(PdpSettings { url, credential }))
}

fn fallback(keys: &Keys<'_>) -> Result<Vec<String>> {
    const KEY: &str = "VAULT_FALLBACK_ORDER";
    if !keys.boolean("VAULT_ENABLE_FALLBACK")? {
        return Ok(Vec::new());
    }
    // As a URI has them: the engine may be left out.
    let scheme = |name: String| match name.to_ascii_lowercase().as_str() {
        name @ ("openbao" | "hashicorp") => format!("{name}+kv2"),
        name => name.to_owned(),
    };
    let order: Vec<_> = keys.list(KEY)?.into_iter().map(scheme).collect();
    if order.is_empty() { Err(missing(KEY, "VAULT_ENABLE_FALLBACK is on: say which providers")) } else { Ok(order) }
}
