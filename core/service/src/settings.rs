//! What the service enforces: read from a lookup function, and refused as a whole where it would be unsafe.
//!
//! | key | meaning | default, limits |
//! |---|---|---|
//! | `ENVIRONMENT` | where the service runs; `dev` and `test` allow what development needs | `dev` |
//! | `TENANT_SALT`, else `SECRET_TENANT_SALT` | the key of audit references | required outside `dev` and `test`, 16 bytes at least |
//! | `SECRETS_API_REQUIRE_AUTH` | whether every caller must be authenticated | false |
//! | `SECRETS_ENFORCE_SCOPES` | whether scopes are checked | false |
//! | `ENABLE_AUTHORIZATION` | whether a PDP decides | false |
//! | `SECRETS_AUDIENCE` | the audience of access tokens | `crud.secrets` |
//! | `OIDC_ISSUER`, `AUTH_JWKS_URL` | whose tokens count, and where its keys are; see [`Endpoint`] | none; keys by discovery |
//! | `PDP_URL` | the base URL of the PDP; see [`Endpoint`] | none |
//! | `PDP_TOKEN`, or `PDP_CLIENT_ID`, `PDP_CLIENT_SECRET`, `PDP_TOKEN_URL` | the credential shown to the PDP | none |
//! | `GRANT_TTL_DEFAULT`, `GRANT_MAX_USES_DEFAULT` | of a permit that says neither | 300 s, up to a day; 1 use, up to 1,000,000 |
//! | `NEGATIVE_CACHE_TTL_S` | how long a denial is remembered | 0 s, up to an hour |
//! | `ANTI_REPLAY_TTL_S` | above 0, an access token's `jti` is single-use for that time | 0 s, up to a day |
//! | `SECRETS_STORE` | where several processes share grants and used proofs: `openbao+kv2://mount/prefix`, read by the native host | none: in memory |
//! | `AUDIT_SAMPLE_CACHE_HIT_N` | of permits by a grant, one in so many is put on record | 1, up to 1,000,000 |
//! | `INBOUND_AUTH_MODE` | what an access token must be bound to; see [`InboundAuth`] | `bearer` |
//! | `FORWARDED_CLIENT_CERT_HEADER`, `TRUSTED_PROXY_CIDRS` | the header with the client's certificate, and the proxies it is taken from | none |
//! | `SECRETS_PUBLIC_URL` | the address that DPoP proofs name; see [`Endpoint`] | none: proofs are refused; required by `INBOUND_AUTH_MODE` `dpop` |
//! | `FILE_MOUNT_PATH`, `FILE_ALLOWED_NAMES` | the folder of file pointers, and those that may be served | `/run/secrets`, none |
//! | `YAML_VAULT_PATH` | the file behind `yaml://`, in `dev` and `test` alone | none |
//! | `VAULT_ENABLE_FALLBACK`, `VAULT_FALLBACK_ORDER` | providers tried in turn where a read reaches nobody | false, none |
//!
//! A text that is set but empty counts as unset; an empty boolean or number is an error. Every error names its
//! key and repeats no value.

mod endpoint;
mod lookup;
mod network;

use std::time::Duration;

use secrecy::SecretString;

pub use self::endpoint::Endpoint;
pub use self::network::Network;
use baokit_core::Result;
use baokit_core::config::Origin;

/// What the service enforces.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Where the service runs.
    pub environment: String,
    /// The tenant: `TENANT_ID`.
    pub tenant_id: String,
    /// The key of audit references.
    pub salt: Option<SecretString>,
    /// Whether every caller must be authenticated.
    pub require_auth: bool,
    /// Whether scopes are checked.
    pub enforce_scopes: bool,
    /// The audience of access tokens.
    pub audience: String,
    /// Whose tokens count.
    pub issuer: Option<String>,
    /// Where the issuer's keys are, if not found by discovery.
    pub jwks_url: Option<Endpoint>,
    /// What an access token must be bound to.
    pub inbound: InboundAuth,
    /// The header in which a proxy forwards the client's certificate, in lower case.
    pub certificate_header: Option<String>,
    /// The proxies that this header is taken from.
    pub trusted_proxies: Vec<Network>,
    /// The address that DPoP proofs name.
    pub public_url: Option<Endpoint>,
    /// The PDP, where one decides.
    pub pdp: Option<PdpSettings>,
    /// Whether `PDP_URL` names a PDP that nobody asks.
    pub pdp_is_idle: bool,
    /// How long a grant lasts where the PDP does not say.
    pub grant_ttl: Duration,
    /// How often a grant may be used where the PDP does not say.
    pub grant_max_uses: u32,
    /// How long a denial is remembered; zero for not at all.
    pub negative_ttl: Duration,
    /// How long an access token's `jti` is single-use; zero for not at all.
    pub anti_replay_ttl: Duration,
    /// Of permits by a grant, one in so many is put on record.
    pub sample_cache_hits: u32,
    /// The folder of file pointers.
    pub file_folder: String,
    /// The file pointers that may be served, by name.
    pub file_names: Vec<String>,
    /// The file behind `yaml://`.
    pub yaml_file: Option<String>,
    /// The providers tried in turn on transport errors, as a URI names them: `hashicorp+kv2`.
    pub fallback: Vec<String>,
}

/// The PDP and the credential shown to it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PdpSettings {
    /// Its base URL.
    pub url: Endpoint,
    /// The credential.
    pub credential: Option<PdpCredential>,
}

/// What is shown to the PDP.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PdpCredential {
    /// A bearer token.
    Token(SecretString),
    /// The client credentials grant (RFC 6749, section 4.4).
    Client {
        /// The client.
        id: String,
        /// Its secret.
        secret: SecretString,
        /// The issuer's token end point.
        token_url: Endpoint,
    },
}

/// What an access token must be bound to: `INBOUND_AUTH_MODE`. A token that is bound is checked in every mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum InboundAuth {
    /// Nothing: `bearer`.
    #[default]
    Bearer,
    /// A DPoP key: `dpop`.
    Dpop,
    /// A client certificate: `mtls`.
    Mtls,
    /// Either of the two: `bound`.
    Bound,
}

impl Settings {
    /// Reads the settings from a function that gives the value of a key, where one is set.
    ///
    /// ```
    /// use baokit_service::settings::Settings;
    ///
    /// // Authentication without anybody whose tokens count would let nobody in, or everybody.
    /// let lookup = |key: &str| (key == "SECRETS_API_REQUIRE_AUTH").then(|| "true".to_owned());
    /// let error = Settings::from_lookup(lookup).unwrap_err();
    /// assert!(error.to_string().contains("OIDC_ISSUER"));
    /// ```
    ///
    /// # Errors
    /// [`baokit_core::Code::InvalidSetting`], [`baokit_core::Code::MissingSetting`]; each names the key.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self> {
        lookup::read(&lookup)
    }

    /// Whom the service speaks with besides its providers: the issuer, the PDP, and where the PDP's tokens come from.
    #[must_use]
    pub fn origins(&self) -> Vec<Origin> {
        let issuer = self.issuer.as_deref().and_then(|issuer| Endpoint::parse(issuer).ok());
        let mut endpoints: Vec<_> = issuer.into_iter().chain(self.jwks_url.clone()).collect();
        if let Some(pdp) = &self.pdp {
            endpoints.push(pdp.url.clone());
            if let Some(PdpCredential::Client { token_url, .. }) = &pdp.credential {
                endpoints.push(token_url.clone());
            }
        }
        endpoints.iter().map(|endpoint| endpoint.origin().clone()).collect()
    }

    /// What these settings leave open, for the log: one sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<&'static str> {
        let mut warnings = Vec::new();
        if !self.require_auth {
            warnings.push("SECRETS_API_REQUIRE_AUTH is off: whoever reaches the service is let in");
        }
        if !self.enforce_scopes {
            warnings.push("SECRETS_ENFORCE_SCOPES is off: no scope is asked for");
        } else if !self.require_auth {
            warnings.push(
                "SECRETS_ENFORCE_SCOPES is on and SECRETS_API_REQUIRE_AUTH is off: whoever shows no token has no scope",
            );
        }
        if self.issuer.is_none() && self.jwks_url.is_some() {
            warnings
                .push("AUTH_JWKS_URL is set and OIDC_ISSUER is not: a token of these keys counts whoever issued it");
        }
        if self.pdp_is_idle {
            warnings.push("PDP_URL is set and ENABLE_AUTHORIZATION is off: the PDP is not asked");
        } else if self.pdp.is_none() {
            warnings.push("ENABLE_AUTHORIZATION is off: no PDP is asked, the scopes alone decide");
        }
        if self.salt.is_none() {
            warnings.push("TENANT_SALT is not set: the audit's references are good until the service ends");
        }
        warnings
    }

    /// Whether what development needs is allowed: `ENVIRONMENT` is `dev` or `test`.
    #[must_use]
    pub fn is_development(&self) -> bool {
        matches!(self.environment.as_str(), "dev" | "test")
    }
}
