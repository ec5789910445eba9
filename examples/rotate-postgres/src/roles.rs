//! The scheme of two roles: what the next secret is, and how it is applied, tested and undone.

use baokit::{Apply, ApplyError, Secret, SecretValue};
use postgres_protocol::password::scram_sha_256;
use serde_json::{Value, json};
use tokio_postgres::{Client, Config, NoTls};

/// Owns what the application works on. Nobody logs in as this role.
const OWNER: &str = "app_owner";
/// Take turns.
const ROLES: [&str; 2] = ["app_a", "app_b"];

/// The secret that follows: the role that is not in use now, with a new password. For
/// [`baokit::Rotation::make`].
#[must_use]
pub fn next_secret(old: Option<&Secret>, password: &SecretValue) -> Value {
    let [a, b] = ROLES;
    let in_use = old.and_then(|old| old.expose().get("user")).and_then(Value::as_str);
    json!({"user": if in_use == Some(a) { b } else { a }, "password": password.expose()})
}

/// The database where the roles are.
#[derive(Clone, Debug)]
pub struct TwoRoles {
    admin: Config,
}

impl TwoRoles {
    /// With the log-in of a role that may change these two: a superuser, or one with `CREATEROLE`.
    #[must_use]
    pub fn new(admin: Config) -> Self {
        Self { admin }
    }

    /// Makes the roles, which can't log in before the first rotation, and a table for them to work on.
    ///
    /// # Errors
    /// Those of PostgreSQL.
    pub async fn set_up(&self) -> crate::Result<()> {
        let [a, b] = ROLES;
        let statements = format!(
            "CREATE ROLE {OWNER} NOLOGIN;
             CREATE ROLE {a} LOGIN IN ROLE {OWNER};
             CREATE ROLE {b} LOGIN IN ROLE {OWNER};
             CREATE TABLE visits (visitor text NOT NULL, at timestamptz NOT NULL DEFAULT now());
             ALTER TABLE visits OWNER TO {OWNER};"
        );
        Ok(connect(&self.admin).await?.batch_execute(&statements).await?)
    }

    /// The password as PostgreSQL keeps it, or none, with which a role can't log in.
    async fn set_password(&self, role: &str, verifier: Option<&str>) -> Result<(), ApplyError> {
        // The verifier is letters, digits and `$:+/=`, and the role is one of ours: neither needs an escape.
        let password = verifier.map_or_else(|| "NULL".to_owned(), |verifier| format!("'{verifier}'"));
        let admin = connect(&self.admin).await.map_err(|error| failed("the administrator can't log in", &error))?;
        let statement = format!("ALTER ROLE {role} PASSWORD {password}");
        admin.batch_execute(&statement).await.map_err(|error| failed("the password can't be set", &error))
    }

    /// The log-in that a secret holds.
    ///
    /// # Errors
    /// A reason where it is no user and password of this scheme.
    pub fn login(&self, secret: &Value) -> Result<Config, ApplyError> {
        let (role, password) = parts(secret)?;
        let mut config = self.admin.clone();
        config.user(role).password(password);
        Ok(config)
    }
}

impl Apply for TwoRoles {
    /// Setting a password again does no harm, so that a rotation that was cut off can begin here anew.
    async fn apply(&self, _old: Option<&Secret>, new: &SecretValue) -> Result<(), ApplyError> {
        let (role, password) = parts(new.expose())?;
        // Made here, so that the password is in no statement, and in no log of statements.
        self.set_password(role, Some(&scram_sha_256(password.as_bytes()))).await
    }

    /// Logs in, and looks whether the role may do what the application does.
    async fn test(&self, new: &SecretValue) -> Result<(), ApplyError> {
        let config = self.login(new.expose())?;
        let client = connect(&config).await.map_err(|error| failed("the new role can't log in", &error))?;
        let select = "SELECT count(*) FROM visits WHERE false";
        client.batch_execute(select).await.map_err(|error| failed("the new role may not read", &error))
    }

    /// Takes the new password away. The one before it was replaced already, and the secret does not name this role.
    async fn undo(&self, _old: Option<&Secret>, new: &SecretValue) -> Result<(), ApplyError> {
        match parts(new.expose()) {
            Ok((role, _)) => self.set_password(role, None).await,
            // Nothing was applied.
            Err(_) => Ok(()),
        }
    }
}

/// User and password, where the user is one of the two: a secret is data from outside, and its user is going to be a
/// part of a statement.
fn parts(secret: &Value) -> Result<(&'static str, &str), ApplyError> {
    let field = |name| secret.get(name).and_then(Value::as_str);
    let role = ROLES.into_iter().find(|role| field("user") == Some(role));
    match (role, field("password")) {
        (Some(role), Some(password)) => Ok((role, password)),
        _ => Err(ApplyError::new("the secret is no user and password of this scheme")),
    }
}

/// PostgreSQL's own words name roles and tables, and no password.
fn failed(what: &str, error: &tokio_postgres::Error) -> ApplyError {
    match error.as_db_error() {
        Some(said) => ApplyError::new(format!("{what}: {}", said.message())),
        None => ApplyError::new(format!("{what}: {error}")),
    }
}

/// A connection, which ends when the client is dropped.
pub(crate) async fn connect(config: &Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    // What goes wrong here is told to the client's next statement too.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}
