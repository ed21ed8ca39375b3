//! Clients of a TURN server, and the answers that they get.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Buf as _;
use stun_types::attribute::{
    AttributeType, ErrorCode, Nonce, RawAttribute, Realm, Username, XorMappedAddress,
};
use stun_types::message::{
    BINDING, IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageIntegrityCredentials,
    MessageWrite as _, MessageWriteExt as _, MessageWriteVec, Method,
};
use turn_types::attribute::{
    ChannelNumber, Data, Lifetime, RequestedTransport, XorPeerAddress, XorRelayedAddress,
};
use turn_types::channel::ChannelData;
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH, SEND};

use crate::datapath::addresses::{Addresses, Bound};
use crate::datapath::streams::{Framed, Outbox, Protocol as _};
use crate::turn::client::{Client as Id, ClientId, Ingress, ReplySink};
use crate::turn::connections::OfTurn;
use crate::turn::peers::Peers;
use crate::turn::server::Server;
use peerbroker_core::clock::Clock;
use peerbroker_media_api::{KeyLimits, MediaContext, MediaHost, MediaLimits, Permit, TurnConfig, TurnTotals};
use peerbroker_system::threads::Threads;

/// The length of the first message, without and with its padding.
pub(in crate::turn) fn next(bytes: &[u8]) -> std::io::Result<Option<(usize, usize)>> {
    Ok(OfTurn::first(bytes)?.map(|Framed { message, end }| (message.len(), end)))
}

pub(in crate::turn) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A TURN server.
pub(in crate::turn) struct World {
    pub(in crate::turn) server: Arc<Server>,
    pub(in crate::turn) clock: Clock,
    admits: Arc<AtomicBool>,
    /// The limits of the key's own.
    pub(in crate::turn) own: Arc<Mutex<KeyLimits>>,
}

/// A client, and its received messages.
pub(in crate::turn) struct Client {
    pub(in crate::turn) address: SocketAddr,
    pub(in crate::turn) username: String,
    pub(in crate::turn) password: String,
    server: Arc<Server>,
    id: Id,
    sent: Arc<Outbox>,
    /// Messages that were sent and are not read.
    unread: Mutex<VecDeque<Vec<u8>>>,
    transactions: AtomicU64,
}

/// A host that has one key, which it may refuse, and more.
struct Keys(Arc<AtomicBool>, Arc<Mutex<KeyLimits>>);

impl MediaHost for Keys {
    fn admit_connection(&self, _: IpAddr) -> Option<Permit> {
        None
    }

    fn limits_of(&self, _: &str) -> KeyLimits {
        *self.1.lock().unwrap()
    }

    fn may_use_turn(&self, _: &str, key: &str, _: IpAddr) -> bool {
        key == "k" && self.0.load(Ordering::Relaxed) || key.starts_with("key-")
    }

    fn turn_password(&self, username: &str) -> Option<String> {
        Some(password_of(username))
    }

    fn turn_user(&self, name: &str) -> Option<(String, String)> {
        (name == "bob").then(|| ("k".to_owned(), password_of(name)))
    }
}

pub(in crate::turn) fn password_of(username: &str) -> String {
    format!("password of {username}")
}

/// The answer to a request.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::turn) struct Answer(pub(in crate::turn) Vec<u8>);

impl World {
    pub(in crate::turn) fn new(limit: impl FnOnce(&mut MediaLimits)) -> Self {
        World::build(TurnConfig::default(), limit)
    }

    pub(in crate::turn) fn stun() -> Self {
        World::build(TurnConfig { only_stun: true, ..TurnConfig::default() }, |_| {})
    }

    pub(in crate::turn) fn of_realm(realm: &str) -> Self {
        World::build(TurnConfig { realm: Some(realm.to_owned()), ..TurnConfig::default() }, |_| {})
    }

    /// With sockets, which need a runtime.
    pub(in crate::turn) fn real(ports: RangeInclusive<u16>) -> Self {
        World::build(TurnConfig { ports: Some(ports), ..TurnConfig::default() }, |_| {})
    }

    fn build(config: TurnConfig, limit: impl FnOnce(&mut MediaLimits)) -> Self {
        let mut limits = MediaLimits::default();
        limit(&mut limits);
        let clock = Clock::manual();
        // Times have a past.
        clock.advance(Duration::from_secs(10_000));
        let told = addr("203.0.113.1:3479");
        let bound = if config.ports.is_some() { addr("127.0.0.1:3479") } else { told };
        let own = Addresses::new(vec![Bound { at: bound, is_everywhere: false }], &[told.ip()]);
        let admits = Arc::new(AtomicBool::new(true));
        let of_key = Arc::<Mutex<_>>::default();
        let context = MediaContext {
            host: Arc::new(Keys(Arc::clone(&admits), Arc::clone(&of_key))),
            limits: Arc::new(Arc::new(limits).into()),
            clock: clock.clone(),
            threads: Threads::default(),
        };
        let mut server = Server::new(context, config, own);
        // Loopback, where the sockets of tests are, is no address of this server.
        server.peers = Peers::new(Addresses::of("203.0.113.1:3479"), Vec::new());
        World { server: Arc::new(server), clock, admits, own: of_key }
    }

    pub(in crate::turn) fn client(&self, address: &str) -> Client {
        self.client_of("k", address)
    }

    pub(in crate::turn) fn client_of(&self, key: &str, address: &str) -> Client {
        let expiry = self.clock.unix_millis().as_millis() / 1000 + 86_400;
        self.client_named(&format!("{expiry}:{key}"), address)
    }

    /// A client with a username, and the password that belongs to it.
    pub(in crate::turn) fn client_named(&self, username: &str, address: &str) -> Client {
        let address = addr(address);
        let sent = Outbox::of::<OfTurn<'_>>();
        let id = ClientId { address, ingress: Ingress::Port(addr("203.0.113.1:3479")) };
        Client {
            address,
            username: username.to_owned(),
            password: password_of(username),
            server: Arc::clone(&self.server),
            id: Id { id, sink: ReplySink::Connection(Arc::clone(&sent)) },
            sent,
            unread: Mutex::default(),
            transactions: AtomicU64::new(1),
        }
    }

    pub(in crate::turn) fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.server.sweep();
    }

    pub(in crate::turn) fn disable_key(&self) {
        self.admits.store(false, Ordering::Relaxed);
    }

    pub(in crate::turn) fn totals(&self) -> TurnTotals {
        self.server.totals()
    }

    pub(in crate::turn) fn allocations(&self) -> usize {
        self.totals().allocations
    }

    pub(in crate::turn) fn dropped(&self, label: &str) -> u64 {
        self.totals().dropped().find(|(why, _)| *why == label).unwrap().1
    }

    pub(in crate::turn) fn refused(&self, label: &str) -> u64 {
        self.totals().refused().find(|(why, _)| *why == label).unwrap().1
    }

    /// Datagrams that left the process, or reached a client.
    pub(in crate::turn) fn sent_by_sockets(&self) -> u64 {
        self.totals().traffic.packets
    }
}

impl Client {
    fn key(&self) -> MessageIntegrityCredentials {
        let username = self.username.clone();
        let password = self.password.clone();
        LongTermKeyCredentials::new(username, password, self.server.realm.clone()).into()
    }

    pub(in crate::turn) fn nonce(&self) -> String {
        self.server.nonces.issue(self.address, self.server.now())
    }

    fn begin(&self, method: Method) -> MessageWriteVec {
        // A request of a test is the same each time.
        let transaction = self.transactions.fetch_add(1, Ordering::Relaxed);
        let kind = stun_types::message::MessageType::from_class_method(
            stun_types::message::MessageClass::Request,
            method,
        );
        Message::builder(kind, u128::from(transaction).into(), MessageWriteVec::new())
    }

    /// A request with credentials, and these attributes.
    pub(in crate::turn) fn request(&self, method: Method, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        self.request_with_nonce(method, attributes, &self.nonce())
    }

    pub(in crate::turn) fn request_with_nonce(
        &self,
        method: Method,
        attributes: &[(u16, &[u8])],
        nonce: &str,
    ) -> Vec<u8> {
        let mut request = self.begin(method);
        for (kind, value) in attributes {
            request.add_attribute(&RawAttribute::new(AttributeType::new(*kind), value)).unwrap();
        }
        request.add_attribute(&Username::new(&self.username).unwrap()).unwrap();
        request.add_attribute(&Realm::new(&self.server.realm).unwrap()).unwrap();
        request.add_attribute(&Nonce::new(nonce).unwrap()).unwrap();
        request.add_message_integrity(&self.key(), IntegrityAlgorithm::Sha1).unwrap();
        request.add_fingerprint().unwrap();
        request.finish()
    }

    /// The server gets bytes of this client.
    pub(in crate::turn) fn receive(&self, bytes: &[u8]) {
        self.server.receive(&self.id, bytes);
    }

    pub(in crate::turn) fn answer(&self) -> Option<Answer> {
        let mut sent = self.sent.waiting.lock();
        let mut unread = self.unread.lock().unwrap();
        while let Some((length, padded)) = next(&sent).unwrap() {
            unread.push_back(sent[..length].to_vec());
            sent.advance(padded);
        }
        unread.pop_front().map(Answer)
    }

    pub(in crate::turn) fn ask(&self, request: &[u8]) -> Answer {
        self.receive(request);
        self.answer().expect("an answer")
    }

    /// A request without credentials, and with these attributes.
    pub(in crate::turn) fn bare_request(&self, method: u16, attributes: &[(u16, usize)]) -> Vec<u8> {
        let mut request = self.begin(Method::new(method)).finish();
        for (kind, length) in attributes {
            request.extend(kind.to_be_bytes());
            request.extend(u16::try_from(*length).unwrap().to_be_bytes());
            request.resize(request.len() + length.next_multiple_of(4), b'1');
        }
        let length = u16::try_from(request.len() - 20).unwrap().to_be_bytes();
        request[2..4].copy_from_slice(&length);
        request
    }

    pub(in crate::turn) fn bind_request(&self) -> Answer {
        self.ask(&self.begin(BINDING).finish())
    }

    pub(in crate::turn) fn allocate_without_credentials(&self) -> Answer {
        let mut request = self.begin(ALLOCATE);
        request.add_attribute(&RequestedTransport::new(17)).unwrap();
        self.ask(&request.finish())
    }

    pub(in crate::turn) fn allocate_request(&self) -> Vec<u8> {
        self.request(ALLOCATE, &[(0x0019, &[17, 0, 0, 0])])
    }

    pub(in crate::turn) fn allocate(&self) -> Answer {
        self.ask(&self.allocate_request())
    }

    pub(in crate::turn) fn allocate_over(&self, protocol: u8) -> Answer {
        self.ask(&self.request(ALLOCATE, &[(0x0019, &[protocol, 0, 0, 0])]))
    }

    pub(in crate::turn) fn allocate_with(&self, attributes: &[(u16, &[u8])]) -> Answer {
        let all = [&[(0x0019, &[17, 0, 0, 0][..])], attributes].concat();
        self.ask(&self.request(ALLOCATE, &all))
    }

    pub(in crate::turn) fn refresh(&self, seconds: Option<u32>) -> Answer {
        let bytes = seconds.unwrap_or_default().to_be_bytes();
        let attributes = [(0x000D, &bytes[..])];
        self.ask(&self.request(REFRESH, if seconds.is_some() { &attributes } else { &[] }))
    }

    pub(in crate::turn) fn permit(&self, peers: &[SocketAddr]) -> Answer {
        self.ask(&self.permit_request(peers))
    }

    pub(in crate::turn) fn permit_request(&self, peers: &[SocketAddr]) -> Vec<u8> {
        let mut request = self.begin(CREATE_PERMISSION);
        let transaction = request.transaction_id();
        for peer in peers {
            // The library refuses a second one of a kind, and clients may send several.
            request.push_attribute_unchecked(&XorPeerAddress::new(*peer, transaction));
        }
        self.signed(request)
    }

    pub(in crate::turn) fn bind(&self, number: u16, peer: SocketAddr) -> Answer {
        self.ask(&self.bind_request_of(number, peer))
    }

    /// A request to bind a channel to a peer.
    pub(in crate::turn) fn bind_request_of(&self, number: u16, peer: SocketAddr) -> Vec<u8> {
        let mut request = self.begin(CHANNEL_BIND);
        let transaction = request.transaction_id();
        request.add_attribute(&ChannelNumber::new(number)).unwrap();
        request.add_attribute(&XorPeerAddress::new(peer, transaction)).unwrap();
        self.signed(request)
    }

    fn signed(&self, mut request: MessageWriteVec) -> Vec<u8> {
        request.add_attribute(&Username::new(&self.username).unwrap()).unwrap();
        request.add_attribute(&Realm::new(&self.server.realm).unwrap()).unwrap();
        request.add_attribute(&Nonce::new(&self.nonce()).unwrap()).unwrap();
        request.add_message_integrity(&self.key(), IntegrityAlgorithm::Sha1).unwrap();
        request.finish()
    }

    pub(in crate::turn) fn send(&self, peer: SocketAddr, bytes: &[u8]) {
        let mut message = Message::builder_indication(SEND, MessageWriteVec::new());
        let transaction = message.transaction_id();
        message.add_attribute(&XorPeerAddress::new(peer, transaction)).unwrap();
        message.add_attribute(&Data::new(bytes)).unwrap();
        self.receive(&message.finish());
    }

    /// Has its allocation relay a datagram.
    pub(in crate::turn) fn say_to_itself(&self, relayed: SocketAddr) {
        self.permit(&[relayed]);
        self.send(relayed, b"x");
        assert!(self.received().is_some());
    }

    pub(in crate::turn) fn send_channel(&self, number: u16, bytes: &[u8]) {
        let length = u16::try_from(bytes.len()).unwrap();
        self.receive(&[&number.to_be_bytes()[..], &length.to_be_bytes(), bytes].concat());
    }

    /// The datagram that a peer has sent, and its source.
    pub(in crate::turn) fn received(&self) -> Option<(SocketAddr, Vec<u8>)> {
        let Answer(bytes) = self.answer()?;
        let message = Message::from_bytes(&bytes).unwrap();
        let peer: XorPeerAddress = message.attribute().unwrap();
        let data = message.attribute::<Data<'_>>().unwrap().data().to_vec();
        Some((peer.addr(message.transaction_id()), data))
    }

    pub(in crate::turn) fn received_on(&self, number: u16) -> Option<Vec<u8>> {
        let Answer(bytes) = self.answer()?;
        let data = ChannelData::parse(&bytes).unwrap();
        assert_eq!((data.id(), data.data().len() + 4), (number, bytes.len()));
        Some(data.data().to_vec())
    }
}

impl Answer {
    fn message(&self) -> Message<'_> {
        Message::from_bytes(&self.0).unwrap()
    }

    /// The code of an error.
    pub(in crate::turn) fn code(&self) -> Option<u16> {
        self.message().attribute::<ErrorCode>().ok().map(|error| error.code())
    }

    pub(in crate::turn) fn reason(&self) -> String {
        self.message().attribute::<ErrorCode>().unwrap().reason().to_owned()
    }

    pub(in crate::turn) fn realm(&self) -> String {
        self.message().attribute::<Realm>().unwrap().realm().to_owned()
    }

    pub(in crate::turn) fn nonce(&self) -> String {
        self.message().attribute::<Nonce>().unwrap().nonce().to_owned()
    }

    pub(in crate::turn) fn relayed(&self) -> SocketAddr {
        let message = self.message();
        message.attribute::<XorRelayedAddress>().unwrap().addr(message.transaction_id())
    }

    pub(in crate::turn) fn mapped(&self) -> SocketAddr {
        let message = self.message();
        message.attribute::<XorMappedAddress>().unwrap().addr(message.transaction_id())
    }

    pub(in crate::turn) fn lifetime(&self) -> u32 {
        self.message().attribute::<Lifetime>().unwrap().seconds()
    }

    pub(in crate::turn) fn is_signed_by(&self, client: &Client) -> bool {
        self.message().validate_integrity(&client.key()).is_ok()
    }
}
