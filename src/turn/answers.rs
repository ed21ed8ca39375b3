//! Answers to STUN and TURN requests, and what relayed bytes are wrapped in.

use std::net::SocketAddr;

use stun_types::attribute::{
    AttributeType, AttributeWrite, ErrorCode, Nonce, Realm, UnknownAttributes, XorMappedAddress,
};
use stun_types::message::{
    IntegrityAlgorithm, IntegrityKey, Message, MessageWrite as _, MessageWriteExt as _, MessageWriteVec,
    TransactionId,
};
use turn_types::attribute::{Data, Lifetime, XorPeerAddress, XorRelayedAddress};
use turn_types::message::DATA;

use super::counters::TurnRefusal;

/// The realm of all credentials. Short, because it is in the answers to those who have proved nothing.
pub(super) const REALM: &str = "turn";

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) code: u16,
    /// What a browser shows its page in `icecandidateerror`.
    reason: &'static str,
    pub(super) why: TurnRefusal,
    unknown: Vec<AttributeType>,
}

impl Refused {
    pub(super) fn new(code: u16, reason: &'static str, why: TurnRefusal) -> Self {
        Refused { code, reason, why, unknown: Vec::new() }
    }

    pub(super) fn bad_request() -> Self {
        Refused::new(ErrorCode::BAD_REQUEST, "Bad Request", TurnRefusal::Request)
    }

    pub(super) fn unknown(unknown: Vec<AttributeType>) -> Self {
        let refused = Refused::new(ErrorCode::UNKNOWN_ATTRIBUTE, "Unknown Attribute", TurnRefusal::Request);
        Refused { unknown, ..refused }
    }

    /// The answer. Signed if the client has proved itself.
    pub(super) fn answer(&self, request: &Message<'_>, key: Option<&IntegrityKey>) -> Vec<u8> {
        let mut answer = self.begin(request);
        if !self.unknown.is_empty() {
            add(&mut answer, &UnknownAttributes::new(&self.unknown));
        }
        if let Some(key) = key {
            sign(&mut answer, key);
        }
        answer.finish()
    }

    /// The answer that asks for credentials with this nonce.
    pub(super) fn challenge(&self, request: &Message<'_>, nonce: &str) -> Vec<u8> {
        let mut answer = self.begin(request);
        if let (Ok(realm), Ok(nonce)) = (Realm::new(REALM), Nonce::new(nonce)) {
            add(&mut answer, &realm);
            add(&mut answer, &nonce);
        }
        answer.finish()
    }

    fn begin(&self, request: &Message<'_>) -> MessageWriteVec {
        let mut answer = Message::builder_error(request, MessageWriteVec::with_capacity(128));
        if let Ok(code) = ErrorCode::new(self.code, self.reason) {
            add(&mut answer, &code);
        }
        answer
    }
}

/// The address that a client's request came from.
pub(super) fn mapped(request: &Message<'_>, from: SocketAddr) -> Vec<u8> {
    let mut answer = Message::builder_success(request, MessageWriteVec::with_capacity(44));
    add(&mut answer, &XorMappedAddress::new(from, request.transaction_id()));
    answer.finish()
}

/// What a client has allocated.
pub(super) fn allocated(
    request: &Message<'_>,
    client: SocketAddr,
    relayed: SocketAddr,
    seconds: u32,
    key: &IntegrityKey,
) -> Vec<u8> {
    let transaction = request.transaction_id();
    success(
        request,
        key,
        &[
            &XorRelayedAddress::new(relayed, transaction),
            &XorMappedAddress::new(client, transaction),
            &Lifetime::new(seconds),
        ],
    )
}

/// How long an allocation lasts now.
pub(super) fn refreshed(request: &Message<'_>, seconds: u32, key: &IntegrityKey) -> Vec<u8> {
    success(request, key, &[&Lifetime::new(seconds)])
}

/// That it is done.
pub(super) fn done(request: &Message<'_>, key: &IntegrityKey) -> Vec<u8> {
    success(request, key, &[])
}

/// A peer's bytes for a client without a channel to it.
pub(super) fn data(peer: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut message = Message::builder_indication(DATA, MessageWriteVec::with_capacity(bytes.len() + 56));
    let transaction: TransactionId = message.transaction_id();
    add(&mut message, &XorPeerAddress::new(peer, transaction));
    add(&mut message, &Data::new(bytes));
    message.finish()
}

/// A peer's bytes for a client with a channel to it.
pub(super) fn channel_data(number: u16, bytes: &[u8]) -> Vec<u8> {
    // No datagram is longer than this.
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&number.to_be_bytes()[..], &length.to_be_bytes(), bytes].concat()
}

fn success(request: &Message<'_>, key: &IntegrityKey, attributes: &[&dyn AttributeWrite]) -> Vec<u8> {
    let mut answer = Message::builder_success(request, MessageWriteVec::with_capacity(128));
    for attribute in attributes {
        add(&mut answer, *attribute);
    }
    sign(&mut answer, key);
    answer.finish()
}

/// Each attribute is added once, and there is room for all.
fn add(message: &mut MessageWriteVec, attribute: &dyn AttributeWrite) {
    if let Err(error) = message.add_attribute(attribute) {
        log::error!("a TURN answer lacks {}: {error}", attribute.get_type());
    }
}

fn sign(message: &mut MessageWriteVec, key: &IntegrityKey) {
    if let Err(error) = message.add_message_integrity_with_key(key, IntegrityAlgorithm::Sha1) {
        log::error!("a TURN answer is not signed: {error}");
    }
}
