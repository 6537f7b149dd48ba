//! Is there a Python, and does it get the peers' packages?
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;

use millrun_benches::runner::python;

#[test]
fn the_interpreter_that_is_chosen_imports_what_it_says() {
    let into = Path::new(env!("CARGO_TARGET_TMPDIR")).join("benches");
    let python = match python::prepare(&["uvloop", "rloop"], &into, &mut |what| println!("{what}"))
    {
        Ok(python) => python,
        Err(why) => return println!("skipped: {why}"),
    };
    for (package, outcome) in &python.packages {
        match outcome {
            Ok(version) => {
                let imports = std::process::Command::new(&python.program)
                    .args(["-c", &format!("import {package}")])
                    .status()
                    .unwrap();
                assert!(imports.success(), "{package} {version}");
            }
            Err(why) => println!("{package} is left out: {why}"),
        }
    }
    let again = python::prepare(&["uvloop", "rloop"], &into, &mut |what| {
        // What could not be had is tried again; what is there is not installed twice.
        assert!(
            python.packages.iter().any(|(name, got)| got.is_err() && what.contains(name)),
            "{what}"
        );
    });
    assert_eq!(again.unwrap(), python);
}

#[test]
fn a_package_that_cannot_be_had_is_a_reason_not_a_failure() {
    let into = Path::new(env!("CARGO_TARGET_TMPDIR")).join("benches-empty");
    // Not a name that a package can have: pip refuses it without asking anybody.
    let Ok(python) = python::prepare(&["no package"], &into, &mut |_| ()) else {
        return println!("skipped: no Python here");
    };
    let why = python.launch(Path::new("server.py"), "no package").unwrap_err();
    assert!(why.contains("no package on Python 3."), "{why}");
}
