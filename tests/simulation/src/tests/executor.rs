//! Virtual time: tasks run in one order only, and what is dropped leaves nothing behind.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::executor::{Executor, Mailbox};

fn run_until(executor: &Executor, horizon: Duration) {
    while executor.turn(horizon) {}
    executor.pass(horizon);
}

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[test]
fn timers_go_off_in_their_order_and_those_of_one_moment_as_they_were_set() {
    let (executor, seen) = (Executor::default(), Rc::new(RefCell::new(Vec::new())));
    for (name, wait) in [("c", 30), ("a", 10), ("b", 10), ("d", 5000)] {
        let (clock, seen) = (executor.clone(), seen.clone());
        executor.spawn(async move {
            clock.sleep(ms(wait)).await;
            seen.borrow_mut().push((name, clock.now()));
        });
    }
    run_until(&executor, ms(1000));
    assert_eq!(*seen.borrow(), [("a", ms(10)), ("b", ms(10)), ("c", ms(30))]);
    assert_eq!(executor.now(), ms(1000), "time passes although nothing happens");
}

#[test]
fn a_task_that_is_killed_is_dropped_where_it_stands() {
    struct Flag(Rc<RefCell<bool>>);
    impl Drop for Flag {
        fn drop(&mut self) {
            *self.0.borrow_mut() = true;
        }
    }
    let (executor, dropped, reached) = (Executor::default(), Rc::default(), Rc::new(RefCell::new(false)));
    let (flag, clock, end) = (Flag(Rc::clone(&dropped)), executor.clone(), reached.clone());
    let task = executor.spawn(async move {
        let _flag = flag;
        clock.sleep(ms(10)).await;
        *end.borrow_mut() = true;
    });
    run_until(&executor, ms(5));
    executor.kill(task);
    assert!(*dropped.borrow());
    run_until(&executor, ms(50));
    assert!(!*reached.borrow());
}

#[test]
fn a_timer_that_is_dropped_wakes_nobody() {
    let executor = Executor::default();
    let clock = executor.clone();
    executor.spawn(async move {
        drop(Box::pin(clock.sleep(ms(10))));
        clock.sleep(ms(1)).await;
    });
    run_until(&executor, ms(100));
    assert_eq!(executor.polls(), 2);
}

#[test]
fn a_mailbox_hands_over_the_first_value() {
    let (executor, mailbox, seen) = (Executor::default(), Mailbox::new(), Rc::new(RefCell::new(None)));
    let (inbox, result) = (mailbox.clone(), seen.clone());
    executor.spawn(async move { *result.borrow_mut() = Some(inbox.take().await) });
    let clock = executor.clone();
    executor.spawn(async move {
        clock.sleep(ms(1)).await;
        mailbox.put(1);
        mailbox.put(2);
    });
    run_until(&executor, ms(2));
    assert_eq!(*seen.borrow(), Some(1));
}
