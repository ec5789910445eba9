//! A process that dies in the middle of a rotation, for the example and its tests: it never comes back from one of its
//! steps, until its task is dropped.

use baokit::{Apply, ApplyError, Secret, SecretValue};
use tokio::sync::Notify;

use crate::TwoRoles;

/// Where it stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The new value is staged, and nothing is changed in the database.
    Staged,
    /// The database has the new password.
    Applied,
    /// And it works.
    Tested,
}

/// The roles, in the hands of a process that stops after a step.
#[derive(Debug)]
pub struct Halt<'a> {
    roles: &'a TwoRoles,
    after: Step,
    reached: &'a Notify,
}

impl<'a> Halt<'a> {
    /// Tells when that step is reached.
    #[must_use]
    pub fn after(step: Step, roles: &'a TwoRoles, reached: &'a Notify) -> Self {
        Self { roles, after: step, reached }
    }

    async fn stop_at(&self, step: Step) {
        if step == self.after {
            self.reached.notify_one();
            std::future::pending().await
        }
    }
}

impl Apply for Halt<'_> {
    async fn apply(&self, old: Option<&Secret>, new: &SecretValue) -> Result<(), ApplyError> {
        self.stop_at(Step::Staged).await;
        self.roles.apply(old, new).await?;
        self.stop_at(Step::Applied).await;
        Ok(())
    }

    async fn test(&self, new: &SecretValue) -> Result<(), ApplyError> {
        self.roles.test(new).await?;
        self.stop_at(Step::Tested).await;
        Ok(())
    }

    async fn undo(&self, old: Option<&Secret>, new: &SecretValue) -> Result<(), ApplyError> {
        self.roles.undo(old, new).await
    }
}
