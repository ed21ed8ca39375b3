use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// This machine's address on the local network, if it has one: what a phone beside it can reach.
///
/// Asks the kernel which address it would send from; nothing is sent.
pub fn lan_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // TEST-NET-1: nobody's address, and so reached over the default route.
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}
