//! Horizontal bars, one for each server, the best on top; ours are the ones with names in bold.

use super::canvas::{Canvas, Scale, Side, Type, drawing};
use super::theme::{AXIS, Colour, GRID, INK, MUTED, is_ours, of_peer};
use crate::report::stats::Estimate;

/// One bar.
#[derive(Debug, Clone)]
pub(super) struct Bar {
    pub(super) peer: String,
    pub(super) value: Estimate,
    /// The figure in words, right of the bar.
    pub(super) text: String,
}

/// What the bars are of.
#[derive(Debug, Clone)]
pub(super) struct Bars {
    pub(super) title: String,
    /// What is below the axis.
    pub(super) axis: String,
    pub(super) log: bool,
    /// Bars are cut here, with a mark; only figures tell by how much.
    pub(super) cap: f64,
    /// A line through all bars.
    pub(super) reference: Option<f64>,
    pub(super) bars: Vec<Bar>,
    pub(super) tick: fn(f64) -> String,
    /// The smaller the better.
    pub(super) less_is_better: bool,
}

const WIDTH: i32 = 560;
const LABELS: i32 = 128;
const FIGURES: i32 = 142;
const ROW: i32 = 22;
const THICK: i32 = 12;
const TOP: i32 = 34;
const BOTTOM: i32 = 40;

const PLOT: [i32; 2] = [LABELS, WIDTH - FIGURES];

impl Bars {
    /// As SVG; nothing when there is no bar with a figure.
    pub(super) fn svg(mut self) -> Option<String> {
        self.bars.retain(|bar| bar.value.median.is_finite());
        if self.log {
            self.bars.retain(|bar| bar.value.median > 0.0);
        }
        let sign = if self.less_is_better { 1.0 } else { -1.0 };
        self.bars.sort_by(|one, other| {
            (sign * one.value.median).total_cmp(&(sign * other.value.median))
        });
        if self.bars.is_empty() {
            return None;
        }
        let rows = i32::try_from(self.bars.len()).unwrap_or(i32::MAX / ROW);
        let height = TOP + rows * ROW + BOTTOM;
        let label = self.spoken();
        Some(drawing((WIDTH as u32, height as u32), &label, |canvas| {
            let bottom = TOP + rows * ROW;
            let scale = self.scale();
            canvas.text(&self.title, (0, 12), set(INK, 13.0, true, Side::Left));
            self.draw_axis(canvas, &scale, bottom);
            for (bar, row) in self.bars.iter().zip(0..) {
                self.draw_bar(canvas, &scale, bar, TOP + row * ROW + ROW / 2);
            }
            if let Some(reference) = self.reference {
                let x = scale.at(reference);
                canvas.line((x, TOP - 4), (x, bottom), MUTED, 1);
            }
        }))
    }

    fn scale(&self) -> Scale {
        let ends = self.bars.iter().map(|bar| bar.value.high.max(bar.value.median));
        let most = ends.filter(|end| end.is_finite()).fold(0.0, f64::max);
        let most = most.max(self.reference.unwrap_or(0.0) * 1.1).min(self.cap);
        if self.log {
            let least = self.bars.iter().map(|bar| bar.value.median).fold(f64::INFINITY, f64::min);
            // Whole decades, so that the length of a bar means the same in each plot of a kind.
            let low = 10_f64.powf((least / 1.5).log10().floor());
            Scale::log([low, most * 1.05], PLOT)
        } else {
            Scale::linear([0.0, most], PLOT)
        }
    }

    fn draw_axis(&self, canvas: &mut Canvas<'_>, scale: &Scale, bottom: i32) {
        for tick in scale.ticks() {
            let x = scale.at(tick);
            canvas.line((x, TOP), (x, bottom), GRID, 1);
            let place = (x, bottom + 11);
            canvas.text(&(self.tick)(tick), place, set(MUTED, 11.0, false, Side::Middle));
        }
        canvas.line((PLOT[0], TOP), (PLOT[0], bottom), AXIS, 1);
        let place = (PLOT[0], bottom + 28);
        canvas.text(&self.axis, place, set(MUTED, 11.0, false, Side::Left));
    }

    fn draw_bar(&self, canvas: &mut Canvas<'_>, scale: &Scale, bar: &Bar, y: i32) {
        let (ours, colour) = (is_ours(&bar.peer), of_peer(&bar.peer));
        let name = if ours { INK } else { MUTED };
        canvas.text(&bar.peer, (LABELS - 8, y), set(name, 12.0, ours, Side::Right));
        canvas.text(&bar.text, (WIDTH, y), set(name, 11.5, ours, Side::Right));
        let end = scale.at(bar.value.median);
        let (top, bottom) = (y - THICK / 2, y + THICK / 2);
        canvas.bar((PLOT[0], top), (end.max(PLOT[0] + 1), bottom), colour);
        if bar.value.median > self.cap {
            // Two gaps: the bar goes on.
            for x in [end - 8, end - 14] {
                canvas.line((x - 3, bottom + 2), (x + 3, top - 2), GRID, 3);
            }
            return;
        }
        let (low, high) = (scale.at(bar.value.low), scale.at(bar.value.high));
        if high > low + 1 && bar.value.low.is_finite() && bar.value.high.is_finite() {
            canvas.line((low, y), (high, y), INK, 1);
            for x in [low, high] {
                canvas.line((x, y - 3), (x, y + 3), INK, 1);
            }
        }
    }

    fn spoken(&self) -> String {
        let bars: Vec<String> =
            self.bars.iter().map(|bar| format!("{} {}", bar.peer, bar.text)).collect();
        format!("{}: {}", self.title, bars.join("; "))
    }
}

pub(super) fn set(colour: Colour, pixels: f64, bold: bool, side: Side) -> Type {
    Type { colour, pixels, bold, side }
}
