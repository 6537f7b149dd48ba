//! Much at once with a TLS that is not ours, in both roles and each way, with digests: Python's ssl, over a blocking socket.
//!
//! 64 MiB each way, or as many bytes as `MILLRUN_TLS_BYTES` says: `cargo xtask peers --gib` says a GiB. Where there is no such Python it is
//! left out with a message, and with `MILLRUN_TLS_BYTES` it fails.
#![cfg(feature = "os")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::future::Future;
use std::io::{self, BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use common::{Certificates, NAME};
use millrun_loop::{EventLoop, oneshot, timeout};
use millrun_streams::{StreamReader, StreamWriter, open_connection, start_server};
use rustls::crypto::hash::Hash;

const USUAL: u64 = 64 << 20;

/// How often a long transfer says how far it is.
const STEP: u64 = 128 << 20;

/// Far below what the slowest machine does, in bytes a second: a transfer that hangs is what this is to find.
const SLOWEST: u64 = 2 << 20;

/// Bytes that go over and over. Their number is a prime: what is lost, doubled or swapped does not go unnoticed.
const PERIOD: usize = 1_048_573;

/// Takes so many bytes and answers with their digest; sends as many, and their digest behind them.
const PEER: &str = "
import hashlib, os, socket, ssl, sys
role, port, root, chain, key, much = sys.argv[1], int(sys.argv[2]), *sys.argv[3:6], int(sys.argv[6])
if role == 'client':
    context = ssl.create_default_context(cafile=root)
    plain = socket.create_connection(('127.0.0.1', port))
    tls = context.wrap_socket(plain, server_hostname='mill.test')
else:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain, key)
    listener = socket.create_server(('127.0.0.1', 0))
    print(listener.getsockname()[1], flush=True)
    tls = context.wrap_socket(listener.accept()[0], server_side=True)
digest, left, buffer = hashlib.sha256(), much, memoryview(bytearray(1 << 18))
while left:
    n = tls.recv_into(buffer[:min(left, len(buffer))])
    assert n, f'the end, {left} bytes early'
    digest.update(buffer[:n])
    left -= n
tls.sendall(digest.digest())
digest, left, block = hashlib.sha256(), much, memoryview(os.urandom(1048573))
while left:
    part = block[:min(left, len(block))]
    digest.update(part)
    tls.sendall(part)
    left -= len(part)
tls.sendall(digest.digest())
tls.unwrap()
print('closed in order')
";

/// Killed when it is dropped too early. Its certificates' directory goes with it.
struct Python {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    directory: PathBuf,
}

impl Python {
    fn start(role: &str, port: u16, bytes: u64, certificates: &Certificates) -> Python {
        let id = std::process::id();
        let directory = std::env::temp_dir().join(format!("millrun-tls-bulk-{role}-{id}"));
        std::fs::create_dir_all(&directory).unwrap();
        let (chain, key) = &certificates.server;
        let files = [("root", &certificates.root), ("chain", chain), ("key", key)];
        let mut command = Command::new("python3");
        command.args(["-c", PEER, role, &port.to_string()]);
        for (name, text) in files {
            std::fs::write(directory.join(name), text).unwrap();
            command.arg(directory.join(name));
        }
        command.arg(bytes.to_string()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Python { child, output, directory }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn bytes() -> u64 {
    std::env::var("MILLRUN_TLS_BYTES").map_or(USUAL, |bytes| bytes.parse().unwrap())
}

fn run<F: Future<Output = ()>>(test: F) {
    let patience = Duration::from_secs(60 + 2 * bytes() / SLOWEST);
    let mut event_loop = EventLoop::new().unwrap();
    event_loop
        .run_until_complete(async { timeout(patience, test).await.expect("in time") })
        .unwrap();
}

fn is_here() -> bool {
    let mut ask = Command::new("python3");
    let here = ask.args(["-c", "import ssl"]).stderr(Stdio::null()).status();
    let here = here.is_ok_and(|status| status.success());
    if !here {
        // Whoever says how much wants it done.
        assert!(std::env::var_os("MILLRUN_TLS_BYTES").is_none(), "there is no python3 with ssl");
        eprintln!("skipped: there is no python3 with ssl on this machine");
    }
    here
}

/// SHA-256, which the cryptography of TLS has.
fn sha256() -> &'static dyn Hash {
    let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
    suite.tls13().unwrap().common.hash_provider
}

/// Says how far it is, where that takes long.
struct Progress {
    what: &'static str,
    all: u64,
}

impl Progress {
    fn tell(&self, before: u64, now: u64) {
        let Progress { what, all } = *self;
        if all > STEP && (before / STEP != now / STEP || now == all) {
            eprintln!("{what}: {} of {} MiB", now >> 20, all >> 20);
        }
    }
}

/// Ours to the peer, which answers with a digest; then the peer's to us.
async fn both_ways(
    what: &'static str,
    reader: &mut StreamReader,
    writer: &StreamWriter,
) -> io::Result<()> {
    let all = bytes();
    let block = common::noise(PERIOD);
    let progress = Progress { what, all };
    let mut digest = sha256().start();
    let mut sent = 0;
    // Pieces of any size: less than a record, and many of them.
    let mut sizes = [50_000, 1, 300_000, 16_384, 1_000, 65_536].into_iter().cycle();
    while sent < all {
        let place = (sent % PERIOD as u64) as usize;
        let most = sizes.next().unwrap().min(PERIOD - place);
        let piece = &block[place..][..most.min(usize::try_from(all - sent).unwrap())];
        digest.update(piece);
        writer.write(piece)?;
        writer.drain().await?;
        progress.tell(sent, sent + piece.len() as u64);
        sent += piece.len() as u64;
    }
    assert_eq!(reader.read_exact(32).await?, digest.finish().as_ref(), "{what}: to the peer");
    let mut digest = sha256().start();
    let mut got = 0;
    while got < all {
        let most = usize::try_from(all - got).unwrap().min(100_000);
        let data = reader.read(most).await?;
        assert!(!data.is_empty(), "{what}: the end after {got} bytes");
        digest.update(data);
        progress.tell(got, got + data.len() as u64);
        got += data.len() as u64;
    }
    assert_eq!(reader.read_exact(32).await?, digest.finish().as_ref(), "{what}: from the peer");
    Ok(())
}

#[test]
fn our_server_and_pythons_client() {
    if !is_here() {
        return;
    }
    let certificates = Certificates::new();
    run(async {
        let (sender, done) = oneshot::channel();
        let sender = Rc::new(std::cell::Cell::new(Some(sender)));
        let server = start_server("127.0.0.1", 0, move |mut reader, writer| {
            let sender = sender.take();
            async move {
                let outcome = both_ways("our server", &mut reader, &writer).await;
                // Its end comes first: it says so, and waits for our answer.
                let end = reader.read(1).await.map(|data| assert!(data.is_empty()));
                let closed = writer.close().await;
                let _ = sender.unwrap().send(outcome.and(end).and(closed.map(drop)));
                io::Result::Ok(())
            }
        })
        .tls(certificates.server_config())
        .await
        .unwrap();
        let port = server.local_addrs()[0].port().unwrap();
        let mut python = Python::start("client", port, bytes(), &certificates);
        done.await.unwrap().unwrap();
        assert_eq!(python.line(), "closed in order");
        server.close();
    });
}

#[test]
fn our_client_and_pythons_server() {
    if !is_here() {
        return;
    }
    let certificates = Certificates::new();
    run(async {
        let mut python = Python::start("server", 0, bytes(), &certificates);
        let port: u16 = python.line().parse().unwrap();
        let (mut reader, writer) = open_connection("127.0.0.1", port)
            .tls(&certificates.client_config(), NAME)
            .await
            .unwrap();
        both_ways("our client", &mut reader, &writer).await.unwrap();
        assert!(reader.read(1).await.unwrap().is_empty());
        writer.close().await.unwrap();
        assert_eq!(python.line(), "closed in order");
    });
}
