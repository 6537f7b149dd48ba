//! On callbacks.

use std::io;
use std::rc::Rc;

use millrun_loop::oneshot;
use millrun_testbed::{Guard, Scene, Witness};
use millrun_transport::{Landing, Protocol, Transport, create_connection, create_server};

use super::{bytes, short};

/// Around a protocol: keeps a witness of its callbacks, and lets what ended its connection be heard.
pub struct Told<P> {
    inner: P,
    witness: Rc<Witness>,
    scene: Scene,
    _guard: Guard,
}

impl<P> Told<P> {
    pub fn new(scene: &Scene, name: &'static str, inner: P) -> Told<P> {
        Told { inner, witness: scene.witness(name), scene: scene.clone(), _guard: scene.guard() }
    }

    /// In place of another one, whose witness is `before`.
    fn after(scene: &Scene, before: &Witness, name: &'static str, inner: P) -> Told<P> {
        before.lost();
        let told = Told::new(scene, name, inner);
        told.witness.takes_over();
        told
    }
}

impl<P: Protocol> Protocol for Told<P> {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.witness.made();
        self.inner.connection_made(transport);
    }

    fn landing(&mut self) -> Landing<'_> {
        self.inner.landing()
    }

    fn landed(&mut self, n: usize) -> io::Result<()> {
        if n > 0 {
            self.witness.data();
        }
        self.inner.landed(n)
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        self.witness.data();
        self.inner.data_received(data)
    }

    fn eof_received(&mut self) -> bool {
        self.witness.eof();
        self.inner.eof_received()
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        self.witness.lost();
        if let Some(error) = &error {
            self.scene.hear(error);
        }
        self.inner.connection_lost(error);
    }

    fn pause_writing(&mut self) {
        self.witness.pause();
        self.inner.pause_writing();
    }

    fn resume_writing(&mut self) {
        self.witness.resume();
        self.inner.resume_writing();
    }
}

/// Sends back what comes, and stops reading while its answers pile up.
struct Echo(Option<Rc<dyn Transport>>);

impl Protocol for Echo {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.0 = Some(transport);
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        if let Some(transport) = &self.0 {
            transport.write(data);
        }
        Ok(())
    }

    fn pause_writing(&mut self) {
        if let Some(transport) = &self.0 {
            transport.pause_reading();
        }
    }

    fn resume_writing(&mut self) {
        if let Some(transport) = &self.0 {
            transport.resume_reading();
        }
    }
}

/// Says something, ends its direction, and gives what it heard when the connection is over.
struct Caller {
    says: Vec<u8>,
    heard: Vec<u8>,
    done: Option<oneshot::Sender<io::Result<Vec<u8>>>>,
}

impl Protocol for Caller {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        transport.write(&self.says);
        transport.write_eof();
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        self.heard.extend_from_slice(data);
        Ok(())
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        if let Some(done) = self.done.take() {
            let heard = std::mem::take(&mut self.heard);
            let _ = done.send(error.map_or(Ok(heard), Err));
        }
    }
}

pub async fn echo(scene: Scene) -> io::Result<Vec<u8>> {
    const ALL: usize = 30_000;
    let handle = scene.handle().clone();
    let within = scene.clone();
    let factory = move || Told::new(&within, "the server", Echo(None));
    let server = create_server(&handle, "server", 80, factory).await?;
    let (done, outcome) = oneshot::channel();
    let caller = Caller { says: bytes(ALL), heard: Vec::new(), done: Some(done) };
    let factory = || Told::new(&scene, "the client", caller);
    create_connection(&handle, "server", 80, factory).await?;
    let heard = outcome.await.map_err(io::Error::other)??;
    server.close();
    server.wait_closed().await;
    if heard.len() < ALL { Err(short("the echo", heard.len(), ALL)) } else { Ok(heard) }
}

/// Reads a line, answers it, and gives the connection to another protocol, which gets what came behind the line too.
struct Greeting {
    scene: Scene,
    witness: Option<Rc<Witness>>,
    transport: Option<Rc<dyn Transport>>,
    line: Vec<u8>,
}

impl Protocol for Greeting {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.transport = Some(transport);
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        self.line.extend_from_slice(data);
        let Some(end) = self.line.iter().position(|byte| *byte == b'\n') else { return Ok(()) };
        if let (Some(transport), Some(witness)) = (self.transport.take(), self.witness.take()) {
            transport.write(b"welcome\n");
            let mut echo = Echo(Some(Rc::clone(&transport)));
            echo.data_received(&self.line[end + 1..])?;
            let told = Told::after(&self.scene, &witness, "the server, upgraded", echo);
            transport.set_protocol(Box::new(told));
        }
        Ok(())
    }
}

pub async fn upgrade(scene: Scene) -> io::Result<Vec<u8>> {
    let handle = scene.handle().clone();
    let within = scene.clone();
    let factory = move || {
        let (scene, line) = (within.clone(), Vec::new());
        let greeting = Greeting { scene, witness: None, transport: None, line };
        let mut told = Told::new(&within, "the server", greeting);
        told.inner.witness = Some(Rc::clone(&told.witness));
        told
    };
    let server = create_server(&handle, "server", 80, factory).await?;
    let says = [b"hello\n".to_vec(), bytes(9000)].concat();
    let expected = "welcome\n".len() + 9000;
    let (done, outcome) = oneshot::channel();
    let caller = Caller { says, heard: Vec::new(), done: Some(done) };
    create_connection(&handle, "server", 80, || Told::new(&scene, "the client", caller)).await?;
    let heard = outcome.await.map_err(io::Error::other)??;
    server.close();
    server.wait_closed().await;
    if heard.len() < expected { Err(short("the echo", heard.len(), expected)) } else { Ok(heard) }
}
