//! Is what it says of itself true?

use std::any::TypeId;
use std::io::ErrorKind;

use millrun_selector::{SocketOption, SocketOptionName};

use super::stage::{PASSED, Scenario, Stage, able};
use crate::Invariant;
use crate::report::{Played, ensure, ensure_eq};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("what it can do", abilities),
    ("the names of the ends", addresses),
    ("options", options),
    ("what nobody knows", unknown),
];

fn abilities(stage: &mut Stage<'_>) -> Played {
    let line = stage.connect()?;
    let rule = Invariant::AbilitiesAreTrue;
    ensure_eq(rule, stage.able.half_close, line.transport.can_write_eof())?;
    ensure_eq(rule, stage.able.pausing, line.transport.can_pause_reading())?;
    PASSED
}

fn addresses(stage: &mut Stage<'_>) -> Played {
    able!(stage, addresses);
    let mut line = stage.connect()?;
    let ends = |line: &super::line::Line| (line.transport.local_addr(), line.transport.peer_addr());
    let (local, peer) = ends(&line);
    let both = local.is_some() && peer.is_some();
    let got = format_args!("{local:?} and {peer:?}");
    ensure(both, Invariant::AddressesStay, "two addresses", got)?;
    line.call(|t| t.close());
    line.lost(stage)?;
    stage.settle(&line)?;
    ensure_eq(Invariant::AddressesStay, (local, peer), ends(&line))?;
    PASSED
}

/// Kept, or refused.
fn options(stage: &mut Stage<'_>) -> Played {
    let mut line = stage.connect()?;
    let rule = Invariant::OptionsAnswer;
    for on in [true, false] {
        let option = SocketOption::KeepAlive(on);
        let kept = line
            .call(|t| t.set_option(option).and_then(|()| t.option(SocketOptionName::KeepAlive)));
        let is_kept = match &kept {
            Ok(kept) => *kept == option,
            Err(error) => error.kind() == ErrorKind::Unsupported,
        };
        let expected = format_args!("{option:?}, or Unsupported");
        ensure(is_kept, rule, expected, format_args!("{kept:?}"))?;
    }
    line.call(|t| t.abort());
    line.lost(stage)?;
    let asked = line.transport.option(SocketOptionName::KeepAlive).map_err(|e| e.kind());
    let refused = matches!(asked, Err(ErrorKind::NotConnected | ErrorKind::Unsupported));
    let got = format_args!("{asked:?}");
    ensure(refused, rule, "NotConnected or Unsupported: it is over", got)?;
    PASSED
}

/// A type that no transport can have heard of.
struct Stranger;

fn unknown(stage: &mut Stage<'_>) -> Played {
    let line = stage.connect()?;
    let found = line.transport.extension(TypeId::of::<Stranger>()).is_some();
    ensure_eq(Invariant::UnknownExtensionIsNone, false, found)?;
    PASSED
}
