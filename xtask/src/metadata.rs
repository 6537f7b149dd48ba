//! What `cargo metadata --no-deps` says about the workspace's packages, reduced to what the checks ask.

use std::path::PathBuf;

use serde_json::Value;

use crate::commands::{cargo, output_of};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// The directory of its manifest.
    pub(crate) directory: PathBuf,
    /// False for `publish = false`.
    pub(crate) published: bool,
    /// Keys of `[package]` that are absent or empty though crates.io or docs.rs want them.
    pub(crate) missing: Vec<&'static str>,
    pub(crate) dependencies: Vec<Dependency>,
    /// Names of its example programs.
    pub(crate) examples: Vec<String>,
    pub(crate) features: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// A path dependency: another member of the workspace.
    pub(crate) member: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Build,
    Dev,
}

/// The packages of this workspace, sorted by name.
pub(crate) fn packages() -> Result<Vec<Package>, String> {
    parse(&output_of(&mut cargo("metadata --format-version 1 --no-deps"))?)
}

pub(crate) fn parse(json: &str) -> Result<Vec<Package>, String> {
    let value: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let mut packages = list(&value, "packages")
        .iter()
        .map(package)
        .collect::<Option<Vec<Package>>>()
        .ok_or("cargo metadata: a package without a name or a manifest path")?;
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packages)
}

fn package(value: &Value) -> Option<Package> {
    let manifest = PathBuf::from(value["manifest_path"].as_str()?);
    let texts = ["description", "license", "repository", "readme", "rust_version"];
    let lists = ["categories", "keywords"];
    let mut missing: Vec<&'static str> =
        texts.into_iter().filter(|key| value[*key].as_str().unwrap_or("").is_empty()).collect();
    missing.extend(lists.into_iter().filter(|key| list(value, key).is_empty()));
    if value["metadata"]["docs"]["rs"].is_null() {
        missing.push("metadata.docs.rs");
    }
    Some(Package {
        name: value["name"].as_str()?.to_owned(),
        directory: manifest.parent()?.to_owned(),
        // `publish = false` is an empty list of registries.
        published: value["publish"].is_null(),
        missing,
        dependencies: list(value, "dependencies")
            .iter()
            .map(dependency)
            .collect::<Option<Vec<_>>>()?,
        examples: list(value, "targets")
            .iter()
            .filter(|target| list(target, "kind").iter().any(|kind| kind == "example"))
            .filter_map(|target| Some(target["name"].as_str()?.to_owned()))
            .collect(),
        features: value["features"].as_object()?.keys().cloned().collect(),
    })
}

fn dependency(value: &Value) -> Option<Dependency> {
    Some(Dependency {
        name: value["name"].as_str()?.to_owned(),
        kind: match value["kind"].as_str() {
            None => Kind::Normal,
            Some("dev") => Kind::Dev,
            Some(_) => Kind::Build,
        },
        member: !value["path"].is_null(),
    })
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_cargo_writes() {
        let packages = parse(
            r#"{"packages": [{
                "name": "one", "manifest_path": "/x/one/Cargo.toml", "publish": [], "description": "d",
                "license": "MIT", "repository": null, "readme": "README.md", "rust_version": "1.85",
                "categories": ["a"], "keywords": [], "metadata": {"docs": {"rs": {"all-features": true}}},
                "features": {"default": []},
                "targets": [{"name": "show", "kind": ["example"]}, {"name": "one", "kind": ["lib"]}],
                "dependencies": [
                    {"name": "two", "kind": null, "path": "/x/two"}, {"name": "proptest", "kind": "dev"},
                    {"name": "cc", "kind": "build"}]
            }]}"#,
        )
        .unwrap();
        let [one] = packages.as_slice() else { panic!("{packages:?}") };
        assert_eq!(one.directory, PathBuf::from("/x/one"));
        assert!(!one.published);
        assert_eq!(one.missing, ["repository", "keywords"]);
        assert_eq!(one.examples, ["show"]);
        let kinds: Vec<_> = one.dependencies.iter().map(|d| (d.kind, d.member)).collect();
        assert_eq!(kinds, [(Kind::Normal, true), (Kind::Dev, false), (Kind::Build, false)]);
    }

    #[test]
    fn what_is_not_metadata_is_an_error() {
        assert!(parse("no").is_err());
        assert!(parse(r#"{"packages": [{"name": "one"}]}"#).is_err());
    }
}
