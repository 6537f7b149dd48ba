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

    MadeFirst, "transport/made-first", "connection_made comes first and once, from the loop.";
    CallsDoNotCallBack, "transport/calls-do-not-call-back", "No callback comes from inside a call of the transport.";
    CallbacksDoNotNest, "transport/callbacks-do-not-nest", "No callback comes from inside another one of the same connection.";
    DataIsNeverEmpty, "transport/data-is-never-empty", "data_received brings a byte at least.";
    BytesAreTrue, "transport/bytes-are-true", "The bytes come as the peer sent them, all of them, in order, once.";
    EofIsTold, "transport/eof-is-told", "The peer's end of file is told.";
    BytesBeforeEof, "transport/bytes-before-eof", "The bytes come before the end of file that followed them, also when both came together.";
    BytesBeforeError, "transport/bytes-before-error", "The bytes come before the error that followed them.";
    NothingAfterEof, "transport/nothing-after-eof", "eof_received comes once, and no data after it.";
    EofKeepsWriting, "transport/eof-keeps-writing", "An end of file that is answered with true leaves the connection open for writing.";
    EofCloses, "transport/eof-closes", "An end of file that is answered with false closes, after what is unsent.";
    LostAlways, "transport/lost-always", "connection_lost comes, whatever ended the connection.";
    LostIsLast, "transport/lost-is-last", "connection_lost comes once, and nothing after it.";
    LostTellsWhy, "transport/lost-tells-why", "connection_lost has no error after an end of file, a close or an abort, and else the one that ended it.";
    FirstEndWins, "transport/first-end-wins", "The first end decides what connection_lost is told.";
    RefusedBytesEndIt, "transport/refused-bytes-end-it", "An error of data_received or landed ends the connection, and connection_lost gets it.";
    FailedLandingEndsIt, "transport/failed-landing-ends-it", "A failed landing ends the connection, and connection_lost gets the error.";
    LoopCloseTellsEach, "transport/loop-close-tells-each", "A loop that closes calls each connection_lost first.";
    WritesArrive, "transport/writes-arrive", "What was accepted arrives, all of it, in order, once, however it was written.";
    SizeIsCounted, "transport/size-is-counted", "write_buffer_size is the number of accepted bytes that are still here.";
    FlowTells, "transport/flow-tells", "A write is answered with Paused above the high mark, with Open at or below the low one.";
    ClosedIsTold, "transport/closed-is-told", "A write after the end of the write direction is answered with Closed, and not sent.";
    WriteEofEndsIt, "transport/write-eof-ends-it", "write_eof ends the write direction behind what is unsent.";
    WriteEofKeepsReading, "transport/write-eof-keeps-reading", "After write_eof the other direction goes on.";
    LimitsHold, "transport/limits-hold", "Marks are kept as they were set; low above high is refused and changes nothing.";
    AboveHighPauses, "transport/above-high-pauses", "More than high unsent bytes are told by pause_writing, also when the mark is what changed.";
    AtLowResumes, "transport/at-low-resumes", "resume_writing comes when low or fewer bytes are unsent, and not before.";
    PauseStays, "transport/pause-stays", "Between the marks nothing is told.";
    PauseAndResumeAlternate, "transport/pause-and-resume-alternate", "pause_writing and resume_writing come in turn, pause first.";
    NoPressureWhenClosing, "transport/no-pressure-when-closing", "Neither is told once the connection is closing.";
    NewOneIsToldPause, "transport/new-one-is-told-pause", "A protocol that takes over a full buffer is told to pause.";
    ClosingIsTold, "transport/closing-is-told", "is_closing is true from the call that ends the connection on, and not before.";
    CloseFlushes, "transport/close-flushes", "A close sends what was accepted, and then ends.";
    CloseStopsReading, "transport/close-stops-reading", "Nothing is received once it is closing.";
    CloseEnds, "transport/close-ends", "A close without progress ends with TimedOut and the number of unsent bytes.";
    AbortDrops, "transport/abort-drops", "An abort or a failure waits for nobody.";
    OutcomeIsTrue, "transport/outcome-is-true", "close_outcome is None before the end, and then tells how many accepted bytes were dropped.";
    PausedIsSilent, "transport/paused-is-silent", "No data and no end of file come while reading is paused.";
    ResumedIsRead, "transport/resumed-is-read", "What waited comes after resume_reading, and reading goes on for as long as bytes come.";
    ReadingIsTold, "transport/reading-is-told", "is_reading is true when it is neither paused nor closing.";
    PauseReachesThePeer, "transport/pause-reaches-the-peer", "A peer that sends to a paused reader is refused in the end: memory is bounded.";
    RoomIsKept, "transport/room-is-kept", "A landing is asked for first, and no more is received than it has room for.";
    NoRoomPauses, "transport/no-room-pauses", "No room stops reading until it is resumed; nobody is asked meanwhile.";
    NewOneTakesOver, "transport/new-one-takes-over", "A protocol that is set gets what comes next, the former one nothing more; it is dropped.";
    AnyCallFromAnyCallback, "transport/any-call-from-any-callback", "Any method may be called from inside any callback, of this or another connection.";
    OverIsHarmless, "transport/over-is-harmless", "A transport that is over can be called, and nothing comes of it.";
    PanicEndsIt, "transport/panic-ends-it", "A callback that panics ends its connection, and connection_lost is told.";
    PanicIsReported, "transport/panic-is-reported", "A panic in a callback is reported to the exception handler.";
    PanicSparesOthers, "transport/panic-spares-others", "A panic in a callback leaves other connections alone.";
    NothingIsKept, "transport/nothing-is-kept", "A connection that is over keeps no protocol, nor one that is set then.";
    AbilitiesAreTrue, "transport/abilities-are-true", "can_write_eof and can_pause_reading say what was declared.";
    AddressesStay, "transport/addresses-stay", "The addresses can be asked, also when it is over.";
    OptionsAnswer, "transport/options-answer", "An option is kept or Unsupported; NotConnected when it is over.";
    UnknownExtensionIsNone, "transport/unknown-extension-is-none", "An extension that nobody knows is None.";
    ErrorIsTold, "transport/error-is-told", "error is None while nothing failed and when it is over, and in between the one that connection_lost will be given, if it tells.";

    ReadsAreTrue, "stream/reads-are-true", "A read gives at least a byte and at most what was asked for, as it was sent.";
    ExactIsExact, "stream/exact-is-exact", "An exact read gives so many bytes, beyond the limit too, or what there was when the end came first.";
    LinesAreLines, "stream/lines-are-lines", "A line or a separated part ends where it should, however the bytes were cut on their way.";
    OverrunKeeps, "stream/overrun-keeps", "A line that is too long is an error, and keeps its bytes.";
    PeekTakesNothing, "stream/peek-takes-nothing", "A peek shows what the next read gives.";
    CancelledReadsKeep, "stream/cancelled-reads-keep", "A read that is given up takes nothing.";
    EndComesLast, "stream/end-comes-last", "The end of file comes behind the last byte, and comes again.";
    ErrorComesLast, "stream/error-comes-last", "The error comes behind the last byte, and comes again.";
    StreamMemoryIsBounded, "stream/memory-is-bounded", "A reader that does not read holds at most twice its limit, and its peer is refused in the end.";
    NoLimitDeadlocks, "stream/no-limit-deadlocks", "With a limit of one every read ends.";
    StreamWritesArrive, "stream/writes-arrive", "What is written arrives, all of it, in order, once.";
    DrainWaits, "stream/drain-waits", "A drain waits while too much is unsent, and ends when the peer has read.";
    DrainsEndTogether, "stream/drains-end-together", "All drains that wait end; one that is given up disturbs none.";
    DrainTellsLoss, "stream/drain-tells-loss", "A drain whose bytes were dropped fails, and so does one of a connection that is over.";
    DuplexCompletes, "stream/duplex-completes", "Both directions at once, each with more than fits, come to their end.";
    WriteErrorsTell, "stream/write-errors-tell", "A write that can't be is refused, and says why.";
    CloseTellsOutcome, "stream/close-tells-outcome", "A close or an abort tells how many bytes were dropped to each that waits.";
    DroppedWriterEndsWriting, "stream/dropped-writer-ends-writing", "A writer that is dropped flushes and ends its direction; the reader goes on.";
    DroppedReaderDiscards, "stream/dropped-reader-discards", "A reader that is dropped discards what comes; the writer goes on.";
    DroppedBothCloses, "stream/dropped-both-closes", "When both are dropped, the connection is flushed and closed.";
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
