//! Watching as the clients do it: each version that they are told of is taken down, and nobody watches for ever.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use baokit_core::{Client, Code};

use crate::cluster::moment;
use crate::history::{OpId, Outcome, Told};
use crate::network::SimulatedHost;
use crate::operations::failed;
use crate::tally::Notable;
use crate::world::World;

/// How long one goes on watching after everything was mended: till the last rotation was finished, and then so long
/// that the newest version must have been told.
const REST: Duration = Duration::from_secs(80);

/// How long until one who was refused asks again.
const PAUSE: Duration = Duration::from_secs(1);

/// What core says that waiting does not mend, and passes here all the same: a node had not heard of policy or mount,
/// a body was cut off, a standby behind the load balancer named a node that the client does not know.
const PASSING: [Code; 4] = [Code::PermissionDenied, Code::MountNotFound, Code::MalformedAnswer, Code::RedirectRefused];

/// Who takes down what one watcher is told.
pub(crate) struct Eye {
    world: Rc<World>,
    op: OpId,
}

impl Eye {
    pub(crate) fn new(world: &Rc<World>, op: OpId) -> Self {
        Self { world: world.clone(), op }
    }

    /// Watches a secret for so long, or until everything has come to rest.
    pub(crate) async fn watch(
        &self,
        client: &Client<SimulatedHost>,
        uri: &str,
        every: Duration,
        lasts: Option<Duration>,
    ) -> Outcome {
        let mut end = pin!(self.end(lasts));
        let mut work = pin!(self.follow(client, uri, every));
        poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(outcome) => Poll::Ready(outcome),
            Poll::Pending => end.as_mut().poll(context).map(|()| Outcome::Done),
        })
        .await
    }

    async fn end(&self, lasts: Option<Duration>) {
        let Some(lasts) = lasts else {
            while !self.world.calm.get() {
                self.world.executor.sleep(PAUSE).await;
            }
            return self.world.executor.sleep(REST).await;
        };
        self.world.executor.sleep(lasts).await;
    }

    /// Takes down each version, until something goes wrong that a second try does not mend.
    async fn follow(&self, client: &Client<SimulatedHost>, uri: &str, every: Duration) -> Outcome {
        let mut watch = match client.watch(uri) {
            Ok(watch) => watch.every(every),
            Err(error) => return failed(&error),
        };
        loop {
            let asked = self.world.now();
            match client.next_version(&mut watch).await {
                Ok(version) => self.take_down(version.version(), version.created_time(), asked),
                Err(error) if PASSING.contains(&error.code()) => self.world.executor.sleep(PAUSE).await,
                Err(error) => return failed(&error),
            }
        }
    }

    fn take_down(&self, version: u64, created_time: &str, asked: Duration) {
        let world = &self.world;
        world.note(Notable::VersionTold);
        world.trace(|| format!("op {} is told of version {version} of {created_time}", self.op.0));
        // What is not of this run is of no moment in it.
        let created = moment(created_time).unwrap_or(Duration::MAX);
        let told = Told { op: self.op, version, created, asked, at: world.now(), length: world.log_length() };
        world.history.borrow_mut().told.push(told);
    }
}
