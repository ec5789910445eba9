//! Who may log in, and what they may do: policies, and AppRole.

use std::time::Duration;

use super::Sys;
use crate::call::sys::app_role::{self, Role, SecretId};
use crate::call::sys::policies;
use crate::call::sys::wrapping::Wrapped;
use crate::call::whole_seconds;
use crate::drive::Host;
use crate::error::{Code, Error, Result};
use crate::secret::SecretValue;
use crate::uri::path::ApiPath;

impl<H: Host> Sys<'_, H> {
    /// The names of the ACL policies.
    ///
    /// End point: `LIST sys/policies/acl`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # let policy = r#"path "secret/data/app/*" { capabilities = ["read"] }"#;
    /// # client.sys().put_policy("app", policy).await?;
    /// assert!(client.sys().policies().await?.contains(&"app".to_owned()));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::Code::PermissionDenied).
    pub async fn policies(self) -> Result<Vec<String>> {
        self.run(policies::list()).await
    }

    /// The text of a policy, in HCL or JSON as it was put.
    ///
    /// End point: `GET sys/policies/acl/name`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # let policy = r#"path "secret/data/app/*" { capabilities = ["read"] }"#;
    /// # client.sys().put_policy("app", policy).await?;
    /// assert!(client.sys().policy("app").await?.starts_with("path"));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](crate::Code::NotFound).
    pub async fn policy(self, name: &str) -> Result<String> {
        self.run(policies::read(&ApiPath::parse(name)?)).await
    }

    /// Makes or replaces a policy. A standby goes by it up to 100 ms later.
    ///
    /// End point: `POST sys/policies/acl/name`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// let policy = r#"path "secret/data/app/*" { capabilities = ["read"] }"#;
    /// client.sys().put_policy("app", policy).await?;
    /// assert_eq!(client.sys().policy("app").await?, policy);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`RequestRejected`](crate::Code::RequestRejected) where the text is no policy;
    /// [`Indeterminate`](crate::Code::Indeterminate).
    pub async fn put_policy(self, name: &str, policy: &str) -> Result<()> {
        self.run(policies::put(&ApiPath::parse(name)?, policy)?).await
    }

    /// Deletes a policy. Deleting what is not there is no error.
    ///
    /// End point: `DELETE sys/policies/acl/name`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # let policy = r#"path "secret/data/app/*" { capabilities = ["read"] }"#;
    /// # client.sys().put_policy("app", policy).await?;
    /// client.sys().delete_policy("app").await?;
    /// assert_eq!(client.sys().policy("app").await.unwrap_err().code(), baokit_core::Code::NotFound);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`RequestRejected`](crate::Code::RequestRejected) for those that can't be deleted;
    /// [`Indeterminate`](crate::Code::Indeterminate).
    pub async fn delete_policy(self, name: &str) -> Result<()> {
        self.run(policies::delete(&ApiPath::parse(name)?)).await
    }
}

/// AppRole at one mount. See [`Sys::app_role`].
///
/// ```
/// # use baokit_core_testing::{run, server};
/// # run(async {
/// # let client = server();
/// use baokit_core::sys::{MountConfig, Role};
///
/// client.sys().enable_auth("approle", &MountConfig::new("approle")).await?;
/// let app_role = client.sys().app_role("approle")?;
/// app_role.put_role("app", &Role::new(["default"])).await?;
/// assert_eq!(app_role.roles().await?, ["app"]);
/// # Ok(())
/// # });
/// ```
#[derive(Debug)]
pub struct AppRole<'a, H> {
    sys: Sys<'a, H>,
    mount: ApiPath,
}

impl<'a, H: Host> AppRole<'a, H> {
    pub(super) fn new(sys: Sys<'a, H>, mount: ApiPath) -> Self {
        Self { sys, mount }
    }

    /// The names of the roles.
    ///
    /// End point: `LIST auth/mount/role`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.sys().enable_auth("approle", &baokit_core::sys::MountConfig::new("approle")).await?;
    /// # let app_role = client.sys().app_role("approle")?;
    /// # app_role.put_role("app", &baokit_core::sys::Role::new(["default"])).await?;
    /// assert_eq!(app_role.roles().await?, ["app"]);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`MountNotFound`](crate::Code::MountNotFound).
    pub async fn roles(&self) -> Result<Vec<String>> {
        self.sys.run(app_role::list(&self.mount)).await
    }

    /// A role.
    ///
    /// End point: `GET auth/mount/role/name`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.sys().enable_auth("approle", &baokit_core::sys::MountConfig::new("approle")).await?;
    /// # let app_role = client.sys().app_role("approle")?;
    /// # app_role.put_role("app", &baokit_core::sys::Role::new(["default"])).await?;
    /// let mut role = app_role.role("app").await?;
    /// role.token_num_uses = 10; // requests
    /// app_role.put_role("app", &role).await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](crate::Code::NotFound).
    pub async fn role(&self, name: &str) -> Result<Role> {
        self.sys.run(app_role::read(&self.mount, &ApiPath::parse(name)?)).await
    }

    /// Makes or changes a role. Its role id, and the secret ids that were given out, stay.
    ///
    /// End point: `POST auth/mount/role/name`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.sys().enable_auth("approle", &baokit_core::sys::MountConfig::new("approle")).await?;
    /// # let app_role = client.sys().app_role("approle")?;
    /// use std::time::Duration;
    /// use baokit_core::sys::Role;
    ///
    /// let role = Role::new(["app"]).token_ttl(Duration::from_secs(1200)).secret_id_num_uses(1);
    /// app_role.put_role("app", &role).await?;
    /// assert_eq!(app_role.role("app").await?.token_ttl, 1200);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`RequestRejected`](crate::Code::RequestRejected);
    /// [`Indeterminate`](crate::Code::Indeterminate).
    pub async fn put_role(&self, name: &str, role: &Role) -> Result<()> {
        self.sys.run(app_role::put(&self.mount, &ApiPath::parse(name)?, role)?).await
    }

    /// Deletes a role, with the secret ids that were given out. Deleting what is not there is no
    /// error.
    ///
    /// End point: `DELETE auth/mount/role/name`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.sys().enable_auth("approle", &baokit_core::sys::MountConfig::new("approle")).await?;
    /// # let app_role = client.sys().app_role("approle")?;
    /// # app_role.put_role("app", &baokit_core::sys::Role::new(["default"])).await?;
    /// app_role.delete_role("app").await?;
    /// assert!(app_role.roles().await?.is_empty());
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Indeterminate`](crate::Code::Indeterminate).
    pub async fn delete_role(&self, name: &str) -> Result<()> {
        self.sys.run(app_role::delete(&self.mount, &ApiPath::parse(name)?)).await
    }

    /// A role's id.
    ///
    /// End point: `GET auth/mount/role/name/role-id`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.sys().enable_auth("approle", &baokit_core::sys::MountConfig::new("approle")).await?;
    /// # let app_role = client.sys().app_role("approle")?;
    /// # app_role.put_role("app", &baokit_core::sys::Role::new(["default"])).await?;
    /// let role_id = app_role.role_id("app").await?;
    /// assert!(!role_id.expose_str()?.is_empty());
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](crate::Code::NotFound) where there is no such role.
    pub async fn role_id(&self, name: &str) -> Result<SecretValue> {
        self.sys.run(app_role::role_id(&self.mount, &ApiPath::parse(name)?)).await
    }

    /// A new secret id.
    ///
    /// End point: `POST auth/mount/role/name/secret-id`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.sys().enable_auth("approle", &baokit_core::sys::MountConfig::new("approle")).await?;
    /// # let app_role = client.sys().app_role("approle")?;
    /// # app_role.put_role("app", &baokit_core::sys::Role::new(["default"])).await?;
    /// let made = app_role.secret_id("app").await?;
    /// println!("accessor {}, {} s, {} log-ins", made.accessor, made.ttl, made.num_uses);
    /// # assert!(!made.secret_id.expose_str()?.is_empty());
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](crate::Code::NotFound) where there is no such role;
    /// [`Indeterminate`](crate::Code::Indeterminate) where the answer was lost: a secret id that
    /// nobody knows may be there.
    pub async fn secret_id(&self, name: &str) -> Result<SecretId> {
        self.sys.run(app_role::secret_id(&self.mount, &ApiPath::parse(name)?)?).await
    }

    /// A new secret id, wrapped for so long, in whole seconds, rounded up, above 0: what may pass through other hands
    /// on its way to the program that unwraps it.
    ///
    /// End point: `POST auth/mount/role/name/secret-id`, wrapped.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.sys().enable_auth("approle", &baokit_core::sys::MountConfig::new("approle")).await?;
    /// # let app_role = client.sys().app_role("approle")?;
    /// # app_role.put_role("app", &baokit_core::sys::Role::new(["default"])).await?;
    /// use std::time::Duration;
    ///
    /// let wrapped = app_role.wrapped_secret_id("app", Duration::from_secs(300)).await?;
    /// assert_eq!((wrapped.ttl, wrapped.creation_path.as_str()), (300, "auth/approle/role/app/secret-id"));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`AppRole::secret_id`]; [`Code::RequestRejected`] for a time of zero, by which the
    /// server would wrap nothing and show the secret id.
    pub async fn wrapped_secret_id(&self, name: &str, ttl: Duration) -> Result<Wrapped> {
        if ttl.is_zero() {
            let reason = "a wrapped secret id lives for a second at least";
            return Err(Error::new(Code::RequestRejected).about("ttl").because(reason));
        }
        self.sys.run(app_role::wrapped_secret_id(&self.mount, &ApiPath::parse(name)?, whole_seconds(ttl))?).await
    }

    /// Ends a secret id, by its accessor.
    ///
    /// End point: `POST auth/mount/role/name/secret-id-accessor/destroy`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.sys().enable_auth("approle", &baokit_core::sys::MountConfig::new("approle")).await?;
    /// # let app_role = client.sys().app_role("approle")?;
    /// # app_role.put_role("app", &baokit_core::sys::Role::new(["default"])).await?;
    /// let made = app_role.secret_id("app").await?;
    /// app_role.destroy_secret_id("app", &made.accessor).await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](crate::Code::NotFound) or [`ServerError`](crate::Code::ServerError), by the
    /// server's version, where there is no such accessor; the latter after it was tried until the deadline.
    pub async fn destroy_secret_id(&self, name: &str, accessor: &str) -> Result<()> {
        self.sys.run(app_role::destroy_secret_id(&self.mount, &ApiPath::parse(name)?, accessor)?).await
    }
}
