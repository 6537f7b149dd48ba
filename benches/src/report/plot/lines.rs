//! Lines, one for each server, named at their end.

use super::bars::set;
use super::canvas::{Canvas, Scale, Side, drawing};
use super::theme::{AXIS, GRID, INK, MUTED, is_ours, of_peer};

/// One server's line.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) peer: String,
    /// Ascending in the first.
    pub(super) points: Vec<(f64, f64)>,
}

/// What the lines are of.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    pub(super) title: String,
    pub(super) across: String,
    pub(super) up: String,
    /// Places across, with their names.
    pub(super) marks: Vec<(f64, String)>,
    pub(super) log_across: bool,
    pub(super) log_up: bool,
    pub(super) lines: Vec<Line>,
    pub(super) tick: fn(f64) -> String,
    /// Dots at the points: they are what was measured, the line is not.
    pub(super) dots: bool,
}

const WIDTH: i32 = 1140;
const LEFT: i32 = 66;
const NAMES: i32 = 150;
const TOP: i32 = 48;
const BOTTOM: i32 = 44;
const LEAST_HEIGHT: i32 = 300;
/// Between two names.
const APART: i32 = 15;

impl Lines {
    /// As SVG; nothing when no line has a point.
    pub(super) fn svg(mut self) -> Option<String> {
        for line in &mut self.lines {
            let log_up = self.log_up;
            line.points.retain(|(x, y)| x.is_finite() && y.is_finite() && (!log_up || *y > 0.0));
        }
        self.lines.retain(|line| !line.points.is_empty());
        // Ours last: on top.
        self.lines.sort_by_key(|line| is_ours(&line.peer));
        let names = i32::try_from(self.lines.len()).unwrap_or(0);
        if names == 0 {
            return None;
        }
        let bottom = TOP + LEAST_HEIGHT.max(names * APART + 40);
        let (across, up) = self.scales(bottom);
        let size = (WIDTH as u32, (bottom + BOTTOM) as u32);
        Some(drawing(size, &self.spoken(), |canvas| {
            canvas.text(&self.title, (0, 12), set(INK, 13.0, true, Side::Left));
            canvas.text(&self.up, (0, 32), set(MUTED, 11.0, false, Side::Left));
            self.draw_axes(canvas, &across, &up, bottom);
            for line in &self.lines {
                self.draw_line(canvas, &across, &up, line);
            }
            self.draw_names(canvas, &across, &up, bottom);
        }))
    }

    fn scales(&self, bottom: i32) -> (Scale, Scale) {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let ends = |part: fn(&(f64, f64)) -> f64| {
            let least = points().map(part).fold(f64::INFINITY, f64::min);
            let most = points().map(part).fold(f64::NEG_INFINITY, f64::max);
            [least, most]
        };
        let (x, y) = (ends(|point| point.0), ends(|point| point.1));
        let (wide, high) = ([LEFT, WIDTH - NAMES], [bottom, TOP]);
        let across = if self.log_across { Scale::log(x, wide) } else { Scale::linear(x, wide) };
        let up = if self.log_up {
            Scale::log([y[0] / 1.15, y[1] * 1.1], high)
        } else {
            Scale::linear([0.0, y[1] * 1.05], high)
        };
        (across, up)
    }

    fn draw_axes(&self, canvas: &mut Canvas<'_>, across: &Scale, up: &Scale, bottom: i32) {
        for tick in up.ticks() {
            let y = up.at(tick);
            canvas.line((LEFT, y), (WIDTH - NAMES, y), GRID, 1);
            canvas.text(&(self.tick)(tick), (LEFT - 8, y), set(MUTED, 11.0, false, Side::Right));
        }
        let last = self.lines.iter().flat_map(|line| &line.points).map(|point| point.0);
        let last = last.fold(f64::NEG_INFINITY, f64::max);
        for (value, name) in self.marks.iter().filter(|(value, _)| *value <= last) {
            let x = across.at(*value);
            canvas.line((x, bottom), (x, bottom + 4), AXIS, 1);
            canvas.text(name, (x, bottom + 14), set(MUTED, 11.0, false, Side::Middle));
        }
        canvas.line((LEFT, bottom), (WIDTH - NAMES, bottom), AXIS, 1);
        let place = ((LEFT + WIDTH - NAMES) / 2, bottom + 32);
        canvas.text(&self.across, place, set(MUTED, 11.0, false, Side::Middle));
    }

    fn draw_line(&self, canvas: &mut Canvas<'_>, across: &Scale, up: &Scale, line: &Line) {
        let colour = of_peer(&line.peer);
        let width = if is_ours(&line.peer) { 3 } else { 1 };
        let places: Vec<_> = line.points.iter().map(|(x, y)| (across.at(*x), up.at(*y))).collect();
        if self.dots || places.len() == 1 {
            for place in &places {
                canvas.dot(*place, width + 1, colour);
            }
        }
        canvas.path(places, colour, width);
    }

    /// At the right, each as near to its line's end as the others allow.
    fn draw_names(&self, canvas: &mut Canvas<'_>, across: &Scale, up: &Scale, bottom: i32) {
        let mut ends: Vec<(i32, i32, &str)> = self
            .lines
            .iter()
            .filter_map(|line| {
                let (x, y) = line.points.last()?;
                Some((up.at(*y), across.at(*x), line.peer.as_str()))
            })
            .collect();
        ends.sort_unstable();
        let wanted: Vec<i32> = ends.iter().map(|end| end.0).collect();
        for ((y, x, peer), place) in ends.into_iter().zip(spread_out(&wanted, [TOP, bottom])) {
            let (colour, ours) = (of_peer(peer), is_ours(peer));
            let left = WIDTH - NAMES;
            canvas.path(vec![(x + 4, y), (left + 6, y), (left + 22, place)], AXIS, 1);
            canvas.dot((left + 26, place), 4, colour);
            let name = if ours { INK } else { MUTED };
            canvas.text(peer, (left + 35, place), set(name, 12.0, ours, Side::Left));
        }
    }

    fn spoken(&self) -> String {
        let names: Vec<&str> = self.lines.iter().map(|line| line.peer.as_str()).collect();
        format!("{}: {}", self.title, names.join(", "))
    }
}

/// Places near the wanted ones (ascending), at least [`APART`] from each other, between the ends while they fit.
fn spread_out(wanted: &[i32], [top, bottom]: [i32; 2]) -> Vec<i32> {
    let mut places: Vec<i32> = wanted.to_vec();
    let mut least = top;
    for place in &mut places {
        *place = (*place).max(least);
        least = *place + APART;
    }
    let mut most = bottom;
    for place in places.iter_mut().rev() {
        *place = (*place).min(most);
        most = *place - APART;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_apart_and_inside() {
        let places = spread_out(&[0, 1, 2, 99, 100], [0, 100]);
        assert_eq!(places, [0, 15, 30, 85, 100]);
    }
}
