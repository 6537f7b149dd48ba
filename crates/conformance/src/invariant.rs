//! The rules, each with a name: [`Invariant`].

use std::fmt;

/// Makes the enum and what it knows of itself from one table.
macro_rules! invariants {
    ($($variant:ident, $name:literal, $statement:literal;)*) => {
        /// A rule that every implementation keeps. Its name is in the failure when one does not.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Invariant {
            $(#[doc = concat!("`", $name, "`: ", $statement)] $variant,)*
        }

        impl Invariant {
            /// All of them.
            pub const ALL: &'static [Invariant] = &[$(Invariant::$variant),*];

            /// Its name: the boundary and the rule.
            pub const fn name(self) -> &'static str {
                match self { $(Invariant::$variant => $name,)* }
            }

            /// The rule itself.
            pub const fn statement(self) -> &'static str {
                match self { $(Invariant::$variant => $statement,)* }
            }
        }
    };
}

invariants! {
    WorldIsMade, "world/is-made", "The maker makes what it is asked for.";
    NoPanic, "world/no-panic", "Nothing panics but what was told to.";

    SelectSucceeds, "selector/select-succeeds", "A selector that can be used does not fail.";
    IdleIsSilent, "selector/idle-is-silent", "What is not ready is not reported.";
    UnreadIsReportedAgain, "selector/unread-is-reported-again", "What is ready and wanted is reported by every select, new bytes or not.";
    RestIsReported, "selector/rest-is-reported", "Bytes that a small read left are reported.";
    NewBytesAreReported, "selector/new-bytes-are-reported", "Bytes that come after a short read, or after one that would block, are reported.";
    WouldBlockEndsTheReport, "selector/would-block-ends-the-report", "What would block is not reported until that changes.";
    RoomIsReported, "selector/room-is-reported", "A full socket is reported as writable when it has room again.";
    EndIsReported, "selector/end-is-reported", "The end of file is reported, also when it came together with the last bytes.";
    GonePeerIsReported, "selector/gone-peer-is-reported", "A peer that is gone makes a socket readable.";
    ErrorIsHeardEitherWay, "selector/error-is-heard-either-way", "A reset is reported whichever direction is wanted.";
    OnlyTheWantedIsReported, "selector/only-the-wanted-is-reported", "A report is cut down to the interest, and no interest is silence.";
    ResumedIsReported, "selector/resumed-is-reported", "What came while it was not wanted is reported as soon as it is.";
    OneEventPerKey, "selector/one-event-per-key", "Both directions of a registration are one event.";
    EventsAreAppended, "selector/events-are-appended", "Select appends to what is there.";
    EachKeyIsItsOwn, "selector/each-key-is-its-own", "A report names the registration that is ready, and no other.";
    GoneKeyIsSilent, "selector/gone-key-is-silent", "A key that was deregistered is never reported, even if its event was in flight.";
    GoneKeyIsRefused, "selector/gone-key-is-refused", "A key that was deregistered is NotFound, and touches nobody else.";
    RegisteredAgain, "selector/registered-again", "A socket can leave and come back; what waits is reported then.";
    HotDoesNotStarve, "selector/hot-does-not-starve", "A socket that is always ready hides no other one.";
    ForeignIsLevelTriggered, "selector/foreign-is-level-triggered", "A foreign source is reported for as long as it is ready.";
    ForeignTwiceIsRefused, "selector/foreign-twice-is-refused", "A foreign descriptor that is registered is AlreadyExists.";
    TimeoutIsWaitedOut, "selector/timeout-is-waited-out", "A positive timeout is waited out whole.";
    ReadyEndsTheWait, "selector/ready-ends-the-wait", "What is ready ends a wait at once.";
    WakeEndsTheWait, "selector/wake-ends-the-wait", "A wake-up, also one before the wait, ends the wait, and is no event.";
    WakeIsUsedUp, "selector/wake-is-used-up", "All wake-ups before a wait end that one wait, no other.";

    SocketWorks, "socket/works", "The calls of a healthy socket succeed.";
    NothingToReadWouldBlock, "socket/nothing-to-read-would-block", "A read of a connection that is silent is WouldBlock.";
    BytesInOrder, "socket/bytes-in-order", "The bytes arrive as they were sent, all of them, in order, once.";
    WriteCountIsTrue, "socket/write-count-is-true", "A write takes as many bytes as it says.";
    VectoredInOrder, "socket/vectored-in-order", "A vectored write takes the pieces in order, empty ones too, and as many bytes as it says.";
    ManyPiecesAreTaken, "socket/many-pieces-are-taken", "More than MAX_SLICES pieces are no error: the first ones are looked at.";
    EmptyReadIsNotTheEnd, "socket/empty-read-is-not-the-end", "A read into nothing takes nothing and ends nothing.";
    EmptyWriteIsNothing, "socket/empty-write-is-nothing", "A write of nothing sends nothing.";
    FullWouldBlock, "socket/full-would-block", "Writes to a peer that does not read end in WouldBlock: memory is bounded.";
    RoomComesBack, "socket/room-comes-back", "When the peer has read, writes are taken again.";
    DirectionsAreIndependent, "socket/directions-are-independent", "A direction that is full does not hinder the other one.";
    CellForgets, "socket/cell-forgets", "WouldBlock clears the direction's bit of the readiness cell.";
    EndAfterTheBytes, "socket/end-after-the-bytes", "A peer that ended is read to its last byte, then the end of file comes, and comes again.";
    HalfClose, "socket/half-close", "Shutting the write direction leaves the other one open.";
    WriteAfterShutdownFails, "socket/write-after-shutdown-fails", "A write after the write direction was shut is an error, and no WouldBlock.";
    GonePeerFailsWrites, "socket/gone-peer-fails-writes", "Writes to a peer that is gone fail, at once or soon.";
    UnreadAtCloseIsAnEnd, "socket/unread-at-close-is-an-end", "A peer that is gone with bytes unread ends the connection: an error or an end of file.";
    HealthyHasNoError, "socket/healthy-has-no-error", "A healthy socket has no pending error.";
    AddressesAgree, "socket/addresses-agree", "The address of one end is the peer's address of the other.";
    OptionsHold, "socket/options-hold", "An option is kept, or refused as Unsupported.";
}

/// Its name.
impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Its name.
impl fmt::Debug for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Invariant;

    #[test]
    fn names_are_unique_and_say_their_boundary() {
        let names: BTreeSet<_> = Invariant::ALL.iter().map(|i| i.name()).collect();
        assert_eq!(names.len(), Invariant::ALL.len());
        for name in names {
            let (boundary, rule) = name.split_once('/').unwrap_or_default();
            let boundaries = ["world", "selector", "socket", "transport", "stream"];
            assert!(boundaries.contains(&boundary), "{name}");
            assert!(rule.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{name}");
        }
        assert!(Invariant::ALL.iter().all(|i| i.statement().ends_with('.')));
    }
}
