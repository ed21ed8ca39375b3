//! Stands in for Unix sockets on systems without them.

use std::convert::Infallible;
use std::io;
use std::path::Path;

use super::error::StartError;

pub(super) struct UnixSocket(Infallible);

pub(super) struct SocketName;

impl SocketName {
    pub(super) fn remove(&self) {}
}

impl UnixSocket {
    pub(super) fn check(_: &Path, _: bool) -> Result<(), StartError> {
        Err(StartError::NoUnixSockets)
    }

    pub(super) fn bind(_: &Path, _: bool) -> Result<Self, StartError> {
        Err(StartError::NoUnixSockets)
    }

    pub(super) fn publish(self) -> io::Result<(Infallible, SocketName)> {
        match self.0 {}
    }
}
