//! A loop on a simulated machine, certificates made for the run, and protocols that log what they are told.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use millrun_loop::{EventLoop, LoopHandle, sleep};
use millrun_selector::Address;
use millrun_sim::Sim;
use millrun_tls::{ClientConfig, ServerConfig, TlsError};
use millrun_transport::{Connect, ConnectError, Flow, Protocol, Serve, Server, Transport};

/// A certificate authority, and a server's and a client's certificate by it.
pub struct Certificates {
    pub root: String,
    pub server: (String, String),
    pub client: (String, String),
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

pub const NAME: &str = "mill.test";

impl Certificates {
    pub fn new() -> Certificates {
        Certificates::of("Mill Test Root")
    }

    pub fn of(root: &str) -> Certificates {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, root);
        let root = params.self_signed(&key).unwrap().pem();
        let issuer = rcgen::Issuer::new(params, key);
        let server = issue(&issuer, server_params());
        let mut client = rcgen::CertificateParams::new(vec!["miller".to_owned()]).unwrap();
        client.extended_key_usages.push(rcgen::ExtendedKeyUsagePurpose::ClientAuth);
        let client = issue(&issuer, client);
        Certificates { root, server, client, issuer }
    }

    pub fn issue(&self, params: rcgen::CertificateParams) -> (String, String) {
        issue(&self.issuer, params)
    }

    pub fn server_config(&self) -> ServerConfig {
        ServerConfig::new(self.server.0.as_bytes(), self.server.1.as_bytes()).unwrap()
    }

    pub fn client_config(&self) -> ClientConfig {
        ClientConfig::builder().root_certificates(self.root.as_bytes()).build().unwrap()
    }
}

pub fn server_params() -> rcgen::CertificateParams {
    let mut params = rcgen::CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    params.extended_key_usages.push(rcgen::ExtendedKeyUsagePurpose::ServerAuth);
    params
}

fn issue(
    issuer: &rcgen::Issuer<'static, rcgen::KeyPair>,
    params: rcgen::CertificateParams,
) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    (params.signed_by(&key, issuer).unwrap().pem(), key.serialize_pem())
}

/// Runs a test on a simulated machine; nothing may be left of it.
pub fn run<F: Future>(test: impl FnOnce(Sim) -> F) -> F::Output {
    let sim = Sim::new(3);
    run_on(&sim, test(sim.clone()))
}

pub fn run_on<F: Future>(sim: &Sim, test: F) -> F::Output {
    let mut event_loop = sim_loop(sim);
    let output = event_loop.run_until_complete(test).unwrap();
    drop(event_loop);
    assert_eq!((sim.open_sockets(), sim.registrations()), (0, 0), "{sim:?}");
    output
}

pub fn sim_loop(sim: &Sim) -> EventLoop {
    EventLoop::builder()
        .selector(sim.selector())
        .clock(sim.clock())
        .network(sim.network())
        .resolver(sim.resolver())
        .executor(Rc::new(millrun_loop::Inline::default()))
        .build()
        .unwrap()
}

pub fn at() -> Address {
    "10.0.0.1:443".parse::<SocketAddr>().unwrap().into()
}

/// Lets everything that is due happen.
pub async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

/// What was reported to the exception handler.
pub fn reports(handle: &LoopHandle) -> Rc<RefCell<Vec<String>>> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let into = Rc::clone(&seen);
    handle.set_exception_handler(Some(Rc::new(move |_, context| {
        into.borrow_mut().push(context.to_string());
    })));
    seen
}

/// What a [`Tell`] was told, and the transport that it got.
#[derive(Clone, Default)]
pub struct Told(Rc<Inner>);

#[derive(Default)]
struct Inner {
    events: RefCell<Vec<String>>,
    received: RefCell<Vec<u8>>,
    transport: RefCell<Option<Rc<dyn Transport>>>,
}

impl Told {
    /// `made`, `data`, `eof`, `lost: …`, `pause`, `resume`; calls of `data` in a row are one.
    pub fn events(&self) -> Vec<String> {
        self.0.events.borrow().clone()
    }

    pub fn received(&self) -> Vec<u8> {
        self.0.received.borrow().clone()
    }

    pub fn transport(&self) -> Rc<dyn Transport> {
        self.0.transport.borrow().clone().expect("connection_made was called")
    }

    pub fn is_made(&self) -> bool {
        self.0.transport.borrow().is_some()
    }

    /// Breaks the circle of transport and protocol when a test is over.
    pub fn forget(&self) {
        self.0.transport.take();
    }

    pub fn push(&self, event: impl Into<String>) {
        let (event, mut events) = (event.into(), self.0.events.borrow_mut());
        if event != "data" || events.last().map(String::as_str) != Some("data") {
            events.push(event);
        }
    }
}

type OnData = Box<dyn FnMut(&Told, &[u8]) -> io::Result<()>>;

/// A protocol that tells all.
pub struct Tell {
    pub told: Told,
    /// Called with what has come.
    pub on_data: OnData,
    pub keeps_open: bool,
}

impl Tell {
    pub fn new(told: &Told) -> Tell {
        Tell { told: told.clone(), on_data: Box::new(|_, _| Ok(())), keeps_open: false }
    }

    pub fn echo(told: &Told) -> Tell {
        Tell::new(told).on_data(|told, data| {
            told.transport().write(data);
            Ok(())
        })
    }

    pub fn on_data(mut self, f: impl FnMut(&Told, &[u8]) -> io::Result<()> + 'static) -> Tell {
        self.on_data = Box::new(f);
        self
    }

    pub fn keep_open(mut self) -> Tell {
        self.keeps_open = true;
        self
    }
}

impl Protocol for Tell {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.told.push("made");
        self.told.0.transport.replace(Some(transport));
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        assert!(!data.is_empty(), "data_received is never called with nothing");
        self.told.push("data");
        self.told.0.received.borrow_mut().extend_from_slice(data);
        (self.on_data)(&self.told, data)
    }

    fn eof_received(&mut self) -> bool {
        self.told.push("eof");
        self.keeps_open
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        self.told.push(match error {
            None => "lost".to_owned(),
            Some(error) => format!("lost: {}", name(&error)),
        });
    }

    fn pause_writing(&mut self) {
        self.told.push("pause");
    }

    fn resume_writing(&mut self) {
        self.told.push("resume");
    }
}

/// The variant of a TLS error, else the kind.
pub fn name(error: &io::Error) -> String {
    match TlsError::of(error) {
        Some(error) => format!("{error:?}").split(['(', ' ']).next().unwrap_or_default().to_owned(),
        None => format!("{:?}", error.kind()),
    }
}

/// A TLS server at [`at`] whose connections are told to this.
pub async fn serve(config: ServerConfig, told: &Told, protocol: fn(&Told) -> Tell) -> Server {
    let told = told.clone();
    let handle = LoopHandle::current().unwrap();
    Serve::address(at()).tls(config).serve(&handle, move || protocol(&told)).await.unwrap()
}

/// A TLS client of the server at [`at`].
pub async fn connect(
    config: &ClientConfig,
    protocol: Tell,
) -> Result<Rc<dyn Transport>, ConnectError> {
    let handle = LoopHandle::current().unwrap();
    Connect::address(at()).tls(config, NAME).connect(&handle, || protocol).await
}

/// Both ends of a TLS connection.
pub struct Pair {
    pub server: Server,
    pub here: Told,
    pub there: Told,
}

impl Pair {
    /// A client here, and a server there that does this.
    pub async fn new(certificates: &Certificates, there: fn(&Told) -> Tell) -> Pair {
        Pair::of(certificates.client_config(), certificates.server_config(), there).await
    }

    pub async fn of(client: ClientConfig, server: ServerConfig, there: fn(&Told) -> Tell) -> Pair {
        Pair::with(client, server, Tell::new, there).await
    }

    pub async fn with(
        client: ClientConfig,
        server: ServerConfig,
        here: fn(&Told) -> Tell,
        there: fn(&Told) -> Tell,
    ) -> Pair {
        let (here_told, there_told) = (Told::default(), Told::default());
        let server = serve(server, &there_told, there).await;
        connect(&client, here(&here_told)).await.unwrap();
        // The server's handshake is done when the client's last message has come.
        while !there_told.is_made() {
            settle().await;
        }
        Pair { server, here: here_told, there: there_told }
    }

    /// Waits until both sides have heard of the end, and ends the server.
    pub async fn over(self) {
        for _ in 0..1000 {
            let is_over = |told: &Told| told.events().last().is_some_and(|e| e.starts_with("lost"));
            if is_over(&self.here) && is_over(&self.there) {
                self.here.forget();
                self.there.forget();
                self.server.close();
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("expected both to end, got {:?} and {:?}", self.here.events(), self.there.events());
    }
}

/// So that a test can say what a write gave.
pub fn is_taken(flow: Flow) -> bool {
    flow != Flow::Closed
}

/// Bytes that look like nothing.
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}
