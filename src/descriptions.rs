//! Messages about calls, on their way through this node: the relay adds its candidates, and the addresses of clients are
//! withheld if their key wants it.

mod description;
mod withheld;

use peerbroker_core::media_api::{CandidateNudge, Parties};

use crate::dialect::peerjs;
use crate::events::PeerAddress;
use crate::keys::RelayMode;
use crate::media::Relay;
use crate::router::Peer;
use crate::wire::{Frame, MessageKind, PeerId, RealmKind};
use description::Description;
pub(crate) use withheld::without_addresses;

/// The meaning of a message for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MediaMessage<'a> {
    /// An offer, with the id that distinguishes several calls between the same two clients.
    Offer(Option<&'a str>),
    /// The answer to one.
    Answer(Option<&'a str>),
    /// Only a candidate.
    Candidate,
    /// Any other message.
    Other,
}

/// The version of a message that its recipient gets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Relayed {
    /// All of it.
    AsItIs,
    /// This text instead.
    Text(String),
    /// Nothing: it would be empty.
    Nothing,
}

/// A message as its recipient may have it.
pub(crate) fn relayed<'a>(
    relay: &Relay,
    from: &Peer,
    to: &str,
    message: impl FnOnce() -> MediaMessage<'a>,
    mode: RelayMode,
    text: &str,
) -> Relayed {
    if mode == RelayMode::Off {
        return Relayed::AsItIs;
    }
    let withheld = (mode == RelayMode::Always).then(|| without_addresses(text));
    let text = withheld.as_deref().unwrap_or(text);
    let realm = from.realm();
    let parties = |offerer, answerer, connection| Parties {
        key: realm.key(),
        realm: realm.kind(),
        offerer,
        answerer,
        connection,
        only_relayed: mode == RelayMode::Always,
    };
    let found = || Description::find(text);
    let description = match message() {
        MediaMessage::Offer(connection) => {
            let parties = parties(from.id().as_str(), to, connection);
            found().filter(|offer| relay.calls().note_offer(parties, from.address(), offer.credentials))
        }
        MediaMessage::Answer(connection) => {
            let parties = parties(to, from.id().as_str(), connection);
            found().filter(|answer| relay.calls().begin(parties, answer.credentials, false))
        }
        MediaMessage::Candidate if mode == RelayMode::Always => return Relayed::Nothing,
        MediaMessage::Candidate | MediaMessage::Other => None,
    };
    let described = description.map(|description| description.with_candidates(&relay.candidates(0)));
    described.or(withheld).map_or(Relayed::AsItIs, Relayed::Text)
}

/// As for the offer, for an answer from another node, which has removed the addresses. The offer was made here, so this
/// node relays.
pub(crate) fn relayed_answer(
    relay: &Relay,
    from: &PeerId,
    to: &PeerAddress,
    kind: MessageKind,
    mode: RelayMode,
    text: &str,
) -> Option<String> {
    if !relay.calls().awaits_answer(&to.key, to.realm, to.id.as_str()) {
        return None;
    }
    let connection = match (to.realm, peerjs::decode(text)) {
        (RealmKind::PeerJs, peerjs::Command::Relay(envelope)) if kind == MessageKind::Answer => {
            envelope.payload.and_then(peerjs::connection)
        }
        (RealmKind::PeerJs, _) => return None,
        (RealmKind::Guests, _) => None,
    };
    let (offerer, answerer) = (to.id.as_str(), from.as_str());
    let only_relayed = mode == RelayMode::Always;
    let parties = Parties { key: &to.key, realm: to.realm, offerer, answerer, connection, only_relayed };
    let begins = |answer: &Description<'_>| relay.calls().begin(parties, answer.credentials, true);
    Some(Description::find(text).filter(begins)?.with_candidates(&relay.candidates(0)))
}

/// The message that tells a client that its calls with another one have ended.
pub(crate) fn end(other: &str, whom: &str) -> Frame {
    peerjs::relay(peerjs::Kind::Leave, other, whom, None)
}

/// The messages that tell a client the new candidates of the relay.
pub(crate) fn candidates(relay: &Relay, wake: &CandidateNudge) -> impl Iterator<Item = Frame> {
    relay.candidates(wake.times).into_iter().map(|candidate| {
        let payload = peerjs::candidate(&candidate, &wake.connection);
        peerjs::relay(peerjs::Kind::Candidate, &wake.other, &wake.whom, Some(&payload))
    })
}
