//! How long messages took.
//!
//! A percentile far out is thrown by one hiccup of the machine: where it takes the server's core away for 3 ms, that is a hundredth of a
//! window of 300 ms, and the messages that queued meanwhile are its slowest hundredth. So a window at a rate is cut into slices, most of
//! which have no hiccup, and the 99th percentile of the middle one is what servers are compared by. What a server does to its
//! messages all the time, or many times a second, is in each slice; what it does rarely is in the percentiles of the whole
//! window, beside what the machine does.

use hdrhistogram::Histogram;

use super::{Failure, Outcome};
use crate::report::Latency;
use crate::report::stats::Estimate;

/// What takes longer counts as this: a minute.
const LONGEST: u64 = 60_000_000_000;

/// As long as a slice is, or a little more: on a shared machine hiccups of 2 to 3 ms came once or twice a second, so that nine slices of
/// ten have none; and ten messages of a slice are above its 99th percentile from 20,000 a second on.
const SLICE: u64 = 50_000_000;

/// What is compared of a slice.
const TAIL: f64 = 0.99;

#[derive(Debug)]
pub(super) struct Latencies {
    slices: Vec<Histogram<u64>>,
    /// How long a slice is, in nanoseconds.
    length: u64,
    /// The slice that the last value is of.
    slice: usize,
    /// The last value, and how often it came in a row: messages that came together were most often sent together.
    last: u64,
    count: u64,
}

impl Latencies {
    /// In one piece.
    pub(super) fn new() -> Outcome<Self> {
        Self::sliced(0)
    }

    /// In slices, of a window of so many nanoseconds.
    pub(super) fn sliced(nanos: u64) -> Outcome<Self> {
        let count = (nanos / SLICE).max(1);
        // The cells are there from the beginning: nothing is allocated while it records.
        let histogram = Histogram::new_with_bounds(1, LONGEST, 2);
        let histogram =
            histogram.map_err(|error| Failure::new(format!("the histogram: {error}")))?;
        let slices = (0..count).map(|_| histogram.clone()).collect();
        let length = nanos.div_ceil(count).max(1);
        Ok(Self { slices, length, slice: 0, last: 0, count: 0 })
    }

    /// One that was sent at no certain time.
    pub(super) fn record(&mut self, nanos: u64) {
        self.record_in(0, nanos);
    }

    /// One that was due so many nanoseconds after the start.
    pub(super) fn record_due(&mut self, due: u64, nanos: u64) {
        let slice = usize::try_from(due / self.length).unwrap_or(usize::MAX);
        self.record_in(slice.min(self.slices.len() - 1), nanos);
    }

    fn record_in(&mut self, slice: usize, nanos: u64) {
        if (slice, nanos) != (self.slice, self.last) {
            self.settle();
            (self.slice, self.last) = (slice, nanos);
        }
        self.count += 1;
    }

    /// As the report has it, of all slices; `rate` is what was asked for, 0 for none.
    pub(super) fn report(&mut self, rate: u64) -> Latency {
        self.settle();
        let mut all = Latency { rate, buckets: Vec::new() };
        self.slices.iter().for_each(|slice| all.merge(&latency(slice, rate)));
        all
    }

    /// The 99th percentile of a slice, in the median of those that have any messages.
    pub(super) fn tail(&mut self) -> Option<u64> {
        self.settle();
        let tails = self.slices.iter().filter_map(|slice| latency(slice, 0).quantile(TAIL));
        let tails: Vec<f64> = tails.map(|nanos| nanos as f64).collect();
        Estimate::of(&tails).map(|tail| tail.median as u64)
    }

    fn settle(&mut self) {
        self.slices[self.slice].saturating_record_n(self.last, self.count);
        self.count = 0;
    }
}

fn latency(histogram: &Histogram<u64>, rate: u64) -> Latency {
    let recorded = histogram.iter_recorded();
    let buckets = recorded
        .map(|cell| (cell.value_iterated_to(), cell.count_since_last_iteration()))
        .collect();
    Latency { rate, buckets }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_ascend_and_hold_all_that_was_recorded() {
        let mut latencies = Latencies::new().unwrap();
        for nanos in [5, 70, 1_000_003, 5, 5, u64::MAX] {
            latencies.record(nanos);
        }
        let Latency { rate, buckets } = latencies.report(9);
        assert_eq!((rate, buckets[0], buckets[1]), (9, (5, 3), (70, 1)));
        assert_eq!(buckets.len(), 4);
        let (bound, count) = buckets[2];
        assert!((1_000_003..1_010_003).contains(&bound) && count == 1);
        assert!(buckets[3].0 >= LONGEST && buckets[3].1 == 1);
    }

    #[test]
    fn a_hiccup_is_in_its_slice_and_not_in_the_tail() {
        // Six slices of which the third stood still for a while, and a fortieth of all messages waited for that.
        let window = 6 * SLICE;
        let mut latencies = Latencies::sliced(window).unwrap();
        let gap = window / 1200;
        for message in 0..1200 {
            let nanos = if (400..430).contains(&message) { 3_000_000 } else { 60 };
            latencies.record_due(message * gap, nanos);
        }
        assert_eq!(latencies.tail(), Some(60));
        let whole = latencies.report(1);
        assert_eq!(whole.count(), 1200);
        assert!(whole.quantile(0.99).unwrap() >= 3_000_000, "{whole:?}");
    }

    #[test]
    fn what_is_slow_all_the_time_is_in_the_tail() {
        let mut latencies = Latencies::sliced(4 * SLICE).unwrap();
        for message in 0..800 {
            latencies.record_due(message * SLICE / 200, if message % 50 == 0 { 120 } else { 60 });
        }
        assert_eq!(latencies.tail(), Some(120));
    }

    #[test]
    fn a_window_is_one_slice_at_least_and_has_no_message_beyond_its_last() {
        let mut latencies = Latencies::sliced(SLICE / 2).unwrap();
        assert_eq!(latencies.tail(), None);
        latencies.record_due(u64::MAX, 7);
        assert_eq!((latencies.slices.len(), latencies.tail()), (1, Some(7)));
        // Not a slice of what is left.
        let latencies = Latencies::sliced(3 * SLICE + SLICE / 2).unwrap();
        assert_eq!(latencies.slices.len(), 3);
        assert!(3 * latencies.length >= 3 * SLICE + SLICE / 2);
    }
}
