//! The password of a PostgreSQL role is rotated, several times and once through a crash, while clients go on
//! connecting. None is refused.
//!
//! PostgreSQL is started in a temporary folder. The secret lives on the dev server in memory, or on the server that
//! `OPENBAO_URL` (or `BAO_ADDR`, `VAULT_ADDR`) names, with the credential of the same environment.

use std::process::ExitCode;
use std::sync::Arc;

use baokit::{Client, Rotation};
use baokit_devserver::DevServer;
use rotate_postgres::{Halt, Pool, Postgres, Result, Step, TwoRoles, next_secret};
use tokio::sync::Notify;

const HELP: &str = "\
rotate-postgres: rotates the password of a PostgreSQL role while clients go on connecting

usage: cargo run -p rotate-postgres

It starts a PostgreSQL server of its own on 127.0.0.1, in a temporary folder; install Debian's package postgresql for
it. The secret lives on an OpenBao-compatible dev server in memory, or on a real one:

  bao server -dev -dev-root-token-id=root
  OPENBAO_URL=http://127.0.0.1:8200 OPENBAO_TOKEN=root cargo run -p rotate-postgres

That one needs a KVv2 mount called `secret`; written are secret/baokit/rotate-postgres and, while a rotation is under
way, secret/baokit/rotate-postgres.baokit-stage.
The exit status is 0 when no client was refused.";

const SECRET: &str = "openbao+kv2://secret/baokit/rotate-postgres";
const CLIENTS: usize = 8;
const ROTATIONS: usize = 4;

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(argument) = std::env::args().nth(1) {
        println!("{HELP}");
        return if matches!(argument.as_str(), "-h" | "--help") { ExitCode::SUCCESS } else { ExitCode::from(2) };
    }
    // Dropped, it ends the server and removes its folder.
    let result = tokio::select! {
        result = run() => result,
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
    };
    match result {
        Ok(()) => {
            println!("rotate-postgres: ok");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("rotate-postgres: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let postgres = Postgres::start().await?;
    let folder = "in a folder that goes with this program";
    step("postgres", &format!("{} on 127.0.0.1:{}, {folder}", postgres.version(), postgres.port()));
    let (client, _server) = connect().await?;
    let nodes: Vec<_> = client.settings().nodes().iter().map(ToString::to_string).collect();
    step("openbao", &nodes.join(", "));

    let roles = TwoRoles::new(postgres.admin().clone());
    roles.set_up().await?;
    let first = client.rotate_applied(SECRET, &to_the_other_role(client.rotation()), &roles).await?;
    step("secret", &format!("{SECRET} is version {}, of {}", first.new_version, user(&client).await?));
    let pool = Pool::start(CLIENTS, &client, SECRET, &roles);
    pool.all_on(first.new_version).await?;
    step("clients", &format!("{CLIENTS} connect again and again, as the secret says"));

    for _ in 0..ROTATIONS {
        let done = client.rotate_applied(SECRET, &to_the_other_role(client.rotation()), &roles).await?;
        let made = pool.counts().made;
        let user = user(&client).await?;
        step("rotate", &format!("{} -> {}, to {user}, after {made} connections", done.old_version, done.new_version));
        // Nobody uses the role before any more: the next rotation may have it.
        pool.all_on(done.new_version).await?;
    }

    let op = crash(&client, &roles).await?;
    let before = client.versions(SECRET).await?.current_version();
    step("crash", &format!("rotation {op} is cut off after the new password is set; the secret is version {before}"));
    // All that another process needs is the operation id; it has no lease to wait for.
    let resumed = to_the_other_role(client.resume_rotation(op.as_str()));
    let done = client.rotate_applied(SECRET, &resumed, &roles).await?;
    step("resume", &format!("{} -> {}, to {}", done.old_version, done.new_version, user(&client).await?));
    pool.all_on(done.new_version).await?;
    let again = client.rotate_applied(SECRET, &resumed, &roles).await?;
    step("again", &format!("resumed once more, it is still version {}", again.new_version));

    let counts = pool.stop().await;
    step("clients", &format!("{} connections, {} refused", counts.made, counts.refused));
    match counts.first_refusal {
        Some(reason) => Err(format!("a client was refused: {reason}").into()),
        None if done.new_version != before + 1 || again != done => Err("there is a version too many".into()),
        None => Ok(()),
    }
}

/// What is rotated to: the role that is not in use, with a generated password.
fn to_the_other_role(rotation: Rotation) -> Rotation {
    rotation.make(next_secret)
}

/// Begins a rotation in a task, and drops that after the database has the new password; the operation id remains.
async fn crash(client: &Client, roles: &TwoRoles) -> Result<String> {
    let rotation = to_the_other_role(client.rotation());
    let op = rotation.operation_id().to_owned();
    let reached = Arc::new(Notify::new());
    let task = tokio::spawn({
        let (client, roles, reached) = (client.clone(), roles.clone(), reached.clone());
        async move {
            let dies = Halt::after(Step::Applied, &roles, &reached);
            client.rotate_applied(SECRET, &rotation, &dies).await
        }
    });
    reached.notified().await;
    task.abort();
    match task.await {
        Err(error) if error.is_cancelled() => Ok(op),
        _ => Err("the rotation was to be cut off, and is over".into()),
    }
}

/// The user of the secret; the password is not shown.
async fn user(client: &Client) -> Result<String> {
    Ok(client.read(format!("{SECRET}#user")).await?.expose_str()?.to_owned())
}

/// A client for the server that the environment names, or for one in memory, which lives as long as the value beside.
async fn connect() -> Result<(Client, Option<DevServer>)> {
    let named = ["OPENBAO_URL", "BAO_URL", "BAO_ADDR", "VAULT_URL", "VAULT_ADDR"];
    if named.iter().any(|key| std::env::var_os(key).is_some_and(|value| !value.is_empty())) {
        return Ok((Client::builder_from_env().allowed_mounts(["secret"]).build()?, None));
    }
    let server = DevServer::start().await?;
    let client = Client::builder().url(server.url()).token(server.root_token()).allowed_mounts(["secret"]).build()?;
    Ok((client, Some(server)))
}

fn step(name: &str, text: &str) {
    println!("{name:>9}  {text}");
}
