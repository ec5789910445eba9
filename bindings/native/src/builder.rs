//! Settings in code: core's builder in the words of this face.

use std::sync::Arc;
use std::time::Duration;

use baokit_core::Result;
use baokit_core::config::{CacheConfig, Credential, Pem, SettingsBuilder};
use baokit_core::uri::Provider;

use crate::client::Client;

/// The settings of a client that is to be made. What is illegal is said by [`Builder::build`].
///
/// It needs [`Builder::url`] or [`Builder::urls`], and one way to log in; of several, the last counts. Tokens, role
/// ids, secret ids, passwords and JWTs have [`MAX_CREDENTIAL`](baokit_core::config::MAX_CREDENTIAL) bytes at most.
/// A log-in is made at the first operation that needs one, and its errors are that operation's:
/// [`AuthenticationFailed`](crate::Code::AuthenticationFailed) where it is refused.
///
/// ```
/// use std::time::Duration;
///
/// # fn main() -> baokit::Result<()> {
/// let client = baokit::Client::builder()
///     .urls(["https://openbao-1.internal:8200", "https://openbao-2.internal:8200"])
///     .app_role("role-id", "secret-id")
///     .namespace("team")
///     .allowed_mounts(["secret"])
///     .tenant_id("billing")
///     .deadline(Duration::from_secs(10))
///     .renewal_threshold(Duration::from_secs(60))
///     .pool_size(4)
///     .max_concurrent(200)
///     .verify_tls(true)
///     .accept_legacy(false)
///     .build()?;
/// assert_eq!(client.settings().nodes().len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    settings: SettingsBuilder,
}

impl Builder {
    /// The defaults for a provider, without nodes and credential.
    pub fn new(provider: Provider) -> Self {
        Self { settings: SettingsBuilder::new(provider) }
    }

    /// The settings of the environment for a provider: `OPENBAO_…` or `HASHICORP_…`, else `BAO_…`,
    /// else `VAULT_…`.
    pub fn from_env(provider: Provider) -> Self {
        // A value that is not Unicode can't be legal for any key; it must not count as unset.
        let lookup = |key: &str| {
            let value = std::env::var_os(key)?;
            Some(value.into_string().unwrap_or_else(|value| value.to_string_lossy().into_owned()))
        };
        Self { settings: SettingsBuilder::from_lookup(provider, lookup) }
    }

    fn with(self, change: impl FnOnce(SettingsBuilder) -> SettingsBuilder) -> Self {
        Self { settings: change(self.settings) }
    }

    /// The address of a single node, or of a load balancer: `https://host:port`, without a path. `http` is taken too,
    /// with a warning where the host is not this machine. See [`Origin`](crate::Origin).
    pub fn url(self, url: impl AsRef<str>) -> Self {
        self.urls([url])
    }

    /// The addresses of the nodes of one cluster, 1 to 64.
    pub fn urls<I>(self, urls: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.with(|settings| settings.urls(urls))
    }

    /// A token that somebody else obtained. It can't be replaced when it is dead.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let (url, token) = (server.url(), server.root_token());
    /// let client = baokit::Client::builder().url(url).token(token).allowed_mounts(["secret"]).build()?;
    /// client.write("openbao+kv2://secret/app/api#token", "value").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn token(self, token: impl Into<String>) -> Self {
        let credential = Credential::token(token.into());
        self.with(|settings| settings.credential(credential))
    }

    /// AppRole at its default mount, `auth/approle`. End point: `POST auth/approle/login`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let url = server.url();
    /// # let root = baokit::Client::builder().url(url).token(server.root_token()).build()?;
    /// # root.sys().enable_auth("approle", &baokit::sys::MountConfig::new("approle")).await?;
    /// # let app_role = root.sys().app_role("approle")?;
    /// # app_role.put_role("app", &baokit::sys::Role::new(["default"])).await?;
    /// # let (role, made) = (app_role.role_id("app").await?, app_role.secret_id("app").await?);
    /// # let (role_id, secret_id) = (role.expose_str()?, made.secret_id.expose_str()?);
    /// let client = baokit::Client::builder().url(url).app_role(role_id, secret_id).build()?;
    /// assert_eq!(client.lookup_self().await?.policies(), ["default"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn app_role(self, role_id: impl Into<String>, secret_id: impl Into<String>) -> Self {
        self.of(Credential::app_role(role_id.into(), secret_id.into()))
    }

    /// AppRole at its default mount with a secret id that came wrapped. It is unwrapped once, at the first
    /// operation, which fails with [`WrappingTokenSpent`](crate::Code::WrappingTokenSpent) where anybody else was
    /// first. [`Credential::wrapped_app_role`] also checks for which role it was made. End points:
    /// `POST sys/wrapping/unwrap`, once, and `POST auth/approle/login`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let url = server.url();
    /// # let root = baokit::Client::builder().url(url).token(server.root_token()).build()?;
    /// # root.sys().enable_auth("approle", &baokit::sys::MountConfig::new("approle")).await?;
    /// # let app_role = root.sys().app_role("approle")?;
    /// # app_role.put_role("app", &baokit::sys::Role::new(["default"])).await?;
    /// # let role = app_role.role_id("app").await?;
    /// # let wrapped = app_role.wrapped_secret_id("app", std::time::Duration::from_secs(60)).await?;
    /// # let (role_id, wrapping_token) = (role.expose_str()?, wrapped.token.expose_str()?);
    /// let client = baokit::Client::builder().url(url).wrapped_secret_id(role_id, wrapping_token).build()?;
    /// assert_eq!(client.lookup_self().await?.policies(), ["default"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn wrapped_secret_id(self, role_id: impl Into<String>, wrapping_token: impl Into<String>) -> Self {
        self.of(Credential::wrapped_app_role(role_id.into(), wrapping_token.into(), None))
    }

    /// A file with a token that somebody else keeps fresh, such as OpenBao's agent. It is read at the first
    /// operation, and again when its token is dead; see [`Credential::token_file`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let url = server.url();
    /// # let path = std::env::temp_dir().join(format!("baokit-example-{}", std::process::id()));
    /// # std::fs::write(&path, server.root_token())?;
    /// # let path = path.display().to_string();
    /// let client = baokit::Client::builder().url(url).token_file(path.as_str()).build()?;
    /// assert_eq!(client.lookup_self().await?.policies(), ["root"]);
    /// # std::fs::remove_file(path)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn token_file(self, path: impl Into<Arc<str>>) -> Self {
        self.of(Ok(Credential::token_file(path)))
    }

    /// The service account of the pod, at `auth/kubernetes`; its token is read at each log-in from
    /// `/var/run/secrets/kubernetes.io/serviceaccount/token`. End point: `POST auth/kubernetes/login`.
    ///
    /// ```
    /// # fn main() -> baokit::Result<()> {
    /// let builder = baokit::Client::builder().url("https://openbao.internal:8200");
    /// let client = builder.kubernetes("app").build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn kubernetes(self, role: impl Into<String>) -> Self {
        self.of(Credential::kubernetes(role))
    }

    /// A JWT, at `auth/jwt`. End point: `POST auth/jwt/login`.
    ///
    /// ```
    /// # fn main() -> baokit::Result<()> {
    /// let builder = baokit::Client::builder().url("https://openbao.internal:8200");
    /// let client = builder.jwt("ci", "eyJhbGciOiJFUzI1NiJ9.e30.c2lnbmF0dXJl").build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn jwt(self, role: impl Into<String>, jwt: impl Into<String>) -> Self {
        self.of(Credential::jwt(role, jwt.into()))
    }

    /// A file with a JWT, which is read at each log-in, at `auth/jwt`. End point: `POST auth/jwt/login`. A file that
    /// can't be read ends the operation with [`InvalidSetting`](crate::Code::InvalidSetting).
    ///
    /// ```
    /// # fn main() -> baokit::Result<()> {
    /// let builder = baokit::Client::builder().url("https://openbao.internal:8200");
    /// let client = builder.jwt_file("app", "/run/identity/jwt").build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn jwt_file(self, role: impl Into<String>, path: impl Into<Arc<str>>) -> Self {
        self.of(Credential::jwt_file(role, path))
    }

    /// A user's name and password, at `auth/userpass`. End point: `POST auth/userpass/login/name`.
    ///
    /// ```
    /// # fn main() -> baokit::Result<()> {
    /// let builder = baokit::Client::builder().url("https://openbao.internal:8200");
    /// let client = builder.userpass("ada", "correct horse battery staple").build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn userpass(self, name: &str, password: impl Into<String>) -> Self {
        self.of(Credential::user_pass(name, password.into()))
    }

    /// The certificate of [`Builder::client_certificate_pem`], at `auth/cert`: of the role of this name.
    /// [`Credential::certificate`] takes any role that fits as well. End point: `POST auth/cert/login`.
    pub fn certificate(self, name: impl Into<String>) -> Self {
        self.of(Credential::certificate(Some(name.into())))
    }

    /// The credential that was given last is shown with every request, and the server stores no token; see
    /// [`Credential::inline`] for what it fits and what does not work so.
    ///
    /// ```
    /// # fn main() -> baokit::Result<()> {
    /// let client = baokit::Client::builder()
    ///     .url("https://openbao.internal:8200")
    ///     .app_role("role-id", "secret-id")
    ///     .inline()
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn inline(self) -> Self {
        self.with(SettingsBuilder::inline)
    }

    fn of(self, credential: Result<Credential>) -> Self {
        self.with(|settings| settings.try_credential(credential))
    }

    /// No credential: for [`Sys`](crate::Sys)' calls that need none, such as those that open a sealed
    /// server. Every other call fails with
    /// [`AuthenticationFailed`](crate::Code::AuthenticationFailed).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// let client = baokit::Client::builder().url(server.url()).without_credential().build()?;
    /// assert!(client.sys().health().await?.initialized);
    /// assert_eq!(client.lookup_self().await.unwrap_err().code(), baokit::Code::AuthenticationFailed);
    /// # Ok(())
    /// # }
    /// ```
    pub fn without_credential(self) -> Self {
        self.credential(Credential::None)
    }

    /// Any credential, such as one at another mount:
    ///
    /// ```
    /// use baokit::{Client, Credential};
    ///
    /// # fn main() -> baokit::Result<()> {
    /// let west = Credential::kubernetes("app")?.at("kubernetes-west")?; // auth/kubernetes-west
    /// let client = Client::builder().url("https://openbao.internal:8200").credential(west).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn credential(self, credential: Credential) -> Self {
        self.with(|settings| settings.credential(credential))
    }

    /// The namespace, plain ASCII names separated by slashes; the root namespace where none is given.
    pub fn namespace(self, namespace: &str) -> Self {
        self.with(|settings| settings.namespace(namespace))
    }

    /// The authority that signs the nodes' certificates, as PEM text. No other is trusted then; without it, those of
    /// the system are.
    ///
    /// ```
    /// # fn main() -> baokit::Result<()> {
    /// # let pem = rcgen::generate_simple_self_signed(["openbao.internal".to_owned()]).unwrap().cert.pem();
    /// let builder = baokit::Client::builder().url("https://openbao.internal:8200").token("hvs.example");
    /// let client = builder.ca_pem(pem).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn ca_pem(self, pem: impl Into<String>) -> Self {
        self.with(|settings| settings.ca(Pem::Text(pem.into().into())))
    }

    /// The certificate that the client shows, and its key, as PEM texts. [`Builder::certificate`] logs in with it.
    ///
    /// ```
    /// # fn main() -> baokit::Result<()> {
    /// # let made = rcgen::generate_simple_self_signed(["app".to_owned()]).unwrap();
    /// # let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// let builder = baokit::Client::builder().url("https://openbao.internal:8200");
    /// let client = builder.client_certificate_pem(certificate, key).certificate("app").build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn client_certificate_pem(self, certificate: impl Into<String>, key: impl Into<String>) -> Self {
        let (certificate, key) = (Pem::Text(certificate.into().into()), Pem::Text(key.into().into()));
        self.with(|settings| settings.client_certificate(certificate, key))
    }

    /// Whether the nodes' certificates are verified; true by default. Without, anybody on the way
    /// can read every secret, and a warning says so.
    pub fn verify_tls(self, verify: bool) -> Self {
        self.with(|settings| settings.verify_tls(verify))
    }

    /// The deadline of a whole operation, with its retries and log-ins; 30 s by default, above 0 and up to a day.
    /// What is not over by then ends with [`DeadlineExceeded`](crate::Code::DeadlineExceeded), or with what stood in
    /// its way.
    pub fn deadline(self, deadline: Duration) -> Self {
        self.with(|settings| settings.deadline(deadline))
    }

    /// How many idle connections are kept for each node; 10 by default, 1 to 10,000.
    pub fn pool_size(self, size: usize) -> Self {
        self.with(|settings| settings.pool_size(size))
    }

    /// How many operations may be in flight at once; 50 by default, 1 to 100,000. Others wait their turn, within
    /// their deadline.
    pub fn max_concurrent(self, operations: usize) -> Self {
        self.with(|settings| settings.max_concurrent(operations))
    }

    /// How long before its end a token is renewed, or replaced by a new log-in where it can't be: 600 s by default, 0
    /// to 30 days, and a third of its lease at most. An operation does it on its way; nothing is sent in between.
    pub fn renewal_threshold(self, threshold: Duration) -> Self {
        self.with(|settings| settings.renewal_threshold(threshold))
    }

    /// The tenant that errors name; `dev` by default, 1 to 128 bytes without white space.
    pub fn tenant_id(self, id: impl Into<String>) -> Self {
        self.with(|settings| settings.tenant_id(id))
    }

    /// The mounts that URIs may name; none by default. Any other is refused with
    /// [`TenantMountMismatch`](crate::Code::TenantMountMismatch) before anything is sent.
    pub fn allowed_mounts<I>(self, mounts: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.with(|settings| settings.allowed_mounts(mounts))
    }

    /// Whether URIs with duplicate slashes, or white space around them, are forgiven; false by
    /// default. See [`ParseOptions::accept_legacy`](crate::ParseOptions::accept_legacy).
    pub fn accept_legacy(self, accept: bool) -> Self {
        self.with(|settings| settings.accept_legacy(accept))
    }

    /// Keeps what [`Client::read`] has read, and answers later reads from it; off by default. Such a read
    /// may miss what other clients have changed meanwhile, never what this one has; see [`CacheConfig`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use baokit::CacheConfig;
    ///
    /// # fn main() -> baokit::Result<()> {
    /// let client = baokit::Client::builder()
    ///     .url("https://openbao.internal:8200")
    ///     .token("hvs.example")
    ///     .allowed_mounts(["secret"])
    ///     .cache(CacheConfig::new(Duration::from_secs(60)).stale_if_error(Duration::from_secs(300)))
    ///     .build()?;
    /// assert_eq!(client.cache_metrics().hits, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn cache(self, cache: CacheConfig) -> Self {
        self.with(|settings| settings.cache(cache))
    }

    /// Checks the settings and makes the client. Sends nothing.
    ///
    /// ```
    /// let error = baokit::Client::builder().url("openbao.internal").token("hvs.example").build().unwrap_err();
    /// assert_eq!(error.code(), baokit::Code::InvalidSetting);
    /// assert_eq!(error.subject(), Some("urls"));
    /// ```
    ///
    /// # Errors
    /// [`MissingSetting`](crate::Code::MissingSetting),
    /// [`InvalidSetting`](crate::Code::InvalidSetting); each names the setting.
    pub fn build(self) -> Result<Client> {
        Client::new(self.settings.build()?)
    }
}
