//! A test that needs a process of its own: it counts descriptors, or runs out of them.

use std::process::Command;

const CHILD: &str = "MILLRUN_TEST_CHILD";

/// This process was started by [`run`].
pub fn is_one() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs the test of this name alone in a new process, with at most so many descriptors.
pub fn run(name: &str, descriptors: Option<u32>) {
    let limit = descriptors.map_or(String::new(), |most| format!("ulimit -n {most} && "));
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!("{limit}exec \"$0\" \"$@\""))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success(), "the child failed:\n{text}");
    assert!(text.contains("1 passed"), "the child ran no test:\n{text}");
}

/// How many descriptors this process has open.
pub fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
