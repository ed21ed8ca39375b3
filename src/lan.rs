//! The addresses and the name of this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use gethostname::gethostname;

use crate::address::is_public;

/// This machine's address on the local network, if it has one. Phones on the same network can reach it.
pub fn lan_address() -> Option<IpAddr> {
    interface_address(false)
}

/// The address of the interface that leads out of this machine, of IPv4 or of IPv6. Asks the kernel for the source address of the
/// default route, and sends nothing.
pub fn interface_address(ipv6: bool) -> Option<IpAddr> {
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

/// A public address of an interface of this machine, of IPv4 or of IPv6: that of the interface that leads out, or another one.
pub fn public_address(ipv6: bool) -> Option<IpAddr> {
    let is_wanted = |ip: &IpAddr| ip.is_ipv6() == ipv6 && is_public(*ip);
    interface_address(ipv6).filter(is_wanted).or_else(|| {
        let all = if_addrs::get_if_addrs().unwrap_or_default();
        all.iter().map(|interface| interface.ip()).filter(is_wanted).min()
    })
}

/// True if an address is one of this machine.
pub(crate) fn is_own(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

/// The name of this machine.
pub(crate) fn host_name() -> String {
    gethostname().to_string_lossy().into_owned()
}
