//! Rotations: a value that is replaced once, by itself or along with something outside OpenBao.

use baokit_core::{Apply, Change, Result, Rotated, Rotation, SecretValue};

use crate::client::Client;

impl Client {
    /// Replaces a value: like [`Client::write`], but where another writer comes in between it
    /// stops, since two rotations of one credential must not both count as done.
    ///
    /// End points: `GET` and `POST mount/data/path`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let builder = baokit::Client::builder().url(server.url()).token(server.root_token());
    /// # let client = builder.allowed_mounts(["secret"]).build()?;
    /// let uri = "openbao+kv2://secret/app/api#token";
    /// client.write(uri, "one").await?;
    /// let done = client.rotate(uri, "two").await?;
    /// assert_eq!((done.old_version, done.new_version), (1, 2));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Client::write`]; [`CasConflict`](crate::Code::CasConflict) at the first writer in between.
    pub async fn rotate(&self, uri: impl AsRef<str>, value: impl Into<SecretValue>) -> Result<Change> {
        self.core.rotate(uri.as_ref(), value).await
    }

    /// A new rotation that any process can resume by its operation id, for [`Client::rotate_with`]: to a
    /// generated value of 32 letters and digits unless something else is said.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let builder = baokit::Client::builder().url(server.url()).token(server.root_token());
    /// # let client = builder.allowed_mounts(["secret"]).build()?;
    /// use baokit::Generator;
    ///
    /// let rotation = client.rotation().generate(Generator::new().length(40)); // characters
    /// println!("operation {}", rotation.operation_id());
    /// client.rotate_with("openbao+kv2://secret/app/api#token", &rotation).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn rotation(&self) -> Rotation {
        self.core.rotation()
    }

    /// A rotation that was begun before, by this process or another: it goes on from what the server holds,
    /// and does nothing where it is over. It takes the lease at once: whoever resumes a rotation says that
    /// the process that was at work on it is gone.
    ///
    /// Say again what it rotates to (a value, a generator, how to make the secret): a value that was not
    /// written before is given or made anew.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let builder = baokit::Client::builder().url(server.url()).token(server.root_token());
    /// # let client = builder.allowed_mounts(["secret"]).build()?;
    /// let uri = "openbao+kv2://secret/app/api#token";
    /// let done = client.rotate_with(uri, &client.rotation()).await?;
    /// let again = client.rotate_with(uri, &client.resume_rotation(done.operation_id.clone())).await?;
    /// assert_eq!(again, done); // it was over: no second version
    /// # Ok(())
    /// # }
    /// ```
    pub fn resume_rotation(&self, operation_id: impl Into<String>) -> Rotation {
        self.core.resume_rotation(operation_id)
    }

    /// Carries a rotation out: exactly one new version, however often it is cut off and resumed.
    ///
    /// The intent is recorded in the secret's `custom_metadata` before anything is changed, and the end
    /// afterwards. Where the token may not change the metadata, the rotation is carried out without a record,
    /// and the result says so.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let builder = baokit::Client::builder().url(server.url()).token(server.root_token());
    /// # let client = builder.allowed_mounts(["secret"]).build()?;
    /// # fn keep(_: &str) {}
    /// let uri = "openbao+kv2://secret/app/api#token";
    /// let rotation = client.rotation(); // to 32 letters and digits
    /// keep(rotation.operation_id());
    /// let done = client.rotate_with(uri, &rotation).await?;
    /// println!("{} -> {}", done.old_version, done.new_version);
    ///
    /// // After a crash, in any process: makes no second version.
    /// client.rotate_with(uri, &client.resume_rotation(done.operation_id)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// End points: `GET` and `POST mount/metadata/path`, `GET` and `POST mount/data/path`.
    ///
    /// # Errors
    /// [`RotationInProgress`](crate::Code::RotationInProgress) where another process is at work on one;
    /// [`CasConflict`](crate::Code::CasConflict) where a writer came in between, who did not ask;
    /// [`RotationUnknown`](crate::Code::RotationUnknown) where the one to be resumed is not the last one of the
    /// secret; [`Indeterminate`](crate::Code::Indeterminate) where the outcome is not known: resume it.
    pub async fn rotate_with(&self, uri: impl AsRef<str>, rotation: &Rotation) -> Result<Rotated> {
        self.core.rotate_with(uri.as_ref(), rotation).await
    }

    /// The same along with something outside OpenBao, such as a database's password; see [`Apply`]. All steps
    /// together have the client's deadline: where applying and testing take longer, they are undone.
    ///
    /// End points: those of [`Client::rotate_with`]; `GET` and `POST mount/data/path.baokit-stage` and
    /// `DELETE mount/metadata/path.baokit-stage`, where the new value is kept meanwhile.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let builder = baokit::Client::builder().url(server.url()).token(server.root_token());
    /// # let client = builder.allowed_mounts(["secret"]).build()?;
    /// use baokit::{Apply, ApplyError, Code, Secret, SecretValue};
    ///
    /// struct Database;
    ///
    /// impl Apply for Database {
    ///     async fn apply(&self, old: Option<&Secret>, new: &SecretValue) -> Result<(), ApplyError> {
    ///         // ALTER ROLE …
    ///         Ok(())
    ///     }
    ///
    ///     async fn test(&self, new: &SecretValue) -> Result<(), ApplyError> {
    ///         Err(ApplyError::new("the new password does not let anybody in"))
    ///     }
    ///
    ///     async fn undo(&self, old: Option<&Secret>, new: &SecretValue) -> Result<(), ApplyError> {
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let uri = "openbao+kv2://secret/app/database#password";
    /// # client.write(uri, "old").await?;
    /// let failed = client.rotate_applied(uri, &client.rotation(), &Database).await.unwrap_err();
    /// assert_eq!(failed.code(), Code::RotationFailed);
    /// assert_eq!(client.read(uri).await?.version(), 1); // as it was
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The program `rotate-postgres` among the examples does it for real, with [`Rotation::make`] for a secret
    /// that names one of two database users in turn.
    ///
    /// # Errors
    /// Those of [`Client::rotate_with`]; [`RotationFailed`](crate::Code::RotationFailed) where a step outside
    /// failed; [`PermissionDenied`](crate::Code::PermissionDenied) where the token may not change the metadata or
    /// the stage, without which nothing outside is touched.
    pub async fn rotate_applied<A: Apply>(
        &self,
        uri: impl AsRef<str>,
        rotation: &Rotation,
        apply: &A,
    ) -> Result<Rotated> {
        self.core.rotate_applied(uri.as_ref(), rotation, apply).await
    }
}
