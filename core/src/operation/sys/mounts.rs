//! What is mounted: secrets engines, and auth methods.

use std::collections::BTreeMap;

use super::Sys;
use crate::call::sys::mounts::{self, Kind, Mount, MountConfig};
use crate::drive::Host;
use crate::error::Result;
use crate::uri::path::ApiPath;

impl<H: Host> Sys<'_, H> {
    /// The secrets engines, by their mounts with a slash behind them.
    ///
    /// End point: `GET sys/mounts`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// let mounts = client.sys().mounts().await?;
    /// assert!(mounts["secret/"].is_kv2());
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::Code::PermissionDenied).
    pub async fn mounts(self) -> Result<BTreeMap<String, Mount>> {
        self.run(mounts::list(Kind::Engine)).await
    }

    /// Mounts a secrets engine. A standby knows of it a second later.
    ///
    /// End point: `POST sys/mounts/path`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// use baokit_core::sys::MountConfig;
    ///
    /// client.sys().enable_mount("team", &MountConfig::kv2().description("the team's secrets")).await?;
    /// client.kv2_write("team", "app/api", &"{}".parse::<serde_json::Value>().unwrap().into(), None).await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`RequestRejected`](crate::Code::RequestRejected) where something is mounted there, or the type is unknown;
    /// [`IllegalSegment`](crate::Code::IllegalSegment); [`Indeterminate`](crate::Code::Indeterminate).
    pub async fn enable_mount(self, path: &str, config: &MountConfig) -> Result<()> {
        self.run(mounts::enable(Kind::Engine, &ApiPath::parse(path)?, config)?).await
    }

    /// Unmounts a secrets engine, with all its data. Unmounting what is not there is no error.
    ///
    /// End point: `DELETE sys/mounts/path`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// client.sys().disable_mount("secret").await?; // with every secret in it
    /// assert!(!client.sys().mounts().await?.contains_key("secret/"));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::Code::PermissionDenied); [`IllegalSegment`](crate::Code::IllegalSegment);
    /// [`Indeterminate`](crate::Code::Indeterminate).
    pub async fn disable_mount(self, path: &str) -> Result<()> {
        self.run(mounts::disable(Kind::Engine, &ApiPath::parse(path)?)).await
    }

    /// The auth methods, by their mounts with a slash behind them.
    ///
    /// End point: `GET sys/auth`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// let methods = client.sys().auths().await?;
    /// assert_eq!(methods["token/"].kind, "token");
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::Code::PermissionDenied).
    pub async fn auths(self) -> Result<BTreeMap<String, Mount>> {
        self.run(mounts::list(Kind::AuthMethod)).await
    }

    /// Mounts an auth method below `auth/`.
    ///
    /// End point: `POST sys/auth/path`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// use baokit_core::sys::MountConfig;
    ///
    /// client.sys().enable_auth("approle", &MountConfig::new("approle")).await?;
    /// assert!(client.sys().auths().await?.contains_key("approle/"));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`Sys::enable_mount`].
    pub async fn enable_auth(self, path: &str, config: &MountConfig) -> Result<()> {
        self.run(mounts::enable(Kind::AuthMethod, &ApiPath::parse(path)?, config)?).await
    }

    /// Unmounts an auth method, and ends the tokens that it gave.
    ///
    /// End point: `DELETE sys/auth/path`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.sys().enable_auth("approle", &baokit_core::sys::MountConfig::new("approle")).await?;
    /// client.sys().disable_auth("approle").await?;
    /// assert!(!client.sys().auths().await?.contains_key("approle/"));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`Sys::disable_mount`].
    pub async fn disable_auth(self, path: &str) -> Result<()> {
        self.run(mounts::disable(Kind::AuthMethod, &ApiPath::parse(path)?)).await
    }
}
