//! Who waits for whom, and how much is held meanwhile: flow control through two layers.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{Certificates, Pair, Tell, Told, noise, run, settle};
use millrun_loop::sleep;
use millrun_sim::Delay;
use millrun_transport::{CloseOutcome, Flow, Watermarks};

/// Enough to go round every corner many times.
const MUCH: usize = 3_000_000;

#[test]
fn tls_018_tls_038_writing_pauses_above_high_and_resumes_at_low_counting_what_is_below() {
    let certificates = Certificates::new();
    run(|sim| async move {
        let pair = Pair::new(&certificates, Tell::new).await;
        let transport = pair.here.transport();
        assert_eq!(transport.write_buffer_limits(), Watermarks { low: 131_072, high: 524_288 });
        pair.there.transport().pause_reading();
        let mut written = 0;
        while transport.write(&[0; 10_000]) == Flow::Open {
            written += 10_000;
            assert!(written < 2_000_000, "it never says stop");
            settle().await;
        }
        written += 10_000;
        let size = transport.write_buffer_size();
        assert!((524_288..560_000).contains(&size), "{size}");
        settle().await;
        assert_eq!(pair.here.events(), ["made", "pause"]);
        pair.there.transport().resume_reading();
        while pair.here.events().len() < 3 {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(pair.here.events(), ["made", "pause", "resume"]);
        assert!(transport.write_buffer_size() <= 131_072);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(pair.there.received().len(), written);
        transport.close();
        drop(transport);
        pair.over().await;
        let _ = sim;
    });
}

#[test]
fn a_paused_writer_is_always_resumed() {
    for (low, high) in
        [(0, 0), (0, 1), (1, 1000), (250, 1000), (100, 100), (20_000, 70_000), (70_000, 70_000)]
    {
        for buffers in [500, 4_000, 70_000] {
            let certificates = Certificates::new();
            run(|sim| async move {
                sim.set_buffers(buffers, buffers);
                sim.add_rule(Delay(Duration::from_millis(3)));
                let pair = Pair::new(&certificates, Tell::new).await;
                let transport = pair.here.transport();
                transport.set_write_buffer_limits(Watermarks { low, high }).unwrap();
                let (mut sent, mut waited) = (0, 0);
                for round in 0..60 {
                    let piece = vec![round as u8; [1, 30, 900, 20_000][round % 4]];
                    let flow = transport.write(&piece);
                    assert_ne!(flow, Flow::Closed);
                    sent += piece.len();
                    settle().await;
                    let mut patience = 0;
                    while pair.here.events().last().is_some_and(|e| e == "pause") {
                        patience += 1;
                        assert!(
                            patience < 100_000,
                            "marks {low}/{high}, buffers {buffers}: nobody resumes"
                        );
                        sleep(Duration::from_millis(1)).await;
                        waited += 1;
                    }
                }
                while pair.there.received().len() < sent {
                    sleep(Duration::from_millis(1)).await;
                }
                let events = pair.here.events();
                for pair in events[1..].chunks(2) {
                    assert_eq!(pair, ["pause", "resume"], "they alternate: {events:?}");
                }
                let _ = waited;
                transport.close();
                drop(transport);
                pair.over().await;
            });
        }
    }
}

#[test]
fn tls_019_a_reader_that_pauses_holds_one_record_and_the_rest_waits_below() {
    let certificates = Certificates::new();
    run(|sim| async move {
        let pair = Pair::new(&certificates, Tell::new).await;
        settle().await;
        pair.there.transport().pause_reading();
        let before = sim.counters();
        pair.here.transport().write(&noise(MUCH));
        sleep(Duration::from_secs(1)).await;
        let read = sim.counters().bytes_read - before.bytes_read;
        assert!(read <= 64 * 1024, "read {read} bytes for nobody");
        assert!(pair.there.received().is_empty());
        pair.there.transport().resume_reading();
        sleep(Duration::from_secs(5)).await;
        assert_eq!(pair.there.received().len(), MUCH);
        pair.here.transport().close();
        pair.over().await;
    });
}

#[test]
fn tls_020_plaintext_waits_unsealed_while_the_transport_below_is_paused() {
    let certificates = Certificates::new();
    run(|sim| async move {
        sim.set_buffers(4_000, 4_000);
        let pair = Pair::new(&certificates, Tell::new).await;
        pair.there.transport().pause_reading();
        let transport = pair.here.transport();
        transport.write(&noise(100_000));
        settle().await;
        settle().await;
        transport.write(&noise(200_000));
        settle().await;
        let text = format!("{transport:?}");
        assert!(text.contains("unsealed=200000"), "{text}");
        pair.there.transport().resume_reading();
        sleep(Duration::from_secs(1)).await;
        assert!(format!("{transport:?}").contains("unsealed=0"));
        assert_eq!(pair.there.received().len(), 300_000);
        transport.close();
        drop(transport);
        pair.over().await;
    });
}

/// That the peer had said its last word excuses nothing of ours.
#[test]
fn an_error_that_kept_bytes_from_leaving_is_told_also_behind_the_peers_end() {
    let certificates = Certificates::new();
    run(|sim| async move {
        sim.set_buffers(2048, 2048);
        let keeps: fn(&Told) -> Tell = |told| Tell::new(told).keep_open();
        let (client, server) = (certificates.client_config(), certificates.server_config());
        let pair = Pair::with(client, server, keeps, keeps).await;
        pair.here.transport().write_eof();
        pair.here.transport().pause_reading();
        sleep(Duration::from_secs(1)).await;
        let transport = pair.there.transport();
        transport.write(&[5; 100_000]);
        transport.close();
        sleep(Duration::from_secs(1)).await;
        pair.here.transport().abort();
        sleep(Duration::from_secs(1)).await;
        let events = pair.there.events();
        assert!(events.last().unwrap().starts_with("lost: "), "{events:?}");
        assert!(matches!(transport.close_outcome(), Some(CloseOutcome::Unsent(_))));
        drop(transport);
        pair.over().await;
    });
}
