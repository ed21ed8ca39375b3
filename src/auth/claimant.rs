//! A client that asks for an id.

use std::net::IpAddr;

use crate::wire::{ApiKey, PeerId, Token};

/// A client that asks for an id, with its token, address and origin.
#[derive(Clone, Copy)]
pub(crate) struct Claimant<'a> {
    pub(crate) key: &'a ApiKey,
    pub(crate) id: &'a PeerId,
    pub(crate) token: &'a Token,
    pub(crate) address: Option<IpAddr>,
    pub(crate) origin: Option<&'a str>,
}
