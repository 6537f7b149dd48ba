//! Which seed fails? [`check_seeds`] runs a test under many, and says how to run the one again that failed.

use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::World;

/// The environment variable that names the one seed to run.
pub const SEED_VARIABLE: &str = "MILLRUN_SEED";

/// Runs a test in a new [`World`] for each seed; or for the one that the environment variable `MILLRUN_SEED` names. `test` adds
/// the hosts, [runs](World::run) the world, and looks at what came of it.
///
/// ```
/// millrun_testbed::check_seeds("everybody_sleeps", 0..20, |world| {
///     world.host("sleeper", async { millrun_loop::sleep(std::time::Duration::from_secs(9)).await });
///     let report = world.run()?;
///     assert_eq!(report.ended_at.as_nanos(), 9_000_000_000);
///     Ok::<(), millrun_testbed::WorldError>(())
/// });
/// ```
///
/// # Panics
/// With an empty range of seeds. At the first seed whose test panics or gives an error, after the seed, the last events and the command that replays
/// it were printed. `name` is the test's, for that command.
#[track_caller]
pub fn check_seeds<E: fmt::Display>(
    name: &str,
    seeds: Range<u64>,
    mut test: impl FnMut(&World) -> Result<(), E>,
) {
    let seeds = chosen(std::env::var(SEED_VARIABLE).ok().as_deref(), seeds);
    assert!(!seeds.is_empty(), "{name}: expected one seed at least, got {seeds:?}");
    for seed in seeds {
        let world = World::new(seed);
        let outcome = catch_unwind(AssertUnwindSafe(|| test(&world)));
        if matches!(outcome, Ok(Ok(()))) && !world.was_run() {
            panic!("{name}: the test has to run its world");
        }
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(error)) => panic!("{}\n{error}", replay(name, seed)),
            Err(panic) => {
                // The panic's own message is out already.
                eprintln!("{}\nthe last events:\n{}", replay(name, seed), world.last_events());
                resume_unwind(panic);
            }
        }
    }
}

/// The seed that the environment names, or all.
fn chosen(named: Option<&str>, seeds: Range<u64>) -> Range<u64> {
    let Some(named) = named else { return seeds };
    match named.trim().parse::<u64>() {
        // The last one is a range of none, and never drawn.
        Ok(seed) => seed..seed.saturating_add(1),
        Err(_) => panic!("{SEED_VARIABLE} is to be a number, not {named:?}"),
    }
}

/// How to run this seed again.
fn replay(name: &str, seed: u64) -> String {
    // Cargo and nextest tell a test which package it is of.
    let package = std::env::var("CARGO_PKG_NAME");
    let of = package.map_or_else(|_| String::new(), |package| format!(" -p {package}"));
    format!(
        "{name}: seed {seed} fails; run it again with\n  {SEED_VARIABLE}={seed} cargo test{of} {name}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_one_seed() {
        assert_eq!(chosen(None, 3..9), 3..9);
        assert_eq!(chosen(Some(" 77\n"), 3..9), 77..78);
        assert!(catch_unwind(|| chosen(Some("seven"), 3..9)).is_err());
    }

    #[test]
    #[should_panic(expected = "nothing: expected one seed at least, got 3..3")]
    fn a_test_of_no_seed_fails() {
        check_seeds("nothing", 3..3, |_| Ok::<(), String>(()));
    }

    #[test]
    fn the_command_names_seed_package_and_test() {
        let text = replay("chat", 12);
        assert!(text.contains("MILLRUN_SEED=12 cargo test -p millrun-testbed chat"), "{text}");
    }
}
