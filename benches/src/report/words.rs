//! Numbers as they are read: three digits that matter, units that fit.

use super::stats::Estimate;

/// `1.02 (1.01 to 1.03)`; without the interval where there is none.
#[must_use]
pub fn ratio(ratio: &Estimate) -> String {
    let digits = if ratio.median >= 10.0 { 1 } else { 2 };
    if ratio.low == ratio.high {
        return format!("{:.digits$}", ratio.median);
    }
    format!("{:.digits$} ({:.digits$} to {:.digits$})", ratio.median, ratio.low, ratio.high)
}

/// Microseconds, as time.
#[must_use]
pub fn micros(micros: f64) -> String {
    time(micros * 1e3)
}

/// Nanoseconds, in the unit that fits.
#[must_use]
pub fn time(nanos: f64) -> String {
    let (value, unit) = in_unit(nanos);
    format!("{} {unit}", three(value))
}

/// The same for the ticks of an axis: `10 us`.
#[must_use]
pub fn short_time(nanos: f64) -> String {
    let (value, unit) = in_unit(nanos);
    format!("{} {unit}", short(value))
}

fn in_unit(nanos: f64) -> (f64, &'static str) {
    match nanos {
        n if n >= 1e9 => (n / 1e9, "s"),
        n if n >= 1e6 => (n / 1e6, "ms"),
        n if n >= 1e3 => (n / 1e3, "us"),
        n => (n, "ns"),
    }
}

/// How many times something is another: `0.97`, `12.3`.
#[must_use]
pub fn times(ratio: f64) -> String {
    if ratio < 9.995 { format!("{ratio:.2}") } else { three(ratio) }
}

/// For the ticks of an axis: `0.5`, `20`, `150k`, `2M`.
#[must_use]
pub fn short(value: f64) -> String {
    let (value, unit) = match value {
        v if v >= 1e9 => (v / 1e9, "G"),
        v if v >= 1e6 => (v / 1e6, "M"),
        v if v >= 1e3 => (v / 1e3, "k"),
        v => (v, ""),
    };
    let text = format!("{value:.2}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

/// What is counted: whole where it is, `1`, `0.016`, `12,345`.
#[must_use]
pub fn count(value: f64) -> String {
    if value.abs() < 100.0 && value == value.round() {
        format!("{value:.0}")
    } else {
        thousands(value)
    }
}

/// Whole numbers from a hundred on, with commas: `12,345`.
#[must_use]
pub fn thousands(value: f64) -> String {
    if !value.is_finite() || value.abs() < 100.0 {
        return three(value);
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = String::from(if value < 0.0 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three digits: `0.123`, `1.23`, `12.3`, `123`. What is no number is `-`.
#[must_use]
pub fn three(value: f64) -> String {
    match value.abs() {
        a if !a.is_finite() => "-".to_owned(),
        a if a >= 100.0 => format!("{value:.0}"),
        a if a >= 10.0 => format!("{value:.1}"),
        a if a >= 1.0 || a == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// More than one of a scenario's units.
#[must_use]
pub fn plural(unit: &str) -> String {
    match unit {
        "KiB" => unit.to_owned(),
        "delivery" => "deliveries".to_owned(),
        _ => format!("{unit}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_at_a_glance() {
        assert_eq!([0.0, 0.25, 1500.0, 2e6].map(short), ["0", "0.25", "1.5k", "2M"]);
        assert_eq!([99.0, 1234567.0, -1000.0].map(thousands), ["99.0", "1,234,567", "-1,000"]);
        assert_eq!([0.0, 0.0156, 1234.0].map(count), ["0", "0.016", "1,234"]);
        assert_eq!([12.0, 1234.0, 2.5e6].map(time), ["12.0 ns", "1.23 us", "2.50 ms"]);
        assert_eq!([f64::NAN, 0.5].map(three), ["-", "0.500"]);
    }
}
