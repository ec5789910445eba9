//! The rules that keep a client right, by name, so that the simulator can leave one out and show that
//! it is needed.
//!
//! Without the feature `broken-rules`, which no package turns on, every rule holds: [`Rules::keep`] is
//! the constant true, and nothing of this is left in a build.

/// A rule of the machine. `design.md` and the place where each is asked for say what it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// A change that no guard protects is not sent again once a byte of it may have left.
    NoBlindRetry,
    /// A redirect is not followed with such a change.
    NoRedirectForPlainWrites,
    /// A read whose answer is behind the index that it asked for is stale.
    IndexIsJudged,
    /// A read that shows less than the client has seen of the secret is stale.
    FloorIsJudged,
    /// A strong read below the floor lowers it: the secret was made anew.
    FloorsFall,
    /// A strong read needs the leader, and is no everyday read.
    StrongReadsAreStrong,
    /// A mismatch is a conflict only after a strong read.
    MismatchIsConfirmed,
    /// A mismatch of a write that may have been carried out is compared with what is there.
    MismatchIsResolved,
    /// A dead token evicts the generation that was used, and no later one.
    OnlyItsGeneration,
    /// Whoever needs a token while a log-in is under way waits for that one.
    OneLogIn,
    /// An outcome that is in doubt is not said to have failed.
    DoubtIsTold,
    /// A rotation records what it is going to do before it does it.
    IntentIsFirst,
    /// What was read for one partition is not served to another.
    #[cfg_attr(not(feature = "cache"), allow(dead_code, reason = "there is no cache to ask for it"))]
    CacheIsPartitioned,
    /// What a client changes leaves its cache.
    #[cfg_attr(not(feature = "cache"), allow(dead_code, reason = "there is no cache to ask for it"))]
    CacheIsPurged,
    /// A move deletes the version that it copied, by its number, and not whatever is the newest by then.
    MoveNamesItsVersion,
    /// A watcher is not told of less than its client has seen.
    WatchIsJudged,
}

#[cfg(feature = "broken-rules")]
impl Rule {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::NoBlindRetry,
        Self::NoRedirectForPlainWrites,
        Self::IndexIsJudged,
        Self::FloorIsJudged,
        Self::FloorsFall,
        Self::StrongReadsAreStrong,
        Self::MismatchIsConfirmed,
        Self::MismatchIsResolved,
        Self::OnlyItsGeneration,
        Self::OneLogIn,
        Self::DoubtIsTold,
        Self::IntentIsFirst,
        Self::CacheIsPartitioned,
        Self::CacheIsPurged,
        Self::MoveNamesItsVersion,
        Self::WatchIsJudged,
    ];

    /// Its name, such as `no-blind-retry`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoBlindRetry => "no-blind-retry",
            Self::NoRedirectForPlainWrites => "no-redirect-for-plain-writes",
            Self::IndexIsJudged => "index-is-judged",
            Self::FloorIsJudged => "floor-is-judged",
            Self::FloorsFall => "floors-fall",
            Self::StrongReadsAreStrong => "strong-reads-are-strong",
            Self::MismatchIsConfirmed => "mismatch-is-confirmed",
            Self::MismatchIsResolved => "mismatch-is-resolved",
            Self::OnlyItsGeneration => "only-its-generation",
            Self::OneLogIn => "one-log-in",
            Self::DoubtIsTold => "doubt-is-told",
            Self::IntentIsFirst => "intent-is-first",
            Self::CacheIsPartitioned => "cache-is-partitioned",
            Self::CacheIsPurged => "cache-is-purged",
            Self::MoveNamesItsVersion => "move-names-its-version",
            Self::WatchIsJudged => "watch-is-judged",
        }
    }
}

/// The rules that a client keeps: all, but for the simulator's broken ones.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    #[cfg(feature = "broken-rules")]
    without: Option<Rule>,
}

impl Rules {
    /// All but this one.
    #[cfg(feature = "broken-rules")]
    pub const fn without(rule: Rule) -> Self {
        Self { without: Some(rule) }
    }

    /// Whether the client keeps this rule.
    #[cfg(feature = "broken-rules")]
    pub fn keep(self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    /// Whether the client keeps this rule.
    #[cfg(not(feature = "broken-rules"))]
    #[allow(clippy::unused_self, reason = "the twin above needs it")]
    pub const fn keep(self, _rule: Rule) -> bool {
        true
    }
}
