//! Every program that a run needs: built, or taken from where it was built before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::launch::Launch;
use super::machine::root;
use super::native;
use super::plan::{Options, is_ours, takes_part};
use super::process::Process;
use super::python::{self, Python};
use crate::peer::{self, Made, Peer};
use crate::report::Skipped;
use crate::scenario::Kind;

/// The load's binary.
const LOAD: &str = "load";
/// How long cargo may say nothing: what is longest is one crate of a peer, or another cargo that builds here.
const SILENCE: Duration = Duration::from_secs(20 * 60);

/// What there is to measure with.
#[derive(Debug)]
pub struct Programs {
    /// The load.
    pub load: Launch,
    /// The servers, by the peer's name.
    pub servers: BTreeMap<&'static str, Launch>,
    /// The peers that can't be built here, and why.
    pub skipped: Vec<Skipped>,
}

/// Builds the load and all servers; `tell` hears what takes time.
///
/// # Errors
///
/// When there is no load: nothing can be measured. A server that can't be built is only left out.
pub fn programs(options: &Options, tell: &mut dyn FnMut(&str)) -> Result<Programs, String> {
    let needed = needed(options);
    let mut binaries = match &options.servers {
        Some(directory) => prebuilt(directory, &needed),
        None => rust(&needed, tell),
    };
    let program = binaries.remove(LOAD).ok_or("there is no load")??;
    let load = Launch { program, arguments: Vec::new(), version: String::new() };
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap_or_default();
    let python = interpreter(&needed, tell);
    let mut programs = Programs { load, servers: BTreeMap::new(), skipped: Vec::new() };
    for peer in needed {
        let made = match peer.made {
            Made::Rust { bin, feature } => {
                let found = binaries.get(bin).cloned().unwrap_or_else(|| Err("not built".into()));
                found.map(|program| {
                    let version = rust_version(&lock, peer, feature);
                    Launch { program, arguments: Vec::new(), version }
                })
            }
            Made::C { source, libraries } => native::build(&at(source), libraries, &scratch()),
            Made::Python { source, package } => match &python {
                Some(Ok(python)) => python.launch(&at(source), package),
                Some(Err(why)) => Err(why.clone()),
                None => Err("no Python was looked for".to_owned()),
            },
        };
        match made {
            Ok(launch) => {
                programs.servers.insert(peer.name, launch);
            }
            Err(why) => {
                tell(&format!("{} is left out: {why}", peer.name));
                programs.skipped.push(Skipped { what: peer.name.to_owned(), why });
            }
        }
    }
    Ok(programs)
}

/// A certificate for this run, if a scenario needs one: where it is.
///
/// # Errors
///
/// When it can't be written.
pub fn certificate(options: &Options) -> Result<Option<PathBuf>, String> {
    if !options.scenarios.iter().any(|scenario| scenario.tls) {
        return Ok(None);
    }
    let directory = scratch().join("certificate");
    let made = crate::tls::make(&directory);
    made.map_err(|error| format!("{}: {error}", directory.display()))?;
    Ok(Some(directory))
}

/// The peers that are asked for, and the one that is a relay's backend.
fn needed(options: &Options) -> Vec<&'static Peer> {
    let relays = options.scenarios.iter().any(|scenario| scenario.kind == Kind::Relay);
    let asked = |row: &Peer| options.peers.iter().any(|peer| peer.name == row.name);
    let of_use = |row: &Peer| options.scenarios.iter().any(|scenario| takes_part(row, scenario));
    peer::ALL
        .iter()
        .filter(|row| asked(row) && of_use(row) || relays && row.name == peer::LIMIT)
        .collect()
}

type Binaries = BTreeMap<&'static str, Result<PathBuf, String>>;

fn prebuilt(directory: &Path, needed: &[&'static Peer]) -> Binaries {
    let names = by_feature(needed).into_values().flatten();
    let find = |name: &'static str| {
        let path = directory.join(name);
        // Relative to where we are, not to a folder of the path.
        let found = path.canonicalize().map_err(|error| format!("{}: {error}", path.display()));
        (name, found)
    };
    names.map(find).collect()
}

/// Binaries of this package by the feature that they need.
fn by_feature(needed: &[&'static Peer]) -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let mut features: BTreeMap<_, BTreeSet<_>> = [("", [LOAD].into())].into();
    for peer in needed {
        if let Made::Rust { bin, feature } = peer.made {
            features.entry(feature).or_default().insert(bin);
        }
    }
    features
}

/// One cargo for each feature, so that what a peer brings does not touch the others; if several binaries of one don't build
/// together, each by itself.
fn rust(needed: &[&'static Peer], tell: &mut dyn FnMut(&str)) -> Binaries {
    let mut binaries = Binaries::new();
    for (feature, names) in by_feature(needed) {
        let names: Vec<&'static str> = names.into_iter().collect();
        tell(&format!("building {}", names.join(", ")));
        match cargo(feature, &names) {
            Ok(built) => binaries.extend(names.into_iter().map(|name| (name, Ok(built(name))))),
            Err(why) if names.len() == 1 => {
                binaries.insert(names[0], Err(why));
            }
            Err(_) => binaries.extend(names.into_iter().map(|name| {
                let built = cargo(feature, &[name]);
                (name, built.map(|built| built(name)))
            })),
        }
    }
    binaries
}

/// Builds them; what comes back knows where each is.
fn cargo(feature: &str, names: &[&str]) -> Result<impl Fn(&str) -> PathBuf + use<>, String> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command.args(["build", "--package", "millrun-benches", "--profile", "peers"]);
    command.arg("--message-format=json-render-diagnostics");
    if !feature.is_empty() {
        command.args(["--features", feature]);
    }
    for name in names {
        command.args(["--bin", name]);
    }
    let mut cargo = Process::start_visibly("cargo", &mut command)?;
    let mut paths = BTreeMap::new();
    while let Some(line) = cargo.next(SILENCE)? {
        paths.extend(artifact(&line));
    }
    let missing = names.iter().find(|name| !paths.contains_key(**name));
    if let Some(why) = cargo.failed() {
        return Err(why);
    }
    match missing {
        Some(name) => Err(format!("cargo built no {name}")),
        None => Ok(move |name: &str| paths.get(name).cloned().unwrap_or_default()),
    }
}

/// A binary's name and path from one of cargo's messages.
fn artifact(line: &str) -> Option<(String, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let path = message.get("executable")?.as_str()?;
    Some((message.get("target")?.get("name")?.as_str()?.to_owned(), path.into()))
}

/// What a Rust peer's version is: the crate that its feature brings; of the hand-written one, the crate of its system calls.
fn rust_version(lock: &str, peer: &Peer, feature: &str) -> String {
    let (package, prefix) = match feature {
        _ if is_ours(peer.name) => ("millrun-loop", ""),
        "" => ("rustix", "rustix "),
        feature => (feature, ""),
    };
    locked(lock, package).map_or_else(String::new, |version| format!("{prefix}{version}"))
}

/// The newest version of a package that Cargo.lock has.
fn locked<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let name = format!("name = \"{package}\"\nversion = \"");
    let (_, rest) = lock.rsplit_once(&name)?;
    rest.split('"').next()
}

fn interpreter(
    needed: &[&'static Peer],
    tell: &mut dyn FnMut(&str),
) -> Option<Result<Python, String>> {
    let mut packages: BTreeSet<&str> = BTreeSet::new();
    let mut asked = false;
    for peer in needed {
        if let Made::Python { package, .. } = peer.made {
            asked = true;
            packages.insert(package);
        }
    }
    packages.remove("");
    let packages: Vec<&str> = packages.into_iter().collect();
    // Whoever starts a run may have mended what was in the way of the last one.
    asked.then(|| python::prepare(&packages, &scratch(), Duration::ZERO, tell))
}

/// A source of a peer.
fn at(source: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(source)
}

/// Where cargo builds.
#[must_use]
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Where programs go that are not cargo's.
fn scratch() -> PathBuf {
    target().join("bench-peers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    #[test]
    fn binaries_come_by_feature_and_each_once() {
        let needed: Vec<_> = peer::ALL.iter().collect();
        let found = by_feature(&needed);
        let plain: Vec<_> = found[""].iter().copied().collect();
        let expected =
            ["load", "server-epoll", "server-millrun-protocol", "server-millrun-streams"];
        assert_eq!(plain, expected);
        assert_eq!(found["tokio"].len(), 1, "the best one is the same program");
        assert!(!found.contains_key("libuv"));
    }

    #[test]
    fn a_relay_needs_its_backend() {
        let mut options = Options::full();
        options.peers.retain(|peer| peer.name == "smol");
        let names = |options: &Options| needed(options).iter().map(|p| p.name).collect::<Vec<_>>();
        assert_eq!(names(&options), ["epoll", "smol"]);
        options.scenarios = vec![scenario::named("lines").unwrap()];
        assert_eq!(names(&options), ["smol"]);
    }

    #[test]
    fn cargos_messages_tell_where_a_binary_is() {
        let line =
            r#"{"reason":"compiler-artifact","target":{"name":"load"},"executable":"/t/load"}"#;
        assert_eq!(artifact(line), Some(("load".to_owned(), "/t/load".into())));
        let library = r#"{"reason":"compiler-artifact","target":{"name":"x"},"executable":null}"#;
        assert_eq!(artifact(library), None);
        assert_eq!(artifact("warning: not JSON"), None);
    }

    #[test]
    fn versions_come_from_the_lock_file() {
        let lock = "[[package]]\nname = \"mio\"\nversion = \"0.8.1\"\n\n[[package]]\nname = \"mio\"\nversion = \"1.2.0\"\n\n[[package]]\nname = \"mio-more\"\nversion = \"9.0.0\"\n";
        assert_eq!(locked(lock, "mio"), Some("1.2.0"));
        assert_eq!(locked(lock, "more"), None);
        let ours = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
        for name in ["millrun-streams", "epoll", "tokio"] {
            let peer = peer::named(name).unwrap();
            let Made::Rust { feature, .. } = peer.made else { panic!("{name}") };
            let version = rust_version(&ours, peer, feature);
            assert!(version.ends_with(|c: char| c.is_ascii_digit()), "{name}: {version:?}");
        }
    }

    #[test]
    fn what_is_not_in_the_directory_is_told_with_its_path() {
        let found = prebuilt(Path::new("/no/such"), &[peer::named("epoll").unwrap()]);
        let error = found["server-epoll"].as_ref().unwrap_err();
        assert!(error.starts_with("/no/such/server-epoll: "), "{error}");
    }
}
