//! One function for each operation of the client under test: the only place that calls it, and the
//! place for what it learns to do.

use baokit_core::{Client, Error, Partition, ReadOptions, Secret, SecretValue};
use serde_json::json;

use crate::history::{Kind, Outcome, Transfer};
use crate::network::SimulatedHost;
use crate::rotations::{Database, Recorded};
use crate::watches::Eye;

const MOUNT: &str = "secret";

type Subject = Client<SimulatedHost>;

/// Carries one operation out. What it writes holds `mark`.
pub(crate) async fn carry_out(
    client: &Subject,
    kind: &Kind,
    key: &str,
    mark: &str,
    outside: &Database,
    eye: &Eye,
) -> Outcome {
    match kind {
        Kind::Read => read(client, key).await,
        Kind::ReadPinned(version) => read_pinned(client, key, *version).await,
        Kind::Write => write(client, key, mark).await,
        Kind::WriteFragment => write_fragment(client, key, mark).await,
        Kind::Put { cas } => put(client, key, mark, *cas).await,
        Kind::Rotate => rotate(client, key, mark).await,
        Kind::Recorded(recorded) => recorded_rotation(client, key, recorded, outside).await,
        Kind::Delete => delete(client, key).await,
        Kind::DeleteVersions(versions) => delete_versions(client, key, versions).await,
        Kind::Versions => versions(client, key).await,
        Kind::LookupSelf => lookup_self(client).await,
        Kind::Transfer(transfer) => copy_or_move(client, transfer, key).await,
        Kind::Watch { every, lasts } => eye.watch(client, &uri(key), *every, *lasts).await,
    }
}

fn uri(key: &str) -> String {
    format!("openbao+kv2://{MOUNT}/{key}")
}

pub(crate) fn failed(error: &Error) -> Outcome {
    Outcome::Failed(error.code().as_str(), error.to_string())
}

fn found(result: Result<Secret, Error>) -> Outcome {
    match result {
        Ok(secret) => Outcome::Read { version: secret.version(), value: secret.expose().clone() },
        Err(error) => failed(&error),
    }
}

fn written(result: Result<u64, Error>) -> Outcome {
    result.map_or_else(|error| failed(&error), |version| Outcome::Written { version })
}

async fn read(client: &Subject, key: &str) -> Outcome {
    found(client.read(&uri(key)).await)
}

/// Reads on behalf of one of several.
pub(crate) async fn read_for(client: &Subject, kind: &Kind, key: &str, partition: u64) -> Outcome {
    let uri = match kind {
        Kind::ReadPinned(version) => format!("{}?version={version}", uri(key)),
        _ => uri(key),
    };
    let partition = Partition::new("dev", &format!("principal-{partition}"), "simulation", None);
    found(client.read_with(&uri, ReadOptions::new().partition(partition)).await)
}

async fn read_pinned(client: &Subject, key: &str, version: u64) -> Outcome {
    found(client.read(&format!("{}?version={version}", uri(key))).await)
}

async fn write(client: &Subject, key: &str, mark: &str) -> Outcome {
    let value = SecretValue::from(json!({ "w": mark }));
    written(client.write(&uri(key), value).await.map(|change| change.new_version))
}

async fn write_fragment(client: &Subject, key: &str, mark: &str) -> Outcome {
    let value = SecretValue::from(json!(mark));
    written(client.write(&format!("{}#f", uri(key)), value).await.map(|change| change.new_version))
}

async fn put(client: &Subject, key: &str, mark: &str, cas: Option<u64>) -> Outcome {
    let value = SecretValue::from(json!({ "w": mark }));
    written(client.kv2_write(MOUNT, key, &value, cas).await.map(|written| written.version()))
}

async fn rotate(client: &Subject, key: &str, mark: &str) -> Outcome {
    let value = SecretValue::from(json!({ "w": mark }));
    written(client.rotate(&uri(key), value).await.map(|change| change.new_version))
}

async fn recorded_rotation(client: &Subject, key: &str, recorded: &Recorded, outside: &Database) -> Outcome {
    let fragment = if recorded.whole { "" } else { "#f" };
    let uri = format!("{}{fragment}", uri(key));
    let result = match recorded.applied {
        true => client.rotate_applied(&uri, recorded.rotation(), outside).await,
        false => client.rotate_with(&uri, recorded.rotation()).await,
    };
    result.map_or_else(
        |error| failed(&error),
        |done| Outcome::Rotated {
            id: done.operation_id,
            old: done.old_version,
            new: done.new_version,
            is_recorded: done.is_recorded,
        },
    )
}

async fn delete(client: &Subject, key: &str) -> Outcome {
    client.delete(&uri(key)).await.map_or_else(|error| failed(&error), |()| Outcome::Done)
}

async fn delete_versions(client: &Subject, key: &str, versions: &[u64]) -> Outcome {
    let result = client.kv2_delete(MOUNT, key, versions).await;
    result.map_or_else(|error| failed(&error), |()| Outcome::Done)
}

async fn versions(client: &Subject, key: &str) -> Outcome {
    let result = client.versions(&uri(key)).await;
    result.map_or_else(|error| failed(&error), |versions| Outcome::Versions { current: versions.current_version() })
}

async fn lookup_self(client: &Subject) -> Outcome {
    client.lookup_self().await.map_or_else(|error| failed(&error), |_| Outcome::Done)
}

async fn copy_or_move(client: &Subject, transfer: &Transfer, key: &str) -> Outcome {
    let Transfer { from, pin, overwrite, moves } = transfer;
    let pin = pin.map_or_else(String::new, |version| format!("?version={version}"));
    let (from, to) = (format!("{}{pin}", uri(from)), uri(key));
    let result = match moves {
        true => client.move_to(&from, &to, *overwrite).await,
        false => client.copy(&from, &to, *overwrite).await,
    };
    result.map_or_else(
        |error| failed(&error),
        |copied| Outcome::Copied { source: copied.source_version, old: copied.old_version, new: copied.new_version },
    )
}
