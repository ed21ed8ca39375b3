//! Messages about calls, on their way through this node: the relay adds its candidates, and the addresses of clients are
//! withheld if their key wants it.

#[cfg(any(test, fuzzing))]
#[path = "../tests/fuzz/browsers.rs"]
pub(crate) mod browsers;
mod description;
mod withheld;

use std::borrow::Cow;

use peerbroker_core::media_api::{CandidateNudge, Parties};

use crate::keys::RelayMode;
use crate::media::Relay;
use description::Description;
use peerbroker_broker::events::PeerAddress;
use peerbroker_broker::protocols::{peerjs, simple_peer, topics, tracker};
use peerbroker_broker::router::PeerHandle;
use peerbroker_core::wire::{Frame, IceCredentials, MessageKind, PeerId, RealmKind};
pub(crate) use withheld::without_addresses;

/// The recipient of an offer to whoever has the name that is its connection.
pub(crate) const ANYBODY: &str = "";

/// The meaning of a message for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MediaMessage<'a> {
    /// An offer, with the id that distinguishes several calls between the same two clients, or the name of the one that may answer.
    Offer(Option<&'a str>),
    /// The answer to one.
    Answer(Option<&'a str>),
    /// Only a candidate.
    Candidate,
    /// Any other message.
    Other,
}

impl From<simple_peer::Kind> for MediaMessage<'_> {
    fn from(kind: simple_peer::Kind) -> Self {
        match kind {
            simple_peer::Kind::Offer => MediaMessage::Offer(None),
            simple_peer::Kind::Answer => MediaMessage::Answer(None),
            simple_peer::Kind::Candidate => MediaMessage::Candidate,
            simple_peer::Kind::Other => MediaMessage::Other,
        }
    }
}

/// The text of a message as its recipient may have it. `None` if nothing is left of it.
pub(crate) fn prepare_for_relay<'m, 'a>(
    relay: &Relay,
    from: &PeerHandle,
    to: &str,
    message: impl FnOnce() -> MediaMessage<'m>,
    mode: RelayMode,
    text: &'a str,
) -> Option<Cow<'a, str>> {
    if mode == RelayMode::Off {
        return Some(text.into());
    }
    let (sender, only_relayed) = (from.id().as_str(), mode == RelayMode::Always);
    let (is_offer, offerer, answerer, connection) = match message() {
        MediaMessage::Offer(connection) => (true, sender, to, connection),
        MediaMessage::Answer(connection) => (false, to, sender, connection),
        MediaMessage::Candidate if only_relayed => return None,
        MediaMessage::Candidate | MediaMessage::Other => return Some(text.into()),
    };
    let (key, realm) = (from.realm().key(), from.realm().kind());
    let parties = Parties { key, realm, offerer, answerer, connection, only_relayed };
    let described = with_relay(relay, text, |credentials| match is_offer {
        true => relay.calls().note_offer(parties, from.address(), credentials),
        false => relay.calls().begin(parties, credentials, false),
    });
    Some(described.map_or(text.into(), Cow::Owned))
}

/// The text with the candidates of the relay, if there is a description in it whose call the relay takes.
fn with_relay(relay: &Relay, text: &str, takes: impl FnOnce(IceCredentials<'_>) -> bool) -> Option<String> {
    let found = Description::find(text)?;
    takes(found.credentials).then(|| found.with_candidates(&relay.candidates(0)))
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
    let is_published = kind == MessageKind::Room;
    let connection = match (to.realm, peerjs::decode(text)) {
        (RealmKind::PeerJs, peerjs::Command::Forward(envelope)) if kind == MessageKind::Answer => {
            envelope.payload.and_then(peerjs::connection).map(Cow::from)
        }
        (RealmKind::PeerJs, _) => return None,
        (RealmKind::Guests, _) if kind == MessageKind::Swarm => tracker::answered(text),
        (RealmKind::Guests, _) if is_published => topics::signal(text).map(|signal| signal.from),
        (RealmKind::Guests | RealmKind::RxDb | RealmKind::Matchbox, _) => None,
    };
    let connection = connection.as_deref();
    let (offerer, answerer) = (to.id.as_str(), from.as_str());
    let only_relayed = mode == RelayMode::Always;
    let parties = Parties { key: &to.key, realm: to.realm, offerer, answerer, connection, only_relayed };
    // A publication names its sender.
    with_relay(relay, text, |credentials| relay.calls().begin(parties, credentials, !is_published))
}

/// The message that tells a client that its calls with another one have ended.
pub(crate) fn end(other: &str, whom: &str) -> Frame {
    peerjs::forward(peerjs::Kind::Leave, other, whom, None)
}

/// The messages that tell a client the new candidates of the relay.
pub(crate) fn candidates(relay: &Relay, nudge: &CandidateNudge) -> impl Iterator<Item = Frame> {
    relay.candidates(nudge.times).into_iter().map(|candidate| {
        let payload = peerjs::candidate(&candidate, &nudge.connection);
        peerjs::forward(peerjs::Kind::Candidate, &nudge.other, &nudge.whom, Some(&payload))
    })
}
