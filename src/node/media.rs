//! What clients say about calls, on its way through this node: the relay adds its candidates, and the addresses of clients
//! are withheld where their key wants it.

use super::Node;
use crate::broker::{Peer, Routed};
use crate::dialect::description::{Description, without_addresses};
use crate::dialect::peerjs;
use crate::events::PeerAddress;
use crate::keys::RelayMode;
use crate::relay::{Parties, Wake};
use crate::wire::{MessageKind, PeerId, RealmKind};

/// What a message says about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MediaMessage<'a> {
    /// An offer, with what tells several calls between the same two clients from each other.
    Offer(Option<&'a str>),
    /// The answer to one.
    Answer(Option<&'a str>),
    /// A candidate and nothing else.
    Candidate,
    /// Anything else.
    Other,
}

/// What its recipient may have of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Relayed {
    /// All of it.
    AsItIs,
    /// This text instead.
    Text(String),
    /// Nothing: it would be empty.
    Nothing,
}

impl Node {
    /// A message as its recipient may have it.
    pub(crate) fn relayed(
        &self,
        from: &Peer,
        to: &str,
        message: MediaMessage<'_>,
        mode: RelayMode,
        text: &str,
    ) -> Relayed {
        let realm = from.realm();
        let Some(relay) = self.relay().filter(|_| mode != RelayMode::Off) else { return Relayed::AsItIs };
        let withheld = (mode == RelayMode::Always).then(|| without_addresses(text));
        let text = withheld.as_deref().unwrap_or(text);
        let parties = |offerer, answerer, connection| Parties {
            key: realm.key(),
            realm: realm.kind(),
            offerer,
            answerer,
            connection,
        };
        let found = || Description::find(text);
        let description = match message {
            MediaMessage::Offer(connection) => {
                let parties = parties(from.id().as_str(), to, connection);
                found().filter(|offer| relay.offer(parties, from.address(), offer.credentials))
            }
            MediaMessage::Answer(connection) => {
                let parties = parties(to, from.id().as_str(), connection);
                found().filter(|answer| relay.answer(parties, answer.credentials))
            }
            MediaMessage::Candidate if mode == RelayMode::Always => return Relayed::Nothing,
            MediaMessage::Candidate | MediaMessage::Other => None,
        };
        let described = description.map(|description| description.with_candidates(relay.candidates()));
        described.or(withheld).map_or(Relayed::AsItIs, Relayed::Text)
    }

    /// The same for an answer of a client of another node, which has withheld what it must. The offer was made here, so this
    /// node relays.
    pub(crate) fn relayed_answer(
        &self,
        from: &PeerId,
        to: &PeerAddress,
        kind: MessageKind,
        text: &str,
    ) -> Option<String> {
        let relay = self.relay()?;
        if !relay.awaits_answer(to) {
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
        let parties = Parties { key: &to.key, realm: to.realm, offerer, answerer, connection };
        let answer = Description::find(text)
            .filter(|answer| relay.answer_from_elsewhere(parties, answer.credentials))?;
        Some(answer.with_candidates(relay.candidates()))
    }

    /// Tells a client of this or another node a new candidate of the relay.
    pub(crate) fn wake(&self, wake: &Wake) {
        let Wake { key, whom, other, connection, times } = wake;
        let realm = self.tenant(key.as_str()).and_then(|tenant| tenant.existing(RealmKind::PeerJs));
        let (Some(relay), Some(realm), Ok(from)) = (self.relay(), realm, PeerId::parse(other)) else {
            return;
        };
        for candidate in relay.new_candidates(*times) {
            let payload = peerjs::candidate(&candidate, connection);
            let frame = peerjs::relay(peerjs::Kind::Candidate, other, whom, Some(&payload));
            // As LEAVE, it does not wait for an absent client, and nobody is told that it is lost: the other one has not sent it.
            if let Routed::Delivered(Some(flush)) = realm.route(&from, whom, MessageKind::Leave, frame) {
                flush.flush();
            }
        }
    }
}
