//! The models of what threads do to the loop at the same time: loom runs each in every order.

use std::process::Command;

use crate::commands::{cargo, succeed, target};

/// In release, since there are thousands of orders.
const MODELS: &str =
    "test --package millrun-loop --no-default-features --release --test loom_remote";

pub(crate) fn run() -> Result<(), String> {
    succeed(&mut command())
}

/// Everything is compiled with the cfg, so apart from what others build.
fn command() -> Command {
    let mut command = cargo(MODELS);
    command.env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", target().join("loom"));
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::root;

    #[test]
    fn the_models_are_compiled_for_loom_and_apart() {
        let command = command();
        let of = |name: &str| command.get_envs().find(|(key, _)| *key == name)?.1;
        assert_eq!(of("RUSTFLAGS"), Some("--cfg loom".as_ref()));
        assert!(of("CARGO_TARGET_DIR").is_some_and(|path| path != target().as_os_str()));
    }

    /// A file of models under another name would be run nowhere: without the cfg it is empty.
    #[test]
    fn all_files_of_models_are_run() {
        let directory = root().join("crates/loop/tests");
        let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
        let models = files.filter(|name| name.to_string_lossy().starts_with("loom"));
        assert_eq!(models.collect::<Vec<_>>(), ["loom_remote.rs"]);
    }
}
