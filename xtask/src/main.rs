//! What the project checks about itself. `cargo xtask help` lists the commands.
//!
//! Every rule is a function from text (sources, cargo's metadata, tool output) to the problems in it, and has a
//! unit test with a made-up text that breaks it: a check that was never seen failing guards nothing.

mod asan;
mod bench;
mod ci;
mod commands;
mod fuzz;
mod gate;
mod layers;
mod loom;
mod metadata;
mod nightly;
mod peers;
mod sim;
mod steps;
mod stress;
mod test;
mod tidy;
mod torture;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  test [CRATE...]  all tests; then each layer alone with no features; a named one also with its default ones
  layers           no crate depends on a layer above it, nor on a package it did not declare
  tidy             sizes, reasons, citations, links: what a program can read
  gate [SHAPE...]  instructions, syscalls, allocations and idle memory against xtask/gate.txt (release build)
  bench [OPTION]   CPU, throughput, latency and memory beside every peer and at the limit; --help tells more
  torture [OPTION] each call of the operating system fails, in each way, under each scenario (release build); --help tells more
  sim [OPTION]     the whole stack in a world of hosts, under thousands of seeds (release build); --help tells more
  fuzz [OPTION]    the fuzz targets, each for a minute; --help tells more (needs a nightly compiler and cargo-fuzz)
  asan [CRATE...]  the tests under AddressSanitizer, with a check for leaks (needs a nightly compiler, else skipped)
  loom             what threads do to the loop at the same time, in every order
  stress [OPTION]  crowds of clients against a server, on real sockets (release build); --help tells more
  peers [--gib]    the tour's halves against nc, curl, dd and Python; a GiB each way over TLS against Python
  ci               all of it but fuzz, asan, stress and --gib, with formatting, clippy, docs, cargo-deny, examples and the tour
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", [].as_slice()),
    };
    let result = match command {
        "test" => test::run(rest),
        "layers" => layers::run(),
        "tidy" => tidy::run(),
        "gate" => gate::run(rest),
        "bench" => bench::run(rest),
        "sim" => sim::run(rest),
        "fuzz" => fuzz::run(rest),
        "stress" => stress::run(rest),
        "asan" => asan::run(rest),
        "loom" => loom::run(),
        "torture" => torture::run(rest),
        "peers" => peers::run(rest),
        "ci" => ci::run(),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => Err(format!("no such command: {other}\n\n{HELP}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
