//! How many descriptors may this process have?

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit as far as it may be raised, and says how far that is.
pub(crate) fn raise_descriptors() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    set(Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// Sets it to so many for the time being; it can be raised again.
pub(crate) fn limit_descriptors(most: u64) -> io::Result<()> {
    set(Rlimit { current: Some(most), maximum: getrlimit(Resource::Nofile).maximum })
}

fn set(limit: Rlimit) -> io::Result<()> {
    Ok(setrlimit(Resource::Nofile, limit)?)
}
