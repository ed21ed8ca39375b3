//! Descriptions of calls on their way through this node: the relay adds its candidate to them.

use super::Node;
use crate::broker::Peer;
use crate::dialect::peerjs;
use crate::events::PeerAddress;
use crate::relay::{Parties, Relay};
use crate::wire::{MessageKind, PeerId, RealmKind};

/// What a message says about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Description<'a> {
    /// An offer, with what tells several calls between the same two clients from each other.
    Offer(Option<&'a str>),
    /// The answer to one.
    Answer(Option<&'a str>),
}

impl Node {
    /// The text of a description that a client of this node sends, with the candidate of the relay. `None` if it stays as it
    /// is.
    pub(crate) fn add_relay(
        &self,
        from: &Peer,
        to: &str,
        description: Description<'_>,
        text: &str,
    ) -> Option<String> {
        let (relay, realm) = (self.relay()?, from.realm());
        let parties = Parties {
            key: realm.key(),
            realm: realm.kind(),
            offerer: from.id().as_str(),
            answerer: to,
            connection: None,
        };
        described(relay, parties, description, text)
    }

    /// The same for an answer of a client of another node. The offer was made here, so this node relays.
    pub(crate) fn add_relay_to_answer(
        &self,
        from: &PeerId,
        to: &PeerAddress,
        kind: MessageKind,
        text: &str,
    ) -> Option<String> {
        let relay = self.relay()?;
        let connection = match (to.realm, peerjs::decode(text)) {
            (RealmKind::PeerJs, peerjs::Command::Relay(envelope)) if kind == MessageKind::Answer => {
                envelope.payload.and_then(peerjs::connection)
            }
            (RealmKind::PeerJs, _) => return None,
            (RealmKind::Guests, _) => None,
        };
        let (offerer, answerer) = (to.id.as_str(), from.as_str());
        relay.answer(Parties { key: &to.key, realm: to.realm, offerer, answerer, connection }, text)
    }
}

/// `parties` as of an offer.
fn described(
    relay: &Relay,
    parties: Parties<'_>,
    description: Description<'_>,
    text: &str,
) -> Option<String> {
    match description {
        Description::Offer(connection) => relay.offer(Parties { connection, ..parties }, text),
        Description::Answer(connection) => {
            let (offerer, answerer) = (parties.answerer, parties.offerer);
            relay.answer(Parties { offerer, answerer, connection, ..parties }, text)
        }
    }
}
