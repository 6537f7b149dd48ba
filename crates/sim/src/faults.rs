//! Faults by chance: [`Faults`]. (Faults by order are in [`SimPeer`](crate::SimPeer).)

/// How often the kernel misbehaves, within what POSIX allows it. All zero by default.
///
/// Each is a probability from 0 to [`Faults::MOST`]; more is taken as that, since a call that never
/// succeeds makes no progress. Drawn from the simulation's seed, in the order of the calls.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Faults {
    /// A read that could give two bytes or more gives fewer than it could.
    pub short_reads: f64,
    /// A write that could take two bytes or more takes fewer than it could.
    pub short_writes: f64,
    /// A read, write or accept that could succeed says `WouldBlock` instead.
    pub would_block: f64,
}

impl Faults {
    /// No faults.
    pub const NONE: Faults = Faults { short_reads: 0.0, short_writes: 0.0, would_block: 0.0 };

    /// The highest probability that is used.
    pub const MOST: f64 = 0.99;

    /// Cut down to what is used.
    pub(crate) fn clamped(self) -> Faults {
        // A NaN stays one, and no chance is below it: never.
        let clamp = |p: f64| p.clamp(0.0, Faults::MOST);
        Faults {
            short_reads: clamp(self.short_reads),
            short_writes: clamp(self.short_writes),
            would_block: clamp(self.would_block),
        }
    }
}
