//! Hosts are parted and healed, a server crashes and comes back: streams go on where they can, fail where they can't, and a
//! client that asks again is served again.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use millrun_loop::{LoopHandle, sleep, timeout};
use millrun_sim::Rng;
use millrun_streams::{StreamReader, StreamWriter, open_connection, start_server};
use millrun_testbed::{World, WorldError, note};

use crate::mixed::bad_network;
use crate::pattern::Pattern;
use crate::streams::{self, size};

const PORT: u16 = 1;

/// When the last trouble is over; from then on all must go well.
const CALM: Duration = Duration::from_secs(120);

pub(crate) fn play(world: &World) -> Result<(), WorldError> {
    let mut rng = Rng::new(world.seed());
    bad_network(world, &mut rng);
    world.sim().set_user_timeout(Duration::from_secs([20, 60, 900][rng.within(0..3) as usize]));
    world.host("server", serve()).background();
    let clients = 1 + rng.within(0..3);
    let served = Rc::new(Cell::new(0));
    for client in 0..clients {
        let name = format!("client-{client}");
        for _ in 0..rng.within(0..4) {
            trouble(world, &mut rng, &name);
        }
        world.host(&name, ask(Rng::new(rng.next_u64()), Rc::clone(&served)));
    }
    if rng.chance(0.4) {
        let down = rng.within(0..90_000);
        let up = down + 1 + rng.within(0..CALM.as_millis() as u64 - down);
        let at = Duration::from_millis;
        world.at(at(down), |world| world.find("server").crash());
        world.at(at(up), |world| {
            world.find("server").restart(serve());
        });
    }
    world.run()?;
    assert_eq!(served.get(), clients, "clients that were served after the trouble");
    Ok(())
}

/// The way between a client and the server is barred for a while.
fn trouble(world: &World, rng: &mut Rng, client: &str) {
    let from = rng.within(0..90_000);
    let until = from + 1 + rng.within(0..CALM.as_millis() as u64 - from);
    let way = rng.within(0..3);
    let (bar, heal) = (client.to_owned(), client.to_owned());
    world.at(Duration::from_millis(from), move |world| {
        let (client, server) = (world.find(&bar), world.find("server"));
        match way {
            0 => world.sim().partition_one_way(client.machine(), server.machine()),
            1 => world.sim().partition_one_way(server.machine(), client.machine()),
            _ => world.sim().partition(client.machine(), server.machine()),
        }
    });
    world.at(Duration::from_millis(until), move |world| world.heal(&heal, "server"));
}

async fn serve() {
    let handler = async |mut reader: StreamReader, writer: StreamWriter| {
        // A client that vanishes without a word would be waited for in vain: a server needs a limit of its own.
        while let Ok(Ok(bytes)) = timeout(Duration::from_secs(200), reader.read(3000)).await {
            if bytes.is_empty() || writer.write(bytes).is_err() || writer.drain().await.is_err() {
                return;
            }
        }
        writer.abort();
    };
    let server = start_server("server", PORT, handler).await.unwrap();
    server.serve_forever().await.unwrap();
}

/// Asks through all the trouble; a connection that fails is replaced. After the trouble one must do.
async fn ask(mut rng: Rng, served: Rc<Cell<u64>>) {
    let event_loop = LoopHandle::current().unwrap();
    let mut tries = 0;
    loop {
        let is_calm = event_loop.now().as_nanos() > CALM.as_nanos() as u64;
        let outcome = converse(&mut rng).await;
        note(format_args!("conversation {tries}: {outcome:?}"));
        match outcome {
            Ok(()) if is_calm => break,
            Ok(()) => {}
            // What was begun in the calm has no reason to fail.
            Err(error) => assert!(!is_calm, "{error}"),
        }
        tries += 1;
        sleep(Duration::from_millis(rng.within(0..5000))).await;
    }
    served.set(served.get() + 1);
}

/// Says something, a piece at a time, and hears each piece again.
async fn converse(rng: &mut Rng) -> Result<(), String> {
    let patience = Duration::from_secs(10 + rng.within(0..100));
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let opened = timeout(patience, open_connection("server", PORT).into_future()).await;
    let (mut reader, writer) = opened.map_err(|e| text(&e))?.map_err(|e| text(&e))?;
    let pattern = Pattern(rng.next_u64());
    let mut at = 0;
    for _ in 0..rng.within(0..12) {
        let data = pattern.piece(at, size(rng, 5000));
        writer.write(&data).map_err(|e| text(&e))?;
        let answer = timeout(patience, reader.read_exact(data.len())).await;
        let answer = match answer {
            Ok(answer) => answer.map_err(|e| text(&e))?,
            Err(late) => {
                // A close would wait for what can't be sent.
                writer.abort();
                return Err(text(&late));
            }
        };
        assert!(pattern.is_at(at, answer), "other bytes at {at} than were sent");
        at += data.len() as u64;
        sleep(streams::pause(rng) * rng.within(0..1000) as u32).await;
    }
    writer.write_eof();
    let end = timeout(patience, reader.read(1)).await;
    match end {
        Ok(Ok([])) => Ok(()),
        Ok(Ok(more)) => panic!("{more:?} behind all that was sent"),
        Ok(Err(error)) => Err(text(&error)),
        Err(late) => {
            writer.abort();
            Err(text(&late))
        }
    }
}
