//! The two halves of the tour: receive and answer with a digest; send and compare.

use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use indicatif::HumanBytes;
use millrun::event_loop::Signal;
use millrun::streams::{StreamReader, StreamWriter, open_connection, start_server};
use millrun::{LoopHandle, sleep};
use sha2::{Digest, Sha256};

use crate::Failure;
use crate::screen::Gauges;

/// How much one read or write moves at most.
pub(crate) const CHUNK: usize = 64 * 1024;

/// The slow stretch at the start: so many bytes, read in small pieces with a rest after each.
const SLOW_BYTES: u64 = 2 << 20;
const SLOW_PIECE: usize = 16 * 1024;
const SLOW_REST: Duration = Duration::from_millis(8);

/// What one side counted: enough to tell whether anything differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Receipt {
    pub(crate) bytes: u64,
    pub(crate) digest: String,
}

impl Receipt {
    fn of(bytes: u64, hash: Sha256) -> Receipt {
        let digest = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        Receipt { bytes, digest }
    }

    /// The answer on the wire.
    fn line(&self) -> String {
        format!("{} {}\n", self.bytes, self.digest)
    }

    fn parse(line: &[u8]) -> Result<Receipt, Failure> {
        let text = std::str::from_utf8(line)?.trim_end();
        let (bytes, digest) = text.split_once(' ').ok_or_else(|| {
            format!("expected `<bytes> <sha256>` from the receiver, got {text:?}")
        })?;
        Ok(Receipt { bytes: bytes.parse()?, digest: digest.to_owned() })
    }
}

/// Reads to the end, slowly at first if `slow`, and answers with the receipt.
pub(crate) async fn receive(
    mut reader: StreamReader,
    writer: StreamWriter,
    gauges: &Gauges,
    slow: bool,
) -> Result<Receipt, Failure> {
    let mut hash = Sha256::new();
    let mut bytes = 0;
    loop {
        let slowly = slow && bytes < SLOW_BYTES;
        gauges.slow.set(slowly);
        let piece = reader.read(if slowly { SLOW_PIECE } else { CHUNK }).await?;
        if piece.is_empty() {
            break;
        }
        hash.update(piece);
        bytes += piece.len() as u64;
        gauges.received.set(bytes);
        gauges.read_buffer.set(reader.buffered());
        if slowly {
            sleep(SLOW_REST).await;
        }
    }
    let receipt = Receipt::of(bytes, hash);
    // A peer that only sends (nc -N, dd) may be gone by now: the receipt is still ours to print.
    if writer.write(receipt.line().as_bytes()).is_ok() {
        let _ = writer.close().await;
    }
    Ok(receipt)
}

/// Sends all that `next` fills in, ends the write direction, and gives our receipt and the peer's.
pub(crate) async fn send_all(
    mut next: impl FnMut(&mut [u8]) -> std::io::Result<usize>,
    mut reader: StreamReader,
    writer: StreamWriter,
    gauges: &Gauges,
) -> Result<(Receipt, Option<Receipt>), Failure> {
    let mut hash = Sha256::new();
    let mut bytes = 0;
    let mut chunk = vec![0; CHUNK];
    let transport = writer.transport().clone();
    loop {
        let n = next(&mut chunk)?;
        if n == 0 {
            break;
        }
        hash.update(&chunk[..n]);
        writer.write(&chunk[..n])?;
        bytes += n as u64;
        let (level, marks) = (transport.write_buffer_size(), transport.write_buffer_limits());
        gauges.write_buffer.set(level);
        if level > marks.high {
            gauges.pauses.set(gauges.pauses.get() + 1);
            writer.drain().await?;
            gauges.resumes.set(gauges.resumes.get() + 1);
        } else {
            writer.drain().await?;
        }
        gauges.sent.set(bytes);
    }
    writer.write_eof();
    let answer = reader.read_line().await?;
    let theirs = if answer.is_empty() { None } else { Some(Receipt::parse(answer)?) };
    let _ = writer.close().await;
    Ok((Receipt::of(bytes, hash), theirs))
}

/// `tour serve ADDR`: a line for each connection, until interrupted (or one, with `--once`).
pub(crate) async fn serve(address: &str, once: bool) -> Result<(), Failure> {
    let (host, port) = host_and_port(address)?;
    let (end, ended) = millrun::event_loop::oneshot::channel::<Result<(), String>>();
    let end = Rc::new(Cell::new(Some(end)));
    let first = end.clone();
    let server = start_server(host, port, async move |reader, writer| {
        let peer = writer.peer_addr().map_or_else(|| "a peer".to_owned(), |a| a.to_string());
        let outcome = receive(reader, writer, &Gauges::default(), false).await;
        match &outcome {
            Ok(receipt) => println!("{peer}: {}", receipt.line().trim_end()),
            Err(error) => println!("{peer}: broke: {error}"),
        }
        if once {
            let _ = first.take().map(|end| end.send(outcome.map(drop).map_err(|e| e.to_string())));
        }
    })
    .await?;
    for address in server.local_addrs() {
        println!("listening on {address}");
    }
    if !once {
        println!("send it bytes and an end of file (nc -N HOST PORT < FILE); interrupt to end");
    }
    let interrupted = move || drop(end.take().map(|end| end.send(Ok(()))));
    LoopHandle::current()?.add_signal_handler(Signal::INT, interrupted)?;
    ended.await??;
    server.close();
    Ok(())
}

/// `tour send ADDR FILE`.
pub(crate) async fn send(address: &str, path: &str) -> Result<(), Failure> {
    let (mut file, _) = open_file(path.as_ref())?;
    let (host, port) = host_and_port(address)?;
    let (reader, writer) = open_connection(host, port).await?;
    let start = LoopHandle::current()?.now();
    let gauges = Gauges::default();
    let (ours, theirs) = send_all(|chunk| file.read(chunk), reader, writer, &gauges).await?;
    let seconds = (LoopHandle::current()?.now() - start).as_secs_f64();
    println!("sent {} in {seconds:.2} s: {}", HumanBytes(ours.bytes), ours.line().trim_end());
    match theirs {
        Some(theirs) => compare(&ours, Some(&theirs)),
        None => {
            println!("the receiver answered with no digest: nothing to compare with");
            Ok(())
        }
    }
}

/// A file to send, and its length.
pub(crate) fn open_file(path: &Path) -> Result<(File, u64), Failure> {
    let failed = |e| format!("{}: {e}", path.display());
    let file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if about.is_dir() {
        return Err(format!("{}: expected a file, got a directory", path.display()).into());
    }
    Ok((file, about.len()))
}

/// `127.0.0.1:80` or `[::1]:80`.
fn host_and_port(address: &str) -> Result<(&str, &str), Failure> {
    let (host, port) =
        address.rsplit_once(':').ok_or_else(|| format!("expected HOST:PORT, got {address:?}"))?;
    match host.strip_prefix('[').map(|inner| inner.strip_suffix(']')) {
        None => Ok((host, port)),
        Some(Some(host)) => Ok((host, port)),
        Some(None) => Err(format!("expected [HOST]:PORT, got {address:?}").into()),
    }
}

/// Says whether both sides saw the same bytes; differing ones are a failure.
pub(crate) fn compare(ours: &Receipt, theirs: Option<&Receipt>) -> Result<(), Failure> {
    match theirs {
        Some(theirs) if theirs == ours => {
            println!("the receiver's digest is the same");
            Ok(())
        }
        Some(theirs) => Err(format!("digests differ: sent {ours:?}, received {theirs:?}").into()),
        None => Err("the receiver answered with no digest".into()),
    }
}
