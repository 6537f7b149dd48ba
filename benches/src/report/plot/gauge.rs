//! A target's figure on one small line: where it lies from the target, and how sure that is. Left of the target is the right
//! side, also where more is better.

use super::canvas::{Scale, drawing};
use super::theme::{AXIS, BAD, GOOD, MUTED, UNSURE};
use crate::report::targets::{Row, Verdict};

const WIDTH: i32 = 130;
const HEIGHT: i32 = 18;
/// What is shown is from half of the target to twice it; what is further out is at the end.
const SPAN: f64 = 2.0;

/// Nothing without a figure or a target, or where that is 0.
pub(crate) fn gauge(row: &Row) -> Option<String> {
    let (value, wanted) = (row.value?, row.target?);
    if wanted <= 0.0 || !value.median.is_finite() {
        return None;
    }
    let colour = match row.verdict {
        Verdict::Met => GOOD,
        Verdict::Even => UNSURE,
        _ => BAD,
    };
    let label = format!("{} against {}", row.measured(), row.wanted());
    Some(drawing((WIDTH as u32, HEIGHT as u32), &label, |canvas| {
        let scale = Scale::log([1.0 / SPAN, SPAN], [6, WIDTH - 6]);
        let middle = HEIGHT / 2;
        canvas.line((0, middle), (WIDTH, middle), AXIS, 1);
        let target = scale.at(1.0);
        canvas.line((target, 1), (target, HEIGHT - 1), MUTED, 1);
        let at = |figure: f64| scale.at(if figure.is_finite() { figure / wanted } else { SPAN });
        canvas.line((at(value.low), middle), (at(value.high), middle), colour, 4);
        canvas.dot((at(value.median), middle), 4, colour);
    }))
}
