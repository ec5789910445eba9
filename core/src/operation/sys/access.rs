//! Who may log in, and what they may do: policies, and AppRole.

use std::time::Duration;

use super::Sys;
use crate::call::sys::app_role::{self, Role, SecretId};
use crate::call::sys::policies;
use crate::call::sys::wrapping::Wrapped;
use crate::call::whole_seconds;
use crate::drive::Host;
use crate::error::Result;
use crate::secret::SecretValue;
use crate::uri::path::ApiPath;

impl<H: Host> Sys<'_, H> {
    /// The names of the ACL policies.
    ///
    /// End point: `LIST sys/policies/acl`.
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
    /// # Errors
    /// [`NotFound`](crate::Code::NotFound).
    pub async fn policy(self, name: &str) -> Result<String> {
        self.run(policies::read(&ApiPath::parse(name)?)).await
    }

    /// Makes or replaces a policy. A standby goes by it up to 100 ms later.
    ///
    /// End point: `POST sys/policies/acl/name`.
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
    /// # Errors
    /// [`RequestRejected`](crate::Code::RequestRejected) for those that can't be deleted;
    /// [`Indeterminate`](crate::Code::Indeterminate).
    pub async fn delete_policy(self, name: &str) -> Result<()> {
        self.run(policies::delete(&ApiPath::parse(name)?)).await
    }
}

/// AppRole at one mount. See [`Sys::app_role`].
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
    /// # Errors
    /// [`MountNotFound`](crate::Code::MountNotFound).
    pub async fn roles(&self) -> Result<Vec<String>> {
        self.sys.run(app_role::list(&self.mount)).await
    }

    /// A role.
    ///
    /// End point: `GET auth/mount/role/name`.
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
    /// # Errors
    /// [`Indeterminate`](crate::Code::Indeterminate).
    pub async fn delete_role(&self, name: &str) -> Result<()> {
        self.sys.run(app_role::delete(&self.mount, &ApiPath::parse(name)?)).await
    }

    /// A role's id.
    ///
    /// End point: `GET auth/mount/role/name/role-id`.
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
    /// # Errors
    /// [`NotFound`](crate::Code::NotFound) where there is no such role;
    /// [`Indeterminate`](crate::Code::Indeterminate) where the answer was lost: a secret id that
    /// nobody knows may be there.
    pub async fn secret_id(&self, name: &str) -> Result<SecretId> {
        self.sys.run(app_role::secret_id(&self.mount, &ApiPath::parse(name)?)?).await
    }

    /// A new secret id, wrapped for so long, in whole seconds: what may pass through other hands on
    /// its way to the program that unwraps it.
    ///
    /// End point: `POST auth/mount/role/name/secret-id`, wrapped.
    ///
    /// # Errors
    /// As [`AppRole::secret_id`].
    pub async fn wrapped_secret_id(&self, name: &str, ttl: Duration) -> Result<Wrapped> {
        self.sys.run(app_role::wrapped_secret_id(&self.mount, &ApiPath::parse(name)?, whole_seconds(ttl))?).await
    }

    /// Ends a secret id, by its accessor.
    ///
    /// End point: `POST auth/mount/role/name/secret-id-accessor/destroy`.
    ///
    /// # Errors
    /// [`NotFound`](crate::Code::NotFound) or [`ServerError`](crate::Code::ServerError), by the
    /// server's version, where there is no such accessor.
    pub async fn destroy_secret_id(&self, name: &str, accessor: &str) -> Result<()> {
        self.sys.run(app_role::destroy_secret_id(&self.mount, &ApiPath::parse(name)?, accessor)?).await
    }
}
