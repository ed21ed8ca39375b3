//! Messages about calls, on their way through this node: the relay adds its candidates, and the addresses of
//! clients are withheld if their key wants it.

#[cfg(test)]
#[path = "../../../tests/fuzz/browsers.rs"]
mod browsers;
mod description;
mod withheld;

use std::borrow::Cow;

use memchr::memmem;
use peerbroker_media_api::{CallRealm, CandidateNudge, Parties};

use crate::media::Relay;
use description::Description;
use peerbroker_core::vocabulary::{Frame, IceCredentials, MessageKind, NameKind, PeerId, PipeId, RealmKind};
use peerbroker_events::PeerAddress;
use peerbroker_keys::RelayMode;
use peerbroker_protocols::client::{Protocol as _, Published};
use peerbroker_protocols::signal::SignalKind;
use peerbroker_protocols::{peerjs, with_clients};
use peerbroker_rooms::{MessageNews, Rooms};
use peerbroker_router::PeerHandle;
pub use withheld::without_addresses;

/// The recipient of an offer to whoever has the name that is its connection.
pub const ANYBODY: &str = "";

/// A message by which two clients connect.
pub struct Signal<'a> {
    /// The meaning of the message for the connection.
    pub kind: SignalKind,
    /// The recipient of an offer. Those that may be meant by an answer: it is for the one whose offer it
    /// answers.
    pub to: &'a [&'a str],
    /// Distinguishes several calls between the same two clients, or is the name of the one that may answer.
    pub connection: Option<Cow<'a, str>>,
}

/// The pipe that a description offers for data that WebRTC cannot carry. `text` has the description in JSON.
pub fn pipe_in(text: &str) -> Option<PipeId> {
    const LINE: &str = "a=pipe:1 ";
    let at = memmem::find(text.as_bytes(), LINE.as_bytes())?;
    let id = text.get(at + LINE.len()..)?.split(' ').next()?;
    PipeId::parse(id)
}

/// A realm, as the relay knows it.
fn call_realm(kind: RealmKind) -> CallRealm {
    CallRealm { number: kind.number(), hears_of_calls: with_clients!(kind, C => C::HEARS_OF_CALLS) }
}

/// The text of a signal as its recipient may have it: an offer or answer is registered with the relay, which
/// adds its candidates. `None` if nothing is left of it.
pub fn prepare_for_relay<'a>(
    relay: &Relay,
    from: &PeerHandle,
    mode: RelayMode,
    Signal { kind, to, connection }: Signal<'_>,
    text: &'a str,
) -> Option<Cow<'a, str>> {
    let sender = from.id().as_str();
    let only_relayed = mode == RelayMode::Always;
    let is_offer = match kind {
        SignalKind::Offer => true,
        SignalKind::Answer => false,
        SignalKind::Candidate if only_relayed => return None,
        SignalKind::Candidate | SignalKind::Other => return Some(text.into()),
    };
    let key = from.realm().key();
    let realm = call_realm(from.realm().kind());
    let connection = connection.as_deref();
    let described = with_relay(relay, text, |credentials| {
        to.iter().any(|to| {
            let (offerer, answerer) = if is_offer { (sender, *to) } else { (*to, sender) };
            let parties = Parties { key, realm, offerer, answerer, connection, only_relayed };
            match is_offer {
                true => relay.calls().record_offer(parties, from.address(), credentials),
                false => relay.calls().begin(parties, credentials, false),
            }
        })
    });
    Some(described.map_or(text.into(), Cow::Owned))
}

/// The text with the candidates of the relay, if there is a description in it whose call the relay takes. It
/// is read once, however many may be meant.
fn with_relay(relay: &Relay, text: &str, takes: impl FnOnce(IceCredentials<'_>) -> bool) -> Option<String> {
    let found = Description::find(text)?;
    takes(found.credentials).then(|| found.with_candidates(&relay.candidates(0)))
}

/// As for the offer, for an answer from another node, which has removed the addresses. The offer was made
/// here, so this node relays.
pub fn relayed_answer(
    relay: &Relay,
    from: &PeerId,
    to: &PeerAddress,
    kind: MessageKind,
    mode: RelayMode,
    text: &str,
) -> Option<String> {
    let realm = call_realm(to.realm);
    if !relay.calls().awaits_answer(&to.key, realm, to.id.as_str()) {
        return None;
    }
    let connection = with_clients!(to.realm, C => C::answered(kind, text))?;
    let connection = connection.as_deref();
    let offerer = to.id.as_str();
    let answerer = from.as_str();
    let only_relayed = mode == RelayMode::Always;
    let parties = Parties { key: &to.key, realm, offerer, answerer, connection, only_relayed };
    with_relay(relay, text, |credentials| {
        relay.calls().begin(parties, credentials, may_be_alias(kind, to.realm))
    })
}

/// True if the sender may have been called by another name than its id. A publication names its sender.
fn may_be_alias(kind: MessageKind, realm: RealmKind) -> bool {
    kind != MessageKind::Room && NameKind::ALL.iter().any(|name| name.is_address() && name.realm() == realm)
}

/// As for the offer, for an answer that a client of another node publishes to a topic.
pub fn relayed_publication(
    relay: &Relay,
    rooms: &Rooms,
    mode: RelayMode,
    published: &MessageNews<'_>,
) -> Option<String> {
    let text = published.frame.text()?;
    let Published { from, to, kind } = with_clients!(rooms.realm().kind(), C => C::published(text))?;
    let to = to.filter(|_| kind == SignalKind::Answer)?;
    let answerer = PeerId::parse(published.from).ok()?;
    let named = rooms.members_with(published.room, &Published::name(&to));
    let key = rooms.realm().key();
    let realm = call_realm(rooms.realm().kind());
    let awaits_answer = |id: &PeerId| relay.calls().awaits_answer(key, realm, id.as_str());
    if !named.iter().any(awaits_answer) {
        return None;
    }
    with_relay(relay, text, |credentials| {
        named.iter().any(|offerer| {
            let parties = Parties {
                key,
                realm,
                offerer: offerer.as_str(),
                answerer: answerer.as_str(),
                connection: Some(&from),
                only_relayed: mode == RelayMode::Always,
            };
            relay.calls().begin(parties, credentials, false)
        })
    })
}

/// The message that tells a client that its calls with another one have ended.
pub fn end(other: &str, whom: &str) -> Frame {
    peerjs::forward(peerjs::Kind::Leave, other, whom, None)
}

/// The messages that tell a client the new candidates of the relay.
pub fn candidates(relay: &Relay, nudge: &CandidateNudge) -> impl Iterator<Item = Frame> {
    relay.candidates(nudge.times).into_iter().map(|candidate| {
        let payload = peerjs::candidate(&candidate, &nudge.connection);
        peerjs::forward(peerjs::Kind::Candidate, &nudge.other, &nudge.whom, Some(&payload))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_guest_that_does_not_publish_may_have_been_called_by_another_name() {
        assert!(may_be_alias(MessageKind::Answer, RealmKind::Guests));
        assert!(!may_be_alias(MessageKind::Room, RealmKind::Guests));
        assert!(!may_be_alias(MessageKind::Answer, RealmKind::PeerJs));
    }
}
