//! What is asked of the directory of names, many at once.

use std::collections::HashMap;
use std::iter;
use std::rc::Rc;

use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::Worker;
use super::opening::peer_id;
use crate::broker::{Located, Realm};
use crate::clock::millis;
use crate::cluster::packet::Packet;
use crate::cluster::{Backplane, Claim, ClaimOutcome, Entity, Granted, Locate, Name, Owner};
use crate::events::PeerAddress;
use crate::node::membership::{Ask, name_of, name_of_peer};
use crate::node::turns::Line as _;
use crate::wire::{CloseReason, Frame, NodeId, RealmKind};
use std::sync::Arc;
use std::time::Duration;

/// How long to wait until claims are given back once more.
const PAUSE: Duration = Duration::from_millis(100);

/// Most questions where a peer is in one request.
const LOCATED_AT_ONCE: usize = 64;

/// Most such requests at a time.
const LOCATING: usize = 2;

/// How much longer than a message it is noted where one waits, so that the next messages need no question.
const MARKED: u32 = 4;

impl<B: Backplane> Worker<B> {
    pub(super) async fn claim_all(
        self: Rc<Self>,
        claims: Vec<(Claim, oneshot::Sender<Option<ClaimOutcome>>)>,
    ) {
        if !self.shared.may_claim(&self.shared.state()) {
            // An outage has begun since. Without replies, they are tried again.
            return;
        }
        let (claims, replies): (Vec<_>, Vec<_>) = claims.into_iter().unzip();
        match self.backplane.claim(self.store.get(), claims.clone()).await {
            Ok(outcomes) => {
                for ((claim, outcome), reply) in claims.into_iter().zip(outcomes).zip(replies) {
                    if let Err(Some(ClaimOutcome::Granted(Granted { former, .. }))) =
                        reply.send(Some(outcome))
                    {
                        self.dismiss(&claim.name, former);
                        self.give_back(claim);
                    }
                }
            }
            Err(error) => {
                log::debug!("cannot claim ids: {error}");
                self.check_store();
                drop(replies);
                self.abandon(claims).await;
            }
        }
    }

    /// Gives back claims that may have been granted without an answer. They may have displaced connections that nobody has
    /// told, so every node looks whether it has one of them, and registers it again.
    async fn abandon(self: &Rc<Self>, claims: Vec<Claim>) {
        let is_first = self.abandoned.borrow().is_empty();
        self.abandoned.borrow_mut().extend(claims.into_iter().map(|claim| (claim.name, claim.owner)));
        if !is_first {
            return;
        }
        while !self.is_closed() {
            let abandoned = self.abandoned.borrow().clone();
            if self.backplane.release(abandoned.clone()).await.is_err() {
                sleep(PAUSE).await;
                continue;
            }
            // Told with the next renewal: this node may have lost its lease meanwhile, and with it its voice.
            self.given_back.borrow_mut().extend(abandoned.iter().map(|(name, _)| name.clone()));
            self.abandoned.borrow_mut().drain(..abandoned.len());
            if self.abandoned.borrow().is_empty() {
                return;
            }
        }
    }

    /// Tells the connections that a claim has displaced. Its client has left, and nobody else would tell them.
    fn dismiss(self: &Rc<Self>, name: &Name, former: Vec<Owner>) {
        for owner in former {
            if !self.is_ours(owner.node) {
                drop(self.tell_to_yield(name, owner, CloseReason::Replaced));
            } else if let (Some(realm), Some(id)) = (self.realm_of(&name.as_ref()), peer_id(&name.as_ref())) {
                realm.yield_id(&id, owner.connection, CloseReason::Replaced);
            }
        }
    }

    fn give_back(&self, claim: Claim) {
        self.shared.state().releases.push((claim.name, claim.owner));
        self.shared.asking.notify_one();
    }

    pub(super) async fn release_all(self: Rc<Self>, releases: Vec<(Name, Owner)>) {
        // What is not released belongs to connections that are not there, as every claim finds out.
        if let Err(error) = self.backplane.release(releases).await {
            log::debug!("cannot release ids: {error}");
        }
    }

    /// Finds peers for which messages wait here, for as long as the node runs. A flood of questions must not delay claims and
    /// messages, which use the same backplane.
    pub(super) async fn locate_always(self: Rc<Self>) {
        let in_flight = Arc::new(Semaphore::new(LOCATING));
        while let Ok(permit) = Arc::clone(&in_flight).acquire_owned().await {
            let asks = self.next_asks();
            if asks.is_empty() {
                self.shared.locating.notified().await;
                continue;
            }
            let worker = Rc::clone(&self);
            spawn_local(async move {
                worker.locate_all(asks).await;
                drop(permit);
            });
        }
    }

    fn next_asks(&self) -> Vec<Ask> {
        let mut state = self.shared.state();
        iter::from_fn(|| state.asks.pop()).take(LOCATED_AT_ONCE).collect()
    }

    async fn locate_all(self: Rc<Self>, mut asks: Vec<Ask>) {
        // Some messages have expired meanwhile, or another sender was earlier.
        asks.retain(|(peer, _)| self.realm(peer).is_some_and(|realm| realm.is_sought(&peer.id)));
        if asks.is_empty() {
            return;
        }
        let mark = self.mark();
        // The second time over those that turn out to be gone.
        for is_last in [false, true] {
            let mut again = Vec::new();
            let peers = asks.iter().map(|(peer, over)| (peer, *over));
            let Some(mut owners) = self.locate(peers, mark).await else { return };
            self.seek_aliases(&asks, &mut owners).await;
            for ((peer, _), owner) in asks.into_iter().zip(owners) {
                let Some(realm) = self.realm(&peer) else { continue };
                match owner {
                    None => realm.located(&peer.id, Located::Nowhere(millis(mark))),
                    Some(owner) if !is_last && self.is_gone_here(&realm, &peer, owner) => {
                        again.push((peer, Some(owner)));
                    }
                    // It opens here in a moment.
                    Some(owner) if self.is_ours(owner.node) => {}
                    Some(owner) => realm.located(&peer.id, Located::At(owner)),
                }
            }
            if again.is_empty() {
                return;
            }
            asks = again;
        }
    }

    /// Guests that were not found are sought under their aliases. An owner that is gone counts as none.
    async fn seek_aliases(&self, asks: &[Ask], owners: &mut [Option<Owner>]) {
        let guests = asks
            .iter()
            .zip(owners)
            .filter(|((peer, _), owner)| owner.is_none() && peer.realm == RealmKind::Guests);
        let sought: Vec<_> = guests.map(|((peer, over), owner)| (name_of_peer(peer), over, owner)).collect();
        let (Some(asker), false) = (self.node(), sought.is_empty()) else { return };
        let question = |name: &Name, over: Option<Owner>| {
            let name = Name { entity: Entity::Alias, ..name.clone() };
            Locate { name, asker, over, mark: Duration::ZERO }
        };
        let questions = sought.iter().map(|(name, over, _)| question(name, **over)).collect();
        let located = self.backplane.locate(questions).await.unwrap_or_default();
        for ((_, _, owner), found) in sought.into_iter().zip(located) {
            *owner = found.filter(|found| !self.is_ours(found.node) && !self.is_dead(found.node));
        }
    }

    /// Tells peers something, wherever they are.
    pub(super) async fn notify_all(self: Rc<Self>, notices: HashMap<PeerAddress, Vec<Frame>>) {
        let peers = notices.keys().map(|peer| (peer, None));
        let Some(owners) = self.locate(peers, Duration::from_millis(1)).await else { return };
        let found = notices.iter().zip(owners).filter_map(|((peer, all), owner)| Some((peer, all, owner?)));
        for (peer, notice, owner) in
            found.flat_map(|(peer, all, owner)| all.iter().map(move |one| (peer, one, owner)))
        {
            if self.is_ours(owner.node) {
                if let (Some(realm), Ok(text)) = (self.realm(peer), std::str::from_utf8(notice.payload())) {
                    drop(realm.accept_notice(&peer.id, owner.connection, Frame::of_text(text)));
                }
                continue;
            }
            let Ok(payload) = std::str::from_utf8(notice.payload()) else { continue };
            let (to, connection) = (name_of(peer), owner.connection.get());
            self.shared.say(owner.node, &Packet::Notice { to, connection, payload });
        }
    }

    async fn locate<'a>(
        &self,
        peers: impl Iterator<Item = (&'a PeerAddress, Option<Owner>)>,
        mark: Duration,
    ) -> Option<Vec<Option<Owner>>> {
        let asker = self.node()?;
        let questions =
            peers.map(|(peer, over)| Locate { name: name_of_peer(peer), asker, over, mark }).collect();
        let located = self.backplane.locate(questions).await;
        located.inspect_err(|error| log::debug!("cannot find peers: {error}")).ok()
    }

    fn is_gone_here(&self, realm: &Realm, peer: &PeerAddress, owner: Owner) -> bool {
        let is_ours = self.is_ours(owner.node);
        self.is_dead(owner.node)
            || (is_ours && !realm.is_held_by(&peer.id, owner.connection) && !self.opens(peer))
    }

    /// Whether a client is getting this id here.
    pub(super) fn opens(&self, peer: &PeerAddress) -> bool {
        self.shared.state().opening.contains_key(&name_of_peer(peer))
    }

    fn mark(&self) -> Duration {
        let node = self.node.upgrade();
        node.map_or(Duration::ZERO, |node| node.config().load().limits.expire_timeout * MARKED)
    }

    pub(super) fn realm(&self, peer: &PeerAddress) -> Option<Arc<Realm>> {
        self.node.upgrade()?.tenant(peer.key.as_str())?.existing(peer.realm)
    }

    /// Takes the clients of dead nodes out of the count of a key. False if there are none.
    pub(super) async fn discount_dead(&self, name: &Name, nodes: &[NodeId]) -> bool {
        let mut any = false;
        for dead in nodes.iter().filter(|node| self.is_dead(**node)) {
            any |= self.backplane.count(&name.key, *dead, 0).await.is_ok();
        }
        any
    }
}
