//! What is asked for: a new value that is given, generated or made, for a rotation that is new or was begun
//! before.

use std::fmt::{self, Write};
use std::sync::Arc;

use super::apply::{Apply, Nothing};
use super::generator::Generator;
use super::protocol::Protocol;
use crate::drive::Host;
use crate::error::{Code, Error, Result};
use crate::operation::Client;
use crate::operation::secrets::require_object;
use crate::secret::{Secret, SecretValue};
use crate::uri::SecretUri;

/// A rotation that is recorded in the secret's `custom_metadata`, so that any process can resume it. See
/// [`Client::rotation`].
///
/// ```
/// # use baokit_core_testing::{run, server};
/// # run(async {
/// # let client = server();
/// use baokit_core::Generator;
///
/// let uri = "openbao+kv2://secret/app#token";
/// client.rotate_with(uri, &client.rotation().value("given")).await?;
/// client.rotate_with(uri, &client.rotation().generate(Generator::new().length(48))).await?;
/// assert_eq!(client.read(uri).await?.expose_str()?.len(), 48);
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug)]
#[must_use = "a rotation does nothing until it is passed to rotate_with"]
pub struct Rotation {
    pub(super) op: String,
    pub(super) resumes: bool,
    new: New,
}

#[derive(Clone, Debug)]
enum New {
    Given(SecretValue),
    Generated(Generator, Option<Make>),
}

type MakeSecret = dyn Fn(Option<&Secret>, &SecretValue) -> SecretValue + Send + Sync;

/// Makes a whole secret from the one before and a generated value.
#[derive(Clone)]
struct Make(Arc<MakeSecret>);

impl fmt::Debug for Make {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Make")
    }
}

impl Rotation {
    /// The operation id. Keep it before the rotation begins: whoever has it can resume the rotation.
    #[must_use]
    pub fn operation_id(&self) -> &str {
        &self.op
    }

    /// Rotates to this value instead of a generated one.
    pub fn value(mut self, value: impl Into<SecretValue>) -> Self {
        self.new = New::Given(value.into());
        self
    }

    /// Rotates to a value that this generator makes: of the key that the URI names, or as a part of a whole
    /// secret that [`Rotation::make`] puts together.
    pub fn generate(mut self, generator: Generator) -> Self {
        self.new = match self.new {
            New::Given(_) => New::Generated(generator, None),
            New::Generated(_, make) => New::Generated(generator, make),
        };
        self
    }

    /// Rotates a whole secret: the new one is made from the one before (none where there is none that can be
    /// read) and a generated value. The same arguments must make the same secret.
    ///
    /// ```
    /// # fn example<H: baokit_core::Host>(client: &baokit_core::Client<H>) {
    /// use serde_json::json;
    ///
    /// // Two database users in turn: the one that is replaced can log in until the next rotation.
    /// let rotation = client.rotation().make(|old, password| {
    ///     let is_a = old.is_some_and(|old| old.expose()["user"] == "app_a");
    ///     let user = if is_a { "app_b" } else { "app_a" };
    ///     json!({"user": user, "password": password.expose()})
    /// });
    /// # let _ = rotation;
    /// # }
    /// ```
    pub fn make<V: Into<SecretValue>>(
        mut self,
        make: impl Fn(Option<&Secret>, &SecretValue) -> V + Send + Sync + 'static,
    ) -> Self {
        let generator = match self.new {
            New::Given(_) => Generator::new(),
            New::Generated(generator, _) => generator,
        };
        let make = Make(Arc::new(move |old, generated| make(old, generated).into()));
        self.new = New::Generated(generator, Some(make));
        self
    }

    /// The value that was given, where one was.
    pub(super) fn given(&self) -> Option<&SecretValue> {
        match &self.new {
            New::Given(value) => Some(value),
            New::Generated(..) => None,
        }
    }

    /// A new value: of one key, or the whole secret.
    pub(super) fn new_value<H: Host>(&self, host: &H, uri: &SecretUri, old: Option<&Secret>) -> Result<SecretValue> {
        match &self.new {
            New::Given(value) => Ok(value.clone()),
            New::Generated(generator, None) => generator.generate(host),
            New::Generated(generator, Some(make)) => {
                let value = (make.0)(old, &generator.generate(host)?);
                require_object(&value, uri)?;
                Ok(value)
            }
        }
    }

    /// Refuses what can't be rotated to, before anything is touched.
    fn check<H: Host>(&self, client: &Client<H>, uri: &SecretUri) -> Result<()> {
        let wrong = |reason: &'static str| Err(Error::new(Code::InvalidValue).about(uri.to_string()).because(reason));
        match &self.new {
            New::Given(value) => client.check_value(uri, value),
            New::Generated(_, None) if uri.fragment().is_none() => {
                wrong("a generated value is for one key: name it after a #, or make the whole secret of it")
            }
            New::Generated(_, Some(_)) if uri.fragment().is_some() => {
                wrong("a whole secret is made, and the URI names one key")
            }
            New::Generated(generator, _) => generator.check(),
        }
    }
}

/// What a recorded rotation came to.
///
/// ```
/// # use baokit_core_testing::{run, server};
/// # run(async {
/// # let client = server();
/// let rotation = client.rotation();
/// let done = client.rotate_with("openbao+kv2://secret/app#token", &rotation).await?;
/// assert!(done.is_recorded && done.operation_id == rotation.operation_id());
/// assert_eq!((done.old_version, done.new_version), (0, 1));
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rotated {
    /// The operation id: this rotation's own, or that of one that was left by another process and is
    /// finished now: then nothing else was changed. Who must have a new value in any case, after a leak
    /// say, compares the ids, and rotates once more where they differ.
    pub operation_id: String,
    /// The version that was the newest before, 0 where there was none.
    pub old_version: u64,
    /// The version that was made.
    pub new_version: u64,
    /// Whether it was recorded. It is not where the token may not change the metadata; a rotation that is cut
    /// off then can't be resumed.
    pub is_recorded: bool,
}

impl<H: Host> Client<H> {
    /// A new rotation, to a generated value of 32 letters and digits unless something else is said.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// let rotation = client.rotation();
    /// assert_eq!(rotation.operation_id().len(), 32);
    /// # Ok(())
    /// # });
    /// ```
    pub fn rotation(&self) -> Rotation {
        Rotation { op: random_text::<H, 16>(&self.host), resumes: false, new: New::Generated(Generator::new(), None) }
    }

    /// A rotation that was begun before, by this process or another: it goes on from what the server holds,
    /// and does nothing where it is over. It takes the lease at once: whoever resumes a rotation says that
    /// the process that was at work on it is gone.
    ///
    /// Say again what it rotates to (a value, a generator, how to make the secret): a value that was not
    /// written before is given or made anew.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.write("openbao+kv2://secret/app", serde_json::json!({"token": "one"})).await?;
    /// let uri = "openbao+kv2://secret/app#token";
    /// let done = client.rotate_with(uri, &client.rotation()).await?;
    /// let again = client.rotate_with(uri, &client.resume_rotation(done.operation_id.as_str())).await?;
    /// assert_eq!(again, done);
    /// # Ok(())
    /// # });
    /// ```
    pub fn resume_rotation(&self, operation_id: impl Into<String>) -> Rotation {
        Rotation { op: operation_id.into(), resumes: true, new: New::Generated(Generator::new(), None) }
    }

    /// Carries a rotation out: exactly one new version, however often it is cut off and resumed.
    ///
    /// The intent is recorded in `custom_metadata` before anything is changed, and the end afterwards. A
    /// rotation of the same key that another process left is taken up where its lease is over (the deadline
    /// and 30 s), and finished under its own operation id; one whose value was given to that process, and is not
    /// known here, is left for the one that is asked for. Where the token may not change the metadata, the
    /// rotation is carried out without a record, and the result says so.
    ///
    /// End points: `GET` and `POST mount/metadata/path`, `GET` and `POST mount/data/path`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.write("openbao+kv2://secret/app", serde_json::json!({"token": "one"})).await?;
    /// let done = client.rotate_with("openbao+kv2://secret/app#token", &client.rotation()).await?;
    /// assert_eq!((done.old_version, done.new_version), (1, 2));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::RotationInProgress`] where another process is at work on one; [`Code::CasConflict`] where a
    /// writer came in between, who did not ask; [`Code::RotationUnknown`] where the one to be resumed is not
    /// the last one of the secret; [`Code::Indeterminate`] where the outcome is not known: resume it.
    pub async fn rotate_with(&self, uri: &str, rotation: &Rotation) -> Result<Rotated> {
        self.rotate_in(uri, rotation, None::<&Nothing>).await
    }

    /// The same along with something outside OpenBao; see [`Apply`], with an example.
    ///
    /// All steps together have the client's deadline, as any operation: where applying and testing take
    /// longer, they are undone.
    ///
    /// # Errors
    /// Those of [`Client::rotate_with`]; [`Code::RotationFailed`] where a step outside failed;
    /// [`Code::PermissionDenied`] where the token may not change the metadata or the stage, without which
    /// nothing outside is touched.
    pub async fn rotate_applied<A: Apply>(&self, uri: &str, rotation: &Rotation, apply: &A) -> Result<Rotated> {
        self.rotate_in(uri, rotation, Some(apply)).await
    }

    async fn rotate_in<A: Apply>(&self, uri: &str, rotation: &Rotation, apply: Option<&A>) -> Result<Rotated> {
        let uri = self.admit_change(uri)?;
        let uri = uri.uri();
        rotation.check(self, uri)?;
        let operation = self.begin().await?;
        Protocol::new(&operation, uri, rotation, apply)?.run().await
    }
}

/// So many random bytes, as hexadecimal text.
pub(super) fn random_text<H: Host, const BYTES: usize>(host: &H) -> String {
    let mut random = [0; BYTES];
    host.random(&mut random);
    random.iter().fold(String::with_capacity(2 * BYTES), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
