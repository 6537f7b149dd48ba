//! What a handshake comes to: who hears of the connection, when, and of what failure.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{
    Certificates, NAME, Pair, Tell, Told, at, connect, name, reports, run, serve, server_params,
    settle,
};
use millrun_loop::{LoopHandle, sleep};
use millrun_selector::{ConnectOptions, ListenOptions};
use millrun_tls::{ClientConfig, InvalidConfig, ServerConfig, TlsError, TlsInfo, TlsVersion};
use millrun_transport::{ClientTls, Connect, extra_info};

/// TLS-002: connection_made after the handshake, then the connect's waiter, then data that came along.
#[test]
fn tls_002_made_then_connected_then_data() {
    let certificates = Certificates::new();
    run(|_| async move {
        let there = Told::default();
        // The server speaks first, so that its words come with its part of the handshake or right behind it.
        let server = serve(certificates.server_config(), &there, Tell::new).await;
        let greet = there.clone();
        LoopHandle::current().unwrap().spawn(async move {
            while !greet.is_made() {
                settle().await;
            }
            greet.transport().write(b"welcome");
        });
        let here = Told::default();
        let told = here.clone();
        connect(&certificates.client_config(), Tell::new(&here)).await.unwrap();
        told.push("connected");
        settle().await;
        settle().await;
        assert_eq!(here.events(), ["made", "connected", "data"]);
        assert_eq!(here.received(), b"welcome");
        here.transport().close();
        Pair { server, here, there }.over().await;
    });
}

#[test]
fn tls_003_a_timeout_of_zero_is_refused() {
    let certificates = Certificates::new();
    let client = certificates.client_config();
    let refused = client.clone().handshake_timeout(Duration::ZERO).unwrap_err();
    assert_eq!(refused, InvalidConfig::ZeroTimeout("handshake"));
    assert_eq!(refused.to_string(), "expected a handshake timeout above 0, got 0");
    assert_eq!(
        client.shutdown_timeout(Duration::ZERO).unwrap_err(),
        InvalidConfig::ZeroTimeout("shutdown")
    );
    assert!(certificates.server_config().handshake_timeout(Duration::ZERO).is_err());
    assert_eq!(millrun_tls::HANDSHAKE_TIMEOUT, Duration::from_secs(60));
    assert_eq!(millrun_tls::SHUTDOWN_TIMEOUT, Duration::from_secs(30));
}

/// TLS-004: a server that never answers.
#[test]
fn tls_004_a_handshake_has_a_deadline_that_its_error_names() {
    let certificates = Certificates::new();
    run(|sim| async move {
        let listener = sim.network().listen(&at(), &ListenOptions::default()).unwrap();
        let told = Told::default();
        let began = sim.now();
        let error = connect(&certificates.client_config(), Tell::new(&told)).await.unwrap_err();
        assert_eq!(sim.now().since(began), Duration::from_secs(60));
        let error = std::io::Error::from(error);
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted);
        assert_eq!(
            TlsError::of(&error),
            Some(&TlsError::HandshakeTimedOut(Duration::from_secs(60)))
        );
        assert!(error.to_string().contains("60 seconds"), "{error}");
        assert!(told.events().is_empty());
        settle().await;
        drop(listener);
    });
}

/// TLS-004, TLS-033: the server's side of it; and no timer stays behind a handshake that is done.
#[test]
fn tls_004_tls_033_a_server_gives_up_a_silent_client_and_leaves_no_timer() {
    let certificates = Certificates::new();
    run(|sim| async move {
        let told = Told::default();
        let config =
            certificates.server_config().handshake_timeout(Duration::from_secs(5)).unwrap();
        let server = serve(config, &told, Tell::new).await;
        let client = sim.network().connect(&at(), &ConnectOptions::default()).unwrap();
        sleep(Duration::from_secs(6)).await;
        assert_eq!(client.try_read(&mut [0; 1]).unwrap(), 0, "it is closed");
        assert!(told.events().is_empty(), "SV-028: the protocol hears nothing");
        server.close();
        drop(client);
    });
    let certificates = Certificates::new();
    run(|_| async move {
        let pair = Pair::new(&certificates, Tell::echo).await;
        let handle = LoopHandle::current().unwrap();
        assert_eq!(handle.metrics().timers, 0, "nothing stays scheduled");
        pair.here.transport().close();
        pair.over().await;
        settle().await;
        assert_eq!(handle.metrics().timers, 0, "nothing stays scheduled");
    });
}

#[test]
fn tls_005_the_end_of_file_in_a_handshake_is_a_reset() {
    let certificates = Certificates::new();
    run(|sim| async move {
        let listener = sim.network().listen(&at(), &ListenOptions::default()).unwrap();
        let handle = LoopHandle::current().unwrap();
        handle.spawn(async move {
            settle().await;
            let (socket, _) = listener.try_accept().unwrap();
            let mut hello = [0; 4096];
            assert!(socket.try_read(&mut hello).unwrap() > 0);
            // Dropped: an end of file.
        });
        let told = Told::default();
        let error = connect(&certificates.client_config(), Tell::new(&told)).await.unwrap_err();
        let error = std::io::Error::from(error);
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(name(&error), "EofInHandshake");
        assert!(told.events().is_empty());
    });
}

#[test]
fn tls_006_a_connection_lost_in_a_handshake_tells_the_waiter_alone() {
    let certificates = Certificates::new();
    run(|sim| async move {
        let listener = sim.network().listen(&at(), &ListenOptions::default()).unwrap();
        let handle = LoopHandle::current().unwrap();
        handle.spawn(async move {
            settle().await;
            // The hello is unread when it is closed: a reset.
            drop(listener.try_accept().unwrap());
        });
        let told = Told::default();
        let error = connect(&certificates.client_config(), Tell::new(&told)).await.unwrap_err();
        assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::ConnectionReset);
        assert!(told.events().is_empty(), "neither made nor lost: {:?}", told.events());
    });
}

/// A client that trusts another authority, the wrong name, an expired certificate, a self-signed one.
#[test]
fn tls_007_tls_036_a_refused_certificate_fails_the_connect_and_is_no_report() {
    let certificates = Certificates::new();
    let strangers = Certificates::of("Another Root").client_config();
    let ours = certificates.client_config();
    let mut expired = server_params();
    expired.not_after = rcgen::date_time_ymd(2001, 1, 1);
    expired.not_before = rcgen::date_time_ymd(2000, 1, 1);
    let expired = certificates.issue(expired);
    let own = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
    let own = (own.cert.pem(), own.signing_key.serialize_pem());
    let good = certificates.server.clone();
    for (client, server_name, (chain, key), why) in [
        (&strangers, NAME, &good, "UnknownIssuer"),
        (&ours, "other.test", &good, "certificate not valid for name"),
        (&ours, NAME, &expired, "expired"),
        (&ours, NAME, &own, "UnknownIssuer"),
    ] {
        run(|_| async move {
            let handle = LoopHandle::current().unwrap();
            let reports = reports(&handle);
            let there = Told::default();
            let config = ServerConfig::new(chain.as_bytes(), key.as_bytes()).unwrap();
            let server = serve(config, &there, Tell::new).await;
            let connect = Connect::address(at()).tls(client, server_name);
            let here = Told::default();
            let error = connect.connect(&handle, || Tell::new(&here)).await.unwrap_err();
            let error = std::io::Error::from(error);
            assert_eq!(name(&error), "CertificateRefused", "{error}");
            assert!(error.to_string().contains(why), "expected {why:?} in: {error}");
            sleep(Duration::from_secs(1)).await;
            assert!(here.events().is_empty() && there.events().is_empty(), "SV-028");
            assert!(reports.borrow().is_empty(), "{reports:?}");
            server.close();
        });
    }
}

#[test]
fn tls_036_a_name_that_no_server_can_have_is_refused_before_any_io() {
    let certificates = Certificates::new();
    run(|sim| async move {
        let config = certificates.client_config();
        for bad in ["", "a b", "-"] {
            let handle = LoopHandle::current().unwrap();
            let error = Connect::address(at())
                .tls(&config, bad)
                .connect(&handle, || Tell::new(&Told::default()));
            let error = std::io::Error::from(error.await.unwrap_err());
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains("expected a DNS name or an IP address"), "{error}");
            assert!(config.layer(bad).is_err());
        }
        assert_eq!(sim.counters().connects, 0, "no I/O");
    });
}

/// TLS-008: whoever waits for the connect hears of it; the peer gets a reset.
#[test]
fn tls_008_an_abandoned_connect_ends_what_is_below() {
    let certificates = Certificates::new();
    run(|sim| async move {
        let listener = sim.network().listen(&at(), &ListenOptions::default()).unwrap();
        let told = Told::default();
        let config = certificates.client_config();
        {
            let connecting = connect(&config, Tell::new(&told));
            let waited = millrun_loop::timeout(Duration::from_secs(1), connecting).await;
            assert!(waited.is_err(), "nobody answers");
        }
        settle().await;
        let (socket, _) = listener.try_accept().unwrap();
        let mut hello = [0; 4096];
        assert!(socket.try_read(&mut hello).unwrap() > 0);
        assert_eq!(socket.try_read(&mut hello).unwrap(), 0, "and then it is closed");
        assert!(told.events().is_empty());
    });
}

#[test]
fn tls_009_extra_info_tells_what_was_agreed_and_passes_other_questions_down() {
    let certificates = Certificates::new();
    run(|_| async move {
        let server = ServerConfig::builder()
            .certificate(certificates.server.0.as_bytes(), certificates.server.1.as_bytes())
            .require_client_certificates(certificates.root.as_bytes())
            .alpn(["mill/2", "mill/1"])
            .build()
            .unwrap();
        let client = ClientConfig::builder()
            .root_certificates(certificates.root.as_bytes())
            .certificate(certificates.client.0.as_bytes(), certificates.client.1.as_bytes())
            .alpn(["mill/1"])
            .build()
            .unwrap();
        let pair = Pair::of(client, server, Tell::echo).await;
        for (told, chain) in
            [(&pair.here, &certificates.server.0), (&pair.there, &certificates.client.0)]
        {
            let info = extra_info::<TlsInfo>(&*told.transport()).unwrap();
            assert_eq!(info.version(), TlsVersion::Tls13);
            assert!(info.cipher_suite().starts_with("TLS13_"), "{info:?}");
            assert_eq!(info.alpn(), Some(&b"mill/1"[..]));
            assert_eq!(info.peer_certificates().len(), 1);
            let der = pem_to_der(chain);
            assert_eq!(info.peer_certificates()[0], der);
            assert!(!info.is_resumed());
        }
        assert_eq!(pair.here.transport().peer_addr(), Some(at()));
        assert_eq!(pair.here.transport().local_addr(), pair.there.transport().peer_addr());
        pair.here.transport().close();
        pair.over().await;
    });
}

fn pem_to_der(pem: &str) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

#[test]
fn sessions_are_taken_up_again_unless_told_not_to() {
    for resumes in [true, false] {
        let certificates = Certificates::new();
        run(|_| async move {
            let client = ClientConfig::builder()
                .root_certificates(certificates.root.as_bytes())
                .resumption(resumes)
                .build()
                .unwrap();
            for round in 0..2 {
                let pair = Pair::of(client.clone(), certificates.server_config(), Tell::echo).await;
                settle().await;
                let info = extra_info::<TlsInfo>(&*pair.here.transport()).unwrap();
                // Each server here has a ticket key of its own: what the client offers is not known there.
                assert!(!info.is_resumed(), "round {round}");
                pair.here.transport().close();
                pair.over().await;
            }
            let server = certificates.server_config();
            for round in 0..2 {
                let pair = Pair::of(client.clone(), server.clone(), Tell::echo).await;
                settle().await;
                let info = extra_info::<TlsInfo>(&*pair.here.transport()).unwrap();
                assert_eq!(info.is_resumed(), resumes && round == 1, "round {round}");
                pair.here.transport().close();
                pair.over().await;
            }
        });
    }
}

#[test]
fn a_client_without_a_certificate_is_refused_where_one_is_required_and_served_where_one_is_asked_for()
 {
    let certificates = Certificates::new();
    let root = certificates.root.as_bytes();
    let (chain, key) = (certificates.server.0.as_bytes(), certificates.server.1.as_bytes());
    let required =
        ServerConfig::builder().certificate(chain, key).require_client_certificates(root);
    let required = required.build().unwrap();
    run(|_| async {
        let (here, there) = (Told::default(), Told::default());
        let server = serve(required, &there, Tell::new).await;
        // With TLS 1.3 the client is done before the server has looked: the refusal comes behind.
        connect(&certificates.client_config(), Tell::new(&here)).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(here.events(), ["made", "lost: Alert"]);
        assert!(there.events().is_empty());
        here.forget();
        server.close();
    });
    let asked = ServerConfig::builder().certificate(chain, key).ask_for_client_certificates(root);
    let asked = asked.build().unwrap();
    run(|_| async {
        let pair = Pair::of(certificates.client_config(), asked, Tell::echo).await;
        let info = extra_info::<TlsInfo>(&*pair.there.transport()).unwrap();
        assert!(info.peer_certificates().is_empty());
        pair.here.transport().close();
        pair.over().await;
    });
}

#[test]
fn no_common_application_protocol_is_a_refusal() {
    let certificates = Certificates::new();
    run(|_| async move {
        let server = ServerConfig::builder()
            .certificate(certificates.server.0.as_bytes(), certificates.server.1.as_bytes())
            .alpn(["h2"])
            .build()
            .unwrap();
        let client = ClientConfig::builder()
            .root_certificates(certificates.root.as_bytes())
            .alpn(["http/1.1"])
            .build()
            .unwrap();
        let (here, there) = (Told::default(), Told::default());
        let server = serve(server, &there, Tell::new).await;
        let error = std::io::Error::from(connect(&client, Tell::new(&here)).await.unwrap_err());
        assert_eq!(
            TlsError::of(&error),
            Some(&TlsError::Alert("NoApplicationProtocol".to_owned()))
        );
        assert!(here.events().is_empty() && there.events().is_empty());
        server.close();
    });
}

#[test]
fn a_name_has_its_own_certificate() {
    let certificates = Certificates::new();
    let mut other = rcgen::CertificateParams::new(vec!["other.test".to_owned()]).unwrap();
    other.extended_key_usages.push(rcgen::ExtendedKeyUsagePurpose::ServerAuth);
    let other = certificates.issue(other);
    run(|_| async move {
        let config = ServerConfig::builder()
            .certificate(certificates.server.0.as_bytes(), certificates.server.1.as_bytes())
            .certificate_for("other.test", other.0.as_bytes(), other.1.as_bytes())
            .build()
            .unwrap();
        let handle = LoopHandle::current().unwrap();
        let server = serve(config, &Told::default(), Tell::echo).await;
        for asked in [NAME, "other.test"] {
            let told = Told::default();
            let connect = Connect::address(at()).tls(&certificates.client_config(), asked);
            connect.connect(&handle, || Tell::new(&told)).await.unwrap();
            told.transport().close();
            sleep(Duration::from_secs(1)).await;
            assert_eq!(told.events(), ["made", "lost"]);
            told.forget();
        }
        server.close();
    });
}
