//! Clients that read the secret, connect and work, again and again, and count.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use baokit::Client;
use tokio::task::JoinSet;

use crate::Result;
use crate::roles::{TwoRoles, connect};

/// How often each client connects with a secret before it reads it again: as long as that, it does not know of a
/// rotation.
const USES: usize = 5;
/// How long a client waits between two connections.
const PAUSE: Duration = Duration::from_millis(5);
/// How long all of them may take to see a new version.
const PATIENCE: Duration = Duration::from_secs(60);

/// So many clients at work.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared {
    is_over: AtomicBool,
    made: AtomicU64,
    refused: AtomicU64,
    first_refusal: Mutex<Option<String>>,
    /// The version of the secret that each client uses.
    versions: Vec<AtomicU64>,
}

/// What the clients have met with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Connections that were made, and did their work.
    pub made: u64,
    /// Those that were refused, or could not do it.
    pub refused: u64,
    /// Why the first of them was.
    pub first_refusal: Option<String>,
}

impl Pool {
    /// Starts so many clients.
    #[must_use]
    pub fn start(clients: usize, client: &Client, uri: &'static str, roles: &TwoRoles) -> Self {
        let versions = (0..clients).map(|_| AtomicU64::new(0)).collect();
        let shared = Arc::new(Shared { versions, ..Shared::default() });
        let mut tasks = JoinSet::new();
        for number in 0..clients {
            tasks.spawn(work(shared.clone(), number, client.clone(), uri, roles.clone()));
        }
        Self { shared, tasks }
    }

    /// Waits until every client uses this version, or a later one.
    ///
    /// This is the one rule of the scheme: the next rotation takes the role that was in use before this version, so it
    /// has to wait until nobody uses it. A program that rotates once a month, with clients that keep a secret for
    /// minutes, need not ask.
    ///
    /// # Errors
    /// Where a client does not get there within a minute.
    pub async fn all_on(&self, version: u64) -> Result<()> {
        let all = async {
            while self.shared.versions.iter().any(|used| used.load(Ordering::Acquire) < version) {
                tokio::time::sleep(PAUSE).await;
            }
        };
        Ok(tokio::time::timeout(PATIENCE, all).await.map_err(|_| "a client does not see the new version")?)
    }

    /// What they have met with so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            made: self.shared.made.load(Ordering::Relaxed),
            refused: self.shared.refused.load(Ordering::Relaxed),
            first_refusal: self.shared.first_refusal.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Lets each finish what it is at, and ends them.
    pub async fn stop(mut self) -> Counts {
        self.shared.is_over.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
        self.counts()
    }
}

async fn work(shared: Arc<Shared>, number: usize, client: Client, uri: &'static str, roles: TwoRoles) {
    while !shared.is_over.load(Ordering::Relaxed) {
        let read = match client.read(uri).await {
            Ok(secret) => {
                roles.login(secret.expose()).map(|login| (secret.version(), login)).map_err(|e| e.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        let (version, login) = match read {
            Ok(read) => read,
            Err(reason) => {
                shared.refuse(reason);
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        if let Some(used) = shared.versions.get(number) {
            used.store(version, Ordering::Release);
        }
        for _ in 0..USES {
            match visit(&login).await {
                Ok(()) => drop(shared.made.fetch_add(1, Ordering::Relaxed)),
                Err(error) => shared.refuse(error.to_string()),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn visit(login: &tokio_postgres::Config) -> Result<(), tokio_postgres::Error> {
    connect(login).await?.batch_execute("INSERT INTO visits (visitor) VALUES (current_user)").await
}

impl Shared {
    fn refuse(&self, reason: String) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.first_refusal.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
    }
}
