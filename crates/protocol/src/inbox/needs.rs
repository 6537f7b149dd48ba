//! What a read waits for, as a function of the bytes that are there: [`Need`] and its kinds.

use memchr::{memchr, memmem};

use super::{EmptySeparator, LimitOverrun};

/// A read: looks at what is buffered and says whether that will do. Sealed, since it runs while the
/// intake is borrowed.
pub trait Need: sealed::Sealed {
    /// Looks at all unread bytes. Called again with more behind the same ones, until it is content; or with the same
    /// ones, of which it says the same again.
    fn look(&mut self, bytes: &[u8], limit: usize) -> Look;

    /// No more bytes will come, and `look` asked for more: what to do with the `buffered` ones.
    fn at_end(&self, buffered: usize) -> AtEnd;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::UpTo {}
    impl Sealed for super::Exact {}
    impl Sealed for super::Peek {}
    impl Sealed for super::Line {}
    impl Sealed for super::Until<'_> {}
}

/// What a [`Need`] says of the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// Content: the first `n` bytes are the result and leave the buffer.
    Take(usize),
    /// As `Take`, but would rather have more if it is there already at no cost.
    TakeOrMore(usize),
    /// Content: all bytes are the result and stay in the buffer.
    Show,
    /// So many bytes at most are needed in all.
    More(usize),
    /// Can't be had within the limit.
    Over(LimitOverrun),
}

/// What a [`Need`] that was not met makes of the end of file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtEnd {
    /// The first `n` bytes are the result after all.
    Take(usize),
    /// An error that owns what was buffered; so many bytes were expected, if that is known.
    Incomplete(Option<usize>),
}

/// Up to so many bytes, as soon as there is one (ST-006). The limit does not matter (ST-010).
#[derive(Clone, Copy, Debug)]
pub struct UpTo(pub usize);

impl Need for UpTo {
    fn look(&mut self, bytes: &[u8], _limit: usize) -> Look {
        match bytes.len() {
            _ if self.0 == 0 => Look::Take(0),
            0 => Look::More(1),
            n if n < self.0 => Look::TakeOrMore(n),
            _ => Look::Take(self.0),
        }
    }

    fn at_end(&self, _buffered: usize) -> AtEnd {
        AtEnd::Take(0)
    }
}

/// Exactly so many bytes (ST-036), beyond the limit too (ST-037).
#[derive(Clone, Copy, Debug)]
pub struct Exact(pub usize);

impl Need for Exact {
    fn look(&mut self, bytes: &[u8], _limit: usize) -> Look {
        if bytes.len() >= self.0 { Look::Take(self.0) } else { Look::More(self.0) }
    }

    fn at_end(&self, _buffered: usize) -> AtEnd {
        AtEnd::Incomplete(Some(self.0))
    }
}

/// Whatever is there, without taking it.
#[derive(Clone, Copy, Debug)]
pub struct Peek;

impl Need for Peek {
    fn look(&mut self, bytes: &[u8], _limit: usize) -> Look {
        if bytes.is_empty() { Look::More(1) } else { Look::Show }
    }

    fn at_end(&self, _buffered: usize) -> AtEnd {
        AtEnd::Take(0)
    }
}

/// A line with its `\n`; at the end of file what there is of one (ST-019).
#[derive(Clone, Copy, Debug, Default)]
pub struct Line {
    scanned: usize,
}

impl Need for Line {
    fn look(&mut self, bytes: &[u8], limit: usize) -> Look {
        self.scanned = self.scanned.min(bytes.len());
        match memchr(b'\n', &bytes[self.scanned..]) {
            Some(at) if self.scanned + at > limit => {
                Look::Over(LimitOverrun { limit, consumed: self.scanned + at, found: true })
            }
            Some(at) => Look::Take(self.scanned + at + 1),
            None => {
                self.scanned = bytes.len();
                if self.scanned > limit {
                    Look::Over(LimitOverrun { limit, consumed: self.scanned, found: false })
                } else {
                    Look::More(limit.saturating_add(1))
                }
            }
        }
    }

    fn at_end(&self, buffered: usize) -> AtEnd {
        AtEnd::Take(buffered)
    }
}

/// One separator or several, of which the match that ends first counts.
#[derive(Clone, Copy, Debug)]
pub enum Separators<'a> {
    /// This one.
    One(&'a [u8]),
    /// Any of these.
    Several(&'a [&'a [u8]]),
}

impl<'a> Separators<'a> {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        let (one, several): (Option<&'a [u8]>, &'a [&'a [u8]]) = match *self {
            Separators::One(separator) => (Some(separator), &[]),
            Separators::Several(separators) => (None, separators),
        };
        one.into_iter().chain(several.iter().copied())
    }
}

impl<'a> From<&'a [u8]> for Separators<'a> {
    fn from(separator: &'a [u8]) -> Separators<'a> {
        Separators::One(separator)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Separators<'a> {
    fn from(separator: &'a [u8; N]) -> Separators<'a> {
        Separators::One(separator)
    }
}

impl<'a> From<&'a str> for Separators<'a> {
    fn from(separator: &'a str) -> Separators<'a> {
        Separators::One(separator.as_bytes())
    }
}

impl<'a> From<&'a [&'a [u8]]> for Separators<'a> {
    fn from(separators: &'a [&'a [u8]]) -> Separators<'a> {
        Separators::Several(separators)
    }
}

impl<'a, const N: usize> From<&'a [&'a [u8]; N]> for Separators<'a> {
    fn from(separators: &'a [&'a [u8]; N]) -> Separators<'a> {
        Separators::Several(separators)
    }
}

/// Everything up to a separator and the separator itself (ST-023 to ST-034).
///
/// The match that ends first wins, even a longer one; of those that end together the shortest
/// (ST-031). The limit counts the bytes before the separator (ST-030).
#[derive(Clone, Copy, Debug)]
pub struct Until<'a> {
    separators: Separators<'a>,
    /// No match ends within these bytes and `longest - 1` more.
    scanned: usize,
    shortest: usize,
    longest: usize,
}

impl<'a> Until<'a> {
    /// A read up to one of these separators.
    ///
    /// # Errors
    /// No separator at all, or an empty one (ST-024).
    pub fn new(separators: Separators<'a>) -> Result<Until<'a>, EmptySeparator> {
        let lengths = || separators.iter().map(<[u8]>::len);
        match (lengths().min(), lengths().max()) {
            (Some(shortest @ 1..), Some(longest)) => {
                Ok(Until { separators, scanned: 0, shortest, longest })
            }
            _ => Err(EmptySeparator),
        }
    }

    /// The winning match, as start and end.
    fn find(&self, bytes: &[u8]) -> Option<(usize, usize)> {
        let mut best: Option<(usize, usize)> = None;
        for separator in self.separators.iter() {
            let until = best.map_or(bytes.len(), |(_, end)| end);
            let Some(at) = find(&bytes[self.scanned..until], separator) else { continue };
            let start = self.scanned + at;
            let end = start + separator.len();
            if best.is_none_or(|(s, e)| end < e || start > s) {
                best = Some((start, end));
            }
        }
        best
    }
}

impl Need for Until<'_> {
    fn look(&mut self, bytes: &[u8], limit: usize) -> Look {
        self.scanned = self.scanned.min(bytes.len());
        // Enough for the shortest separator: else there is nothing to see, nor to refuse.
        if bytes.len() - self.scanned >= self.shortest {
            match self.find(bytes) {
                Some((start, _)) if start > limit => {
                    return Look::Over(LimitOverrun { limit, consumed: start, found: true });
                }
                Some((_, end)) => return Look::Take(end),
                None => {}
            }
            self.scanned = (bytes.len() + 1).saturating_sub(self.longest);
        }
        if self.scanned > limit {
            return Look::Over(LimitOverrun { limit, consumed: self.scanned, found: false });
        }
        Look::More(limit.saturating_add(self.longest))
    }

    fn at_end(&self, _buffered: usize) -> AtEnd {
        AtEnd::Incomplete(None)
    }
}

fn find(bytes: &[u8], separator: &[u8]) -> Option<usize> {
    match separator {
        [byte] => memchr(*byte, bytes),
        _ => memmem::find(bytes, separator),
    }
}
