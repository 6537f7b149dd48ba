//! Ten thousand idle connections, with the client in another process.
#![cfg(all(feature = "os", feature = "streams"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::io::{self, Write};
use std::net::TcpStream;
use std::time::Duration;

use millrun::event_loop::{LoopHandle, timeout};
use millrun::streams::{StartServer, StreamReader, StreamWriter, open_connection};
use millrun::transport::{AtName, Serve, Server};
use support::{
    Echo, Helper, alone, bounded, open_descriptors, ping, port, raise_limit, role, until,
};

const NAME: &str = "ten_thousand_idle_connections_leave_the_server_responsive";
const WANTED: usize = 10_000;
/// Descriptors that a process needs beside the connections.
const OTHERS: usize = 100;

/// How many connections the limits allow.
fn connections() -> usize {
    let most = raise_limit(WANTED + OTHERS).saturating_sub(OTHERS);
    if most < WANTED {
        println!("note: {most} connections instead of {WANTED}: no more descriptors allowed");
    }
    most.min(WANTED)
}

/// The client's process: connects, waits, talks on some of them, waits, leaves.
fn client() {
    let many = connections();
    let port = support::hear().parse().unwrap();
    let mut idle: Vec<TcpStream> = (0..many).map(|_| support::connect(port)).collect();
    println!("connected");
    support::hear();
    for (i, stream) in idle.iter_mut().enumerate().step_by(many.div_ceil(100)) {
        ping(stream, format!("still there, {i}?\n").as_bytes());
    }
    println!("answered");
    io::stdout().flush().unwrap();
    support::hear();
}

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    while let Some(line) = reader.next_line().await.map_err(io::Error::other)? {
        writer.write(line).map_err(io::Error::other)?;
        writer.drain().await?;
    }
    Ok(())
}

/// Blocking waits for the helper are done on the executor.
async fn helper_says(mut helper: Helper, word: &'static str, line: String) -> Helper {
    let handle = LoopHandle::current().unwrap();
    let job = handle.run_in_executor(move || {
        helper.say(&line);
        helper.expect(word);
        helper
    });
    job.await.unwrap()
}

/// A queue of 100, the default, overflows while the server's process has to wait for a core, and then a
/// client's connect takes a second.
fn on_loopback() -> Serve<AtName> {
    Serve::on("127.0.0.1", 0).backlog(4096)
}

async fn hold(server: Server, many: usize) {
    let helper = Helper::start(NAME, "client");
    let helper = helper_says(helper, "connected", port(&server).to_string()).await;
    until(|| server.connections() == many).await;
    let before = LoopHandle::current().unwrap().metrics();

    // One more, while all others are idle.
    let exchange = async {
        let (mut reader, writer) = open_connection("127.0.0.1", port(&server)).await.unwrap();
        writer.write(b"one more\n").unwrap();
        assert_eq!(reader.read_line().await.unwrap(), b"one more\n");
        writer.close().await.unwrap();
    };
    timeout(Duration::from_secs(5), exchange).await.expect("a responsive server");
    until(|| server.connections() == many).await;
    let after = LoopHandle::current().unwrap().metrics();
    // The idle ones cost nothing: what ran was for the one more (and for the waiting of this test).
    let events = after.io_events - before.io_events;
    assert!(events < 100, "{events} events for one exchange");

    let helper = helper_says(helper, "answered", "go on".into()).await;
    assert_eq!(server.connections(), many);
    drop(helper);
    until(|| server.connections() == 0).await;
    server.close();
    server.wait_closed().await;
}

#[test]
fn ten_thousand_idle_connections_leave_the_server_responsive() {
    match role().as_deref() {
        None => return alone(NAME),
        Some("client") => return client(),
        Some(_) => {}
    }
    let many = connections();
    bounded(100, async {
        // The executor's thread and the loop's own descriptors are there from here on.
        LoopHandle::current().unwrap().run_in_executor(|| ()).await.unwrap();
        let before = open_descriptors();
        let handle = LoopHandle::current().unwrap();
        hold(on_loopback().serve(&handle, Echo::default).await.unwrap(), many).await;
        assert_eq!(open_descriptors(), before, "descriptors, on the callback layer");
        hold(StartServer::tasks(on_loopback(), echo).await.unwrap(), many).await;
        assert_eq!(open_descriptors(), before, "descriptors, on streams");
        let metrics = handle.metrics();
        assert_eq!((metrics.watches, metrics.tasks), (0, 0));
    });
}
