//! What clients ask for: allocations, permissions and channels (RFC 8656, sections 6 to 12).

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};

use stun_types::AddressFamily;
use stun_types::attribute::{
    Attribute as _, AttributeFromRaw as _, AttributeStaticType, AttributeType, ErrorCode, Fingerprint,
    MessageIntegrity, MessageIntegritySha256, Nonce, Realm, Username,
};
use stun_types::message::{
    IntegrityAlgorithm, IntegrityKey, LongTermKeyCredentials, Message, MessageIntegrityCredentials,
};
use turn_types::attribute::{
    ChannelNumber, EvenPort, Lifetime, RequestedAddressFamily, RequestedTransport, XorPeerAddress,
};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH};

use super::allocation::{Allocation, NewAllocation, Unbound};
use super::answers::{self, REALM, Refused};
use super::counters::TurnRefusal;
use super::quotas::TooMany;
use super::relayed::{NoAddress, RelayedSocket};
use super::server::{Server, canonical};
use super::way::Client;

/// How long an allocation lasts, in seconds: by default, and at most (RFC 8656, section 3.2).
const LIFETIME: u32 = 600;
const MAX_LIFETIME: u32 = 3600;

/// Bytes of an answer to a stranger, for each of its request. The shortest whole request has 28, and its challenge 56.
const MAX_AMPLIFIED: usize = 2;

/// Times that a free address is looked for, if others take it meanwhile.
const TRIES: usize = 8;

/// A client that has proved itself.
struct Proved {
    username: String,
    key: String,
    integrity: IntegrityKey,
}

/// Why a client has not proved itself.
enum Unproved {
    /// It is asked to, with a new nonce.
    Challenge(Refused),
    Refused(Refused),
}

impl Server {
    /// Does what a request asks for, and answers it.
    pub(super) fn on_request(
        self: &Arc<Self>,
        client: &Client,
        allocation: Option<&Arc<Allocation>>,
        request: &Message<'_>,
        now: u64,
    ) -> Vec<u8> {
        let proved = match self.prove(client, allocation, request, now) {
            Ok(proved) => proved,
            Err(Unproved::Challenge(refused)) => {
                let challenge = refused.challenge(request, &self.nonces.issue(client.id.address, now));
                // A request that is shorter than a whole one may come from a forged address, to have its victim get more.
                if challenge.len() <= MAX_AMPLIFIED * request.as_bytes().len() {
                    return challenge;
                }
                self.counters.refused(TurnRefusal::Request);
                return Refused::bad_request().answer(request, None);
            }
            Err(Unproved::Refused(refused)) => {
                self.counters.refused(refused.why);
                return refused.answer(request, None);
            }
        };
        let integrity = proved.integrity.clone();
        let answered = if allocation.is_some_and(|allocation| allocation.username != proved.username) {
            Err(Refused::new(ErrorCode::WRONG_CREDENTIALS, "Wrong Credentials", TurnRefusal::Credentials))
        } else {
            match (request.method(), allocation) {
                (ALLOCATE, allocation) => self.allocate(client, allocation, proved, request, now),
                (REFRESH | CREATE_PERMISSION | CHANNEL_BIND, None) => Err(mismatch()),
                (REFRESH, Some(allocation)) => self.refresh(allocation, request, now),
                (CREATE_PERMISSION, Some(allocation)) => self.create_permission(allocation, request, now),
                (CHANNEL_BIND, Some(allocation)) => self.bind_channel(allocation, request, now),
                _ => Err(Refused::bad_request()),
            }
        };
        answered.unwrap_or_else(|refused| {
            self.counters.refused(refused.why);
            refused.answer(request, Some(&integrity))
        })
    }

    /// Whether a request has valid credentials, in the long-term mechanism (RFC 8489, section 9.2.4).
    fn prove(
        &self,
        client: &Client,
        allocation: Option<&Arc<Allocation>>,
        request: &Message<'_>,
        now: u64,
    ) -> Result<Proved, Unproved> {
        // Without a reason: the answer to a stranger is short.
        let unknown = || Refused::new(ErrorCode::UNAUTHORIZED, "", TurnRefusal::Credentials);
        let has_integrity = request.has_attribute(MessageIntegrity::TYPE)
            || request.has_attribute(MessageIntegritySha256::TYPE);
        if !has_integrity {
            return Err(Unproved::Challenge(unknown()));
        }
        let (Ok(username), Ok(_), Ok(nonce)) =
            (request.attribute::<Username>(), request.attribute::<Realm>(), request.attribute::<Nonce>())
        else {
            return Err(Unproved::Refused(Refused::bad_request()));
        };
        if !self.nonces.is_valid(nonce.nonce(), client.id.address, now) {
            let stale = Refused::new(ErrorCode::STALE_NONCE, "Stale Nonce", TurnRefusal::Credentials);
            return Err(Unproved::Challenge(stale));
        }
        let username = username.username();
        let challenge = |reason, why| {
            self.counters.refused(why);
            Unproved::Challenge(Refused::new(ErrorCode::UNAUTHORIZED, reason, why))
        };
        let known = allocation.filter(|allocation| allocation.username == username);
        let (key, integrity) = match known {
            // Credentials that expire during a call do not end it.
            Some(allocation) => (allocation.key.clone(), allocation.integrity.clone()),
            None => {
                let (key, password) = self.password_of(username).map_err(|why| match why {
                    TurnRefusal::Expired => challenge("Expired Credentials", why),
                    _ => challenge("Unauthorized", why),
                })?;
                let credentials =
                    LongTermKeyCredentials::new(username.to_owned(), password, REALM.to_owned());
                let credentials = MessageIntegrityCredentials::from(credentials);
                (key, credentials.make_key(IntegrityAlgorithm::Sha1))
            }
        };
        if request.validate_integrity_with_key(&integrity).is_err() {
            return Err(challenge("Unauthorized", TurnRefusal::Credentials));
        }
        // Asked last: only those who have credentials learn whether a key may use TURN.
        if !(self.admits)(&key) {
            return Err(challenge("Unauthorized", TurnRefusal::Key));
        }
        Ok(Proved { username: username.to_owned(), key, integrity })
    }

    /// The API key in a username, `expiry:key`, and the password that belongs to it.
    fn password_of(&self, username: &str) -> Result<(String, String), TurnRefusal> {
        let (expiry, key) = username.split_once(':').ok_or(TurnRefusal::Credentials)?;
        let expiry: u64 = expiry.parse().map_err(|_| TurnRefusal::Credentials)?;
        if expiry <= self.clock.unix_millis() / 1000 {
            return Err(TurnRefusal::Expired);
        }
        let config = self.config.load();
        let secret = config.ice.turn_secret.as_ref().ok_or(TurnRefusal::Credentials)?;
        Ok((key.to_owned(), secret.credential(username)))
    }

    fn allocate(
        self: &Arc<Self>,
        client: &Client,
        allocation: Option<&Arc<Allocation>>,
        proved: Proved,
        request: &Message<'_>,
        now: u64,
    ) -> Result<Vec<u8>, Refused> {
        if let Some(allocation) = allocation {
            // UDP may bring a request twice.
            if allocation.request == request.transaction_id() {
                return Ok(Server::allocated(allocation, request, now));
            }
            return Err(mismatch());
        }
        check_attributes(
            request,
            &[RequestedTransport::TYPE, Lifetime::TYPE, RequestedAddressFamily::TYPE, EvenPort::TYPE],
        )?;
        let transport: RequestedTransport = read(request)?.ok_or_else(Refused::bad_request)?;
        if transport.protocol() != RequestedTransport::UDP {
            return Err(Refused::new(
                ErrorCode::UNSUPPORTED_TRANSPORT_PROTOCOL,
                "Unsupported Transport Protocol",
                TurnRefusal::Request,
            ));
        }
        let family = read::<RequestedAddressFamily>(request)?.map(|family| family.family());
        let even_port = read::<EvenPort>(request)?;
        // The next port cannot be kept for another allocation.
        if even_port.as_ref().is_some_and(EvenPort::requested) {
            return Err(no_capacity());
        }
        let lifetime = lifetime(request)?.clamp(LIFETIME, MAX_LIFETIME);
        let place = self.place(&proved.key, client.id.address.ip(), now).map_err(too_many)?;
        let Proved { username, key, integrity } = proved;
        let (client, request_id) = (client.clone(), request.transaction_id());
        let mut new = Some(NewAllocation { client, username, key, integrity, request: request_id, place });
        for _ in 0..TRIES {
            let is_ipv4 = family.is_none_or(|family| family == AddressFamily::IPV4);
            let free = self.addresses.find(is_ipv4, even_port.is_some(), |address| self.is_relayed(address));
            let free = free.map_err(|why| match why {
                NoAddress::Family => Refused::new(
                    ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED,
                    "Address Family not Supported",
                    TurnRefusal::Request,
                ),
                NoAddress::Taken => no_capacity(),
            })?;
            let itself = Arc::new(OnceLock::new());
            let socket = match (free.socket, self.runtime()) {
                (None, _) => None,
                (Some(socket), Some(runtime)) => {
                    let started = RelayedSocket::start(socket, runtime, receiver(self, &itself));
                    Some(started.map_err(|_| no_capacity())?)
                }
                (Some(_), None) => return Err(no_capacity()),
            };
            let Some(parts) = new.take() else { break };
            let expires = now + u64::from(lifetime) * 1000;
            let allocation = Arc::new(parts.at(free.relayed, socket, now, expires));
            let _ = itself.set(Arc::downgrade(&allocation));
            if self.insert(&allocation) {
                self.counters.allocated();
                return Ok(Server::allocated(&allocation, request, now));
            }
            // Another thread was faster. Nobody else has this one.
            new = Arc::into_inner(allocation).map(Allocation::into_new);
        }
        Err(no_capacity())
    }

    fn allocated(allocation: &Allocation, request: &Message<'_>, now: u64) -> Vec<u8> {
        let seconds = u32::try_from(allocation.left(now).div_ceil(1000)).unwrap_or(MAX_LIFETIME);
        let Allocation { client, relayed, integrity, .. } = allocation;
        answers::allocated(request, client.id.address, *relayed, seconds, integrity)
    }

    fn refresh(
        &self,
        allocation: &Arc<Allocation>,
        request: &Message<'_>,
        now: u64,
    ) -> Result<Vec<u8>, Refused> {
        check_attributes(request, &[Lifetime::TYPE, RequestedAddressFamily::TYPE])?;
        if let Some(family) = read::<RequestedAddressFamily>(request)?
            && (family.family() == AddressFamily::IPV4) != allocation.relayed.is_ipv4()
        {
            return Err(wrong_family());
        }
        let lifetime = match lifetime(request)? {
            0 => {
                self.remove(allocation);
                0
            }
            asked => {
                let lifetime = asked.clamp(LIFETIME, MAX_LIFETIME);
                allocation.refresh(now + u64::from(lifetime) * 1000);
                lifetime
            }
        };
        Ok(answers::refreshed(request, lifetime, &allocation.integrity))
    }

    fn create_permission(
        &self,
        allocation: &Arc<Allocation>,
        request: &Message<'_>,
        now: u64,
    ) -> Result<Vec<u8>, Refused> {
        check_attributes(request, &[XorPeerAddress::TYPE])?;
        let mut peers: Vec<SocketAddr> = Vec::new();
        for (_, attribute) in request.iter_attributes() {
            if attribute.get_type() == XorPeerAddress::TYPE {
                let peer = XorPeerAddress::from_raw_ref(&attribute).map_err(|_| Refused::bad_request())?;
                peers.push(self.check_peer(allocation, peer.addr(request.transaction_id()))?);
            }
        }
        if peers.is_empty() {
            return Err(Refused::bad_request());
        }
        allocation.permit(&peers, now).map_err(unbound)?;
        Ok(answers::done(request, &allocation.integrity))
    }

    fn bind_channel(
        &self,
        allocation: &Arc<Allocation>,
        request: &Message<'_>,
        now: u64,
    ) -> Result<Vec<u8>, Refused> {
        check_attributes(request, &[ChannelNumber::TYPE, XorPeerAddress::TYPE])?;
        let (Some(number), Some(peer)) = (read::<ChannelNumber>(request)?, read::<XorPeerAddress>(request)?)
        else {
            return Err(Refused::bad_request());
        };
        let peer = self.check_peer(allocation, peer.addr(request.transaction_id()))?;
        allocation.bind(number.channel(), peer, now).map_err(unbound)?;
        Ok(answers::done(request, &allocation.integrity))
    }

    /// The peer in its canonical form, if the client may reach it.
    fn check_peer(&self, allocation: &Allocation, peer: SocketAddr) -> Result<SocketAddr, Refused> {
        let peer = canonical(peer);
        if peer.is_ipv4() != allocation.relayed.is_ipv4() {
            return Err(wrong_family());
        }
        // To a virtual address only other clients of this server are peers, whatever theirs are called.
        if self.addresses.are_real() && !self.peers.may_permit(peer.ip()) {
            return Err(Refused::new(ErrorCode::FORBIDDEN, "Forbidden", TurnRefusal::Peer));
        }
        Ok(peer)
    }
}

/// What reads the socket of an allocation keeps neither it nor the server.
fn receiver(
    server: &Arc<Server>,
    allocation: &Arc<OnceLock<Weak<Allocation>>>,
) -> impl Fn(SocketAddr, &[u8]) + Send + use<> {
    let (server, allocation) = (Arc::downgrade(server), Arc::clone(allocation));
    move |peer, bytes| {
        let allocation = allocation.get().and_then(Weak::upgrade);
        if let (Some(server), Some(allocation)) = (server.upgrade(), allocation) {
            server.receive_from_peer(&allocation, peer, bytes);
        }
    }
}

/// Refuses a request with an attribute that has to be understood, and is not (RFC 8489, section 6.3.1).
fn check_attributes(request: &Message<'_>, known: &[AttributeType]) -> Result<(), Refused> {
    let of_all = [
        Username::TYPE,
        Realm::TYPE,
        Nonce::TYPE,
        MessageIntegrity::TYPE,
        MessageIntegritySha256::TYPE,
        Fingerprint::TYPE,
    ];
    let types = request.iter_attributes().map(|(_, attribute)| attribute.get_type());
    let is_known = |kind: &AttributeType| known.contains(kind) || of_all.contains(kind);
    let unknown: Vec<_> =
        types.filter(|kind| kind.comprehension_required() && !is_known(kind)).take(MAX_UNKNOWN).collect();
    if unknown.is_empty() { Ok(()) } else { Err(Refused::unknown(unknown)) }
}

/// Most unknown attributes that an answer names.
const MAX_UNKNOWN: usize = 8;

/// An attribute, if the request has it.
fn read<'a, A>(request: &'a Message<'_>) -> Result<Option<A>, Refused>
where
    A: AttributeStaticType + stun_types::attribute::AttributeFromRaw<'a>,
{
    if !request.has_attribute(A::TYPE) {
        return Ok(None);
    }
    request.attribute::<A>().map(Some).map_err(|_| Refused::bad_request())
}

/// The lifetime that a request asks for, in seconds.
fn lifetime(request: &Message<'_>) -> Result<u32, Refused> {
    Ok(read::<Lifetime>(request)?.map_or(LIFETIME, |lifetime| lifetime.seconds()))
}

fn mismatch() -> Refused {
    Refused::new(ErrorCode::ALLOCATION_MISMATCH, "Allocation Mismatch", TurnRefusal::Request)
}

fn wrong_family() -> Refused {
    Refused::new(
        ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH,
        "Peer Address Family Mismatch",
        TurnRefusal::Request,
    )
}

fn no_capacity() -> Refused {
    Refused::new(ErrorCode::INSUFFICIENT_CAPACITY, "Insufficient Capacity", TurnRefusal::Capacity)
}

fn too_many(why: TooMany) -> Refused {
    let reached = |why| Refused::new(ErrorCode::ALLOCATION_QUOTA_REACHED, "Allocation Quota Reached", why);
    match why {
        TooMany::InAll => no_capacity(),
        TooMany::OfKey => reached(TurnRefusal::KeyQuota),
        TooMany::OfAddress => reached(TurnRefusal::AddressQuota),
    }
}

fn unbound(why: Unbound) -> Refused {
    match why {
        Unbound::Taken => Refused::bad_request(),
        Unbound::Full => no_capacity(),
    }
}
