//! What can be put between a transport and its protocol? A [`Layer`]: TLS, say, of which this crate knows nothing more.

use std::fmt;
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use millrun_loop::{LoopHandle, oneshot};

use crate::socket::Owned;
use crate::{InvalidLimits, Protocol, Transport, TransportOptions};

/// Something that is a protocol to the transport below it, and a transport to the protocol above it.
pub trait Layer: fmt::Debug {
    /// Puts itself between: gives its two faces. It begins with the `connection_made` of the lower one, or soon where there is a transport
    /// already.
    ///
    /// When it is ready (a handshake is done) it calls `connection_made` of the protocol above, with itself as the transport, and then
    /// tells [`Wrapping::opened`]. If it never gets ready, that is told the error, and the protocol above hears nothing.
    ///
    /// # Errors
    /// It can't be: nothing was begun. `InvalidInput`, mostly.
    fn wrap(&self, wrapping: Wrapping) -> io::Result<Wrapped>;
}

/// A client's side of a security layer: it makes a [`Layer`] for the server that is meant.
pub trait ClientTls {
    /// The layer for a connection to this server. Its name is what the server has to prove.
    ///
    /// # Errors
    /// `InvalidInput`: no server can have this name.
    fn layer(&self, server_name: &str) -> io::Result<Rc<dyn Layer>>;
}

/// What a [`Layer`] is put between.
#[derive(Debug)]
#[non_exhaustive]
pub struct Wrapping {
    /// The loop on which all of it lives.
    pub handle: LoopHandle,
    /// The protocol above.
    pub upper: Box<dyn Protocol>,
    /// The protocol above has had its `connection_made`, and gets no other.
    pub is_made: bool,
    /// The transport below, where the connection is live already. The layer's protocol is set there when it is wrapped.
    pub below: Option<Rc<dyn Transport>>,
    /// What came over that connection and belongs to the layer.
    pub received: Bytes,
    /// To be told the layer's transport when it is ready, or why it never will be.
    pub opened: Opener,
}

impl Wrapping {
    /// For a connection that is yet to be made; and who is told when the layer is ready.
    pub fn new(handle: &LoopHandle, upper: Box<dyn Protocol>) -> (Wrapping, Opened) {
        let (opened, receiver) = oneshot::channel();
        let handle = handle.clone();
        let received = Bytes::new();
        let wrapping = Wrapping { handle, upper, is_made: false, below: None, received, opened };
        (wrapping, receiver)
    }
}

/// A layer in place: its two faces.
#[derive(Debug)]
pub struct Wrapped {
    /// For the transport below.
    pub protocol: Box<dyn Protocol>,
    /// For whoever is above. It is there already, and what is written to it waits until it is ready.
    pub transport: Rc<dyn Transport>,
}

/// Is told the layer's transport, or why there will be none.
pub type Opener = oneshot::Sender<io::Result<Rc<dyn Transport>>>;

/// Gives the layer's transport when it is ready.
pub type Opened = oneshot::Receiver<io::Result<Rc<dyn Transport>>>;

/// The protocol that [`start_tls`] puts above.
#[derive(Debug)]
#[non_exhaustive]
pub enum Upper {
    /// The one that the connection had: it has had its `connection_made`, and gets no other (TLS-027).
    Made(Box<dyn Protocol>),
    /// A new one: it gets `connection_made`, with the layer as its transport, when that is ready.
    New(Box<dyn Protocol>),
}

/// Puts a layer over a live connection: the transport below gets its protocol, and gives what comes from now on to it. `received` is
/// what came before and belongs to the layer. Gives the layer's transport when it is ready.
///
/// A server that the connection is of closes it from above from now on. Whoever else kept the transport below should leave it alone: to
/// end it there cuts off both sides, and with TLS both are told so.
///
/// # Errors
/// What the layer can't be made with; its handshake's failure. The connection is ended (TLS-028).
///
/// # Cancel safety
/// Dropping the future ends the connection: what was begun can't be taken back.
#[doc(alias = "ssl")]
pub async fn start_tls(
    handle: &LoopHandle,
    below: Rc<dyn Transport>,
    upper: Upper,
    layer: &dyn Layer,
    received: Bytes,
) -> io::Result<Rc<dyn Transport>> {
    let (is_made, upper) = match upper {
        Upper::Made(upper) => (true, upper),
        Upper::New(upper) => (false, upper),
    };
    let (mut wrapping, opened) = Wrapping::new(handle, upper);
    (wrapping.is_made, wrapping.below, wrapping.received) =
        (is_made, Some(below.clone()), received);
    let unready = Unready(Some(below.clone()));
    let wrapped = layer.wrap(wrapping)?;
    Owned::cover(&*below, &wrapped.transport);
    below.set_protocol(wrapped.protocol);
    below.resume_reading();
    unready.ready(opened).await
}

/// What is below a layer that is not ready: ended if it never gets so. (One that failed has ended it itself, with a last word.)
pub(crate) struct Unready(pub(crate) Option<Rc<dyn Transport>>);

impl Unready {
    pub(crate) async fn ready(mut self, opened: Opened) -> io::Result<Rc<dyn Transport>> {
        let transport = opened.await.map_err(io::Error::other)??;
        self.0 = None;
        Ok(transport)
    }
}

impl Drop for Unready {
    fn drop(&mut self) {
        if let Some(below) = self.0.take().filter(|below| !below.is_closing()) {
            below.abort();
        }
    }
}

/// What a connection was told of a layer.
#[derive(Clone, Debug, Default)]
pub(crate) enum Security {
    #[default]
    None,
    Layer(Rc<dyn Layer>),
    /// It can't be made; said when the connection is asked for.
    Invalid(io::ErrorKind, Rc<io::Error>),
}

impl Security {
    pub(crate) fn of(layer: io::Result<Rc<dyn Layer>>) -> Security {
        match layer {
            Ok(layer) => Security::Layer(layer),
            Err(error) => Security::Invalid(error.kind(), Rc::new(error)),
        }
    }

    pub(crate) fn layer(self) -> io::Result<Option<Rc<dyn Layer>>> {
        match self {
            Security::None => Ok(None),
            Security::Layer(layer) => Ok(Some(layer)),
            Security::Invalid(kind, error) => Err(Rc::try_unwrap(error)
                .unwrap_or_else(|shared| io::Error::new(kind, shared.to_string()))),
        }
    }
}

/// What a connection was told goes for the layer too, which the application sees in its place. What it was not told is as the layer
/// has it.
pub(crate) fn pass_on(
    options: &TransportOptions,
    layer: &dyn Transport,
) -> Result<(), InvalidLimits> {
    let usual = TransportOptions::default();
    if options.watermarks != usual.watermarks {
        layer.set_write_buffer_limits(options.watermarks)?;
    }
    if options.close_timeout != usual.close_timeout {
        layer.set_close_timeout(options.close_timeout);
    }
    if !options.gathering {
        layer.set_gathering(false);
    }
    Ok(())
}

/// A layer for a connection that was accepted, and its upper face: if it can't be made, the connection ends with the reason.
#[inline(never)]
pub(crate) fn wrap_or_refuse(
    layer: &dyn Layer,
    options: &TransportOptions,
    handle: &LoopHandle,
    upper: Box<dyn Protocol>,
) -> (Box<dyn Protocol>, Option<Rc<dyn Transport>>) {
    let (wrapping, _nobody_waits) = Wrapping::new(handle, upper);
    let refusing = |error| Box::new(Refusing(Some(error)));
    match layer.wrap(wrapping) {
        Ok(wrapped) => match pass_on(options, &*wrapped.transport) {
            Ok(()) => (wrapped.protocol, Some(wrapped.transport)),
            Err(limits) => (refusing(io::Error::new(io::ErrorKind::InvalidInput, limits)), None),
        },
        Err(error) => (refusing(error), None),
    }
}

/// Ends its connection.
struct Refusing(Option<io::Error>);

impl Protocol for Refusing {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        if let Some(error) = self.0.take() {
            tracing::error!("{transport:?}: no layer for an accepted connection: {error}");
            transport.fail(error);
        }
    }

    fn data_received(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for dyn Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
