//! The addresses of a server: those that it has bound, and those that clients are told.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use parking_lot::RwLock;

/// The addresses of a server. Those that clients are told may change while it runs.
#[derive(Clone, Debug)]
pub(crate) struct Addresses(Arc<RwLock<Known>>);

#[derive(Debug)]
struct Known {
    /// At most one of each family.
    bound: Vec<Bound>,
    /// Addresses that clients are told: of a family none, one, or those of several networks.
    told: Vec<IpAddr>,
}

/// An address that a server has bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    /// Unspecified if it listens at all addresses of this machine, and clients are told none of them, or
    /// several.
    pub(crate) at: SocketAddr,
    /// The server listens at all other addresses of this machine too.
    pub(crate) is_everywhere: bool,
}

/// An address that clients are told, and the one that is bound for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) bound: SocketAddr,
    pub(crate) told: SocketAddr,
    /// The server listens at all other addresses of this machine too.
    pub(crate) is_everywhere: bool,
}

impl Known {
    fn all(&self) -> impl Iterator<Item = Address> {
        self.bound.iter().flat_map(|&Bound { at: bound, is_everywhere }| {
            let told = self.told.iter().filter(move |ip| ip.is_ipv4() == bound.is_ipv4());
            told.map(move |ip| Address { bound, told: SocketAddr::new(*ip, bound.port()), is_everywhere })
        })
    }
}

impl Addresses {
    /// Clients are told the `public` ones of a family in place of the bound one.
    pub(crate) fn new(bound: Vec<Bound>, public: &[IpAddr]) -> Self {
        let is_told =
            |at: &IpAddr| at.is_unspecified() || public.iter().any(|ip| ip.is_ipv4() == at.is_ipv4());
        let as_bound = bound.iter().map(|own| own.at.ip()).filter(|at| !is_told(at));
        let told = as_bound.chain(public.iter().copied()).collect();
        Addresses(Arc::new(RwLock::new(Known { bound, told })))
    }

    /// A single address, which clients are told as it is bound.
    #[cfg(test)]
    pub(crate) fn of(address: &str) -> Self {
        let at = address.parse().unwrap();
        Addresses::new(vec![Bound { at, is_everywhere: false }], &[])
    }

    pub(crate) fn all(&self) -> Vec<Address> {
        self.0.read().all().collect()
    }

    /// The best address of a family.
    pub(crate) fn of_family(&self, is_ipv4: bool) -> Option<Address> {
        self.0.read().all().find(|own| own.told.is_ipv4() == is_ipv4)
    }

    /// The addresses that clients are told.
    pub(crate) fn told(&self) -> Vec<SocketAddr> {
        self.0.read().all().map(|own| own.told).collect()
    }

    /// True if an address is one of them.
    pub(crate) fn has(&self, address: SocketAddr) -> bool {
        let known = self.0.read();
        let is_bound = known.bound.iter().any(|own| {
            let is_here = || own.at.port() == address.port() && is_local(address.ip());
            own.at == address || own.is_everywhere && is_here()
        });
        is_bound || known.all().any(|own| own.told == address)
    }

    /// True if one of them, at any port, is this one.
    pub(crate) fn has_ip(&self, ip: IpAddr) -> bool {
        let known = self.0.read();
        known.bound.iter().any(|own| own.at.ip() == ip) || known.told.contains(&ip)
    }

    /// Tells clients other addresses from now on. A family of which there is none keeps its own.
    pub(crate) fn set_public(&self, public: &[IpAddr]) {
        let told = &mut self.0.write().told;
        told.retain(|own| !public.iter().any(|ip| ip.is_ipv4() == own.is_ipv4()));
        told.extend(public);
    }
}

/// True if an address is one of this machine.
pub(crate) fn is_local(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_may_have_several_addresses_or_get_its_first_one_later() {
        let everywhere = |at: &str| Bound { at: at.parse().unwrap(), is_everywhere: true };
        let ips = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let bound = vec![everywhere("0.0.0.0:3478"), everywhere("[::]:3479")];
        let addresses = Addresses::new(bound, &ips(&["192.168.4.1", "10.7.0.1"]));
        let told = || addresses.told().iter().map(SocketAddr::to_string).collect::<Vec<_>>();
        assert_eq!(told(), ["192.168.4.1:3478", "10.7.0.1:3478"]);
        assert!(addresses.of_family(false).is_none());
        addresses.set_public(&ips(&["2001:db8::7"]));
        assert_eq!(told(), ["192.168.4.1:3478", "10.7.0.1:3478", "[2001:db8::7]:3479"]);
        addresses.set_public(&ips(&["10.7.0.1"]));
        assert_eq!(told(), ["10.7.0.1:3478", "[2001:db8::7]:3479"]);
        assert!(addresses.has("10.7.0.1:3478".parse().unwrap()));
        assert!(!addresses.has("10.7.0.1:3479".parse().unwrap()));
    }
}
