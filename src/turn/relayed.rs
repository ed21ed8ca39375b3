//! Relayed addresses: virtual ones, and sockets in a range of ports.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::Arc;

use socket2::SockRef;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// The ports of virtual addresses: those that no service has by default (RFC 6335, section 6).
const VIRTUAL: RangeInclusive<u16> = 49152..=65535;

/// How many ports of other programs are skipped before there is said to be none.
const MAX_BINDS: usize = 64;

/// Where relayed addresses come from.
pub(super) struct RelayedAddresses {
    /// What clients are told, and what is bound: at most one of each family.
    addresses: Vec<(IpAddr, IpAddr)>,
    /// The ports of sockets; `None` if addresses are virtual.
    ports: Option<RangeInclusive<u16>>,
    /// Our own ports.
    own: Vec<SocketAddr>,
}

/// A relayed address that is free.
pub(super) struct FreeAddress {
    pub(super) relayed: SocketAddr,
    pub(super) socket: Option<UdpSocket>,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoAddress {
    /// There is none of this family.
    Family,
    /// All are taken.
    Taken,
}

impl RelayedAddresses {
    pub(super) fn new(
        addresses: Vec<(IpAddr, IpAddr)>,
        ports: Option<RangeInclusive<u16>>,
        own: Vec<SocketAddr>,
    ) -> Self {
        RelayedAddresses { addresses, ports, own }
    }

    /// Whether a peer can be reached outside of this process.
    pub(super) fn are_real(&self) -> bool {
        self.ports.is_some()
    }

    /// An address of a family that no allocation has, if wanted with an even port.
    pub(super) fn find(
        &self,
        is_ipv4: bool,
        even: bool,
        is_taken: impl Fn(&SocketAddr) -> bool,
    ) -> Result<FreeAddress, NoAddress> {
        let address = self.addresses.iter().find(|(public, _)| public.is_ipv4() == is_ipv4);
        let (public, bound) = *address.ok_or(NoAddress::Family)?;
        let mut binds = 0;
        for port in shuffled(self.ports.as_ref().unwrap_or(&VIRTUAL)) {
            let relayed = SocketAddr::new(public, port);
            if even && port % 2 == 1 || self.own.contains(&relayed) || is_taken(&relayed) {
                continue;
            }
            if self.ports.is_none() {
                return Ok(FreeAddress { relayed, socket: None });
            }
            match UdpSocket::bind((bound, port)) {
                Ok(socket) => return Ok(FreeAddress { relayed, socket: Some(socket) }),
                Err(error) => log::debug!("cannot relay at port {port}: {error}"),
            }
            binds += 1;
            if binds == MAX_BINDS {
                break;
            }
        }
        Err(NoAddress::Taken)
    }
}

/// All ports of a range, from a random one on. So nobody can guess the next one, and a port is not used again at once.
fn shuffled(ports: &RangeInclusive<u16>) -> impl Iterator<Item = u16> + use<> {
    let (first, last) = (*ports.start(), *ports.end());
    let middle = rand::random_range(first..=last.max(first));
    (middle..=last).chain(first..middle)
}

/// The socket of a relayed address. The drop ends its reader.
pub(super) struct RelayedSocket {
    socket: Arc<tokio::net::UdpSocket>,
    reader: JoinHandle<()>,
}

/// Longest datagram that is relayed. Those of WebRTC have at most 1500 bytes.
pub(super) const MAX_DATAGRAM: usize = 8192;

/// Datagrams that are read before another task has its turn.
const AT_ONCE: usize = 32;

impl RelayedSocket {
    /// Starts to read it on a runtime. `receive` gets what peers send.
    pub(super) fn start(
        socket: UdpSocket,
        runtime: &Handle,
        receive: impl Fn(SocketAddr, &[u8]) + Send + 'static,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let _entered = runtime.enter();
        let socket = Arc::new(tokio::net::UdpSocket::from_std(socket)?);
        let reading = Arc::clone(&socket);
        let reader = runtime.spawn(async move {
            while reading.readable().await.is_ok() {
                read(&reading, &receive);
                tokio::task::yield_now().await;
            }
        });
        Ok(RelayedSocket { socket, reader })
    }

    /// Sends to a peer. False if the socket has no room.
    pub(super) fn send(&self, to: SocketAddr, bytes: &[u8]) -> bool {
        // Not tokio's: it fails until its thread has seen that the socket is writable.
        SockRef::from(&*self.socket).send_to(bytes, &to.into()).is_ok()
    }
}

/// Reads what is there. Not in the task itself, so that the buffer is not in each allocation.
fn read(socket: &tokio::net::UdpSocket, receive: &impl Fn(SocketAddr, &[u8])) {
    // One byte more shows that a datagram is too long.
    let mut buffer = [0; MAX_DATAGRAM + 1];
    for _ in 0..AT_ONCE {
        match socket.try_recv_from(&mut buffer) {
            Ok((length, from)) if length <= MAX_DATAGRAM => {
                receive(from, buffer.get(..length).unwrap_or_default());
            }
            Ok(_) => {}
            // Also what ICMP says about a peer that is not there.
            Err(_) => return,
        }
    }
}

impl Drop for RelayedSocket {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
