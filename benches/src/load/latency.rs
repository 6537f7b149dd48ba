//! How long messages took.

use hdrhistogram::Histogram;

use super::{Failure, Outcome};
use crate::report::Latency;

/// What takes longer counts as this: a minute.
const LONGEST: u64 = 60_000_000_000;

#[derive(Debug)]
pub(super) struct Latencies {
    histogram: Histogram<u64>,
    /// The last value, and how often it came in a row: messages that came together were most often sent together.
    last: u64,
    count: u64,
}

impl Latencies {
    pub(super) fn new() -> Outcome<Self> {
        // The cells are there from the beginning: nothing is allocated while it records.
        let histogram = Histogram::new_with_bounds(1, LONGEST, 2);
        let histogram =
            histogram.map_err(|error| Failure::new(format!("the histogram: {error}")))?;
        Ok(Self { histogram, last: 0, count: 0 })
    }

    pub(super) fn record(&mut self, nanos: u64) {
        if nanos != self.last {
            self.settle();
            self.last = nanos;
        }
        self.count += 1;
    }

    /// As the report has it; `rate` is what was asked for, 0 for none.
    pub(super) fn report(&mut self, rate: u64) -> Latency {
        self.settle();
        let recorded = self.histogram.iter_recorded();
        let buckets = recorded
            .map(|cell| (cell.value_iterated_to(), cell.count_since_last_iteration()))
            .collect();
        Latency { rate, buckets }
    }

    fn settle(&mut self) {
        self.histogram.saturating_record_n(self.last, self.count);
        self.count = 0;
    }
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
}
