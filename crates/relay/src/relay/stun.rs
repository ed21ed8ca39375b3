//! STUN messages (RFC 8489), as a relay needs them for ICE checks (RFC 8445).

use stun_types::attribute::{AttributeType, ErrorCode, RawAttribute, Username};
use stun_types::message::{
    BINDING, IntegrityAlgorithm, Message, MessageClass, MessageIntegrityCredentials, MessageType,
    MessageWrite as _, MessageWriteExt as _, MessageWriteVec, ShortTermCredentials, TransactionId,
};

use super::endpoint::Endpoint;
use crate::datapath::stun::{PRIORITY, USE_CANDIDATE};

/// Longest message that is read: ICE's have some 100 bytes.
const MAX_BYTES: usize = 548;

const HEADER: usize = 20;

const ICE_CONTROLLED: AttributeType = AttributeType::new(0x8029);
const ICE_CONTROLLING: AttributeType = AttributeType::new(0x802A);

/// The priority in our own checks: the lowest of RFC 8445.
const LOWEST: u32 = 1;

/// The number of a transaction.
pub(super) type Transaction = [u8; 12];

/// The role of a side of a call: the controlling side decides about its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Controlling,
    Controlled,
}

/// A STUN message that has come from an address.
pub(super) struct Stun<'a> {
    pub(super) from: Endpoint,
    pub(super) bytes: &'a [u8],
    pub(super) message: Message<'a>,
    pub(super) transaction: Transaction,
}

impl<'a> Stun<'a> {
    /// `None` if it is malformed, or longer than any check.
    pub(super) fn parse(from: Endpoint, bytes: &'a [u8]) -> Option<Self> {
        let transaction = bytes.get(8..HEADER)?.try_into().ok()?;
        let length = usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?));
        if bytes.len() > MAX_BYTES || HEADER + length != bytes.len() {
            return None;
        }
        let message = Message::from_bytes(bytes).ok()?;
        message.has_method(BINDING).then_some(Stun { from, bytes, message, transaction })
    }

    /// The username fragments of the receiver and of the sender, with a colon between them.
    pub(super) fn username(&self) -> Option<Username> {
        self.message.attribute::<Username>().ok()
    }

    /// True if its sender knows a password.
    pub(super) fn is_proved_by(&self, pwd: &str) -> bool {
        self.message.validate_integrity(&credentials(pwd)).is_ok()
    }

    /// The role that its sender has.
    pub(super) fn role(&self) -> Option<Role> {
        let roles = [(ICE_CONTROLLING, Role::Controlling), (ICE_CONTROLLED, Role::Controlled)];
        roles.into_iter().find(|(attribute, _)| self.message.has_attribute(*attribute)).map(|(_, role)| role)
    }

    pub(super) fn nominates(&self) -> bool {
        self.message.has_attribute(USE_CANDIDATE)
    }
}

/// A check of our own. Only a client that has the password and is at the address can answer it.
pub(super) fn check(transaction: Transaction, username: &str, pwd: &str, our_role: Role) -> Option<Vec<u8>> {
    let mut id = [0; 16];
    id.get_mut(4..)?.copy_from_slice(&transaction);
    let kind = MessageType::from_class_method(MessageClass::Request, BINDING);
    let id = TransactionId::from(u128::from_be_bytes(id));
    let mut message = Message::builder(kind, id, MessageWriteVec::with_capacity(128));
    message.add_attribute(&Username::new(username).ok()?).ok()?;
    message.add_attribute(&RawAttribute::new(PRIORITY, &LOWEST.to_be_bytes())).ok()?;
    // With these tie-breakers, a client that has the same role answers with an error, which is as good a
    // proof, and keeps its role.
    let (role, tie_breaker) = match our_role {
        Role::Controlling => (ICE_CONTROLLING, [0; 8]),
        Role::Controlled => (ICE_CONTROLLED, [0xFF; 8]),
    };
    message.add_attribute(&RawAttribute::new(role, &tie_breaker)).ok()?;
    message.add_message_integrity(&credentials(pwd), IntegrityAlgorithm::Sha1).ok()?;
    message.add_fingerprint().ok()?;
    Some(message.finish())
}

/// The answer to a check that withdraws consent (RFC 7675, section 5.2): the client gives up this path at
/// once. Shorter than any check.
pub(super) fn revoked(check: &Message<'_>, pwd: &str) -> Option<Vec<u8>> {
    let mut answer = Message::builder_error(check, MessageWriteVec::with_capacity(72));
    answer.add_attribute(&ErrorCode::new(ErrorCode::FORBIDDEN, "Forbidden").ok()?).ok()?;
    answer.add_message_integrity(&credentials(pwd), IntegrityAlgorithm::Sha1).ok()?;
    answer.add_fingerprint().ok()?;
    Some(answer.finish())
}

fn credentials(pwd: &str) -> MessageIntegrityCredentials {
    ShortTermCredentials::new(pwd.to_owned()).into()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use stun_types::attribute::UnknownAttributes;

    use super::super::endpoint::Transport;
    use super::*;
    use crate::datapath::stun::mapped;

    /// The password of the vectors of RFC 5769, section 2.
    const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

    const REQUEST: &str = "00010058 2112a442 b7e7a701 bc34d686 fa87dfae 80220010 5354554e 20746573 7420636c \
        69656e74 00240004 6e0001ff 80290008 932ff9b1 51263b36 00060009 6576746a 3a683676 59202020 00080014 \
        9aeaa70c bfd8cb56 781ef2b5 b2d3f249 c1b571a2 80280004 e57a3bcf";

    const IPV4_RESPONSE: &str = "0101003c 2112a442 b7e7a701 bc34d686 fa87dfae 8022000b 74657374 20766563 \
        746f7220 00200008 0001a147 e112a643 00080014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 f06be7d7 80280004 \
        c07d4c96";

    const IPV6_RESPONSE: &str = "01010048 2112a442 b7e7a701 bc34d686 fa87dfae 8022000b 74657374 20766563 \
        746f7220 00200014 0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9 00080014 a382954e 4be67bf1 1784c97c \
        8292c275 bfe3ed41 80280004 c8fb0b4c";

    fn bytes(words: &str) -> Vec<u8> {
        words
            .split_whitespace()
            .flat_map(|word| u32::from_str_radix(word, 16).unwrap().to_be_bytes())
            .collect()
    }

    fn parse(bytes: &[u8]) -> Stun<'_> {
        let from = Endpoint::new("192.0.2.1:32853".parse().unwrap(), Transport::Udp);
        Stun::parse(from, bytes).unwrap()
    }

    #[test]
    fn reads_the_request_of_rfc_5769() {
        let bytes = bytes(REQUEST);
        let request = parse(&bytes);
        assert_eq!(request.username().unwrap().username(), "evtj:h6vY");
        assert_eq!(request.role(), Some(Role::Controlled));
        assert!(!request.nominates());
        assert!(request.is_proved_by(PASSWORD));
        assert!(!request.is_proved_by("another"));
    }

    #[test]
    fn a_question_that_asks_for_more_than_an_address_is_refused() {
        // CHANGE-REQUEST, RESPONSE-PORT, PADDING, and one that nobody knows.
        for kind in [0x0003, 0x0027, 0x0026, 0x7777] {
            let mut request = Message::builder_request(BINDING, MessageWriteVec::new());
            request.add_attribute(&RawAttribute::new(PRIORITY, &[0; 4])).unwrap();
            request.add_attribute(&RawAttribute::new(AttributeType::new(kind), &[0; 4])).unwrap();
            request.add_attribute(&RawAttribute::new(USE_CANDIDATE, &[])).unwrap();
            let request = request.finish();
            let answer = mapped(&parse(&request).message, "192.0.2.1:5000".parse().unwrap());
            let answer = parse(&answer).message;
            assert_eq!(answer.attribute::<ErrorCode>().unwrap().code(), ErrorCode::UNKNOWN_ATTRIBUTE);
            let unknown = answer.attribute::<UnknownAttributes>().unwrap();
            assert!(
                unknown.has_attribute(AttributeType::new(kind))
                    && answer.as_bytes().len() <= 2 * request.len()
            );
        }
    }

    #[test]
    fn tells_addresses_as_the_responses_of_rfc_5769() {
        let request = bytes(REQUEST);
        let request = parse(&request);
        let vectors = [
            ("192.0.2.1:32853", IPV4_RESPONSE, 12),
            ("[2001:db8:1234:5678:11:2233:4455:6677]:32853", IPV6_RESPONSE, 24),
        ];
        for (from, response, length) in vectors {
            let response = bytes(response);
            assert!(parse(&response).is_proved_by(PASSWORD));
            let answer = mapped(&request.message, from.parse::<SocketAddr>().unwrap());
            // The vector has a name of 16 bytes before the address.
            assert_eq!(answer[HEADER..], response[HEADER + 16..][..length]);
            assert_eq!(answer[4..HEADER], response[4..HEADER]);
        }
    }
}
