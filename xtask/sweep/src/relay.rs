//! Clients reach a backend through a relay that copies both ways, half-closes included.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use millrun_loop::{sleep, spawn};
use millrun_sim::Rng;
use millrun_streams::{OpenConnection, StreamReader, StreamWriter, start_server};
use millrun_testbed::{World, WorldError};
use millrun_transport::Connect;

use crate::ledger::{LIMIT, Ledger, Manner, Side};
use crate::mixed::{bad_network, leave};
use crate::streams;

const PORT: u16 = 1;

pub(crate) fn play(world: &World) -> Result<(), WorldError> {
    let mut rng = Rng::new(world.seed());
    bad_network(world, &mut rng);
    let ledger = Rc::new(Ledger::default());
    let clients = 1 + rng.within(0..3) as u32;
    ledger.clients.set(clients);
    let relays = Rc::new(Cell::new(1));
    world.host("backend", backend(Rc::clone(&ledger), Rc::clone(&relays)));
    world.host("relay", relay(Rc::clone(&ledger), relays));
    for client in 0..clients {
        let rng = Rng::new(rng.next_u64());
        world.host(&format!("client-{client}"), visit(Rc::clone(&ledger), rng));
    }
    world.run()?;
    ledger.check();
    Ok(())
}

async fn backend(ledger: Rc<Ledger>, relays: Rc<Cell<u32>>) {
    let handler = async move |mut reader: StreamReader, writer: StreamWriter| {
        let Ok(number) = reader.read_exact(4).await else { return };
        let connection = ledger.find(number.try_into().unwrap());
        streams::play(reader, writer, connection, Side::Server).await;
    };
    let server = start_server("backend", PORT, handler).limit(LIMIT).await.unwrap();
    while relays.get() > 0 {
        sleep(Duration::from_millis(20)).await;
    }
    server.close();
    server.wait_closed().await;
}

async fn relay(ledger: Rc<Ledger>, relays: Rc<Cell<u32>>) {
    let handler = async |reader: StreamReader, writer: StreamWriter| {
        let to = Connect::to("backend", PORT);
        let (back_reader, back_writer) = OpenConnection::from(to).limit(LIMIT).await.unwrap();
        let there = spawn(copy(reader, back_writer));
        let back = spawn(copy(back_reader, writer));
        there.await.unwrap();
        back.await.unwrap();
    };
    let server = start_server("relay", PORT, handler).limit(LIMIT).await.unwrap();
    while ledger.clients.get() > 0 {
        sleep(Duration::from_millis(20)).await;
    }
    server.close();
    server.wait_closed().await;
    leave(&relays);
}

/// Until the end of file, which it passes on; or until something fails, which it passes on as an abort.
async fn copy(mut from: StreamReader, to: StreamWriter) {
    let copied = async {
        loop {
            let bytes = from.read(2 * LIMIT).await?;
            if bytes.is_empty() {
                to.write_eof();
                return Ok::<(), Box<dyn std::error::Error>>(());
            }
            to.write(bytes)?;
            to.drain().await?;
        }
    };
    if copied.await.is_err() {
        to.abort();
    }
}

async fn visit(ledger: Rc<Ledger>, mut rng: Rng) {
    let mut visits = Vec::new();
    for _ in 0..1 + rng.within(0..3) {
        let connection = ledger.open(&mut rng, Manner::Orderly);
        let after = streams::pause(&mut rng);
        visits.push(spawn(async move {
            sleep(after).await;
            let to = Connect::to("relay", PORT);
            let (reader, writer) = OpenConnection::from(to).limit(LIMIT).await.unwrap();
            writer.write(&connection.number.to_be_bytes()).unwrap();
            streams::play(reader, writer, connection, Side::Client).await;
        }));
    }
    for visit in visits {
        visit.await.unwrap();
    }
    leave(&ledger.clients);
}
