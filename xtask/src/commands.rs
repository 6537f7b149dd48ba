//! Running other programs: with no standard input, their output left visible, and never for ever.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What a command that can't answer is worth waiting for: far above any step, far below a CI job's limit.
const LONGEST_STEP: Duration = Duration::from_secs(20 * 60);

/// The workspace's root: cargo tells where this package is, which is one below.
pub(crate) fn root() -> PathBuf {
    match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(package) => Path::new(&package).parent().map_or_else(PathBuf::new, Path::to_owned),
        None => PathBuf::from("."),
    }
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A file for a tool to read or write, below where cargo builds.
pub(crate) fn scratch(name: &str) -> Result<PathBuf, String> {
    let directory = target().join("xtask");
    std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
    Ok(directory.join(name))
}

/// `cargo` with these arguments (separated by white space), in the root: the cargo that runs us.
pub(crate) fn cargo(arguments: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments.split_whitespace()).current_dir(root());
    command
}

/// Runs to the end with its output visible; anything but success is an error that names the command.
pub(crate) fn succeed(command: &mut Command) -> Result<(), String> {
    succeed_within(command, LONGEST_STEP)
}

/// As [`succeed`], but kills what takes longer than `limit`.
pub(crate) fn succeed_within(command: &mut Command, limit: Duration) -> Result<(), String> {
    let line = line_of(command);
    println!("+ {line}");
    let mut child =
        command.stdin(Stdio::null()).spawn().map_err(|error| format!("{line}: {error}"))?;
    let status = wait_within(&mut child, limit).map_err(|error| format!("{line}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{line}: {status}")) }
}

/// Does it for each, and goes on when one fails: the errors together.
pub(crate) fn each<T>(
    items: impl IntoIterator<Item = T>,
    work: impl FnMut(T) -> Result<(), String>,
) -> Result<(), String> {
    let failures: Vec<String> = items.into_iter().map(work).filter_map(Result::err).collect();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

/// What the command writes to its standard output; an error carries its standard error.
pub(crate) fn output_of(command: &mut Command) -> Result<String, String> {
    let line = line_of(command);
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| format!("{line}: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "{line}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether the command can be run at all and succeeds, silently.
pub(crate) fn answers(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Waits for a child, and kills it when it takes longer than `limit`.
pub(crate) fn wait_within(
    child: &mut std::process::Child,
    limit: Duration,
) -> Result<ExitStatus, String> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return Ok(status);
        }
        if start.elapsed() > limit {
            // Killing fails only when it ended by itself just now; either way it is reaped here.
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("did not end within {} s, killed", limit.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn line_of(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut line =
        program.file_name().unwrap_or(command.get_program()).to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_named_with_its_status() {
        let error = succeed(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert!(error.contains("sh -c exit 3") && error.contains('3'), "{error}");
    }

    #[test]
    fn one_failure_does_not_hide_the_next() {
        let work = |number: u8| if number == 2 { Ok(()) } else { Err(number.to_string()) };
        assert_eq!(each([1, 2, 3], work), Err("1\n3".to_owned()));
        assert_eq!(each([2], work), Ok(()));
    }

    #[test]
    fn a_command_that_hangs_is_killed() {
        let error =
            succeed_within(Command::new("sleep").arg("60"), Duration::from_millis(50)).unwrap_err();
        assert!(error.contains("did not end"), "{error}");
    }

    #[test]
    fn a_command_has_no_standard_input() {
        assert_eq!(output_of(&mut Command::new("cat")), Ok(String::new()));
    }
}
