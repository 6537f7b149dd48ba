//! Line chat with broadcast: what one says, all others hear, and who does not listen is dropped.
//!
//! ```text
//! chat PORT     serves until interrupted: try it with two `nc localhost PORT`
//! chat          three clients talk to each other, and it ends
//! ```

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use millrun::streams::{StreamReader, StreamWriter, open_connection, start_server};

type Failure = Box<dyn std::error::Error>;

/// A listener whose unread backlog passes this is dropped: it must not cost the others memory.
const MOST_UNREAD: usize = 1 << 20;

#[derive(Default)]
struct Room {
    members: RefCell<BTreeMap<u64, Rc<StreamWriter>>>,
    next: Cell<u64>,
}

impl Room {
    fn say(&self, from: u64, line: &[u8]) {
        let text = [format!("{from}: ").as_bytes(), line].concat();
        self.members.borrow_mut().retain(|&id, member| {
            if member.transport().write_buffer_size() > MOST_UNREAD {
                member.abort(); // dropping it would wait for its peer to read
            }
            id == from || member.write(&text).is_ok()
        });
    }

    async fn join(&self, mut reader: StreamReader, writer: StreamWriter) {
        let id = self.next.replace(self.next.get() + 1);
        self.members.borrow_mut().insert(id, Rc::new(writer));
        self.say(id, b"joins\n");
        while let Ok(line) = reader.read_line().await {
            if !line.ends_with(b"\n") {
                break; // the end, perhaps in the middle of a line: that was not said
            }
            self.say(id, line);
        }
        self.members.borrow_mut().remove(&id);
        self.say(id, b"leaves\n");
    }
}

fn main() -> Result<(), Failure> {
    let asked = std::env::args().nth(1);
    millrun::run(async {
        let room = Rc::new(Room::default());
        let join = async move |r, w| room.join(r, w).await;
        let server = start_server("127.0.0.1", asked.as_deref().unwrap_or("0"), join).await?;
        println!("chatting on {}", server.local_addrs()[0]);
        let port = server.local_addrs()[0].port().unwrap_or(0);
        if asked.is_some() {
            server.wait_closed().await;
            return Ok(());
        }

        let (mut ann, _ann) = open_connection("127.0.0.1", port).await?;
        let (mut bob, bob_says) = open_connection("127.0.0.1", port).await?;
        assert_eq!(ann.read_line().await?, b"1: joins\n");
        let (mut cid, _cid) = open_connection("127.0.0.1", port).await?;
        assert_eq!(ann.read_line().await?, b"2: joins\n");
        assert_eq!(bob.read_line().await?, b"2: joins\n");
        bob_says.write(b"hello, all\n")?;
        for listener in [&mut ann, &mut cid] {
            let heard = listener.read_line().await?;
            println!("heard {:?}", String::from_utf8_lossy(heard));
            assert_eq!(heard, b"1: hello, all\n");
        }
        Ok(())
    })?
}
