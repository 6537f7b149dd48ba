//! TLS over a connection that is in use, and TLS over TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use common::{Certificates, NAME, Tell, Told, at, name, run, settle};
use millrun_loop::{LoopHandle, sleep};
use millrun_streams::{
    OpenConnection, ReadAhead, StartServer, StreamReader, StreamWriter, UnexpectedPlaintext,
};
use millrun_tls::{ServerConfig, TlsInfo};
use millrun_transport::{ClientTls, Connect, Serve, Server, Upper, start_tls};

/// A server that answers STARTTLS with OK and goes on over TLS, echoing lines.
async fn upgrading(config: ServerConfig) -> Server {
    StartServer::tasks(Serve::address(at()), move |reader, writer| {
        let config = config.clone();
        async move { upgrade(config, reader, writer).await }
    })
    .await
    .unwrap()
}

async fn upgrade(
    config: ServerConfig,
    mut reader: StreamReader,
    writer: StreamWriter,
) -> io::Result<()> {
    assert_eq!(reader.read_line().await?, b"STARTTLS\n");
    writer.write(b"OK\n")?;
    let (mut reader, writer) = writer.start_tls(reader, Rc::new(config), ReadAhead::Refuse).await?;
    loop {
        let line = reader.read_line().await?;
        if line.is_empty() {
            return Ok(());
        }
        writer.write(line)?;
        writer.drain().await?;
    }
}

async fn plain() -> (StreamReader, StreamWriter) {
    OpenConnection::from(Connect::address(at())).limit(5000).await.unwrap()
}

/// ST-078: both sides of it; the reader's limit stays.
#[test]
fn st_078_tls_027_both_sides_go_on_over_tls() {
    let certificates = Certificates::new();
    run(|_| async move {
        let server = upgrading(certificates.server_config()).await;
        let (mut reader, writer) = plain().await;
        writer.write(b"STARTTLS\n").unwrap();
        assert_eq!(reader.read_line().await.unwrap(), b"OK\n");
        let layer = certificates.client_config().layer(NAME).unwrap();
        let (mut reader, writer) =
            writer.start_tls(reader, layer, ReadAhead::Refuse).await.unwrap();
        assert_eq!(reader.limit(), 5000);
        assert!(writer.extra_info::<TlsInfo>().is_some());
        for n in 0..50 {
            writer.write(format!("line {n}\n").as_bytes()).unwrap();
            assert_eq!(reader.read_line().await.unwrap(), format!("line {n}\n").as_bytes());
        }
        writer.close().await.unwrap();
        server.close();
    });
}

/// D-08, the safe mode: what was put behind the command by somebody on the way is refused, not read.
#[test]
fn plaintext_behind_the_command_is_refused() {
    let certificates = Certificates::new();
    run(|_| async move {
        let handle = LoopHandle::current().unwrap();
        let reports = common::reports(&handle);
        let server = upgrading(certificates.server_config()).await;
        let (mut reader, writer) = plain().await;
        writer.write(b"STARTTLS\nEVIL COMMAND\n").unwrap();
        writer.drain().await.unwrap();
        let mut answer = Vec::new();
        let _ = reader.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"OK\nEVIL"), "{answer:?}");
        let report = reports.borrow().join("");
        assert!(
            report.contains("expected nothing to be read before TLS begins, got 13 bytes"),
            "{report}"
        );
        drop(writer);
        server.close();
    });
}

/// D-08, the other mode: a client that does not wait. Its hello came with the preamble, and is not lost.
#[test]
fn bytes_read_ahead_are_handed_over() {
    let certificates = Certificates::new();
    run(|sim| async move {
        let config = certificates.server_config();
        let server = StartServer::tasks(
            Serve::address(at()),
            move |mut reader: StreamReader, writer: StreamWriter| {
                let config = config.clone();
                async move {
                    let preamble = reader.read_line().await?.to_vec();
                    // Everything else has come by then.
                    sleep(Duration::from_secs(1)).await;
                    assert!(
                        reader.buffered() > 100,
                        "the hello is here: {} bytes",
                        reader.buffered()
                    );
                    let (_reader, writer) =
                        writer.start_tls(reader, Rc::new(config), ReadAhead::HandOver).await?;
                    writer.write(&preamble)?;
                    writer.close().await.map(drop)
                }
            },
        )
        .await
        .unwrap();
        let (reader, writer) = plain().await;
        writer.write(b"PROXY TCP4\n").unwrap();
        let layer = certificates.client_config().layer(NAME).unwrap();
        let (mut reader, writer) =
            writer.start_tls(reader, layer, ReadAhead::Refuse).await.unwrap();
        assert_eq!(reader.read_line().await.unwrap(), b"PROXY TCP4\n");
        drop((reader, writer));
        server.close();
        let _ = sim;
    });
}

#[test]
fn tls_028_a_failed_upgrade_ends_the_connection_with_its_error() {
    let certificates = Certificates::new();
    run(|_| async move {
        let handle = LoopHandle::current().unwrap();
        let _reports = common::reports(&handle);
        let server = upgrading(certificates.server_config()).await;
        // The wrong name.
        let (mut reader, writer) = plain().await;
        writer.write(b"STARTTLS\n").unwrap();
        reader.read_line().await.unwrap();
        let layer = certificates.client_config().layer("other.test").unwrap();
        let error = writer.start_tls(reader, layer, ReadAhead::Refuse).await.unwrap_err();
        assert_eq!(name(&error), "CertificateRefused");
        // Given up in the middle.
        let (mut reader, writer) = plain().await;
        writer.write(b"STARTTLS\n").unwrap();
        reader.read_line().await.unwrap();
        let layer = certificates.client_config().layer(NAME).unwrap();
        {
            let mut upgrade = std::pin::pin!(writer.start_tls(reader, layer, ReadAhead::Refuse));
            let waker = std::task::Waker::noop();
            let polled = upgrade.as_mut().poll(&mut std::task::Context::from_waker(waker));
            assert!(polled.is_pending());
        }
        sleep(Duration::from_secs(100)).await;
        server.close();
        server.wait_closed().await;
    });
}

use std::future::Future;

#[test]
fn the_ends_of_two_connections_are_refused() {
    let certificates = Certificates::new();
    run(|_| async move {
        let server = upgrading(certificates.server_config()).await;
        let ((_r, writer), (reader, _w)) = (plain().await, plain().await);
        let layer = certificates.client_config().layer(NAME).unwrap();
        let error = writer.start_tls(reader, layer, ReadAhead::Refuse).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        server.close();
        settle().await;
    });
}

#[test]
fn the_errors_say_what_was_expected() {
    let error = UnexpectedPlaintext { bytes: 3 };
    assert_eq!(error.to_string(), "expected nothing to be read before TLS begins, got 3 bytes");
}

/// TLS-027, TLS-029, on callbacks: the application gets no second connection_made.
#[test]
fn tls_027_a_protocol_is_upgraded_without_a_second_connection_made() {
    let certificates = Certificates::new();
    run(|sim| async move {
        let handle = LoopHandle::current().unwrap();
        let (a, b) = sim.tcp_pair();
        let (here, there) = (Told::default(), Told::default());
        let plain = |socket, told: &Told| {
            let told = told.clone();
            let connect = Connect::socket(socket);
            let handle = handle.clone();
            async move { connect.connect(&handle, || Tell::new(&told)).await.unwrap() }
        };
        let (below_here, below_there) = (plain(a, &here).await, plain(b, &there).await);
        let server = certificates.server_config();
        let client = certificates.client_config().layer(NAME).unwrap();
        let serving = {
            let (handle, there) = (handle.clone(), there.clone());
            handle.clone().spawn(async move {
                let upper = Upper::Made(Box::new(Tell::new(&there)));
                start_tls(&handle, below_there, upper, &server, Bytes::new()).await.unwrap()
            })
        };
        let upper = Upper::Made(Box::new(Tell::new(&here)));
        let transport =
            start_tls(&handle, below_here, upper, &*client, Bytes::new()).await.unwrap();
        let their_transport = serving.await.unwrap();
        transport.write(b"over TLS");
        settle().await;
        assert_eq!(there.received(), b"over TLS");
        assert_eq!(
            (here.events(), there.events()),
            (vec!["made".into()], vec!["made".into(), "data".into()])
        );
        their_transport.close();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(here.events(), ["made", "eof", "lost"]);
        assert_eq!(there.events(), ["made", "data", "lost"]);
        here.forget();
        there.forget();
    });
}

/// TLS-030, twice: TLS in TLS in TLS.
#[test]
fn tls_030_tls_inside_tls() {
    let certificates = Certificates::new();
    run(|_| async move {
        let config = certificates.server_config();
        let outer = certificates.server_config();
        let server = StartServer::tasks(
            Serve::address(at()),
            move |reader: StreamReader, writer: StreamWriter| {
                let config = config.clone();
                async move {
                    let layer = Rc::new(config);
                    let (reader, writer) =
                        writer.start_tls(reader, layer.clone(), ReadAhead::HandOver).await?;
                    let (mut reader, writer) =
                        writer.start_tls(reader, layer, ReadAhead::HandOver).await?;
                    loop {
                        let data = reader.read(100_000).await?;
                        if data.is_empty() {
                            return io::Result::Ok(());
                        }
                        writer.write(data)?;
                        writer.drain().await?;
                    }
                }
            },
        )
        .tls(outer)
        .await
        .unwrap();
        let client = certificates.client_config();
        let opening = OpenConnection::from(Connect::address(at())).tls(&client, NAME);
        let (reader, writer) = opening.await.unwrap();
        let layer = client.layer(NAME).unwrap();
        let (reader, writer) =
            writer.start_tls(reader, layer.clone(), ReadAhead::Refuse).await.unwrap();
        let (mut reader, writer) =
            writer.start_tls(reader, layer, ReadAhead::Refuse).await.unwrap();
        let sent: Vec<u8> = (0..400_000u32).map(|n| (n % 251) as u8).collect();
        let mut got = 0;
        for piece in sent.chunks(20_000) {
            writer.write(piece).unwrap();
            writer.drain().await.unwrap();
            let back = reader.read_exact(piece.len()).await.unwrap();
            assert!(back == piece, "at {got}");
            got += piece.len();
        }
        assert!(format!("{:?}", writer.transport()).matches("TlsTransport").count() == 3);
        writer.close().await.unwrap();
        server.close();
    });
}

/// TLS-035: a transport that is paused for writing when TLS begins.
#[test]
fn tls_035_an_upgrade_of_a_transport_that_is_paused_for_writing() {
    let certificates = Certificates::new();
    run(|sim| async move {
        sim.set_buffers(2000, 2000);
        let config = certificates.server_config();
        let server = StartServer::tasks(
            Serve::address(at()),
            move |mut reader: StreamReader, writer: StreamWriter| {
                let config = config.clone();
                async move {
                    sleep(Duration::from_secs(5)).await;
                    assert_eq!(reader.read_exact(200_000).await?.len(), 200_000);
                    let (mut reader, writer) =
                        writer.start_tls(reader, Rc::new(config), ReadAhead::HandOver).await?;
                    let line = reader.read_line().await?.to_vec();
                    writer.write(&line)?;
                    writer.close().await.map(drop)
                }
            },
        )
        .await
        .unwrap();
        let handle = LoopHandle::current().unwrap();
        let told = Told::default();
        let below = Connect::address(at()).connect(&handle, || Tell::new(&told)).await.unwrap();
        below.write(&vec![1; 200_000]);
        settle().await;
        assert_eq!(told.events(), ["made", "pause"]);
        let layer = certificates.client_config().layer(NAME).unwrap();
        let upper = Upper::Made(Box::new(Tell::new(&told)));
        let transport = start_tls(&handle, below, upper, &*layer, Bytes::new()).await.unwrap();
        transport.write(b"hello\n");
        sleep(Duration::from_secs(5)).await;
        assert_eq!(told.received(), b"hello\n");
        told.forget();
        drop(transport);
        server.close();
    });
}
