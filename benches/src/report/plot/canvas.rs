//! A drawing that becomes SVG: text that stays text, and scales from values to places.

use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, IntoFont, ShapeStyle, TextStyle};

use super::theme::Colour;

/// A place, in pixels from the upper left.
pub(super) type Place = (i32, i32);

/// Draws into a text.
pub(super) struct Canvas<'a> {
    backend: SVGBackend<'a>,
}

/// How a text is set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Type {
    pub(super) colour: Colour,
    pub(super) pixels: f64,
    pub(super) bold: bool,
    pub(super) side: Side,
}

/// Which part of a text is at its place; its middle in height always is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side {
    Left,
    Middle,
    Right,
}

/// The backend divides sizes by this.
const BACKEND_SCALE: f64 = 1.24;

/// Makes a drawing of that size; `label` is what is said to those who can't see it.
pub(super) fn drawing(size: (u32, u32), label: &str, draw: impl FnOnce(&mut Canvas<'_>)) -> String {
    let mut svg = String::new();
    {
        let mut canvas = Canvas { backend: SVGBackend::with_string(&mut svg, size) };
        draw(&mut canvas);
        // Writing to a text can't fail; dropping the backend closes the element.
        let _ = canvas.backend.present();
    }
    let label = crate::report::html::escaped(label);
    svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{label}\" "), 1)
}

impl Canvas<'_> {
    pub(super) fn line(&mut self, from: Place, to: Place, colour: Colour, width: u32) {
        let _ = self.backend.draw_line(from, to, &stroke(colour, width));
    }

    pub(super) fn path(&mut self, places: Vec<Place>, colour: Colour, width: u32) {
        let _ = self.backend.draw_path(places, &stroke(colour, width));
    }

    pub(super) fn bar(&mut self, from: Place, to: Place, colour: Colour) {
        let _ = self.backend.draw_rect(from, to, &colour.rgb().filled(), true);
    }

    pub(super) fn dot(&mut self, at: Place, radius: u32, colour: Colour) {
        let _ = self.backend.draw_circle(at, radius, &colour.rgb().filled(), true);
    }

    pub(super) fn text(&mut self, text: &str, at: Place, set: Type) {
        let style = if set.bold { FontStyle::Bold } else { FontStyle::Normal };
        let font = ("sans-serif", set.pixels * BACKEND_SCALE, style).into_font();
        let side = match set.side {
            Side::Left => HPos::Left,
            Side::Middle => HPos::Center,
            Side::Right => HPos::Right,
        };
        let colour = set.colour.rgb();
        let style = TextStyle::from(font).color(&colour).pos(Pos::new(side, VPos::Center));
        // The backend escapes what means something to SVG, but not what SVG can't hold at all.
        let text: String = text.chars().filter(|letter| !letter.is_control()).collect();
        let _ = self.backend.draw_text(&text, &style, at);
    }
}

fn stroke(colour: Colour, width: u32) -> ShapeStyle {
    colour.rgb().stroke_width(width)
}

/// From values to pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    log: bool,
    from: i32,
    to: i32,
}

impl Scale {
    /// Values from `low` to `high` at pixels `from` to `to`. A range that is none is widened.
    pub(super) fn linear([low, high]: [f64; 2], [from, to]: [i32; 2]) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self { low, high, log: false, from, to }
    }

    /// The same by their logarithm; the ends have to be positive.
    pub(super) fn log([low, high]: [f64; 2], [from, to]: [i32; 2]) -> Self {
        let low = if low > 0.0 { low } else { 1.0 };
        let high = if high > low { high } else { low * 10.0 };
        Self { low, high, log: true, from, to }
    }

    /// The place of a value; what lies outside is at the nearer end.
    pub(super) fn at(&self, value: f64) -> i32 {
        let value = value.clamp(self.low, self.high);
        let share = if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        let share = if share.is_finite() { share } else { 0.0 };
        self.from + (share * f64::from(self.to - self.from)).round() as i32
    }

    /// Round values, some five of them.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if self.log { self.log_ticks() } else { self.linear_ticks() }
    }

    fn linear_ticks(&self) -> Vec<f64> {
        let rough = (self.high - self.low) / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * power)
            .find(|step| *step >= rough)
            .unwrap_or(rough);
        let first = (self.low / step).ceil() as i64;
        (first..).map(|n| n as f64 * step).take_while(|tick| *tick <= self.high).take(20).collect()
    }

    fn log_ticks(&self) -> Vec<f64> {
        let decades = (self.high / self.low).log10();
        let steps: &[f64] = if decades > 2.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let first = self.low.log10().floor() as i32;
        (first..=first + 15)
            .flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)))
            .filter(|tick| *tick >= self.low * 0.999 && *tick <= self.high * 1.001)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(Scale::linear([0.0, 4.0], [0, 100]).ticks(), [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(Scale::log([1.0, 1000.0], [0, 100]).ticks(), [1.0, 10.0, 100.0, 1000.0]);
        assert_eq!(Scale::log([1.0, 10.0], [0, 100]).ticks(), [1.0, 2.0, 5.0, 10.0]);
    }

    #[test]
    fn a_value_outside_is_at_the_nearer_end() {
        let scale = Scale::log([1.0, 100.0], [0, 200]);
        assert_eq!(
            [0.0, 1.0, 10.0, 100.0, 1e9].map(|value| scale.at(value)),
            [0, 0, 100, 200, 200]
        );
    }

    #[test]
    fn no_range_is_no_reason_to_fail() {
        for scale in [Scale::linear([0.0, 0.0], [0, 10]), Scale::log([0.0, f64::NAN], [0, 10])] {
            assert!(!scale.ticks().is_empty());
            assert_eq!(scale.at(0.0), 0);
            scale.at(f64::NAN);
        }
    }
}
