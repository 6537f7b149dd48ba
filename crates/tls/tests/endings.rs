//! Endings that nobody asked for: garbage, a stall, an early end, a peer that vanishes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::rc::Rc;
use std::time::Duration;

use common::{Certificates, Pair, Tell, Told, run, settle};
use millrun_loop::{LoopHandle, sleep};
use millrun_sim::Delay;
use millrun_transport::CloseOutcome;

/// Two peers that break the rules: garbage behind a close, again and again, is discarded like all the rest.
#[test]
fn garbage_while_closing_is_discarded_and_ends_the_wait() {
    let certificates = Certificates::new();
    run(|sim| async move {
        let (near, far) = sim.tcp_pair();
        let handle = LoopHandle::current().unwrap();
        let there = Told::default();
        let told = there.clone();
        let layer = Rc::new(certificates.server_config());
        let serving = millrun_transport::Connect::socket(near).layer(layer);
        let serving = handle.spawn(serving.connect(&handle, move || Tell::new(&told)));
        // The client is real until it is connected; then its socket speaks on its own.
        let here = Told::default();
        let client = millrun_transport::Connect::socket(far);
        let below = client.connect(&handle, || Tell::new(&here)).await.unwrap();
        let layer = certificates.client_config();
        let layer = millrun_transport::ClientTls::layer(&layer, common::NAME).unwrap();
        let upper = millrun_transport::Upper::Made(Box::new(Tell::new(&here)));
        let upgrade = millrun_transport::start_tls(
            &handle,
            below.clone(),
            upper,
            &*layer,
            bytes::Bytes::new(),
        );
        let transport = upgrade.await.unwrap();
        let their_transport = serving.await.unwrap().unwrap();
        settle().await;
        their_transport.close();
        for _ in 0..5 {
            below.write(b"this is no record of TLS at all, whoever reads it");
            settle().await;
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(there.events(), ["made", "lost"]);
        drop((transport, below));
        here.transport().abort();
        settle().await;
        here.forget();
        there.forget();
    });
}

/// The contract of `close`: an end that was not flushed tells how much is missing.
#[test]
fn d_20_a_close_that_makes_no_progress_tells_what_is_unsent() {
    let certificates = Certificates::new();
    run(|sim| async move {
        sim.set_buffers(4_000, 4_000);
        let pair = Pair::new(&certificates, Tell::new).await;
        // From here on nothing arrives at either side for a year.
        sim.add_rule(Delay(Duration::from_secs(365 * 24 * 3600)));
        let transport = pair.here.transport();
        transport.write(&vec![1; 100_000]);
        transport.close();
        sleep(Duration::from_secs(100)).await;
        assert_eq!(pair.here.events(), ["made", "lost: TimedOut"]);
        assert!(matches!(transport.close_outcome(), Some(CloseOutcome::Unsent(n)) if n > 90_000));
        drop(transport);
        for told in [&pair.here, &pair.there] {
            told.transport().abort();
            told.forget();
        }
        pair.server.close();
    });
}

/// An end of the write direction that is asked for while the handshake runs comes behind it, and behind what was written.
#[test]
fn an_early_end_of_writing_comes_behind_the_handshake() {
    let certificates = Certificates::new();
    run(|sim| async move {
        use millrun_transport::{ClientTls, SocketTransport, TransportOptions, Wrapping};
        let handle = LoopHandle::current().unwrap();
        let (near, far) = sim.tcp_pair();
        let there = Told::default();
        let told = there.clone();
        let serving =
            millrun_transport::Connect::socket(far).layer(Rc::new(certificates.server_config()));
        let serving = handle.spawn(serving.connect(&handle, move || Tell::new(&told).keep_open()));
        let here = Told::default();
        let layer = certificates.client_config().layer(common::NAME).unwrap();
        let (wrapping, _opened) = Wrapping::new(&handle, Box::new(Tell::new(&here)));
        let wrapped = layer.wrap(wrapping).unwrap();
        let transport = wrapped.transport;
        SocketTransport::new(&handle, near, wrapped.protocol, TransportOptions::default()).unwrap();
        transport.write(b"early words");
        transport.write_eof();
        serving.await.unwrap().unwrap();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(there.events(), ["made", "data", "eof"]);
        assert_eq!(there.received(), b"early words");
        there.transport().close();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(here.events(), ["made", "eof", "lost"]);
        drop(transport);
        here.forget();
        there.forget();
    });
}

/// What the kernel had not taken when the peer vanished is counted, in both layers.
#[test]
fn a_peer_that_is_gone_leaves_an_outcome_that_counts() {
    let certificates = Certificates::new();
    run(|sim| async move {
        sim.set_buffers(4_000, 4_000);
        let pair = Pair::new(&certificates, Tell::new).await;
        let transport = pair.here.transport();
        pair.there.transport().pause_reading();
        transport.write(&vec![1; 60_000]);
        settle().await;
        transport.write(&vec![1; 300_000]);
        settle().await;
        pair.there.transport().abort();
        sleep(Duration::from_secs(5)).await;
        assert!(
            pair.here.events().last().unwrap().starts_with("lost: "),
            "{:?}",
            pair.here.events()
        );
        let outcome = transport.close_outcome();
        assert!(matches!(outcome, Some(CloseOutcome::Unsent(n)) if n > 330_000), "{outcome:?}");
        drop(transport);
        pair.over().await;
    });
}
