//! What is asked of every crate that is published: its pages, its licences, its metadata, its place in the README.

use std::fs;
use std::path::Path;

use super::Problem;
use crate::metadata::Package;

const LICENCES: &[&str] = &["LICENSE-APACHE", "LICENSE-MIT"];

pub(super) fn check(packages: &[Package], root: &Path) -> Vec<Problem> {
    let readme = fs::read_to_string(root.join("README.md")).unwrap_or_default();
    packages
        .iter()
        .filter(|package| package.published)
        .flat_map(|package| {
            let read = |name: &str| fs::read_to_string(package.directory.join(name)).ok();
            problems_of(package, &read, &readme)
        })
        .collect()
}

fn problems_of(
    package: &Package,
    read: &dyn Fn(&str) -> Option<String>,
    readme: &str,
) -> Vec<Problem> {
    let mut found: Vec<String> = Vec::new();
    found.extend(package.missing.iter().map(|key| format!("no {key} in its manifest")));
    let documented = |name: &str, start: &str| {
        read(name).is_some_and(|text| text.trim_start().starts_with(start) && text.len() > 200)
    };
    if !documented("README.md", "#") {
        found.push("no README.md that says what it is".to_owned());
    }
    if !documented("src/lib.rs", "//!") && !documented("src/lib.rs", "#![doc") {
        found.push("src/lib.rs does not open with its documentation".to_owned());
    }
    for licence in LICENCES.iter().filter(|licence| read(licence).is_none()) {
        found.push(format!("no {licence}: it would be published without"));
    }
    if !readme.contains(&package.name) {
        found.push("README.md of the root does not name it".to_owned());
    }
    found.into_iter().map(|what| Problem::new(&package.name, 1, what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(missing: Vec<&'static str>) -> Package {
        Package {
            name: "made-up".to_owned(),
            directory: "x".into(),
            published: true,
            missing,
            dependencies: Vec::new(),
            examples: Vec::new(),
            features: Vec::new(),
        }
    }

    fn whole(name: &str) -> Option<String> {
        match name {
            "src/lib.rs" => Some(format!("//! {}", "What it is. ".repeat(20))),
            "README.md" => Some(format!("# made-up\n{}", "What it is. ".repeat(20))),
            "LICENSE-MIT" | "LICENSE-APACHE" => Some("free".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn a_whole_crate_is_accepted() {
        assert!(problems_of(&package(Vec::new()), &whole, "has `made-up`").is_empty());
    }

    #[test]
    fn what_a_crate_lacks_is_reported() {
        let one = |found: Vec<Problem>| {
            let [problem] = found.as_slice() else { panic!("one problem: {found:?}") };
            problem.what.clone()
        };
        let named = "made-up";
        let lacks = |name: &'static str| move |asked: &str| whole(asked).filter(|_| asked != name);
        let without = |name| one(problems_of(&package(Vec::new()), &lacks(name), named));
        assert_eq!(without("README.md"), "no README.md that says what it is");
        assert_eq!(without("src/lib.rs"), "src/lib.rs does not open with its documentation");
        assert_eq!(without("LICENSE-MIT"), "no LICENSE-MIT: it would be published without");
        let keys = package(vec!["keywords"]);
        assert_eq!(one(problems_of(&keys, &whole, named)), "no keywords in its manifest");
        let unnamed = one(problems_of(&package(Vec::new()), &whole, "others"));
        assert_eq!(unnamed, "README.md of the root does not name it");
    }
}
