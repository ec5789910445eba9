//! Refusals: a missing right, a mount that is not there, a token that can't be replaced.
//!
//! One is confirmed by another node before it counts: a policy reaches a standby after 100 ms, a mount
//! after a second, and a node that was cut off knows neither.

use std::time::Duration;

use super::attempt::{Attempt, Progress};
use crate::call::Answer;
use crate::call::answer::Said;
use crate::error::Error;
use crate::http::Response;
use crate::session::Session;

/// A refusal, as it is passed on where no other node can be asked.
#[derive(Debug)]
pub(super) enum Refusal {
    Final(Response, Option<Said>),
    TokenDead(Error),
}

impl Attempt {
    /// Whether a refusal counts only when another node has given it too: where there are others, not
    /// suspect themselves, and none has refused before.
    pub(super) fn awaits_confirmation(&self, session: &Session) -> bool {
        self.is_telling() && self.refusal.is_none() && session.nodes.choose_trusted(&self.asked).is_some()
    }

    pub(super) fn ask_another(&mut self, session: &mut Session, now: Duration, refusal: Refusal) -> Progress {
        self.refusal = Some(Box::new(refusal));
        self.next_node(session, now)
    }

    pub(super) fn refuse(&self, session: &Session, refusal: Refusal) -> Progress {
        match refusal {
            Refusal::TokenDead(error) => Progress::TokenDead(self.place(session, error)),
            Refusal::Final(response, said) => Progress::Done(Ok(Answer { response, said, in_doubt: self.in_doubt })),
        }
    }
}
