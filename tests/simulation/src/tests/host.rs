//! What the host sees beyond doubt while it happens: log-ins that should not be, and waits that are too long.

use std::rc::Rc;
use std::time::Duration;

use baokit_core::Host;

use crate::cluster::{Cluster, Era};
use crate::history::{ClientId, Invariant, Kind, Operation, Outcome};
use crate::network::{LoggingIn, SimulatedHost};
use crate::profile::Profile;
use crate::random::Random;
use crate::world::{Life, World};

const ME: ClientId = ClientId(0);

fn world() -> Rc<World> {
    let mut random = Random::new(3);
    let cluster = Cluster::new(Era::Indexed, 3, 3600, random.fork());
    let world = World::new(Profile::calm(Era::Indexed, 3), cluster, random, false);
    world.lives.borrow_mut().push(Life::default());
    Rc::new(world)
}

fn breaches(world: &World) -> Vec<Invariant> {
    world.history.borrow().violations.iter().map(|violation| violation.invariant).collect()
}

#[test]
fn a_client_logs_in_once_at_a_time() {
    let world = world();
    drop(LoggingIn::begin(&world, ME));
    let first = LoggingIn::begin(&world, ME);
    assert_eq!(breaches(&world), []);
    drop(LoggingIn::begin(&world, ME));
    assert_eq!(breaches(&world), [Invariant::TwoLogIns]);
    drop(first);
    drop(LoggingIn::begin(&world, ME));
    assert_eq!(breaches(&world).len(), 1);
}

#[test]
fn a_client_does_not_log_in_while_it_has_a_good_token() {
    let world = world();
    let hold = |until| world.life(ME, |life| life.token = Some(("token".to_owned(), until)));
    hold(Duration::ZERO);
    drop(LoggingIn::begin(&world, ME));
    assert_eq!(breaches(&world), [], "its lease is over");
    hold(Duration::from_secs(1));
    drop(LoggingIn::begin(&world, ME));
    assert_eq!(breaches(&world), [Invariant::NeedlessLogIn]);
}

#[test]
fn no_wait_reaches_beyond_the_deadline() {
    let world = world();
    let op = world.history.borrow_mut().begin(Operation {
        client: ME,
        kind: Kind::Read,
        key: String::new(),
        mark: String::new(),
        start: Duration::ZERO,
        end: None,
        start_length: 1,
        end_length: 1,
        limit: Duration::from_secs(1),
        fresh: None,
        outcome: Outcome::Running,
    });
    let host = Rc::new(SimulatedHost::new(world.clone(), ME, Random::new(1), true));
    for (wait, found) in [(1000, 0), (1100, 1)] {
        let (user, host) = (world.clone(), host.clone());
        world.executor.spawn(async move {
            user.current.set(Some(op));
            let sleep = host.sleep(Duration::from_millis(wait));
            assert!(!std::pin::pin!(sleep).as_mut().poll_once().await);
        });
        while world.executor.turn(Duration::ZERO) {}
        assert_eq!(breaches(&world).len(), found);
    }
}

/// Polls a future once.
trait PollOnce: Future {
    async fn poll_once(self: std::pin::Pin<&mut Self>) -> bool {
        let mut future = Some(self);
        std::future::poll_fn(move |context| {
            let ready = future.as_mut().is_some_and(|future| future.as_mut().poll(context).is_ready());
            std::task::Poll::Ready(ready)
        })
        .await
    }
}

impl<F: Future> PollOnce for F {}
