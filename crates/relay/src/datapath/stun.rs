//! Tells the bytes of STUN and TURN from others, and answers a question for one's own address.

use std::net::SocketAddr;

use stun_types::attribute::{
    Attribute as _, AttributeStaticType as _, AttributeType, ErrorCode, Fingerprint, MessageIntegrity,
    MessageIntegritySha256, Nonce, Realm, UnknownAttributes, Username, XorMappedAddress,
};
use stun_types::message::{Message, MessageWrite as _, MessageWriteExt as _, MessageWriteVec};

/// First bytes of STUN are below this; its cookie follows the length (RFC 8489, section 5).
const STUN: u8 = 4;
pub(crate) const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

/// First bytes of ChannelData, with the numbers of RFC 5766. Neither DTLS nor RTP begins with them (RFC 7983,
/// section 7).
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

/// Attributes of ICE's checks (RFC 8445, section 7.1).
pub(crate) const PRIORITY: AttributeType = AttributeType::new(0x0024);
pub(crate) const USE_CANDIDATE: AttributeType = AttributeType::new(0x0025);

/// Attributes of credentials, which any request may have.
const OF_ALL: [AttributeType; 6] = [
    Username::TYPE,
    Realm::TYPE,
    Nonce::TYPE,
    MessageIntegrity::TYPE,
    MessageIntegritySha256::TYPE,
    Fingerprint::TYPE,
];

/// Most unknown attributes that an answer names.
const MAX_UNKNOWN: usize = 8;

/// The attributes of a request that must be understood, and are not: neither `known` nor of credentials (RFC
/// 8489, section 6.3.1).
pub(crate) fn unknown_attributes(request: &Message<'_>, known: &[AttributeType]) -> Vec<AttributeType> {
    let types = request.iter_attributes().map(|(_, attribute)| attribute.get_type());
    let is_known = |kind: &AttributeType| known.contains(kind) || OF_ALL.contains(kind);
    types.filter(|kind| kind.comprehension_required() && !is_known(kind)).take(MAX_UNKNOWN).collect()
}

/// The address that a client's request came from. A client that asks for the answer of another port must not
/// believe that it has it.
pub(crate) fn mapped(request: &Message<'_>, from: SocketAddr) -> Vec<u8> {
    let unknown = unknown_attributes(request, &[PRIORITY, USE_CANDIDATE]);
    if !unknown.is_empty() {
        let mut answer = Message::builder_error(request, MessageWriteVec::with_capacity(56));
        // Without a text: the answer to a stranger is short. Both fit.
        if let Ok(code) = ErrorCode::new(ErrorCode::UNKNOWN_ATTRIBUTE, "") {
            let _ = answer.add_attribute(&code);
        }
        let _ = answer.add_attribute(&UnknownAttributes::new(&unknown));
        return answer.finish();
    }
    let mut answer = Message::builder_success(request, MessageWriteVec::with_capacity(44));
    // It fits, and is the only one.
    let _ = answer.add_attribute(&XorMappedAddress::new(from, request.transaction_id()));
    answer.finish()
}
