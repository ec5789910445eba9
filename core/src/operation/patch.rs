//! Patches: a JSON merge patch (RFC 7396) of a secret's newest version.
//!
//! It is made under a check-and-set parameter as every write is, so the newest version is read first. Where the
//! token may not patch (the usual policy does not let it) or something between refuses the method, the merge is
//! done here, and written under the same parameter.

use std::fmt::Display;

use serde_json::{Map, Value};

use super::secrets::{WRITE_ROUNDS, present};
use super::{Change, Operation, ReadOptions};
use crate::call::kv2::{self, Address, Written, Wrote};
use crate::config::Origin;
use crate::drive::Host;
use crate::error::{Code, Error, Result};
use crate::secret::SecretValue;

/// Whether an error says that PATCH is not to be had, by this token, this server or what lies between. It is one
/// of a call that was not carried out: else it would be [`Code::Indeterminate`].
pub(super) fn is_no_patch(error: &Error) -> bool {
    // A server says 400, 405 or 415; a proxy's page is no answer of OpenBao's.
    matches!(error.code(), Code::PermissionDenied | Code::NotSupported | Code::RequestRejected | Code::MalformedAnswer)
}

impl<H: Host> Operation<'_, H> {
    /// Merges these changes into the newest version, which must be `cas` where that is given.
    pub(super) async fn patch(
        &self,
        at: Address<'_>,
        changes: &SecretValue,
        cas: Option<u64>,
        name: &(dyn Display + Sync),
    ) -> Result<Change> {
        let mut options = ReadOptions::new();
        let mut round = 1;
        loop {
            let (held, exchange) = match self.held(at, None, options).await {
                Err(error) if error.code() == Code::PermissionDenied => {
                    return self.patch_unread(at, changes, cas).await.map(change);
                }
                result => result?,
            };
            let (version, base) = (held.version(), held.sighting().created);
            if let Some(cas) = cas.filter(|cas| *cas != version) {
                if options == ReadOptions::new().strong() {
                    let reason = format!("version {version} is the newest, and the patch was to follow {cas}");
                    let error = Error::new(Code::CasConflict).about(name.to_string()).because(reason);
                    return Err(self.place(&exchange, error));
                }
                options = ReadOptions::new().strong();
                continue;
            }
            let secret = present(held, name, None).map_err(|error| self.place(&exchange, error))?;
            match self.patch_onto(at, changes, version, base, secret.expose()).await {
                Ok(written) => return Ok(change(written)),
                Err(error) if round == WRITE_ROUNDS => return Err(error),
                Err(error) if error.code() == Code::CasConflict && cas.is_none() => {}
                // The node that was asked does not have it, or it is gone since: a strong read tells.
                Err(error) if error.code() == Code::NotFound => {
                    options = ReadOptions::new().strong();
                    self.suspect_named(&error);
                    if !self.pause().await {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
            round += 1;
        }
    }

    /// Turns away from the node that an error names.
    fn suspect_named(&self, error: &Error) {
        let Some(Ok(origin)) = error.node().map(Origin::parse) else { return };
        self.session(|session| {
            if let Some(node) = session.nodes.find(&origin) {
                session.nodes.suspect(node);
            }
        });
    }

    async fn patch_onto(
        &self,
        at: Address<'_>,
        changes: &SecretValue,
        version: u64,
        base: Option<u64>,
        held: &Value,
    ) -> Result<Written> {
        let merged = SecretValue::from(merge(held, changes.expose()));
        // OpenBao patches objects only; `null` may have been written in their place.
        if held.is_object() {
            let call = kv2::patch(at, changes, Some(version))?;
            match self.make(at, call, &merged, version, base).await {
                Err(error) if is_no_patch(&error) => {}
                result => return result,
            }
        }
        self.write_after(at, &merged, version, base).await
    }

    /// For who may patch and not read.
    async fn patch_unread(&self, at: Address<'_>, changes: &SecretValue, cas: Option<u64>) -> Result<Written> {
        let call = kv2::patch(at, changes, cas)?;
        let _changes = self.changes(at);
        let Some(cas) = cas else {
            let since = self.session(|session| session.floors.moves());
            let (wrote, exchange) = self.once(&call).await?;
            return match wrote {
                Wrote::Version(written) => {
                    self.wrote(&at.key(), &written, since);
                    Ok(written)
                }
                Wrote::Mismatch(error) => Err(self.place(&exchange, error)),
            };
        };
        // What is there can't be compared with anything, nor be read.
        self.make(at, call, changes, cas, None).await
    }
}

fn change(written: Written) -> Change {
    Change { old_version: written.version().saturating_sub(1), new_version: written.version() }
}

/// JSON merge patch, as OpenBao does it: a list takes the place of what was there, and what lies in it loses its
/// nulls.
fn merge(held: &Value, changes: &Value) -> Value {
    let Value::Object(changes) = changes else { return changes.clone() };
    let mut all = held.as_object().cloned().unwrap_or_default();
    for (name, change) in changes {
        match change {
            Value::Null => drop(all.remove(name)),
            Value::Array(_) => drop(all.insert(name.clone(), without_nulls(change))),
            _ => {
                let merged = merge(all.get(name).unwrap_or(&Value::Null), change);
                all.insert(name.clone(), merged);
            }
        }
    }
    Value::Object(all)
}

/// The objects in a list lose their nulls; the list itself does not.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect::<Map<_, _>>())
        }
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_merge_is_that_of_rfc_7396_and_of_openbao_s_lists() {
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
            (
                json!({"a": 1}),
                json!({"l": [null, {"a": null, "b": [{"c": null}]}]}),
                json!({"a": 1, "l": [null, {"b": [{}]}]}),
            ),
            (json!(null), json!({"a": 1}), json!({"a": 1})),
        ];
        for (held, changes, merged) in cases {
            assert_eq!(merge(&held, &changes), merged, "{held} {changes}");
        }
    }
}
