//! All tests: of the whole workspace at once, and of each layer alone with no features.
//!
//! A layer alone is compiled without the features that another member turns on, as its users compile it. With its default features
//! that is all that is new: its tests ran with the workspace. So there `cargo xtask ci` lets clippy compile it, its tests but its
//! documentation's included, and they are run alone only for those who name it.

use std::process::Command;

use crate::commands::{answers, cargo, each, succeed};
use crate::metadata::{Package, packages};
use crate::steps::Steps;

/// `cargo xtask test`: everything, or only these crates alone when some are named (`loop` for `millrun-loop`).
pub(crate) fn run(names: &[String]) -> Result<(), String> {
    let packages = packages()?;
    let layers = chosen(&packages, names)?;
    let runs: Vec<String> = if names.is_empty() {
        everything(&layers)
    } else {
        layers.iter().flat_map(|p| alone(p)).collect()
    };
    let runner = Runner::find();
    println!("tests: {} runs with {}", runs.len(), runner.name());
    let mut steps = Steps::new("test", "runs", runs.len());
    for which in &runs {
        steps.step(which, || runner.test(which));
    }
    steps.finish()
}

/// The published crates that were asked for, all when none was.
pub(crate) fn chosen<'a>(
    packages: &'a [Package],
    names: &[String],
) -> Result<Vec<&'a Package>, String> {
    let published = || packages.iter().filter(|package| package.published);
    if names.is_empty() {
        return Ok(published().collect());
    }
    names
        .iter()
        .map(|name| {
            published()
                .find(|package| package.name == *name || package.name == format!("millrun-{name}"))
                .ok_or_else(|| format!("{name} is no crate of this workspace that is published"))
        })
        .collect()
}

/// The workspace, and what differs from it.
fn everything(layers: &[&Package]) -> Vec<String> {
    let bare = layers.iter().filter_map(|package| with_no_features(package));
    std::iter::once("--workspace".to_owned()).chain(bare).collect()
}

/// A crate with its default features and, if it has any, with none.
pub(crate) fn alone(package: &Package) -> Vec<String> {
    let usual = format!("--package {}", package.name);
    std::iter::once(usual).chain(with_no_features(package)).collect()
}

fn with_no_features(package: &Package) -> Option<String> {
    let any = !package.features.is_empty();
    any.then(|| format!("--package {} --no-default-features", package.name))
}

#[derive(Clone, Copy)]
enum Runner {
    Cargo,
    /// cargo-nextest: each test in a process of its own. It leaves the documentation's tests to cargo.
    Nextest,
}

impl Runner {
    fn find() -> Self {
        if answers(&mut cargo("nextest --version")) { Self::Nextest } else { Self::Cargo }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Cargo => "cargo test",
            Self::Nextest => "cargo nextest, and cargo test for the documentation",
        }
    }

    /// Runs the tests of what `which` (cargo's own options) names.
    fn test(self, which: &str) -> Result<(), String> {
        each(&mut self.commands(which), succeed)
    }

    fn commands(self, which: &str) -> Vec<Command> {
        match self {
            // `--no-fail-fast`: one failure must not hide the next crate's.
            Self::Cargo => vec![cargo(&format!("test --no-fail-fast {which}"))],
            Self::Nextest => vec![
                cargo(&format!("nextest run --no-fail-fast --no-tests pass {which}")),
                cargo(&format!("test --doc --no-fail-fast {which}")),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, published: bool, features: &[&str]) -> Package {
        Package {
            name: name.to_owned(),
            directory: "x".into(),
            published,
            missing: Vec::new(),
            dependencies: Vec::new(),
            examples: Vec::new(),
            features: features.iter().map(|feature| (*feature).to_owned()).collect(),
        }
    }

    #[test]
    fn everything_is_the_workspace_and_each_layer_with_no_features() {
        let with = package("millrun-loop", true, &["default", "os"]);
        let without = package("millrun-sim", true, &[]);
        let runs = everything(&[&with, &without]);
        assert_eq!(runs, ["--workspace", "--package millrun-loop --no-default-features"]);
    }

    #[test]
    fn a_layer_alone_is_compiled_with_and_without_features() {
        let runs = alone(&package("millrun-loop", true, &["default", "os"]));
        assert_eq!(
            runs,
            ["--package millrun-loop", "--package millrun-loop --no-default-features"]
        );
        assert_eq!(alone(&package("millrun-sim", true, &[])), ["--package millrun-sim"]);
    }

    #[test]
    fn crates_are_chosen_by_name() {
        let packages = [package("millrun-loop", true, &[]), package("xtask", false, &[])];
        let names =
            |chosen: Vec<&Package>| chosen.iter().map(|p| p.name.clone()).collect::<Vec<_>>();
        assert_eq!(chosen(&packages, &[]).map(names), Ok(vec!["millrun-loop".to_owned()]));
        assert!(chosen(&packages, &["loop".to_owned()]).is_ok());
        assert!(chosen(&packages, &["xtask".to_owned()]).is_err());
    }

    #[test]
    fn the_documentation_is_tested_with_either_runner() {
        let lines = |runner: Runner| -> Vec<String> {
            let line = |c: &Command| {
                c.get_args().map(|a| a.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
            };
            runner.commands("--workspace").iter().map(line).collect()
        };
        assert_eq!(lines(Runner::Cargo), ["test --no-fail-fast --workspace"]);
        assert!(lines(Runner::Nextest)[1].starts_with("test --doc"));
    }
}
