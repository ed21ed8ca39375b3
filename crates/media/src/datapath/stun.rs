//! Tells the bytes of STUN and TURN from others, and answers a question for one's own address.

use std::net::SocketAddr;

use stun_types::attribute::XorMappedAddress;
use stun_types::message::{Message, MessageWrite as _, MessageWriteExt as _, MessageWriteVec};

/// First bytes of STUN are below this; its cookie follows the length (RFC 8489, section 5).
const STUN: u8 = 4;
pub(crate) const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

/// First bytes of ChannelData, with the numbers of RFC 5766. Neither DTLS nor RTP begins with them (RFC 7983, section 7).
const CHANNEL: std::ops::RangeInclusive<u8> = 0x40..=0x7F;

/// True if the bytes are for STUN. The first tells it from DTLS, SRTP and all others (RFC 7983).
pub(crate) fn is_stun(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| *first < STUN) && bytes.get(4..8) == Some(&COOKIE)
}

/// True if the bytes are ChannelData of TURN.
pub(crate) fn is_channel(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| CHANNEL.contains(first))
}

/// True if the bytes are for TURN, and no STUN Binding.
pub(crate) fn is_turn(bytes: &[u8]) -> bool {
    // The class of a message is in two bits among those of its method, whose lowest four are these.
    is_channel(bytes) || is_stun(bytes) && bytes.get(1).is_some_and(|byte| byte & 0x0F != 1)
}

/// True if a connection that begins with this byte is for STUN, and not for HTTP.
pub(crate) fn may_be_stun(first: u8) -> bool {
    first < STUN
}

/// The address that a client's request came from.
pub(crate) fn mapped(request: &Message<'_>, from: SocketAddr) -> Vec<u8> {
    let mut answer = Message::builder_success(request, MessageWriteVec::with_capacity(44));
    // It fits, and is the only one.
    let _ = answer.add_attribute(&XorMappedAddress::new(from, request.transaction_id()));
    answer.finish()
}
