//! What do the bytes say: to the transport, to the protocol's callbacks, to the peer?

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::decode::{small_size, steps};

/// Two connections of one loop, what happens to them, and what their callbacks do.
#[derive(Debug)]
pub struct Case {
    pub(super) steps: Vec<(Which, Step)>,
    /// One for each callback, of whichever connection, in turn; a callback without one returns at once.
    pub(super) scripts: Vec<Script>,
    pub(super) end: End,
}

/// One of the two connections.
pub(super) type Which = usize;

/// A call of a transport.
#[derive(Clone, Copy, Debug)]
pub(super) enum Call {
    Write(usize),
    WriteBytes(usize),
    WriteLines(usize, usize),
    WriteEof,
    Flush,
    Close,
    CloseWithin(u8),
    SetCloseTimeout(u8),
    Abort,
    Fail,
    Pause,
    Resume,
    /// The new one is of this kind: see `Actor::new`.
    SetProtocol(u8),
    Limits(usize, usize),
    Gathering(bool),
    /// What can be asked.
    Ask,
}

/// What a callback does: calls, on the connection of its own or the other one, and how it ends.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) calls: Vec<(bool, Call)>,
    pub(super) ending: Ending,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    Well,
    /// No room, if that was asked; no interest in writing on, if it was the end of file.
    Enough,
    Error,
    Panic,
}

/// What happens from outside.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Call(Call),
    Unit(Call, Call),
    PeerSends(usize),
    PeerEof,
    PeerReset,
    /// The kernel takes so many bytes more; a stall is none.
    Window(usize),
    ShortRead(u8),
    ShortWrite(u8),
    /// A read or a write fails: with one of these.
    FailRead(u8),
    FailWrite(u8),
    /// Until there is nothing to do at this moment.
    Settle,
    /// One turn.
    Turn,
    /// So many tenths of a second.
    Pass(u8),
}

/// How it all ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    Close,
    Abort,
    CloseLoop,
}

impl<'a> Arbitrary<'a> for Case {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Case> {
        let end = match u.arbitrary::<u8>()? % 4 {
            0 | 1 => End::Close,
            2 => End::Abort,
            _ => End::CloseLoop,
        };
        let (mut does, mut scripts) = (Vec::new(), Vec::new());
        // They lie side by side, so that what is cut out and spliced in is both.
        for item in steps(u, item)? {
            match item {
                Item::Step(which, step) => does.push((which, step)),
                Item::Script(script) => scripts.push(script),
            }
        }
        Ok(Case { steps: does, scripts, end })
    }
}

enum Item {
    Step(Which, Step),
    Script(Script),
}

fn item(u: &mut Unstructured<'_>) -> Result<Item> {
    let tag: u8 = u.arbitrary()?;
    // The high bits say for whom, the low ones what.
    if tag & 0xc0 == 0xc0 {
        return script(u, tag).map(Item::Script);
    }
    let which = usize::from(tag >> 6) % 2;
    Ok(Item::Step(which, step(u, tag & 0x3f)?))
}

fn step(u: &mut Unstructured<'_>, tag: u8) -> Result<Step> {
    Ok(match tag % 24 {
        0..=3 => Step::Call(call(u)?),
        4 | 5 => Step::Unit(call(u)?, call(u)?),
        6..=8 => Step::PeerSends(small_size(u)?),
        9 => Step::PeerEof,
        10 => Step::PeerReset,
        11 | 12 => Step::Window(match small_size(u)? {
            239 => usize::MAX,
            n => n,
        }),
        13 => Step::ShortRead(u.arbitrary()?),
        14 => Step::ShortWrite(u.arbitrary()?),
        15 => Step::FailRead(u.arbitrary()?),
        16 => Step::FailWrite(u.arbitrary()?),
        17 => Step::Pass(u.arbitrary()?),
        18 | 19 => Step::Turn,
        _ => Step::Settle,
    })
}

fn script(u: &mut Unstructured<'_>, tag: u8) -> Result<Script> {
    let ending = match tag & 0x0f {
        0..=10 => Ending::Well,
        11 | 12 => Ending::Enough,
        13 | 14 => Ending::Error,
        _ => Ending::Panic,
    };
    let calls = (0..tag >> 4 & 3).map(|_| Ok((u.arbitrary()?, call(u)?)));
    Ok(Script { calls: calls.collect::<Result<_>>()?, ending })
}

fn call(u: &mut Unstructured<'_>) -> Result<Call> {
    Ok(match u.arbitrary::<u8>()? % 24 {
        0..=4 => Call::Write(small_size(u)?),
        5 | 6 => Call::WriteBytes(small_size(u)?),
        7 | 8 => Call::WriteLines(small_size(u)?, small_size(u)?),
        9 => Call::WriteEof,
        10 => Call::Flush,
        11 => Call::Close,
        12 => Call::CloseWithin(u.arbitrary()?),
        13 => Call::SetCloseTimeout(u.arbitrary()?),
        14 => Call::Abort,
        15 => Call::Fail,
        16 => Call::Pause,
        17 | 18 => Call::Resume,
        19 => Call::SetProtocol(u.arbitrary()?),
        20 | 21 => Call::Limits(small_size(u)?, small_size(u)?),
        22 => Call::Gathering(u.arbitrary()?),
        _ => Call::Ask,
    })
}
