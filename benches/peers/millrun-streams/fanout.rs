//! One writer, many readers: what a publisher sends goes to each subscriber. The publisher waits for those that are behind.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use millrun_streams::{StreamReader, StreamWriter};

use crate::echo::MOST;

/// The subscribers. Behind an [`Rc`] of their own, so that a publisher can wait for those that it wrote to while others come and go.
#[derive(Default)]
pub(crate) struct Room(RefCell<Rc<Vec<Rc<StreamWriter>>>>);

pub(crate) async fn join(
    room: Rc<Room>,
    mut reader: StreamReader,
    writer: StreamWriter,
) -> io::Result<()> {
    match *reader.read_exact(1).await? {
        [b'P'] => room.publish(reader).await,
        [b'S'] => room.subscribe(reader, Rc::new(writer)).await,
        _ => Err(io::Error::other("expected P or S")),
    }
}

impl Room {
    async fn publish(&self, mut reader: StreamReader) -> io::Result<()> {
        loop {
            let data = reader.read(MOST).await?;
            if data.is_empty() {
                return Ok(());
            }
            self.say(data).await;
        }
    }

    /// One that is gone can't be written to, which is for its own task to find out.
    async fn say(&self, data: &[u8]) {
        let subscribers = self.0.borrow().clone();
        for subscriber in &*subscribers {
            let _ = subscriber.write(data);
        }
        for subscriber in &*subscribers {
            let _ = subscriber.drain().await;
        }
    }

    async fn subscribe(
        &self,
        mut reader: StreamReader,
        writer: Rc<StreamWriter>,
    ) -> io::Result<()> {
        Rc::make_mut(&mut *self.0.borrow_mut()).push(writer.clone());
        let outcome = nothing_to_say(&mut reader).await;
        Rc::make_mut(&mut *self.0.borrow_mut()).retain(|other| !Rc::ptr_eq(other, &writer));
        outcome
    }
}

/// Until the subscriber leaves.
async fn nothing_to_say(reader: &mut StreamReader) -> io::Result<()> {
    while !reader.read(MOST).await?.is_empty() {}
    Ok(())
}
