//! The plots of a report, as SVG by plotters: `figures` says what is in each, `bars` and `lines` draw, `theme` has the colours.

mod bars;
mod canvas;
mod figures;
mod gauge;
mod lines;
pub(crate) mod theme;

use super::Report;

pub(crate) use figures::{cpu, latency, memory, micro, scaling, throughput};
pub(crate) use gauge::gauge;

/// The plots that say most, each for a file of its own: a name without its ending, and the SVG, which has its ground with it and
/// follows the reader's preference for dark.
#[must_use]
pub fn files(report: &Report) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut add = |name: String, svg: Option<String>| {
        files.extend(svg.map(|svg| (name, alone(&svg))));
    };
    for scenario in &report.scenarios {
        let name = super::html::anchor(&scenario.name);
        add(format!("cpu-{name}"), cpu(scenario));
        add(format!("throughput-{name}"), throughput(scenario));
        add(format!("latency-{name}"), latency(scenario));
        add(format!("memory-{name}"), memory(scenario));
    }
    add("scaling".to_owned(), scaling(report));
    files
}

/// With what a page would give it: the ground, the type, the dark colours.
fn alone(svg: &str) -> String {
    let style = format!(
        "<style>svg{{background:#fcfcfb;font-family:system-ui,sans-serif}}text{{font-family:inherit}}\n{}\
         @media (prefers-color-scheme: dark) {{ svg {{ background: #1a1a19 }} }}</style>",
        theme::dark_rules()
    );
    // Room around the drawing, which in a page is the page's.
    let framed = svg.find("viewBox=\"0 0 ").and_then(|at| {
        let rest = &svg[at + 13..];
        let (size, _) = rest.split_once('"')?;
        let (width, height) = size.split_once(' ')?;
        let (width, height): (u32, u32) = (width.parse().ok()?, height.parse().ok()?);
        let framed = format!("viewBox=\"-16 -12 {} {}\"", width + 32, height + 20);
        Some(svg.replacen(&svg[at..at + 13 + size.len() + 1], &framed, 1))
    });
    let svg = framed.unwrap_or_else(|| svg.to_owned());
    match svg.find('>') {
        Some(end) => format!("{}\n{style}{}", &svg[..=end], &svg[end + 1..]),
        None => svg,
    }
}
