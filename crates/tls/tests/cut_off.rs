//! Connections that somebody on the way cuts off, at every record, and garbage in place of TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use common::{Certificates, NAME, Tell, Told, at, noise, run, serve};
use millrun_loop::{LoopHandle, sleep, spawn};
use millrun_selector::ConnectOptions;
use millrun_streams::{OpenConnection, StartServer, StreamReader, StreamWriter};
use millrun_transport::{Connect, Serve, Server};

fn front() -> SocketAddr {
    "10.0.0.2:443".parse().unwrap()
}

/// A proxy before the server that lets so many records of the server's through, whole, and then ends the connection in order.
async fn cutting(records: usize, seen: Rc<Cell<usize>>) -> Server {
    let serve = Serve::address(front());
    StartServer::tasks(serve, move |mut reader: StreamReader, writer: StreamWriter| {
        let seen = Rc::clone(&seen);
        async move {
            let back = OpenConnection::from(Connect::address(at()));
            let (mut back_reader, back_writer) = back.await.unwrap();
            let back_writer = Rc::new(back_writer);
            let to_server = Rc::clone(&back_writer);
            let forward = spawn(async move {
                while let Ok(bytes) = reader.read(65536).await {
                    if bytes.is_empty() || to_server.write(bytes).is_err() {
                        break;
                    }
                }
                to_server.write_eof();
            });
            for _ in 0..records {
                let Ok(header) = back_reader.read_exact(5).await else { break };
                let (header, len) =
                    (header.to_vec(), usize::from(u16::from_be_bytes([header[3], header[4]])));
                let Ok(body) = back_reader.read_exact(len).await else { break };
                seen.set(seen.get() + 1);
                if writer.writelines(&[&header, body]).is_err() {
                    break;
                }
            }
            let _ = writer.close().await;
            forward.abort();
            back_writer.abort();
        }
    })
    .await
    .unwrap()
}

/// D-14: wherever it is cut, no end looks clean before the peer's close_notify has come, and what came before is whole.
#[test]
fn a_cut_at_any_record_is_a_failed_handshake_or_a_truncation() {
    let certificates = Certificates::new();
    let sent = noise(70_000);
    let (mut handshakes, mut truncations) = (0, 0);
    for records in 0.. {
        let seen = Rc::new(Cell::new(0));
        let end = run(|_| async {
            let there = Told::default();
            let server = serve(certificates.server_config(), &there, |told| {
                Tell::new(told).on_data(|told, _| {
                    told.transport().write(&noise(70_000));
                    told.transport().close();
                    Ok(())
                })
            })
            .await;
            let proxy = cutting(records, Rc::clone(&seen)).await;
            let handle = LoopHandle::current().unwrap();
            let here = Told::default();
            let connect = Connect::address(front()).tls(&certificates.client_config(), NAME);
            let end = match connect.connect(&handle, || Tell::new(&here)).await {
                Err(_) => "handshake".to_owned(),
                Ok(transport) => {
                    transport.write(b"go on");
                    while here.events().last().is_none_or(|e| !e.starts_with("lost")) {
                        sleep(Duration::from_millis(10)).await;
                    }
                    here.events()[1..].join(" ")
                }
            };
            assert!(
                sent.starts_with(&here.received()),
                "what came is the beginning of what was sent"
            );
            if end == "data eof lost" {
                assert!(here.received() == sent);
            }
            here.forget();
            there.forget();
            proxy.close();
            server.close();
            sleep(Duration::from_secs(40)).await;
            end
        });
        match end.as_str() {
            "handshake" => handshakes += 1,
            "data eof lost" => break,
            // Our own words may meet the closed end first: that is no clean end either.
            "lost: BrokenPipe" | "lost: ConnectionReset" => truncations += 1,
            "lost: Truncated" | "data lost: Truncated" => truncations += 1,
            other => panic!("cut after {records} records: {other}"),
        }
        assert!(records < 50 && seen.get() == records, "{records}: it never ends");
    }
    // The server's hello, change_cipher_spec and handshake records; two tickets, five records of data, then close_notify.
    assert!(handshakes >= 2 && truncations >= 5, "{handshakes} and {truncations}");
}

/// What is no TLS at all: the connection ends, with an alert, the server goes on, and nobody is told.
#[test]
fn garbage_in_place_of_a_hello_ends_that_connection_alone() {
    let certificates = Certificates::new();
    run(|sim| async move {
        let handle = LoopHandle::current().unwrap();
        let reports = common::reports(&handle);
        let there = Told::default();
        let server = serve(certificates.server_config(), &there, Tell::echo).await;
        let mut garbage = noise(100_000);
        for (case, first) in
            [b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0; 5000], vec![22, 3, 1, 0xff, 0xff, 1], {
                garbage[0] = 22;
                garbage.clone()
            }]
            .into_iter()
            .enumerate()
        {
            let client = sim.network().connect(&at(), &ConnectOptions::default()).unwrap();
            sleep(Duration::from_millis(1)).await;
            let _ = client.try_write(&first);
            sleep(Duration::from_secs(70)).await;
            let mut answer = [0; 64];
            let n = client.try_read(&mut answer).unwrap_or(0);
            // An alert, unless the server waited for the rest of a record until its patience was over.
            assert!(n == 0 || answer[0] == 21, "case {case}: {:?}", &answer[..n]);
            assert!(
                client.try_read(&mut answer).is_ok_and(|n| n == 0)
                    || client.try_write(b"x").is_err()
                    || n == 0
            );
        }
        assert!(there.events().is_empty() && reports.borrow().is_empty(), "{reports:?}");
        let here = Told::default();
        common::connect(&certificates.client_config(), Tell::new(&here)).await.unwrap();
        here.transport().write(b"still there?");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(here.received(), b"still there?");
        here.transport().close();
        sleep(Duration::from_secs(1)).await;
        here.forget();
        there.forget();
        server.close();
    });
}
