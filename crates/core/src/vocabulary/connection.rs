//! Connections, links, realms and nodes, as all layers name them.

use std::fmt;
use std::net::IpAddr;

use super::{expected, tables::labels};
use crate::address::of_client;

/// The credentials of the ICE checks of one side of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IceCredentials<'a> {
    /// The username fragment, `ice-ufrag`.
    pub ufrag: &'a str,
    /// The password, `ice-pwd`.
    pub pwd: &'a str,
}

/// An IPv4 address, or the /64 of an IPv6 address, which is the usual size of one household's network. Limits
/// count by it.
///
/// Bytes, because the alignment of `u128` would make its containers larger.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressPrefix(pub [u8; 16]);

impl AddressPrefix {
    /// `None` for loopback, which is not limited: it is a local proxy or the operator.
    pub fn of_remote(address: Option<IpAddr>) -> Option<Self> {
        address.filter(|address| !address.to_canonical().is_loopback()).map(AddressPrefix::of)
    }

    /// The unit of an address.
    pub fn of(address: IpAddr) -> Self {
        AddressPrefix::new(address, 64)
    }

    /// The /48 of an IPv6 address instead: the most that one customer has (RFC 6177). An IPv4 address is
    /// returned unchanged.
    pub fn site(address: IpAddr) -> Self {
        AddressPrefix::new(address, 48)
    }

    /// A number that no other one has: an IPv4 address is in one half of the bytes, and the /64 of an IPv6
    /// address in the other.
    pub fn number(self) -> u64 {
        let bits = u128::from_be_bytes(self.0);
        (bits >> 64) as u64 | bits as u64
    }

    fn new(address: IpAddr, bits: u32) -> Self {
        match of_client(address) {
            IpAddr::V4(address) => AddressPrefix(address.to_ipv6_mapped().octets()),
            IpAddr::V6(address) => {
                AddressPrefix((address.to_bits() & (u128::MAX << (128 - bits))).to_be_bytes())
            }
        }
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $shown:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u64);

        impl $name {
            /// The one of this number.
            pub fn new(number: u64) -> Self {
                $name(number)
            }

            /// The number.
            pub fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $shown, self.0)
            }
        }
    };
}

number!(
    /// The number of one connection, shown as in the log. Never reused within a process.
    ConnId, "#{}"
);

number!(
    /// A life of a node: from its join until it leaves, or is believed dead. Never reused, because it is
    /// random.
    NodeId, "{:016x}"
);

/// A connection of a node, the owner of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// The node.
    pub node: NodeId,
    /// Its connection.
    pub connection: ConnId,
}

labels! {
    /// The kind of a connection. It decides whether a connection that takes an id over gets OPEN. Records in
    /// Redis have the labels.
    pub enum ConnectionKind {
        /// A WebSocket.
        Socket = "socket",
        /// An HTTP response without end: PeerJS 0.3.x without a WebSocket. Its client renews it or moves to a
        /// WebSocket, and is not greeted again then.
        Stream = "stream",
    }
}

/// The version that a client gives. Stored inline, because nearly every connection has one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClientVersion {
    len: u8,
    bytes: [u8; ClientVersion::MAX_BYTES],
}

impl ClientVersion {
    /// Most bytes of a version.
    pub const MAX_BYTES: usize = 14;

    /// Accepts printable ASCII without spaces, up to [`MAX_BYTES`](Self::MAX_BYTES).
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; Self::MAX_BYTES];
        let fine = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        bytes.get_mut(..text.len()).filter(|_| fine)?.copy_from_slice(text.as_bytes());
        Some(ClientVersion { len: u8::try_from(text.len()).ok()?, bytes })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        let text = self.bytes.get(..self.len.into()).unwrap_or_default();
        expected(std::str::from_utf8(text), "letters and digits")
    }
}

impl fmt::Debug for ClientVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
