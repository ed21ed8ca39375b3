//! Relayed addresses: virtual ones, and sockets in a range of ports.
//!
//! Both clients of a call almost always have the same page, and so the same TURN server. Then an address is
//! only a name that the other client sends to. All virtual addresses are ports of one address, although
//! permissions name no ports (RFC 8656, section 9): each allocation notes the ports that its client has
//! named. An address for each allocation would not do, because browsers also send checks of their own there:
//! 100.64.0.0/10 leads to other customers of a provider or into a VPN, 198.18.0.0/15 to proxies, some systems
//! refuse 240.0.0.0/4, and clients that do not ask for IPv6 must get IPv4.

use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use peerbroker_media_api::TurnRefusal;
use peerbroker_system::descriptors;
use socket2::SockRef;
use stun_types::attribute::ErrorCode;
use tokio::net::UdpSocket;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::answers::ErrorResponse;
use crate::datapath::addresses::Addresses;

/// The ports of virtual addresses: those that no service has by default (RFC 6335, section 6).
const VIRTUAL: RangeInclusive<u16> = 49152..=65535;

/// Number of ports of other programs that are skipped before there is said to be none.
const MAX_BINDS: usize = 64;

/// The server has no address of the family that a client asks for.
const NO_FAMILY: ErrorResponse =
    ErrorResponse::new(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED, TurnRefusal::Request);

/// The source of relayed addresses.
pub(super) struct RelayedAddresses {
    pub(super) addresses: Addresses,
    /// The ports of sockets; `None` if addresses are virtual.
    pub(super) ports: Option<RangeInclusive<u16>>,
}

impl RelayedAddresses {
    /// A free address of a family, with its socket unless it is virtual; its port is even if that is wanted.
    pub(super) fn find(
        &self,
        is_ipv4: bool,
        even: bool,
        is_taken: impl Fn(&SocketAddr) -> bool,
    ) -> Result<(SocketAddr, Option<UdpSocket>), ErrorResponse> {
        let own = self.addresses.of_family(is_ipv4).ok_or(NO_FAMILY)?;
        let ports = shuffled(self.ports.as_ref().unwrap_or(&VIRTUAL));
        let fits = |port: &u16| *port != own.told.port() && !(even && port % 2 == 1);
        let addresses = ports.filter(fits).map(|port| SocketAddr::new(own.told.ip(), port));
        for relayed in addresses.filter(|address| !is_taken(address)).take(MAX_BINDS) {
            if self.ports.is_none() {
                return Ok((relayed, None));
            }
            let port = relayed.port();
            match bind((own.bound.ip(), port).into()) {
                Ok(socket) => return Ok((relayed, Some(socket))),
                Err(error) => log::debug!("cannot relay at port {port}: {error}"),
            }
        }
        Err(TurnRefusal::Capacity.into())
    }
}

/// Binds a socket for the runtime of this thread, which has read the client's request.
fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    if descriptors::are_scarce(&socket) {
        return Err(io::Error::other("too many files are open"));
    }
    socket.set_nonblocking(true)?;
    // tokio panics without one.
    let _runtime = Handle::try_current().map_err(io::Error::other)?;
    UdpSocket::from_std(socket)
}

/// All ports of a range, from a random one on. So the next one cannot be guessed, and a port is not used
/// again at once.
fn shuffled(ports: &RangeInclusive<u16>) -> impl Iterator<Item = u16> + use<> {
    let first = *ports.start();
    let last = *ports.end();
    let middle = rand::random_range(first..=last.max(first));
    (middle..=last).chain(first..middle)
}

/// The socket of a relayed address. The drop ends its reader.
pub(super) struct RelayedSocket {
    socket: Arc<UdpSocket>,
    reader: JoinHandle<()>,
}

/// Longest datagram that is relayed. Those of WebRTC have at most 1500 bytes.
pub(super) const MAX_DATAGRAM: usize = 8192;

/// Datagrams that are read before another task has its turn.
const BATCH_SIZE: usize = 32;

impl RelayedSocket {
    /// Starts to read it. `receive` gets what peers send.
    pub(super) fn start(socket: UdpSocket, receive: impl Fn(SocketAddr, &[u8]) + Send + 'static) -> Self {
        let socket = Arc::new(socket);
        let reading = Arc::clone(&socket);
        let reader = tokio::spawn(async move {
            while reading.readable().await.is_ok() {
                read(&reading, &receive);
                tokio::task::yield_now().await;
            }
        });
        RelayedSocket { socket, reader }
    }

    /// Sends to a peer. False if the socket has no room.
    pub(super) fn send(&self, to: SocketAddr, bytes: &[u8]) -> bool {
        // Not tokio's: it fails until its thread has seen that the socket is writable.
        SockRef::from(&*self.socket).send_to(bytes, &to.into()).is_ok()
    }
}

/// Reads all received datagrams. A plain function, so that the buffer is not part of each task.
fn read(socket: &UdpSocket, receive: &impl Fn(SocketAddr, &[u8])) {
    // One byte more shows that a datagram is too long.
    let mut buffer = [0; MAX_DATAGRAM + 1];
    for _ in 0..BATCH_SIZE {
        match socket.try_recv_from(&mut buffer) {
            Ok((length, from)) if length <= MAX_DATAGRAM => {
                receive(from, buffer.get(..length).unwrap_or_default());
            }
            Ok(_) => {}
            // Also errors that ICMP reports for an unreachable peer.
            Err(_) => return,
        }
    }
}

impl Drop for RelayedSocket {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
