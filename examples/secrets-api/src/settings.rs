//! The settings of this program itself.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::Error;

/// Files of a server that speaks TLS.
pub struct TlsFiles {
    /// Its certificate and those between it and an authority.
    pub certificate: PathBuf,
    /// The certificate's key.
    pub key: PathBuf,
    /// The authority of client certificates.
    pub client_ca: Option<PathBuf>,
}

/// The settings.
pub struct Settings {
    /// Where to listen.
    pub bind: SocketAddr,
    /// Connections at once.
    pub max_connections: usize,
    /// Requests in flight.
    pub max_requests: usize,
    /// How long requests in flight have at the end.
    pub shutdown_timeout: Duration,
    /// TLS, where it is on.
    pub tls: Option<TlsFiles>,
    /// Where the audit goes; standard error where none is named.
    pub audit_file: Option<PathBuf>,
}

fn text(key: &str) -> Option<String> {
    std::env::var(key).ok().filter(|text| !text.is_empty())
}

fn number(key: &str, default: usize, most: usize) -> Result<usize, Error> {
    let Some(text) = text(key) else { return Ok(default) };
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| format!("{key}: it is a number from 1 to {most}").into())
}

impl Settings {
    /// Reads the environment.
    pub fn from_env() -> Result<Self, Error> {
        let bind = text("BIND").unwrap_or_else(|| "127.0.0.1:8000".to_owned());
        let file = |key: &str| text(key).map(PathBuf::from);
        let tls = match (file("TLS_CERT"), file("TLS_KEY"), file("TLS_CLIENT_CA")) {
            (Some(certificate), Some(key), client_ca) => Some(TlsFiles { certificate, key, client_ca }),
            (None, None, None) => None,
            (None, _, _) => return Err("TLS_CERT is missing".into()),
            (_, None, _) => return Err("TLS_KEY is missing".into()),
        };
        Ok(Self {
            bind: bind.parse().map_err(|_| "BIND: it is an address and a port, such as 127.0.0.1:8000")?,
            max_connections: number("MAX_CONNECTIONS", 1024, 100_000)?,
            max_requests: number("MAX_CONCURRENT_REQUESTS", 256, 100_000)?,
            shutdown_timeout: Duration::from_secs(number("SHUTDOWN_TIMEOUT", 10, 3600)? as u64),
            tls,
            audit_file: file("AUDIT_FILE"),
        })
    }

    /// A service that asks nobody who they are is for this machine alone, unless somebody has said that it is there
    /// for development: that `ENVIRONMENT` is `dev` where it is not set at all is no such word.
    pub fn refuse_to_be_open(&self, enforced: &baokit::service::Settings) -> Result<(), Error> {
        let is_said = text("ENVIRONMENT").is_some() && enforced.is_development();
        if enforced.require_auth || self.bind.ip().is_loopback() || is_said {
            return Ok(());
        }
        Err("BIND is reachable from elsewhere, and SECRETS_API_REQUIRE_AUTH is off; switch it on, or say ENVIRONMENT=dev"
            .into())
    }
}
