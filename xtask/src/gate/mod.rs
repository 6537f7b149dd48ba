//! Counts that a change may not raise: instructions, system calls, allocations per echoed message, copies of its bytes, memory
//! per idle connection. `measure` runs the servers of `xtask/gate` under the tools, `tools` reads what those print, `expect` judges.

mod expect;
mod measure;
mod tools;

use std::collections::BTreeMap;
use std::fs;

use crate::commands::{cargo, root, succeed};

const EXPECTED: &str = "xtask/gate.txt";

/// What was counted for one shape: `recv/message` and its like.
type Measures = BTreeMap<String, f64>;

/// `cargo xtask gate`: all shapes that the file names, or these.
pub(crate) fn run(names: &[String]) -> Result<(), String> {
    let file = root().join(EXPECTED);
    let text = fs::read_to_string(&file).map_err(|error| format!("{EXPECTED}: {error}"))?;
    let expected = expect::parse(&text).map_err(|error| format!("{EXPECTED}:{error}"))?;
    let mut shapes: Vec<&str> = Vec::new();
    for row in &expected {
        if !shapes.contains(&row.shape.as_str()) {
            shapes.push(&row.shape);
        }
    }
    if let Some(unknown) = names.iter().find(|name| !shapes.contains(&name.as_str())) {
        return Err(format!("{EXPECTED} has no shape {unknown}, it has {}", shapes.join(", ")));
    }
    shapes.retain(|shape| names.is_empty() || names.iter().any(|name| name == shape));
    succeed(&mut cargo("build --profile gate --package millrun-gate"))?;
    let mut failed = Vec::new();
    println!("{}", expect::HEADING);
    for shape in shapes {
        let rows: Vec<_> = expected.iter().filter(|row| row.shape == shape).collect();
        let asked = |measure: &str| rows.iter().any(|row| row.measure == measure);
        let measured = measure::measure(shape, &asked)?;
        for line in expect::judge(shape, &rows, &measured) {
            println!("{}", line.text);
            if !line.passed {
                failed.push(line.text);
            }
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!("gate: not as {EXPECTED} expects:\n{}\n{}", expect::HEADING, failed.join("\n")))
}
