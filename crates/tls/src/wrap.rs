//! How is a session put between a transport and a protocol? [`wrap`].

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::rc::Rc;

use millrun_transport::buffer::WriteBuffer;
use millrun_transport::lifecycle::Lifecycle;
use millrun_transport::pressure::Pressure;
use millrun_transport::slot::ProtocolSlot;
use millrun_transport::{Transport, Wrapped, Wrapping};

use crate::below::Below;
use crate::inbound::Inbound;
use crate::machine::Machine;
use crate::session::{ALREADY_MADE, Closing, GATHERS, Session};
use crate::settings::Settings;
use crate::state::Stage;
use crate::writing::MARKS;

/// The two faces of a new session. It begins with `connection_made`, or with the live transport that it gets (`start_tls`).
pub(crate) fn wrap(
    machine: Machine,
    settings: Settings,
    wrapping: Wrapping,
) -> io::Result<Wrapped> {
    let Wrapping { handle, upper, is_made, below, received, opened, .. } = wrapping;
    let mut inbound = Inbound::default();
    inbound.append(&received, handle.blocks());
    let session = Rc::new_cyclic(|this| Session {
        this: this.clone(),
        settings,
        below: OnceCell::new(),
        stage: Cell::new(Stage::Unwrapped),
        machine: RefCell::new(machine),
        inbound: RefCell::new(inbound),
        spill: RefCell::default(),
        outbound: RefCell::new(WriteBuffer::new()),
        slot: ProtocolSlot::new(upper),
        life: Cell::new(Lifecycle::new()),
        pressure: Cell::new(Pressure::new()),
        marks: Cell::new(MARKS),
        marked: Cell::new(if is_made { GATHERS | ALREADY_MADE } else { GATHERS }),
        shutdown_timeout: Cell::new(settings.shutdown_timeout),
        timer: Cell::new(None),
        error: Cell::new(None),
        unsent: Cell::new(0),
        closing: Cell::new(Closing::default()),
        opened: Cell::new(Some(opened)),
        handle,
    });
    if let Some(below) = below {
        // Not from inside the caller's call: what the handshake calls comes from the loop.
        let begins = Rc::clone(&session);
        session.handle.call_soon(move || begins.begin(below)).map_err(io::Error::other)?;
    }
    let transport = Rc::clone(&session) as Rc<dyn Transport>;
    Ok(Wrapped { protocol: Box::new(Below::new(session)), transport })
}
