//! What one would write by hand.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::Timers;
use crate::common::Counter;

/// By deadline, then by arming.
type Key = (Instant, u64);

/// As asyncio does it: a heap, from which what was cancelled is taken when it is met, or when it is most of it.
pub(crate) struct Heap {
    heap: BinaryHeap<Reverse<Entry>>,
    made: Instant,
    armed: u64,
    cancelled: usize,
    fired: Counter,
}

struct Entry(Key, Rc<Callback>);

type Callback = Cell<Option<Box<dyn FnOnce()>>>;

impl Timers for Heap {
    type Timer = Rc<Callback>;

    fn new() -> Heap {
        Heap {
            heap: BinaryHeap::new(),
            made: Instant::now(),
            armed: 0,
            cancelled: 0,
            fired: Counter::default(),
        }
    }

    fn arm(&mut self, after: Duration) -> Rc<Callback> {
        let fired = self.fired.clone();
        let callback = Rc::new(Cell::new(Some(Box::new(move || fired.add()) as _)));
        self.armed += 1;
        self.heap.push(Reverse(Entry((self.made + after, self.armed), Rc::clone(&callback))));
        callback
    }

    fn cancel(&mut self, callback: Rc<Callback>) {
        assert!(callback.take().is_some());
        self.cancelled += 1;
        // asyncio's limits: at least 100 are cancelled, and at least half.
        if self.cancelled >= 100 && self.cancelled * 2 >= self.heap.len() {
            self.heap.retain(|Reverse(entry)| {
                let callback = entry.1.take();
                let is_armed = callback.is_some();
                entry.1.set(callback);
                is_armed
            });
            self.cancelled = 0;
        }
    }

    fn fire(&mut self) {
        let now = Instant::now();
        while self.heap.peek().is_some_and(|Reverse(entry)| entry.0.0 <= now) {
            let callback = self.heap.pop().and_then(|Reverse(entry)| entry.1.take());
            callback.into_iter().for_each(|callback| callback());
        }
    }

    fn fired(&self) -> u64 {
        self.fired.get()
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.0 == other.0
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

/// A map in order, from which what was cancelled is removed.
pub(crate) struct Tree {
    map: BTreeMap<Key, Box<dyn FnOnce()>>,
    made: Instant,
    armed: u64,
    fired: Counter,
}

impl Timers for Tree {
    type Timer = Key;

    fn new() -> Tree {
        Tree { map: BTreeMap::new(), made: Instant::now(), armed: 0, fired: Counter::default() }
    }

    fn arm(&mut self, after: Duration) -> Key {
        let fired = self.fired.clone();
        self.armed += 1;
        let key = (self.made + after, self.armed);
        self.map.insert(key, Box::new(move || fired.add()));
        key
    }

    fn cancel(&mut self, key: Key) {
        assert!(self.map.remove(&key).is_some());
    }

    fn fire(&mut self) {
        let now = Instant::now();
        while self.map.first_key_value().is_some_and(|(key, _)| key.0 <= now) {
            let first = self.map.pop_first();
            first.into_iter().for_each(|(_, callback)| callback());
        }
    }

    fn fired(&self) -> u64 {
        self.fired.get()
    }
}
