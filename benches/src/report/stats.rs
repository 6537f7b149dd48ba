//! Figures from windows, and how sure they are.
//!
//! A figure is a median of rounds with an interval for it that assumes nothing about how rounds are spread: two of the sorted
//! values, so far apart that the median of all possible rounds is between them in 95 of 100 runs. Each value is above
//! that median with probability 1/2, so how many are above is binomial, and that alone tells which two. Fewer than
//! [`ENOUGH`] rounds can't give 95: then it is the smallest and the largest, and [`Estimate::coverage`] tells what that is worth.
//!
//! Two servers are compared by the ratio of each round's windows, which ran one after the other: what drifts meanwhile
//! (clock, neighbours) cancels out. A ratio whose interval holds 1 is [`Verdict::Even`]: no conclusion.

use super::{Latency, ServerResult, Window};

/// How sure an interval is to be, if there are rounds enough.
pub const COVERAGE: f64 = 0.95;

/// From so many rounds on, an interval reaches [`COVERAGE`]: 1 - 2/2^6 = 0.97, where 1 - 2/2^5 = 0.94.
pub const ENOUGH: usize = 6;

/// Fewer rounds never end in a conclusion.
pub const FEWEST: usize = 3;

/// A median, and where it lies with some certainty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The median of the rounds.
    pub median: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
    /// How many rounds there were.
    pub rounds: usize,
    /// The probability with which such an interval holds the true median.
    pub coverage: f64,
}

/// What a ratio says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Surely below 1.
    Less,
    /// 1 is within the noise.
    Even,
    /// Surely above 1.
    More,
}

impl Estimate {
    /// Of these values, in any order; those that are not finite do not count. Nothing if there are none.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let (skip, coverage) = ends(sorted.len());
        Some(Self {
            median: f64::midpoint(sorted[last / 2], sorted[last.div_ceil(2)]),
            low: sorted[skip],
            high: sorted[last - skip],
            rounds: sorted.len(),
            coverage,
        })
    }

    /// Of a ratio: which side of 1 it is on, if that is certain.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.rounds < FEWEST {
            Verdict::Even
        } else if self.low > 1.0 {
            Verdict::More
        } else if self.high < 1.0 {
            Verdict::Less
        } else {
            Verdict::Even
        }
    }

    /// This one divided by another that was *not* measured beside it: the widest interval that both allow.
    #[must_use]
    pub fn over(&self, other: &Self) -> Self {
        Self {
            median: self.median / other.median,
            low: self.low / other.high,
            high: self.high / other.low,
            rounds: self.rounds.min(other.rounds),
            coverage: self.coverage.min(other.coverage),
        }
    }
}

/// How many values to leave out at each end, and how sure what is left then is.
fn ends(count: usize) -> (usize, f64) {
    let mut term = 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let mut coverage = 1.0 - 2.0 * term;
    let mut outside = term;
    let mut skip = 0;
    // `outside`: the probability that at most `skip` of all values are below the median. It ends by itself: with half of the
    // values left out at each end, nothing is certain.
    loop {
        term *= (count - skip) as f64 / (skip + 1) as f64;
        outside += term;
        let narrower = 1.0 - 2.0 * outside;
        if narrower < COVERAGE {
            break;
        }
        skip += 1;
        coverage = narrower;
    }
    (skip, coverage.max(0.0))
}

impl Window {
    /// CPU time of the server per unit, in microseconds; not finite when nothing was done.
    #[must_use]
    pub fn cpu_per_unit(&self) -> f64 {
        self.server_cpu_ns as f64 / 1e3 / self.units as f64
    }

    /// Units a second.
    #[must_use]
    pub fn throughput(&self) -> f64 {
        self.units as f64 * 1e9 / self.wall_ns as f64
    }

    /// How much of one core the server used.
    #[must_use]
    pub fn server_share(&self) -> f64 {
        self.server_cpu_ns as f64 / self.wall_ns as f64
    }

    /// How much of one core the load used: near 1, it is the load that limits the throughput.
    #[must_use]
    pub fn load_share(&self) -> f64 {
        self.load_cpu_ns as f64 / self.wall_ns as f64
    }

    /// Whether others used more of the machine than a figure bears: a tenth of a core, and three of the kernel's ticks (10 ms
    /// each), since their time is known no finer.
    #[must_use]
    pub fn is_disturbed(&self) -> bool {
        self.foreign_cpu_ns > self.wall_ns / 10 + 30_000_000
    }
}

/// A figure of a server over its rounds.
#[must_use]
pub fn estimate(server: &ServerResult, figure: fn(&Window) -> f64) -> Option<Estimate> {
    let values: Vec<f64> = server.rounds.iter().map(figure).collect();
    Estimate::of(&values)
}

/// A figure of one server relative to another's, from windows of the same round.
#[must_use]
pub fn paired(
    server: &ServerResult,
    other: &ServerResult,
    figure: fn(&Window) -> f64,
) -> Option<Estimate> {
    let ratios: Vec<f64> =
        server.rounds.iter().zip(&other.rounds).map(|(a, b)| figure(a) / figure(b)).collect();
    Estimate::of(&ratios)
}

/// The 99th percentiles of two servers (or of one in two scenarios of a group), round by round.
#[must_use]
pub fn paired_tails(server: &ServerResult, other: &ServerResult) -> Option<Estimate> {
    let ratios: Vec<f64> =
        server.tails.iter().zip(&other.tails).map(|(a, b)| *a as f64 / *b as f64).collect();
    Estimate::of(&ratios)
}

impl Latency {
    /// How many messages were timed.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// The time within which this part (0 to 1) of all messages came back, in nanoseconds; nothing if there were none.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<u64> {
        // At least one message, however small the part.
        let wanted = ((self.count() as f64 * part).ceil() as u64).max(1);
        let mut seen = 0;
        self.buckets.iter().find_map(|(bound, count)| {
            seen += count;
            (seen >= wanted).then_some(*bound)
        })
    }

    /// Takes in another window of the same server.
    pub fn merge(&mut self, other: &Self) {
        let mut all: std::collections::BTreeMap<u64, u64> = self.buckets.iter().copied().collect();
        for (bound, count) in &other.buckets {
            *all.entry(*bound).or_default() += count;
        }
        self.buckets = all.into_iter().collect();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn estimate_of(values: &[f64]) -> Estimate {
        Estimate::of(values).unwrap()
    }

    #[test]
    fn nine_rounds_leave_out_one_at_each_end() {
        let found = estimate_of(&[9.0, 1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0, 5.0]);
        assert_eq!((found.low, found.median, found.high, found.rounds), (2.0, 5.0, 8.0, 9));
        assert!((found.coverage - (1.0 - 20.0 / 512.0)).abs() < 1e-12, "{}", found.coverage);
    }

    #[test]
    fn few_rounds_keep_their_ends_and_say_what_that_is_worth() {
        let found = estimate_of(&[3.0, 1.0, 2.0]);
        assert_eq!((found.low, found.median, found.high), (1.0, 2.0, 3.0));
        assert!((found.coverage - 0.75).abs() < 1e-12);
        assert!(estimate_of(&[1.0; ENOUGH]).coverage >= COVERAGE);
        assert!(estimate_of(&[1.0; ENOUGH - 1]).coverage < COVERAGE);
    }

    #[test]
    fn a_verdict_needs_an_interval_that_leaves_out_one() {
        assert_eq!(estimate_of(&[1.1, 1.2, 1.3]).verdict(), Verdict::More);
        assert_eq!(estimate_of(&[0.7, 0.8, 0.9]).verdict(), Verdict::Less);
        assert_eq!(estimate_of(&[0.9, 1.2, 1.3]).verdict(), Verdict::Even);
        assert_eq!(estimate_of(&[1.0, 1.2, 1.3]).verdict(), Verdict::Even);
    }

    #[test]
    fn two_rounds_never_conclude() {
        assert_eq!(estimate_of(&[5.0, 5.1]).verdict(), Verdict::Even);
    }

    #[test]
    fn what_is_not_finite_does_not_count() {
        assert_eq!(Estimate::of(&[f64::NAN, f64::INFINITY]), None);
        assert_eq!(estimate_of(&[f64::NAN, 2.0]).median, 2.0);
    }

    fn window(units: u64, server_cpu_ns: u64) -> Window {
        let wall_ns = 1_000_000_000;
        Window { units, bytes: 0, wall_ns, server_cpu_ns, load_cpu_ns: 0, foreign_cpu_ns: 0 }
    }

    fn server(rounds: Vec<Window>) -> ServerResult {
        let (peer, connections) = ("made up".to_owned(), 1);
        ServerResult { peer, connections, rounds, latency: None, tails: Vec::new(), memory: None }
    }

    #[test]
    fn what_drifts_cancels_out_of_paired_ratios() {
        // Each round costs twice the last; one server is always 10 % above the other.
        let windows = |cost: u64| (0..9).map(|n| window(100, cost << n)).collect();
        let found = paired(&server(windows(1100)), &server(windows(1000)), Window::cpu_per_unit);
        let found = found.unwrap();
        assert!((found.low - 1.1).abs() < 1e-9 && (found.high - 1.1).abs() < 1e-9, "{found:?}");
        // Unpaired, nothing could be said.
        let alone = |cost| estimate(&server(windows(cost)), Window::cpu_per_unit).unwrap();
        assert_eq!(alone(1100).over(&alone(1000)).verdict(), Verdict::Even);
    }

    #[test]
    fn a_window_in_which_nothing_was_done_does_not_count() {
        let rounds = vec![window(0, 5), window(10, 20_000)];
        assert_eq!(estimate(&server(rounds), Window::cpu_per_unit).unwrap().rounds, 1);
    }

    #[test]
    fn foreign_load_disturbs_from_a_tenth_of_a_core() {
        let with = |foreign_cpu_ns| Window { foreign_cpu_ns, ..window(1, 1) };
        assert!(!with(130_000_000).is_disturbed());
        assert!(with(130_000_001).is_disturbed());
    }

    #[test]
    fn quantiles_are_bounds_of_buckets() {
        let latency = Latency { rate: 0, buckets: vec![(10, 50), (20, 49), (30, 1)] };
        let at = |part| latency.quantile(part).unwrap();
        assert_eq!(
            [at(0.0), at(0.5), at(0.51), at(0.99), at(0.999), at(1.0)],
            [10, 10, 20, 20, 30, 30]
        );
        assert_eq!(Latency { rate: 0, buckets: Vec::new() }.quantile(0.5), None);
    }

    #[test]
    fn merged_latencies_count_both() {
        let mut one = Latency { rate: 7, buckets: vec![(10, 1), (20, 2)] };
        one.merge(&Latency { rate: 7, buckets: vec![(5, 1), (20, 1)] });
        assert_eq!(one.buckets, [(5, 1), (10, 1), (20, 3)]);
    }

    /// How often the median is between two of `count` values, by counting every way in which they can lie about it.
    fn counted(count: usize, skip: usize) -> f64 {
        let inside = (0_u32..1 << count)
            .filter(|above| {
                let above = above.count_ones() as usize;
                above > skip && count - above > skip
            })
            .count();
        inside as f64 / f64::from(1_u32 << count)
    }

    #[test]
    fn an_interval_is_as_sure_as_counting_says_and_the_next_is_not_sure_enough() {
        for count in 1..=16 {
            let (skip, coverage) = ends(count);
            assert!((coverage - counted(count, skip)).abs() < 1e-9, "{count}: {coverage}");
            assert!(skip == 0 || coverage >= COVERAGE, "{count}");
            assert!(counted(count, skip + 1) < COVERAGE, "{count} could leave out more");
        }
    }

    proptest! {
        #[test]
        fn the_order_of_rounds_is_nothing(mut values in prop::collection::vec(0.1..10.0, 1..30)) {
            let before = estimate_of(&values);
            values.reverse();
            prop_assert_eq!(before, estimate_of(&values));
            values.sort_by(f64::total_cmp);
            let half = values.len() / 2;
            prop_assert!(values[(values.len() - 1) / 2] <= before.median && before.median <= values[half]);
            prop_assert!(before.low <= before.median && before.median <= before.high);
            // As many are left out below as above.
            let below = values.iter().filter(|value| **value < before.low).count();
            let above = values.iter().filter(|value| **value > before.high).count();
            prop_assert_eq!(below, above);
        }

        #[test]
        fn a_merged_quantile_is_the_one_of_all_values(
            first in prop::collection::vec(0_u64..50, 1..60),
            second in prop::collection::vec(0_u64..50, 0..60),
            part in 0.0..1.0_f64,
        ) {
            let of = |values: &[u64]| {
                let mut found = Latency { rate: 1, buckets: Vec::new() };
                for value in values {
                    found.merge(&Latency { rate: 1, buckets: vec![(*value, 1)] });
                }
                found
            };
            let mut merged = of(&first);
            merged.merge(&of(&second));
            let mut all: Vec<u64> = [first, second].concat();
            all.sort_unstable();
            let rank = ((all.len() as f64 * part).ceil() as usize).max(1);
            prop_assert_eq!(merged.quantile(part), Some(all[rank - 1]));
        }
    }
}
