//! The messages of ICE and TURN that a measuring client needs.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use stun_types::attribute::{
    AttributeType, Nonce, RawAttribute, Realm, Username, XorMappedAddress, XorSocketAddr,
};
use stun_types::message::{
    BINDING, IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageClass, MessageIntegrityCredentials,
    MessageType, MessageWrite as _, MessageWriteExt as _, MessageWriteVec, Method, ShortTermCredentials,
    TransactionId,
};

const ALLOCATE: Method = Method::new(0x003);
const CHANNEL_BIND: Method = Method::new(0x009);

const PRIORITY: AttributeType = AttributeType::new(0x0024);
const USE_CANDIDATE: AttributeType = AttributeType::new(0x0025);
const ICE_CONTROLLED: AttributeType = AttributeType::new(0x8029);
const ICE_CONTROLLING: AttributeType = AttributeType::new(0x802A);
const CHANNEL_NUMBER: AttributeType = AttributeType::new(0x000C);
const XOR_PEER_ADDRESS: AttributeType = AttributeType::new(0x0012);
const XOR_RELAYED_ADDRESS: AttributeType = AttributeType::new(0x0016);
const REQUESTED_TRANSPORT: AttributeType = AttributeType::new(0x0019);

/// The number of UDP in REQUESTED-TRANSPORT (RFC 8656, section 18.7).
const UDP: [u8; 4] = [17, 0, 0, 0];

/// The channel of every allocation, which has only one.
pub(super) const CHANNEL: u16 = 0x4000;

/// The name and password of a side of a call.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) ufrag: String,
    pub(super) pwd: String,
}

/// Credentials of a client of a TURN server, with the server's realm and nonce.
#[derive(Clone, Default)]
pub(super) struct Login {
    pub(super) username: String,
    pub(super) password: String,
    challenge: Option<(String, String)>,
}

impl Login {
    pub(super) fn new(username: String, password: String) -> Self {
        Login { username, password, challenge: None }
    }

    /// Reads the realm and the nonce in a refusal. False if there are none, or if they are not new.
    pub(super) fn challenged(&mut self, bytes: &[u8]) -> bool {
        let Ok(message) = Message::from_bytes(bytes) else { return false };
        let (Ok(realm), Ok(nonce)) = (message.attribute::<Realm>(), message.attribute::<Nonce>()) else {
            return false;
        };
        let challenge = (realm.realm().to_owned(), nonce.nonce().to_owned());
        self.challenge.replace(challenge).is_none()
    }

    fn sign(&self, message: &mut MessageWriteVec) -> Result<()> {
        let Some((realm, nonce)) = &self.challenge else { return Ok(()) };
        message.add_attribute(&Username::new(&self.username)?)?;
        message.add_attribute(&Realm::new(realm)?)?;
        message.add_attribute(&Nonce::new(nonce)?)?;
        let (username, password) = (self.username.clone(), self.password.clone());
        let credentials = LongTermKeyCredentials::new(username, password, realm.clone());
        Ok(message.add_message_integrity(&credentials.into(), IntegrityAlgorithm::Sha1)?)
    }
}

/// A message that came.
pub(super) enum Incoming {
    /// A check, with the answer to it.
    Check(Vec<u8>),
    /// A success response, with its relayed address if it has one.
    Success(Option<SocketAddr>),
    Other,
}

/// A check of one side, to be answered by the other. The side that offered is controlling.
pub(super) fn check(own: &Credentials, other: &Credentials, decides: bool) -> Result<Vec<u8>> {
    let mut message = request(BINDING);
    message.add_attribute(&Username::new(&format!("{}:{}", other.ufrag, own.ufrag))?)?;
    message.add_attribute(&RawAttribute::new(PRIORITY, &1_u32.to_be_bytes()))?;
    let role = if decides { ICE_CONTROLLING } else { ICE_CONTROLLED };
    message.add_attribute(&RawAttribute::new(role, &7_u64.to_be_bytes()))?;
    if decides {
        message.add_attribute(&RawAttribute::new(USE_CANDIDATE, &[]))?;
    }
    message.add_message_integrity(&key(&other.pwd), IntegrityAlgorithm::Sha1)?;
    message.add_fingerprint()?;
    Ok(message.finish())
}

/// Reads a datagram that a side received from an address.
pub(super) fn read(bytes: &[u8], own: &Credentials, from: SocketAddr) -> Result<Incoming> {
    let Ok(message) = Message::from_bytes(bytes) else { return Ok(Incoming::Other) };
    if message.has_class(MessageClass::Request) {
        let mut answer = Message::builder_success(&message, MessageWriteVec::with_capacity(128));
        answer.add_attribute(&XorMappedAddress::new(from, message.transaction_id()))?;
        answer.add_message_integrity(&key(&own.pwd), IntegrityAlgorithm::Sha1)?;
        answer.add_fingerprint()?;
        return Ok(Incoming::Check(answer.finish()));
    }
    if !message.has_class(MessageClass::Success) {
        return Ok(Incoming::Other);
    }
    let relayed = message.raw_attribute(XOR_RELAYED_ADDRESS);
    let relayed = relayed.map(|relayed| XorSocketAddr::from_raw(&relayed)).transpose()?;
    Ok(Incoming::Success(relayed.map(|relayed| relayed.addr(message.transaction_id()))))
}

/// Asks for an allocation.
pub(super) fn allocate(login: &Login) -> Result<Vec<u8>> {
    let mut message = request(ALLOCATE);
    message.add_attribute(&RawAttribute::new(REQUESTED_TRANSPORT, &UDP))?;
    login.sign(&mut message)?;
    Ok(message.finish())
}

/// Binds [`CHANNEL`] to a peer.
pub(super) fn bind_channel(peer: SocketAddr, login: &Login) -> Result<Vec<u8>> {
    let mut message = request(CHANNEL_BIND);
    let [high, low] = CHANNEL.to_be_bytes();
    message.add_attribute(&RawAttribute::new(CHANNEL_NUMBER, &[high, low, 0, 0]))?;
    let peer = XorSocketAddr::new(peer, message.transaction_id());
    message.add_attribute(&peer.to_raw(XOR_PEER_ADDRESS))?;
    login.sign(&mut message)?;
    Ok(message.finish())
}

/// The header of a datagram in [`CHANNEL`].
pub(super) fn channel_header(size: usize) -> Result<Vec<u8>> {
    let length = u16::try_from(size).context("too long for a channel")?;
    Ok([CHANNEL.to_be_bytes(), length.to_be_bytes()].concat())
}

fn request(method: Method) -> MessageWriteVec {
    let kind = MessageType::from_class_method(MessageClass::Request, method);
    Message::builder(kind, TransactionId::generate(), MessageWriteVec::with_capacity(128))
}

fn key(pwd: &str) -> MessageIntegrityCredentials {
    ShortTermCredentials::new(pwd.to_owned()).into()
}
