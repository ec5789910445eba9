//! Options: settings as another language hands them over, by name and in types that every language has.

use std::cell::RefCell;
use std::time::Duration;

use super::Pem;
use super::builder::{SettingsBuilder, invalid};
use crate::error::Result;
use crate::uri::Provider;

/// The settings of a client as the faces of other languages take them. What is left out is as the
/// environment says, or has its default. Limits are those of [`crate::config`]; errors name the field.
///
/// A number is an `f64`, the one type of numbers that all languages have. There is no `Debug`, since
/// it would show credentials.
#[derive(Clone, Default)]
pub struct Options {
    /// `openbao+kv2`, which is the default, or `hashicorp+kv2`.
    pub provider: Option<String>,
    /// The node, or a load balancer: `https://host:port`.
    pub url: Option<String>,
    /// The nodes of one cluster, in place of `url`.
    pub urls: Option<Vec<String>>,
    /// A token that somebody else obtained.
    pub token: Option<String>,
    /// AppRole's role id, which wins over a token and needs `secret_id`.
    pub role_id: Option<String>,
    /// AppRole's secret id, which needs `role_id`.
    pub secret_id: Option<String>,
    /// The namespace; the root namespace by default.
    pub namespace: Option<String>,
    /// The private CA, as PEM text.
    pub ca_pem: Option<String>,
    /// The certificate that the client shows, as PEM text; it needs `client_key_pem`.
    pub client_certificate_pem: Option<String>,
    /// The key of that certificate, as PEM text.
    pub client_key_pem: Option<String>,
    /// Whether the nodes' certificates are verified.
    pub verify_tls: Option<bool>,
    /// The deadline of a whole operation, in seconds.
    pub timeout: Option<f64>,
    /// How long before its end a token is renewed, in seconds.
    pub renewal_threshold: Option<f64>,
    /// How many idle connections are kept for each node; a whole number.
    pub pool_size: Option<f64>,
    /// How many operations may be in flight at once; a whole number.
    pub max_concurrent: Option<f64>,
    /// The tenant that errors name.
    pub tenant_id: Option<String>,
    /// The mounts that URIs may name.
    pub allowed_mounts: Option<Vec<String>>,
    /// Whether URIs are read leniently.
    pub accept_legacy: Option<bool>,
}

impl SettingsBuilder {
    /// What a lookup says, completed and overruled by options. A face without an environment passes a
    /// lookup that finds nothing.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use baokit_core::config::{Options, SettingsBuilder};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let text = |text: &str| Some(text.to_owned());
    /// let options = Options { url: text("https://openbao.internal:8200"), timeout: Some(2.5), ..Options::default() };
    /// let lookup = |key: &str| Ok::<_, Infallible>(if key == "OPENBAO_TOKEN" { text("hvs.example") } else { None });
    /// let settings = SettingsBuilder::from_options(options, lookup)?.build()?;
    /// assert_eq!(settings.deadline().as_millis(), 2500);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The first error of the lookup. What is illegal is reported by [`SettingsBuilder::build`].
    pub fn from_options<E>(options: Options, lookup: impl Fn(&str) -> Result<Option<String>, E>) -> Result<Self, E> {
        let failure = RefCell::new(None);
        let lookup = |key: &str| {
            lookup(key).unwrap_or_else(|error| {
                failure.borrow_mut().get_or_insert(error);
                None
            })
        };
        let provider = options.provider.as_deref().map_or(Ok(Provider::OpenBao), str::parse);
        let builder = match provider {
            Ok(provider) => Self::from_lookup(provider, lookup),
            Err(unknown) => Self::new(Provider::OpenBao).attempt(|_| Err(unknown)),
        };
        match failure.into_inner() {
            Some(error) => Err(error),
            None => Ok(builder.attempt(|builder| builder.put_options(options))),
        }
    }

    fn put_options(&mut self, options: Options) -> Result<()> {
        match (options.url, options.urls) {
            (Some(_), Some(_)) => return Err(invalid("urls", "url and urls can't both be given")),
            (Some(url), None) => self.put_urls("url", [url.as_str()].into_iter())?,
            (None, Some(urls)) => self.put_urls("urls", urls.iter().map(String::as_str))?,
            (None, None) => {}
        }
        if let Some(token) = options.token {
            self.put_token("token", token.into())?;
        }
        let keys = ("role_id", "secret_id");
        if let Some((role_id, secret_id)) = both(keys, options.role_id, options.secret_id)? {
            self.put_app_role(keys, role_id.into(), secret_id.into())?;
        }
        if let Some(namespace) = options.namespace {
            self.put_namespace("namespace", &namespace)?;
        }
        if let Some(pem) = options.ca_pem {
            self.put_ca("ca_pem", Pem::Text(pem.into()))?;
        }
        let keys = ("client_certificate_pem", "client_key_pem");
        if let Some((certificate, key)) = both(keys, options.client_certificate_pem, options.client_key_pem)? {
            self.put_client_certificate(keys, Pem::Text(certificate.into()), Pem::Text(key.into()))?;
        }
        if let Some(verify) = options.verify_tls {
            self.put_verify("verify_tls", verify)?;
        }
        if let Some(number) = options.timeout {
            self.put_deadline("timeout", seconds(number))?;
        }
        if let Some(number) = options.renewal_threshold {
            self.put_renewal_threshold("renewal_threshold", seconds(number))?;
        }
        if let Some(number) = options.pool_size {
            self.put_pool_size("pool_size", whole(number))?;
        }
        if let Some(number) = options.max_concurrent {
            self.put_max_concurrent("max_concurrent", whole(number))?;
        }
        if let Some(id) = options.tenant_id {
            self.put_tenant_id(id);
        }
        if let Some(mounts) = options.allowed_mounts {
            self.put_mounts(mounts);
        }
        if let Some(accept) = options.accept_legacy {
            self.put_accept_legacy(accept);
        }
        Ok(())
    }
}

/// The halves of a pair. One without the other is refused: somebody meant to use it.
fn both<T>(names: (&str, &str), first: Option<T>, second: Option<T>) -> Result<Option<(T, T)>> {
    let lacks = |absent, given| Err(invalid(absent, format!("{given} is given without it")));
    match (first, second) {
        (Some(first), Some(second)) => Ok(Some((first, second))),
        (Some(_), None) => lacks(names.1, names.0),
        (None, Some(_)) => lacks(names.0, names.1),
        (None, None) => Ok(None),
    }
}

/// What is no duration becomes one that is beyond every limit, so that the error tells the limits.
fn seconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number).unwrap_or(Duration::MAX)
}

/// The same for what is no whole number.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(number: f64) -> usize {
    if number >= 0.0 && number.fract() == 0.0 { number as usize } else { usize::MAX }
}
