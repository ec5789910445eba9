//! Wrapped answers, which can be had once.

use std::time::Duration;

use super::Sys;
use crate::call::sys;
use crate::call::sys::wrapping::{Wrapped, WrappingInfo};
use crate::call::whole_seconds;
use crate::drive::Host;
use crate::error::{Code, Error, Result};
use crate::secret::{MAX_DEPTH, SecretValue, require_depth};

impl<H: Host> Sys<'_, H> {
    /// Wraps a JSON object for so long, in whole seconds, rounded up, above 0: whoever has the token can have the
    /// object once.
    ///
    /// End point: `POST sys/wrapping/wrap`. Standbys answer 500 to it, so it goes on to the leader.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// use std::time::Duration;
    ///
    /// let wrapped = client.sys().wrap(serde_json::json!({"pin": "1234"}), Duration::from_secs(60)).await?;
    /// let document = client.sys().unwrap(wrapped.token).await?; // once
    /// assert_eq!(document.expose()["data"]["pin"], "1234");
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::InvalidValue`] where it is no object; [`Code::RequestRejected`] for a time of 0.
    pub async fn wrap(self, object: impl Into<SecretValue>, ttl: Duration) -> Result<Wrapped> {
        let object = object.into();
        if !object.expose().is_object() {
            return Err(Error::new(Code::InvalidValue).because("a JSON object is wrapped, no other value"));
        }
        require_depth(&object, MAX_DEPTH)?;
        self.run(sys::wrapping::wrap(&object, whole_seconds(ttl))?).await
    }

    /// What a wrapping token says of itself. It is not used up.
    ///
    /// End point: `POST sys/wrapping/lookup`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # let ttl = std::time::Duration::from_secs(60);
    /// # let wrapped = client.sys().wrap(serde_json::json!({"pin": "1234"}), ttl).await?;
    /// let info = client.sys().wrapping_lookup(wrapped.token).await?;
    /// assert_eq!((info.creation_path.as_str(), info.creation_ttl), ("sys/wrapping/wrap", 60));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::WrappingTokenSpent`] where it was unwrapped, or its time is over.
    pub async fn wrapping_lookup(self, token: impl Into<SecretValue>) -> Result<WrappingInfo> {
        let token = token.into();
        self.run(sys::wrapping::lookup(&token)?).await
    }

    /// Another wrapping token in place of this one, with the same time to live.
    ///
    /// End point: `POST sys/wrapping/rewrap`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # let ttl = std::time::Duration::from_secs(60);
    /// # let wrapped = client.sys().wrap(serde_json::json!({"pin": "1234"}), ttl).await?;
    /// let fresh = client.sys().rewrap(wrapped.token.clone()).await?;
    /// assert!(client.sys().unwrap(wrapped.token).await.is_err(), "the old one is spent");
    /// assert_eq!(client.sys().unwrap(fresh.token).await?.expose()["data"]["pin"], "1234");
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`Sys::wrapping_lookup`]; [`Code::Indeterminate`].
    pub async fn rewrap(self, token: impl Into<SecretValue>) -> Result<Wrapped> {
        let token = token.into();
        self.run(sys::wrapping::rewrap(&token)?).await
    }

    /// The answer that a wrapping token stands for, as the whole JSON document: what was wrapped is
    /// its `data`. It needs no other token, and can be had once.
    ///
    /// End point: `POST sys/wrapping/unwrap`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # let ttl = std::time::Duration::from_secs(60);
    /// # let wrapped = client.sys().wrap(serde_json::json!({"pin": "1234"}), ttl).await?;
    /// use baokit_core::Code;
    ///
    /// let document = client.sys().unwrap(wrapped.token.clone()).await?;
    /// assert_eq!(document.expose()["data"]["pin"], "1234");
    /// let again = client.sys().unwrap(wrapped.token).await.unwrap_err();
    /// assert_eq!(again.code(), Code::WrappingTokenSpent);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`Sys::wrapping_lookup`]: somebody else may have unwrapped it. [`Code::Indeterminate`] where
    /// the answer was lost, and what it held with it.
    pub async fn unwrap(self, token: impl Into<SecretValue>) -> Result<SecretValue> {
        let token = token.into();
        self.run(sys::wrapping::unwrap(&token)?).await
    }
}
