//! Connecting and serving by address, on the simulated network.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use common::{reports, run, run_on, settle, sim_loop};
use millrun_loop::{LoopHandle, sleep, spawn};
use millrun_sim::Sim;
use millrun_streams::{
    CloseOutcome, OpenConnection, StartServer, StreamReader, StreamWriter, open_connection,
    open_unix_connection, start_server, start_unix_server,
};
use millrun_transport::{Connect, ConnectError, Serve, Server};

fn port(server: &Server) -> u16 {
    server.local_addrs()[0].port().unwrap()
}

async fn client(server: &Server) -> (StreamReader, StreamWriter) {
    open_connection("127.0.0.1", port(server)).await.unwrap()
}

async fn everything(reader: &mut StreamReader) -> Vec<u8> {
    let mut all = Vec::new();
    reader.read_to_end(&mut all).await.unwrap();
    all
}

async fn shout(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write(&line.to_ascii_uppercase())?;
        writer.drain().await?;
    }
    Ok(())
}

/// SV-025: an async function is a task per connection, and its ends close with it.
#[test]
fn sv_025_an_async_handler_is_a_task_for_each_connection() {
    run(async |_sim| {
        let server = start_server("127.0.0.1", 0, shout).await.unwrap();
        let mut clients = Vec::new();
        for i in 0..5 {
            let (reader, writer) = client(&server).await;
            writer.write(format!("hello {i}\nand ").as_bytes()).unwrap();
            clients.push((reader, writer));
        }
        settle().await;
        assert_eq!(server.connections(), 5);
        for (i, (reader, writer)) in clients.iter_mut().enumerate() {
            assert_eq!(reader.read_line().await.unwrap(), format!("HELLO {i}\n").as_bytes());
            writer.write(b"bye\n").unwrap();
            writer.write_eof();
            assert_eq!(everything(reader).await, b"AND BYE\n");
        }
        drop(clients);
        server.close();
        server.wait_closed().await;
        assert_eq!(server.connections(), 0);
    });
}

/// SV-025: a plain one is just called; closures that own what they use.
#[test]
fn sv_025_a_plain_callback_is_just_called() {
    run(async |_sim| {
        let kept = Rc::new(RefCell::new(Vec::new()));
        let keep = kept.clone();
        let server = StartServer::calls(Serve::on("127.0.0.1", 0), move |reader, writer| {
            writer.write(b"welcome").unwrap();
            keep.borrow_mut().push((reader, writer));
        })
        .limit(77)
        .await
        .unwrap();
        let (mut reader, _writer) = client(&server).await;
        assert_eq!(reader.read(100).await.unwrap(), b"welcome");
        assert_eq!(kept.borrow()[0].0.limit(), 77);
        kept.borrow_mut().clear();
        assert_eq!(reader.read(100).await.unwrap(), b"");
    });
}

/// A closure that lends what it captured to each of its futures.
#[test]
fn sv_025_an_async_closure_may_use_what_it_captured() {
    run(async |_sim| {
        let (greeting, served) = (String::from("hi"), Rc::new(Cell::new(0)));
        let count = served.clone();
        let server = start_server("127.0.0.1", 0, async move |_reader, writer: StreamWriter| {
            writer.write(greeting.as_bytes()).unwrap();
            count.set(count.get() + 1);
        })
        .await
        .unwrap();
        for _ in 0..3 {
            let (mut reader, _writer) = client(&server).await;
            assert_eq!(everything(&mut reader).await, b"hi");
        }
        assert_eq!(served.get(), 3);
    });
}

#[test]
fn sv_026_a_handler_that_fails_is_reported_and_its_connection_closed() {
    run(async |_sim| {
        let reports = reports(&LoopHandle::current().unwrap());
        let kept = Rc::new(RefCell::new(None));
        let keep = kept.clone();
        let server = start_server("127.0.0.1", 0, async move |reader, writer: StreamWriter| {
            writer.write(b"before").unwrap();
            // The connection is closed even if an end lives on elsewhere.
            *keep.borrow_mut() = Some((reader, writer));
            Err::<(), _>(io::Error::other("no more tea"))
        })
        .await
        .unwrap();
        let (mut reader, _writer) = client(&server).await;
        assert_eq!(everything(&mut reader).await, b"before");
        let text = reports.borrow().join("\n");
        assert!(text.contains("unhandled exception in client_connected_cb"), "{text}");
        assert!(text.contains("error: no more tea") && text.contains("transport: "), "{text}");
        assert_eq!(reports.borrow().len(), 1);
        assert!(kept.borrow().as_ref().unwrap().1.is_closing());
    });
}

#[test]
fn sv_026_a_handler_that_panics_is_reported_and_others_go_on() {
    run(async |_sim| {
        let reports = reports(&LoopHandle::current().unwrap());
        let server = start_server("127.0.0.1", 0, async |mut reader: StreamReader, writer| {
            assert_ne!(reader.read_line().await.unwrap(), b"panic\n", "asked to");
            shout(reader, writer).await.unwrap();
        })
        .await
        .unwrap();
        let (mut reader, writer) = client(&server).await;
        let (mut other, other_writer) = client(&server).await;
        other_writer.write(b"first\n").unwrap();
        writer.write(b"panic\n").unwrap();
        assert_eq!(everything(&mut reader).await, b"");
        let text = reports.borrow().join("\n");
        assert!(text.contains("unhandled exception in client_connected_cb"), "{text}");
        assert!(text.contains("asked to") && reports.borrow().len() == 1, "{text}");
        other_writer.write(b"still\n").unwrap();
        assert_eq!(other.read_line().await.unwrap(), b"STILL\n");
        drop((other, other_writer));
        settle().await;
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn sv_027_a_handler_that_is_cancelled_is_closed_without_a_report() {
    let sim = Sim::new(3);
    let mut event_loop = sim_loop(&sim);
    let reports = reports(&event_loop.handle());
    let lost = event_loop
        .run_until_complete(async {
            let server = start_server("127.0.0.1", 0, shout).await.unwrap();
            server.detach();
            client(&server).await
        })
        .unwrap();
    event_loop.close();
    assert!(lost.1.is_closing());
    assert!(lost.1.write(b"x").is_err());
    drop(lost);
    assert!(reports.borrow().is_empty(), "{reports:?}");
    assert_eq!((sim.open_sockets(), sim.registrations()), (0, 0));
}

/// ST-063, E-002: the reader has the limit, and reading has begun.
#[test]
fn st_063_open_connection_gives_a_reader_with_the_limit() {
    run(async |sim| {
        sim.add_host("mill.example", ["10.0.0.7".parse().unwrap()]);
        let server = start_server("10.0.0.7", 4000, shout).limit(9).await.unwrap();
        let (mut reader, writer) = open_connection("mill.example", 4000).limit(123).await.unwrap();
        assert_eq!(reader.limit(), 123);
        assert_eq!(writer.peer_addr().unwrap().to_string(), "10.0.0.7:4000");
        writer.write(b"yes\n").unwrap();
        assert_eq!(reader.read_line().await.unwrap(), b"YES\n");
        assert_eq!(writer.close().await.unwrap(), CloseOutcome::Flushed);
        server.close();
        let zero = open_connection("10.0.0.7", 4000).limit(0).await.unwrap_err();
        assert_eq!(zero.kind(), ErrorKind::InvalidInput);
        let zero = start_server("10.0.0.7", 0, shout).limit(0).await.unwrap_err();
        assert_eq!(zero.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn st_064_a_failed_connect_passes_the_error_on() {
    run(async |sim| {
        let error = open_connection("127.0.0.1", 9).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(error.get_ref().unwrap().is::<ConnectError>());
        assert_eq!((sim.open_sockets(), sim.registrations()), (0, 0));
        assert!(open_connection("no.such.host", 80).await.is_err());
    });
}

/// E-010: an address that refuses does not stop the next.
#[test]
fn e_010_the_second_address_serves() {
    run(async |sim| {
        let server = start_server("10.0.0.2", 80, shout).await.unwrap();
        sim.add_host("two.example", ["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()]);
        let (mut reader, writer) = open_connection("two.example", 80).await.unwrap();
        writer.write(b"a\n").unwrap();
        assert_eq!(reader.read_line().await.unwrap(), b"A\n");
        server.close();
    });
}

#[test]
fn the_options_of_connecting_and_serving_pass_through() {
    run(async |_sim| {
        let at: SocketAddr = "10.1.1.1:7".parse().unwrap();
        let server = StartServer::tasks(Serve::address(at).backlog(3), shout).await.unwrap();
        let connect =
            Connect::address(at).local_address("10.2.2.2:99".parse::<SocketAddr>().unwrap());
        let (_reader, writer) = OpenConnection::from(connect).limit(5).await.unwrap();
        assert_eq!(writer.local_addr().unwrap().to_string(), "10.2.2.2:99");
        server.close();
    });
}

#[test]
fn the_unix_twins() {
    run(async |_sim| {
        let server = start_unix_server("/run/mill.sock", shout).await.unwrap();
        let (mut reader, writer) = open_unix_connection("/run/mill.sock").limit(50).await.unwrap();
        writer.write(b"unix\n").unwrap();
        writer.write_eof();
        assert_eq!(everything(&mut reader).await, b"UNIX\n");
        assert_eq!(reader.limit(), 50);
        server.close();
    });
}

/// Handlers that outlive their server; and one hundred clients at once.
#[test]
fn many_conversations_at_once() {
    let sim = Sim::new(5);
    run_on(&sim, async {
        let server = start_server("127.0.0.1", 0, shout).await.unwrap();
        let at = port(&server);
        let tasks: Vec<_> = (0..100u64)
            .map(|i| {
                spawn(async move {
                    sleep(Duration::from_millis(i % 7)).await;
                    let (mut reader, writer) = open_connection("127.0.0.1", at).await.unwrap();
                    for line in 0..20 {
                        writer.write(format!("line {line} of {i}\n").as_bytes()).unwrap();
                        writer.drain().await.unwrap();
                        let answer = reader.read_line().await.unwrap();
                        assert_eq!(answer, format!("LINE {line} OF {i}\n").as_bytes());
                    }
                    writer.close().await.unwrap()
                })
            })
            .collect();
        sleep(Duration::from_millis(20)).await;
        server.close();
        for task in tasks {
            assert_eq!(task.await.unwrap(), CloseOutcome::Flushed);
        }
        server.wait_closed().await;
    });
    assert_eq!((sim.open_sockets(), sim.registrations()), (0, 0), "{sim:?}");
}

/// What is dropped at any await leaves nothing behind (invariant 10): `run` counts.
#[test]
fn a_connect_that_is_dropped_leaves_nothing() {
    run(async |_sim| {
        let server = start_server("127.0.0.1", 0, shout).await.unwrap();
        let at = port(&server);
        for polls in 0..6u64 {
            let task = spawn(async move { drop(open_connection("127.0.0.1", at).await) });
            for _ in 0..polls {
                millrun_loop::yield_now().await;
            }
            task.abort();
        }
        sleep(Duration::from_secs(60)).await;
        assert_eq!(server.connections(), 0);
    });
}
