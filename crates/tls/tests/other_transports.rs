//! TLS over transports that are nobody's socket: they bring as much as they like at once, and end without a word.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use common::{Certificates, NAME, Tell, Told, noise, run, settle};
use millrun_loop::{BlockSize, LoopHandle};
use millrun_tls::ClientConfig;
use millrun_transport::{
    ClientTls, CloseOutcome, Flow, InvalidLimits, Layer, Protocol, Transport, Watermarks, Wrapping,
};

/// The least that a transport can be: what is written lies here.
#[derive(Debug, Default)]
struct Bare {
    written: RefCell<Vec<u8>>,
    is_over: Cell<bool>,
}

impl Transport for Bare {
    fn write(&self, data: &[u8]) -> Flow {
        self.written.borrow_mut().extend_from_slice(data);
        Flow::Open
    }
    fn write_eof(&self) {}
    fn close(&self) {
        self.is_over.set(true);
    }
    fn abort(&self) {
        self.is_over.set(true);
    }
    fn fail(&self, _: io::Error) {
        self.is_over.set(true);
    }
    fn is_closing(&self) -> bool {
        self.is_over.get()
    }
    fn close_outcome(&self) -> Option<CloseOutcome> {
        self.is_over.get().then_some(CloseOutcome::Flushed)
    }
    fn pause_reading(&self) {}
    fn resume_reading(&self) {}
    fn is_reading(&self) -> bool {
        true
    }
    fn can_pause_reading(&self) -> bool {
        false
    }
    fn set_protocol(&self, _: Box<dyn Protocol>) {}
    fn write_buffer_size(&self) -> usize {
        0
    }
    fn write_buffer_limits(&self) -> Watermarks {
        Watermarks::default()
    }
    fn set_write_buffer_limits(&self, _: Watermarks) -> Result<(), InvalidLimits> {
        Ok(())
    }
}

/// A TLS end over a bare transport.
struct End {
    told: Told,
    below: Rc<Bare>,
    lower: Box<dyn Protocol>,
    upper: Rc<dyn Transport>,
}

impl End {
    fn new(layer: &dyn Layer) -> End {
        End::with(layer, |tell| tell)
    }

    fn with(layer: &dyn Layer, made_ready: fn(Tell) -> Tell) -> End {
        let (told, below) = (Told::default(), Rc::new(Bare::default()));
        let handle = LoopHandle::current().unwrap();
        let (wrapping, _nobody) = Wrapping::new(&handle, Box::new(made_ready(Tell::new(&told))));
        let wrapped = layer.wrap(wrapping).unwrap();
        let (mut lower, upper) = (wrapped.protocol, wrapped.transport);
        lower.connection_made(below.clone());
        End { told, below, lower, upper }
    }

    /// All that it has written, at once.
    fn wrote(&self) -> Vec<u8> {
        self.upper.flush();
        self.below.written.take()
    }
}

/// A client and a server that have shaken hands.
async fn pair(client: &ClientConfig, certificates: &Certificates) -> (End, End) {
    pair_with(client, certificates, |tell| tell).await
}

async fn pair_with(
    client: &ClientConfig,
    certificates: &Certificates,
    servers: fn(Tell) -> Tell,
) -> (End, End) {
    let client_layer = client.layer(NAME).unwrap();
    let (mut client, mut server) =
        (End::new(&*client_layer), End::with(&certificates.server_config(), servers));
    for _ in 0..10 {
        let (there, back) = (client.wrote(), server.wrote());
        for (end, bytes) in [(&mut server, there), (&mut client, back)] {
            if !bytes.is_empty() {
                end.lower.data_received(&bytes).unwrap();
            }
        }
        settle().await;
    }
    assert_eq!(
        (client.told.events(), server.told.events()),
        (vec!["made".into()], vec!["made".into()])
    );
    (client, server)
}

async fn over(ends: (End, End)) {
    for mut end in [ends.0, ends.1] {
        end.upper.abort();
        end.lower.connection_lost(None);
        settle().await;
        end.told.forget();
    }
}

/// D-14: however the transport below puts it.
#[test]
fn an_end_without_a_word_is_a_truncation() {
    let certificates = Certificates::new();
    run(|_| async move {
        for pauses in [false, true] {
            let (mut client, mut server) = pair(&certificates.client_config(), &certificates).await;
            server.upper.write(b"the beginning");
            let sent = server.wrote();
            client.lower.data_received(&sent).unwrap();
            if pauses {
                client.upper.pause_reading();
            }
            client.lower.connection_lost(None);
            settle().await;
            assert_eq!(client.told.events(), ["made", "data", "lost: Truncated"], "{pauses}");
            // With the word of it nothing is missing.
            client.below.written.take();
            server.lower.eof_received();
            settle().await;
            assert_eq!(server.told.events(), ["made", "lost: Truncated"]);
            over((client, server)).await;
        }
    });
}

#[test]
fn an_end_without_a_word_is_an_end_where_that_is_tolerated_and_after_close_notify() {
    let certificates = Certificates::new();
    run(|_| async move {
        let config = certificates.client_config().tolerate_truncation();
        let (mut client, mut server) = pair(&config, &certificates).await;
        client.upper.close();
        let farewell = client.wrote();
        client.lower.connection_lost(None);
        server.lower.data_received(&farewell).unwrap();
        server.lower.connection_lost(None);
        settle().await;
        assert_eq!(client.told.events(), ["made", "lost"]);
        assert_eq!(server.told.events(), ["made", "eof", "lost"]);
        over((client, server)).await;
        let (mut client, server) = pair(&config, &certificates).await;
        client.lower.connection_lost(None);
        settle().await;
        assert_eq!(client.told.events(), ["made", "eof", "lost"]);
        over((client, server)).await;
    });
}

/// A completion ring, or a pipe, may bring more than it was asked for; what it brought is nowhere else.
#[test]
fn a_transport_below_may_bring_any_amount_at_once() {
    let certificates = Certificates::new();
    run(|_| async move {
        for pauses in [false, true] {
            let (mut client, server) = pair(&certificates.client_config(), &certificates).await;
            let much = noise(1_000_000);
            server.upper.write(&much);
            let sent = server.wrote();
            assert!(sent.len() > much.len());
            if pauses {
                client.upper.pause_reading();
            }
            client.lower.data_received(&sent).unwrap();
            settle().await;
            if pauses {
                assert_eq!(client.told.events(), ["made"]);
                client.upper.resume_reading();
                settle().await;
            }
            assert!(client.told.received() == much, "{:?}", client.told.events());
            assert_eq!(client.told.events(), ["made", "data"]);
            over((client, server)).await;
        }
    });
}

/// Before the handshake is done nobody is owed anything.
#[test]
fn a_flood_in_the_handshake_ends_it() {
    let certificates = Certificates::new();
    run(|_| async move {
        let mut server = End::new(&certificates.server_config());
        // The first bytes of a message of 16 MiB, in records that look right.
        let mut flood = Vec::new();
        for at in 0..40 {
            let mut record = vec![22, 3, 3, 0x40, 0];
            record.resize(5 + 0x4000, 0);
            if at == 0 {
                record[5..9].copy_from_slice(&[1, 0xff, 0xff, 0xff]);
            }
            flood.extend(record);
        }
        server.lower.data_received(&flood).unwrap();
        settle().await;
        assert!(server.below.is_over.get(), "{:?}", server.upper);
        assert!(server.told.events().is_empty());
        server.lower.connection_lost(None);
    });
}

#[test]
fn a_configuration_with_early_data_is_refused() {
    let provider = || std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let mut client = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    assert!(ClientConfig::from_rustls(std::sync::Arc::new(client.clone())).is_ok());
    client.enable_early_data = true;
    let refused = ClientConfig::from_rustls(std::sync::Arc::new(client)).unwrap_err();
    assert!(refused.to_string().contains("without early data"), "{refused}");
    let resolver = std::sync::Arc::new(rustls::server::ResolvesServerCertUsingSni::new());
    let mut server = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    assert!(millrun_tls::ServerConfig::from_rustls(std::sync::Arc::new(server.clone())).is_ok());
    server.max_early_data_size = 1;
    assert!(millrun_tls::ServerConfig::from_rustls(std::sync::Arc::new(server)).is_err());
}

/// What comes behind the peer's `close_notify` is nobody's, and nobody can be told to stop: none of it is held, while our side goes on.
#[test]
fn what_comes_behind_the_end_is_not_held() {
    let certificates = Certificates::new();
    run(|_| async move {
        let (mut client, mut server) =
            pair_with(&certificates.client_config(), &certificates, Tell::keep_open).await;
        client.upper.write_eof();
        let farewell = client.wrote();
        server.lower.data_received(&farewell).unwrap();
        settle().await;
        assert_eq!(server.told.events(), ["made", "eof"]);
        let handle = LoopHandle::current().unwrap();
        let taken = || {
            let sizes =
                [BlockSize::Small, BlockSize::Large].map(|size| handle.blocks().counts(size));
            sizes.map(|counts| counts.made + counts.reused)
        };
        let before = taken();
        for _ in 0..20 {
            server.lower.data_received(&noise(100_000)).unwrap();
        }
        assert_eq!(taken(), before, "no block is taken for it");
        server.upper.write(b"and our side goes on");
        let sent = server.wrote();
        client.lower.data_received(&sent).unwrap();
        settle().await;
        assert_eq!(client.told.received(), b"and our side goes on");
        over((client, server)).await;
    });
}
