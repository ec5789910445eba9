//! Whether secrets can be reached, for whoever asks without saying who he is: so OpenBao is asked once a second at
//! most, and waited for two.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use baokit_core::{Client, Code as CoreCode, Error as CoreError, Host, within};

use crate::error::Result;

/// How long an answer is good.
const FRESH: Duration = Duration::from_secs(1);
/// How long a cluster has to answer.
const LIMIT: Duration = Duration::from_secs(2);

/// The last answer, and when it was asked for.
#[derive(Default)]
pub(super) struct Readiness(Mutex<Option<(Duration, Result<()>)>>);

impl Readiness {
    /// Whether each of these clusters has a node that is initialised and unsealed.
    pub async fn of<'a, H: Host + 'a>(&self, host: &H, clients: impl Iterator<Item = &'a Client<H>>) -> Result<()> {
        let now = host.now().monotonic;
        if let Some((asked, answer)) = self.lock().as_mut() {
            if now < asked.saturating_add(FRESH) {
                return answer.clone();
            }
            // Who asks meanwhile is told the same as before.
            *asked = now;
        }
        let mut answer = Ok(());
        for client in clients {
            let late = || Err(CoreError::new(CoreCode::DeadlineExceeded).because("no node said in 2 s how it is"));
            let asked = within(host, LIMIT, has_node(client)).await.unwrap_or_else(late);
            answer = answer.and(asked.map_err(Into::into));
        }
        *self.lock() = Some((now, answer.clone()));
        answer
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Duration, Result<()>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A node that serves; else what the last one said.
async fn has_node<H: Host>(client: &Client<H>) -> baokit_core::Result<()> {
    let mut last = Ok(());
    for node in client.settings().nodes() {
        let about = |code| Err(CoreError::new(code).about(node.to_string()));
        last = match client.sys().at(node.as_str())?.health().await {
            Ok(health) if health.initialized && !health.sealed => return Ok(()),
            Ok(health) if health.initialized => about(CoreCode::ServerSealed),
            Ok(_) => about(CoreCode::ServerNotInitialized),
            Err(error) => Err(error),
        };
    }
    last
}
