//! Names besides the ids of peers, seats of clients of other nodes under them, and texts that were posted on
//! other nodes.

use std::rc::Rc;
use std::sync::Arc;

use tokio::task::spawn_local;
use tokio::time::sleep;

use super::{RETRY_DELAY, Worker};
use crate::membership::{Held, Holding, Posted, digest};
use crate::packet::{NameRef, NodeAnswer, OwnedName, Packet, Question};
use crate::{Backplane, Claim, ClaimOutcome, Entity, Granted, Name, Owner, TokenDigest};
use peerbroker_core::vocabulary::{ConnId, ConnectionKind, NameKind, NodeId, PeerId};
use peerbroker_protocols::names::{GivenSeat, NO_SUCH_NAME, NameHolder, SeatState, Seating};
use peerbroker_router::{PeerHandle, Realm};

impl<B: Backplane> Worker<B> {
    /// Claims a name that a client holds.
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
            // The broker has chosen the id of such a client, so no other client takes its names over.
            let token = digest(held.client.as_str());
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
                self.registration(name.clone(), owner, held.client.as_str(), held.fence, held.since)
            };
            wanted.map(registration).collect()
        };
        let Some(lost) = self.register(held).await else { return false };
        lost.iter().for_each(|(lost, _)| self.lose_held(&lost.name, lost.owner.connection));
        true
    }

    /// A client of another node has a name of a client of this one.
    fn lose_held(&self, name: &Name, connection: ConnId) {
        let lost = self.shared.state.lock().take_held(name, connection);
        let (Some(held), Entity::Name(kind)) = (lost, name.entity) else { return };
        let Some(node) = self.node.upgrade() else { return };
        let key = name.key.as_str();
        if let Some(names) = node.names(key, kind) {
            names.lose(&name.name, &held.client, node.realm(key, kind.realm()).as_deref());
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

    /// The client of this node that others reach by a name.
    pub(super) fn named(&self, key: &str, kind: NameKind, name: &str) -> Option<(Arc<Realm>, PeerId)> {
        let node = self.node.upgrade()?;
        let client = node.names(key, kind)?.client(name)?;
        Some((node.realm(key, kind.realm())?, client))
    }

    /// Gives a client of another node a seat under a name of this one, and tells that node when it is not
    /// open any more.
    pub(super) async fn give_seat(self: &Rc<Self>, from: NodeId, question: &Question) -> NodeAnswer {
        let Question::Seat { name, wanted, client, seat } = question else { return NodeAnswer::No };
        let seat = *seat;
        let (given, told) = match self.find_seat(&name.borrowed(), wanted, client).await {
            Ok(given) => given,
            Err(why) => return NodeAnswer::NotSeated(why),
        };
        let state = given.state();
        self.seats.give(from, seat, given);
        if let Some(mut state) = state {
            let worker = Rc::clone(self);
            spawn_local(async move {
                let is_over = |state: &SeatState| *state != SeatState::Open;
                if let Ok(state) = state.wait_for(is_over).await.map(|state| *state) {
                    worker.shared.say(from, &Packet::Seat { seat, is_lost: state == SeatState::Lost });
                }
            });
        }
        NodeAnswer::Seated(told)
    }

    /// A client that has the seat already is asked for a sign of life.
    async fn find_seat(
        &self,
        name: &NameRef<'_>,
        wanted: &str,
        client: &str,
    ) -> Result<(Box<dyn GivenSeat>, String), u8> {
        let Some(Entity::Name(kind)) = name.entity() else { return Err(NO_SUCH_NAME) };
        let names = self.node.upgrade().and_then(|node| node.names(name.key, kind)).ok_or(NO_SUCH_NAME)?;
        let client = PeerId::parse(client).map_err(|_| NO_SUCH_NAME)?;
        let mut seating = Arc::clone(&names).seat(name.name, wanted, &client, &NameHolder::Unasked)?;
        if let Seating::Held(holder) = seating {
            let node = self.node.upgrade().ok_or(NO_SUCH_NAME)?;
            let realm = node.realm(name.key, kind.realm()).ok_or(NO_SUCH_NAME)?;
            let is_alive = self.peer_is_alive(&realm, &holder).await;
            let holder = if is_alive { NameHolder::Alive } else { NameHolder::Gone(holder) };
            seating = names.seat(name.name, wanted, &client, &holder)?;
        }
        match seating {
            Seating::Given(seat, told) => Ok((seat, told)),
            Seating::Held(_) => Err(NO_SUCH_NAME),
        }
    }

    /// Doubts the seats that this node has given to a node, and those that the node has given to this one;
    /// `None` means all nodes.
    pub(super) fn doubt_seats(&self, node: Option<NodeId>) {
        self.shared.state.lock().doubt_seats(node);
        self.seats.doubt(node);
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
