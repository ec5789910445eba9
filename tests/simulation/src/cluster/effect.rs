//! What a committed request changed, read from the request and its answer: the authoritative log, by
//! which the checker judges what clients were told.

use baokit_devserver::model::{Request, Response};
use serde_json::Value;

/// How far a rotation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Begun,
    Finished,
    Abandoned,
}

/// The record of a rotation, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The operation id.
    pub(crate) id: String,
    /// The version that was the newest when it began.
    pub(crate) base: u64,
    pub(crate) phase: Phase,
}

impl Record {
    /// The one that a change of the metadata brings.
    pub(crate) fn in_body(body: &Value) -> Option<Self> {
        let text = body.pointer("/custom_metadata/baokit_rotation")?.as_str()?;
        let record: Value = serde_json::from_str(text).ok()?;
        let phase = match record.get("phase")?.as_str()? {
            "begun" => Phase::Begun,
            "finished" => Phase::Finished,
            _ => Phase::Abandoned,
        };
        Some(Self { id: record.get("op")?.as_str()?.to_owned(), base: record.get("base")?.as_u64()?, phase })
    }
}

/// One change of the cluster's state.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// The cluster as it was set up.
    Setup,
    Wrote {
        key: String,
        version: u64,
        value: Value,
    },
    /// The newest version was deleted.
    DeletedLatest {
        key: String,
    },
    Deleted {
        key: String,
        versions: Vec<u64>,
    },
    Undeleted {
        key: String,
        versions: Vec<u64>,
    },
    Destroyed {
        key: String,
        versions: Vec<u64>,
    },
    /// The key with all that there was of it.
    Gone {
        key: String,
    },
    /// Its metadata; with a new limit of its versions, and a new record of its rotation, where one is given.
    Metadata {
        key: String,
        max_versions: Option<u64>,
        record: Option<Record>,
    },
    /// The state became again what it was after so many entries of the log.
    Restored {
        length: usize,
    },
    LoggedIn {
        token: String,
    },
    /// Tokens, wrapping, settings: nothing that reads of secrets show.
    Other,
}

impl Effect {
    /// What a request that was answered with a success has changed.
    pub(crate) fn of(request: &Request, answer: &Response) -> Self {
        let path = request.target.split_once('?').map_or(request.target.as_str(), |(path, _)| path);
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let said = || serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
        let versions = || at(&body, "/versions").as_array().map(|all| all.iter().filter_map(Value::as_u64).collect());
        let delete = request.method == "DELETE";
        if path.starts_with("/v1/auth/") && path.ends_with("/login") {
            let token = at(&said(), "/auth/client_token").as_str().unwrap_or_default().to_owned();
            return Self::LoggedIn { token };
        }
        let wrapped = request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("x-vault-wrap-ttl"));
        let Some((part, key)) = path.strip_prefix("/v1/secret/").and_then(|rest| rest.split_once('/')) else {
            return Self::Other;
        };
        let key = key.to_owned();
        match part {
            _ if wrapped => Self::Other,
            "data" if delete => Self::DeletedLatest { key },
            "data" => {
                let version = at(&said(), "/data/version").as_u64().unwrap_or_default();
                Self::Wrote { key, version, value: body.get("data").cloned().unwrap_or_default() }
            }
            "delete" => Self::Deleted { key, versions: versions().unwrap_or_default() },
            "undelete" => Self::Undeleted { key, versions: versions().unwrap_or_default() },
            "destroy" => Self::Destroyed { key, versions: versions().unwrap_or_default() },
            "metadata" if delete => Self::Gone { key },
            "metadata" => Self::Metadata {
                key,
                max_versions: at(&body, "/max_versions").as_u64(),
                record: Record::in_body(&body),
            },
            _ => Self::Other,
        }
    }

    /// The key that it concerns, where it is of one.
    pub(crate) fn key(&self) -> Option<&str> {
        match self {
            Self::Wrote { key, .. }
            | Self::DeletedLatest { key }
            | Self::Deleted { key, .. }
            | Self::Undeleted { key, .. }
            | Self::Destroyed { key, .. }
            | Self::Gone { key }
            | Self::Metadata { key, .. } => Some(key),
            Self::Setup | Self::Restored { .. } | Self::LoggedIn { .. } | Self::Other => None,
        }
    }
}

/// What a document holds at a place, null where it holds nothing.
fn at<'a>(document: &'a Value, pointer: &str) -> &'a Value {
    document.pointer(pointer).unwrap_or(&Value::Null)
}
