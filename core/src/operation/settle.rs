//! Changes whose answer was lost, or can't be believed as it is.
//!
//! A write with `cas` may be sent again, since it is carried out once at most. What comes back then may be
//! a mismatch that is its own earlier try's work; and a leader that was deposed calls a right `cas` a
//! mismatch too. So a mismatch is believed only after a strong read, and a doubt is settled by what is
//! there; where that proves nothing, the outcome is [`Code::Indeterminate`].

use serde_json::Value;

use super::{Operation, ReadOptions};
use crate::call::Call;
use crate::call::kv2::{self, Address, Fate, Held, Written, Wrote};
use crate::drive::Host;
use crate::error::{Code, Error, Result};
use crate::rules::Rule;
use crate::secret::SecretValue;
use crate::session::floors::Sighting;

/// Where a mismatch under `cas` leaves a write.
enum Found {
    /// Nobody has written since: the node that called it a mismatch was wrong.
    StillThere,
    /// The version that follows holds what was to be written.
    Ours(Written),
    /// Another writer came first. The newest version, where it can be read.
    Conflict(Option<u64>),
    /// What is there proves nothing.
    Unknown(&'static str),
}

impl<H: Host> Operation<'_, H> {
    /// Writes the version that follows `cas`. `base` is what was seen of `cas` itself, where it was.
    pub(super) async fn write_after(
        &self,
        at: Address<'_>,
        data: &SecretValue,
        cas: u64,
        base: Option<u64>,
    ) -> Result<Written> {
        self.make(at, kv2::write(at, data, Some(cas))?, data, cas, base).await
    }

    /// Carries out a call that makes the version which follows `cas`, with this data.
    pub(super) async fn make(
        &self,
        at: Address<'_>,
        call: Call<Wrote>,
        data: &SecretValue,
        cas: u64,
        base: Option<u64>,
    ) -> Result<Written> {
        let key = at.key();
        let _changes = self.changes(at);
        let base = base.or_else(|| self.session(|session| session.floors.created(&key, cas)));
        let mut in_doubt = false;
        loop {
            let since = self.session(|session| session.floors.moves());
            let (answer, exchange) = self.carry_out_in(call.spec.clone(), self.node, self.deadline, in_doubt).await?;
            in_doubt = exchange.in_doubt();
            let (wrote, exchange) = self.placed(call.read(answer), exchange)?;
            let written = match wrote {
                Wrote::Version(written) => written,
                Wrote::Mismatch(error) => match self.found(at, data, cas, base, in_doubt).await? {
                    Found::Ours(written) => written,
                    Found::StillThere => {
                        self.suspect(&exchange);
                        if !self.pause().await {
                            let reason = "a node that is behind calls it a mismatch, and the version is the one given";
                            let error = Error::new(Code::StaleRead).about(key).because(reason);
                            return Err(
                                self.place(&exchange, if in_doubt { error.into_indeterminate() } else { error })
                            );
                        }
                        continue;
                    }
                    Found::Conflict(None) => return Err(self.place(&exchange, error)),
                    Found::Conflict(Some(newest)) => {
                        let reason = format!("version {newest} is the newest, and the write was to follow {cas}");
                        return Err(self.place(&exchange, error.because(reason)));
                    }
                    Found::Unknown(reason) => {
                        return Err(self.place(&exchange, error.because(reason).into_indeterminate()));
                    }
                },
            };
            if Some(written.version()) != cas.checked_add(1) {
                let reason =
                    format!("the answer speaks of version {} after a write that follows {cas}", written.version());
                return Err(self.place(&exchange, Error::new(Code::Indeterminate).about(key).because(reason)));
            }
            self.wrote(&key, &written, since);
            return Ok(written);
        }
    }

    /// Lets the floor be where a write that was acknowledged has left the secret. It is as good as a strong read: where
    /// more was seen before it was sent, the secret was made anew since.
    pub(super) fn wrote(&self, key: &str, written: &Written, since: u64) {
        let seen = Sighting::of(written.version(), written.created_time(), None);
        let fell = self.session(|session| session.place_floor(key, &seen, None, since));
        self.tell_of_fall(key, fell, seen.version);
    }

    /// What is behind a mismatch.
    async fn found(
        &self,
        at: Address<'_>,
        data: &SecretValue,
        cas: u64,
        base: Option<u64>,
        in_doubt: bool,
    ) -> Result<Found> {
        let rules = self.session(|session| session.rules);
        if !rules.keep(Rule::MismatchIsConfirmed) || (in_doubt && !rules.keep(Rule::MismatchIsResolved)) {
            return Ok(Found::Conflict(None));
        }
        let unknown = |error: Error| match error.code() {
            // Who may write and not read has to take the server's word.
            Code::PermissionDenied if !in_doubt => Ok(Found::Conflict(None)),
            _ if in_doubt => Err(error.into_indeterminate()),
            _ => Err(error),
        };
        let newest = match self.strong_version(at, None).await {
            Ok(newest) => newest,
            Err(error) => return unknown(error),
        };
        let version = newest.version();
        if version == cas {
            return Ok(Found::StillThere);
        }
        if !in_doubt {
            return Ok(Found::Conflict(Some(version)));
        }
        let follower = match version.checked_sub(cas) {
            Some(1) => newest,
            Some(_) => match self.strong_version(at, cas.checked_add(1)).await {
                Ok(follower) => follower,
                Err(error) => return unknown(error),
            },
            None => return Ok(Found::Unknown("the secret was made anew meanwhile")),
        };
        let Held::Data(secret) = follower else {
            return Ok(Found::Unknown("the version that it would have made is deleted, destroyed or pruned"));
        };
        if is_stored_as(data.expose(), secret.value.expose()) {
            return Ok(Found::Ours(Written::new(secret.version, secret.created_time.clone())));
        }
        // Another value follows `cas`; was it this `cas`, or one of a secret that was made anew?
        let same = match base {
            Some(base) => match self.strong_version(at, Some(cas)).await {
                Ok(held) => held.sighting().created == Some(base),
                Err(error) => return unknown(error),
            },
            None => false,
        };
        if !same {
            return Ok(Found::Unknown("another value is there, perhaps of a secret made anew"));
        }
        // A snapshot that was restored since the first look shows the same `cas`, and nothing after it.
        match self.strong_version(at, None).await {
            Ok(newest) if newest.version() == cas => Ok(Found::StillThere),
            Ok(newest) if newest.version() > cas => Ok(Found::Conflict(Some(newest.version()))),
            Ok(_) => Ok(Found::Unknown("the secret was made anew meanwhile")),
            Err(error) => unknown(error),
        }
    }

    pub(super) async fn strong_version(&self, at: Address<'_>, version: Option<u64>) -> Result<Held> {
        Ok(self.held(at, version, ReadOptions::new().strong()).await?.0)
    }

    /// Writes without `cas`. A lost answer counts as a success where a version that is newer than all that were
    /// seen before holds the value.
    pub(super) async fn write_blindly(&self, at: Address<'_>, data: &SecretValue) -> Result<Written> {
        let call = kv2::write(at, data, None)?;
        let key = at.key();
        let _changes = self.changes(at);
        let (before, since) = self.session(|session| (session.floor(&key).0.version, session.floors.moves()));
        let written = match self.once(&call).await {
            Ok((Wrote::Version(written), _)) => written,
            Ok((Wrote::Mismatch(error), exchange)) => return Err(self.place(&exchange, error)),
            Err(error) if error.code() == Code::Indeterminate => match self.strong_version(at, None).await {
                // A version that was there before is not its work, however equal.
                Ok(Held::Data(secret))
                    if before > 0 && secret.version > before && is_stored_as(data.expose(), secret.value.expose()) =>
                {
                    Written::new(secret.version, secret.created_time.clone())
                }
                _ => return Err(error),
            },
            Err(error) => return Err(error),
        };
        self.wrote(&key, &written, since);
        Ok(written)
    }

    /// Undeletes these versions. A lost answer counts as a success where all are there, and one that was seen to be
    /// gone is among them: it was undeleted, by this or by another.
    pub(super) async fn undelete(&self, at: Address<'_>, versions: &[u64]) -> Result<()> {
        let floor = self.session(|session| session.floor(&at.key()).0);
        match self.change_versions(at, Fate::Undelete, versions).await {
            Err(error) if error.code() == Code::Indeterminate => {
                if !versions.iter().any(|version| floor.is_gone(*version)) {
                    return Err(error);
                }
                for version in versions {
                    // The strong read settles the floor as well.
                    if !matches!(self.strong_version(at, Some(*version)).await, Ok(Held::Data(_))) {
                        return Err(error);
                    }
                }
                Ok(())
            }
            result => result,
        }
    }

    /// Deletes, undeletes or destroys these versions, or deletes the newest where none is named.
    ///
    /// A node that is behind answers the change of what it does not know with a success, and does nothing.
    /// Where the servers don't say how far they are, a strong read looks whether it was done.
    pub(super) async fn change_versions(&self, at: Address<'_>, fate: Fate, versions: &[u64]) -> Result<()> {
        self.change_versions_of(at, fate, versions, None).await
    }

    /// The same of versions that were written at this time, where that is known.
    pub(super) async fn change_versions_of(
        &self,
        at: Address<'_>,
        fate: Fate,
        versions: &[u64],
        created: Option<u64>,
    ) -> Result<()> {
        let _changes = self.changes(at);
        let before = self.session(|session| session.floor(&at.key()).0.version);
        let call = match versions {
            [] => kv2::delete_latest(at),
            _ => kv2::change_versions(at, fate, versions)?,
        };
        let ((), mut exchange) = self.once(&call).await?;
        self.session(|session| session.floors.changed(&at.key(), versions, fate != Fate::Undelete));
        if exchange.is_current() {
            return Ok(());
        }
        loop {
            let version = match self.first_undone(at, fate, versions).await {
                Ok(None) => return Ok(()),
                Ok(Some(held)) if created.is_some() && held.sighting().created != created => {
                    let error = Error::new(Code::Indeterminate).about(at.key());
                    return Err(self.place(&exchange, error.because("the secret was made anew meanwhile")));
                }
                Ok(Some(held)) => held.version(),
                // Who may do this and not read has to take the server's word.
                Err(error) if error.code() == Code::PermissionDenied => return Ok(()),
                Err(error) => return Err(error.into_indeterminate()),
            };
            if versions.is_empty()
                && version != before
                && self.may_be_done(at, version).await.map_err(Error::into_indeterminate)?
            {
                let reason = format!("version {version} is there, perhaps written since");
                return Err(self.place(&exchange, Error::new(Code::Indeterminate).about(at.key()).because(reason)));
            }
            self.suspect(&exchange);
            if !self.pause().await {
                let reason = "a node that is behind said that it was done, and it is not";
                return Err(self.place(&exchange, Error::new(Code::Indeterminate).about(at.key()).because(reason)));
            }
            // By its number, so that nothing newer is deleted.
            let newest = [version];
            let call = kv2::change_versions(at, fate, if versions.is_empty() { &newest } else { versions })?;
            exchange = self.once(&call).await.map_err(Error::into_indeterminate)?.1;
        }
    }

    /// The first of these versions, or the newest where none is named, that it was not done to.
    async fn first_undone(&self, at: Address<'_>, fate: Fate, versions: &[u64]) -> Result<Option<Held>> {
        let named = versions.iter().rev().copied().map(Some);
        for version in named.chain(versions.is_empty().then_some(None)) {
            let held = self.strong_version(at, version).await?;
            if !fate.is_done(&held) {
                return Ok(Some(held));
            }
        }
        Ok(None)
    }

    /// Whether a deletion of the newest version, which is this one now, may have hit the one before it.
    async fn may_be_done(&self, at: Address<'_>, version: u64) -> Result<bool> {
        let before = version.checked_sub(1).filter(|before| *before > 0);
        let Some(before) = before else { return Ok(false) };
        Ok(!matches!(self.strong_version(at, Some(before)).await?, Held::Data(_)))
    }
}

/// Whether OpenBao stores the one as the other: its numbers are `float64`.
pub(super) fn is_stored_as(written: &Value, stored: &Value) -> bool {
    match (written, stored) {
        (Value::Number(written), Value::Number(stored)) => written == stored || written.as_f64() == stored.as_f64(),
        (Value::Array(written), Value::Array(stored)) => {
            written.len() == stored.len()
                && written.iter().zip(stored).all(|(written, stored)| is_stored_as(written, stored))
        }
        (Value::Object(written), Value::Object(stored)) => {
            written.len() == stored.len()
                && written.iter().all(|(key, value)| stored.get(key).is_some_and(|stored| is_stored_as(value, stored)))
        }
        _ => written == stored,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_compared_as_openbao_stores_them() {
        let same = [(json!(1), json!(1.0)), (json!({"a": [1, "x"]}), json!({"a": [1.0, "x"]}))];
        assert!(same.iter().all(|(written, stored)| is_stored_as(written, stored)));
        assert!(is_stored_as(&json!(9_007_199_254_740_993_u64), &json!(9_007_199_254_740_992_u64)));
        let different = [
            (json!(1), json!("1")),
            (json!({"a": 1}), json!({"a": 1, "b": 2})),
            (json!({"a": 1, "b": 2}), json!({"a": 1})),
            (json!([1, 2]), json!([2, 1])),
            (json!(null), json!({})),
        ];
        assert!(!different.iter().any(|(written, stored)| is_stored_as(written, stored)));
    }
}
