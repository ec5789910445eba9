//! Redirects: followed to a configured node and for the very same path only.
//!
//! Everything else would carry the token to a stranger, or to another secret. With a change that no
//! guard protects none is followed: the node that sends it on may have forwarded it as well.

use std::time::Duration;

use secrecy::ExposeSecret;

use super::attempt::{Attempt, Progress};
use super::verdict::{Executed, Verdict, again};
use crate::call::Replay;
use crate::call::auth::Proof;
use crate::config::Origin;
use crate::error::{Code, Error};
use crate::http::Response;
use crate::rules::Rule;
use crate::session::Session;

impl Attempt {
    pub(super) fn on_redirect(&mut self, session: &mut Session, now: Duration, response: &Response) -> Progress {
        let refused = |code, reason: &'static str| Error::new(code).about(self.spec.path().to_owned()).because(reason);
        let Some(location) = response.location() else {
            let error = refused(Code::RedirectRefused, "a redirect to nowhere");
            return self.on_trouble(session, now, again(Executed::Maybe, error));
        };
        let Some((origin, target)) = Origin::of_location(location) else {
            // OpenBao answers so to a path that it would clean, before it does anything.
            let verdict = if location.starts_with("//") || location.contains("://") {
                again(Executed::Maybe, refused(Code::RedirectRefused, "a redirect to no address of a node"))
            } else {
                Verdict::Stop(Executed::No, refused(Code::PathRewritten, "a redirect to another path of the same node"))
            };
            return self.on_trouble(session, now, verdict);
        };
        if self.only.is_some() {
            let error = refused(Code::RedirectRefused, "the node sends the request on, and it is for this node alone");
            return self.on_trouble(session, now, Verdict::Stop(Executed::Maybe, error));
        }
        if target != &*self.spec.target {
            let error = refused(Code::PathRewritten, "a redirect to another path");
            return self.on_trouble(session, now, Verdict::Stop(Executed::Maybe, error));
        }
        let may_follow = self.spec.replay != Replay::Unsafe || !session.rules.keep(Rule::NoRedirectForPlainWrites);
        let found = session.nodes.find(&origin);
        if let Some(node) = found.filter(|node| self.node == Some(*node)) {
            // It takes itself for the leader, and is not.
            session.nodes.suspect(node);
        }
        match found {
            Some(node) if !self.asked.contains(&node) && may_follow => {
                self.in_doubt = true;
                session.recovery.spend();
                self.send(session, now, node)
            }
            Some(_) if !may_follow => {
                let error =
                    refused(Code::NoLeader, "a redirect, which is not followed with a change that no guard protects");
                self.on_trouble(session, now, again(Executed::Maybe, error))
            }
            Some(_) => {
                let error = refused(Code::NoLeader, "the nodes send each other the request");
                self.on_trouble(session, now, again(Executed::Maybe, error))
            }
            None => {
                let error = refused(Code::RedirectRefused, "a redirect to a node that is not configured");
                let address = origin.as_str();
                let error = if self.may_repeat_secret(address) { error } else { error.about(address.to_owned()) };
                self.on_trouble(session, now, again(Executed::Maybe, error))
            }
        }
    }

    /// Whether a server may have put a secret that the request carries, or a part of it, into the address that it
    /// sends us to. Of a body nobody can say which part is none, so that only a request without one tells.
    fn may_repeat_secret(&self, address: &str) -> bool {
        match &self.proof {
            Some(Proof::Token(token)) => self.spec.body.is_some() || repeats(address, token.expose_secret().as_bytes()),
            Some(Proof::Inline(..)) => true,
            None => self.spec.body.is_some(),
        }
    }
}

/// Whether the address, which is in lower case by now, has this secret in it.
fn repeats(address: &str, secret: &[u8]) -> bool {
    !secret.is_empty() && address.as_bytes().windows(secret.len()).any(|part| part.eq_ignore_ascii_case(secret))
}
