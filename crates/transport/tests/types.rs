//! What the types promise (invariant 13): a transport belongs to its loop's thread.

use std::rc::Rc;

use millrun_transport::{Protocol, Server, SocketTransport, Transport, TransportFamily};
use static_assertions::{assert_not_impl_any, assert_obj_safe};

/// Checked when this file is compiled.
#[test]
fn invariant_13_transports_stay_on_their_thread() {
    assert_not_impl_any!(SocketTransport: Send, Sync);
    assert_not_impl_any!(Rc<dyn Transport>: Send, Sync);
    assert_not_impl_any!(Box<dyn Protocol>: Send, Sync);
    assert_not_impl_any!(TransportFamily: Send, Sync);
    assert_not_impl_any!(Server: Send, Sync);
    assert_obj_safe!(Transport, Protocol);
}
