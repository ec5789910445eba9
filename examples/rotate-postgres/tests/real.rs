//! The example on a real PostgreSQL server: as a user runs it, with steps that fail, and cut off after each step.
//! Needs PostgreSQL.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail by panicking, as tests do"
)]

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::task::Poll;

use baokit::{Client, Code, Generator, Rotated, Rotation};
use baokit_devserver::DevServer;
use rotate_postgres::{Halt, Postgres, Step, TwoRoles, next_secret};
use tokio::sync::Notify;
use tokio_postgres::{Config, NoTls};

const SECRET: &str = "openbao+kv2://secret/app/database";

/// Both servers, with the roles and version 1 of the secret, of `app_a`.
struct Place {
    postgres: Postgres,
    server: DevServer,
    client: Client,
    roles: TwoRoles,
}

impl Place {
    async fn new() -> Self {
        let postgres = Postgres::start().await.unwrap();
        let server = DevServer::start().await.unwrap();
        let roles = TwoRoles::new(postgres.admin().clone());
        roles.set_up().await.unwrap();
        let client = client(&server);
        let place = Self { postgres, server, client, roles };
        place.rotate().await.unwrap();
        assert_eq!((place.version().await, place.user().await.as_str()), (1, "app_a"));
        place
    }

    fn rotation(&self) -> Rotation {
        self.client.rotation().make(next_secret)
    }

    async fn rotate(&self) -> baokit::Result<Rotated> {
        self.client.rotate_applied(SECRET, &self.rotation(), &self.roles).await
    }

    async fn version(&self) -> u64 {
        self.client.versions(SECRET).await.unwrap().current_version()
    }

    async fn user(&self) -> String {
        self.client.read(format!("{SECRET}#user")).await.unwrap().expose_str().unwrap().to_owned()
    }

    async fn login(&self, version: u64) -> Config {
        let secret = self.client.read(format!("{SECRET}?version={version}")).await.unwrap();
        self.roles.login(secret.expose()).unwrap()
    }

    /// Whether the user and password of a version are let in.
    async fn lets_in(&self, version: u64) -> bool {
        self.login(version).await.connect(NoTls).await.is_ok()
    }

    async fn execute(&self, statement: &str) {
        let (client, connection) = self.postgres.admin().connect(NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        client.batch_execute(statement).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
    }

    fn has_stage(&self) -> bool {
        use baokit_devserver::model::Request;
        let request =
            Request::new("GET", "/v1/secret/metadata/app/database.baokit-stage").token(self.server.root_token());
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        match self.server.with_model(|model| model.handle(now, &request)).status {
            200 => true,
            404 => false,
            status => panic!("{status}"),
        }
    }

    /// How often the secret was written.
    fn writes(&self) -> usize {
        let log = self.server.requests();
        log.iter().filter(|it| it.method == "POST" && it.target == "/v1/secret/data/app/database").count()
    }

    /// Begins a rotation and drops it where it is to be cut off; the operation id remains.
    async fn cut(&self, at: Cut) -> String {
        let rotation = self.rotation();
        match at {
            Cut::After(step) => {
                let reached = Notify::new();
                let dies = Halt::after(step, &self.roles, &reached);
                tokio::select! {
                    result = self.client.rotate_applied(SECRET, &rotation, &dies) => panic!("it is over: {result:?}"),
                    () = reached.notified() => {}
                }
            }
            Cut::Written => {
                let before = self.writes();
                let mut work = Box::pin(self.client.rotate_applied(SECRET, &rotation, &self.roles));
                // Looked at before the answer is: what follows the write is not begun.
                poll_fn(|context| match self.writes() > before {
                    true => Poll::Ready(()),
                    false => work.as_mut().poll(context).map(|result| panic!("it is over: {result:?}")),
                })
                .await;
            }
        }
        rotation.operation_id().to_owned()
    }
}

#[derive(Clone, Copy, Debug)]
enum Cut {
    After(Step),
    Written,
}

/// A process of its own.
fn client(server: &DevServer) -> Client {
    Client::builder().url(server.url()).token(server.root_token()).allowed_mounts(["secret"]).build().unwrap()
}

fn leftovers(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn the_example_ends_well_and_leaves_nothing_behind() {
    let folder = std::env::temp_dir().join(format!("test-of-rotate-postgres-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rotate-postgres"));
    for name in ["OPENBAO_URL", "BAO_URL", "BAO_ADDR", "VAULT_URL", "VAULT_ADDR"] {
        command.env_remove(name);
    }
    let ran = command.env("TMPDIR", &folder).output().unwrap();
    let left = leftovers(&folder);
    std::fs::remove_dir_all(&folder).unwrap();
    let text = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success(), "{text}{}", String::from_utf8_lossy(&ran.stderr));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[lines.len() - 1], "rotate-postgres: ok");
    assert!(lines[lines.len() - 2].ends_with(" connections, 0 refused"), "{text}");
    assert_eq!(lines.iter().filter(|line| line.trim_start().starts_with("rotate ")).count(), 4, "{text}");
    assert!(lines.iter().any(|line| line.contains("resume  5 -> 6, to app_b")), "{text}");
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn the_role_of_before_is_let_in_until_the_next_rotation() {
    let place = Place::new().await;
    for (version, user) in [(2, "app_b"), (3, "app_a"), (4, "app_b")] {
        let done = place.rotate().await.unwrap();
        assert_eq!((done.new_version, place.user().await.as_str()), (version, user));
        assert!(place.lets_in(version).await && place.lets_in(version - 1).await);
        assert!(version < 3 || !place.lets_in(version - 2).await);
    }
    let process = format!("/proc/{}", place.postgres.pid());
    assert!(Path::new(&process).exists());
    drop(place);
    assert!(!Path::new(&process).exists());
}

#[tokio::test]
async fn a_step_that_fails_is_undone_and_the_secret_is_as_it_was() {
    let place = Place::new().await;
    place.rotate().await.unwrap();
    place.rotate().await.unwrap();
    // The new password is set, and the log-in with it is refused.
    place.execute("ALTER ROLE app_b NOLOGIN").await;
    let error = place.rotate().await.unwrap_err();
    assert_eq!(error.code(), Code::RotationFailed);
    assert!(error.to_string().contains("test failed: the new role can't log in"), "{error}");
    assert_eq!((place.version().await, place.user().await.as_str(), place.has_stage()), (3, "app_a", false));
    assert!(place.lets_in(3).await);
    // Nobody knows a password of the other role now.
    place.execute("ALTER ROLE app_b LOGIN").await;
    let (client, connection) = place.postgres.admin().connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    let none = "SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'app_b'";
    assert!(client.query_one(none, &[]).await.unwrap().get::<_, bool>(0));

    // Without the rights of the owner the log-in does not help.
    place.execute("REVOKE app_owner FROM app_b").await;
    let error = place.rotate().await.unwrap_err();
    assert!(error.to_string().contains("test failed: the new role may not read: permission denied"), "{error}");
    place.execute("GRANT app_owner TO app_b").await;
    assert_eq!((place.rotate().await.unwrap().new_version, place.user().await.as_str()), (4, "app_b"));

    // The database can't be reached at all.
    let mut nowhere = place.postgres.admin().clone();
    nowhere.password("wrong");
    let nowhere = TwoRoles::new(nowhere);
    let error = place.client.rotate_applied(SECRET, &place.rotation(), &nowhere).await.unwrap_err();
    assert!(error.to_string().contains("apply failed: the administrator can't log in"), "{error}");
    assert!(place.lets_in(4).await);
    assert_eq!(place.version().await, 4);
    // What could not be undone is to be resumed: it still has its lease.
    assert_eq!(place.rotate().await.unwrap_err().code(), Code::RotationInProgress);
}

#[tokio::test]
async fn cut_off_after_each_step_and_resumed_it_makes_one_version_and_leaves_no_stage() {
    let place = Place::new().await;
    let steps = [Cut::After(Step::Staged), Cut::After(Step::Applied), Cut::After(Step::Tested), Cut::Written];
    for (before, cut) in (1..).zip(steps) {
        let op = place.cut(cut).await;
        let is_written = matches!(cut, Cut::Written);
        assert_eq!((place.version().await, place.has_stage()), (before + u64::from(is_written), true), "{cut:?}");
        assert!(place.lets_in(before).await, "{cut:?}: who has the secret of before is let in");
        // Who does not have the id waits.
        assert_eq!(place.rotate().await.unwrap_err().code(), Code::RotationInProgress, "{cut:?}");

        let another = client(&place.server);
        let resumed = another.resume_rotation(op).generate(Generator::new().length(40)).make(next_secret);
        for _ in 0..2 {
            let done = another.rotate_applied(SECRET, &resumed, &place.roles).await.unwrap();
            assert_eq!((done.old_version, done.new_version, place.version().await), (before, before + 1, before + 1));
            assert!(!place.has_stage(), "{cut:?}");
            assert!(place.lets_in(before).await && place.lets_in(before + 1).await, "{cut:?}");
        }
    }
}

#[tokio::test]
async fn a_secret_that_names_another_role_touches_nothing() {
    let place = Place::new().await;
    let wrong = place
        .client
        .rotation()
        .make(|_, password| serde_json::json!({"user": "admin\" SUPERUSER; --", "password": password.expose()}));
    let error = place.client.rotate_applied(SECRET, &wrong, &place.roles).await.unwrap_err();
    assert_eq!(error.code(), Code::RotationFailed);
    assert_eq!((place.version().await, place.has_stage()), (1, false));
    place.rotate().await.unwrap();
}
