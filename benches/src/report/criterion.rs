//! What `cargo bench` left behind: criterion's own files, one directory for each question and subject.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Micro;

/// Who and what.
#[derive(Deserialize)]
struct Benchmark {
    group_id: String,
    function_id: Option<String>,
    value_str: Option<String>,
    throughput: Option<Throughput>,
}

#[derive(Deserialize)]
struct Throughput {
    /// How many an iteration does.
    #[serde(rename = "Elements")]
    elements: Option<u64>,
}

/// How long an iteration takes, in nanoseconds.
#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
    confidence_interval: Interval,
}

#[derive(Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

/// Reads every result below `directory` (`target/criterion`), ordered by their paths: the medians and their intervals. None if there is no
/// such directory.
///
/// # Errors
///
/// When a file can't be read, or is not what criterion writes; it is named.
pub fn read(directory: &Path) -> Result<Vec<Micro>, String> {
    let mut results = Vec::new();
    find(directory, &mut results).map_err(|error| format!("{}: {error}", directory.display()))?;
    results.sort();
    results.iter().map(|result| micro(result)).collect()
}

/// The directories called `new` that have results.
fn find(directory: &Path, results: &mut Vec<PathBuf>) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let path = entry.path();
        if entry.file_name() == "new" && path.join("benchmark.json").exists() {
            results.push(path);
        } else {
            find(&path, results)?;
        }
    }
    Ok(())
}

fn micro(result: &Path) -> Result<Micro, String> {
    let benchmark: Benchmark = parsed(&result.join("benchmark.json"))?;
    let Estimates { median } = parsed(&result.join("estimates.json"))?;
    let elements = benchmark.throughput.and_then(|throughput| throughput.elements);
    let each = |nanos: f64| nanos / elements.unwrap_or(1).max(1) as f64;
    Ok(Micro {
        group: benchmark.group_id,
        subject: [benchmark.function_id, benchmark.value_str]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" "),
        nanos: each(median.point_estimate),
        low: each(median.confidence_interval.lower_bound),
        high: each(median.confidence_interval.upper_bound),
    })
}

fn parsed<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = fs::read_to_string(path).map_err(|error| wrong(&error))?;
    serde_json::from_str(&text).map_err(|error| wrong(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BENCHMARK: &str = r#"{"group_id":"timers: arm","function_id":"millrun","value_str":null,"throughput":{"Elements":10},"full_id":"x"}"#;
    const ESTIMATES: &str = r#"{"mean":{"point_estimate":1.0},"median":{"confidence_interval":{"confidence_level":0.95,"lower_bound":190.0,"upper_bound":220.0},"point_estimate":200.0,"standard_error":4.0}}"#;

    fn place(name: &str) -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("millrun-criterion-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("timers_ arm/millrun/new")).unwrap();
        fs::create_dir_all(path.join("timers_ arm/millrun/base")).unwrap();
        path
    }

    #[test]
    fn an_iteration_of_many_is_shared_out() {
        let path = place("many");
        fs::write(path.join("timers_ arm/millrun/new/benchmark.json"), BENCHMARK).unwrap();
        fs::write(path.join("timers_ arm/millrun/new/estimates.json"), ESTIMATES).unwrap();
        let found = read(&path).unwrap();
        let (group, subject) = ("timers: arm".to_owned(), "millrun".to_owned());
        assert_eq!(found, [Micro { group, subject, nanos: 20.0, low: 19.0, high: 22.0 }]);
        fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let path = place("broken");
        fs::write(path.join("timers_ arm/millrun/new/benchmark.json"), "{}").unwrap();
        let error = read(&path).unwrap_err();
        assert!(error.contains("benchmark.json") && error.contains("group_id"), "{error}");
        fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn nothing_was_measured_where_there_is_nothing() {
        assert_eq!(read(Path::new("no/such/directory")), Ok(vec![]));
    }
}
