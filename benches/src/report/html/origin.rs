//! What was left out, and where, when and how the rest was measured.

use std::fmt::Write as _;

use super::super::Report;
use super::escaped;

pub(super) fn skipped(report: &Report) -> String {
    if report.skipped.is_empty() {
        return String::new();
    }
    let mut list = String::from("<div class=\"card\"><dl>\n");
    for skipped in &report.skipped {
        let _ =
            writeln!(list, "<dt>{}</dt><dd>{}</dd>", escaped(&skipped.what), escaped(&skipped.why));
    }
    list.push_str("</dl></div>\n");
    list
}

pub(super) fn origin(report: &Report) -> String {
    let machine = &report.machine;
    let mut card = String::from("<div class=\"card\"><dl>\n");
    let cores = machine.cores.to_string();
    let memory = format!("{:.1} GiB", machine.memory as f64 / f64::from(1 << 30));
    for (name, value) in [
        ("processor", machine.cpu.as_str()),
        ("logical processors", &cores),
        ("memory", &memory),
        ("kernel", &machine.kernel),
        ("compiler", &machine.rustc),
        ("commit", &machine.commit),
        ("measured (UTC)", &machine.date),
    ] {
        let _ = writeln!(card, "<dt>{name}</dt><dd>{}</dd>", escaped(value));
    }
    card.push_str("</dl>\n");
    if !report.versions.is_empty() {
        card.push_str("<h3>Versions</h3>\n<dl>\n");
        for (peer, version) in &report.versions {
            let _ = writeln!(card, "<dt>{}</dt><dd>{}</dd>", escaped(peer), escaped(version));
        }
        card.push_str("</dl>\n");
    }
    if !report.commands.is_empty() {
        card.push_str("<h3>To measure it again</h3>\n");
        for command in &report.commands {
            let _ = writeln!(card, "<pre>{}</pre>", escaped(command));
        }
    }
    card.push_str("</div>\n");
    card
}
