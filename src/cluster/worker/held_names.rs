//! Names besides the ids of peers, players of other nodes in rooms of this one, and texts that were posted on other nodes.

use std::rc::Rc;
use std::sync::Arc;

use tokio::task::spawn_local;
use tokio::time::sleep;

use super::state::Seat;
use super::{RETRY_DELAY, Worker};
use crate::cluster::membership::{Held, Holding, Posted, digest};
use crate::cluster::packet::{NameRef, NodeAnswer, OwnedName, Packet, Question};
use crate::cluster::{Backplane, Claim, ClaimOutcome, Entity, Granted, Name, Owner, TokenDigest};
use peerbroker_broker::protocols::names::{GroupKind, GroupState, NameHolder, RoomCodeError};
use peerbroker_broker::protocols::room_codes::Seating;
use peerbroker_broker::protocols::root::Guests;
use peerbroker_broker::router::{PeerHandle, Realm};
use peerbroker_core::wire::{CloseReason, ConnId, ConnectionKind, NodeId, PeerId, RoomName};

impl<B: Backplane> Worker<B> {
    /// Claims a name that a guest holds.
    pub(super) async fn claim_held(&self, name: &Name) -> Holding {
        let mut known_dead = None;
        loop {
            if !self.wait_until_up().await {
                return Holding::Unavailable;
            }
            let held = self.shared.state.lock().held.get(name).cloned();
            let (Some(node), Some(held)) = (self.node(), held) else {
                return Holding::Unavailable;
            };
            let owner = Owner { node, connection: held.connection };
            // The id of a guest is random, so no other client takes its names over.
            let token = digest(held.guest.as_str());
            let claim = Claim {
                name: name.clone(),
                owner,
                token,
                kind: ConnectionKind::Socket,
                known_dead,
                limit: None,
            };
            let epoch = self.shared.state.lock().epoch;
            match self.claim(claim).await {
                // One answer was lost: that is no outage yet.
                None => sleep(RETRY_DELAY).await,
                Some(ClaimOutcome::Granted(Granted { fence, .. })) => {
                    // A grant before a loss may be lost, and is registered again.
                    let is_sure = self.shared.state.lock().epoch == epoch;
                    let is_held = self.record_fence(name, owner, if is_sure { fence } else { 0 });
                    return if is_held { Holding::Granted } else { Holding::Unavailable };
                }
                // If two have held it on this node, its present holder is right.
                Some(ClaimOutcome::Taken(owner))
                    if known_dead != Some(owner)
                        && (self.is_dead(owner.node) || self.is_ours(owner.node)) =>
                {
                    known_dead = Some(owner);
                }
                Some(ClaimOutcome::Taken(owner) | ClaimOutcome::Elsewhere(owner)) => {
                    return Holding::Taken(owner.node);
                }
                Some(ClaimOutcome::Full(_)) => return Holding::Unavailable,
            }
        }
    }

    /// A held name is claimed. False if its holder has left: then it is released.
    pub(super) fn record_fence(&self, name: &Name, owner: Owner, fence: u64) -> bool {
        let mut state = self.shared.state.lock();
        let held = state.held.get_mut(name).filter(|held| held.connection == owner.connection);
        let is_held = held.map(|held| held.fence = fence).is_some();
        drop(state);
        if !is_held {
            self.shared.give_back(name.clone(), owner);
        }
        is_held
    }

    /// Registers held names after an outage. False if that failed.
    pub(super) async fn register_held(self: &Rc<Self>, node: NodeId, all: bool) -> bool {
        let held = {
            let state = self.shared.state.lock();
            let wanted = state.held.iter().filter(|(_, held)| all || held.fence == 0);
            let registration = |(name, held): (&Name, &Held)| {
                let owner = Owner { node, connection: held.connection };
                self.registration(
                    name.clone(),
                    owner,
                    held.guest.as_str(),
                    held.fence,
                    held.since_unix_millis,
                )
            };
            wanted.map(registration).collect()
        };
        let Some(lost) = self.register(held).await else { return false };
        lost.iter().for_each(|(lost, _)| self.lose_held(&lost.name, lost.owner.connection));
        true
    }

    /// Another node's guest has a name of a guest of this one: its client is told.
    fn lose_held(&self, name: &Name, connection: ConnId) {
        let lost = self.shared.state.lock().take_held(name, connection);
        let (Some(held), Some(node)) = (lost, self.node.upgrade()) else { return };
        let key = name.key.as_str();
        if name.entity == Entity::Group {
            let kind =
                name.name.split_once('/').and_then(|(size, room)| group_kind(room, size.parse().ok()?));
            if let Some(kind) = kind {
                node.lose_groups(key, &kind);
            }
        } else if let Some(guests) = node.guests(key) {
            guests.realm.dismiss_id(held.guest.as_str(), CloseReason::Outranked);
        }
    }

    /// Does the same for a held name, at the request of the winner.
    pub(super) fn yield_held(&self, name: &OwnedName, connection: ConnId) {
        let held = {
            let state = self.shared.state.lock();
            state.held.keys().find(|held| held.as_ref() == name.borrowed()).cloned()
        };
        if let Some(name) = held {
            self.lose_held(&name, connection);
        }
    }

    fn guests(&self, key: &str) -> Option<Arc<Guests>> {
        self.node.upgrade()?.guests(key)
    }

    /// The guest of this node that has an alias.
    pub(super) fn called(&self, alias: &NameRef<'_>) -> Option<(Arc<Realm>, PeerId)> {
        let guests = self.guests(alias.key)?;
        Some((Arc::clone(&guests.realm), guests.aliases.guest(alias.name)?))
    }

    /// Lets a player of another node into a room of this one.
    pub(super) async fn let_in(&self, from: NodeId, question: &Question) -> NodeAnswer {
        let Question::Join { key, code, name, player, seat } = question else { return NodeAnswer::No };
        let no_room = NodeAnswer::NotJoined(RoomCodeError::NoRoom.number());
        let (Some(guests), Ok(player)) = (self.guests(key), PeerId::parse(player)) else { return no_room };
        let mut joined = guests.room_codes.join(code, name, &player, &NameHolder::Unasked);
        if let Ok(Seating::Held(holder)) = joined {
            let is_alive = self.peer_is_alive(&guests.realm, &holder).await;
            let holder = if is_alive { NameHolder::Alive } else { NameHolder::Gone(holder) };
            joined = guests.room_codes.join(code, name, &player, &holder);
        }
        match joined {
            Ok(Seating::Held(_)) => no_room,
            Ok(Seating::In(playing, host)) => {
                let name = playing.name().to_owned();
                let host = host.as_str().to_owned();
                self.seats.give(from, *seat, Seat::Player(playing));
                NodeAnswer::Joined { name, host }
            }
            Err(error) => NodeAnswer::NotJoined(error.number()),
        }
    }

    /// Gives a peer of Matchbox on another node a place in a group, and tells that node when nobody else comes to it.
    pub(super) fn place(self: &Rc<Self>, from: NodeId, question: &Question) -> NodeAnswer {
        let &Question::Place { ref key, ref room, size, ref client, seat } = question else {
            return NodeAnswer::No;
        };
        let place = || {
            let kind = group_kind(room, usize::try_from(size).ok()?)?;
            self.node.upgrade()?.place(key, &kind, &PeerId::parse(client).ok()?)
        };
        let Some(place) = place() else { return NodeAnswer::No };
        let group = place.room().to_string();
        let mut state = place.state();
        self.seats.give(from, seat, Seat::Place(place));
        let worker = Rc::clone(self);
        spawn_local(async move {
            let is_open = |state: &GroupState| *state == GroupState::Open;
            if let Ok(state) = state.wait_for(|state| !is_open(state)).await.map(|state| *state) {
                worker.shared.say(from, &Packet::Group { seat, is_ended: state == GroupState::Ended });
            }
        });
        NodeAnswer::Text(group)
    }

    /// It is in doubt which places a node has that this one has given, and which it has given; `None` means all nodes.
    pub(super) fn doubt_places(&self, node: Option<NodeId>) {
        self.shared.state.lock().doubt_places(node);
        for place in self.seats.take_places(node) {
            place.doubt();
        }
    }

    /// Handles a text that a client of this node has posted on another.
    pub(super) async fn take_post(&self, name: &OwnedName, token: TokenDigest, text: String) -> NodeAnswer {
        let holder = || {
            let (realm, id) = self.peer_of(&name.borrowed())?;
            PeerHandle::find_with(&realm, &id, |known| digest(known.as_str()) == token)
        };
        let posted = match (holder(), self.shared.on_post.get()) {
            (Some(peer), Some(handle)) => handle(peer, text).await,
            _ => Posted::Absent,
        };
        NodeAnswer::Posted(posted.number())
    }
}

fn group_kind(room: &str, size: usize) -> Option<GroupKind> {
    Some((RoomName::measured(room).ok()?, size))
}
