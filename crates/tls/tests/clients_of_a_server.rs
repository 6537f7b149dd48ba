//! A server ends its connections: over TLS from the start, and over TLS that began in the middle, it is the same.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use common::{Certificates, NAME, Tell, Told, at, name, noise, run, settle};
use millrun_loop::sleep;
use millrun_streams::{OpenConnection, ReadAhead, StartServer, StreamReader, StreamWriter};
use millrun_transport::{ClientTls as _, Connect, Serve, Server, Transport};

/// More than all buffers on the way hold.
const MUCH: usize = 300_000;

/// When TLS begins.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Tls {
    AtOnce,
    Later,
    /// At once, and once more later.
    Twice,
}

/// What the ends saw.
#[derive(PartialEq, Debug)]
struct Seen {
    /// By the client: how many bytes, and the end.
    bytes: usize,
    end: String,
    /// By the server's handler: the end of its reader, and of its writer.
    handler: [String; 2],
}

fn told<T>(outcome: io::Result<T>) -> String {
    outcome.map_or_else(|error| name(&error), |_| "in order".to_owned())
}

/// What a handler has and tells.
#[derive(Clone, Default)]
struct Handler {
    /// The transport below TLS that began later, and the protected one.
    below: Rc<RefCell<Option<Rc<dyn Transport>>>>,
    ready: Rc<RefCell<Option<Rc<dyn Transport>>>>,
    ends: Rc<RefCell<Option<[String; 2]>>>,
}

async fn serve(tls: Tls, certificates: &Certificates, handler: &Handler) -> Server {
    let (config, handler) = (certificates.server_config(), handler.clone());
    let outer = config.clone();
    let server = StartServer::tasks(
        Serve::address(at()),
        move |mut reader: StreamReader, mut writer: StreamWriter| {
            let (config, handler) = (config.clone(), handler.clone());
            async move {
                if tls != Tls::AtOnce {
                    handler.below.replace(Some(writer.transport().clone()));
                    assert_eq!(reader.read_line().await?, b"STARTTLS\n");
                    writer.write(b"OK\n")?;
                    (reader, writer) =
                        writer.start_tls(reader, Rc::new(config), ReadAhead::Refuse).await?;
                }
                let much = noise(MUCH);
                writer.write(&much[..MUCH / 3])?;
                // The transport below has paused by then: the rest is not sealed.
                settle().await;
                writer.write(&much[MUCH / 3..])?;
                handler.ready.replace(Some(writer.transport().clone()));
                let end = reader.read(1).await.map(|data| assert!(data.is_empty()));
                let closed = writer.wait_closed().await;
                handler.ends.replace(Some([told(end), told(closed)]));
                io::Result::Ok(())
            }
        },
    );
    if tls == Tls::Later { server.await.unwrap() } else { server.tls(outer).await.unwrap() }
}

async fn client(tls: Tls, certificates: &Certificates) -> (StreamReader, StreamWriter) {
    let config = certificates.client_config();
    let opening = OpenConnection::from(Connect::address(at()));
    let (mut reader, writer) = match tls {
        Tls::Later => opening.await.unwrap(),
        Tls::AtOnce | Tls::Twice => opening.tls(&config, NAME).await.unwrap(),
    };
    if tls == Tls::AtOnce {
        return (reader, writer);
    }
    writer.write(b"STARTTLS\n").unwrap();
    assert_eq!(reader.read_line().await.unwrap(), b"OK\n");
    let layer = config.layer(NAME).unwrap();
    writer.start_tls(reader, layer, ReadAhead::Refuse).await.unwrap()
}

/// The server's side ends it so while most of what it wrote is not sealed yet.
fn seen(tls: Tls, end: fn(&Server, &Handler)) -> Seen {
    let certificates = Certificates::new();
    run(|sim| async move {
        sim.set_buffers(4000, 4000);
        let handler = Handler::default();
        let server = serve(tls, &certificates, &handler).await;
        let (mut reader, writer) = client(tls, &certificates).await;
        while handler.ready.borrow().is_none() {
            settle().await;
        }
        let waits = handler.ready.borrow().as_ref().unwrap().write_buffer_size();
        assert!(waits > MUCH / 2, "{waits}");
        end(&server, &handler);
        let mut bytes = Vec::new();
        let end = told(reader.read_to_end(&mut bytes).await);
        drop((reader, writer));
        server.close();
        server.wait_closed().await;
        settle().await;
        handler.below.take();
        handler.ready.take();
        let handler = handler.ends.take().expect("the handler is over");
        assert!(bytes == noise(MUCH)[..bytes.len()]);
        Seen { bytes: bytes.len(), end, handler }
    })
}

#[test]
fn sv_020_close_clients_flushes_tls_whenever_it_began() {
    for tls in [Tls::AtOnce, Tls::Later, Tls::Twice] {
        let Seen { bytes, end, handler } = seen(tls, |server, _| server.close_clients());
        assert_eq!((bytes, end.as_str()), (MUCH, "in order"), "{tls:?}");
        assert_eq!(handler, ["in order", "in order"], "{tls:?}");
    }
}

#[test]
fn sv_020_abort_clients_is_an_abort_of_tls_whenever_it_began() {
    let at_once = seen(Tls::AtOnce, |server, _| server.abort_clients());
    assert!(at_once.bytes < MUCH, "{at_once:?}");
    assert_ne!(at_once.end, "in order");
    for tls in [Tls::Later, Tls::Twice] {
        let later = seen(tls, |server, _| server.abort_clients());
        assert!(later.bytes < MUCH, "{later:?}");
        assert_eq!((&later.end, &later.handler), (&at_once.end, &at_once.handler), "{tls:?}");
    }
}

/// D-14: whoever ends what is below TLS cuts both sides off, his own too.
#[test]
fn a_close_below_tls_is_a_truncation_for_both_sides() {
    let ends: [fn(&Server, &Handler); 2] = [
        |_, handler| handler.below.borrow().as_ref().unwrap().close(),
        |_, handler| handler.below.borrow().as_ref().unwrap().abort(),
    ];
    for end in ends {
        let seen = seen(Tls::Later, end);
        assert!(seen.bytes < MUCH, "{seen:?}");
        assert_eq!(seen.end, "Truncated");
        assert_eq!(seen.handler, ["Truncated", "Truncated"]);
    }
}

/// A layer that is over is nothing that could be closed: what is below it is, which may be a layer.
#[test]
fn sv_020_a_connection_whose_layer_was_replaced_is_closed_all_the_same() {
    for (tls, abort) in
        [(Tls::Later, false), (Tls::Later, true), (Tls::Twice, false), (Tls::Twice, true)]
    {
        let certificates = Certificates::new();
        run(|_| async move {
            let (handler, next) = (Handler::default(), Told::default());
            let server = serve(tls, &certificates, &handler).await;
            let ends = client(tls, &certificates).await;
            while handler.ready.borrow().is_none() {
                settle().await;
            }
            let below = handler.below.take().unwrap();
            below.set_protocol(Box::new(Tell::new(&next)));
            settle().await;
            assert_eq!(handler.ends.take().unwrap(), ["Replaced", "Replaced"]);
            assert!(!below.is_closing());
            server.close();
            if abort {
                server.abort_clients()
            } else {
                server.close_clients()
            }
            assert!(below.is_closing());
            drop(ends);
            sleep(Duration::from_secs(1)).await;
            assert_eq!(next.events().last().unwrap(), "lost", "{tls:?} {abort}");
            handler.ready.take();
            server.wait_closed().await;
        });
    }
}
