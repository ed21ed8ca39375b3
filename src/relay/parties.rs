use crate::wire::{ApiKey, RealmKind};

/// The two clients of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parties<'a> {
    /// The key of both.
    pub(crate) key: &'a ApiKey,
    /// The realm of both.
    pub(crate) realm: RealmKind,
    /// The client that calls.
    pub(crate) offerer: &'a str,
    /// The client that is called.
    pub(crate) answerer: &'a str,
    /// Tells several calls of the same two clients from each other.
    pub(crate) connection: Option<&'a str>,
}
