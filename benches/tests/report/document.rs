//! `docs/bench-json.md` tells readers what is in `bench.json`: each field of it, and no other.

use std::collections::BTreeSet;

use millrun_benches::report::{FORMAT, Report};
use serde_json::Value;

use crate::synthetic;

const DOCUMENT: &str = include_str!("../../../docs/bench-json.md");

/// Its keys are peers.
const BY_NAME: &str = "versions";

/// Each field as "`object`: `field`", with the objects named as the document's headings do: "scenarios[].servers[]".
fn fields_of(value: &Value, place: &str, found: &mut BTreeSet<(String, String)>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                found.insert((place.to_owned(), key.clone()));
                let dot = if place.is_empty() { "" } else { "." };
                if key != BY_NAME {
                    fields_of(value, &format!("{place}{dot}{key}"), found);
                }
            }
        }
        Value::Array(all) => {
            all.iter().for_each(|value| fields_of(value, &format!("{place}[]"), found));
        }
        _ => {}
    }
}

/// Each field that has a row: a heading with an object's name in code is followed by the table of its fields.
fn documented() -> BTreeSet<(String, String)> {
    let in_code = |text: &str| text.split('`').nth(1).unwrap_or("").to_owned();
    let mut place = String::new();
    let mut found = BTreeSet::new();
    for line in DOCUMENT.lines() {
        if line.starts_with('#') {
            place = in_code(line);
        } else if line.starts_with("| `") {
            let field = (place.clone(), in_code(line));
            assert!(found.insert(field.clone()), "twice: {field:?}");
        }
    }
    found
}

#[test]
fn every_field_is_documented_and_no_other() {
    let mut fields = BTreeSet::new();
    fields_of(&serde_json::to_value(synthetic::full()).unwrap(), "", &mut fields);
    let documented = documented();
    let missing: Vec<_> = fields.difference(&documented).collect();
    assert!(missing.is_empty(), "docs/bench-json.md lacks {missing:?}");
    let gone: Vec<_> = documented.difference(&fields).collect();
    assert!(gone.is_empty(), "docs/bench-json.md has fields that no report has: {gone:?}");
}

#[test]
fn the_format_and_the_example_are_those_of_today() {
    let told = format!("format {FORMAT}");
    assert!(DOCUMENT.contains(&told), "docs/bench-json.md does not say {told:?}");
    let example = DOCUMENT.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let report: Report = serde_json::from_str(example).unwrap();
    assert_eq!(report.format, FORMAT);
    let (mut of_example, mut all) = (BTreeSet::new(), BTreeSet::new());
    fields_of(&serde_json::from_str(example).unwrap(), "", &mut of_example);
    fields_of(&serde_json::to_value(&report).unwrap(), "", &mut all);
    assert_eq!(of_example, all, "the example leaves nothing out that a report writes");
}
