//! Small servers that `cargo xtask gate` measures, and the client that drives them: in another process, so that what is
//! counted is the server's alone.
//!
//! ```text
//! gate serve SHAPE ENDED      serve on a port of the loopback until so many connections ended; prints `listening ADDRESS`,
//!                             and at the end `allocations COUNT`
//! gate drive SHAPE ADDRESS CONNECTIONS MESSAGES    one connection after the other, so many messages on each
//! gate hold SHAPE ADDRESS FIRST MORE               opens FIRST connections, one message on each; prints `holding COUNT` and
//!                             waits for a line; opens MORE and does so again; then ends
//! ```

mod accept;
mod bare;
mod client;
mod looped;
mod protocol;
mod selector;
mod streams;

use std::alloc::System;
use std::error::Error;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use millrun_selector::Address;
use millrun_transport::Server;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["serve", shape, ended] => serve(shape, ended),
        ["drive", shape, address, connections, messages] => {
            drive(shape, address, connections, messages)
        }
        ["hold", shape, address, first, more] => hold(shape, address, first, more),
        _ => Err("serve SHAPE ENDED | drive SHAPE ADDRESS CONNECTIONS MESSAGES | hold SHAPE ADDRESS FIRST MORE".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gate {}: {error}", arguments.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn serve(shape: &str, ended: &str) -> Outcome {
    let ended = ended.parse()?;
    raise_descriptor_limit()?;
    match shape {
        "bare" => {
            let listener = TcpListener::bind(("127.0.0.1", 0))?;
            announce(listener.local_addr()?)?;
            bare::serve(&listener, ended)?;
        }
        "selector" => selector::serve(ended)?,
        "loop" => looped::serve(ended)?,
        "protocol" => protocol::serve(ended)?,
        "streams" | "blocks" => streams::serve_echo(ended)?,
        "lines" => streams::serve_lines(ended)?,
        "blocks-own" => streams::serve_own_blocks(ended)?,
        "blocks-shared" => streams::serve_shared_blocks(ended)?,
        other => return Err(format!("no such server: {other}").into()),
    }
    let stats = ALLOCATOR.stats();
    println!("allocations {}", stats.allocations + stats.reallocations);
    Ok(())
}

fn drive(shape: &str, address: &str, connections: &str, messages: &str) -> Outcome {
    let client = client::Client::new(shape, address.parse()?);
    let messages = messages.parse()?;
    for _ in 0..connections.parse()? {
        client.converse(messages)?;
    }
    Ok(())
}

fn hold(shape: &str, address: &str, first: &str, more: &str) -> Outcome {
    let limit = raise_descriptor_limit()?;
    let client = client::Client::new(shape, address.parse()?);
    let mut held = Vec::new();
    for wanted in [first.parse::<usize>()?, more.parse::<usize>()?] {
        // The server has a few more descriptors than connections, as has the client.
        let room = limit.saturating_sub(held.len() + 64);
        for _ in 0..wanted.min(room) {
            held.push(client.open()?);
        }
        println!("holding {}", held.len());
        std::io::stdin().read_line(&mut String::new())?;
    }
    Ok(())
}

fn announce(address: SocketAddr) -> Outcome {
    println!("listening {address}");
    Ok(std::io::stdout().flush()?)
}

fn announce_server(server: &Server) -> Outcome {
    let addresses = server.local_addrs();
    announce(addresses.first().and_then(Address::as_inet).ok_or("not an internet address")?)
}

/// The soft limit of descriptors up to the hard one; gives what it is now.
fn raise_descriptor_limit() -> Outcome<usize> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(limit.maximum.map_or(usize::MAX, |maximum| usize::try_from(maximum).unwrap_or(usize::MAX)))
}
