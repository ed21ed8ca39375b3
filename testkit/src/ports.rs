//! Ports for servers that cannot take port 0, or that come back at the same one.

use std::hash::{BuildHasher as _, RandomState};
use std::net::TcpListener;

/// Below those that systems give to clients and for port 0. One of these could become the source of any connection, even of one to
/// itself, while no server listens there.
const FIRST: u16 = 10_000;
const COUNT: u64 = 20_000;

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let [port] = free_ports();
    port
}

/// Ports that were free a moment ago, all different.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| bound());
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}

fn bound() -> TcpListener {
    loop {
        let random = RandomState::new().hash_one(()) % COUNT;
        let port = FIRST + u16::try_from(random).expect("a small number");
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener;
        }
    }
}
