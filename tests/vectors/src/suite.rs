//! All cases, what has become of each, and the tally.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};

use crate::cases::{Case, Expected, KINDS, Play, load};
use crate::flow::Want;
use crate::judge::{Outcome, judge, judge_parse, judge_settings, judge_steps};
use crate::play::Stage;

/// One face's run through all cases. It is the flow server without its socket: a Rust test calls it
/// directly, every other face through the control API.
///
/// Its servers run on tokio, so [`Suite::start`] has to be called there.
pub struct Suite {
    face: String,
    cases: Vec<Case>,
    states: Mutex<Vec<State>>,
}

enum State {
    Open,
    Running(Stage),
    Passed,
    Skipped(String),
    Failed(String),
}

/// Why a call to the suite made no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// There is no such case.
    Unknown,
    /// The case was started or finished before.
    Twice,
    /// The outcome has another shape, or the case could not be started.
    Malformed(String),
}

impl std::fmt::Debug for Suite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Suite").field("face", &self.face).field("cases", &self.cases.len()).finish_non_exhaustive()
    }
}

impl Suite {
    /// All cases, for the face of this name.
    ///
    /// # Errors
    /// A text that says what is wrong with the files.
    pub fn load(face: impl Into<String>) -> Result<Self, String> {
        let cases = load()?;
        let states = Mutex::new(cases.iter().map(|_| State::Open).collect());
        Ok(Self { face: face.into(), cases, states })
    }

    /// What a face is shown of the cases, of one kind where one is named.
    #[must_use]
    pub fn cases(&self, kind: Option<&str>) -> Vec<Value> {
        self.cases.iter().filter(|case| kind.is_none_or(|kind| kind == case.kind)).map(Case::shown).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, id: &str) -> Result<(usize, &Case), Misuse> {
        self.cases.iter().enumerate().find(|(_, case)| case.id == id).ok_or(Misuse::Unknown)
    }

    /// Starts a case's servers; the answer holds the environment of the client.
    ///
    /// # Errors
    /// [`Misuse`], which also tells that no port was to be had.
    pub fn start(&self, id: &str) -> Result<Value, Misuse> {
        let (index, case) = self.find(id)?;
        let mut states = self.lock();
        let state = states.get_mut(index).ok_or(Misuse::Unknown)?;
        if !matches!(state, State::Open) {
            return Err(Misuse::Twice);
        }
        match &case.expected {
            Expected::Parse(_) => Ok(json!({"env": {}})),
            Expected::Settings(raw) => Ok(json!({"env": raw.get("env")})),
            Expected::Play(play) => {
                let stage = Stage::start(play).map_err(|error| Misuse::Malformed(error.to_string()))?;
                let mut env = play.env.clone();
                env.insert(play.url_key().to_owned(), stage.urls());
                *state = State::Running(stage);
                Ok(json!({"env": env}))
            }
        }
    }

    /// Takes in what a face got, and says what is wrong with it, if anything.
    ///
    /// # Errors
    /// [`Misuse`], for an outcome that is none; the case stays open then.
    pub fn finish(&self, id: &str, outcome: Value) -> Result<Option<String>, Misuse> {
        let (index, case) = self.find(id)?;
        let outcome = Outcome::parse(outcome).map_err(Misuse::Malformed)?;
        let mut states = self.lock();
        let state = states.get_mut(index).ok_or(Misuse::Unknown)?;
        let stage = match state {
            State::Open => None,
            State::Running(_) => match std::mem::replace(state, State::Open) {
                State::Running(stage) => Some(stage),
                _ => None,
            },
            State::Passed | State::Skipped(_) | State::Failed(_) => return Err(Misuse::Twice),
        };
        if let Outcome::Skipped(need) = &outcome
            && case.needs.contains(need)
        {
            *state = State::Skipped(need.clone());
            return Ok(None);
        }
        let verdict = verdict(case, outcome, stage.as_ref());
        *state = match &verdict {
            Ok(()) => State::Passed,
            Err(problem) => State::Failed(problem.clone()),
        };
        Ok(verdict.err())
    }

    /// How many cases of each kind passed, and what went wrong with the others.
    #[must_use]
    pub fn tally(&self) -> Value {
        let states = self.lock();
        let (mut kinds, mut failures, mut skipped) = (Map::new(), Vec::new(), Vec::new());
        for kind in KINDS {
            let (mut count, mut passed, mut failed, mut skips, mut missing) = (0, 0, 0, 0, 0);
            for (case, state) in self.cases.iter().zip(states.iter()).filter(|(case, _)| case.kind == kind) {
                count += 1;
                let entry = |field: &str, text: &str| json!({"id": case.id, "name": case.name, field: text});
                match state {
                    State::Passed => passed += 1,
                    State::Skipped(need) => {
                        skips += 1;
                        skipped.push(entry("need", need));
                    }
                    State::Failed(problem) => {
                        failed += 1;
                        failures.push(entry("problem", problem));
                    }
                    State::Open | State::Running(_) => {
                        missing += 1;
                        failures.push(entry("problem", "never finished"));
                    }
                }
            }
            let counts =
                json!({"cases": count, "passed": passed, "failed": failed, "skipped": skips, "missing": missing});
            kinds.insert(kind.to_owned(), counts);
        }
        json!({"face": self.face, "kinds": kinds, "failures": failures, "skipped": skipped})
    }

    /// Whether every case was finished, and none failed.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.lock().iter().all(|state| matches!(state, State::Passed | State::Skipped(_)))
    }

    /// The tally as a table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let tally = self.tally();
        let mut table =
            format!("{:<10}{:>8}{:>8}{:>8}{:>8}{:>8}\n", self.face, "cases", "passed", "failed", "skipped", "missing");
        for kind in KINDS {
            let counts = tally.get("kinds").and_then(|kinds| kinds.get(kind));
            let count =
                |field: &str| counts.and_then(|counts| counts.get(field)).and_then(Value::as_u64).unwrap_or_default();
            let [cases, passed, failed, skipped, missing] =
                ["cases", "passed", "failed", "skipped", "missing"].map(count);
            table.push_str(&format!("{kind:<10}{cases:>8}{passed:>8}{failed:>8}{skipped:>8}{missing:>8}\n"));
        }
        table
    }
}

fn verdict(case: &Case, outcome: Outcome, stage: Option<&Stage>) -> Result<(), String> {
    match &case.expected {
        Expected::Parse(raw) => judge_parse(raw, &outcome.single()?),
        Expected::Settings(raw) => judge_settings(raw, &outcome.single()?),
        Expected::Play(play) => {
            let stage = stage.ok_or("it was not started")?;
            // What was seen comes first: it explains the result.
            let mut problems = stage.verdict();
            problems.extend(judge_play(play, outcome).err());
            if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
        }
    }
}

fn judge_play(play: &Play, outcome: Outcome) -> Result<(), String> {
    match (outcome, &play.refusal) {
        (Outcome::Results(results), None) => judge_steps(&play.steps, &results),
        (Outcome::Error(error), Some(code)) => judge(&Want::code(code), &error),
        (Outcome::Error(error), None) => Err(format!("the client could not be made: {error}")),
        (Outcome::Results(_), Some(code)) => Err(format!("the client was made, {code} expected")),
        (Outcome::Skipped(need), _) => Err(format!("skipped for want of {need:?}, which the case does not need")),
    }
}
