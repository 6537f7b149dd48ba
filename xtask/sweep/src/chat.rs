//! A room: what one says all others hear, in the order in which it was said; some leave early, some hear slowly.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use millrun_loop::{sleep, spawn};
use millrun_sim::Rng;
use millrun_streams::{StreamReader, StreamWriter, open_connection, start_server};
use millrun_testbed::{World, WorldError};

use crate::mixed::{bad_network, leave};
use crate::streams;

const PORT: u16 = 1;

/// Who is in the room.
type Room = Rc<RefCell<BTreeMap<u64, Rc<StreamWriter>>>>;

pub(crate) fn play(world: &World) -> Result<(), WorldError> {
    let mut rng = Rng::new(world.seed());
    bad_network(world, &mut rng);
    let guests = 2 + rng.within(0..4);
    let lines = 1 + rng.within(0..15);
    let clients = Rc::new(Cell::new(guests as u32));
    // All are in the room before anybody speaks, and until all who stay have spoken.
    let arrived = Rc::new(Cell::new(0));
    let heard = Rc::new(Cell::new(0));
    world.host("room", room(Rc::clone(&clients)));
    let leavers: Vec<bool> = (0..guests).map(|guest| guest > 0 && rng.chance(0.2)).collect();
    let stay = leavers.iter().filter(|leaves| !**leaves).count() as u64;
    for guest in 0..guests {
        let rng = Rng::new(rng.next_u64());
        let (clients, arrived, heard) =
            (Rc::clone(&clients), Rc::clone(&arrived), Rc::clone(&heard));
        let leavers = leavers.clone();
        world.host(&format!("guest-{guest}"), async move {
            let me = Guest { number: guest, leavers, lines, arrived, heard, rng };
            me.take_part().await;
            leave(&clients);
        });
    }
    world.run()?;
    assert_eq!(heard.get(), stay * (stay - 1) * lines, "lines that were heard by who stayed");
    Ok(())
}

async fn room(clients: Rc<Cell<u32>>) {
    let guests = Room::default();
    let next = Cell::new(0);
    let handler = async move |mut reader: StreamReader, writer: StreamWriter| {
        let me = next.replace(next.get() + 1);
        guests.borrow_mut().insert(me, Rc::new(writer));
        // An answer to who has come: from here on he hears everything.
        let mine = Rc::clone(&guests.borrow()[&me]);
        let _ = mine.write(b"welcome\n");
        drop(mine);
        while let Ok(Some(line)) = reader.next_line().await {
            if !line.ends_with(b"\n") {
                break; // who left in the middle of a line has not said it
            }
            let line = line.to_vec();
            let others: Vec<_> =
                guests.borrow().range(..).map(|(n, w)| (*n, Rc::clone(w))).collect();
            for (number, writer) in others {
                // Who has gone hears nothing; who is slow is waited for.
                if number != me && writer.write(&line).is_ok() {
                    let _ = writer.drain().await;
                }
            }
        }
        guests.borrow_mut().remove(&me);
    };
    let server = start_server("room", PORT, handler).await.unwrap();
    while clients.get() > 0 {
        sleep(Duration::from_millis(20)).await;
    }
    server.close();
    server.wait_closed().await;
}

struct Guest {
    number: u64,
    leavers: Vec<bool>,
    lines: u64,
    arrived: Rc<Cell<u64>>,
    heard: Rc<Cell<u64>>,
    rng: Rng,
}

impl Guest {
    async fn take_part(mut self) {
        sleep(streams::pause(&mut self.rng)).await;
        let (mut reader, writer) = open_connection("room", PORT).await.unwrap();
        assert_eq!(reader.read_line().await.unwrap(), b"welcome\n");
        self.arrived.set(self.arrived.get() + 1);
        while self.arrived.get() < self.leavers.len() as u64 {
            sleep(Duration::from_millis(5)).await;
        }
        let leaves = self.leavers[self.number as usize];
        let rng = Rng::new(self.rng.next_u64());
        let speaking = spawn(speak(writer, self.number, if leaves { 1 } else { self.lines }, rng));
        if leaves {
            let writer = speaking.await.unwrap();
            if self.rng.chance(0.5) {
                writer.abort();
            }
            return;
        }
        self.listen(&mut reader).await;
        drop(speaking.await.unwrap());
    }

    /// Until all who stay have said all.
    async fn listen(&mut self, reader: &mut StreamReader) {
        let stay = self.leavers.iter().filter(|leaves| !**leaves).count() as u64;
        let mut next = BTreeMap::<u64, u64>::new();
        let mut missing = (stay - 1) * self.lines;
        while missing > 0 {
            let line = reader.read_line().await.unwrap();
            let line = std::str::from_utf8(line).unwrap();
            let mut words = line.split_whitespace().map(|word| word.parse::<u64>().unwrap());
            let (who, what) = (words.next().unwrap(), words.next().unwrap());
            assert_ne!(who, self.number, "nobody hears himself");
            let expected = next.entry(who).or_default();
            assert_eq!(what, *expected, "the next line of {who}");
            *expected += 1;
            if !self.leavers[who as usize] {
                missing -= 1;
                self.heard.set(self.heard.get() + 1);
            }
            if self.rng.chance(0.1) {
                sleep(streams::pause(&mut self.rng)).await;
            }
        }
    }
}

async fn speak(writer: StreamWriter, who: u64, lines: u64, mut rng: Rng) -> StreamWriter {
    for line in 0..lines {
        let padding = "0".repeat(rng.within(0..300) as usize);
        writer.write(format!("{who} {padding}{line}\n").as_bytes()).unwrap();
        writer.drain().await.unwrap();
        if rng.chance(0.5) {
            sleep(streams::pause(&mut rng)).await;
        }
    }
    writer
}
