//! Requests of clients: allocations, permissions and channels (RFC 8656, sections 6 to 12).

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use peerbroker_core::clock::Instant;
use peerbroker_core::rate_limit::RateLimit;
use peerbroker_media_api::TurnRefusal;
use stun_types::AddressFamily;
use stun_types::attribute::{
    Attribute as _, AttributeFromRaw, AttributeStaticType, AttributeType, ErrorCode, MessageIntegrity,
    MessageIntegritySha256, Nonce, Realm, Username, XorMappedAddress,
};
use stun_types::message::{IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageIntegrityCredentials};
use turn_types::attribute::{
    ChannelNumber, EvenPort, Lifetime, RequestedAddressFamily, RequestedTransport, XorPeerAddress,
    XorRelayedAddress,
};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH};

use super::allocation::{Allocation, Proved, Rights};
use super::answers::{ErrorResponse, success};
use super::relayed::RelayedSocket;
use super::server::{Asked, Server, canonical};
use crate::datapath::stun::unknown_attributes;

/// Lifetime of an allocation, in seconds: by default, and at most (RFC 8656, section 3.2).
const LIFETIME: u32 = 600;
const MAX_LIFETIME: u32 = 3600;

/// Bytes of an answer for each byte of an unverified request, both with the headers of IPv4 and UDP. The
/// shortest whole request has 28, and its challenge 52 and the realm.
const MAX_AMPLIFIED: usize = 2;
const HEADERS: usize = 28;

/// Attempts to find a free address, if other threads take it first.
const TRIES: usize = 8;

/// Refusals of requests that no client should send.
const BAD_REQUEST: ErrorResponse = ErrorResponse::new(ErrorCode::BAD_REQUEST, TurnRefusal::Request);
const UNKNOWN_ATTRIBUTE: ErrorResponse =
    ErrorResponse::new(ErrorCode::UNKNOWN_ATTRIBUTE, TurnRefusal::Request);
const MISMATCH: ErrorResponse = ErrorResponse::new(ErrorCode::ALLOCATION_MISMATCH, TurnRefusal::Request);
const WRONG_FAMILY: ErrorResponse =
    ErrorResponse::new(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH, TurnRefusal::Request);

/// The answer to a request, if it is granted.
type Granted = Result<Vec<u8>, ErrorResponse>;

impl Server {
    /// Handles a request, and answers it.
    pub(super) fn on_request(self: &Arc<Self>, asked: Asked<'_>) -> Vec<u8> {
        let Asked { client, allocation, request, now } = asked;
        let proved = match self.prove(asked) {
            Ok(proved) => proved,
            Err(mut refused) => {
                if refused.asks_for_credentials() {
                    let nonce = self.nonces.issue(client.id.address, now);
                    let challenge = refused.challenge(request, &self.realm, &nonce);
                    // A shorter request may come from a forged address, to flood its victim with more bytes.
                    if challenge.len() + HEADERS <= MAX_AMPLIFIED * (request.as_bytes().len() + HEADERS) {
                        return challenge;
                    }
                    refused = BAD_REQUEST;
                }
                self.record_refusal(refused.why, "", client);
                return refused.answer(request, None);
            }
        };
        let Proved { key, integrity, .. } = proved.clone();
        let answered = if allocation.is_some_and(|allocation| allocation.proved.username != proved.username) {
            Err(ErrorResponse::new(ErrorCode::WRONG_CREDENTIALS, TurnRefusal::Credentials))
        } else {
            match (request.method(), allocation) {
                (ALLOCATE, _) => self.allocate(asked, proved),
                (REFRESH | CREATE_PERMISSION | CHANNEL_BIND, None) => Err(MISMATCH),
                (REFRESH, Some(allocation)) => self.refresh(allocation, request, now),
                (CREATE_PERMISSION, Some(allocation)) => self.create_permission(allocation, request, now),
                (CHANNEL_BIND, Some(allocation)) => self.bind_channel(allocation, request, now),
                _ => Err(BAD_REQUEST),
            }
        };
        answered.unwrap_or_else(|refused| {
            self.record_refusal(refused.why, &key, client);
            refused.answer(request, Some(&integrity))
        })
    }

    /// Checks if a request has valid credentials, in the long-term mechanism (RFC 8489, section 9.2.4).
    fn prove(&self, Asked { client, allocation, request, now }: Asked<'_>) -> Result<Proved, ErrorResponse> {
        let has_integrity = request.has_attribute(MessageIntegrity::TYPE)
            || request.has_attribute(MessageIntegritySha256::TYPE);
        if !has_integrity {
            // Without a text: the answer to a stranger is short.
            return Err(ErrorResponse { text: Some(""), ..TurnRefusal::Credentials.into() });
        }
        let (Ok(username), Ok(_), Ok(nonce)) =
            (request.attribute::<Username>(), request.attribute::<Realm>(), request.attribute::<Nonce>())
        else {
            return Err(BAD_REQUEST);
        };
        if !self.nonces.is_valid(nonce.nonce(), client.id.address, now) {
            return Err(ErrorResponse::new(ErrorCode::STALE_NONCE, TurnRefusal::Credentials));
        }
        let challenge = |why, key: &str| {
            self.record_refusal(why, key, client);
            ErrorResponse::from(why)
        };
        let username = username.username();
        let known = allocation.filter(|allocation| allocation.proved.username == username);
        let proved = match known {
            // Credentials that expire during a call do not end it.
            Some(allocation) => allocation.proved.clone(),
            None => {
                let (key, password) = self.password_of(username).map_err(|why| challenge(why, ""))?;
                let username = username.to_owned();
                let credentials = LongTermKeyCredentials::new(username.clone(), password, self.realm.clone());
                let integrity =
                    MessageIntegrityCredentials::from(credentials).make_key(IntegrityAlgorithm::Sha1);
                Proved { username, key, integrity }
            }
        };
        if request.validate_integrity_with_key(&proved.integrity).is_err() {
            return Err(challenge(TurnRefusal::Credentials, ""));
        }
        // Asked last: only clients with credentials learn whether a key may use TURN.
        if !self.context.host.may_use_turn(&proved.username, &proved.key, client.id.address.ip()) {
            return Err(challenge(TurnRefusal::Key, &proved.key));
        }
        Ok(proved)
    }

    /// The key of a username's user, and the password that belongs to it.
    fn password_of(&self, username: &str) -> Result<(String, String), TurnRefusal> {
        if let Some(known) = self.context.host.turn_user(username) {
            return Ok(known);
        }
        let (expiry, user) = expiry_and_user(username).ok_or(TurnRefusal::Credentials)?;
        if expiry <= self.context.clock.unix_millis().as_millis() / 1000 {
            return Err(TurnRefusal::Expired);
        }
        let password = self.context.host.turn_password(username).ok_or(TurnRefusal::Credentials)?;
        Ok((self.context.host.turn_key(user), password))
    }

    fn allocate(self: &Arc<Self>, asked: Asked<'_>, proved: Proved) -> Granted {
        let Asked { client, allocation, request, now } = asked;
        if let Some(allocation) = allocation {
            // UDP may bring a request twice.
            if allocation.request == request.transaction_id() {
                return Ok(Server::allocated(allocation, request, now));
            }
            return Err(MISMATCH);
        }
        check_attributes(
            request,
            &[RequestedTransport::TYPE, Lifetime::TYPE, RequestedAddressFamily::TYPE, EvenPort::TYPE],
        )?;
        let transport: RequestedTransport = read(request)?.ok_or(BAD_REQUEST)?;
        if transport.protocol() != RequestedTransport::UDP {
            return Err(ErrorResponse::new(ErrorCode::UNSUPPORTED_TRANSPORT_PROTOCOL, TurnRefusal::Request));
        }
        let family = read::<RequestedAddressFamily>(request)?.map(|family| family.family());
        let is_ipv4 = family.is_none_or(|family| family == AddressFamily::IPV4);
        let even_port = read::<EvenPort>(request)?;
        // No server keeps the next port for RTCP here: 508 would say that there is no port.
        if even_port.as_ref().is_some_and(EvenPort::requested) {
            return Err(ErrorResponse { unknown: vec![EvenPort::TYPE], ..UNKNOWN_ATTRIBUTE });
        }
        let lifetime = lifetime(request)?.clamp(LIFETIME, MAX_LIFETIME);
        let expires = now + Duration::from_secs(lifetime.into());
        for _ in 0..TRIES {
            let place = self.place(&proved.key, client.id.address.ip(), now)?;
            let is_taken = |address: &SocketAddr| self.by_relayed.contains_key(address);
            let (relayed, socket) = self.addresses.find(is_ipv4, even_port.is_some(), is_taken)?;
            let allocation = Arc::new_cyclic(|itself| Allocation {
                client: client.clone(),
                proved: proved.clone(),
                request: request.transaction_id(),
                relayed,
                socket: socket.map(|socket| RelayedSocket::start(socket, receiver(self, itself))),
                place,
                rate: RateLimit::default(),
                created: now,
                used: AtomicU64::new(0),
                bytes: AtomicU64::new(0),
                rights: Mutex::new(Rights::new(relayed, expires)),
            });
            if self.insert(&allocation) {
                self.counted.lock().allocated += 1;
                return Ok(Server::allocated(&allocation, request, now));
            }
            // Another thread was faster.
        }
        Err(TurnRefusal::Capacity.into())
    }

    fn allocated(allocation: &Allocation, request: &Message<'_>, now: Instant) -> Vec<u8> {
        let left = allocation.rights.lock().expires.millis_since(now);
        let seconds = u32::try_from(left.div_ceil(1000)).unwrap_or(MAX_LIFETIME);
        let transaction = request.transaction_id();
        let relayed = XorRelayedAddress::new(allocation.relayed, transaction);
        let mapped = XorMappedAddress::new(allocation.client.id.address, transaction);
        success(request, &allocation.proved.integrity, &[&relayed, &mapped, &Lifetime::new(seconds)])
    }

    fn refresh(&self, allocation: &Arc<Allocation>, request: &Message<'_>, now: Instant) -> Granted {
        check_attributes(request, &[Lifetime::TYPE, RequestedAddressFamily::TYPE])?;
        if let Some(family) = read::<RequestedAddressFamily>(request)?
            && (family.family() == AddressFamily::IPV4) != allocation.relayed.is_ipv4()
        {
            return Err(WRONG_FAMILY);
        }
        let mut lifetime = lifetime(request)?;
        if lifetime == 0 {
            self.remove(allocation);
        } else {
            lifetime = lifetime.clamp(LIFETIME, MAX_LIFETIME);
            allocation.rights.lock().expires = now + Duration::from_secs(lifetime.into());
        }
        Ok(success(request, &allocation.proved.integrity, &[&Lifetime::new(lifetime)]))
    }

    fn create_permission(
        &self,
        allocation: &Arc<Allocation>,
        request: &Message<'_>,
        now: Instant,
    ) -> Granted {
        check_attributes(request, &[XorPeerAddress::TYPE])?;
        let mut peers: Vec<SocketAddr> = Vec::new();
        for (_, attribute) in request.iter_attributes() {
            if attribute.get_type() == XorPeerAddress::TYPE {
                let peer = XorPeerAddress::from_raw_ref(&attribute).map_err(|_| BAD_REQUEST)?;
                peers.push(self.check_peer(allocation, peer.addr(request.transaction_id()))?);
            }
        }
        if peers.is_empty() {
            return Err(BAD_REQUEST);
        }
        allocation.rights.lock().permit(&peers, now)?;
        Ok(success(request, &allocation.proved.integrity, &[]))
    }

    fn bind_channel(&self, allocation: &Arc<Allocation>, request: &Message<'_>, now: Instant) -> Granted {
        check_attributes(request, &[ChannelNumber::TYPE, XorPeerAddress::TYPE])?;
        let (Some(number), Some(peer)) = (read::<ChannelNumber>(request)?, read::<XorPeerAddress>(request)?)
        else {
            return Err(BAD_REQUEST);
        };
        let peer = self.check_peer(allocation, peer.addr(request.transaction_id()))?;
        allocation.rights.lock().bind(number.channel(), peer, now)?;
        Ok(success(request, &allocation.proved.integrity, &[]))
    }

    /// The peer in its canonical form, if the client may reach it.
    fn check_peer(&self, allocation: &Allocation, peer: SocketAddr) -> Result<SocketAddr, ErrorResponse> {
        let peer = canonical(peer);
        if peer.is_ipv4() != allocation.relayed.is_ipv4() {
            return Err(WRONG_FAMILY);
        }
        // A virtual address has only other clients of this server as peers.
        if self.addresses.ports.is_some() && !self.peers.may_permit(peer.ip()) {
            return Err(TurnRefusal::Peer.into());
        }
        Ok(peer)
    }
}

/// The parts of a username: `expiry:user` (draft-uberti-behave-turn-rest-00), only `expiry`, as of Jitsi, or
/// `user:expiry`. A user may have colons, as the Matrix id that Synapse names has.
fn expiry_and_user(username: &str) -> Option<(u64, &str)> {
    let (first, rest) = username.split_once(':').unwrap_or((username, ""));
    if let Ok(expiry) = first.parse() {
        return Some((expiry, rest));
    }
    let (user, last) = username.rsplit_once(':')?;
    Some((last.parse().ok()?, user))
}

/// Returns the reader of an allocation's socket. It holds weak references to the allocation and the server.
fn receiver(
    server: &Arc<Server>,
    allocation: &Weak<Allocation>,
) -> impl Fn(SocketAddr, &[u8]) + Send + use<> {
    let server = Arc::downgrade(server);
    let allocation = Weak::clone(allocation);
    move |peer, bytes| {
        if let (Some(server), Some(allocation)) = (server.upgrade(), allocation.upgrade()) {
            server.receive_from_peer(&allocation, peer, bytes);
        }
    }
}

/// Refuses a request with an attribute that must be understood, but is unknown (RFC 8489, section 6.3.1).
fn check_attributes(request: &Message<'_>, known: &[AttributeType]) -> Result<(), ErrorResponse> {
    let unknown = unknown_attributes(request, known);
    if unknown.is_empty() {
        return Ok(());
    }
    Err(ErrorResponse { unknown, ..UNKNOWN_ATTRIBUTE })
}

/// An attribute, if the request has it.
fn read<'a, A: AttributeStaticType + AttributeFromRaw<'a>>(
    request: &'a Message<'_>,
) -> Result<Option<A>, ErrorResponse> {
    if !request.has_attribute(A::TYPE) {
        return Ok(None);
    }
    request.attribute::<A>().map(Some).map_err(|_| BAD_REQUEST)
}

/// The lifetime that a request asks for, in seconds.
fn lifetime(request: &Message<'_>) -> Result<u32, ErrorResponse> {
    Ok(read::<Lifetime>(request)?.map_or(LIFETIME, |lifetime| lifetime.seconds()))
}
