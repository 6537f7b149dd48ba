//! Compiles a peer that is written in C.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use super::launch::Launch;

/// A library that pkg-config does not know, and the package that has it on Debian.
const DEBIAN: &[(&str, &str)] = &[("libuv", "libuv1-dev"), ("zlib", "zlib1g-dev")];

/// Compiles `source`, and the other C files of its folder, with the machine's C compiler (`CC`, or cc) and what pkg-config says of
/// `libraries`, to a program below `into`. Its version is that of
/// its libraries, as pkg-config has them: "libuv 1.44.2".
///
/// The program is there whole or not at all, also for those who compile the same at the same time or run what they compiled before.
///
/// # Errors
///
/// Why there is no program, and what to install: one line, or the compiler's own words.
pub fn build(source: &Path, libraries: &[&str], into: &Path) -> Result<Launch, String> {
    let version = libraries.iter().map(|name| version_of(name)).collect::<Result<Vec<_>, _>>()?;
    let mut flags = String::new();
    if !libraries.is_empty() {
        flags = output(Command::new("pkg-config").args(["--cflags", "--libs"]).args(libraries))?;
    }
    std::fs::create_dir_all(into).map_err(|error| format!("{}: {error}", into.display()))?;
    let program = into.join(name_of(source));
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    if !answers(&compiler) {
        return Err(format!("{} does not answer: apt-get install gcc", compiler.to_string_lossy()));
    }
    // A compiler writes to where somebody may be running the last one's; a rename leaves that one to those who have it.
    let unfinished = unique(&program);
    let mut compile = Command::new(&compiler);
    compile.args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-o"]).arg(&unfinished);
    // Libraries come after what needs them.
    compile.args(sources_beside(source)?).args(flags.split_whitespace());
    let compiled = output(&mut compile).and_then(|_| {
        let wrong = |error| format!("{}: {error}", program.display());
        std::fs::rename(&unfinished, &program).map_err(wrong)
    });
    if let Err(why) = compiled {
        let _ = std::fs::remove_file(&unfinished); // the compiler may have left none
        return Err(why);
    }
    Ok(Launch { program, arguments: Vec::new(), version: version.join(", ") })
}

/// "libuv 1.44.2", or what to install.
fn version_of(library: &str) -> Result<String, String> {
    if !answers("pkg-config".as_ref()) {
        return Err("pkg-config is missing: apt-get install pkg-config".to_owned());
    }
    let mut ask = Command::new("pkg-config");
    ask.args(["--modversion", library]);
    let Ok(version) = output(&mut ask) else {
        let package = DEBIAN.iter().find(|(name, _)| *name == library);
        let hint =
            package.map_or_else(String::new, |(_, name)| format!(": apt-get install {name}"));
        return Err(format!("pkg-config does not know {library}{hint}"));
    };
    Ok(format!("{library} {}", version.trim()))
}

/// "server-libuv" of "…/libuv/server.c".
fn name_of(source: &Path) -> String {
    let folder = source.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let stem = source.file_stem().unwrap_or_default().to_string_lossy();
    format!("{stem}-{folder}")
}

/// A name beside `program` that nobody else has: no other process, and no other thread.
fn unique(program: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut name = program.as_os_str().to_owned();
    name.push(format!(".{}-{number}", std::process::id()));
    name.into()
}

/// The C files of the folder, in order of their names.
fn sources_beside(source: &Path) -> Result<Vec<PathBuf>, String> {
    let folder = source.parent().unwrap_or(Path::new("."));
    let wrong = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        if path.extension().is_some_and(|extension| extension == "c") {
            sources.push(path);
        }
    }
    sources.sort();
    Ok(sources)
}

fn answers(program: &std::ffi::OsStr) -> bool {
    let mut ask = Command::new(program);
    ask.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    ask.status().is_ok_and(|status| status.success())
}

/// What a command prints; an error has what it complained about.
pub(super) fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name}: {}: {}", output.status, complaint.trim()))
}

#[cfg(test)]
mod tests {
    use std::process::Child;

    use super::*;

    #[test]
    fn a_program_is_named_for_its_peer() {
        assert_eq!(name_of(Path::new("peers/libuv/server.c")), "server-libuv");
    }

    /// A directory of this test's own, with a C file; gone when dropped.
    struct Sources(PathBuf);

    impl Sources {
        fn new(name: &str, text: &str) -> Self {
            let name = format!("millrun-native-{name}-{}", std::process::id());
            let directory = std::env::temp_dir().join(name);
            std::fs::create_dir_all(directory.join("peer")).unwrap();
            std::fs::write(directory.join("peer/server.c"), text).unwrap();
            Self(directory)
        }

        /// Nothing where there is no C compiler.
        fn build(&self) -> Option<Result<Launch, String>> {
            let built = build(&self.0.join("peer/server.c"), &[], &self.0.join("built"));
            if built.as_ref().is_err_and(|why| why.contains("does not answer")) {
                println!("skipped: no C compiler here");
                return None;
            }
            Some(built)
        }

        fn built(&self) -> Vec<String> {
            let entries = std::fs::read_dir(self.0.join("built")).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    impl Drop for Sources {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// Ends with 7; with an argument, never.
    const SEVEN: &str = "#include <unistd.h>\nint main(int argc, char **argv) { (void)argv; if (argc > 1) pause(); return 7; }\n";

    /// A program that runs until it is dropped.
    struct Busy(Child);

    impl Drop for Busy {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn those_who_compile_the_same_at_once_can_each_start_it() {
        let sources = Sources::new("at-once", SEVEN);
        let Some(first) = sources.build() else { return };
        let _busy = Busy(Command::new(first.unwrap().program).arg("for ever").spawn().unwrap());
        let rounds = || {
            for _ in 0..5 {
                let program = sources.build().unwrap().unwrap().program;
                let status = Command::new(program).status().unwrap();
                assert_eq!(status.code(), Some(7));
            }
        };
        std::thread::scope(|scope| [(); 4].map(|()| scope.spawn(rounds)).map(drop));
        assert_eq!(sources.built(), ["server-peer"], "nothing else is left");
    }

    #[test]
    fn what_does_not_compile_leaves_nothing() {
        let sources = Sources::new("wrong", "int main(void) { return nothing; }");
        let Some(built) = sources.build() else { return };
        let why = built.expect_err("it is no C");
        assert!(why.contains("nothing"), "{why}");
        assert_eq!(sources.built(), [""; 0]);
    }

    #[test]
    fn an_unknown_library_is_named() {
        let why = build(Path::new("x/y.c"), &["no-such-library"], Path::new("."));
        let why = why.expect_err("there is no such library");
        assert!(why.contains("no-such-library") || why.contains("pkg-config"), "{why}");
    }
}
