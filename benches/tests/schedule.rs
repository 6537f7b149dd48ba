//! The open loop's arithmetic, beside one that makes a list of all messages.

use millrun_benches::load::schedule::Schedule;
use proptest::prelude::*;

const SECOND: u128 = 1_000_000_000;

/// When each message is due, in nanoseconds, rounded up: no message is sent before its time.
fn list(rate: u64, nanos: u64) -> Vec<u64> {
    let total = u128::from(rate) * u128::from(nanos) / SECOND;
    (0..total).map(|number| (number * SECOND).div_ceil(rate.into()) as u64).collect()
}

proptest! {
    #[test]
    fn messages_are_due_evenly(rate in 1..2_000_000_u64, nanos in 0..1_000_000_u64, elapsed: u16) {
        let schedule = Schedule::new(rate, 1, nanos);
        let list = list(rate, nanos);
        prop_assert_eq!(schedule.total(), list.len() as u64);
        for (number, due) in list.iter().enumerate() {
            prop_assert_eq!(schedule.due(number as u64), *due);
        }
        for elapsed in [u64::from(elapsed), 16 * u64::from(elapsed), nanos, u64::MAX] {
            let due = list.iter().filter(|due| **due <= elapsed).count() as u64;
            prop_assert_eq!(schedule.count(elapsed), due);
        }
    }

    #[test]
    fn connections_take_turns(connections in 1..50_usize, count in 0..500_u64) {
        let schedule = Schedule::new(1, connections, u64::MAX);
        let mut nths = vec![0; connections];
        for number in 0..count {
            let connection = schedule.connection(number);
            prop_assert_eq!(connection as u64, number % connections as u64);
            prop_assert_eq!(schedule.number(connection, nths[connection]), number);
            nths[connection] += 1;
        }
        for (connection, nth) in nths.into_iter().enumerate() {
            prop_assert_eq!(schedule.of_connection(connection, count), nth);
        }
    }
}

#[test]
fn what_is_beyond_any_window_does_not_overflow() {
    let schedule = Schedule::new(u64::MAX, 1, u64::MAX);
    assert!(schedule.due(schedule.total() - 1) > 0);
    assert_eq!(Schedule::new(0, 0, 1_000).total(), 0);
    assert_eq!(Schedule::new(1, 1, 999_999_999).count(u64::MAX), 0);
}
