//! Ports for servers that cannot take port 0, or that come back at the same one.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{TcpListener, UdpSocket};

/// Below those that systems give to clients and for port 0. One of these could become the source of any
/// connection, even of one to itself, while no server listens there.
const FIRST: u16 = 10_000;
const COUNT: u64 = 20_000;

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let [port] = free_ports();
    port
}

/// Ports that were free a moment ago, all different.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let sockets = [(); N].map(|()| bound());
    sockets.map(|(listener, _)| listener.local_addr().expect("an address").port())
}

/// For TCP and UDP: a relay needs both.
fn bound() -> (TcpListener, UdpSocket) {
    loop {
        let random = RandomState::new().hash_one(()) % COUNT;
        let port = FIRST + u16::try_from(random).expect("a small number");
        let address = ("127.0.0.1", port);
        if let (Ok(listener), Ok(socket)) = (TcpListener::bind(address), UdpSocket::bind(address)) {
            return (listener, socket);
        }
    }
}

/// True if a UDP socket of IPv4 has this port. To bind it for a moment would tell, too, and fail a server
/// that binds it then.
pub fn is_udp_bound(port: u16) -> bool {
    let local = format!(":{port:04X}");
    fs::read_to_string("/proc/net/udp").is_ok_and(|sockets| {
        sockets.lines().any(|line| line.split_whitespace().nth(1).is_some_and(|at| at.ends_with(&local)))
    })
}
