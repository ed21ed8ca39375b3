//! The addresses of a server: those that it has bound, and those that clients are told.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use parking_lot::RwLock;

/// The addresses of a server, at most one of each family. Those that clients are told may change while it runs.
#[derive(Clone, Debug)]
pub(crate) struct Addresses(Arc<RwLock<Vec<Address>>>);

/// An address of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The one that it has bound. Unspecified if it listens at all addresses of this machine, and clients are told none of them.
    pub(crate) bound: SocketAddr,
    /// The one that clients are told.
    pub(crate) told: SocketAddr,
    /// It listens at all other addresses of this machine too.
    pub(crate) is_everywhere: bool,
}

impl Addresses {
    pub(crate) fn new(addresses: Vec<Address>) -> Self {
        Addresses(Arc::new(RwLock::new(addresses)))
    }

    /// One address, which clients are told as it is bound.
    #[cfg(test)]
    pub(crate) fn of(address: &str) -> Self {
        let bound = address.parse().unwrap();
        Addresses::new(vec![Address { bound, told: bound, is_everywhere: false }])
    }

    pub(crate) fn all(&self) -> Vec<Address> {
        self.0.read().clone()
    }

    /// The address of a family.
    pub(crate) fn of_family(&self, is_ipv4: bool) -> Option<Address> {
        self.0.read().iter().find(|own| own.told.is_ipv4() == is_ipv4).copied()
    }

    /// Those that clients are told.
    pub(crate) fn told(&self) -> Vec<SocketAddr> {
        self.0.read().iter().map(|own| own.told).collect()
    }

    /// True if an address is one of them.
    pub(crate) fn has(&self, address: SocketAddr) -> bool {
        self.0.read().iter().any(|own| {
            let is_here = || own.bound.port() == address.port() && is_local(address.ip());
            own.bound == address || own.told == address || own.is_everywhere && is_here()
        })
    }

    /// True if one of them, at any port, is this one.
    pub(crate) fn has_ip(&self, ip: IpAddr) -> bool {
        self.0.read().iter().any(|own| own.bound.ip() == ip || own.told.ip() == ip)
    }

    /// Tells clients other addresses from now on. A family of which there is none keeps its own.
    pub(crate) fn tell(&self, public: &[IpAddr]) {
        for own in self.0.write().iter_mut() {
            let of_family = public.iter().find(|ip| ip.is_ipv4() == own.told.is_ipv4());
            of_family.into_iter().for_each(|ip| own.told.set_ip(*ip));
        }
    }
}

/// True if an address is one of this machine.
pub(crate) fn is_local(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}
