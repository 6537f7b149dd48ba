//! One end of a connection, played with streams: random reads and writes, dropped awaits, pauses, ends of all kinds.

use std::rc::Rc;
use std::time::Duration;

use millrun_loop::{sleep, spawn, timeout};
use millrun_sim::Rng;
use millrun_streams::{ReadError, StreamReader, StreamWriter};
use millrun_transport::Watermarks;

use crate::ledger::{Connection, Direction, End, HIGH, LARGEST_WRITE, LIMIT, Manner, Side};

/// Plays an end until both directions are over, by whomever.
pub(crate) async fn play(
    reader: StreamReader,
    writer: StreamWriter,
    connection: Rc<Connection>,
    side: Side,
) {
    let mut rng = connection.rng(side);
    writer.transport().set_write_buffer_limits(Watermarks::from_high(HIGH)).unwrap();
    let theirs = Rng::new(rng.next_u64());
    let reading = spawn(read(reader, Rc::clone(&connection), side, theirs));
    let is_cut = write(&writer, &connection, side, &mut rng).await.is_err();
    // Whatever comes now, a close or a drop, sends what was accepted and then the end.
    connection.outgoing(side).note_ended(End::Whole);
    // A reader that is dropped early, or a writer that is: both are legal.
    if connection.manner == Manner::Rude && rng.chance(0.5) {
        drop(writer);
        reading.await.unwrap();
        return;
    }
    reading.await.unwrap();
    let closed = writer.close().await;
    let is_orderly = connection.manner == Manner::Orderly;
    assert!(!is_orderly || (!is_cut && closed.is_ok()), "an orderly end fails: {closed:?}");
}

/// A size: mostly small, sometimes as large as may be.
pub(crate) fn size(rng: &mut Rng, most: usize) -> usize {
    let most = [8, 100, 1500, most][rng.within(0..4) as usize].min(most);
    1 + rng.within(0..most as u64) as usize
}

pub(crate) fn pause(rng: &mut Rng) -> Duration {
    Duration::from_micros(rng.within(0..4000))
}

async fn write(
    writer: &StreamWriter,
    connection: &Connection,
    side: Side,
    rng: &mut Rng,
) -> Result<(), Box<dyn std::error::Error>> {
    let out = connection.outgoing(side);
    let is_rude = connection.manner == Manner::Rude;
    while !out.is_written() {
        if is_rude && rng.chance(0.03) {
            match rng.within(0..3) {
                0 => {
                    out.note_ended(End::Cut);
                    connection.incoming(side).note_left();
                    writer.abort();
                }
                // The rest of what it had to say is not written: the end comes where it is.
                1 => {
                    connection.incoming(side).note_left();
                    drop(writer.close());
                }
                _ => writer.write_eof(),
            }
            return Ok(());
        }
        let data = out.next_piece(size(rng, LARGEST_WRITE));
        match rng.within(0..4) {
            0 => writer.write_bytes(data.clone().into())?,
            1 => {
                let (one, other) = data.split_at(rng.within(0..data.len() as u64) as usize);
                writer.writelines(&[one, b"", other])?;
            }
            _ => writer.write(&data)?,
        }
        out.note_written(data.len());
        let held = writer.transport().write_buffer_size();
        assert!(held <= HIGH + LARGEST_WRITE, "a writer holds {held} bytes");
        match rng.within(0..8) {
            0 => writer.flush(),
            1 => writer.transport().set_gathering(rng.chance(0.5)),
            2 => drop(timeout(Duration::from_micros(50), writer.drain()).await),
            _ => {}
        }
        // What is not drained would be held without bound, by the writer's own wish.
        writer.drain().await?;
        if rng.chance(0.2) {
            sleep(pause(rng)).await;
        }
    }
    writer.write_eof();
    Ok(())
}

async fn read(mut reader: StreamReader, connection: Rc<Connection>, side: Side, mut rng: Rng) {
    let from = connection.incoming(side);
    let is_rude = connection.manner == Manner::Rude;
    // The largest exact read that was given up: it may have left so many bytes.
    let mut asked = 0;
    loop {
        if is_rude && rng.chance(0.02) {
            return; // dropped: what comes is discarded
        }
        let exact = size(&mut rng, 3 * LIMIT);
        match read_once(&mut reader, from, exact, &mut rng).await {
            Ok(Got::End) => return from.note_end(),
            Ok(Got::Some | Got::Nothing) => {}
            Err(error) => {
                assert!(is_rude, "an orderly connection fails to be read: {error}");
                return;
            }
        }
        let held = (reader.buffered(), reader.memory());
        asked = if held.0 <= 2 * LIMIT { 0 } else { exact.max(asked) };
        let most = (2 * LIMIT).max(asked);
        assert!(held.0 <= most && held.1 <= most + BLOCKS, "a reader holds {held:?} bytes");
        if rng.chance(0.15) {
            sleep(pause(&mut rng)).await;
        }
    }
}

enum Got {
    Some,
    Nothing,
    End,
}

/// One read of any kind; what it gives is compared.
async fn read_once(
    reader: &mut StreamReader,
    from: &Direction,
    exact: usize,
    rng: &mut Rng,
) -> Result<Got, String> {
    let got = |bytes: &[u8]| {
        from.note_received(bytes);
        if bytes.is_empty() { Got::End } else { Got::Some }
    };
    let exactly = |outcome: Result<&[u8], ReadError>| match outcome {
        Ok(bytes) => Ok(got(bytes)),
        Err(ReadError::Incomplete(rest)) => {
            from.note_received(&rest.partial);
            Ok(Got::Nothing) // the next read meets the end of file
        }
        Err(error) => Err(error.to_string()),
    };
    match rng.within(0..6) {
        0 => exactly(reader.read_exact(exact).await),
        1 => match timeout(pause(rng), reader.read_exact(exact)).await {
            Ok(outcome) => exactly(outcome),
            Err(_) => Ok(Got::Nothing), // given up: it has taken nothing
        },
        2 => {
            let mut buffer = [0; 700];
            let n = reader.read_into(&mut buffer).await.map_err(|error| error.to_string())?;
            Ok(got(&buffer[..n]))
        }
        _ => Ok(got(reader.read(exact).await.map_err(|error| error.to_string())?)),
    }
}

/// What memory is rounded up to: a large block that is received into, and one that is read.
const BLOCKS: usize = 2 * 65_536;
