//! The addresses and the name of this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::{Duration, Instant};

use gethostname::gethostname;
use parking_lot::Mutex;

use peerbroker_core::address::{self, Prefix, is_public};

/// The beginnings of the names of bridges to containers and virtual machines, which lead to no other machine.
const CONTAINERS: [&str; 6] = ["docker", "br-", "virbr", "podman", "cni", "lxc"];

/// The address of this machine on the local network, if it has one. Phones on the same network can reach it.
pub fn lan_address() -> Option<IpAddr> {
    interface_address(false)
}

/// The [`lan_address`] alone, or the addresses of all interfaces if none leads out: each may be that of a
/// network, such as a hotspot's.
pub fn lan_addresses() -> Vec<IpAddr> {
    interface_addresses(false)
}

/// The address of the interface that leads out of this machine, of IPv4 or of IPv6. If none does, those of
/// all interfaces.
pub fn interface_addresses(ipv6: bool) -> Vec<IpAddr> {
    leading_out(ipv6).map_or_else(|| of_interfaces(ipv6), |address| vec![address])
}

/// Time for which the prefixes of this machine are believed. A provider may give others at any time.
const BELIEVED: Duration = Duration::from_secs(30);

/// The prefixes of the IPv6 addresses of this machine, and when they were read.
static PREFIXES: Mutex<Option<(Instant, Vec<Prefix>)>> = Mutex::new(None);

/// True if this machine has an address with this prefix: then it is in the network of the prefix.
pub fn has_prefix(prefix: Prefix) -> bool {
    let mut known = PREFIXES.lock();
    let is_recent = |(read, _): &(Instant, _)| read.elapsed() < BELIEVED;
    if let Some((_, prefixes)) = known.as_ref().filter(|known| is_recent(known)) {
        return prefixes.contains(&prefix);
    }
    let all = if_addrs::get_if_addrs().unwrap_or_default();
    let of_interface = |one: &if_addrs::Interface| match one.ip() {
        IpAddr::V6(address) => Some(address::prefix(address)),
        IpAddr::V4(_) => None,
    };
    let (_, prefixes) = known.insert((Instant::now(), all.iter().filter_map(of_interface).collect()));
    prefixes.contains(&prefix)
}

fn interface_address(ipv6: bool) -> Option<IpAddr> {
    interface_addresses(ipv6).into_iter().next()
}

/// The addresses of interfaces that are up, the best one first.
fn of_interfaces(ipv6: bool) -> Vec<IpAddr> {
    let mut all = if_addrs::get_if_addrs().unwrap_or_default();
    // One that is link-local needs a zone in IPv6. In IPv4 it is that of two machines with a cable between
    // them.
    all.retain(|one| one.ip().is_ipv6() == ipv6 && !one.is_loopback() && !(ipv6 && one.is_link_local()));
    // As a bridge of containers of which none runs.
    if all.iter().any(|one| one.is_oper_up()) {
        all.retain(|one| one.is_oper_up());
    }
    let is_of_containers = |name: &str| CONTAINERS.iter().any(|prefix| name.starts_with(prefix));
    if !all.iter().all(|one| is_of_containers(&one.name)) {
        all.retain(|one| !is_of_containers(&one.name));
    }
    all.sort_by_key(|one| (one.is_link_local(), one.is_p2p(), one.index));
    all.iter().map(|one| one.ip()).collect()
}

/// Asks the kernel for the source address of the default route, and sends nothing.
fn leading_out(ipv6: bool) -> Option<IpAddr> {
    // No machine has an address of documentation (RFC 5737 and 3849), so the kernel takes the default route.
    let (any, somewhere): (IpAddr, IpAddr) = if ipv6 {
        (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into())
    } else {
        (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into())
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((somewhere, 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// A public address of an interface of this machine, of IPv4 or of IPv6: that of the interface that leads
/// out, or another one.
pub fn public_address(ipv6: bool) -> Option<IpAddr> {
    let is_wanted = |ip: &IpAddr| ip.is_ipv6() == ipv6 && is_public(*ip);
    interface_address(ipv6).filter(is_wanted).or_else(|| {
        let all = if_addrs::get_if_addrs().unwrap_or_default();
        all.iter().map(|interface| interface.ip()).filter(is_wanted).min()
    })
}

/// True if an address is one of this machine.
pub fn is_own(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

/// The name of this machine.
pub fn host_name() -> String {
    gethostname().to_string_lossy().into_owned()
}
