//! Measuring beside the peers: builds the runner, which does the rest, so that xtask itself stays quick to compile.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::commands::{cargo, scratch, succeed, target};

/// Who must have figures in a short run: ours, the limit, and one peer.
const SHORT_RUN: [&str; 4] = ["millrun-protocol", "millrun-streams", "epoll", "tokio"];

/// For a short run: to optimise the runner and its servers takes far longer than to run them, and nobody looks at how fast they are.
const UNOPTIMISED: [(&str, &str); 3] = [
    ("CARGO_PROFILE_PEERS_OPT_LEVEL", "0"),
    ("CARGO_PROFILE_PEERS_CODEGEN_UNITS", "16"),
    ("CARGO_PROFILE_PEERS_LTO", "off"),
];

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    run_in(&target(), arguments, &[])
}

/// Builds the runner there and runs it; its own cargo builds there and with these variables, too.
fn run_in(place: &Path, arguments: &[String], variables: &[(&str, &str)]) -> Result<(), String> {
    let with = |command: &mut Command| {
        command.env("CARGO_TARGET_DIR", place).envs(variables.iter().copied());
    };
    // As the servers are built: what they share is compiled once.
    let mut build = cargo("build --quiet --package millrun-benches --bin bench --profile peers");
    with(&mut build);
    succeed(&mut build)?;
    // Where the user is, since that is where the paths among the arguments start; and with no limit of time: a whole run
    // takes what it takes, and bounds its own waits.
    let mut runner = Command::new(place.join("peers").join("bench"));
    with(runner.args(arguments));
    let status = runner.status().map_err(|error| format!("bench: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("bench: {status}")) }
}

/// The whole way from servers to the report, in seconds: what comes out is no claim about speed.
pub(crate) fn short_run() -> Result<(), String> {
    let out = scratch("bench")?;
    let options =
        "--quick --scenario echo-64 --peer tokio --rounds 2 --patience 1 --no-counts --out";
    let mut arguments: Vec<String> = options.split_whitespace().map(str::to_owned).collect();
    arguments.push(out.display().to_string());
    // Not where the next who measures would find them.
    run_in(&scratch("bench-target")?, &arguments, &UNOPTIMISED)?;
    let file = out.join("bench.json");
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    check(&text)?;
    let page = out.join("bench.html");
    let page = fs::read_to_string(&page).map_err(|error| format!("{}: {error}", page.display()))?;
    let missing = SHORT_RUN.iter().find(|server| !page.contains(*server));
    missing.map_or(Ok(()), |server| Err(format!("bench.html does not show {server}")))
}

/// Every server of a short run has rounds in which something was done.
fn check(report: &str) -> Result<(), String> {
    let report: Value = serde_json::from_str(report).map_err(|error| error.to_string())?;
    let servers = report["scenarios"][0]["servers"].as_array().map_or(&[][..], Vec::as_slice);
    for name in SHORT_RUN {
        let rounds =
            servers.iter().find(|server| server["peer"] == name).map(|server| &server["rounds"]);
        let rounds = rounds.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let done = |round: &Value| {
            round["units"].as_u64() > Some(0) && round["server_cpu_ns"].as_u64() > Some(0)
        };
        if rounds.is_empty() || !rounds.iter().all(done) {
            return Err(format!("bench.json has no figures for {name}: {}", report["skipped"]));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(server_cpu_ns: u64) -> String {
        let servers = SHORT_RUN.map(|peer| {
            format!(
                r#"{{"peer":"{peer}","rounds":[{{"units":5,"server_cpu_ns":{server_cpu_ns}}}]}}"#
            )
        });
        format!(r#"{{"scenarios":[{{"servers":[{}]}}],"skipped":[]}}"#, servers.join(","))
    }

    #[test]
    fn a_server_without_figures_is_named() {
        assert_eq!(check(&report(7)), Ok(()));
        let error = check(&report(0)).unwrap_err();
        assert!(error.contains("millrun-protocol"), "{error}");
        let error = check(&report(7).replace("\"tokio\"", "\"other\"")).unwrap_err();
        assert!(error.contains("tokio"), "{error}");
    }
}
