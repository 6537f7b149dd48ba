//! How long messages took.

use hdrhistogram::Histogram;

use super::{Failure, Outcome};
use crate::report::Latency;

/// What takes longer counts as this: a minute.
const LONGEST: u64 = 60_000_000_000;

#[derive(Debug)]
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(super) fn new() -> Outcome<Self> {
        // The cells are there from the beginning: nothing is allocated while it records.
        let histogram = Histogram::new_with_bounds(1, LONGEST, 2);
        Ok(Self(histogram.map_err(|error| Failure::new(format!("the histogram: {error}")))?))
    }

    pub(super) fn record(&mut self, nanos: u64) {
        self.0.saturating_record(nanos);
    }

    /// As the report has it; `rate` is what was asked for, 0 for none.
    pub(super) fn report(&self, rate: u64) -> Latency {
        let recorded = self.0.iter_recorded();
        let buckets = recorded
            .map(|cell| (cell.value_iterated_to(), cell.count_since_last_iteration()))
            .collect();
        Latency { rate, buckets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_ascend_and_hold_all_that_was_recorded() {
        let mut latencies = Latencies::new().unwrap();
        for nanos in [5, 5, 70, 1_000_003, u64::MAX] {
            latencies.record(nanos);
        }
        let Latency { rate, buckets } = latencies.report(9);
        assert_eq!((rate, buckets[0], buckets[1]), (9, (5, 2), (70, 1)));
        assert_eq!(buckets.len(), 4);
        let (bound, count) = buckets[2];
        assert!((1_000_003..1_010_003).contains(&bound) && count == 1);
        assert!(buckets[3].0 >= LONGEST && buckets[3].1 == 1);
    }
}
