//! A server and the load that drives it, alive between windows, silent outside of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::cores::Cores;
use super::launch::Launch;
use super::process::Process;
use crate::contract::Shape;
use crate::peer::{self, Peer};
use crate::report::{Latency, Memory, Window};
use crate::scenario::{Kind, Scenario};
use crate::talk;

/// Until a server listens: an interpreter with its packages, on a busy machine.
const STARTING: Duration = Duration::from_secs(20);
/// Until ten thousand connections are made and checked.
const CONNECTING: Duration = Duration::from_secs(90);
/// What a window may take beyond its length: what is in flight, and the load's own patience.
const LATE: Duration = Duration::from_secs(30);

/// What sessions are started from.
#[derive(Debug)]
pub struct World {
    /// Where they run.
    pub cores: Cores,
    /// The load.
    pub load: Launch,
    /// The servers that there are, by the peer's name.
    pub servers: BTreeMap<&'static str, Launch>,
    /// Where the certificate is, for scenarios of TLS.
    pub certificate: Option<PathBuf>,
}

/// What a window came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// What was counted.
    pub window: Window,
    /// How long messages took.
    pub latency: Option<Latency>,
    /// The 99th percentile of that, of the window's middle slice.
    pub tail: Option<u64>,
}

/// One server in one scenario. Dropped, its processes are gone.
#[derive(Debug)]
pub struct Session {
    load: Process,
    server: Process,
    /// What a relay talks to.
    _backend: Option<Process>,
    /// How many connections the load could make.
    pub connections: usize,
    /// The server's memory, in a scenario that asks for it.
    pub memory: Option<Memory>,
}

impl Session {
    /// Starts the server, and the load once the server listens; comes back when all connections are made and checked.
    ///
    /// # Errors
    ///
    /// What did not start, or was not as it should be.
    pub fn start(world: &World, peer: &Peer, scenario: &Scenario) -> Result<Self, String> {
        let backend = match scenario.kind {
            Kind::Relay => {
                let row = peer::named(peer::LIMIT).ok_or("there is no backend for a relay")?;
                Some(listening(world, row, Shape::Echo, world.cores.load, More::None)?)
            }
            _ => None,
        };
        let to = backend.as_ref().map(|(_, port)| *port);
        let certificate = match (&world.certificate, scenario.tls) {
            (Some(certificate), true) => Some(certificate.as_path()),
            (None, true) => return Err("there is no certificate".to_owned()),
            (_, false) => None,
        };
        let more = match (to, certificate) {
            (Some(port), _) => More::Backend(port),
            (None, Some(directory)) => More::Certificate(directory),
            (None, None) => More::None,
        };
        let (server, port) = listening(world, peer, scenario.shape, world.cores.server, more)?;
        let mut command = Command::new(&world.load.program);
        command.args(&world.load.arguments).arg(scenario.name);
        command.args(["--port", &port.to_string(), "--pid", &server.id().to_string()]);
        if let Some((backend, _)) = &backend {
            command.args(["--beside", &backend.id().to_string()]);
        }
        if let Some(directory) = certificate {
            command.arg("--certificate").arg(directory);
        }
        let load = pinned(world, world.cores.load, "the load", &mut command)?;
        let backend = backend.map(|(backend, _)| backend);
        let (connections, memory) = (0, None);
        let mut session = Self { load, server, _backend: backend, connections, memory };
        match session.answer(CONNECTING)? {
            talk::Answer::Ready { connections, memory } => {
                session.connections = connections;
                session.memory = memory;
                Ok(session)
            }
            other => Err(format!("the load: expected Ready, got {other:?}")),
        }
    }

    /// Takes one window, which should last as long as `expected`.
    ///
    /// # Errors
    ///
    /// Who failed, and how: the session is of no further use.
    pub fn window(&mut self, command: &talk::Command, expected: Duration) -> Result<Taken, String> {
        let line = serde_json::to_string(command).map_err(|error| error.to_string())?;
        self.load.say(&line)?;
        match self.answer(expected + LATE)? {
            talk::Answer::Window { window, latency, tail } => Ok(Taken { window, latency, tail }),
            other => Err(format!("the load: expected a window, got {other:?}")),
        }
    }

    fn answer(&mut self, within: Duration) -> Result<talk::Answer, String> {
        let why = match self.load.line(within).map(|line| (serde_json::from_str(&line), line)) {
            Ok((Ok(talk::Answer::Failed { why }), _)) => format!("the load: {why}"),
            Ok((Ok(answer), _)) => return Ok(answer),
            Ok((Err(error), line)) => {
                let line: String = line.chars().take(100).collect();
                format!("the load: expected an answer, got {line:?}: {error}")
            }
            Err(why) => why,
        };
        // When the server is gone, that is why the load failed.
        Err(self.server.has_ended().unwrap_or(why))
    }
}

/// What a server is told besides its shape.
#[derive(Clone, Copy)]
enum More<'a> {
    None,
    /// The port of a relay's backend.
    Backend(u16),
    /// Where the certificate is.
    Certificate(&'a Path),
}

/// Starts a server and waits until it listens: the server and its port.
fn listening(
    world: &World,
    peer: &Peer,
    shape: Shape,
    core: usize,
    more: More<'_>,
) -> Result<(Process, u16), String> {
    let name = format!("the server of {}", peer.name);
    let launch = world.servers.get(peer.name).ok_or_else(|| format!("{name} was not built"))?;
    let mut command = Command::new(&launch.program);
    command.args(&launch.arguments).args(peer.before).arg(shape.name()).args(peer.after);
    match more {
        More::None => {}
        More::Backend(port) => {
            command.args(["--backend", &format!("127.0.0.1:{port}")]);
        }
        More::Certificate(directory) => {
            command.arg("--certificate").arg(directory);
        }
    }
    let mut server = pinned(world, core, &name, &mut command)?;
    let line = server.line(STARTING)?;
    match line.strip_prefix("listening ").and_then(|port| port.parse().ok()) {
        Some(port) => Ok((server, port)),
        None => Err(format!("{name}: expected `listening PORT`, got {line:?}")),
    }
}

fn pinned(
    world: &World,
    core: usize,
    name: &str,
    command: &mut Command,
) -> Result<Process, String> {
    let started = world.cores.on(core, || Process::start(name, command));
    started.map_err(|error| format!("{name} can't be put on core {core}: {error}"))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    const SOON: Duration = Duration::from_millis(10);

    /// A shell as the server (or the load), with this script: "$@" are the arguments that it is given.
    fn script(text: &str) -> Launch {
        let arguments = vec!["-c".into(), text.into(), "made-up".into()];
        Launch { program: "sh".into(), arguments, version: String::new() }
    }

    fn start(server: &str, load: &str, scenario: &str) -> Result<Session, String> {
        let world = World {
            cores: Cores::choose().unwrap(),
            load: script(load),
            servers: [(peer::LIMIT, script(server)), ("tokio-best", script(server))].into(),
            certificate: None,
        };
        let peer = peer::named("tokio-best").unwrap();
        Session::start(&world, peer, scenario::named(scenario).unwrap())
    }

    const SERVER: &str = "echo listening 4321; exec sleep 60";
    const READY: &str = r#"echo '{"Ready":{"connections":7,"memory":null}}'"#;

    #[test]
    fn a_window_is_asked_for_and_told() {
        let window = r#"{"Window":{"window":{"units":1,"bytes":2,"wall_ns":3,"server_cpu_ns":4,"load_cpu_ns":5,"foreign_cpu_ns":6},"latency":null,"tail":7}}"#;
        let load = format!("{READY}; read line; echo '{window}'; read line");
        let mut session = start(SERVER, &load, "echo-64").unwrap();
        assert_eq!(session.connections, 7);
        let command = talk::Command::Measure { millis: 1, rate: None };
        let Taken { window, latency, tail } = session.window(&command, SOON).unwrap();
        assert_eq!((window.units, window.foreign_cpu_ns, latency, tail), (1, 6, None, Some(7)));
    }

    #[test]
    fn both_are_given_what_they_were_promised() {
        let load = r#"echo "{\"Failed\":{\"why\":\"$*\"}}""#;
        let error = start(SERVER, load, "relay").unwrap_err();
        let words: Vec<&str> = error.split(' ').collect();
        let [_, _, "relay", "--port", "4321", "--pid", pid, "--beside", backend] = words.as_slice()
        else {
            panic!("{error}")
        };
        assert_ne!(pid, backend);
        let error = start("echo \"$*\"", READY, "relay").unwrap_err();
        assert!(error.ends_with("got \"echo\""), "the backend is an echo: {error}");
        let server = "[ $1 = echo ] && echo listening 4321 || echo \"$*\"; exec sleep 60";
        let error = start(server, READY, "relay").unwrap_err();
        assert!(error.ends_with("got \"best relay --backend 127.0.0.1:4321\""), "{error}");
    }

    #[test]
    fn a_server_that_died_is_the_reason_not_the_load() {
        // The load is given the server's id as its fifth argument; it kills it, and says what a load would see
        // when it is dead.
        let reset = r#"{"Failed":{"why":"reset"}}"#;
        let gone = "while grep -q 'State:.[RSDT]' /proc/$5/status; do sleep 0.01; done";
        let load = format!("{READY}; read line; kill -9 $5; {gone}; echo '{reset}'");
        let server = "echo 'no more' >&2; echo listening 4321; exec sleep 60";
        let mut session = start(server, &load, "echo-64").unwrap();
        let command = talk::Command::Measure { millis: 1, rate: None };
        let error = session.window(&command, SOON).unwrap_err();
        assert!(error.contains("tokio-best ended with signal: 9"), "{error}");
        assert!(error.ends_with(": no more"), "{error}");
    }

    #[test]
    fn whoever_does_not_start_is_named() {
        let error = start("exit 3", READY, "echo-64").unwrap_err();
        assert_eq!(error, "the server of tokio-best does not offer it");
        let error = start(SERVER, "echo hello", "echo-64").unwrap_err();
        assert!(error.starts_with("the load: expected an answer, got \"hello\""), "{error}");
        let error = start(SERVER, "echo no descriptors >&2; exit 1", "echo-64").unwrap_err();
        assert!(error.ends_with("exit status: 1: no descriptors"), "{error}");
    }
}
