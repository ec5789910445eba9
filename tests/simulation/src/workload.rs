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
use crate::history::{ClientId, Kind, OpId, Operation, Outcome, Transfer};
use crate::network::{BALANCER, SimulatedHost};
use crate::operations;
use crate::profile::{ClientProfile, SPARES};
use crate::random::Random;
use crate::rotations::{self, Database, Recorded};
use crate::run::Plan;
use crate::tally::{Fault, Notable};
use crate::watches::Eye;
use crate::world::{Life, World};

/// Longer than any run.
const ALWAYS: Duration = Duration::from_secs(1000);

/// The version that a move which failed says to have made before.
pub(crate) fn copied(text: &str) -> Option<u64> {
    number_after(text, "the copy is made as version ")
}

/// The number that follows these words.
pub(crate) fn number_after(text: &str, words: &str) -> Option<u64> {
    let digits = text.split_once(words)?.1;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The path of a key below its mount.
pub(crate) fn name_of(key: usize) -> String {
    format!("key-{key}")
}

/// What is left to do for the clients of one profile: one that is made anew goes on with it.
pub(crate) struct Script {
    pub(crate) profile: ClientProfile,
    pub(crate) left: Cell<usize>,
}

/// A client and what its process knows.
pub(crate) struct User {
    pub(crate) world: Rc<World>,
    pub(crate) id: ClientId,
    pub(crate) client: Client<SimulatedHost>,
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
            known: RefCell::new(vec![0; world.profile.keys_and_spares()]),
        }))
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut self.random.borrow_mut())
    }

    /// What to do with this key, or on its behalf with another one.
    fn choose(&self, key: usize) -> (Kind, usize) {
        let is_transfer = key < self.world.profile.keys && self.draw(|random| random.chance(0.09));
        if is_transfer { self.transfer(key) } else { (self.choose_for(key), key) }
    }

    /// A copy or a move from this key to another one, or the other way round.
    fn transfer(&self, key: usize) -> (Kind, usize) {
        let profile = &self.world.profile;
        let random = &mut self.random.borrow_mut();
        let others: Vec<_> = (0..profile.keys).filter(|other| *other != key).collect();
        let spare = profile.all_keys() + random.place(SPARES);
        let other = random.pick(&others).copied().filter(|_| random.chance(0.4)).unwrap_or(spare);
        let (from, to) = if random.chance(0.25) { (other, key) } else { (key, other) };
        let (overwrite, moves) = (random.chance(0.6), random.chance(0.5));
        let known = self.known.borrow().get(from).copied().unwrap_or_default();
        let some = random.between(1, known.max(1));
        let pin = (!moves && random.chance(0.2)).then_some(some);
        (Kind::Transfer(Transfer { from: name_of(from), pin, overwrite, moves }), to)
    }

    fn choose_for(&self, key: usize) -> Kind {
        let (rotates, is_outside) = (self.world.profile.rotates, key == self.world.profile.keys);
        let share = if is_outside || rotates { 0.6 } else { 0.08 };
        if self.draw(|random| random.chance(share)) {
            return Kind::Recorded(self.rotation(key, is_outside));
        }
        if is_outside {
            return if self.draw(|random| random.chance(0.7)) { Kind::Read } else { Kind::Versions };
        }
        let known = self.known.borrow().get(key).copied().unwrap_or_default();
        let some = self.draw(|random| random.between(1, known.max(1)));
        match self.draw(|random| random.below(104)) {
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
            98..=101 => {
                let (every, lasts) = self.draw(|random| (random.between(1, 4), random.millis(100, 4000)));
                Kind::Watch { every: Duration::from_secs(every), lasts: Some(lasts) }
            }
            _ => Kind::LookupSelf,
        }
    }

    /// A recorded rotation, or one that was left.
    fn rotation(&self, key: usize, applied: bool) -> Recorded {
        let random = &mut self.random.borrow_mut();
        let history = self.world.history.borrow();
        // Where leases end, another rotation does it as well, if it is of the same kind.
        let (resumes, given, whole) = if self.world.profile.lingers { (0.3, 0.15, 0.15) } else { (0.7, 0.4, 0.5) };
        let resumed = random.chance(resumes).then(|| rotations::to_resume(&history, &name_of(key), random)).flatten();
        match resumed {
            Some(left) => left.resumed(&self.client),
            None => Recorded::begin(&self.client, random.chance(given), random.chance(whole), applied),
        }
    }

    /// Resumes a rotation that was left, now that everything was mended.
    pub(crate) async fn finish(&self, left: &Recorded, key: usize) {
        self.perform(Kind::Recorded(left.resumed(&self.client)), key, Some(0)).await;
    }

    /// Carries out one operation and records it. A fresh one is left alone.
    pub(crate) async fn perform(&self, kind: Kind, key: usize, fresh: Option<usize>) {
        // A rotation has more steps than others.
        let (is_rotation, profile) = (matches!(kind, Kind::Recorded(_)), &self.world.profile);
        let last = match kind {
            Kind::Recorded(_) => 30,
            Kind::Transfer(_) | Kind::Watch { .. } => 20,
            _ => 7,
        };
        let at_poll = |fault| {
            let share = match fault {
                _ if fresh.is_some() => 0.0,
                Fault::Cancelled if is_rotation && profile.lingers => 0.3,
                fault => profile.share(fault) * 2.0,
            };
            self.draw(|random| if random.chance(share) { Some(random.between(2, last)) } else { None })
        };
        let (dropped_at, crashed_at) = (at_poll(Fault::Cancelled), at_poll(Fault::ClientCrash));
        self.cut(kind, key, fresh, dropped_at, crashed_at).await;
    }

    /// The same, cut off at a poll where one is named.
    pub(crate) async fn cut(
        &self,
        kind: Kind,
        key: usize,
        fresh: Option<usize>,
        dropped_at: Option<u64>,
        crashed_at: Option<u64>,
    ) {
        let world = &self.world;
        let (start, length) = (world.now(), world.log_length());
        let name = name_of(key);
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
            limit: self.deadline.saturating_add(match &kind {
                Kind::Recorded(recorded) if recorded.applied => rotations::OUTSIDE,
                Kind::Watch { every, lasts } => every.saturating_mul(2).saturating_add(lasts.unwrap_or(ALWAYS)),
                _ => Duration::ZERO,
            }),
            fresh,
            outcome: Outcome::Running,
        };
        let op = world.history.borrow_mut().begin(operation);
        world.trace(|| format!("op {} of client {}: {kind:?} {name}", op.0, self.id.0));
        let (outside, eye) = (Database::new(world, &name), Eye::new(world, op));
        let is_read = matches!(kind, Kind::Read | Kind::ReadPinned(_));
        let partition = (self.is_cached && is_read).then(|| self.draw(|random| random.below(2)));
        if let Some(partition) = partition {
            world.history.borrow_mut().partitions.insert(op.0, partition);
        }
        let watched = Watched {
            user: self,
            op,
            polls: 0,
            dropped_at,
            crashed_at,
            work: match partition {
                Some(partition) => Box::pin(operations::read_for(&self.client, &kind, &name, partition)),
                None => Box::pin(operations::carry_out(&self.client, &kind, &name, &mark, &outside, &eye)),
            },
        };
        let outcome = watched.await;
        match (&outcome, self.known.borrow_mut().get_mut(key)) {
            (Outcome::Read { version, .. }, Some(known)) if kind == Kind::Read => *known = *version,
            (
                Outcome::Written { version }
                | Outcome::Versions { current: version }
                | Outcome::Rotated { new: version, .. }
                | Outcome::Copied { new: version, .. },
                Some(known),
            ) => *known = *version,
            (Outcome::Failed("SECRET_NOT_FOUND", _), Some(known)) if !matches!(kind, Kind::Transfer(_)) => *known = 0,
            _ => {}
        }
        match (&kind, &outcome) {
            (Kind::Transfer(transfer), Outcome::Copied { .. }) if transfer.moves => world.note(Notable::MoveMade),
            (Kind::Transfer(_), Outcome::Copied { .. }) => world.note(Notable::CopyMade),
            (Kind::Transfer(_), Outcome::Failed(_, text)) if copied(text).is_some() => world.note(Notable::MoveHalved),
            _ => {}
        }
        if let (Kind::Recorded(recorded), Outcome::Rotated { id, .. }) = (&kind, &outcome) {
            world.note(Notable::RotationMade);
            if recorded.resumes {
                world.note(Notable::RotationResumed);
            }
            if id != recorded.id() {
                world.note(Notable::RotationTakenUp);
            }
        }
        world.end(op, outcome);
    }

    async fn work(self: Rc<Self>, script: Rc<Script>) {
        let world = &self.world;
        while let Some(left) = script.left.get().checked_sub(1) {
            script.left.set(left);
            let pause = self.draw(|random| random.millis(0, world.profile.pause));
            world.executor.sleep(pause).await;
            if world.profile.lingers && self.draw(|random| random.chance(0.3)) {
                let rest = self.draw(|random| random.millis(30_000, 62_000));
                world.executor.sleep(rest).await;
                if world.calm.get() {
                    break;
                }
            }
            let key = self.draw(|random| random.place(world.profile.all_keys()));
            let (kind, key) = self.choose(key);
            let looks_back = kind != Kind::Read && self.draw(|random| random.chance(0.3));
            self.perform(kind, key, None).await;
            // Many programs read at once what they have just changed.
            if looks_back {
                self.perform(Kind::Read, key, None).await;
            }
        }
        world.life(self.id, |life| life.running -= 1);
    }

    /// Watches a key until everything has come to rest.
    async fn watch(self: Rc<Self>, every: Duration, key: usize) {
        self.perform(Kind::Watch { every, lasts: None }, key, None).await;
    }

    /// Starts its tasks, which share what is left of the script.
    pub(crate) fn start(self: Rc<Self>, script: &Rc<Script>) {
        // Some programs watch what others change; several parts of one may watch the same.
        let count = self.draw(|random| random.pick(&[0, 0, 1, 2]).copied().unwrap_or_default());
        for _ in 0..count {
            let key = self.draw(|random| random.place(self.world.profile.keys_and_spares()));
            let every = self.draw(|random| random.pick(&[1, 3, 10]).copied().unwrap_or(3));
            let watch = self.clone().watch(Duration::from_secs(every), key);
            let task = self.world.executor.spawn(watch);
            self.world.life(self.id, |life| life.tasks.push(task));
        }
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
        // When the faults are over nobody fails any more: who watches is at it for long.
        let is_calm = world.calm.get();
        if self.crashed_at == Some(self.polls) && !is_calm {
            world.fault(Fault::ClientCrash);
            world.life(self.user.id, |life| life.dead = true);
        }
        if is_dead(&world, self.user.id) {
            // Whoever looks after the lives ends this task.
            return Poll::Pending;
        }
        if self.dropped_at == Some(self.polls) && !is_calm {
            world.fault(Fault::Cancelled);
            return Poll::Ready(Outcome::Cut);
        }
        world.current.set(Some(self.op));
        let result = self.work.as_mut().poll(context);
        world.current.set(None);
        result
    }
}
