//! What a report has beside timed windows: counts, which are made now, and criterion's small benches, which were run before.

use std::path::Path;
use std::time::SystemTime;

use super::machine;
use super::plan::Options;
use super::session::World;
use crate::counts::{self, Subject};
use crate::report::{Count, Micro, SMALL_BENCHES, Skipped, criterion};

/// What makes the small benches.
const MICRO: &str = "cargo bench -p millrun-benches --features tokio,smol,calloop";

/// Counts of those peers that are always counted, as far as they were asked for and are there.
pub fn counts(
    options: &Options,
    world: &World,
    tell: &mut dyn FnMut(&str),
) -> (Vec<Count>, Vec<Skipped>) {
    let asked = options.peers.iter().filter(|peer| counts::PEERS.contains(&peer.name));
    let subjects: Vec<Subject<'_>> = asked
        .filter_map(|peer| world.servers.get(peer.name).map(|launch| Subject { peer, launch }))
        .collect();
    counts::run(&subjects, options.quick, tell)
}

/// What criterion left in `directory`, and what was left out of that, and why. A note says since when it is there, since it may be
/// of another commit.
pub fn micro(
    directory: &Path,
    notes: &mut Vec<String>,
    commands: &mut Vec<String>,
) -> (Vec<Micro>, Option<Skipped>) {
    match criterion::read(directory) {
        Ok(found) if found.is_empty() => (found, None),
        Ok(found) => {
            let since = oldest(directory).map_or_else(|| "unknown".to_owned(), machine::date);
            notes.push(format!("the small benches are of `{MICRO}`, the oldest of {since}"));
            commands.push(MICRO.to_owned());
            (found, None)
        }
        Err(why) => (Vec::new(), Some(Skipped { what: SMALL_BENCHES.to_owned(), why })),
    }
}

/// When the oldest result below a directory was written.
fn oldest(directory: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(directory).ok()?.flatten();
    let times = entries.filter_map(|entry| {
        let path = entry.path();
        if path.is_dir() {
            oldest(&path)
        } else if path.ends_with("new/estimates.json") {
            entry.metadata().ok()?.modified().ok()
        } else {
            None
        }
    });
    times.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_was_run_before_is_no_news() {
        let (mut notes, mut commands) = (Vec::new(), Vec::new());
        let (found, skipped) = micro(Path::new("/no/such"), &mut notes, &mut commands);
        assert!(found.is_empty() && skipped.is_none());
        assert!(notes.is_empty() && commands.is_empty());
    }

    #[test]
    fn results_are_as_old_as_the_oldest() {
        let directory = std::env::temp_dir().join(format!("millrun-gather-{}", std::process::id()));
        let hour =
            |hours: u64| std::time::UNIX_EPOCH + std::time::Duration::from_secs(3600 * hours);
        for (name, age) in [("a/one/new", 5), ("a/two/new", 3), ("b/base", 1)] {
            let place = directory.join(name);
            std::fs::create_dir_all(&place).unwrap();
            let file = std::fs::File::create(place.join("estimates.json")).unwrap();
            file.set_modified(hour(age)).unwrap();
        }
        let found = oldest(&directory);
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(found, Some(hour(3)));
        assert_eq!(oldest(Path::new("/no/such")), None);
    }
}
