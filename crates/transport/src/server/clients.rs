//! Who is connected, and who waits until nobody is: [`Clients`], 16 bytes for each connection.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use super::wait::Waiters;
use crate::{ConnectionOwner, SocketTransport, Transport};

/// The live connections of a server, each under a number that is used again when it is gone.
/// Outlives the server for as long as somebody waits for them.
#[derive(Default)]
pub(super) struct Clients {
    seats: RefCell<Vec<Seat>>,
    /// The first free seat; they form a list.
    free: Cell<Option<u32>>,
    /// The layers over them, the uppermost last, where there are any: what is closed in order is closed from above.
    layers: RefCell<BTreeMap<u32, Vec<Weak<dyn Transport>>>>,
    live: Cell<usize>,
    /// The server is closed: no more will come.
    closed: Cell<bool>,
    waiters: Waiters,
}

enum Seat {
    Free(Option<u32>),
    /// Taken, and the transport not made yet.
    Reserved,
    Taken(Weak<SocketTransport>),
}

impl Clients {
    /// Counts one more and gives it a number; `None` beyond what a `u32` can tell.
    pub(super) fn reserve(&self) -> Option<u32> {
        let mut seats = self.seats.borrow_mut();
        let number = match self.free.get() {
            Some(number) => {
                if let Seat::Free(next) = &seats[number as usize] {
                    self.free.set(*next);
                }
                seats[number as usize] = Seat::Reserved;
                number
            }
            None => {
                let number = u32::try_from(seats.len()).ok()?;
                seats.push(Seat::Reserved);
                number
            }
        };
        self.live.set(self.live.get() + 1);
        Some(number)
    }

    /// The transport of a reserved number.
    pub(super) fn seat(&self, number: u32, transport: &Rc<SocketTransport>) {
        if let Some(seat @ Seat::Reserved) = self.seats.borrow_mut().get_mut(number as usize) {
            *seat = Seat::Taken(Rc::downgrade(transport));
        }
    }

    /// Counts one less. A number that is free already is left alone.
    fn release(&self, number: u32) {
        let mut seats = self.seats.borrow_mut();
        match seats.get_mut(number as usize) {
            None | Some(Seat::Free(_)) => return,
            // A weak reference: dropping it runs nobody's code.
            Some(seat) => *seat = Seat::Free(self.free.replace(Some(number))),
        }
        if !self.layers.borrow().is_empty() {
            self.uncover(number);
        }
        self.live.set(self.live.get() - 1);
    }

    #[inline(never)]
    fn uncover(&self, number: u32) {
        // Weak references: dropping them runs nobody's code.
        self.layers.borrow_mut().remove(&number);
    }

    /// No more will come.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.waiters.wake();
    }

    /// Closed, and the last connection is over.
    pub(super) fn are_over(&self) -> bool {
        self.closed.get() && self.live.get() == 0
    }

    /// Those who wait for [`are_over`](Clients::are_over).
    pub(super) fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    /// How many there are.
    pub(super) fn live(&self) -> usize {
        self.live.get()
    }

    /// Their transports, as of now: of each the uppermost, which its application sees, whether its layer was there from the start or came
    /// later (`start_tls`). A layer that has ended, and may have left the transport below to somebody else, does not count.
    pub(super) fn transports(&self) -> Vec<Rc<dyn Transport>> {
        // Asked when nothing is borrowed: a layer may be a stranger's.
        let uppermost = |over: Vec<Rc<dyn Transport>>| {
            let live = over.iter().rposition(|transport| transport.close_outcome().is_none());
            over.into_iter().nth(live.unwrap_or(0))
        };
        self.with_layers().into_iter().filter_map(uppermost).collect()
    }

    /// Of each connection the socket's transport, and the layers over it.
    fn with_layers(&self) -> Vec<Vec<Rc<dyn Transport>>> {
        let layers = self.layers.borrow();
        let of = |(number, seat): (u32, &Seat)| {
            let Seat::Taken(transport) = seat else { return None };
            let mut over = vec![transport.upgrade()? as Rc<dyn Transport>];
            over.extend(layers.get(&number).into_iter().flatten().filter_map(Weak::upgrade));
            Some(over)
        };
        (0..).zip(self.seats.borrow().iter()).filter_map(of).collect()
    }
}

impl ConnectionOwner for Clients {
    fn connection_over(&self, number: u32) {
        self.release(number);
        if self.are_over() {
            self.waiters.wake();
        }
    }

    fn connection_covered(&self, number: u32, layer: &Rc<dyn Transport>) {
        let mut layers = self.layers.borrow_mut();
        let over = layers.entry(number).or_default();
        over.retain(|layer| layer.strong_count() > 0);
        over.push(Rc::downgrade(layer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_costs_sixteen_bytes() {
        assert_eq!(size_of::<Seat>(), 16);
    }

    #[test]
    fn numbers_are_used_again_and_counted_once() {
        let clients = Clients::default();
        let numbers: Vec<u32> = (0..3).filter_map(|_| clients.reserve()).collect();
        assert_eq!((numbers.as_slice(), clients.live()), (&[0, 1, 2][..], 3));
        clients.release(0);
        clients.release(2);
        clients.release(2);
        clients.release(9);
        assert_eq!(clients.live(), 1);
        let again: Vec<u32> = (0..3).filter_map(|_| clients.reserve()).collect();
        assert_eq!((again.as_slice(), clients.live()), (&[2, 0, 3][..], 4));
    }

    /// Else each would keep its memory, and the next connection with that number would have it above.
    #[test]
    fn the_layers_over_a_connection_are_forgotten_with_it() {
        let clients = Clients::default();
        for number in (0..2).filter_map(|_| clients.reserve()) {
            let layer: Weak<dyn Transport> = Weak::<SocketTransport>::new();
            clients.layers.borrow_mut().insert(number, vec![layer]);
        }
        clients.release(0);
        assert_eq!(clients.layers.borrow().keys().collect::<Vec<_>>(), [&1]);
        clients.release(1);
        assert!(clients.layers.borrow().is_empty());
    }
}
