//! Recorded rotations cut at every step: each request lost, each answer lost, the future dropped between any
//! two polls; alone and beside a second rotator that begins at any step; exactly one version is made.

use std::rc::Rc;
use std::time::Duration;

use crate::checker;
use crate::cluster::effect::Effect;
use crate::cluster::{Cluster, Era};
use crate::history::{Kind, OpId, Outcome};
use crate::network::Fate;
use crate::profile::{ClientProfile, Profile};
use crate::random::Random;
use crate::rotations::Recorded;
use crate::run::Plan;
use crate::workload::User;
use crate::world::World;

const KEY: usize = 0;
/// The first operation makes the secret, the second is the rotation that is cut.
const ROTATION: OpId = OpId(1);
/// Longer than any lease of these tests.
const LEASE: Duration = Duration::from_secs(45);

/// How the rotation is cut, and what happens besides.
#[derive(Clone, Copy, Debug)]
struct Case {
    era: Era,
    given: bool,
    applied: bool,
    /// This request meets this fate.
    fate: Option<(usize, Fate)>,
    /// Its caller drops it at this poll.
    dropped_at: Option<u64>,
    /// Another rotator begins when the first has sent so many requests.
    second_after: Option<usize>,
    /// It is not resumed: another rotation begins when its lease is over.
    is_left: bool,
}

/// What came of it.
struct End {
    /// Whether what was planned came to pass.
    was_cut: bool,
    first: Outcome,
    second: Option<Outcome>,
    last: Outcome,
    /// How many versions rotations have made, and how many the one that was cut.
    versions: usize,
    own: usize,
}

pub(super) fn user(world: &Rc<World>, seed: u64) -> Rc<User> {
    let profile = ClientProfile {
        knows_nodes: true,
        logs_in: false,
        deadline: Duration::from_secs(12),
        places: 50,
        wakes_across_tasks: true,
        tasks: 1,
        operations: 1,
    };
    User::new(world, &profile, &Plan::default(), Random::new(seed)).unwrap()
}

async fn perform(user: &User, kind: Kind) -> Outcome {
    let id = user.world.history.borrow().operations.len();
    user.cut(kind, KEY, None, None, None).await;
    user.world.history.borrow().operations[id].outcome.clone()
}

fn requests(world: &World, op: OpId) -> usize {
    world.history.borrow().sent.iter().filter(|sent| sent.op == Some(op)).count()
}

fn begin(user: &User, case: &Case) -> Recorded {
    Recorded::begin(&user.client, case.given, false, case.applied)
}

fn play(case: Case) -> End {
    let mut random = Random::new(5);
    let cluster = Cluster::new(case.era, 3, 3600, random.fork());
    let world = Rc::new(World::new(Profile::calm(case.era, 3), cluster, random.fork(), false));
    let [first, second, third] = [1, 2, 3].map(|seed| user(&world, seed));
    let rotation = begin(&first, &case);
    world.planned.set(case.fate.map(|(request, fate)| (ROTATION, request, fate)));
    let (resumed, work) = (rotation.clone(), rotation.clone());
    let other = world.clone();
    world.executor.spawn(async move {
        perform(&first, Kind::Put { cas: Some(0) }).await;
        first.cut(Kind::Recorded(work), KEY, None, case.dropped_at, None).await;
    });
    let ended = |world: &World, op: OpId| world.history.borrow().get(op).is_some_and(|op| op.end.is_some());
    world.executor.spawn(async move {
        if let Some(after) = case.second_after {
            while requests(&other, ROTATION) < after && !ended(&other, ROTATION) {
                other.executor.sleep(Duration::from_millis(1)).await;
            }
            perform(&second, Kind::Recorded(begin(&second, &case))).await;
        }
        while !ended(&other, ROTATION) {
            other.executor.sleep(Duration::from_millis(20)).await;
        }
        if case.is_left {
            other.executor.sleep(LEASE).await;
            perform(&third, Kind::Recorded(begin(&third, &case))).await;
        } else {
            // Nothing has begun where it was cut off before its intent was recorded.
            match perform(&third, Kind::Recorded(resumed.resumed(&third.client))).await {
                Outcome::Failed("ROTATION_UNKNOWN", _) if case.second_after.is_none() => {
                    perform(&third, Kind::Recorded(begin(&third, &case))).await;
                }
                _ => {}
            }
        }
    });
    let end = Duration::from_secs(200);
    while world.executor.turn(end) {}
    assert_eq!(checker::check(&world, false), [], "{case:?}");
    let end = {
        let (history, log) = (world.history.borrow(), &world.cluster.borrow().log);
        let outcome = |id: usize| history.operations[id].outcome.clone();
        let made = log.iter().filter(|entry| matches!(&entry.effect, Effect::Wrote { key, .. } if key == "key-0"));
        let by: Vec<_> = made.filter_map(|entry| history.operation_of(entry.by?)).filter(|op| op.0 > 0).collect();
        let of =
            |op: &&OpId| matches!(&history.get(**op).unwrap().kind, Kind::Recorded(it) if it.id() == rotation.id());
        End {
            was_cut: world.planned.get().is_none() && outcome(ROTATION.0) != Outcome::Running,
            first: outcome(ROTATION.0),
            second: case.second_after.map(|_| outcome(2)),
            last: outcome(history.operations.len() - 1),
            versions: by.len(),
            own: by.iter().filter(of).count(),
        }
    };
    world.executor.clear();
    end
}

fn is_rotated(outcome: &Outcome, id: Option<&str>) -> bool {
    matches!(outcome, Outcome::Rotated { id: said, is_recorded: true, .. } if id.is_none_or(|id| id == said))
}

/// All kinds of rotations, with what is cut left open.
fn kinds() -> impl Iterator<Item = Case> {
    [Era::Indexed, Era::Silent].into_iter().flat_map(|era| {
        [(false, false), (true, false), (false, true), (true, true)].into_iter().map(move |(given, applied)| Case {
            era,
            given,
            applied,
            fate: None,
            dropped_at: None,
            second_after: None,
            is_left: false,
        })
    })
}

#[test]
fn alone_and_with_any_request_or_answer_lost_it_makes_one_version() {
    for case in kinds() {
        for fate in [Fate::LostRequest, Fate::LostAnswer] {
            for request in 0.. {
                let end = play(Case { fate: Some((request, fate)), ..case });
                assert!(is_rotated(&end.first, None) && is_rotated(&end.last, None), "{case:?} {request} {fate:?}");
                assert_eq!((request, end.versions, end.own), (request, 1, 1), "{case:?} {fate:?}");
                if !end.was_cut {
                    assert!(request >= 6, "{request}");
                    break;
                }
            }
        }
    }
}

#[test]
fn alone_and_dropped_at_any_poll_it_makes_one_version_when_it_is_resumed() {
    for case in kinds() {
        for poll in 2.. {
            let end = play(Case { dropped_at: Some(poll), ..case });
            assert!(is_rotated(&end.last, None), "{case:?} {poll} {:?}", end.last);
            assert_eq!((poll, end.versions), (poll, 1), "{case:?}");
            if end.first != Outcome::Cut {
                assert!(poll >= 8, "{poll}");
                break;
            }
        }
    }
}

#[test]
fn left_at_any_poll_it_makes_one_version_at_most_beside_the_one_of_who_comes_after_its_lease() {
    for case in kinds() {
        let mut taken_up = 0;
        for poll in 2.. {
            let end = play(Case { dropped_at: Some(poll), is_left: true, ..case });
            assert!(is_rotated(&end.last, None), "{case:?} {poll} {:?}", end.last);
            // Either it is finished in its own name, or another version follows, whose name is another.
            taken_up += usize::from(end.versions == 1);
            assert!((1..=2).contains(&end.versions) && end.own <= 1, "{case:?} {poll}");
            if end.first != Outcome::Cut {
                break;
            }
        }
        assert!(taken_up >= 2, "{case:?}");
    }
}

#[test]
fn beside_a_second_rotator_that_begins_at_any_step_each_makes_one_version_at_most() {
    for case in kinds() {
        for after in 1..16 {
            let mut busy = 0;
            for poll in (2..40).step_by(3) {
                let end = play(Case { dropped_at: Some(poll), second_after: Some(after), ..case });
                let second = end.second.unwrap();
                let is_busy = matches!(second, Outcome::Failed("ROTATION_IN_PROGRESS", _));
                assert!(is_busy || is_rotated(&second, None), "{case:?} {after} {poll} {second:?}");
                busy += usize::from(is_busy);
                let is_unknown = matches!(end.last, Outcome::Failed("ROTATION_UNKNOWN", _));
                assert!(is_unknown || is_rotated(&end.last, None), "{case:?} {after} {poll} {:?}", end.last);
                // The one who is busy made none.
                assert_eq!(end.versions, end.own + usize::from(!is_busy), "{case:?} {after} {poll}");
                assert!(end.own == 1 || (end.own == 0 && is_unknown), "{case:?} {after} {poll}");
                if end.first != Outcome::Cut {
                    break;
                }
            }
            assert!(busy > 0 || !(5..=6).contains(&after), "{case:?} {after}");
        }
    }
}

#[test]
fn beside_a_second_rotator_and_with_any_request_or_answer_lost_each_makes_one_version_at_most() {
    for case in kinds() {
        for fate in [Fate::LostRequest, Fate::LostAnswer] {
            for request in 0.. {
                let mut was_cut = false;
                for after in [1, 6] {
                    let end = play(Case { fate: Some((request, fate)), second_after: Some(after), ..case });
                    let second = end.second.unwrap();
                    let is_busy = |outcome: &Outcome| matches!(outcome, Outcome::Failed("ROTATION_IN_PROGRESS", _));
                    let both = [&end.first, &second];
                    assert!(both.iter().all(|it| is_busy(it) || is_rotated(it, None)), "{case:?} {fate:?} {both:?}");
                    let made = both.iter().filter(|outcome| is_rotated(outcome, None)).count();
                    assert_eq!(end.versions, made, "{case:?} {request} {fate:?} {after}");
                    assert!(made > 0, "{case:?} {request} {fate:?} {after}");
                    was_cut |= end.was_cut;
                }
                if !was_cut {
                    break;
                }
            }
        }
    }
}
