//! Where grants, denials, and used proofs and tokens are kept: the trait, and what is the same in every store.
//!
//! | store | its reach | what a crash loses |
//! |---|---|---|
//! | [`MemoryStore`] | one process: several multiply the uses of a grant and the windows of replay | everything; replay begins anew |
//! | [`OpenBaoStore`] | all processes that share the mount | nothing |
//!
//! A host may have its own (Redis, a database, a Durable Object): each operation is one atomic step there, an
//! insert-if-absent or a compare-and-set, and a step whose outcome is not known is an error, so that a use may be
//! lost and is never given twice.

mod memory;
mod openbao;
mod row;
mod sweep;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use baokit_core::Now;

pub use self::memory::MemoryStore;
pub use self::openbao::OpenBaoStore;

use super::Key;
use crate::error::Result;

/// A permit that may be used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The sender key that it is bound to, as a hash; none where the caller has shown none.
    pub sender: Option<Key>,
    /// How many uses are left. A grant with none still holds its sender key until it ends.
    pub uses: u32,
    /// When it ends: on the wall clock, since 1970.
    pub until: Duration,
    /// The PDP's name of the decision.
    pub decision_id: Option<String>,
    /// The version of the policy.
    pub policy_version: Option<String>,
}

/// A denial that is remembered, for this sender key alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The sender key of the caller who was denied, as a hash.
    pub sender: Option<Key>,
    /// When it is forgotten: on the wall clock, since 1970.
    pub until: Duration,
    /// The PDP's name of the decision.
    pub decision_id: Option<String>,
    /// The version of the policy.
    pub policy_version: Option<String>,
}

/// What became of an attempt to use a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// There is no grant with a use left, and no denial: the PDP is to be asked.
    Nothing,
    /// One use was taken; the grant as it is now.
    Use(Grant),
    /// The same question was denied a short time ago.
    Denied(Denial),
    /// The grant is bound to another sender key. No use was taken.
    OtherSender,
}

/// A store of grants, denials, and used proofs and tokens.
///
/// There are no `Send` bounds: the futures of a store whose parts are `Send` are so by inference. Times are
/// `Duration`s since 1970 on the wall clock; `now` is the host's.
///
/// Every operation fails with [`Code::StoreUnreachable`](crate::Code::StoreUnreachable) where its outcome can't be
/// known.
pub trait Store {
    /// Notes that what the key names was used, until then: true where it is the first use. Of any number of callers
    /// at the same time one gets true.
    ///
    /// `until` is the end of what is used, the same whoever shows it and whenever: a proof's `iat` and the age that
    /// is accepted, say. A store may choose its place by it.
    ///
    /// # Errors
    /// [`Code::ReplayStoreFull`](crate::Code::ReplayStoreFull) where nothing more can be noted.
    fn insert_if_absent(&self, key: &Key, until: Duration, now: Now) -> impl Future<Output = Result<bool>>;

    /// The same for a time that counts from the first use, a day at most: what is used has no end that is known, or
    /// may be used again before it.
    ///
    /// Override it in a store that chooses its place by the end.
    ///
    /// # Errors
    /// As [`Store::insert_if_absent`].
    fn insert_for(&self, key: &Key, time: Duration, now: Now) -> impl Future<Output = Result<bool>> {
        async move { self.insert_if_absent(key, now.wall.saturating_add(time), now).await }
    }

    /// Keeps a grant in place of what is there, unless that is a living grant with another sender key: then false.
    fn put_grant(&self, key: &Key, grant: Grant, now: Now) -> impl Future<Output = Result<bool>>;

    /// Keeps a denial in place of what is there, unless that is a living grant with another sender key.
    fn put_denial(&self, key: &Key, denial: Denial, now: Now) -> impl Future<Output = Result<()>>;

    /// Takes one use of a grant, for a caller with this sender key. Of any number of callers at the same time as
    /// many get one as there are uses left.
    fn take_use(&self, key: &Key, sender: Option<&Key>, now: Now) -> impl Future<Output = Result<Taken>>;
}

impl<S: Store> Store for Arc<S> {
    async fn insert_if_absent(&self, key: &Key, until: Duration, now: Now) -> Result<bool> {
        S::insert_if_absent(self, key, until, now).await
    }

    async fn insert_for(&self, key: &Key, time: Duration, now: Now) -> Result<bool> {
        S::insert_for(self, key, time, now).await
    }

    async fn put_grant(&self, key: &Key, grant: Grant, now: Now) -> Result<bool> {
        S::put_grant(self, key, grant, now).await
    }

    async fn put_denial(&self, key: &Key, denial: Denial, now: Now) -> Result<()> {
        S::put_denial(self, key, denial, now).await
    }

    async fn take_use(&self, key: &Key, sender: Option<&Key>, now: Now) -> Result<Taken> {
        S::take_use(self, key, sender, now).await
    }
}
