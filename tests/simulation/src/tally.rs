//! How often each fault was put in and each notable thing happened: a rule that was never put to the
//! test was not proved by a run.

use std::fmt::Write as _;

macro_rules! kinds {
    ($(#[doc = $about:literal])* $name:ident { $($kind:ident = $text:literal,)+ }) => {
        $(#[doc = $about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum $name { $($kind,)+ }

        impl $name {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$kind,)+];

            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $text,)+ }
            }
        }
    };
}

kinds! {
    /// What is done to the cluster, the network, the clients and the keys.
    Fault {
        Crash = "node crashed",
        CrashAtCommit = "leader crashed between commit and answer",
        Restart = "node started again",
        NodePartition = "node cut off from the nodes",
        ClientPartition = "node cut off from the clients",
        SlowLink = "slow link",
        SlowReplication = "slow replication",
        LostRequest = "request lost",
        LostAnswer = "answer lost",
        LostForward = "answer lost between leader and standby",
        LateExecution = "request executed late",
        Duplicate = "request delivered twice",
        DuplicateAnswered = "request delivered twice, and the second answered",
        TruncatedBody = "body cut off",
        StepDown = "leader changed",
        Freeze = "node frozen",
        Resume = "node resumed",
        Deposed = "deposed leader that believes it leads",
        Removed = "removed node that still serves",
        Sealed = "node sealed",
        TokenRevoked = "token revoked",
        LatePolicy = "policy late at a standby",
        LateMount = "mount late at a standby",
        Quota = "429 storm",
        Unavailable = "503 storm",
        ClockJump = "client's wall clock jumped",
        Cancelled = "operation dropped by its caller",
        ClientCrash = "client crashed",
        ForeignWrite = "another client wrote",
        ForeignDelete = "another client deleted",
        ForeignUndelete = "another client undeleted",
        ForeignDestroy = "another client destroyed",
        ForeignRecreate = "another client made a key anew",
        ForeignRestore = "snapshot restored",
        ForeignPrune = "another client pruned by max_versions",
        OutsideFails = "step outside OpenBao failed",
    }
}

kinds! {
    /// What came of it.
    Notable {
        OperationSucceeded = "operations that succeeded",
        OperationAbsent = "operations that found nothing",
        OperationConflicted = "operations that ended with a conflict",
        OperationIndeterminate = "operations that ended as indeterminate",
        OperationFailed = "operations that failed otherwise",
        OperationCut = "operations cut short by their caller",
        Sent = "requests sent",
        LoggedIn = "log-ins sent",
        TokenDead = "dead tokens refused",
        Elected = "leaders elected",
        PassedOn = "requests passed on by a standby",
        PassedOnForIndex = "reads passed on for their index",
        RefusedForIndex = "reads refused for their index",
        StaleAtStandby = "stale answers of standbys",
        StaleAtDeposed = "stale answers of deposed leaders",
        FalseMismatch = "mismatches said by deposed leaders",
        JudgedBehind = "refusals of standbys that were behind",
        DidNothing = "deletions that a standby behind took for nothing to do",
        SelfRedirect = "redirects of a node to itself",
        FailedForward = "redirects after passing on failed",
        ExecutedUnanswered = "changes committed and not answered",
        ExecutedAfterEnd = "changes executed after their operation's end",
        WrappedRead = "wrapped reads served",
        WrappedReadRefused = "wrapped reads that could not be written",
        CopyMade = "copies that were made",
        MoveMade = "moves that were made",
        MoveHalved = "moves that made the copy and not the deletion",
        VersionTold = "versions that watchers were told of",
        RotationMade = "recorded rotations that ended well",
        RotationResumed = "recorded rotations that were resumed and ended well",
        RotationTakenUp = "recorded rotations that others were at and that were finished for them",
        RotationBusy = "recorded rotations that met another one",
        OldEpoch = "reads of what was there before a key was made anew",
    }
}

/// The counts of one run, or of many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    faults: Vec<u64>,
    notable: Vec<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { faults: vec![0; Fault::ALL.len()], notable: vec![0; Notable::ALL.len()] }
    }
}

impl Tally {
    pub(crate) fn fault(&mut self, fault: Fault) {
        if let Some(count) = self.faults.get_mut(fault as usize) {
            *count += 1;
        }
    }

    pub(crate) fn note(&mut self, notable: Notable) {
        if let Some(count) = self.notable.get_mut(notable as usize) {
            *count += 1;
        }
    }

    pub(crate) fn of_fault(&self, fault: Fault) -> u64 {
        self.faults.get(fault as usize).copied().unwrap_or_default()
    }

    #[cfg(test)]
    pub(crate) fn of(&self, notable: Notable) -> u64 {
        self.notable.get(notable as usize).copied().unwrap_or_default()
    }

    /// The faults that never came up.
    #[must_use]
    pub fn never(&self) -> Vec<&'static str> {
        let all = Fault::ALL.iter().zip(&self.faults);
        all.filter(|(_, count)| **count == 0).map(|(fault, _)| fault.as_str()).collect()
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        self.faults.iter_mut().zip(&other.faults).for_each(|(mine, theirs)| *mine += theirs);
        self.notable.iter_mut().zip(&other.notable).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// The counts as two tables.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = String::from("faults\n");
        let faults = Fault::ALL.iter().map(|fault| fault.as_str()).zip(&self.faults);
        let notable = Notable::ALL.iter().map(|notable| notable.as_str()).zip(&self.notable);
        for (name, count) in faults {
            let _ = writeln!(out, "  {count:>10}  {name}");
        }
        out.push_str("events\n");
        for (name, count) in notable {
            let _ = writeln!(out, "  {count:>10}  {name}");
        }
        out
    }
}
