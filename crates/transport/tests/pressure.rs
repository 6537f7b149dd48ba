//! Watermarks, and "told" against "true".
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use millrun_transport::pressure::{InvalidLimits, Pressure, Signal, Watermarks};
use proptest::prelude::*;

#[test]
fn f_001_the_defaults_are_16_and_64_kib() {
    // Also E-009: KiB, not MB.
    assert_eq!(Watermarks::default(), Watermarks { low: 16_384, high: 65_536 });
}

#[test]
fn f_002_one_mark_alone_gives_the_other() {
    assert_eq!(Watermarks::from_high(10), Watermarks { low: 2, high: 10 });
    assert_eq!(Watermarks::from_high(3), Watermarks { low: 0, high: 3 });
    assert_eq!(Watermarks::from_high(0), Watermarks { low: 0, high: 0 });
    assert_eq!(Watermarks::from_low(10), Watermarks { low: 10, high: 40 });
    assert_eq!(Watermarks::from_low(usize::MAX).high, usize::MAX);
}

#[test]
fn f_003_low_above_high_is_refused() {
    let wrong = Watermarks { low: 11, high: 10 };
    assert_eq!(Watermarks::new(11, 10), Err(InvalidLimits(wrong)));
    assert_eq!(wrong.check(), Err(InvalidLimits(wrong)));
    assert_eq!(Watermarks::new(10, 10), Ok(Watermarks { low: 10, high: 10 }));
    assert_eq!(
        InvalidLimits(wrong).to_string(),
        "expected low <= high, got low = 11 and high = 10"
    );
}

#[test]
fn f_004_above_high_pauses_at_high_does_not() {
    let marks = Watermarks::from_high(100);
    let mut pressure = Pressure::new();
    assert!(!pressure.update(100, marks));
    assert_eq!(pressure.settle(), None);
    assert!(pressure.update(101, marks));
    assert_eq!(pressure.settle(), Some(Signal::Pause));
    // F-006: not again.
    assert!(!pressure.update(500, marks));
    assert_eq!(pressure.settle(), None);
}

#[test]
fn f_007_at_low_resumes_above_it_does_not() {
    let marks = Watermarks::from_high(100);
    let mut pressure = Pressure::new();
    pressure.update(101, marks);
    pressure.settle();
    assert!(!pressure.update(26, marks));
    assert!(pressure.is_paused());
    assert!(pressure.update(25, marks));
    assert_eq!(pressure.settle(), Some(Signal::Resume));
}

#[test]
fn f_009_changed_limits_are_checked_in_both_directions() {
    let mut pressure = Pressure::new();
    pressure.update(50, Watermarks::from_high(100));
    assert!(pressure.update(50, Watermarks::from_high(40)));
    assert_eq!(pressure.settle(), Some(Signal::Pause));
    // D-11: asyncio would leave the writer stuck here.
    assert!(pressure.update(50, Watermarks { low: 50, high: 100 }));
    assert_eq!(pressure.settle(), Some(Signal::Resume));
}

#[test]
fn f_010_high_zero_pauses_on_any_byte_and_resumes_at_empty() {
    let marks = Watermarks::from_high(0);
    let mut pressure = Pressure::new();
    assert!(pressure.update(1, marks));
    assert_eq!(pressure.settle(), Some(Signal::Pause));
    assert!(!pressure.update(1, marks));
    assert!(pressure.update(0, marks));
    assert_eq!(pressure.settle(), Some(Signal::Resume));
}

#[test]
fn a_new_protocol_is_told_what_is_true() {
    let marks = Watermarks::from_high(10);
    let mut pressure = Pressure::new();
    pressure.update(11, marks);
    assert_eq!(pressure.settle(), Some(Signal::Pause));
    pressure.handle_new_protocol();
    assert_eq!(pressure.settle(), Some(Signal::Pause));
    pressure.update(0, marks);
    pressure.handle_new_protocol();
    assert_eq!(pressure.settle(), None, "resume never comes before pause");
}

#[test]
fn the_text_form_tells_what_is_true_and_whether_it_was_told() {
    let marks = Watermarks::from_high(10);
    let mut pressure = Pressure::new();
    assert_eq!(format!("{pressure:?}"), "Pressure(open)");
    pressure.update(11, marks);
    assert_eq!(format!("{pressure:?}"), "Pressure(paused, not told)");
    pressure.settle();
    assert_eq!(format!("{pressure:?}"), "Pressure(paused)");
}

#[derive(Clone, Debug)]
enum Step {
    Size(usize),
    Limits(usize, usize),
    Settle,
    NewProtocol,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..40_usize).prop_map(Step::Size),
        2 => (0..30_usize, 0..30_usize).prop_map(|(low, high)| Step::Limits(low, high)),
        4 => Just(Step::Settle),
        1 => Just(Step::NewProtocol),
    ]
}

proptest! {
    /// Invariant 5, F-008.
    #[test]
    fn f_008_pause_and_resume_strictly_alternate(steps in prop::collection::vec(step(), 0..60)) {
        let mut pressure = Pressure::new();
        let (mut low, mut high, mut size) = (5, 15, 0);
        // The model: hysteresis in one line, and the signals that this protocol got.
        let mut above = false;
        let mut signals = Vec::new();
        for step in steps {
            match step {
                Step::Size(n) => size = n,
                Step::Limits(l, h) => {
                    if Watermarks::new(l, h).is_ok() {
                        (low, high) = (l, h);
                    }
                }
                Step::Settle => signals.extend(pressure.settle()),
                Step::NewProtocol => {
                    pressure.handle_new_protocol();
                    signals.clear();
                }
            }
            pressure.update(size, Watermarks { low, high });
            above = size > high || (above && size > low);
            prop_assert_eq!(pressure.is_paused(), above);
            prop_assert_eq!(pressure.is_unsettled(), above != (signals.len() % 2 == 1));
            for (i, signal) in signals.iter().enumerate() {
                prop_assert_eq!(*signal, [Signal::Pause, Signal::Resume][i % 2]);
            }
        }
    }
}
