//! Answers to STUN and TURN requests, and the wrappers of relayed bytes.

use std::net::SocketAddr;

use peerbroker_media_api::TurnRefusal;
use stun_types::attribute::{AttributeType, AttributeWrite, ErrorCode, Nonce, Realm, UnknownAttributes};
use stun_types::message::{
    IntegrityAlgorithm, IntegrityKey, Message, MessageWrite as _, MessageWriteExt as _, MessageWriteVec,
    TransactionId,
};
use turn_types::attribute::{Data, XorPeerAddress};
use turn_types::message::DATA;

/// A refusal of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ErrorResponse {
    pub(super) code: u16,
    /// The text that a browser shows its page in `icecandidateerror`, if it is not the usual one of the code.
    pub(super) text: Option<&'static str>,
    pub(super) why: TurnRefusal,
    pub(super) unknown: Vec<AttributeType>,
}

impl From<TurnRefusal> for ErrorResponse {
    fn from(why: TurnRefusal) -> Self {
        let code = match why {
            TurnRefusal::Credentials | TurnRefusal::Expired | TurnRefusal::Key => ErrorCode::UNAUTHORIZED,
            TurnRefusal::KeyQuota | TurnRefusal::AddressQuota => ErrorCode::ALLOCATION_QUOTA_REACHED,
            TurnRefusal::Capacity => ErrorCode::INSUFFICIENT_CAPACITY,
            TurnRefusal::Peer => ErrorCode::FORBIDDEN,
            TurnRefusal::Request => ErrorCode::BAD_REQUEST,
        };
        let text = (why == TurnRefusal::Expired).then_some("Expired Credentials");
        ErrorResponse { text, ..ErrorResponse::new(code, why) }
    }
}

impl ErrorResponse {
    pub(super) const fn new(code: u16, why: TurnRefusal) -> Self {
        ErrorResponse { code, text: None, why, unknown: Vec::new() }
    }

    /// True if the client may try again with other credentials, or with a new nonce (RFC 8489, section
    /// 9.2.5).
    pub(super) fn asks_for_credentials(&self) -> bool {
        matches!(self.code, ErrorCode::UNAUTHORIZED | ErrorCode::STALE_NONCE)
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

    /// The answer that asks for credentials of a realm with this nonce.
    pub(super) fn challenge(&self, request: &Message<'_>, realm: &str, nonce: &str) -> Vec<u8> {
        let mut answer = self.begin(request);
        if let (Ok(realm), Ok(nonce)) = (Realm::new(realm), Nonce::new(nonce)) {
            add(&mut answer, &realm);
            add(&mut answer, &nonce);
        }
        answer.finish()
    }

    fn begin(&self, request: &Message<'_>) -> MessageWriteVec {
        let mut answer = Message::builder_error(request, MessageWriteVec::with_capacity(128));
        let text = self.text.unwrap_or(ErrorCode::default_reason_for_code(self.code));
        if let Ok(code) = ErrorCode::new(self.code, text) {
            add(&mut answer, &code);
        }
        answer
    }
}

/// A peer's bytes for a client without a channel to it.
pub(super) fn data(peer: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut message = Message::builder_indication(DATA, MessageWriteVec::with_capacity(bytes.len() + 56));
    let transaction: TransactionId = message.transaction_id();
    add(&mut message, &XorPeerAddress::new(peer, transaction));
    add(&mut message, &Data::new(bytes));
    message.finish()
}

/// The answer to a request that was granted.
pub(super) fn success(
    request: &Message<'_>,
    key: &IntegrityKey,
    attributes: &[&dyn AttributeWrite],
) -> Vec<u8> {
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
