//! Streams over the kernel's own sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(feature = "os")]

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

use millrun_loop::{EventLoop, LoopHandle, spawn, timeout};
use millrun_selector::{OsNetwork, SocketOption};
use millrun_streams::{
    CloseOutcome, ReadError, StreamReader, StreamWriter, open_connection, open_unix_connection,
    start_server, start_unix_server, stream,
};
use millrun_transport::{Server, SocketTransport, TransportOptions, Watermarks};
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};

/// Longer than anything here takes: a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

fn run<F: Future>(test: F) -> F::Output {
    let mut event_loop = EventLoop::new().unwrap();
    let reports = Rc::new(RefCell::new(Vec::new()));
    let into = reports.clone();
    event_loop.handle().set_exception_handler(Some(Rc::new(move |_, context| {
        into.borrow_mut().push(context.to_string());
    })));
    let output = event_loop.run_until_complete(timeout(PATIENCE, test)).unwrap().unwrap();
    drop(event_loop);
    assert!(reports.borrow().is_empty(), "{reports:?}");
    output
}

/// A blocking peer in a thread of its own, and its port.
fn peer<T: Send + 'static>(
    conversation: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (u16, JoinHandle<T>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (port, std::thread::spawn(move || conversation(listener.accept().unwrap().0)))
}

/// Makes the close of a socket a reset.
fn reset_on_close(stream: TcpStream) {
    let socket = OsNetwork::adopt(stream.into()).unwrap();
    socket.set_option(SocketOption::Linger(Some(Duration::ZERO))).unwrap();
}

fn port(server: &Server) -> u16 {
    server.local_addrs()[0].port().unwrap()
}

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    loop {
        let data = reader.read(65_536).await?;
        if data.is_empty() {
            return Ok(());
        }
        writer.write(data)?;
        writer.drain().await?;
    }
}

/// ST-063, ST-074.
#[test]
fn e_001_open_write_drain_read() {
    let (port, peer) = peer(|mut stream| {
        let mut request = [0; 5];
        stream.read_exact(&mut request).unwrap();
        stream.write_all(b"world").unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        request
    });
    run(async {
        let (mut reader, writer) = open_connection("127.0.0.1", port).limit(5000).await.unwrap();
        assert_eq!(reader.limit(), 5000);
        writer.write(b"hello").unwrap();
        writer.drain().await.unwrap();
        assert_eq!(reader.read_exact(5).await.unwrap(), b"world");
        assert_eq!(writer.close().await.unwrap(), CloseOutcome::Flushed);
        assert_eq!(reader.read(1).await.unwrap(), b"", "ST-076");
    });
    assert_eq!(&peer.join().unwrap(), b"hello");
}

#[test]
fn st_064_a_refused_connect() {
    // Bound, and it never listens: as long as it lives, nobody else gets the port.
    let kept = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&kept, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let port = SocketAddr::try_from(getsockname(&kept).unwrap()).unwrap().port();
    run(async {
        let error = open_connection("127.0.0.1", port).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

/// ST-071, ST-077: no endless loop, and nothing is reported (`run` looks).
#[test]
fn st_071_writing_to_a_peer_that_closed_ends_in_an_error() {
    let (port, peer) = peer(drop);
    run(async {
        let (_reader, writer) = open_connection("127.0.0.1", port).await.unwrap();
        let error = loop {
            if let Err(error) = writer.write(&[0; 1000]) {
                break error.into();
            }
            if let Err(error) = writer.drain().await {
                break error;
            }
        };
        let expected =
            [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe, ErrorKind::ConnectionAborted];
        assert!(expected.contains(&error.kind()), "{error:?}");
    });
    peer.join().unwrap();
}

/// ST-074: with unread data; then nobody waits for the peer.
#[test]
fn st_074_close_with_unread_data() {
    let (port, peer) = peer(|mut stream| {
        stream.write_all(b"unread").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    run(async {
        let (mut reader, writer) = open_connection("127.0.0.1", port).await.unwrap();
        assert_eq!(reader.peek().await.unwrap()[..1], b"u"[..]);
        writer.close().await.unwrap();
        writer.wait_closed().await.unwrap();
    });
    peer.join().unwrap();
}

/// ST-079, ST-082, in both directions.
#[test]
fn st_082_half_closes() {
    let (port, peer) = peer(|mut stream| {
        stream.write_all(b"all I have").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    });
    run(async {
        let (mut reader, writer) = open_connection("127.0.0.1", port).await.unwrap();
        let mut all = Vec::new();
        reader.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"all I have");
        writer.write(b"heard you").unwrap();
        writer.write_eof();
        writer.close().await.unwrap();
    });
    assert_eq!(peer.join().unwrap(), b"heard you");
}

/// ST-013, D-04 with a real reset.
#[test]
fn st_013_bytes_come_before_a_real_reset() {
    let (port, peer) = peer(|mut stream| {
        stream.write_all(b"before").unwrap();
        let mut go = [0];
        stream.read_exact(&mut go).unwrap();
        reset_on_close(stream);
    });
    run(async {
        let (mut reader, writer) = open_connection("127.0.0.1", port).await.unwrap();
        assert_eq!(reader.read_exact(3).await.unwrap(), b"bef");
        writer.write(b"!").unwrap();
        let error = writer.wait_closed().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let Err(ReadError::Io(error)) = reader.read_line().await else { panic!("no error") };
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(reader.read(10).await.unwrap(), b"ore");
        assert!(reader.read(10).await.is_err());
    });
    peer.join().unwrap();
}

/// E-008: the peer stops reading, then stops sending; neither side keeps more than it may.
#[test]
fn e_008_memory_is_bounded_against_a_slow_peer() {
    const TOTAL: usize = 8 << 20;
    let (port, peer) = peer(|mut stream| {
        let mut total = 0;
        let mut buffer = vec![0; 1 << 16];
        while total < TOTAL {
            total += stream.read(&mut buffer).unwrap();
        }
        stream.write_all(&vec![7; TOTAL]).unwrap();
    });
    run(async {
        let (mut reader, writer) = open_connection("127.0.0.1", port).limit(4096).await.unwrap();
        writer.transport().set_write_buffer_limits(Watermarks::from_high(100_000)).unwrap();
        // A divisor of the total: a peer that closes over unread bytes resets the connection.
        let piece = vec![1; 1 << 16];
        let (mut sent, mut highest) = (0, 0);
        while sent < TOTAL {
            writer.write(&piece).unwrap();
            sent += piece.len();
            highest = highest.max(writer.transport().write_buffer_size());
            writer.drain().await.unwrap();
        }
        assert!(highest <= 100_000 + piece.len(), "{highest}");
        let (mut got, mut most) = (0, 0);
        while got < TOTAL {
            got += reader.read(1000).await.unwrap().len();
            most = most.max(reader.buffered());
        }
        assert!(most <= 2 * 4096, "{most}");
    });
    peer.join().unwrap();
}

/// SV-025 to SV-027 and ST-081, against blocking clients.
#[test]
fn sv_025_a_server_of_tasks() {
    run(async {
        let server = start_server("127.0.0.1", 0, echo).await.unwrap();
        let at = port(&server);
        let clients: Vec<_> = (0..20u8)
            .map(|i| {
                std::thread::spawn(move || {
                    let mut stream = TcpStream::connect(("127.0.0.1", at)).unwrap();
                    let message = vec![i; 10_000 + usize::from(i)];
                    stream.write_all(&message).unwrap();
                    stream.shutdown(std::net::Shutdown::Write).unwrap();
                    let mut answer = Vec::new();
                    stream.read_to_end(&mut answer).unwrap();
                    assert!(answer == message);
                })
            })
            .collect();
        let handle = LoopHandle::current().unwrap();
        for client in clients {
            handle.run_in_executor(|| client.join().unwrap()).await.unwrap();
        }
        server.close();
        server.wait_closed().await;
    });
}

#[test]
fn sv_026_a_handler_that_fails_closes_its_connection() {
    let mut event_loop = EventLoop::new().unwrap();
    let reports = Rc::new(RefCell::new(Vec::new()));
    let into = reports.clone();
    event_loop.handle().set_exception_handler(Some(Rc::new(move |_, context| {
        into.borrow_mut().push(context.to_string());
    })));
    let conversation = async {
        let server = start_server("127.0.0.1", 0, async |_reader, _writer| {
            Err::<(), _>(io::Error::other("no more tea"))
        })
        .await
        .unwrap();
        let (mut reader, _writer) = open_connection("127.0.0.1", port(&server)).await.unwrap();
        assert_eq!(reader.read(1).await.unwrap(), b"");
    };
    event_loop.run_until_complete(timeout(PATIENCE, conversation)).unwrap().unwrap();
    let text = reports.borrow().join("\n");
    assert!(text.contains("client_connected_cb") && text.contains("no more tea"), "{text}");
}

/// The Unix twins, with a path of its own.
#[test]
fn the_unix_twins() {
    let path: PathBuf =
        std::env::temp_dir().join(format!("millrun-streams-{}.sock", std::process::id()));
    run(async {
        let server = start_unix_server(&path, echo).await.unwrap();
        let (mut reader, writer) = open_unix_connection(&path).await.unwrap();
        writer.write(b"by path").unwrap();
        assert_eq!(reader.read_exact(7).await.unwrap(), b"by path");
        server.close();
    });
    assert!(!path.exists());
}

/// ST-047 with a socket pair: everything that was written before the end comes out.
#[test]
fn st_047_reading_a_pair_to_its_end() {
    run(async {
        let handle = LoopHandle::current().unwrap();
        let (a, b) = OsNetwork::pair().unwrap();
        let over = async |socket| {
            stream(|protocol| {
                SocketTransport::new(&handle, socket, protocol, TransportOptions::default())
            })
            .await
            .unwrap()
        };
        let (mut reader, _keep) = over(a).await;
        let (_other, writer) = over(b).await;
        let send = spawn(async move {
            for i in 0..2000u32 {
                writer.write(&i.to_le_bytes()).unwrap();
                writer.drain().await.unwrap();
            }
            writer.close().await.unwrap();
        });
        let mut all = Vec::new();
        reader.read_to_end(&mut all).await.unwrap();
        let expected: Vec<u8> = (0..2000u32).flat_map(u32::to_le_bytes).collect();
        assert!(all == expected);
        send.await.unwrap();
    });
}
