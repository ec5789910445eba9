//! Between clients and nodes: the host that core runs on, and everything that can happen to a request
//! on its way there and back.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use baokit_core::http::{Failure, FailureKind, Method, Request, Response};
use baokit_core::{Host, Now};
use baokit_devserver::model;
use zeroize::Zeroizing;

use crate::cluster::answers;
use crate::cluster::effect::Record;
use crate::cluster::node::{Power, address};
use crate::cluster::serve::{Inbound, Reply, serve};
use crate::executor::Mailbox;
use crate::history::{ClientId, Invariant, Sent};
use crate::random::Random;
use crate::tally::{Fault, Notable};
use crate::world::World;

/// The address of the load balancer.
pub(crate) const BALANCER: &str = "https://balancer.test:8200";

/// How much later than promised something may happen: work takes no time here, and polls are rounded.
pub(crate) const SLACK: Duration = Duration::from_millis(50);

/// What core runs on: virtual clocks, a seeded source, the simulated network.
pub(crate) struct SimulatedHost {
    world: Rc<World>,
    client: ClientId,
    random: RefCell<Random>,
    wakes: bool,
}

impl SimulatedHost {
    pub(crate) fn new(world: Rc<World>, client: ClientId, random: Random, wakes: bool) -> Self {
        Self { world, client, random: RefCell::new(random), wakes }
    }
}

impl Host for SimulatedHost {
    fn now(&self) -> Now {
        let monotonic = self.world.now();
        let off = self.world.life(self.client, |life| life.clock).unwrap_or_default();
        let base = Duration::from_secs(1_800_000_000_u64.saturating_add_signed(off));
        Now { monotonic, wall: base.saturating_add(monotonic) }
    }

    fn random(&self, buffer: &mut [u8]) {
        for byte in buffer {
            *byte = self.random.borrow_mut().next().to_le_bytes()[0];
        }
    }

    async fn send(&self, request: Request) -> Result<Response, Failure> {
        send(&self.world, self.client, request).await
    }

    async fn sleep(&self, duration: Duration) {
        let world = &self.world;
        if let Some(op) = world.current.get() {
            let end = world.history.borrow().get(op).map(|op| op.start.saturating_add(op.limit).saturating_add(SLACK));
            if end.is_some_and(|end| world.now().saturating_add(duration) > end) {
                let text = format!("op {} waits for {} ms, beyond its deadline", op.0, duration.as_millis());
                world.violate(Invariant::WaitPastDeadline, text);
            }
        }
        world.executor.sleep(duration).await;
    }

    fn wakes_across_tasks(&self) -> bool {
        self.wakes
    }

    fn closes_connections(&self) -> bool {
        true
    }
}

/// How an answer begins that does not know the token.
const DEAD: &[u8] = br#"{"errors":["permission denied"]}"#;

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Arrives,
    LostRequest,
    LostAnswer,
    Late,
    Twice,
    /// As a proxy does that tries again by itself.
    TwiceAnswered,
    Truncated,
}

impl Fate {
    fn draw(world: &World) -> Self {
        if let Some((op, left, fate)) = world.planned.get().filter(|plan| Some(plan.0) == world.current.get()) {
            world.planned.set(left.checked_sub(1).map(|left| (op, left, fate)));
            if left == 0 {
                return fate;
            }
        }
        if world.calm.get() {
            return Self::Arrives;
        }
        let all = [
            (Fault::LostRequest, Self::LostRequest),
            (Fault::LostAnswer, Self::LostAnswer),
            (Fault::LateExecution, Self::Late),
            (Fault::Duplicate, Self::Twice),
            (Fault::DuplicateAnswered, Self::TwiceAnswered),
            (Fault::TruncatedBody, Self::Truncated),
        ];
        for (fault, fate) in all {
            let share = world.profile.share(fault);
            if share > 0.0 && world.draw(|random| random.chance(share)) {
                world.fault(fault);
                return fate;
            }
        }
        Self::Arrives
    }
}

/// Counts a log-in as under way, until it is dropped.
pub(crate) struct LoggingIn<'a>(&'a World, ClientId);

impl<'a> LoggingIn<'a> {
    pub(crate) fn begin(world: &'a World, client: ClientId) -> Self {
        world.note(Notable::LoggedIn);
        let others = world.life(client, |life| {
            life.logging_in += 1;
            life.logging_in - 1
        });
        let now = world.now();
        let good = world.life(client, |life| life.token.as_ref().is_some_and(|(_, until)| now < *until));
        if good == Some(true) {
            world.violate(Invariant::NeedlessLogIn, format!("client {} logs in with a good token at hand", client.0));
        }
        if others.is_some_and(|others| others > 0) {
            world.violate(Invariant::TwoLogIns, format!("client {} logs in while it is logging in", client.0));
        }
        Self(world, client)
    }
}

impl Drop for LoggingIn<'_> {
    fn drop(&mut self) {
        self.0.life(self.1, |life| life.logging_in = life.logging_in.saturating_sub(1));
    }
}

async fn send(world: &Rc<World>, client: ClientId, request: Request) -> Result<Response, Failure> {
    let (place, closes) = (choose(world, client, &request), request.closes_connection());
    let target = request.target().to_owned();
    let copy = translate(&request);
    let token = copy.headers.iter().find(|(name, _)| name == "x-vault-token").map(|(_, token)| token.clone());
    let cas = request.body().and_then(|body| serde_json::from_slice::<serde_json::Value>(body.as_ref()).ok());
    let record = cas.as_ref().and_then(Record::in_body);
    let cas = cas.and_then(|body| body.get("options")?.get("cas")?.as_u64());
    let op = world.current.get();
    let named = place.filter(|_| request.node().as_str() != BALANCER);
    let send = world.history.borrow_mut().send(op, cas, target.starts_with("/v1/auth/"), named);
    let (asks, length) = (format!("{} {target}", request.method().as_str()), world.log_length());
    let at = world.now();
    let tell = |sent: &mut Sent| (sent.record, sent.asks, sent.at, sent.length) = (record, asks, at, length);
    world.history.borrow_mut().tell(send, tell);
    let logging_in = target.ends_with("/login").then(|| LoggingIn::begin(world, client));
    world.note(Notable::Sent);
    world.trace(|| {
        let to = place.map_or_else(|| "nobody".to_owned(), |place| format!("node {}", place + 1));
        let cas = cas.map_or_else(String::new, |cas| format!(" cas={cas}"));
        let op = op.map_or_else(|| "?".to_owned(), |op| op.0.to_string());
        format!("  send {} of op {op} to {to}: {} {target}{cas}", send.0, request.method().as_str())
    });
    let Some(place) = place else {
        world.pause(0, 1).await;
        return Ok(convert(answers::unavailable(None)));
    };
    let sent = world.now();
    let outcome = travel(world, place, Rc::new(Inbound::new(copy, Some(send)))).await;
    if closes || outcome.is_err() {
        world.life(client, |life| life.connection = None);
    }
    if outcome.as_ref().is_ok_and(|answer| answer.status == 403 && answer.body.starts_with(DEAD)) {
        world.note(Notable::TokenDead);
        let token = token.as_deref().unwrap_or_default();
        world.life(client, |life| life.token.take_if(|(held, _)| held == token));
    }
    if outcome.as_ref().is_ok_and(|answer| answer.status == 403 && !answer.body.starts_with(DEAD)) {
        world.history.borrow_mut().tell(send, |sent| sent.refused = true);
    }
    if let Some(granted) = outcome.as_ref().ok().filter(|_| logging_in.is_some()).and_then(|answer| grant(sent, answer))
    {
        world.life(client, |life| life.token = Some(granted));
    }
    world.trace(|| match &outcome {
        Ok(answer) => format!("  send {} answered {}", send.0, shown(answer)),
        Err(failure) => format!("  send {} failed: {:?}", send.0, failure.kind()),
    });
    outcome.map(convert)
}

/// The token that a log-in's answer holds, and until when it can be used in any case. Its lease may have
/// begun when the log-in was sent, and in its last third a client may look for another.
fn grant(sent: Duration, answer: &model::Response) -> Option<(String, Duration)> {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
    let (auth, lease) = (body.get("auth")?, body.pointer("/auth/lease_duration")?.as_u64()?);
    let good = Duration::from_secs(lease).mul_f64(0.6).saturating_sub(Duration::from_secs(1));
    Some((auth.get("client_token")?.as_str()?.to_owned(), sent.saturating_add(good)))
}

async fn travel(world: &Rc<World>, place: usize, inbound: Rc<Inbound>) -> Result<model::Response, Failure> {
    let failed = |kind| Err(Failure::new(kind, "as the simulated network wants"));
    let node = world.cluster.borrow().node(place).map(|node| (node.power, node.unreachable));
    match node {
        None | Some((Power::Down, _)) => {
            world.pause(0, 1).await;
            return failed(FailureKind::Connect);
        }
        // No connection is made; or one that was open swallows what is sent, and may bring it later.
        Some((_, true)) if world.draw(|random| random.chance(0.5)) => {
            world.executor.sleep(Duration::from_secs(2)).await;
            return failed(FailureKind::Connect);
        }
        Some((_, true)) => {
            if world.draw(|random| random.chance(0.3)) {
                let delay = world.draw(|random| random.millis(3000, 15_000));
                let late = deliver(world.clone(), place, inbound, delay, Fate::LostAnswer, Mailbox::new());
                world.executor.spawn(async move {
                    late.await;
                });
            }
            return std::future::pending().await;
        }
        Some((_, false)) => {}
    }
    let fate = Fate::draw(world);
    if fate == Fate::LostRequest {
        world.pause(0, 3).await;
        return match world.draw(|random| random.chance(0.5)) {
            true => failed(FailureKind::AfterSend),
            false => std::future::pending().await,
        };
    }
    let way = world.draw(|random| random.millis(0, 2));
    let delay = if fate == Fate::Late { world.draw(|random| random.millis(500, 20_000)) } else { way };
    let mailbox = Mailbox::new();
    let most = world.draw(|random| random.pick(&[5, 5000]).copied().unwrap_or(5));
    let more = world.draw(|random| random.millis(0, most));
    let (first, second) = match fate {
        Fate::TwiceAnswered => (Mailbox::new(), mailbox.clone()),
        _ => (mailbox.clone(), Mailbox::new()),
    };
    let later = world.clone();
    world.executor.spawn(async move {
        let served = deliver(later.clone(), place, inbound.clone(), delay, fate, first).await;
        // Nobody sends again what was refused, or what had nothing to do.
        let changed = later.cluster.borrow().log.iter().any(|entry| entry.by.is_some() && entry.by == inbound.send);
        let carried_out = served && (inbound.reads || changed);
        if carried_out && matches!(fate, Fate::Twice | Fate::TwiceAnswered) {
            deliver(later, place, inbound, more, fate, second).await;
        }
    });
    if fate == Fate::Late && world.draw(|random| random.chance(0.5)) {
        // The connection breaks, and what was sent is on its way all the same.
        world.pause(1, 1500).await;
        return failed(FailureKind::AfterSend);
    }
    mailbox.take().await
}

/// Brings a request to a node and the answer back. False where it was refused at the door.
async fn deliver(
    world: Rc<World>,
    place: usize,
    inbound: Rc<Inbound>,
    delay: Duration,
    fate: Fate,
    mailbox: Mailbox<Result<model::Response, Failure>>,
) -> bool {
    world.executor.sleep(delay).await;
    let reply = serve(world.clone(), place, inbound, 0).await;
    let carried_out = match &reply {
        Reply::Answer(answer) => matches!(answer.status, 200 | 204 | 400 | 404),
        Reply::Closed => true,
    };
    world.pause(0, 1).await;
    if world.cluster.borrow().node(place).is_some_and(|node| node.unreachable) {
        return carried_out;
    }
    let broken = |kind| Err(Failure::new(kind, "as the simulated network wants"));
    let outcome = match (reply, fate) {
        (Reply::Closed, _) => broken(FailureKind::AfterSend),
        (Reply::Answer(_), Fate::LostAnswer) => match world.draw(|random| random.below(3)) {
            0 => return carried_out,
            1 => broken(FailureKind::Body),
            _ => broken(FailureKind::AfterSend),
        },
        (Reply::Answer(mut answer), Fate::Truncated) if answer.status == 200 => {
            if world.draw(|random| random.chance(0.5)) {
                broken(FailureKind::Body)
            } else {
                // Cut off by a proxy that sends a length of its own.
                let length = world.draw(|random| random.place(answer.body.len().saturating_sub(2)));
                answer.body.truncate(length);
                Ok(answer)
            }
        }
        (Reply::Answer(answer), _) => Ok(answer),
    };
    mailbox.put(outcome);
    carried_out
}

/// The node that a request goes to: the one it names; or the one that the load balancer has connected the
/// client with, which is another one that it believes to be up for each connection.
fn choose(world: &World, client: ClientId, request: &Request) -> Option<usize> {
    let cluster = world.cluster.borrow();
    let named = request.node().as_str();
    if named != BALANCER {
        return (0..cluster.nodes.len()).find(|place| address(*place) == named);
    }
    let up = |place: &usize| cluster.node(*place).is_some_and(|node| node.power != Power::Down && !node.unreachable);
    let kept = world.life(client, |life| life.connection).flatten().filter(up);
    let up: Vec<_> = (0..cluster.nodes.len()).filter(up).collect();
    // Each connection to the next one.
    let turn = world.turn.get();
    let next = || {
        world.turn.set(turn.wrapping_add(1));
        up.get(turn.checked_rem(up.len())?).copied()
    };
    let chosen = kept.or_else(next);
    world.life(client, |life| life.connection = chosen);
    chosen
}

fn translate(request: &Request) -> model::Request {
    let mut copy = model::Request::new(request.method().as_str(), request.target());
    for header in request.headers() {
        // The rest plays no part in an answer.
        if header.name() != "x-vault-request" {
            copy = copy.header(header.name(), header.expose());
        }
    }
    match request.body() {
        Some(body) if request.method() != Method::Get => copy.body(body.as_ref().to_vec()),
        _ => copy,
    }
}

fn convert(answer: model::Response) -> Response {
    let start = Response::new(answer.status, Zeroizing::new(answer.body));
    answer.headers.iter().fold(start, |response, (name, value)| response.header(name, value.as_bytes()))
}

/// An answer in the trace: of a success, what it holds; else what it says.
fn shown(answer: &model::Response) -> String {
    let index = answer.headers.iter().find(|(name, _)| name == "X-Vault-Index").and_then(|(_, text)| {
        use base64ct::{Base64, Encoding};
        let value: serde_json::Value = serde_json::from_slice(&Base64::decode_vec(text).ok()?).ok()?;
        Some(format!(" (index {})", value.get("value")?.as_str()?))
    });
    let body = serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap_or_default();
    let data = body.get("data").filter(|data| !data.is_null()).or(body.get("errors")).map(ToString::to_string);
    let data: String = data.unwrap_or_default().chars().take(160).collect();
    format!("{}{} {data}", answer.status, index.unwrap_or_default())
}
