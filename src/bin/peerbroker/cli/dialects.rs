//! The protocols of `--dialects`.

use peerbroker_config::{Dialect, Dialects};

/// A protocol in the list of those that are on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The protocol is on, and those that the list lacks are off.
    Only(Dialect),
    /// The protocol is added to the defaults.
    Add(Dialect),
    /// The protocol is taken from the defaults.
    Remove(Dialect),
}

/// The protocols that are on.
pub fn dialects_of(dialects: Dialects) -> Vec<Dialect> {
    Dialect::ALL.into_iter().filter(|dialect| dialects.has(*dialect)).collect()
}
