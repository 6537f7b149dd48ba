//! Both halves in one loop, with a screen beside them.

use std::cell::Cell;
use std::io::Read;
use std::rc::Rc;
use std::time::Duration;

use indicatif::HumanBytes;
use millrun::streams::{open_connection, start_server};
use millrun::{LoopHandle, sleep, spawn};

use crate::Failure;
use crate::halves::{compare, open_file, receive, send_all};
use crate::screen::{Gauges, Screen};

/// Where the bytes come from.
pub(crate) enum Source {
    /// So many bytes of a fixed, cheap pseudo-random sequence.
    MadeUp(u64),
    /// A file.
    File(std::path::PathBuf),
}

/// How often the screen is drawn.
const FRAME: Duration = Duration::from_millis(100);

/// Sends everything from a client to a server of this loop and compares the digests.
pub(crate) async fn tour(source: Source) -> Result<(), Failure> {
    let handle = LoopHandle::current()?;
    let start = handle.now();
    let gauges = Rc::new(Gauges::default());
    let (total, fill) = open(source)?;

    let received = gauges.clone();
    let server = start_server("127.0.0.1", 0, async move |reader, writer| {
        if let Err(error) = receive(reader, writer, &received, true).await {
            eprintln!("tour: the receiver failed: {error}");
        }
    })
    .await?;

    let screen = Rc::new(Screen::new(total));
    let (frames, shown) = (screen.clone(), gauges.clone());
    let drawing = spawn(async move {
        loop {
            sleep(FRAME).await;
            frames.draw(&shown, LoopHandle::current().map_or(Duration::ZERO, |l| l.now() - start));
        }
    });

    let port = server.local_addrs()[0].port().unwrap_or(0);
    let (reader, writer) = open_connection("127.0.0.1", port).await?;
    let (ours, theirs) = send_all(fill, reader, writer, &gauges).await?;
    drawing.abort();
    screen.draw(&gauges, handle.now() - start);
    screen.finish();
    server.close();
    server.wait_closed().await;

    let seconds = (handle.now() - start).as_secs_f64();
    let metrics = handle.metrics();
    println!(
        "{} in {seconds:.2} s, {}/s; the sender was paused {} times and resumed {} times",
        HumanBytes(ours.bytes),
        HumanBytes((ours.bytes as f64 / seconds) as u64),
        gauges.pauses.get(),
        gauges.resumes.get(),
    );
    println!("the loop made {} turns and ran {} callbacks", metrics.turns, metrics.callbacks);
    println!("sent     {} bytes, sha256 {}", ours.bytes, ours.digest);
    if let Some(theirs) = &theirs {
        println!("received {} bytes, sha256 {}", theirs.bytes, theirs.digest);
    }
    compare(&ours, theirs.as_ref())
}

type Fill = Box<dyn FnMut(&mut [u8]) -> std::io::Result<usize>>;

fn open(source: Source) -> Result<(u64, Fill), Failure> {
    match source {
        Source::MadeUp(total) => {
            let left = Cell::new(total);
            let mut state = 0x9e37_79b9_7f4a_7c15_u64;
            let fill = move |chunk: &mut [u8]| {
                let n = usize::try_from(left.get()).unwrap_or(usize::MAX).min(chunk.len());
                for word in chunk[..n].chunks_mut(8) {
                    // xorshift64: no two stretches alike, and cheap beside the digest.
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    word.copy_from_slice(&state.to_le_bytes()[..word.len()]);
                }
                left.set(left.get() - n as u64);
                Ok(n)
            };
            Ok((total, Box::new(fill)))
        }
        Source::File(path) => {
            let (mut file, total) = open_file(&path)?;
            Ok((total, Box::new(move |chunk: &mut [u8]| file.read(chunk))))
        }
    }
}
