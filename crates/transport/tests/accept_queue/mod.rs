//! How many connections wait for a listener: for tests that count what accepting them costs.

use std::fs;
use std::time::Duration;

use millrun_selector::{Clock, Monotonic, Time};

/// Far above what a handshake takes.
const BOUND: Duration = Duration::from_secs(20);

/// Waits until so many connections are in the queue of the listener at this port of 127.0.0.1. A client's connect is over
/// when the answer has come: the last step of the handshake, which fills the queue, may still be under way. (A turn of the loop would
/// accept what is counted here, so it is the thread that waits.)
pub(crate) fn wait_for_queued(port: u16, expected: usize) {
    let (clock, mut queued) = (Monotonic::new(), None);
    while clock.now() < Time::ZERO + BOUND {
        queued = queue_of(port);
        if queued == Some(expected) {
            return;
        }
        std::thread::yield_now();
    }
    panic!("expected {expected} in the queue of port {port}, got {queued:?}");
}

/// As the kernel's table has it: of a listener, `rx_queue` counts connections.
fn queue_of(port: u16) -> Option<usize> {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let (at, listens) = (format!("0100007F:{port:04X}"), "0A");
    table.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [_, local, _, state, queues, ..] = columns[..] else { return None };
        let (_, received) = queues.split_once(':')?;
        (local == at && state == listens).then(|| usize::from_str_radix(received, 16).unwrap())
    })
}
