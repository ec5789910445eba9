//! What a user asks for: the client, and its operations as short functions over [`crate::drive`].
//!
//! Every operation goes the same way: the text becomes a [`crate::SecretUri`], the tenant guard
//! admits it, a place under the concurrency limit is taken, and one deadline holds for all the
//! calls that follow.

#[cfg(feature = "cache")]
mod cached;
mod fresh;
mod kv2;
mod list;
mod manage;
mod metadata;
mod patch;
mod rotation;
mod search;
mod secrets;
mod settle;
pub(crate) mod sys;
mod transfer;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use crate::call::auth::{Renewal, TokenInfo};
use crate::call::kv2::Address;
use crate::call::{self, Answer, Call, Spec};
use crate::config::Settings;
use crate::drive::{Host, POLL, Shared, drive, within};
use crate::error::{Code, Error, Result};
use crate::exchange::Exchange;
use crate::http::Method;
use crate::secret::SecretValue;
use crate::session::Session;
use crate::session::cache::Leads;
use crate::session::nodes::NodeId;
use crate::session::places::{Place, Places};
use crate::session::token::Generation;
use crate::uri::path::ApiPath;

pub use fresh::ReadOptions;
pub use list::{Pages, Scan};
pub use rotation::{Apply, ApplyError, Change, Generator, Rotated, Rotation};
pub use search::Search;
pub use transfer::Copied;
pub use watch::Watch;

/// A client of one OpenBao cluster, on the input and output of a host.
///
/// The faces of baokit wrap it; a program imports one of them.
///
/// ```
/// # use baokit_core_testing::{run, server};
/// # run(async {
/// # let client = server();
/// client.write("openbao+kv2://secret/app#token", "value").await?;
/// assert_eq!(client.read("openbao+kv2://secret/app#token").await?.expose_str()?, "value");
/// # Ok(())
/// # });
/// ```
#[derive(Debug)]
pub struct Client<H> {
    host: H,
    shared: Shared,
    settings: Settings,
    places: Places,
    /// This client and no other.
    id: Arc<()>,
}

impl<H: Host> Client<H> {
    /// A client with these settings. It sends nothing until it is asked to.
    #[must_use]
    pub fn new(host: H, mut settings: Settings) -> Self {
        let credential = settings.take_credential();
        let shared = Shared::new(Session::new(&settings, credential));
        #[cfg(feature = "cache")]
        if let Some(config) = settings.cache() {
            let mut seed = [0; 16];
            host.random(&mut seed);
            shared.with(|session| session.cache = crate::session::cache::Cache::new(*config, seed));
        }
        let places = Places::new(settings.max_concurrent());
        Self { host, shared, settings, places, id: Arc::default() }
    }

    /// The settings that the client was made with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The host that the client does its input and output by.
    #[must_use]
    pub fn host(&self) -> &H {
        &self.host
    }

    /// Wipes the token, the credential and what is cached. Later operations fail with [`Code::ClientClosed`].
    ///
    /// Nothing more is sent for those under way: one whose answer arrives still gets it, the others
    /// end with [`Code::ClientClosed`], or with [`Code::Indeterminate`] where a change may have been
    /// carried out.
    pub fn close(&self) {
        self.shared.with(Session::close);
        self.places.open();
    }

    /// Sends a request that baokit does not model, such as `request("GET", "sys/mounts", None)`,
    /// with the same failover, retry and redaction. `LIST` is a method here as in OpenBao.
    ///
    /// The answer is the whole JSON document, null where the server sends none. Only `GET` and
    /// `LIST` are sent again after a try that may have been executed.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// let mounts = client.request("GET", "sys/mounts", None).await?;
    /// assert_eq!(mounts.expose()["data"]["secret/"]["type"], "kv");
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::IllegalSegment`] for a path that a server or a proxy could read as another one;
    /// [`Code::NotFound`], [`Code::PermissionDenied`], [`Code::RequestRejected`] as OpenBao answers.
    pub async fn request(&self, method: &str, path: &str, body: Option<&SecretValue>) -> Result<SecretValue> {
        let path = ApiPath::parse(path)?;
        let (method, list) = match method.to_ascii_uppercase().as_str() {
            "GET" => (Method::Get, false),
            "LIST" => (Method::Get, true),
            "POST" => (Method::Post, false),
            "PUT" => (Method::Put, false),
            "PATCH" => (Method::Patch, false),
            "DELETE" => (Method::Delete, false),
            _ => {
                return Err(Error::new(Code::NotSupported)
                    .about("method")
                    .because("none of GET, LIST, POST, PUT, PATCH, DELETE"));
            }
        };
        let call = call::request(method, &path, list, body)?;
        self.begin().await?.run(call).await
    }

    /// What OpenBao says of the client's own token. A token that counts its uses loses one.
    ///
    /// End point: `GET auth/token/lookup-self`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// assert_eq!(client.lookup_self().await?.policies(), ["root"]);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::PermissionDenied`] where the token lacks the default policy.
    pub async fn lookup_self(&self) -> Result<TokenInfo> {
        self.begin().await?.run(call::auth::lookup_self()).await
    }

    /// Renews the client's token by so many seconds, or by its own period.
    ///
    /// End point: `POST auth/token/renew-self`. The increment is the new rest of the lease: a small one shortens it.
    ///
    /// ```
    /// # use baokit_core_testing::{answering, run};
    /// # run(async {
    /// # let client = answering(r#"{"auth":{"client_token":"hvs.x","lease_duration":1800,"renewable":true}}"#);
    /// assert_eq!(client.renew_self(Some(1800)).await?.lease_duration(), 1800); // seconds
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::RequestRejected`] where the token can't be renewed.
    pub async fn renew_self(&self, increment: Option<u64>) -> Result<Renewal> {
        let sent = self.host.now().monotonic;
        let call = call::auth::renew_self(increment)?;
        let note = |renewal: Renewal, generation| {
            if let Some(generation) = generation {
                self.shared.with(|session| session.tokens.renewed(generation, renewal.clone(), sent));
            }
            Ok(renewal)
        };
        self.begin().await?.run_then(call, note).await
    }

    /// Revokes the client's own token, where it has one, and closes the client as [`Client::close`] does.
    ///
    /// End point: `POST auth/token/revoke-self`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// client.revoke_self().await?;
    /// assert!(client.lookup_self().await.is_err());
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// Those of the network; the client is closed all the same, and the token ends with its lease.
    pub async fn revoke_self(&self) -> Result<()> {
        // From here on nobody logs in anew, or that token would be left.
        let result = match self.shared.with(|session| session.tokens.retire()) {
            Some(token) => {
                let call = call::auth::revoke_self().borne_by(token);
                match self.begin().await {
                    // A token that is dead already, perhaps by an earlier try whose answer was lost.
                    Ok(operation) => match operation.run(call).await {
                        Err(error) if error.code() == Code::AuthenticationFailed => Ok(()),
                        result => result,
                    },
                    Err(error) => Err(error),
                }
            }
            None => Ok(()),
        };
        self.close();
        result
    }

    /// The same client without one rule of the machine; see [`Rule`](crate::Rule).
    #[cfg(feature = "broken-rules")]
    #[must_use]
    pub fn without(self, rule: crate::Rule) -> Self {
        self.shared.with(|session| session.rules = crate::rules::Rules::without(rule));
        self
    }

    /// Starts an operation: takes a place under the concurrency limit and sets the deadline.
    async fn begin(&self) -> Result<Operation<'_, H>> {
        self.begin_by(self.host.now().monotonic.saturating_add(self.settings.deadline())).await
    }

    /// The same, for an operation that is under way already and has until then.
    async fn begin_by(&self, deadline: Duration) -> Result<Operation<'_, H>> {
        let place = self.places.take();
        if !place.is_taken() && self.host.wakes_across_tasks() {
            let limit = deadline.saturating_sub(self.host.now().monotonic);
            within(&self.host, limit, place.taken()).await;
        }
        while !place.is_taken() {
            let left = deadline.saturating_sub(self.host.now().monotonic);
            if left.is_zero() {
                let reason = "as many operations as it allows were under way, and others came first";
                return Err(Error::new(Code::DeadlineExceeded)
                    .about("VAULT_MAX_CONCURRENT_OPERATIONS")
                    .because(reason));
            }
            self.host.sleep(left.min(POLL)).await;
        }
        Ok(Operation { client: self, node: None, leads: Leads::default(), deadline, _place: place })
    }
}

/// A change under way; see [`Operation::changes`].
#[cfg(feature = "cache")]
struct Changes<'a> {
    shared: &'a Shared,
    key: String,
}

#[cfg(feature = "cache")]
impl Drop for Changes<'_> {
    fn drop(&mut self) {
        self.shared.with(|session| session.changed(&self.key));
    }
}

/// A change of which it is not known what it concerns: everything, when it is over, however it ended.
#[cfg(feature = "cache")]
struct ChangesAll<'a>(Option<&'a Shared>);

#[cfg(feature = "cache")]
impl Drop for ChangesAll<'_> {
    fn drop(&mut self) {
        if let Some(shared) = self.0 {
            shared.with(|session| session.cache.clear());
        }
    }
}

#[cfg(not(feature = "cache"))]
struct Changes;

/// One operation under way: its calls share a deadline and a place.
struct Operation<'a, H> {
    client: &'a Client<H>,
    /// The only node that is asked, where one is named.
    node: Option<NodeId>,
    /// For whom it reads, where it reads for others too.
    leads: Leads,
    deadline: Duration,
    _place: Place<'a>,
}

impl<H: Host> Operation<'_, H> {
    async fn run<T>(&self, call: Call<T>) -> Result<T> {
        self.run_then(call, |value, _| Ok(value)).await
    }

    /// Runs a call and draws a conclusion from its answer and from the generation of the token that
    /// it went out with. An error of the conclusion names the node as well.
    async fn run_then<T, U>(
        &self,
        call: Call<T>,
        conclude: impl FnOnce(T, Option<Generation>) -> Result<U>,
    ) -> Result<U> {
        #[cfg(feature = "cache")]
        let _changes = self.changes_all(&call.spec);
        let (answer, exchange) = self.carry_out_or_strongly(&call.spec).await?;
        let result = call.read(answer).and_then(|value| conclude(value, exchange.generation()));
        result.map_err(|error| self.place(&exchange, error))
    }

    /// Makes a call and reads its answer.
    async fn once<T>(&self, call: &Call<T>) -> Result<(T, Exchange)> {
        let (answer, exchange) = self.carry_out(call.spec.clone()).await?;
        self.placed(call.read(answer), exchange)
    }

    /// Where every node that was asked is behind, what needs the leader is not.
    async fn carry_out_or_strongly(&self, spec: &Arc<Spec>) -> Result<(Answer, Exchange)> {
        match self.carry_out(spec.clone()).await {
            Err(error) if error.code() == Code::StaleRead && self.node.is_none() && spec.is_read() => {
                self.strongly(spec).await
            }
            result => result,
        }
    }

    /// What is the same for all calls, compiled once for all of them: wasm is paid by the byte.
    async fn carry_out(&self, spec: Arc<Spec>) -> Result<(Answer, Exchange)> {
        self.carry_out_in(spec, self.node, self.deadline, false).await
    }

    /// At one node, within so long, after a try of the same call that is in doubt or not.
    async fn carry_out_in(
        &self,
        spec: Arc<Spec>,
        node: Option<NodeId>,
        deadline: Duration,
        in_doubt: bool,
    ) -> Result<(Answer, Exchange)> {
        let Client { host, shared, .. } = self.client;
        let mut seed = [0; 8];
        host.random(&mut seed);
        let mut exchange = Exchange::new(spec, node, deadline, u64::from_ne_bytes(seed));
        if in_doubt {
            exchange.doubt();
        }
        let answer = drive(host, shared, &mut exchange).await?;
        Ok((answer, exchange))
    }

    /// To be held by whatever changes a secret: when it is over, however it ended, and if its caller
    /// dropped it, nothing that was read before is served.
    #[cfg(feature = "cache")]
    fn changes(&self, at: Address<'_>) -> Changes<'_> {
        Changes { shared: &self.client.shared, key: at.key() }
    }

    /// The same of a call that names no secret, such as one that takes a mount away. Tokens come and go without
    /// changing secrets.
    #[cfg(feature = "cache")]
    fn changes_all(&self, spec: &Spec) -> ChangesAll<'_> {
        let is_change = spec.method != Method::Get && !spec.path().starts_with("auth/token/");
        ChangesAll(is_change.then_some(&self.client.shared))
    }

    /// Nothing is kept.
    #[cfg(not(feature = "cache"))]
    #[allow(clippy::unused_self, reason = "the twin above needs it")]
    fn changes(&self, _at: Address<'_>) -> Changes {
        Changes
    }

    fn session<T>(&self, look: impl FnOnce(&mut Session) -> T) -> T {
        self.client.shared.with(look)
    }

    /// Adds node and number of tries to an error that was found after the exchange.
    fn place(&self, exchange: &Exchange, error: Error) -> Error {
        self.session(|session| exchange.place(session, error))
    }

    fn placed<T>(&self, result: Result<T>, exchange: Exchange) -> Result<(T, Exchange)> {
        match result {
            Ok(value) => Ok((value, exchange)),
            Err(error) => Err(self.place(&exchange, error)),
        }
    }
}
