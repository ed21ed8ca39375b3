//! How a client gets an id that nobody in the cluster has.

use std::collections::hash_map::Entry;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{sleep, timeout};

use super::Worker;
use crate::broker::{ClaimedId, Realm};
use crate::cluster::packet::{Answer, NameRef, Question};
use crate::cluster::{Backplane, Claim, ClaimOutcome, Entity, Granted, Name, Owner};
use crate::config::Degraded;
use crate::node::errand::digest;
use crate::node::membership::{ClaimedName, Membership, OpenRequest, Opening, PendingName, name_of_peer};
use crate::wire::{CloseReason, ConnId, Link, PeerId};

/// How long a claim waits for an older connection to end, and then for the messages that its node had.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long to wait after a claim without an answer.
const PAUSE: Duration = Duration::from_millis(100);

/// Longest time until a client that asks for an id has an answer.
const MAX_OPENING: Duration = Duration::from_secs(6);

/// How much longer than a probe of its own a node waits for another's.
const PROBE_MARGIN: Duration = Duration::from_secs(1);

impl Membership {
    /// The answer to a client in an outage.
    pub(in crate::node) fn by_itself(&self) -> Opening {
        match self.config.degraded {
            Degraded::Allow => Opening::Granted(ClaimedName::unclaimed()),
            Degraded::Refuse => Opening::Unavailable,
        }
    }
}

impl<B: Backplane> Worker<B> {
    /// Opens an id for a client. Goes on if the client leaves, because a claim that nobody waits for may have displaced
    /// somebody, who has to be told.
    pub(super) async fn open(self: Rc<Self>, request: OpenRequest, reply: oneshot::Sender<Opening>) {
        let opening = tokio::select! {
            biased;
            opening = self.claim_name(&request) => opening,
            () = sleep(MAX_OPENING) => {
                if self.shared.is_by_itself() { self.shared.by_itself() } else { Opening::Unavailable }
            }
        };
        // A client that has left meanwhile drops its claim.
        let _ = reply.send(opening);
    }

    async fn claim_name(
        self: &Rc<Self>,
        OpenRequest { realm, id, token, link, address }: &OpenRequest,
    ) -> Opening {
        let name = name_of_peer(&realm.address(id));
        let mut claimed = self.begin_opening(realm, id, &name).await;
        let (mut over, mut probed, mut counted) = (None, None, false);
        loop {
            if !self.wait_until_up().await {
                return self.shared.by_itself();
            }
            let Some(node) = self.node() else { continue };
            let connection = realm.next_connection();
            let epoch = self.shared.state().epoch;
            let claim = Claim {
                name: name.clone(),
                owner: Owner { node, connection },
                token: digest(token),
                link: *link,
                over,
                limit: Some(realm.limit()),
            };
            match self.claim(claim).await {
                // One answer was lost: that is no outage yet.
                None => sleep(PAUSE).await,
                Some(ClaimOutcome::Granted(Granted { fence, replaced, former, waiting })) => {
                    claimed.claim = Some(ClaimedId { connection, fence });
                    (claimed.node, claimed.waiting, claimed.epoch) = (Some(node), waiting, epoch);
                    claimed.continues_stream = replaced.is_some_and(|(owner, was)| {
                        was == Link::Stream && owner.node != node && !self.is_dead(owner.node)
                    });
                    self.take_over(realm, id, &name, former).await;
                    return Opening::Granted(claimed);
                }
                Some(ClaimOutcome::Full(nodes)) => {
                    if std::mem::replace(&mut counted, true) || !self.discount_dead(&name, &nodes).await {
                        return Opening::Full;
                    }
                }
                Some(ClaimOutcome::Taken(owner) | ClaimOutcome::Elsewhere(owner))
                    if self.is_gone(realm, id, owner)
                        || (self.is_ours(owner.node) && realm.is_open_to(id, *address)) =>
                {
                    over = Some(owner);
                }
                Some(ClaimOutcome::Elsewhere(_)) => return Opening::Elsewhere,
                Some(ClaimOutcome::Taken(owner)) if self.is_ours(owner.node) => return Opening::TakenHere,
                Some(ClaimOutcome::Taken(owner)) if probed == Some(owner) => return Opening::Taken,
                Some(ClaimOutcome::Taken(owner)) => {
                    probed = Some(owner);
                    if self.is_alive_there(realm, &name, owner).await {
                        return Opening::Taken;
                    }
                    over = Some(owner);
                }
            }
        }
    }

    /// One client of this node at a time opens a name: the outcome of one is what the next one meets.
    async fn begin_opening(&self, realm: &Arc<Realm>, id: &PeerId, name: &Name) -> ClaimedName {
        loop {
            let opened = self.shared.opened.notified();
            if let Entry::Vacant(vacant) = self.shared.state().opening.entry(name.clone()) {
                vacant.insert(None);
                let (membership, realm) = (Arc::clone(&self.shared), Arc::clone(realm));
                let pending = PendingName { membership, realm, id: id.clone(), name: name.clone() };
                let mut claimed = ClaimedName::unclaimed();
                claimed.pending = Some(pending);
                return claimed;
            }
            opened.await;
        }
    }

    /// Whether the owner of a record is certainly not there: its node is dead, or is this one and knows better.
    pub(super) fn is_gone(&self, realm: &Realm, id: &PeerId, owner: Owner) -> bool {
        self.is_dead(owner.node) || (self.is_ours(owner.node) && !realm.is_held_by(id, owner.connection))
    }

    /// Asks another node whether the client of a connection is alive. One that does not answer is.
    pub(super) async fn is_alive_there(&self, realm: &Realm, name: &Name, owner: Owner) -> bool {
        let question = Question::Alive(name.to_owned_name(), owner.connection.get());
        let bound = realm.probe_timeout() + PROBE_MARGIN;
        self.ask(owner.node, question, bound).await != Some(Answer::No)
    }

    /// Ends the connection that had the id before, and waits for the messages that its node had from us: so they stay in
    /// order, and no two connections have the id.
    async fn take_over(self: &Rc<Self>, realm: &Realm, id: &PeerId, name: &Name, former: Vec<Owner>) {
        let others = former.into_iter().filter(|owner| !self.is_ours(owner.node));
        let told: Vec<_> =
            others.map(|owner| self.tell_to_yield(name, owner, CloseReason::Replaced)).collect();
        let all_told = async {
            for told in told {
                let _ = told.await;
            }
        };
        // One that does not answer in time is not waited for, and is told as soon as it can be.
        let is_told = timeout(PATIENCE, all_told).await.is_ok();
        if let Some(settled) = realm.recall(id)
            && is_told
        {
            // Too late is lost: the broker tells the senders. A node that is silent will not answer for messages either.
            let _ = timeout(PATIENCE, settled).await;
        }
    }

    /// Tells a connection of another node that its id is another's: until its node has heard it, or is dead.
    pub(super) fn tell_to_yield(
        self: &Rc<Self>,
        name: &Name,
        owner: Owner,
        why: CloseReason,
    ) -> JoinHandle<()> {
        let (worker, question) = (Rc::clone(self), yield_name(name, owner.connection, why));
        spawn_local(async move {
            while !worker.is_dead(owner.node)
                && !worker.is_closed()
                && worker.ask(owner.node, question.clone(), PATIENCE).await.is_none()
            {
                sleep(PAUSE).await;
            }
        })
    }

    /// False in an outage.
    pub(super) async fn wait_until_up(&self) -> bool {
        while !self.shared.may_claim(&self.shared.state()) {
            if self.shared.state().is_out {
                return false;
            }
            self.renewed.notified().await;
        }
        true
    }
}

/// The question that ends a connection.
pub(super) fn yield_name(name: &Name, connection: ConnId, why: CloseReason) -> Question {
    Question::Yield(name.to_owned_name(), connection.get(), why.number())
}

/// The id of a peer in a packet.
pub(super) fn peer_id(name: &NameRef<'_>) -> Option<PeerId> {
    match name.entity()? {
        Entity::Peer(_) => PeerId::parse(name.name()).ok(),
        Entity::Room | Entity::Alias => None,
    }
}
