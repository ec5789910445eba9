//! Recorded rotations as the clients make them, and what they change outside OpenBao.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use baokit_core::{Apply, ApplyError, Client, Rotation, Secret, SecretValue};
use serde_json::{Value, json};

use crate::history::{History, Outcome};
use crate::network::SimulatedHost;
use crate::random::Random;
use crate::tally::Fault;
use crate::world::World;

/// The longest that a step outside takes.
const STEP: Duration = Duration::from_millis(1500);

/// How much longer than its deadline a rotation takes at most that changes something outside: a step that
/// was under way, and an undo after it.
pub(crate) const OUTSIDE: Duration = STEP.saturating_mul(2);

/// What a call of a recorded rotation asks for.
#[derive(Clone)]
pub(crate) struct Recorded {
    rotation: Rotation,
    /// Whether it goes on with one that was begun before.
    pub(crate) resumes: bool,
    /// Whether its value is given, and then holds its mark; else it is generated.
    pub(crate) given: bool,
    /// Whether it makes the whole secret; else one key of it.
    pub(crate) whole: bool,
    /// Whether it changes something outside as well.
    pub(crate) applied: bool,
}

impl Recorded {
    /// A new one.
    pub(crate) fn begin(client: &Client<SimulatedHost>, given: bool, whole: bool, applied: bool) -> Self {
        Self { rotation: client.rotation(), resumes: false, given, whole, applied }.with_value()
    }

    /// The same again, to be resumed by this client.
    pub(crate) fn resumed(&self, client: &Client<SimulatedHost>) -> Self {
        Self { rotation: client.resume_rotation(self.id()), resumes: true, ..self.clone() }.with_value()
    }

    fn with_value(mut self) -> Self {
        let mark = self.mark();
        self.rotation = match (self.given, self.whole) {
            (true, true) => self.rotation.value(json!({ "w": mark })),
            (true, false) => self.rotation.value(json!(mark)),
            (false, true) => self.rotation.make(|_, generated| json!({ "w": generated.expose() })),
            (false, false) => self.rotation,
        };
        self
    }

    pub(crate) fn rotation(&self) -> &Rotation {
        &self.rotation
    }

    /// Its operation id.
    pub(crate) fn id(&self) -> &str {
        self.rotation.operation_id()
    }

    /// What its value contains where it is given.
    pub(crate) fn mark(&self) -> String {
        format!("given-{}", self.id())
    }
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names =
            [("resumes", self.resumes), ("given", self.given), ("whole", self.whole), ("applied", self.applied)];
        let told: Vec<_> = names.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
        write!(f, "rotation {} ({})", self.id(), told.join(", "))
    }
}

impl PartialEq for Recorded {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id() && self.resumes == other.resumes
    }
}

/// A rotation of this key to be resumed: as a rule one that was left.
///
/// Who resumes one says that whoever was at work on it is gone. Where that is not so, what is outside can
/// be undone behind the back of the one who goes on, and so nobody says it falsely there.
pub(crate) fn to_resume(history: &History, key: &str, random: &mut Random) -> Option<Recorded> {
    let mut calls: Vec<(&Recorded, &Outcome)> = Vec::new();
    for (recorded, outcome) in history.rotations(key) {
        // Of several calls the last one counts.
        calls.retain(|(before, _)| before.id() != recorded.id());
        calls.push((recorded, outcome));
    }
    if history.rotations(key).any(|(recorded, outcome)| recorded.applied && *outcome == Outcome::Running) {
        return None;
    }
    let is_open = |outcome: &Outcome| match outcome {
        Outcome::Failed(code, _) => !matches!(*code, "CAS_CONFLICT" | "ROTATION_UNKNOWN"),
        outcome => matches!(outcome, Outcome::Cut | Outcome::Running),
    };
    let any = random.chance(0.1);
    calls.retain(|(_, outcome)| any || is_open(outcome));
    random.pick(&calls).map(|(recorded, _)| (*recorded).clone())
}

/// What is outside OpenBao: it takes the value of one secret, until that is rotated.
pub(crate) struct Database {
    world: Rc<World>,
    key: String,
}

impl Database {
    pub(crate) fn new(world: &Rc<World>, key: &str) -> Self {
        Self { world: world.clone(), key: key.to_owned() }
    }

    /// One step, which may fail before it has done anything or after.
    async fn step(&self, name: &str, set: Option<Value>) -> Result<(), ApplyError> {
        let world = &self.world;
        let is_slow = !world.calm.get() && world.draw(|random| random.chance(0.25));
        let most = if is_slow { 700 } else { 5 };
        world.pause(0, most).await;
        let share = if world.calm.get() { 0.0 } else { world.profile.share(Fault::OutsideFails) };
        let (fails, is_done) = world.draw(|random| (random.chance(share), random.chance(0.5)));
        if let Some(value) = set.filter(|_| !fails || is_done) {
            world.trace(|| format!("  OUTSIDE {name} of {}: {value}", self.key));
            world.outside.borrow_mut().insert(self.key.clone(), value);
        }
        world.pause(0, most).await;
        if fails {
            world.fault(Fault::OutsideFails);
            return Err(ApplyError::new(format!("{name} fails")));
        }
        Ok(())
    }
}

impl Apply for Database {
    async fn apply(&self, _old: Option<&Secret>, new: &SecretValue) -> Result<(), ApplyError> {
        self.step("apply", Some(new.expose().clone())).await
    }

    async fn test(&self, new: &SecretValue) -> Result<(), ApplyError> {
        self.step("test", None).await?;
        match self.world.outside.borrow().get(&self.key) == Some(new.expose()) {
            true => Ok(()),
            false => Err(ApplyError::new("another value is in place")),
        }
    }

    async fn undo(&self, old: Option<&Secret>, _new: &SecretValue) -> Result<(), ApplyError> {
        let old = old.map_or(Value::Null, |old| old.expose().clone());
        self.step("undo", Some(old)).await
    }
}
