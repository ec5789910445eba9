//! Reading settings by their keys: which keys count, in which order, and what an empty one means.

use secrecy::SecretString;
use zeroize::Zeroizing;

use super::builder::{SettingsBuilder, family, invalid};
use super::{Pem, parse};
use crate::error::{Code, Error, Result};

/// The function from key to value.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A value and the key that it stood under. It is wiped: it may be a token.
struct Found {
    key: String,
    value: Zeroizing<String>,
}

impl Found {
    fn secret(&self) -> SecretString {
        SecretString::from(self.value.as_str())
    }

    fn file(&self) -> Pem {
        Pem::File(self.value.to_string())
    }

    /// The key of the other half of a pair, in the same family.
    fn sibling(&self, own: &str, other: &str) -> String {
        format!("{}{other}", self.key.strip_suffix(own).unwrap_or_default())
    }
}

/// The keys of one provider.
struct Keys<'a> {
    lookup: Lookup<'a>,
    family: &'static str,
}

impl Keys<'_> {
    /// The first of the provider's keys that is set and not empty.
    fn text(&self, name: &str) -> Option<Found> {
        [self.family, "BAO", "VAULT"].iter().find_map(|family| {
            let address =
                if name == "URL" && *family != self.family { self.plain(&format!("{family}_ADDR")) } else { None };
            self.plain(&format!("{family}_{name}")).or(address)
        })
    }

    /// A key as it stands, if it is set and not empty.
    fn plain(&self, key: &str) -> Option<Found> {
        let value = (self.lookup)(key).map(Zeroizing::new)?;
        if value.is_empty() { None } else { Some(Found { key: key.to_owned(), value }) }
    }

    /// Passes a number or boolean to its setter, if it is set; empty is no number and no boolean.
    fn strict<T>(
        &self,
        keys: &[&str],
        parse: fn(&str) -> Result<T, &'static str>,
        mut put: impl FnMut(&str, T) -> Result<()>,
    ) -> Result<()> {
        for key in keys {
            if let Some(value) = (self.lookup)(key) {
                return put(key, parse(&value).map_err(|reason| invalid(key, reason))?);
            }
        }
        Ok(())
    }
}

/// Reads everything that the lookup knows into the builder.
pub(super) fn read(builder: &mut SettingsBuilder, lookup: Lookup<'_>) -> Result<()> {
    let keys = Keys { lookup, family: family(builder.provider())? };
    if let Some(Found { key, value }) = keys.text("URL") {
        let urls = parse::list(&value).map_err(|reason| invalid(&key, reason))?;
        builder.put_urls(&key, urls.into_iter())?;
    }
    read_credential(builder, &keys)?;
    if let Some(Found { key, value }) = keys.text("NAMESPACE") {
        builder.put_namespace(&key, &value)?;
    }
    read_tls(builder, &keys)?;
    read_limits(builder, &keys)?;
    if let Some(Found { value, .. }) = keys.plain("TENANT_ID") {
        builder.put_tenant_id(value.to_string());
    }
    if let Some(Found { key, value }) = keys.plain("TENANT_ALLOWED_MOUNTS") {
        let mounts = parse::list(&value).map_err(|reason| invalid(&key, reason))?;
        builder.put_mounts(mounts.into_iter().map(str::to_owned).collect());
    }
    keys.strict(&["SECRET_URI_ACCEPT_LEGACY"], parse::boolean, |_, accept| {
        builder.put_accept_legacy(accept);
        Ok(())
    })
}

/// Half an AppRole is an error even beside a token: somebody meant to use it.
fn read_credential(builder: &mut SettingsBuilder, keys: &Keys<'_>) -> Result<()> {
    let missing = |key| Err(Error::new(Code::MissingSetting).about(key));
    let token = keys.text("TOKEN");
    match (keys.text("ROLE_ID"), keys.text("SECRET_ID")) {
        (Some(role), Some(secret)) => {
            builder.put_app_role((&role.key, &secret.key), role.secret(), secret.secret())?;
            if let Some(token) = token {
                builder.warn_of_token(&token.key, &role.key);
            }
            Ok(())
        }
        (Some(role), None) => missing(role.sibling("ROLE_ID", "SECRET_ID")),
        (None, Some(secret)) => missing(secret.sibling("SECRET_ID", "ROLE_ID")),
        (None, None) => token.map_or(Ok(()), |token| builder.put_token(&token.key, token.secret())),
    }
}

fn read_tls(builder: &mut SettingsBuilder, keys: &Keys<'_>) -> Result<()> {
    let missing = |key| Err(Error::new(Code::MissingSetting).about(key));
    let ca = keys.text("CACERT").or_else(|| keys.plain("REQUESTS_CA_BUNDLE")).or_else(|| keys.plain("SSL_CERT_FILE"));
    if let Some(ca) = ca {
        builder.put_ca(&ca.key, ca.file())?;
    }
    match (keys.text("CLIENT_CERT"), keys.text("CLIENT_KEY")) {
        (Some(certificate), Some(key)) => {
            builder.put_client_certificate((&certificate.key, &key.key), certificate.file(), key.file())?;
        }
        (Some(certificate), None) => return missing(certificate.sibling("CLIENT_CERT", "CLIENT_KEY")),
        (None, Some(key)) => return missing(key.sibling("CLIENT_KEY", "CLIENT_CERT")),
        (None, None) => {}
    }
    keys.strict(&["OPENBAO_VERIFY_SSL", "VAULT_VERIFY_SSL"], parse::boolean, |key, verify| {
        builder.put_verify(key, verify)
    })
}

fn read_limits(builder: &mut SettingsBuilder, keys: &Keys<'_>) -> Result<()> {
    keys.strict(&["OPENBAO_TIMEOUT", "VAULT_TIMEOUT"], parse::seconds, |key, deadline| {
        builder.put_deadline(key, deadline)
    })?;
    keys.strict(&["OPENBAO_POOL_SIZE", "VAULT_POOL_SIZE"], parse::whole, |key, size| builder.put_pool_size(key, size))?;
    keys.strict(
        &["OPENBAO_TOKEN_RENEWAL_THRESHOLD", "VAULT_TOKEN_RENEWAL_THRESHOLD"],
        parse::seconds,
        |key, threshold| builder.put_renewal_threshold(key, threshold),
    )?;
    keys.strict(
        &["OPENBAO_MAX_CONCURRENT_OPERATIONS", "VAULT_MAX_CONCURRENT_OPERATIONS"],
        parse::whole,
        |key, operations| builder.put_max_concurrent(key, operations),
    )
}
