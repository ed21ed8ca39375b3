//! Requests to the directory of names: it gives a client an id that nobody in the cluster has, and finds
//! peers. Claims, releases, searches and notices go there many at once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::iter;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::join;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{sleep, timeout};

use super::{DIRECTORY_TIMEOUT, RETRY_DELAY, Worker};
use crate::fair_queue::Queue as _;
use crate::membership::{Ask, ClaimedName, OpenRequest, Opening, PendingName, digest, name_of, name_of_peer};
use crate::packet::{NodeAnswer, Packet, Question};
use crate::{Backplane, Claim, ClaimOutcome, Entity, Granted, Locate, Name, Owner, Whereabouts};
use peerbroker_core::clock::millis;
use peerbroker_core::vocabulary::{
    CloseReason, ConnectionKind, Frame, NameKind, NodeId, PeerId, RealmKind, Refusal,
};
use peerbroker_events::PeerAddress;
use peerbroker_router::{ClaimedId, Located, Realm, RemotePeers};

/// Time for which a claim waits for an older connection to end, and then for the messages that its node had.
const YIELD_TIMEOUT: Duration = Duration::from_secs(2);

/// Time limit for an answer to a client that asks for an id.
const MAX_OPENING: Duration = Duration::from_secs(6);

/// Time by which a node waits longer for another's probe than for its own.
const PROBE_MARGIN: Duration = Duration::from_secs(1);

/// Most questions where a peer is in one request.
const LOCATE_BATCH: usize = 64;

/// Most such requests at a time.
const LOCATING: usize = 2;

/// Multiple of the lifetime of a message for which its recipient stays noted, so that the next messages need
/// no question.
const MARKED: u32 = 4;

impl<B: Backplane> Worker<B> {
    /// Opens an id for a client. Continues if the client leaves, because its claim may have displaced a
    /// connection, which has to be told.
    pub(super) async fn open(self: &Rc<Self>, request: OpenRequest) -> Opening {
        match timeout(MAX_OPENING, self.claim_name(&request)).await {
            Ok(opening) => opening,
            Err(_) if self.shared.is_by_itself() => self.shared.by_itself(),
            Err(_) => Err(Refusal::Unavailable),
        }
    }

    async fn claim_name(
        self: &Rc<Self>,
        OpenRequest { realm, id, token, kind, address }: &OpenRequest,
    ) -> Opening {
        let limits = realm.limits();
        let name = name_of_peer(&realm.address(id));
        let mut claimed = self.begin_opening(realm, id, &name).await;
        let mut known_dead = None;
        let mut probed = None;
        let mut counted = false;
        let mut last_place = None;
        loop {
            if !self.wait_until_up().await {
                return self.shared.by_itself();
            }
            let Some(node) = self.node() else { continue };
            let connection = realm.next_connection();
            let epoch = self.shared.state.lock().epoch;
            let claim = Claim {
                name: name.clone(),
                owner: Owner { node, connection },
                token: digest(token.as_str()),
                kind: *kind,
                known_dead,
                limit: Some(if last_place.is_some() { limits.limit() } else { limits.limit_before_last() }),
            };
            match self.claim(claim).await {
                // One answer was lost: that is no outage yet.
                None => sleep(RETRY_DELAY).await,
                Some(ClaimOutcome::Granted(Granted { fence, replaced, former, waiting })) => {
                    claimed.claim = Some(ClaimedId { connection, fence });
                    claimed.last_place = last_place;
                    claimed.node = Some(node);
                    claimed.waiting = waiting;
                    claimed.epoch = epoch;
                    claimed.continues_stream = replaced.is_some_and(|(owner, was)| {
                        was == ConnectionKind::Stream && owner.node != node && !self.is_dead(owner.node)
                    });
                    self.take_over(realm, id, &name, former).await;
                    return Ok(Some(claimed));
                }
                Some(ClaimOutcome::Full(nodes)) => {
                    if last_place.is_none() {
                        last_place = limits.last_place(*address);
                        if last_place.is_some() {
                            continue;
                        }
                    }
                    if std::mem::replace(&mut counted, true) || !self.discount_dead(&name, &nodes).await {
                        return Err(Refusal::LimitReached);
                    }
                }
                Some(ClaimOutcome::Taken(owner) | ClaimOutcome::Elsewhere(owner))
                    if self.is_gone(realm, id, owner)
                        || (self.is_ours(owner.node) && realm.is_open_to(id, *address)) =>
                {
                    known_dead = Some(owner);
                }
                Some(ClaimOutcome::Elsewhere(_)) => return Err(Refusal::Elsewhere),
                Some(ClaimOutcome::Taken(owner)) if self.is_ours(owner.node) => return Ok(None),
                Some(ClaimOutcome::Taken(owner)) if probed == Some(owner) => return Err(Refusal::IdTaken),
                Some(ClaimOutcome::Taken(owner)) => {
                    probed = Some(owner);
                    if self.is_alive_there(realm, &name, owner).await {
                        return Err(Refusal::IdTaken);
                    }
                    known_dead = Some(owner);
                }
            }
        }
    }

    /// Begins to open a name: one client of this node at a time does, and the next one builds on the outcome.
    async fn begin_opening(&self, realm: &Arc<Realm>, id: &PeerId, name: &Name) -> ClaimedName {
        loop {
            let opened = self.shared.opened.notified();
            if let Entry::Vacant(vacant) = self.shared.state.lock().opening.entry(name.clone()) {
                vacant.insert(None);
                let membership = Arc::clone(&self.shared);
                let realm = Arc::clone(realm);
                let pending = PendingName { membership, realm, id: id.clone(), name: name.clone() };
                let mut claimed = ClaimedName::default();
                claimed.pending = Some(pending);
                return claimed;
            }
            opened.await;
        }
    }

    /// True if the owner of a record is certainly not there: its node is dead, or is this one and knows
    /// better.
    pub(super) fn is_gone(&self, realm: &Realm, id: &PeerId, owner: Owner) -> bool {
        self.is_dead(owner.node) || (self.is_ours(owner.node) && !realm.is_held_by(id, owner.connection))
    }

    /// Asks a peer of any node for a sign of life. If the directory cannot be asked, it is taken for alive;
    /// if its node is silent, for gone.
    pub(super) async fn peer_is_alive(&self, realm: &Realm, id: &PeerId) -> bool {
        if realm.contains(id.as_str()) {
            return realm.is_alive(id).await;
        }
        let name = name_of_peer(&realm.address(id));
        let located = self.locate([(name.clone(), None)].into_iter(), Duration::ZERO);
        match timeout(DIRECTORY_TIMEOUT, located).await.ok().flatten().as_deref() {
            None => true,
            Some([Some(owner)]) if self.is_gone(realm, id, *owner) => false,
            Some([Some(owner)]) => {
                let (is_alive, ()) = join!(self.is_alive_there(realm, &name, *owner), self.check(owner.node));
                is_alive && !self.shared.is_silent(owner.node)
            }
            Some(_) => false,
        }
    }

    /// Asks another node whether the client of a connection is alive. A node that does not answer is taken
    /// for alive.
    pub(super) async fn is_alive_there(&self, realm: &Realm, name: &Name, owner: Owner) -> bool {
        let question = Question::Alive(name.as_ref().to_owned_name(), owner.connection.get());
        let bound = realm.probe_timeout() + PROBE_MARGIN;
        self.ask(owner.node, question, bound).await != Some(NodeAnswer::No)
    }

    /// Ends the connection that had the id before, and waits for the messages that its node had from us: so
    /// they stay in order, and no two connections have the id.
    async fn take_over(self: &Rc<Self>, realm: &Realm, id: &PeerId, name: &Name, former: Vec<Owner>) {
        let told = join_all(self.notify_former(name, former, CloseReason::Replaced));
        // A node that does not answer in time is not waited for, and is told as soon as it can be.
        let is_told = timeout(YIELD_TIMEOUT, told).await.is_ok();
        if let Some(settled) = realm.recall(id)
            && is_told
        {
            // Later messages are lost: the broker tells the senders. A silent node will not answer for
            // messages either.
            let _ = timeout(YIELD_TIMEOUT, settled).await;
        }
    }

    /// Tells the connections of other nodes that lost a name: until their nodes have heard it, or are dead.
    pub(super) fn notify_former(
        self: &Rc<Self>,
        name: &Name,
        former: Vec<Owner>,
        why: CloseReason,
    ) -> Vec<JoinHandle<()>> {
        let others = former.into_iter().filter(|owner| !self.is_ours(owner.node));
        let tell = |owner: Owner| {
            let worker = Rc::clone(self);
            let question =
                Question::Yield(name.as_ref().to_owned_name(), owner.connection.get(), why.number());
            spawn_local(async move {
                while !worker.is_dead(owner.node)
                    && !worker.is_closed()
                    && worker.ask(owner.node, question.clone(), YIELD_TIMEOUT).await.is_none()
                {
                    sleep(RETRY_DELAY).await;
                }
            })
        };
        others.map(tell).collect()
    }

    /// False in an outage.
    pub(super) async fn wait_until_up(&self) -> bool {
        while !self.shared.may_claim(&self.shared.state.lock()) {
            if self.shared.state.lock().is_out {
                return false;
            }
            self.renewed.notified().await;
        }
        true
    }

    pub(super) async fn claim_all(self: Rc<Self>, claims: Vec<(Claim, oneshot::Sender<ClaimOutcome>)>) {
        if !self.shared.may_claim(&self.shared.state.lock()) {
            // An outage has begun since. Requests without replies are tried again.
            return;
        }
        let (claims, replies): (Vec<_>, Vec<_>) = claims.into_iter().unzip();
        match self.backplane.claim(self.outages.store(), claims.clone()).await {
            Ok(outcomes) => {
                for ((claim, outcome), reply) in claims.into_iter().zip(outcomes).zip(replies) {
                    if let Err(ClaimOutcome::Granted(Granted { former, .. })) = reply.send(outcome) {
                        self.dismiss(&claim.name, former);
                        self.shared.give_back(claim.name, claim.owner);
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

    /// Gives back claims that may have been granted without an answer. They may have displaced connections
    /// that were not told, so every node checks whether it has one of them, and registers it again.
    async fn abandon(self: &Rc<Self>, claims: Vec<Claim>) {
        if !self.calls.abandon(claims) {
            return;
        }
        while !self.is_closed() {
            let abandoned = self.calls.abandoned();
            let count = abandoned.len();
            if self.backplane.release(abandoned).await.is_err() {
                sleep(RETRY_DELAY).await;
                continue;
            }
            // Told with the next renewal: this node may have lost its lease in between, and then may not
            // speak.
            if self.calls.give_back(count) {
                return;
            }
        }
    }

    /// Tells the connections that a claim has displaced. Its client has left, so no other node would tell
    /// them.
    fn dismiss(self: &Rc<Self>, name: &Name, former: Vec<Owner>) {
        if let Some((realm, id)) = self.peer_of(&name.as_ref()) {
            let ours = former.iter().filter(|owner| self.is_ours(owner.node));
            ours.for_each(|owner| realm.yield_id(&id, owner.connection, CloseReason::Replaced));
        }
        self.notify_former(name, former, CloseReason::Replaced);
    }

    pub(super) async fn release_all(self: Rc<Self>, releases: Vec<(Name, Owner)>) {
        // Unreleased counts belong to connections that do not exist, as every claim finds out.
        if let Err(error) = self.backplane.release(releases).await {
            log::debug!("cannot release ids: {error}");
        }
    }

    /// Finds peers for which messages wait here, for as long as the node runs. A flood of searches must not
    /// delay claims and messages, which use the same backplane.
    pub(super) async fn locate_always(self: Rc<Self>) {
        let in_flight = Arc::new(Semaphore::new(LOCATING));
        while let Ok(permit) = Arc::clone(&in_flight).acquire_owned().await {
            let asks: Vec<Ask> = {
                let mut state = self.shared.state.lock();
                iter::from_fn(|| state.asks.pop()).take(LOCATE_BATCH).collect()
            };
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

    async fn locate_all(self: Rc<Self>, mut asks: Vec<Ask>) {
        // Some messages have expired since, or another sender was earlier.
        asks.retain(|(peer, _)| self.realm(peer).is_some_and(|realm| realm.is_sought(&peer.id)));
        if asks.is_empty() {
            return;
        }
        let expire = asks.iter().filter_map(|(peer, _)| Some(self.realm(peer)?.expire_timeout())).max();
        let mark = expire.unwrap_or_default() * MARKED;
        // The second time over those that turn out to be gone.
        for is_last in [false, true] {
            let mut again = Vec::new();
            let names = asks.iter().map(|(peer, known_dead)| (name_of_peer(peer), *known_dead));
            let Some(mut owners) = self.locate(names, mark).await else { return };
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

    /// Guests that were not found are sought under their aliases. An owner that has left counts as none.
    async fn seek_aliases(&self, asks: &[Ask], owners: &mut [Option<Owner>]) {
        let is_sought =
            |(ask, owner): &(&Ask, &mut Option<Owner>)| owner.is_none() && ask.0.realm == RealmKind::Guests;
        let sought: Vec<_> = asks.iter().zip(owners).filter(is_sought).collect();
        if sought.is_empty() {
            return;
        }
        let alias = |(peer, known_dead): &Ask| {
            (Name { entity: Entity::Name(NameKind::Alias), ..name_of_peer(peer) }, *known_dead)
        };
        let names = sought.iter().map(|(ask, _)| alias(ask));
        let located = self.locate(names, Duration::ZERO).await.unwrap_or_default();
        for ((_, owner), found) in sought.into_iter().zip(located) {
            *owner = found.filter(|found| !self.is_ours(found.node) && !self.is_dead(found.node));
        }
    }

    /// Finds the node of a name.
    pub(super) async fn find(&self, name: Name) -> Whereabouts {
        match self.locate([(name, None)].into_iter(), Duration::ZERO).await.as_deref() {
            None => Whereabouts::Unknown,
            Some([Some(owner)]) if self.is_ours(owner.node) => Whereabouts::NotElsewhere,
            Some([Some(owner)]) if self.is_dead(owner.node) => Whereabouts::Unknown,
            Some([Some(owner)]) => Whereabouts::At(owner.node),
            Some(_) => Whereabouts::NotElsewhere,
        }
    }

    /// Sends notices to peers on any node.
    pub(super) async fn notify_all(self: Rc<Self>, notices: HashMap<PeerAddress, Vec<Frame>>) {
        let names = notices.keys().map(|peer| (name_of_peer(peer), None));
        let Some(owners) = self.locate(names, Duration::from_millis(1)).await else { return };
        for ((peer, notices), owner) in notices.into_iter().zip(owners) {
            let Some(owner) = owner else { continue };
            for notice in notices {
                if !self.is_ours(owner.node) {
                    let to = name_of(&peer);
                    let connection = owner.connection.get();
                    self.shared.say(owner.node, &Packet::Notice { to, connection, frame: (&notice).into() });
                } else if let Some(realm) = self.realm(&peer)
                    && let Some(flush) = realm.accept_notice(&peer.id, owner.connection, notice)
                {
                    flush.flush();
                }
            }
        }
    }

    /// The owners of names, other than the one that is known to be gone.
    async fn locate(
        &self,
        names: impl Iterator<Item = (Name, Option<Owner>)>,
        mark: Duration,
    ) -> Option<Vec<Option<Owner>>> {
        let asker = self.node()?;
        let questions = names.map(|(name, known_dead)| Locate { name, asker, known_dead, mark }).collect();
        let located = self.backplane.locate(questions).await;
        located.inspect_err(|error| log::debug!("cannot find names: {error}")).ok()
    }

    fn is_gone_here(&self, realm: &Realm, peer: &PeerAddress, owner: Owner) -> bool {
        let is_ours = self.is_ours(owner.node);
        self.is_dead(owner.node)
            || (is_ours && !realm.is_held_by(&peer.id, owner.connection) && !self.opens(peer))
    }

    /// True if a client is getting this id here.
    pub(super) fn opens(&self, peer: &PeerAddress) -> bool {
        self.shared.state.lock().opening.contains_key(&name_of_peer(peer))
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
