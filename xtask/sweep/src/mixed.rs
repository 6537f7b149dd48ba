//! Many clients, on both layers, against a server on both layers, over a network of chance.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use millrun_loop::{LoopHandle, sleep, spawn};
use millrun_sim::{Delay, Faults, Jitter, Rng};
use millrun_streams::{OpenConnection, StreamReader, StreamWriter};
use millrun_testbed::{World, WorldError};
use millrun_transport::{Connect, Serve};

use crate::callbacks::Talker;
use crate::ledger::{LIMIT, Ledger, Manner, Side};
use crate::streams;

/// The ports of the server: streams, and callbacks.
const PORTS: [u16; 2] = [1, 2];

/// What a connection may still need when its ends are gone: to flush, and to linger. A close's own deadline is longer.
const SOON: Duration = Duration::from_secs(10);

pub(crate) fn play(world: &World) -> Result<(), WorldError> {
    let mut rng = Rng::new(world.seed());
    bad_network(world, &mut rng);
    let ledger = Rc::new(Ledger::default());
    let clients = 2 + rng.within(0..5) as u32;
    ledger.clients.set(clients);
    let server = world.host("server", serve(Rc::clone(&ledger)));
    if rng.chance(0.1) {
        // Four listeners, and so many connections at a time: the others wait.
        server.machine().set_fd_limit(4 + 1 + rng.within(0..4) as usize);
    }
    for client in 0..clients {
        let rng = Rng::new(rng.next_u64());
        world.host(&format!("client-{client}"), visit(Rc::clone(&ledger), rng));
    }
    let report = world.run()?;
    let after = world.now() - report.ended_at;
    assert!(after < SOON, "a connection, or a timer of one, that is over goes on for {after:?}");
    ledger.check();
    Ok(())
}

/// Faults, delays and small buffers, as the dice say.
pub(crate) fn bad_network(world: &World, rng: &mut Rng) {
    let sim = world.sim();
    let mut often = || [0.0, 0.05, 0.3][rng.within(0..3) as usize];
    let (short_reads, short_writes, would_block) = (often(), often(), often());
    sim.faults(Faults { short_reads, short_writes, would_block });
    if rng.chance(0.5) {
        world.add_rule(Delay(Duration::from_micros(rng.within(0..3000))));
    }
    if rng.chance(0.5) {
        world.add_rule(Jitter(Duration::from_micros(1 + rng.within(0..5000))));
    }
    if rng.chance(0.5) {
        let mut size = || 512 + rng.within(0..8000) as usize;
        sim.set_buffers(size(), size());
    }
}

/// Serves on both layers until no client needs it any more.
async fn serve(ledger: Rc<Ledger>) {
    let handle = LoopHandle::current().unwrap();
    let of = Rc::clone(&ledger);
    let handler = async move |mut reader: StreamReader, writer: StreamWriter| {
        let Ok(number) = reader.read_exact(4).await else { return };
        let connection = of.find(number.try_into().unwrap());
        streams::play(reader, writer, connection, Side::Server).await;
    };
    let by_streams =
        millrun_streams::start_server("server", PORTS[0], handler).limit(LIMIT).await.unwrap();
    let of = Rc::clone(&ledger);
    let serve = Serve::on("server", PORTS[1]);
    let by_callbacks = serve.serve(&handle, move || Talker::server(&of)).await.unwrap();
    while ledger.clients.get() > 0 {
        sleep(Duration::from_millis(20)).await;
    }
    for server in [by_streams, by_callbacks] {
        server.close();
        server.wait_closed().await;
    }
}

async fn visit(ledger: Rc<Ledger>, mut rng: Rng) {
    let mut visits = Vec::new();
    for _ in 0..1 + rng.within(0..5) {
        let manner = if rng.chance(0.6) { Manner::Orderly } else { Manner::Rude };
        let connection = ledger.open(&mut rng, manner);
        let port = PORTS[rng.within(0..2) as usize];
        let is_streams = rng.chance(0.5);
        let ledger = Rc::clone(&ledger);
        let after = streams::pause(&mut rng);
        visits.push(spawn(async move {
            sleep(after).await;
            let to = Connect::to("server", port);
            if is_streams {
                let (reader, writer) = OpenConnection::from(to).limit(LIMIT).await.unwrap();
                writer.write(&connection.number.to_be_bytes()).unwrap();
                streams::play(reader, writer, connection, Side::Client).await;
            } else {
                let handle = LoopHandle::current().unwrap();
                let (talker, is_over) = Talker::client(&ledger, connection);
                to.connect(&handle, move || talker).await.unwrap();
                is_over.await.unwrap();
            }
        }));
    }
    for visit in visits {
        visit.await.unwrap();
    }
    leave(&ledger.clients);
}

pub(crate) fn leave(clients: &Cell<u32>) {
    clients.set(clients.get() - 1);
}
