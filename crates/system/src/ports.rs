//! Ports that several sockets bind. Unix and Windows mean different things by the same flags.

use std::io;

use socket2::Socket;

/// True if sockets can share a port so that each gets a part of what arrives.
pub const CAN_BE_SHARED: bool = cfg!(unix);

/// Lets a socket bind an address that the kernel still knows from closed ones.
///
/// Windows needs no flag for this. By `SO_REUSEADDR` it means that another program may take the port.
pub fn reuse_address(socket: &Socket) -> io::Result<()> {
    if cfg!(windows) { Ok(()) } else { socket.set_reuse_address(true) }
}

/// Lets a socket share its port with all others that ask for it too, of the same user.
#[cfg(unix)]
pub fn share(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

/// Windows has nothing like it.
#[cfg(not(unix))]
pub fn share(_: &Socket) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
