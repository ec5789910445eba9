//! Changes of metadata under `metadata_cas`, of a whole key, and of a mount's settings.
//!
//! A mismatch is believed only after a strong read, as it is for writes of data: see [`super::settle`].

use super::patch::is_no_patch;
use super::secrets::WRITE_ROUNDS;
use super::{Operation, ReadOptions};
use crate::call::Call;
use crate::call::kv2::config::{self, Kv2Config};
use crate::call::kv2::{Address, Held};
use crate::call::metadata::{self, Changed, How, Metadata, MetadataChange};
use crate::drive::Host;
use crate::error::{Code, Error, Result};
use crate::exchange::Exchange;
use crate::uri::path::Mount;

const STRONG: ReadOptions = ReadOptions::new().strong();

impl<H: Host> Operation<'_, H> {
    /// Changes the metadata, which must be at version `cas` where that is given.
    ///
    /// Where another writer comes in between it starts over, unless `cas` was given.
    pub(super) async fn change_metadata(
        &self,
        at: Address<'_>,
        change: &MetadataChange,
        how: How,
        cas: Option<u64>,
    ) -> Result<()> {
        change.check(how, at.metadata_path())?;
        let mut options = ReadOptions::new();
        let mut round = 1;
        loop {
            let (held, exchange) = match self.metadata::<Metadata>(at, options).await {
                Err(error) if error.code() == Code::PermissionDenied => {
                    return self.change_unread(at, change, how, cas).await;
                }
                result => result?,
            };
            let version = self.metadata_cas(at, held.as_ref(), &exchange)?;
            if let Some(cas) = cas.filter(|cas| *cas != version) {
                if options == STRONG {
                    return Err(self.place(&exchange, conflict(at, version, cas)));
                }
                options = STRONG;
                continue;
            }
            let done = match (&held, how) {
                (None, How::Merge) => {
                    return Err(self.place(&exchange, Error::new(Code::SecretNotFound).about(at.metadata_path())));
                }
                (Some(held), How::Merge) => match self.change_after(at, change, how, version).await {
                    Err(error) if is_no_patch(&error) => {
                        self.change_after(at, &change.onto(held.custom_metadata()), How::Replace, version).await
                    }
                    done => done,
                },
                (_, How::Replace) => self.change_after(at, change, how, version).await,
            };
            match done {
                // The versions that everyday reads are compared with are those of the data.
                Err(error) if error.code() == Code::CasConflict && cas.is_none() && round < WRITE_ROUNDS => {
                    (options, round) = (STRONG, round + 1);
                }
                done => return done,
            }
        }
    }

    /// For who may change metadata and not read it.
    async fn change_unread(&self, at: Address<'_>, change: &MetadataChange, how: How, cas: Option<u64>) -> Result<()> {
        if let Some(cas) = cas {
            return self.change_after(at, change, how, cas).await;
        }
        let call = change.call(at, how, None)?;
        let _changes = self.changes(at);
        match self.once(&call).await? {
            (Changed::Done, _) => Ok(()),
            // A patch found nothing.
            (Changed::Mismatch, exchange) => {
                Err(self.place(&exchange, Error::new(Code::SecretNotFound).about(at.metadata_path())))
            }
        }
    }

    async fn change_after(&self, at: Address<'_>, change: &MetadataChange, how: How, cas: u64) -> Result<()> {
        let call = change.call(at, how, Some(cas))?;
        let _changes = self.changes(at);
        let mut in_doubt = false;
        loop {
            let (answer, exchange) = self.carry_out_in(call.spec.clone(), self.node, self.deadline, in_doubt).await?;
            in_doubt = exchange.in_doubt();
            let (changed, exchange) = self.placed(call.read(answer), exchange)?;
            if matches!(changed, Changed::Done) {
                return Ok(());
            }
            let unknown = |error: Error| if in_doubt { error.into_indeterminate() } else { error };
            let (held, version) = match self.metadata::<Metadata>(at, STRONG).await {
                Ok((held, looked)) => {
                    let version = self.metadata_cas(at, held.as_ref(), &looked).map_err(unknown)?;
                    (held, version)
                }
                // Who may not read has to take the server's word.
                Err(error) if error.code() == Code::PermissionDenied && !in_doubt => {
                    return Err(self.place(&exchange, Error::new(Code::CasConflict).about(at.metadata_path())));
                }
                Err(error) => return Err(unknown(error)),
            };
            match held {
                None if how == How::Merge => {
                    let error = Error::new(Code::SecretNotFound).about(at.metadata_path());
                    return Err(self.place(&exchange, unknown(error)));
                }
                _ if version == cas => {
                    self.suspect(&exchange);
                    if !self.pause().await {
                        let reason = "a node that is behind calls it a mismatch, and the version is the one given";
                        let error = Error::new(Code::StaleRead).about(at.metadata_path()).because(reason);
                        return Err(self.place(&exchange, unknown(error)));
                    }
                }
                Some(held) if in_doubt && Some(version) == cas.checked_add(1) && change.is_in(&held, how) => {
                    return Ok(());
                }
                _ => return Err(self.place(&exchange, unknown(conflict(at, version, cas)))),
            }
        }
    }

    /// The version that a change of this metadata follows; 0 where there is none.
    fn metadata_cas(&self, at: Address<'_>, held: Option<&Metadata>, exchange: &Exchange) -> Result<u64> {
        let version = held.map_or(Ok(0), |held| held.versions().metadata_cas(at));
        version.map_err(|error| self.place(exchange, error))
    }

    /// Deletes the key with all its versions.
    ///
    /// It is sent once: a late one would delete a key that was made anew. A node that is behind answers with a
    /// success and does nothing; where the servers don't say how far they are, a strong read looks. The floor is
    /// left to fall by what strong reads show, and until then everything that was there is a doubt.
    pub(super) async fn delete_whole(&self, at: Address<'_>) -> Result<()> {
        let key = at.key();
        let _changes = self.changes(at);
        let before = self.session(|session| session.floor(&key).0);
        let call = metadata::delete(at);
        loop {
            let ((), exchange) = self.once(&call).await?;
            if before.version > 0 {
                self.session(|session| session.floors.changed(&key, &[before.version], true));
            }
            if exchange.is_current() {
                return Ok(());
            }
            let newest = match self.strong_version(at, None).await {
                Ok(Held::Nothing) => return Ok(()),
                Ok(held) => held.sighting(),
                // Who may delete and not read has to take the server's word.
                Err(error) if error.code() == Code::PermissionDenied => return Ok(()),
                Err(error) => return Err(error.into_indeterminate()),
            };
            self.suspect(&exchange);
            // Only what was seen before is known to be no key made anew.
            let is_same = newest.version == before.version && newest.created == before.created;
            if !is_same || !self.pause().await {
                let reason = format!("version {} is there, perhaps of a key made anew", newest.version);
                return Err(self.place(&exchange, Error::new(Code::Indeterminate).about(key).because(reason)));
            }
        }
    }

    /// Writes the settings of a mount. A lost answer is a success where they are in place.
    pub(super) async fn write_config(&self, mount: &Mount, wanted: &Kv2Config) -> Result<()> {
        match self.run(config::write(mount, wanted)?).await {
            Err(error) if error.code() == Code::Indeterminate => {
                let read: Call<Kv2Config> = config::read(mount);
                match self.strongly(&read.spec).await.and_then(|(answer, _)| read.read(answer)) {
                    Ok(found) if found == *wanted => Ok(()),
                    _ => Err(error),
                }
            }
            result => result,
        }
    }
}

fn conflict(at: Address<'_>, version: u64, cas: u64) -> Error {
    let reason = format!("the metadata is at version {version}, and the change was to follow {cas}");
    Error::new(Code::CasConflict).about(at.metadata_path()).because(reason)
}
