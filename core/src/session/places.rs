//! The limit on operations that are under way at once: places, given out in the order of asking.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use event_listener::Event;

/// As many places as operations may be under way.
#[derive(Debug)]
pub(crate) struct Places(Mutex<State>);

#[derive(Debug)]
struct State {
    free: usize,
    queue: VecDeque<Arc<Turn>>,
}

#[derive(Debug, Default)]
struct Turn {
    has_come: AtomicBool,
    came: Event,
}

impl Places {
    pub fn new(count: usize) -> Self {
        Self(Mutex::new(State { free: count, queue: VecDeque::new() }))
    }

    /// Takes a place, or a number in the queue where none is free.
    pub fn take(&self) -> Place<'_> {
        let mut state = self.lock();
        let turn = match state.free.checked_sub(1) {
            // Nobody waits while a place is free: a place that is given back goes to the first.
            Some(free) => {
                state.free = free;
                None
            }
            None => {
                let turn = Arc::new(Turn::default());
                state.queue.push_back(turn.clone());
                Some(turn)
            }
        };
        drop(state);
        Place { places: self, turn }
    }

    /// Ends the queue: whoever waits, and whoever comes, has a place. A closed client refuses them.
    pub fn open(&self) {
        let mut state = self.lock();
        // No more operations than this can ever be under way.
        state.free = usize::MAX / 2;
        let queue = std::mem::take(&mut state.queue);
        queue.iter().for_each(|turn| turn.has_come.store(true, Ordering::Release));
        drop(state);
        for turn in queue {
            turn.came.notify(usize::MAX);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place, or a number in the queue for one. Dropping it gives back either.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    places: &'a Places,
    /// None where a place was free at once.
    turn: Option<Arc<Turn>>,
}

impl Place<'_> {
    /// Whether the turn has come.
    pub fn is_taken(&self) -> bool {
        self.turn.as_ref().is_none_or(|turn| turn.has_come.load(Ordering::Acquire))
    }

    /// Ends when the turn has come.
    pub async fn taken(&self) {
        let Some(turn) = &self.turn else { return };
        while !self.is_taken() {
            let listener = turn.came.listen();
            if self.is_taken() {
                return;
            }
            listener.await;
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.places.lock();
        if let Some(mine) = self.turn.as_ref().filter(|_| !self.is_taken()) {
            state.queue.retain(|turn| !Arc::ptr_eq(turn, mine));
            return;
        }
        let Some(next) = state.queue.pop_front() else {
            state.free += 1;
            return;
        };
        // Under the lock, or the next could give up its number between these two lines.
        next.has_come.store(true, Ordering::Release);
        drop(state);
        next.came.notify(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_in_the_order_of_asking_and_none_is_lost() {
        let places = Places::new(1);
        let first = places.take();
        let (second, third, fourth) = (places.take(), places.take(), places.take());
        assert!(first.is_taken() && !second.is_taken() && !third.is_taken());
        drop(third);
        drop(first);
        assert!(second.is_taken() && !fourth.is_taken());
        assert!(!places.take().is_taken(), "who comes late does not overtake");
        drop(second);
        assert!(fourth.is_taken());
        drop(fourth);
        assert!(places.take().is_taken());
    }

    #[test]
    fn a_turn_that_came_and_was_not_used_goes_to_the_next() {
        let places = Places::new(1);
        let (first, second, third) = (places.take(), places.take(), places.take());
        drop(first);
        assert!(second.is_taken());
        drop(second);
        assert!(third.is_taken());
    }
}
