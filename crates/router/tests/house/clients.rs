//! Clients in memory, and their messages. Also for the tests of rooms and protocols.

use std::net::IpAddr;
use std::sync::Arc;

use peerbroker_core::vocabulary::{ConnectionKind, Frame, PeerId, Token};
use peerbroker_router::{ConnectionInfo, IdLease, Outbox, Realm, RegisterRefusal, RegisterRequest};

pub fn register(
    realm: &Arc<Realm>,
    id: &str,
    token: &str,
    outbox: &mut Outbox,
) -> Result<IdLease, RegisterRefusal> {
    register_from(Some(address(id, token)), realm, id, token, outbox)
}

pub fn register_from(
    address: Option<IpAddr>,
    realm: &Arc<Realm>,
    id: &str,
    token: &str,
    outbox: &mut Outbox,
) -> Result<IdLease, RegisterRefusal> {
    let id = peer(id);
    let token = Token::parse(token).unwrap();
    let newcomer = RegisterRequest {
        id: &id,
        token: &token,
        kind: ConnectionKind::Socket,
        greeting: Some(text("OPEN")),
        info: ConnectionInfo { address, ..ConnectionInfo::default() },
        keeps_contacts: false,
        hears_room: &|_, _| true,
        claim: None,
        last_place: None,
    };
    IdLease::register(realm, newcomer, outbox)
}

/// Clients that ask for the id `a` or `c` are in one network; others are each in their own. Loopback, which
/// has no shares.
pub fn address(id: &str, token: &str) -> IpAddr {
    let host = if ["a", "c"].contains(&id) { 0 } else { token.bytes().fold(1, u8::wrapping_add) };
    IpAddr::from([127, 0, 2, host])
}

pub fn peer(id: &str) -> PeerId {
    PeerId::parse(id).unwrap()
}

pub fn text(text: &str) -> Frame {
    Frame::text(text.len(), |out| out.extend_from_slice(text.as_bytes()))
}

/// A stand-in for the dialect's notice.
pub fn expired(absent: &str, sender: &str) -> Frame {
    text(&format!("EXPIRE {absent} {sender}"))
}
