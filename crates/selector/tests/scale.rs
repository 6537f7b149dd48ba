//! Ten thousand registrations: alone in its file, since it raises the limit of descriptors.
#![cfg(feature = "os")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::collections::HashSet;

use common::{look, look_at};
use millrun_selector::{Interest, Key, MioSelector, OsNetwork, Readiness, Selector};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const WANTED: usize = 10_000;

/// One wait takes so many events from the kernel.
const AT_ONCE: usize = 128;

/// Raises the soft limit as far as it goes, and says how many sockets may be open.
fn room() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let needed = WANTED as u64 + 100;
    let raised = limit.maximum.map_or(needed, |hard| hard.min(needed));
    let raised = limit.current.map_or(needed, |soft| soft.max(raised));
    setrlimit(Resource::Nofile, Rlimit { current: Some(raised), ..limit }).unwrap();
    let room = usize::try_from(raised).unwrap_or(WANTED + 100).saturating_sub(100).min(WANTED);
    if room < WANTED {
        println!("scaled down to {room} sockets: the hard limit of descriptors is {raised}");
    }
    room
}

/// Each is found by its own name, all can be ready at once, and what was idle costs no call.
#[test]
fn ten_thousand_registrations() {
    let pairs = room() / 2;
    let mut selector = MioSelector::new().unwrap();
    let sockets: Vec<_> = (0..pairs).map(|_| OsNetwork::pair().unwrap()).collect();
    let keys: Vec<_> = sockets
        .iter()
        .map(|(l, r)| {
            let left = selector.register(l, Interest::READ).unwrap();
            (left, selector.register(r, Interest::READ).unwrap())
        })
        .collect();
    let names: HashSet<_> = keys.iter().flat_map(|&(l, r)| [l, r]).collect();
    assert_eq!(names.len(), 2 * pairs);
    // One wait takes a part from the kernel, what is left is told by the next ones. First the edges of
    // being writable, which nobody wants.
    let look_long = |selector: &mut MioSelector| -> HashSet<Key> {
        (0..=2 * pairs / AT_ONCE).flat_map(|_| look(selector)).map(|e| e.key).collect()
    };
    assert!(look_long(&mut selector).is_empty());

    let lucky = pairs / 2;
    sockets[lucky].0.try_write(b"x").unwrap();
    assert_eq!(look_long(&mut selector), HashSet::from([keys[lucky].1]));

    for (left, _) in &sockets {
        left.try_write(b"x").unwrap();
    }
    let right_ends = keys.iter().map(|k| k.1).collect();
    let at_once = look(&mut selector).len();
    assert!(
        at_once <= AT_ONCE + 1,
        "the others wait in the kernel, the lucky one has not read: {at_once}"
    );
    assert_eq!(look_long(&mut selector), right_ends, "all right ends, and no left one");
    for (_, right) in &sockets {
        assert!(right.try_read(&mut [0; 8]).unwrap() > 0);
    }
    assert!(look(&mut selector).is_empty());

    let calls = selector.control_calls();
    assert_eq!(calls, 2 * pairs as u64);
    for ((left, right), (left_key, right_key)) in sockets.iter().zip(&keys) {
        selector.deregister(*left_key, left).unwrap();
        selector.deregister(*right_key, right).unwrap();
    }
    assert_eq!(selector.control_calls(), calls, "they leave the kernel by being closed");
    drop(sockets);
    let (left, right) = OsNetwork::pair().unwrap();
    let key = selector.register(&right, Interest::READ).unwrap();
    assert!((key.index as usize) < 2 * pairs, "places are used again");
    left.try_write(b"x").unwrap();
    assert_eq!(look_at(&mut selector, key), Readiness::READABLE);
}
