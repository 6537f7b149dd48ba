//! A transport of one's own, plugged into the loop: a pipe in memory that carries so many bytes each
//! millisecond. Streams run on it unchanged: back-pressure, end of file, close and all.
//!
//! `carry.rs` is the mechanism, `end.rs` how it ends, `face.rs` the [`Transport`] that `pipe.rs` shows. The rules (what comes in which
//! order, who is on the stack) are the transport layer's own parts, put together anew.
//!
//! [`Transport`]: millrun::transport::Transport

mod carry;
mod end;
mod face;
mod pipe;

use carry::BYTES_PER_MS;
use millrun::streams::stream;
use millrun::{LoopHandle, spawn};
use pipe::Pipe;

type Failure = Box<dyn std::error::Error>;

const TOTAL: usize = 2 << 20;

fn main() -> Result<(), Failure> {
    millrun::run(async {
        let event_loop = LoopHandle::current()?;
        let (near, far) = Pipe::pair(&event_loop);
        let (mut from, echoes) = stream(|protocol| far.attach(protocol)).await?;
        let (mut reader, writer) = stream(|protocol| near.attach(protocol)).await?;

        let echo = spawn(async move {
            while let Ok(bytes) = from.read(16 * 1024).await {
                if bytes.is_empty() || echoes.write(bytes).is_err() || echoes.drain().await.is_err()
                {
                    break;
                }
            }
        });
        let sender = spawn(async move {
            for n in 0..(TOTAL / 4096) {
                writer.write(&[n as u8; 4096])?;
                writer.drain().await?; // waits for the pipe: 64 KiB a millisecond
            }
            writer.write_eof();
            Ok::<_, std::io::Error>(writer)
        });

        let start = event_loop.now();
        let mut back = Vec::new();
        reader.read_to_end(&mut back).await?;
        let took = event_loop.now() - start;
        drop(sender.await??);
        echo.await?;

        println!("{} bytes went there and back in {took:.2?}", back.len());
        let least = TOTAL / BYTES_PER_MS;
        let right = (0..TOTAL).all(|i| back.get(i) == Some(&((i / 4096) as u8)));
        match back.len() == TOTAL && right && took.as_millis() >= least as u128 - 1 {
            true => Ok(()),
            false => Err(format!("expected {TOTAL} bytes in {least} ms or more").into()),
        }
    })?
}
