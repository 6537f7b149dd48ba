//! TLS with programs that are not ours, over real sockets, in both roles: openssl, curl, Python's ssl. One that is not on this machine is
//! left out with a message.
#![cfg(feature = "os")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::future::Future;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use common::{Certificates, NAME, name, server_params};
use millrun_loop::{EventLoop, sleep, timeout};
use millrun_streams::{OpenConnection, StreamReader, StreamWriter, open_connection, start_server};
use millrun_tls::{ClientConfig, ServerConfig, TlsInfo, TlsVersion};
use millrun_transport::{ByName, Server};

/// Far above what any of them takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Enough for many records and for both sides' buffers to fill.
const MUCH: usize = 3_000_000;

fn run<F: Future<Output = ()>>(test: F) {
    let mut event_loop = EventLoop::new().unwrap();
    event_loop
        .run_until_complete(async { timeout(PATIENCE, test).await.expect("in time") })
        .unwrap();
}

fn is_here(program: &str) -> bool {
    let here =
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    // (openssl has no such option, and says so: it is here.)
    if here.is_err() {
        eprintln!("skipped: {program} is not on this machine");
    }
    here.is_ok()
}

/// Certificates in files, for programs that take them so; gone when it is dropped.
struct Files(PathBuf);

impl Files {
    fn new(which: &str, certificates: &Certificates) -> Files {
        let directory =
            std::env::temp_dir().join(format!("millrun-tls-{which}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let files = Files(directory);
        files.write("root", &certificates.root);
        for (name, (chain, key)) in
            [("server", &certificates.server), ("client", &certificates.client)]
        {
            files.write(name, chain);
            files.write(&format!("{name}.key"), key);
        }
        files
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A program, given its input at once; killed when it is dropped too early.
struct Running(Option<Child>);

impl Running {
    fn start(command: &mut Command, input: &[u8]) -> Running {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        Running(Some(child))
    }

    /// What it says first, until that is whole. It is read in a thread: a program that says nothing must not hold up this one,
    /// which is the loop's, without end.
    fn says(&mut self, is_whole: fn(&str) -> bool) -> String {
        let output = &mut self.0.as_mut().unwrap().stdout;
        let mut out = output.take().unwrap();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let mut said = String::new();
            // A byte at a time: what comes behind the line is for `output`.
            let mut lines = BufReader::with_capacity(1, &mut out);
            while !is_whole(&said) && lines.read_line(&mut said).unwrap() > 0 {}
            let _ = tell.send((said, out)); // nobody waits any more when it was too late
        });
        let (said, out) = told.recv_timeout(PATIENCE).expect("a program that says something");
        assert!(is_whole(&said), "it ended, and had said: {said}");
        *output = Some(out);
        said
    }

    /// Waits beside the loop, not in its place. For programs that say little: what they say waits in a pipe.
    async fn output(mut self) -> Output {
        while self.0.as_mut().unwrap().try_wait().unwrap().is_none() {
            sleep(Duration::from_millis(5)).await;
        }
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Answers each line with its length and the version of TLS, and ends with an empty one.
async fn answer(mut reader: StreamReader, writer: StreamWriter) -> std::io::Result<()> {
    let version = writer.extra_info::<TlsInfo>().map(|info| info.version().to_string());
    loop {
        let length = match reader.read_line().await? {
            b"" | b"\n" | b"\r\n" => break,
            line => line.len(),
        };
        writer.write(format!("{length} {}\n", version.as_deref().unwrap_or("none")).as_bytes())?;
        writer.drain().await?;
    }
    writer.close().await.map(drop)
}

async fn answering(config: ServerConfig) -> (Server, u16) {
    let server = start_server("127.0.0.1", 0, answer).tls(config).await.unwrap();
    let port = server.local_addrs()[0].port().unwrap();
    (server, port)
}

#[test]
fn openssl_s_client_with_our_server() {
    if !is_here("openssl") {
        return;
    }
    let certificates = Certificates::new();
    let files = Files::new("s_client", &certificates);
    run(async {
        let (server, port) = answering(certificates.server_config()).await;
        for (option, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
            let at = format!("127.0.0.1:{port}");
            let mut command = Command::new("openssl");
            command.args(["s_client", "-quiet", "-verify_return_error", "-connect", &at, option]);
            command.args([
                "-servername",
                NAME,
                "-verify_hostname",
                NAME,
                "-CAfile",
                &files.path("root"),
            ]);
            let output = Running::start(&mut command, b"hello\n\n").output().await;
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let why = String::from_utf8_lossy(&output.stderr);
            assert_eq!(said, format!("6 {version}\n"), "{why}");
            assert!(output.status.success(), "{why}");
        }
        server.close();
    });
}

/// s_server reverses each line. It takes a port that is free, and tells which: nobody can be at it before.
fn s_server(files: &Files, options: &[&str]) -> (Running, u16) {
    let mut command = Command::new("openssl");
    command.args(["s_server", "-rev", "-accept", "127.0.0.1:0", "-naccept", "1"]);
    command.args(["-cert", &files.path("server"), "-key", &files.path("server.key")]).args(options);
    let mut running = Running::start(&mut command, b"");
    let said = running.says(|said| said.ends_with('\n') && said.contains("ACCEPT"));
    let port = said.trim_end().rsplit_once(':').unwrap().1.parse().unwrap();
    (running, port)
}

fn to(port: u16, config: &ClientConfig, server_name: &str) -> OpenConnection<ByName> {
    open_connection("127.0.0.1", port).tls(config, server_name)
}

#[test]
fn openssl_s_server_with_our_client() {
    if !is_here("openssl") {
        return;
    }
    let certificates = Certificates::new();
    let files = Files::new("s_server", &certificates);
    run(async {
        let root = files.path("root");
        let client = ClientConfig::builder()
            .root_certificates(certificates.root.as_bytes())
            .certificate(certificates.client.0.as_bytes(), certificates.client.1.as_bytes())
            .alpn(["mill/1"])
            .build()
            .unwrap();
        for (option, version) in [("-tls1_2", TlsVersion::Tls12), ("-tls1_3", TlsVersion::Tls13)] {
            // It insists on a certificate of ours.
            let options = [
                option,
                "-Verify",
                "1",
                "-verify_return_error",
                "-CAfile",
                &root,
                "-alpn",
                "mill/1",
            ];
            let (peer, port) = s_server(&files, &options);
            let (mut reader, writer) = to(port, &client, NAME).await.unwrap();
            let info = writer.extra_info::<TlsInfo>().unwrap();
            assert_eq!((info.version(), info.alpn()), (version, Some(&b"mill/1"[..])));
            writer.write(b"stressed\n").unwrap();
            assert_eq!(reader.read_line().await.unwrap(), b"desserts\n");
            writer.close().await.unwrap();
            drop(reader);
            let _ = peer.output().await;
        }
        // Without one it refuses us.
        let options = ["-Verify", "1", "-verify_return_error", "-CAfile", &root];
        let (peer, port) = s_server(&files, &options);
        let refused = match to(port, &certificates.client_config(), NAME).await {
            Err(error) => error,
            Ok((mut reader, _writer)) => reader.read(10).await.unwrap_err(),
        };
        assert_eq!(name(&refused), "Alert", "{refused}");
        let _ = peer.output().await;
    });
}

#[test]
fn our_client_refuses_what_openssl_shows_with_a_bad_certificate() {
    if !is_here("openssl") {
        return;
    }
    let certificates = Certificates::new();
    let files = Files::new("bad", &certificates);
    let mut expired = server_params();
    expired.not_before = rcgen::date_time_ymd(2000, 1, 1);
    expired.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let expired = certificates.issue(expired);
    let own = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
    let own = (own.cert.pem(), own.signing_key.serialize_pem());
    let strangers = Certificates::of("Another Root");
    run(async {
        for (chain, key, asked, why) in [
            (&expired.0, &expired.1, NAME, "expired"),
            (&own.0, &own.1, NAME, "UnknownIssuer"),
            (&strangers.server.0, &strangers.server.1, NAME, "UnknownIssuer"),
            (&certificates.server.0, &certificates.server.1, "other.test", "not valid for name"),
        ] {
            files.write("server", chain);
            files.write("server.key", key);
            let (peer, port) = s_server(&files, &[]);
            let error = to(port, &certificates.client_config(), asked).await.unwrap_err();
            assert_eq!(name(&error), "CertificateRefused", "{error}");
            assert!(error.to_string().contains(why), "expected {why:?} in: {error}");
            let output = peer.output().await;
            let said = String::from_utf8_lossy(&output.stderr).into_owned()
                + &String::from_utf8_lossy(&output.stdout);
            assert!(said.contains("alert"), "it was told why: {said}");
        }
    });
}

#[test]
fn curl_with_our_server() {
    if !is_here("curl") {
        return;
    }
    let certificates = Certificates::new();
    let files = Files::new("curl", &certificates);
    run(async {
        let config = ServerConfig::builder()
            .certificate(certificates.server.0.as_bytes(), certificates.server.1.as_bytes())
            .require_client_certificates(certificates.root.as_bytes())
            .alpn(["http/1.1"])
            .build()
            .unwrap();
        let server = start_server("127.0.0.1", 0, async |mut reader, writer| {
            while reader.read_line().await? != b"\r\n" {}
            let body = vec![b'm'; MUCH];
            writer
                .write(format!("HTTP/1.1 200 OK\r\nContent-Length: {MUCH}\r\n\r\n").as_bytes())?;
            writer.write(&body)?;
            writer.close().await.map(drop)
        })
        .tls(config)
        .await
        .unwrap();
        let port = server.local_addrs()[0].port().unwrap();
        let url = format!("https://{NAME}:{port}/");
        let resolve = format!("{NAME}:{port}:127.0.0.1");
        let curl = |options: &[&str]| {
            let mut command = Command::new("curl");
            command.args([
                "--silent",
                "--show-error",
                "--resolve",
                &resolve,
                "--cacert",
                &files.path("root"),
            ]);
            command.args(options).arg(&url);
            Running::start(&mut command, b"").output()
        };
        let (chain, key, page) =
            (files.path("client"), files.path("client.key"), files.path("page"));
        for version in [&["--tls-max", "1.2"][..], &["--tlsv1.3"]] {
            let output =
                curl(&[version, &["--cert", &chain, "--key", &key, "--output", &page]].concat())
                    .await;
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let page = std::fs::read(&page).unwrap();
            assert!(page.len() == MUCH && page.iter().all(|byte| *byte == b'm'));
        }
        let output = curl(&[]).await;
        assert!(!output.status.success(), "without a certificate it is refused");
        server.close();
    });
}

/// Sends and receives at the same time, compares, and closes in order: `unwrap` waits for our close_notify. In one thread: two must
/// not use a connection of OpenSSL's at once.
const PYTHON_CLIENT: &str = "
import select, socket, ssl, sys
port, root, much = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
context = ssl.create_default_context(cafile=root)
plain = socket.create_connection(('127.0.0.1', port))
tls = context.wrap_socket(plain, server_hostname='mill.test')
sent = bytes(i * i % 251 for i in range(1000)) * (much // 1000)
def tried(call, argument):
    try:
        return call(argument)
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return None
tls.setblocking(False)
got, left = bytearray(), memoryview(sent)
while len(got) < len(sent):
    taken = tried(tls.send, left[:100000]) if left else None
    left = left[taken or 0:]
    came = tried(tls.recv, 100000)
    assert came != b'', f'the end after {len(got)} bytes'
    got += came or b''
    if taken is None and came is None:
        select.select([tls], [tls] if left else [], [])
tls.setblocking(True)
assert bytes(got) == sent
tls.unwrap()
print('the same, and closed in order')
";

const PYTHON_SERVER: &str = "
import asyncio, ssl, sys
async def echo(reader, writer):
    while data := await reader.read(100000):
        writer.write(data)
        await writer.drain()
    writer.close()
async def main():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    server = await asyncio.start_server(echo, '127.0.0.1', 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
";

#[test]
fn python_ssl_with_our_server() {
    if !is_here("python3") {
        return;
    }
    let certificates = Certificates::new();
    let files = Files::new("python-client", &certificates);
    let strangers = Certificates::of("Another Root");
    files.write("strangers", &strangers.root);
    run(async {
        let server = start_server("127.0.0.1", 0, async |mut reader, writer| {
            loop {
                let bytes = reader.read(65536).await?;
                if bytes.is_empty() {
                    return writer.close().await.map(drop);
                }
                writer.write(bytes)?;
                writer.drain().await?;
            }
        })
        .tls(certificates.server_config())
        .await
        .unwrap();
        let port = server.local_addrs()[0].port().unwrap().to_string();
        let python = |root: &str| {
            let mut command = Command::new("python3");
            command.args(["-c", PYTHON_CLIENT, &port, &files.path(root), &MUCH.to_string()]);
            Running::start(&mut command, b"").output()
        };
        let output = python("root").await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let output = python("strangers").await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("CERTIFICATE_VERIFY_FAILED"), "{said}");
        server.close();
    });
}

#[test]
fn python_asyncio_over_ssl_with_our_client() {
    if !is_here("python3") {
        return;
    }
    let certificates = Certificates::new();
    let files = Files::new("python-server", &certificates);
    run(async {
        let mut command = Command::new("python3");
        command.args(["-c", PYTHON_SERVER, &files.path("server"), &files.path("server.key")]);
        let mut python = Running::start(&mut command, b"");
        let port = python.says(|said| said.ends_with('\n')).trim_end().parse().unwrap();
        let (mut reader, writer) = to(port, &certificates.client_config(), NAME).await.unwrap();
        let sent = common::noise(MUCH);
        let mut got = 0;
        for piece in sent.chunks(50_000) {
            writer.write(piece).unwrap();
            writer.drain().await.unwrap();
            assert!(reader.read_exact(piece.len()).await.unwrap() == piece, "at {got}");
            got += piece.len();
        }
        writer.close().await.unwrap();
    });
}
