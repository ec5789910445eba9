//! The cache of a build without the feature `cache`: it keeps nothing, and nothing of it is left.

use super::floors::Floor;

/// For whom an operation reads: for its caller.
pub(crate) type Leads = ();

/// No cache.
#[derive(Debug, Default)]
pub(crate) struct Cache;

/// What left it: nothing.
pub(crate) struct Leaving;

impl Cache {
    pub fn overtake(&mut self, _path: &str, _floor: Option<&Floor>, _by: &Leads) {}

    pub fn purge(&mut self, _path: &str, _by: &Leads) {}

    pub fn clear(&mut self) {}

    pub fn take_leaving(&mut self) -> Leaving {
        Leaving
    }
}

impl Leaving {
    pub fn settle(self) {}
}
