//! Names beside the ids of peers, rooms of other nodes, and texts that were posted on other nodes.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::Worker;
use super::opening::peer_id;
use crate::cluster::packet::{Answer, NameRef, OwnedName, Question};
use crate::cluster::{
    Backplane, Claim, ClaimOutcome, Granted, Locate, Name, Owner, RegisterOutcome, Registration, TokenDigest,
};
use crate::directory::RoomError;
use crate::node::errand::{Errand, Held, Holding, Posted, Whereabouts, digest};
use crate::node::tenant::Guests;
use crate::wire::{CloseReason, ConnId, Link, NodeId, PeerId, RealmKind};

/// How long a session waits for the directory.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long to wait after a claim without an answer.
const PAUSE: Duration = Duration::from_millis(100);

impl<B: Backplane> Worker<B> {
    pub(super) async fn run_errand(self: Rc<Self>, errand: Errand) {
        // An error of a reply means that nobody waits any more.
        match errand {
            Errand::Find(name, reply) => {
                let found = timeout(PATIENCE, self.find(name)).await;
                let _ = reply.send(found.unwrap_or(Whereabouts::Unknown));
            }
            Errand::Ask(node, question, bound, reply) => {
                if let Some(answer) = self.ask(node, question, bound).await {
                    let _ = reply.send(answer);
                }
            }
            Errand::Hold(name, reply) => {
                let holding = timeout(PATIENCE, self.claim_held(&name)).await;
                let _ = reply.send(holding.unwrap_or(Holding::Unavailable));
            }
        }
    }

    async fn find(&self, name: Name) -> Whereabouts {
        let Some(asker) = self.node() else { return Whereabouts::Unknown };
        let question = Locate { name, asker, over: None, mark: Duration::ZERO };
        match self.backplane.locate(vec![question]).await.as_deref() {
            Ok([Some(owner)]) if self.is_ours(owner.node) => Whereabouts::NotElsewhere,
            Ok([Some(owner)]) if self.is_dead(owner.node) => Whereabouts::Unknown,
            Ok([Some(owner)]) => Whereabouts::At(owner.node),
            Ok(_) => Whereabouts::NotElsewhere,
            Err(error) => {
                log::debug!("cannot find a name: {error}");
                Whereabouts::Unknown
            }
        }
    }

    async fn claim_held(&self, name: &Name) -> Holding {
        let mut over = None;
        loop {
            if !self.wait_until_up().await {
                return Holding::Unavailable;
            }
            let held = self.shared.state().held.get(name).cloned();
            let (Some(node), Some(held)) = (self.node(), held) else {
                return Holding::Unavailable;
            };
            let (token, owner) = (held.token(), Owner { node, connection: held.connection });
            let claim = Claim { name: name.clone(), owner, token, link: Link::Socket, over, limit: None };
            let epoch = self.shared.state().epoch;
            match self.claim(claim).await {
                // One answer was lost: that is no outage yet.
                None => sleep(PAUSE).await,
                Some(ClaimOutcome::Granted(Granted { fence, .. })) => {
                    // What was granted before a loss may be lost, and is registered again.
                    let is_sure = self.shared.state().epoch == epoch;
                    self.note_fence(name, owner, if is_sure { fence } else { 0 });
                    return Holding::Granted;
                }
                // Of two that have held it on this node, the one that holds it now is right.
                Some(ClaimOutcome::Taken(owner)) if over != Some(owner) && self.is_gone_or_ours(owner) => {
                    over = Some(owner);
                }
                Some(_) => return Holding::Taken,
            }
        }
    }

    fn is_gone_or_ours(&self, owner: Owner) -> bool {
        self.is_dead(owner.node) || self.is_ours(owner.node)
    }

    /// A held name is claimed. It is released if nobody holds it any more.
    fn note_fence(&self, name: &Name, owner: Owner, fence: u64) {
        let mut state = self.shared.state();
        match state.held.get_mut(name).filter(|held| held.connection == owner.connection) {
            Some(held) => held.fence = fence,
            None => {
                state.releases.push((name.clone(), owner));
                drop(state);
                self.shared.asking.notify_one();
            }
        }
    }

    /// Registers held names after an outage. False if that failed.
    pub(super) async fn register_held(self: &Rc<Self>, node: NodeId, all: bool) -> bool {
        let former = self.former.get();
        let mut asked: Vec<Registration> = {
            let state = self.shared.state();
            let wanted = state.held.iter().filter(|(_, held)| all || held.fence == 0);
            let registration = |(name, held): (&Name, &Held)| Registration {
                name: name.clone(),
                owner: Owner { node, connection: held.connection },
                token: held.token(),
                link: Link::Socket,
                over: None,
                fence: held.fence,
                since: held.since,
                former,
                late: held.fence <= self.lapsed.get(),
            };
            wanted.map(registration).collect()
        };
        // The second time over the dead ones.
        for last in [false, true] {
            if asked.is_empty() {
                break;
            }
            let Ok(outcomes) = self.backplane.register(asked.clone()).await else { return false };
            let mut again = Vec::new();
            for (mut registration, outcome) in asked.into_iter().zip(outcomes) {
                match outcome {
                    RegisterOutcome::Kept(Granted { fence, former, .. }) => {
                        self.note_fence(&registration.name, registration.owner, fence);
                        let others = former.into_iter().filter(|owner| !self.is_ours(owner.node));
                        others.for_each(|owner| {
                            drop(self.tell_to_yield(&registration.name, owner, CloseReason::Outranked));
                        });
                    }
                    RegisterOutcome::Lost(owner) if !last && self.is_gone_or_ours(owner) => {
                        registration.over = Some(owner);
                        again.push(registration);
                    }
                    RegisterOutcome::Lost(_) => {
                        self.lose_held(&registration.name, registration.owner.connection);
                    }
                }
            }
            asked = again;
        }
        true
    }

    /// Another node's guest has a name of a guest of this one: its client is told.
    fn lose_held(&self, name: &Name, connection: ConnId) {
        let lost = {
            let mut state = self.shared.state();
            let is_it = state.held.get(name).is_some_and(|held| held.connection == connection);
            if is_it { state.held.remove(name) } else { None }
        };
        if let (Some(held), Some(guests)) = (lost, self.guests(name.key.as_str())) {
            guests.realm.dismiss_id(held.guest.as_str(), CloseReason::Outranked);
        }
    }

    /// The same, if it is a held name, at the request of the winner.
    pub(super) fn yield_held(&self, name: &OwnedName, connection: ConnId) {
        let held = {
            let state = self.shared.state();
            state.held.keys().find(|held| held.as_ref() == name.borrowed()).cloned()
        };
        if let Some(name) = held {
            self.lose_held(&name, connection);
        }
    }

    pub(super) fn guests(&self, key: &str) -> Option<Arc<Guests>> {
        self.node.upgrade()?.tenant(key)?.existing_guests()
    }

    /// The guest of this node that has an alias.
    pub(super) fn called(&self, alias: &NameRef<'_>) -> Option<PeerId> {
        self.guests(alias.key())?.aliases.guest(alias.name())
    }

    /// Lets a player of another node into a room of this one.
    pub(super) fn let_in(&self, from: NodeId, question: &Question) -> Answer {
        let Question::Join { key, code, name, player, seat } = question else { return Answer::No };
        let joined = match (self.guests(key), PeerId::parse(player)) {
            (Some(guests), Ok(player)) => guests.rooms.join(code, name, &player),
            _ => Err(RoomError::NoRoom),
        };
        match joined {
            Ok((playing, host)) => {
                let (name, host) = (playing.name().to_owned(), host.as_str().to_owned());
                self.seats.borrow_mut().entry(from).or_default().insert(*seat, playing);
                Answer::Joined { name, host }
            }
            Err(error) => Answer::NotJoined(error.number()),
        }
    }

    /// A player of another node gives its name up.
    pub(super) fn let_out(&self, from: NodeId, seat: u64) {
        let mut seats = self.seats.borrow_mut();
        let playing = seats.get_mut(&from).and_then(|seats| seats.remove(&seat));
        drop(seats);
        drop(playing);
    }

    /// Handles what a client of this node has posted on another.
    pub(super) async fn take_post(&self, name: &OwnedName, token: TokenDigest, text: String) -> Answer {
        let name = name.borrowed();
        let holder = || {
            let realm = self.node.upgrade()?.tenant(name.key())?.existing(RealmKind::PeerJs)?;
            realm.holder_with(&peer_id(&name)?, |known| digest(known) == token)
        };
        let posted = match (holder(), self.shared.on_post.get()) {
            (Some(peer), Some(handle)) => handle(peer, text).await,
            _ => Posted::Absent,
        };
        Answer::Posted(posted.number())
    }
}
