//! A report as one page: it needs nothing beside itself, no script, and follows the reader's preference for light or dark.
//!
//! From the top: what was to be reached and whether it was, all servers in all scenarios at a glance, how they scale, each scenario
//! with its plots, the small benches, the counts, and the raw figures with where they come from.

mod origin;
mod scenarios;
mod tables;

use std::fmt::Write as _;

use super::{Report, plot, targets};

/// The page.
#[must_use]
pub fn page(report: &Report) -> String {
    let mut page =
        String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    let _ = write!(
        page,
        "<title>Millrun, measured {}</title>\n<style>\n{}{}</style>\n</head>\n<body>\n",
        escaped(&report.machine.date),
        include_str!("style.css"),
        plot::theme::dark_rules()
    );
    let mut main = String::new();
    let mut sections: Vec<(&str, &str)> = Vec::new();
    for (name, title, body) in [
        ("targets", "Targets", tables::targets(report)),
        ("glance", "All servers at a glance", tables::matrix(report)),
        ("scaling", "As connections grow", scaling(report)),
        ("scenarios", "Scenarios", scenarios::all(report)),
        ("micro", "Small benches", scenarios::micro(report)),
        ("counts", "Counts without noise", tables::counts(report)),
        ("raw", "Raw figures", tables::raw(report)),
        ("skipped", "Left out", origin::skipped(report)),
        ("origin", "Where this comes from", origin::origin(report)),
    ] {
        if !body.is_empty() {
            let _ = write!(main, "<section id=\"{name}\">\n<h2>{title}</h2>\n{body}</section>\n");
            sections.push((name, title));
        }
    }
    page.push_str(&header(report, &sections));
    let _ = write!(page, "<main>\n{main}</main>\n<footer></footer>\n</body>\n</html>\n");
    page
}

fn header(report: &Report, sections: &[(&str, &str)]) -> String {
    let machine = &report.machine;
    let mut header = format!(
        "<header>\n<h1>Millrun, measured</h1>\n<p class=\"muted\">{} UTC, commit {}, {} ({} cores), {}</p>\n",
        escaped(&machine.date),
        escaped(&machine.commit),
        escaped(&machine.cpu),
        machine.cores,
        escaped(&machine.kernel)
    );
    header.push_str("<div class=\"tiles\">\n");
    for (name, count) in targets::tally(&targets::rows(report)) {
        let class = tables::class_of(name);
        let _ = writeln!(
            header,
            "<div class=\"tile\"><b class=\"{class}\">{count}</b>targets {name}</div>"
        );
    }
    header.push_str("</div>\n");
    for note in &report.notes {
        let _ = writeln!(header, "<p class=\"note\">{}</p>", escaped(note));
    }
    header.push_str("</header>\n<nav>");
    for (name, title) in sections {
        let _ = write!(header, "<a href=\"#{name}\">{title}</a> ");
    }
    header.push_str("</nav>\n");
    header
}

fn scaling(report: &Report) -> String {
    plot::scaling(report)
        .map_or_else(String::new, |svg| format!("<div class=\"card\">{svg}</div>\n"))
}

/// A text inside an element or an attribute.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Control characters are allowed nowhere in a page.
            letter if letter.is_control() && letter != '\n' && letter != '\t' => out.push(' '),
            letter => out.push(letter),
        }
    }
    out
}

/// A name that an address or a file can have.
pub(crate) fn anchor(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect()
}
