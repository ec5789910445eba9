//! The clients: what they are set up with, what they do, and how their callers and their processes
//! fail them.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use baokit_core::config::{CacheConfig, Credential};
use baokit_core::uri::Provider;
use baokit_core::{Client, Settings};

use crate::cluster::node::address;
use crate::cluster::{FIXED, ROLE_ID, SECRET_ID};
use crate::history::{ClientId, Kind, OpId, Operation, Outcome};
use crate::network::{BALANCER, SimulatedHost};
use crate::operations;
use crate::profile::ClientProfile;
use crate::random::Random;
use crate::run::Plan;
use crate::tally::Fault;
use crate::world::{Life, World};

/// What is left to do for the clients of one profile: one that is made anew goes on with it.
pub(crate) struct Script {
    pub(crate) profile: ClientProfile,
    pub(crate) left: Cell<usize>,
}

/// A client and what its process knows.
pub(crate) struct User {
    pub(crate) world: Rc<World>,
    pub(crate) id: ClientId,
    client: Client<SimulatedHost>,
    deadline: Duration,
    /// Whether it keeps what it reads.
    is_cached: bool,
    random: RefCell<Random>,
    /// The version of each key that was seen last.
    known: RefCell<Vec<u64>>,
}

impl User {
    /// A client; none where its settings are refused, which tests would show at once.
    pub(crate) fn new(world: &Rc<World>, profile: &ClientProfile, plan: &Plan, mut random: Random) -> Option<Rc<Self>> {
        let id = ClientId(world.lives.borrow().len());
        let urls = if profile.knows_nodes {
            (0..world.profile.nodes).map(address).collect()
        } else {
            vec![BALANCER.to_owned()]
        };
        let credential = match profile.logs_in {
            true => Credential::app_role(ROLE_ID, SECRET_ID).ok()?,
            false => Credential::token(FIXED),
        };
        let mut settings = Settings::builder(Provider::OpenBao)
            .urls(urls)
            .credential(credential)
            .deadline(profile.deadline)
            .max_concurrent(profile.places)
            .allowed_mounts(["secret"]);
        let cache = world.profile.cache.filter(|_| id.0.is_multiple_of(2));
        if let Some((ttl, stale)) = cache {
            let cache = CacheConfig::new(Duration::from_secs(ttl)).stale_if_error(Duration::from_secs(stale));
            settings = settings.cache(cache);
        }
        let settings = settings.build().ok()?;
        world.lives.borrow_mut().push(Life::default());
        let host = SimulatedHost::new(world.clone(), id, random.fork(), profile.wakes_across_tasks);
        world.trace(|| {
            format!(
                "client {} begins: {}, {}, deadline {} ms",
                id.0,
                if profile.knows_nodes { "list of nodes" } else { "load balancer" },
                if profile.logs_in { "logs in" } else { "fixed token" },
                profile.deadline.as_millis()
            )
        });
        Some(Rc::new(Self {
            world: world.clone(),
            id,
            client: plan.spoil(Client::new(host, settings)),
            deadline: profile.deadline,
            is_cached: cache.is_some(),
            random: RefCell::new(random),
            known: RefCell::new(vec![0; world.profile.keys]),
        }))
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut self.random.borrow_mut())
    }

    fn choose(&self, key: usize) -> Kind {
        let known = self.known.borrow().get(key).copied().unwrap_or_default();
        let some = self.draw(|random| random.between(1, known.max(1)));
        match self.draw(|random| random.below(100)) {
            0..=27 => Kind::Read,
            28..=33 => Kind::ReadPinned(some),
            34..=43 => Kind::Write,
            44..=51 => Kind::WriteFragment,
            52..=66 => Kind::Put { cas: Some(known) },
            67..=74 => Kind::Put { cas: None },
            75..=82 => Kind::Rotate,
            83..=88 => Kind::Delete,
            89..=93 => Kind::DeleteVersions(vec![some]),
            94..=97 => Kind::Versions,
            _ => Kind::LookupSelf,
        }
    }

    /// Carries out one operation and records it. A fresh one is left alone.
    pub(crate) async fn perform(&self, kind: Kind, key: usize, fresh: Option<usize>) {
        let world = &self.world;
        let (start, length) = (world.now(), world.log_length());
        let name = format!("key-{key}");
        let mark = format!("op-{}", world.history.borrow().operations.len());
        let operation = Operation {
            client: self.id,
            kind: kind.clone(),
            key: name.clone(),
            mark: mark.clone(),
            start,
            end: None,
            start_length: length,
            end_length: length,
            limit: self.deadline,
            fresh,
            outcome: Outcome::Running,
        };
        let op = world.history.borrow_mut().begin(operation);
        world.trace(|| format!("op {} of client {}: {kind:?} {name}", op.0, self.id.0));
        let is_read = matches!(kind, Kind::Read | Kind::ReadPinned(_));
        let partition = (self.is_cached && is_read).then(|| self.draw(|random| random.below(2)));
        if let Some(partition) = partition {
            world.history.borrow_mut().partitions.insert(op.0, partition);
        }
        let share = |fault| if fresh.is_some() { 0.0 } else { world.profile.share(fault) };
        let at_poll = |fault| {
            let share = share(fault) * 2.0;
            self.draw(|random| if random.chance(share) { Some(random.between(2, 7)) } else { None })
        };
        let watched = Watched {
            user: self,
            op,
            polls: 0,
            dropped_at: at_poll(Fault::Cancelled),
            crashed_at: at_poll(Fault::ClientCrash),
            work: match partition {
                Some(partition) => Box::pin(operations::read_for(&self.client, &kind, &name, partition)),
                None => Box::pin(operations::carry_out(&self.client, &kind, &name, &mark)),
            },
        };
        let outcome = watched.await;
        match (&outcome, self.known.borrow_mut().get_mut(key)) {
            (Outcome::Read { version, .. }, Some(known)) if kind == Kind::Read => *known = *version,
            (Outcome::Written { version } | Outcome::Versions { current: version }, Some(known)) => *known = *version,
            (Outcome::Failed("SECRET_NOT_FOUND", _), Some(known)) => *known = 0,
            _ => {}
        }
        world.end(op, outcome);
    }

    async fn work(self: Rc<Self>, script: Rc<Script>) {
        let world = &self.world;
        while let Some(left) = script.left.get().checked_sub(1) {
            script.left.set(left);
            let pause = self.draw(|random| random.millis(0, world.profile.pause));
            world.executor.sleep(pause).await;
            let key = self.draw(|random| random.place(world.profile.keys));
            let kind = self.choose(key);
            let looks_back = kind != Kind::Read && self.draw(|random| random.chance(0.3));
            self.perform(kind, key, None).await;
            // Many programs read at once what they have just changed.
            if looks_back {
                self.perform(Kind::Read, key, None).await;
            }
        }
        world.life(self.id, |life| life.running -= 1);
    }

    /// Starts its tasks, which share what is left of the script.
    pub(crate) fn start(self: Rc<Self>, script: &Rc<Script>) {
        for _ in 0..script.profile.tasks {
            let task = self.world.executor.spawn(self.clone().work(script.clone()));
            self.world.life(self.id, |life| {
                life.tasks.push(task);
                life.running += 1;
            });
        }
    }
}

/// An operation under way: it says whose requests are sent, and ends where its caller drops it, or its
/// process dies, between two polls. These are all the places where a future can be dropped.
struct Watched<'a> {
    user: &'a User,
    op: OpId,
    polls: u64,
    dropped_at: Option<u64>,
    crashed_at: Option<u64>,
    work: Pin<Box<dyn Future<Output = Outcome> + 'a>>,
}

impl Future for Watched<'_> {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let world = self.user.world.clone();
        let is_dead = |world: &World, id| world.life(id, |life| life.dead).unwrap_or_default();
        self.polls += 1;
        if self.crashed_at == Some(self.polls) {
            world.fault(Fault::ClientCrash);
            world.life(self.user.id, |life| life.dead = true);
        }
        if is_dead(&world, self.user.id) {
            // Whoever looks after the lives ends this task.
            return Poll::Pending;
        }
        if self.dropped_at == Some(self.polls) {
            world.fault(Fault::Cancelled);
            return Poll::Ready(Outcome::Cut);
        }
        world.current.set(Some(self.op));
        let result = self.work.as_mut().poll(context);
        world.current.set(None);
        result
    }
}
