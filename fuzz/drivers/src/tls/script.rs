//! What do the bytes say: to the two ends, and to whoever is on the way?

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::decode::{small_size, steps};

/// A connection, and what happens to it.
#[derive(Debug)]
pub struct Case {
    pub(super) tls12: bool,
    /// An end without a word is an end like any other.
    pub(super) tolerates: bool,
    pub(super) end: Ending,
    pub(super) steps: Vec<Step>,
}

/// From which end: 0 is the client, 1 the server.
pub(super) type From = usize;

/// What is done to the records that are on their way.
#[derive(Clone, Debug)]
pub(super) enum OnTheWay {
    /// So many of them arrive.
    Pass(usize),
    /// So many bytes arrive.
    Piece(usize),
    /// In the next one, this byte is changed.
    Flip(usize, u8),
    /// The next one is lost.
    Lose,
    /// Its first bytes are lost.
    Behead(usize),
    /// No more than so many bytes of it arrive.
    Truncate(usize),
    /// The next one arrives, and comes again.
    Double,
    /// The next two change places.
    Exchange,
    /// One that passed long ago comes again.
    Replay(usize),
    /// A record of this type is made up.
    MakeUp(u8, usize),
    /// Some bytes are.
    Insert(Vec<u8>),
    /// The end of file comes.
    Eof,
    /// The connection is reset.
    Reset,
}

/// What an end's application does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Call {
    Write(usize),
    WriteEof,
    Close,
    Abort,
    Pause,
    Resume,
    Gathering(bool),
    /// The application takes so many bytes at a time; none is no room.
    Room(usize),
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    OnTheWay(From, OnTheWay),
    Call(From, Call),
    /// The kernel of this end takes so many bytes more.
    Window(From, usize),
    /// All arrives as it was sent, until nothing is on its way.
    Talk,
    /// So many seconds.
    Pass(u8),
}

/// How it all ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    Close,
    Abort,
    CloseLoop,
}

impl<'a> Arbitrary<'a> for Case {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Case> {
        let flags: u8 = u.arbitrary()?;
        let end = match flags & 3 {
            0 | 1 => Ending::Close,
            2 => Ending::Abort,
            _ => Ending::CloseLoop,
        };
        let (tls12, tolerates) = (flags & 4 != 0, flags & 8 != 0);
        Ok(Case { tls12, tolerates, end, steps: steps(u, step)? })
    }
}

fn step(u: &mut Unstructured<'_>) -> Result<Step> {
    let tag: u8 = u.arbitrary()?;
    let from = usize::from(tag >> 7);
    Ok(match tag & 31 {
        0..=13 => Step::OnTheWay(from, on_the_way(u)?),
        14..=21 => Step::Call(from, call(u)?),
        22 => Step::Window(from, small_size(u)?),
        23 => Step::Pass(u.arbitrary()?),
        _ => Step::Talk,
    })
}

fn on_the_way(u: &mut Unstructured<'_>) -> Result<OnTheWay> {
    Ok(match u.arbitrary::<u8>()? % 32 {
        0..=5 => OnTheWay::Pass(usize::from(u.arbitrary::<u8>()? % 8) + 1),
        6 | 7 => OnTheWay::Piece(small_size(u)?),
        8..=11 => OnTheWay::Flip(small_size(u)?, u.arbitrary::<u8>()? | 1),
        12 | 13 => OnTheWay::Lose,
        14 => OnTheWay::Behead(small_size(u)?),
        15 | 16 => OnTheWay::Truncate(small_size(u)?),
        17 | 18 => OnTheWay::Double,
        19 | 20 => OnTheWay::Exchange,
        21 | 22 => OnTheWay::Replay(u.arbitrary::<u8>()?.into()),
        23..=25 => OnTheWay::MakeUp(u.arbitrary()?, small_size(u)?),
        26 | 27 => {
            let n = usize::from(u.arbitrary::<u8>()? % 16);
            OnTheWay::Insert(u.bytes(n.min(u.len()))?.to_vec())
        }
        28..=30 => OnTheWay::Eof,
        _ => OnTheWay::Reset,
    })
}

fn call(u: &mut Unstructured<'_>) -> Result<Call> {
    Ok(match u.arbitrary::<u8>()? % 16 {
        0..=6 => Call::Write(small_size(u)?),
        7 | 8 => Call::WriteEof,
        9 => Call::Close,
        10 => Call::Abort,
        11 => Call::Pause,
        12 | 13 => Call::Resume,
        14 => Call::Gathering(u.arbitrary()?),
        _ => Call::Room(small_size(u)?),
    })
}
