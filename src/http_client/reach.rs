use std::io;
use std::net::IpAddr;

use crate::address::is_public;

/// The addresses that a client connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// All, for URLs of an operator.
    Anywhere,
    /// Those of the Internet: a stranger's URL must not lead into the network of this machine.
    Public,
}

impl Reach {
    /// Whether a client may connect to this address.
    pub(super) fn check(self, address: IpAddr) -> io::Result<()> {
        if self == Reach::Anywhere || is_public(address) {
            return Ok(());
        }
        let why = format!("{address} is not an address of the Internet");
        Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
    }
}
