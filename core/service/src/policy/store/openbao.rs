//! The store of several processes: documents in a KVv2 mount of OpenBao, each changed under check-and-set.
//!
//! | path below `mount/data/prefix/` | what is there | a window is |
//! |---|---|---|
//! | `used/WINDOW/HASH` | a proof that was used, by the end of its window | 10 minutes |
//! | `tokens/WINDOW/HASH` | a token that was used, by the time of its use | a day |
//! | `grants/WINDOW/HASH` | a grant or denial, by the time it was made | an hour |
//!
//! `WINDOW` is a number: seconds since 1970, divided by the window's length. `HASH` is the key in hexadecimal. A
//! document holds hashes, numbers, and the PDP's names of decision and policy; no secret, no token, no URI:
//!
//! ```json
//! {"kind": "grant", "until_ms": 1800000300000, "uses": 2, "sender": "9f86…", "decision_id": "d-1", "writer": "a1b2…"}
//! ```
//!
//! `writer` is random for each operation. Without it two processes that take the last use at once would write equal
//! documents, and one whose answer was lost would take the other's for its own.
//!
//! **One place for each step.** A proof's window comes from its own end, so all who show it write the same path, and
//! `cas=0` lets one of them through. A token may be shown again and again: it is noted in the window before this
//! one and in this one, in that order, so that two processes on different sides of midnight meet in the one that
//! they share. A grant that is not found in this hour is looked for in the one before, and ends within an hour.
//!
//! **Nothing grows for ever.** Whoever writes also deletes up to two documents, with their metadata, of windows that
//! are three older than this one; see [`super::sweep`]. Nobody reads or writes there any more, also with clocks
//! that are some minutes apart, so a late deletion meets nothing that lives.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use baokit_core::{Client, Code as CoreCode, Host, Now, ReadOptions, SecretValue};
use serde::{Deserialize, Serialize};

use super::row::{self, Row};
use super::sweep::Sweeper;
use super::{Denial, Grant, Store, Taken};
use crate::error::{Code, Error, Result};
use crate::policy::Key;
use crate::policy::key::hex;

/// A kind of documents, and how long one of its windows is, in seconds.
#[derive(Clone, Copy)]
pub(super) struct Folder {
    pub name: &'static str,
    seconds: u64,
}

const USED: Folder = Folder { name: "used", seconds: 600 };
const TOKENS: Folder = Folder { name: "tokens", seconds: 24 * 60 * 60 };
const GRANTS: Folder = Folder { name: "grants", seconds: 60 * 60 };

impl Folder {
    fn window(self, wall: Duration) -> u64 {
        wall.as_secs() / self.seconds
    }

    fn length(self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// How often a change is tried that others come before, and the longest pause between two tries.
const TRIES: u32 = 20;
const PAUSE: u64 = 40;

/// Grants, denials, and used proofs and tokens in OpenBao, shared by all processes that use the same mount and
/// prefix.
///
/// Give it a KVv2 mount of its own, so that its writes stay apart from the secrets, and a client whose token has
/// this policy alone (for mount `pep` and prefix `state`):
///
/// ```hcl
/// path "pep/data/state/*"     { capabilities = ["create", "read", "update"] }
/// path "pep/metadata/state/*" { capabilities = ["list", "delete"] }
/// ```
///
/// A proof costs one write; a request with a grant one read and one write; a token that may be used once two
/// writes; the deletions as much again, later. A grant or denial ends within an hour whatever its TTL: the PDP is
/// asked again. The clocks of the processes may be some minutes apart, by which grants end early or late.
///
/// It fails closed: whatever OpenBao can't or won't do is [`Code::StoreUnreachable`]. A write whose outcome is not
/// known may take a use that nobody gets, and never gives one twice. `max_versions`, deletion by time and the like
/// may be set on the mount as liked.
///
/// ```
/// use std::sync::Arc;
/// use baokit_core::{Client, Host};
/// use baokit_service::policy::OpenBaoStore;
///
/// fn shared<H: Host>(client: Arc<Client<H>>) -> baokit_core::Result<OpenBaoStore<H>> {
///     OpenBaoStore::new(client, "pep", "state")
/// }
/// ```
pub struct OpenBaoStore<H> {
    client: Arc<Client<H>>,
    mount: String,
    prefix: String,
    sweeper: Sweeper,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Used,
    Grant,
    Denial,
}

#[derive(Clone, Serialize, Deserialize)]
struct Document {
    kind: Kind,
    until_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uses: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sender: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decision_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy_version: Option<String>,
    #[serde(default)]
    writer: String,
}

impl Document {
    fn used(until: Duration) -> Self {
        let until_ms = millis(until);
        Self {
            kind: Kind::Used,
            until_ms,
            uses: None,
            sender: None,
            decision_id: None,
            policy_version: None,
            writer: String::new(),
        }
    }

    fn of(row: Row) -> Self {
        let (kind, uses, until, sender, decision_id, policy_version) = match row {
            Row::Grant(Grant { sender, uses, until, decision_id, policy_version }) => {
                (Kind::Grant, Some(uses), until, sender, decision_id, policy_version)
            }
            Row::Denial(Denial { sender, until, decision_id, policy_version }) => {
                (Kind::Denial, None, until, sender, decision_id, policy_version)
            }
        };
        let sender = sender.map(|key| key.to_hex());
        Self { kind, until_ms: millis(until), uses, sender, decision_id, policy_version, writer: String::new() }
    }

    /// The grant or denial that it is; none where it is neither, or malformed.
    fn row(&self) -> Option<Row> {
        let until = self.until();
        let sender = match &self.sender {
            None => None,
            Some(text) => Some(Key::from_hex(text)?),
        };
        let (decision_id, policy_version) = (self.decision_id.clone(), self.policy_version.clone());
        match self.kind {
            Kind::Used => None,
            Kind::Grant => Some(Row::Grant(Grant { sender, uses: self.uses?, until, decision_id, policy_version })),
            Kind::Denial => Some(Row::Denial(Denial { sender, until, decision_id, policy_version })),
        }
    }

    fn until(&self) -> Duration {
        Duration::from_millis(self.until_ms)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What a read showed: the document, and the version that a change must follow.
#[derive(Default)]
struct Seen {
    document: Option<Document>,
    version: u64,
}

impl<H: Host> OpenBaoStore<H> {
    /// A store below this prefix of a KVv2 mount. It sends nothing until it is asked to.
    ///
    /// # Errors
    /// [`baokit_core::Code::IllegalSegment`] and its like for a mount or prefix that is none.
    pub fn new(client: Arc<Client<H>>, mount: &str, prefix: &str) -> baokit_core::Result<Self> {
        let prefix = prefix.trim_end_matches('/');
        if prefix.is_empty() {
            return Err(baokit_core::Error::new(CoreCode::IllegalSegment).because("the store's prefix is empty"));
        }
        // A list that is not asked for judges both.
        client.kv2_list(mount, &format!("{prefix}/"))?;
        Ok(Self { client, mount: mount.to_owned(), prefix: prefix.to_owned(), sweeper: Sweeper::default() })
    }

    fn path(&self, folder: Folder, window: u64, key: &Key) -> String {
        format!("{}/{}/{window}/{}", self.prefix, folder.name, key.to_hex())
    }

    async fn read(&self, path: &str) -> Result<Seen> {
        match self.client.kv2_read(&self.mount, path, None, ReadOptions::new()).await {
            Ok(secret) => {
                let document = Document::deserialize(secret.expose())
                    .map_err(|_| unreachable("a document there is not its own"))?;
                Ok(Seen { document: Some(document), version: secret.version() })
            }
            Err(error) if error.code() == CoreCode::SecretNotFound => Ok(Seen::default()),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Changes one document: `step` says what is answered and what takes the document's place, if anything, and is
    /// asked again where another writer came first. `seen` is what is taken to be there.
    async fn change<T>(
        &self,
        path: &str,
        mut seen: Option<Seen>,
        step: impl Fn(Option<&Document>) -> Result<(T, Option<Document>)>,
    ) -> Result<T> {
        let mut bytes = [0; 16];
        self.client.host().random(&mut bytes);
        let writer = hex(&bytes);
        // All tries together take no longer than one operation that hangs.
        let begun = self.client.host().now().monotonic;
        let is_late = || self.client.host().now().monotonic.saturating_sub(begun) >= self.client.settings().deadline();
        let mut before = None;
        for tries in 1..=TRIES {
            let Seen { document, version } = match seen.take() {
                Some(seen) => seen,
                None => self.read(path).await?,
            };
            if document.as_ref().is_some_and(|document| document.writer == writer)
                && let Some(answer) = before
            {
                // An earlier try of this very change, whose answer was lost.
                return Ok(answer);
            }
            let (answer, next) = step(document.as_ref())?;
            let Some(next) = next else { return Ok(answer) };
            let value = serde_json::to_value(Document { writer: writer.clone(), ..next });
            let value = SecretValue::from(value.map_err(|_| unreachable("a document can't be written as JSON"))?);
            match self.client.kv2_write(&self.mount, path, &value, Some(version)).await {
                Ok(_) => return Ok(answer),
                // Another writer came first, or it is not known: what is there now says which.
                Err(error) if matches!(error.code(), CoreCode::CasConflict | CoreCode::Indeterminate) => {
                    if is_late() {
                        return Err(failed(&error));
                    }
                    before = Some(answer);
                    self.pause(tries).await;
                }
                Err(error) => return Err(failed(&error)),
            }
        }
        Err(unreachable("too many others change the same grant"))
    }

    async fn pause(&self, tries: u32) {
        let mut byte = [0];
        self.client.host().random(&mut byte);
        let most = PAUSE.min(1 << tries.min(6));
        let [byte] = byte;
        self.client.host().sleep(Duration::from_millis(u64::from(byte) * most / 256)).await;
    }

    /// Notes a use at one place: true where it is the first that lives.
    async fn note(&self, path: &str, until: Duration, now: Now) -> Result<bool> {
        // Nearly always nothing is there, so that the first try is the one request.
        self.change(path, Some(Seen::default()), |document| match document {
            Some(document) if document.kind != Kind::Used => Err(unreachable("a document there is not its own")),
            Some(document) if now.wall < document.until() => Ok((false, None)),
            _ => Ok((true, Some(Document::used(until)))),
        })
        .await
    }

    async fn put(&self, key: &Key, new: Row, now: Now) -> Result<bool> {
        let path = self.path(GRANTS, GRANTS.window(now.wall), key);
        let is_put = self
            .change(&path, None, |document| {
                let old = row_of(document)?;
                let may = row::may_replace(old.as_ref(), &new, now.wall);
                Ok((may, may.then(|| Document::of(new.clone()))))
            })
            .await?;
        self.sweep(GRANTS, now).await;
        Ok(is_put)
    }

    /// Deletes a little of what has ended, within bounds; it never fails the request that it is done for.
    async fn sweep(&self, folder: Folder, now: Now) {
        self.sweeper.sweep(&self.client, &self.mount, &self.prefix, folder.name, folder.window(now.wall)).await;
    }
}

fn row_of(document: Option<&Document>) -> Result<Option<Row>> {
    let malformed = || unreachable("a document there is not its own");
    document.map(|document| document.row().ok_or_else(malformed)).transpose()
}

/// An end within the time that a grant is looked for.
fn within_an_hour(until: Duration, now: Now) -> Duration {
    until.min(now.wall.saturating_add(GRANTS.length()))
}

fn unreachable(reason: &'static str) -> Error {
    Error::new(Code::StoreUnreachable).because(reason)
}

fn failed(error: &baokit_core::Error) -> Error {
    Error::new(Code::StoreUnreachable).because(format!("OpenBao: {}", error.code()))
}

impl<H: Host> Store for OpenBaoStore<H> {
    async fn insert_if_absent(&self, key: &Key, until: Duration, now: Now) -> Result<bool> {
        let is_first = self.note(&self.path(USED, USED.window(until), key), until, now).await?;
        self.sweep(USED, now).await;
        Ok(is_first)
    }

    async fn insert_for(&self, key: &Key, time: Duration, now: Now) -> Result<bool> {
        let until = now.wall.saturating_add(time.min(TOKENS.length()));
        let window = TOKENS.window(now.wall);
        for window in [window.saturating_sub(1), window] {
            if !self.note(&self.path(TOKENS, window, key), until, now).await? {
                return Ok(false);
            }
            self.sweep(TOKENS, now).await;
        }
        Ok(true)
    }

    async fn put_grant(&self, key: &Key, mut grant: Grant, now: Now) -> Result<bool> {
        grant.until = within_an_hour(grant.until, now);
        self.put(key, Row::Grant(grant), now).await
    }

    async fn put_denial(&self, key: &Key, mut denial: Denial, now: Now) -> Result<()> {
        denial.until = within_an_hour(denial.until, now);
        self.put(key, Row::Denial(denial), now).await.map(|_| ())
    }

    async fn take_use(&self, key: &Key, sender: Option<&Key>, now: Now) -> Result<Taken> {
        let window = GRANTS.window(now.wall);
        for window in [window, window.saturating_sub(1)] {
            let (is_there, taken) = self
                .change(&self.path(GRANTS, window, key), None, |document| {
                    let old = row_of(document)?;
                    let (taken, rest) = row::take(old.as_ref(), sender, now.wall);
                    let is_there = row::living(old.as_ref(), now.wall).is_some();
                    Ok(((is_there, taken), rest.map(Document::of)))
                })
                .await?;
            // The newer of two counts, also where its uses are spent.
            if is_there {
                return Ok(taken);
            }
        }
        Ok(Taken::Nothing)
    }
}

impl<H> fmt::Debug for OpenBaoStore<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenBaoStore").field("mount", &self.mount).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
