//! Messages for a peer that is on another node, or may be: finds it, hands them over, and takes them back if
//! it has left.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::guard::Guard;
use super::outgoing::{ForwardOutcome, Outgoing};
use super::queue::QueueEnd;
use super::remote_peers::{PeerPlace, RemotePeers, Sent};
use super::routed::{Routed, drop_message};
use super::witness;
use peerbroker_core::clock::{Instant, millis};
use peerbroker_core::vocabulary::{DropReason, MessageKind, NodeId, Owner, PeerId};
use peerbroker_events::{Count, Outcome};

/// The answer to the question where a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Located {
    /// A connection of another node has the id.
    At(Owner),
    /// No node has it. For this many milliseconds, the node on which it opens will report it.
    Nowhere(u64),
}

/// Milliseconds for which an unused place is remembered. Short: its node may be dead, and the peer elsewhere.
const REMEMBERED: u64 = 2_000;

/// Milliseconds for which a message may stay unanswered before its node is doubted.
const OVERDUE: u64 = 1_000;

/// Milliseconds between two questions for the place of a peer whose node is silent.
const SILENT_INTERVAL: u64 = 500;

/// Milliseconds for which a peer is remembered as absent, if nothing waits for it, so that not each message
/// causes a search.
const ABSENT: u64 = 1_000;

/// Most ids without a message that are remembered as sought or absent. Further ones are forgotten at once.
const MAX_REMEMBERED: usize = 16_384;

/// Time limit for an answer before the question is asked again, in milliseconds.
const LOCATE_TIMEOUT: u64 = 2_000;

/// Time for which another node may have a message. Far more than a slow client takes, which its own node sees
/// to.
const MAX_AWAY: u64 = 60_000;

impl Guard<'_> {
    /// Sends a message to a peer that is not here.
    pub(super) fn deliver_elsewhere(
        &mut self,
        from: &PeerId,
        kind: MessageKind,
        message: Outgoing,
    ) -> Routed {
        let now = self.now();
        let place = self.remote_or_new().place;
        if let PeerPlace::At(owner) = place
            && self.queue.is_none()
            && let Some(ticket) = self.forward(owner, &message)
        {
            self.record_sent(ticket, owner, message, now);
            return Routed::Delivered(None);
        }
        let expire = millis(self.realm.expire_timeout());
        let reported = matches!(place, PeerPlace::Nowhere { until } if now.plus_millis(expire) <= until);
        if reported && !kind.waits() {
            return drop_message(self.realm, &self.named(from, kind), DropReason::Absent);
        }
        let kept = self.enqueue_for(from, kind, message);
        let remote = self.remote_or_new();
        if matches!(place, PeerPlace::Nowhere { .. }) && !reported {
            remote.place = PeerPlace::Unknown;
        }
        if matches!(kept, Routed::Dropped(_)) {
            if from.is_client() && remote.has_sent(from) {
                // The sender is told of a loss that includes its messages at another node.
                remote.reported_up_to.insert(from.clone(), remote.last_ticket);
            }
        } else if remote.place == PeerPlace::Asked
            && self.queue.as_ref().is_some_and(|queue| queue.messages_of(from) == 1)
        {
            // The first asker may have many questions in front of this one.
            self.ask(from);
        }
        kept
    }

    /// Seeks the peer if messages for it are here and it is not.
    pub(super) fn seek_if_waiting(&mut self) {
        if self.conn.is_none()
            && self.queue.is_some()
            && self.realm.router.cluster.is_some()
            && !self.retired
            && self.remote_or_new().place == PeerPlace::Unknown
        {
            self.seek(self.now());
        }
    }

    /// Asks for the place of the peer.
    fn seek(&mut self, now: Instant) {
        let waiting = self.queue.as_ref().and_then(|queue| queue.front()?.from().cloned());
        let remote = self.remote_or_new();
        let on_its_way = || remote.sent.front().and_then(|sent| sent.outgoing.from().cloned());
        let Some(from) = waiting.or_else(on_its_way) else { return };
        remote.place = PeerPlace::Asked;
        remote.used = now;
        self.slot.set_due(true);
        self.ask(&from);
    }

    fn ask(&self, from: &PeerId) {
        if let Some(cluster) = &self.realm.router.cluster {
            let known_dead = self.remote().and_then(|remote| remote.known_dead);
            cluster.locate(self.realm.address(&self.slot.id), from, known_dead);
        }
    }

    /// Hands a message over to the peer's node. `None` if there is no room.
    fn forward(&self, owner: Owner, outgoing: &Outgoing) -> Option<u64> {
        let router = &self.realm.router;
        let address = self.realm.address(&self.slot.id);
        let ticket = router.next_ticket();
        router.cluster.as_ref()?.forward(owner, &address, ticket, outgoing).then_some(ticket)
    }

    fn record_sent(&mut self, ticket: u64, owner: Owner, outgoing: Outgoing, now: Instant) {
        if witness::follows()
            && let Some((from, kind)) = &outgoing.message
        {
            self.follow(from, *kind, format_args!("on its way to the node {}", owner.node));
        }
        self.slot.set_due(true);
        let remote = self.remote_or_new();
        remote.last_ticket = ticket;
        remote.used = now;
        remote.sent.push_back(Sent { ticket, owner, since: now, outgoing, returned: false });
    }

    pub(super) fn located(&mut self, located: Located) {
        let now = self.now();
        let is_here = self.conn.is_some();
        let Some(remote) = self.remote_mut().filter(|remote| !is_here && remote.place == PeerPlace::Asked)
        else {
            return;
        };
        remote.used = now;
        match located {
            Located::At(owner) => self.found(owner, now),
            Located::Nowhere(mark) => {
                remote.place = PeerPlace::Nowhere { until: now.plus_millis(mark) };
                self.end_search();
            }
        }
    }

    pub(super) fn appeared(&mut self, owner: Owner) {
        // Otherwise the messages that its old node has come back first.
        let is_open = |place: PeerPlace| !matches!(place, PeerPlace::At(_) | PeerPlace::Recalled);
        if self.conn.is_none() && self.remote().is_some_and(|remote| is_open(remote.place)) {
            self.found(owner, self.now());
        }
    }

    /// The peer is on another node. The outcomes of messages at its old node will stay unknown.
    fn found(&mut self, owner: Owner, now: Instant) {
        let cluster = self.realm.router.cluster.clone();
        let is_silent = |node| cluster.as_ref().is_some_and(|cluster| cluster.is_silent(node));
        self.lose_sent(|sent| sent.owner != owner && is_silent(sent.owner.node));
        let remote = self.remote_or_new();
        // A node that is not silent any more will say what has become of its messages. Newer ones wait for
        // that.
        let is_owed = remote.sent.iter().any(|sent| !sent.returned);
        remote.place = if is_owed { PeerPlace::Recalled } else { PeerPlace::At(owner) };
        remote.used = now;
        self.forward_queue(now);
    }

    fn forward_queue(&mut self, now: Instant) {
        let Some(PeerPlace::At(owner)) = self.remote().map(|remote| remote.place) else { return };
        let realm = self.realm;
        let Some(mut queue) = self.queue.take() else { return };
        while let Some(ticket) = queue.front().and_then(|oldest| self.forward(owner, oldest)) {
            if let Some(oldest) = queue.pop(&realm.budget) {
                self.record_sent(ticket, owner, oldest, now);
            }
        }
        self.queue = Some(queue);
        self.record_queue();
    }

    /// The peer is absent. Messages that do not wait are dropped. If there is no room for the others, their
    /// senders lose them.
    fn end_search(&mut self) {
        let realm = self.realm;
        let total = realm.router.config().limits.queue_total_bytes;
        let Some(queue) = &mut self.queue else { return };
        let dropped = queue.drop_non_queueable(&realm.budget);
        self.record_queue();
        self.count_losses(dropped, Outcome::Dropped(DropReason::Absent));
        let Some(queue) = &mut self.queue else { return };
        if queue.end_search(total, &realm.budget) {
            let wanted = queue.take_wanted();
            self.record_wanted(wanted);
            return;
        }
        let reason = DropReason::QueueTotalBytes;
        let senders = queue.senders();
        self.record_limit(reason);
        for sender in senders {
            self.drop_batch(&sender, Outcome::Dropped(reason));
            realm.router.counters().add(Count::Expired, 1);
            self.senders_to_notify.push(sender);
        }
    }

    pub(super) fn settle_sent(&mut self, ticket: u64, outcome: ForwardOutcome) {
        let Some(remote) = self.remote_mut() else { return };
        let sought = |sent: &Sent| sent.ticket == ticket && !sent.returned;
        let Some((at, sent)) = remote.sent.iter_mut().enumerate().find(|(_, sent)| sought(sent)) else {
            return;
        };
        if outcome == ForwardOutcome::NotHere {
            let from = sent.outgoing.expires_for();
            let told =
                from.and_then(|from| remote.reported_up_to.get(from)).is_some_and(|until| ticket <= *until);
            sent.returned = !told;
            remote.known_dead = Some(sent.owner);
            remote.place = PeerPlace::Recalled;
        }
        if !sent.returned
            && let Some(Sent { outgoing, .. }) = remote.sent.remove(at)
        {
            match outcome {
                ForwardOutcome::Delivered => self.count(outgoing.kind(), Outcome::Delivered),
                // Its sender has heard EXPIRE for it already.
                ForwardOutcome::NotHere => self.count_losses(outgoing.message, Outcome::Expired),
                ForwardOutcome::Dropped => self.lose(ticket, &outgoing, DropReason::OutboxFull, false),
            }
        }
        self.end_recall();
    }

    /// A message is lost. If its sender has to be told, it also loses its other messages that wait here. But
    /// if the node that had the message is gone, no later message can overtake it: the others keep waiting.
    fn lose(&mut self, ticket: u64, outgoing: &Outgoing, reason: DropReason, is_gone: bool) {
        self.count_losses(outgoing.message.clone(), Outcome::Dropped(reason));
        let (Some(from), Some(remote)) = (outgoing.expires_for(), self.remote_mut()) else { return };
        if remote.reported_up_to.get(from).is_some_and(|until| ticket <= *until) {
            return;
        }
        remote.reported_up_to.insert(from.clone(), remote.last_ticket);
        let mut lost = Vec::new();
        remote.sent.retain(|sent| {
            let goes = !is_gone && sent.returned && sent.outgoing.from() == Some(from);
            lost.extend(sent.outgoing.message.clone().filter(|_| goes));
            !goes
        });
        self.realm.router.counters().add(Count::Expired, 1);
        self.senders_to_notify.push(from.clone());
        self.count_losses(lost, Outcome::Dropped(reason));
        if !is_gone {
            self.drop_batch(from, Outcome::Dropped(reason));
        }
    }

    /// Once all returned messages are here, they wait again, in front, and the peer is sought again.
    fn end_recall(&mut self) {
        let Some(remote) = self.remote_mut() else { return };
        // Losses count as one only with messages that are still there.
        if let Some(oldest) =
            remote.sent.front().map(|sent| sent.ticket).filter(|_| !remote.reported_up_to.is_empty())
        {
            remote.reported_up_to.retain(|_, until| oldest <= *until);
        }
        if remote.sent.iter().any(|sent| !sent.returned) {
            return;
        }
        remote.reported_up_to.clear();
        remote.settled.clear();
        if remote.place != PeerPlace::Recalled {
            return;
        }
        remote.place = PeerPlace::Unknown;
        let returned = std::mem::take(&mut remote.sent);
        // A sender that has lost a message in doubt keeps these.
        let mut told = std::mem::take(&mut self.senders_to_notify);
        self.enqueue_all(returned.into_iter().rev().map(|sent| sent.outgoing), QueueEnd::Front);
        told.retain(|sender| !self.senders_to_notify.contains(sender));
        self.senders_to_notify.extend(told);
        self.slot.set_due(true);
    }

    pub(super) fn lose_node(&mut self, gone: Option<NodeId>) {
        let is_gone = |node: NodeId| gone.is_none_or(|gone| gone == node);
        let Some(remote) = self.remote_mut() else { return };
        if matches!(remote.place, PeerPlace::At(owner) if is_gone(owner.node)) {
            remote.place = PeerPlace::Recalled;
        }
        self.lose_sent(|sent| is_gone(sent.owner.node));
    }

    /// Gives up messages whose outcome will stay unknown.
    fn lose_sent(&mut self, lost: impl Fn(&Sent) -> bool) {
        while let Some(sent) = self.remote_mut().and_then(|remote| remote.take_sent(&lost)) {
            let address = self.realm.address(&self.slot.id);
            let give_up = |cluster: &Arc<dyn RemotePeers>| {
                cluster.give_up(sent.owner, &address, sent.ticket);
                cluster.is_silent(sent.owner.node)
            };
            let is_gone = self.realm.router.cluster.as_ref().is_some_and(give_up);
            self.lose(sent.ticket, &sent.outgoing, DropReason::InDoubt, is_gone);
        }
        self.end_recall();
    }

    pub(super) fn recall(&mut self) -> Option<oneshot::Receiver<()>> {
        let remote = self.remote_mut().filter(|remote| !remote.sent.is_empty())?;
        remote.place = PeerPlace::Recalled;
        let (settled, receiver) = oneshot::channel();
        remote.settled.push(settled);
        Some(receiver)
    }

    /// The peer has opened here.
    pub(super) fn end_remote(&mut self) {
        if self.remote().is_some() {
            self.lose_sent(|_| true);
            self.rare().remote = None;
        }
    }

    /// Called by the sweeper. Asks again, forwards messages that had no room, and forgets an unused place.
    pub(super) fn sweep_remote(&mut self, now: Instant) {
        let Some(remote) = self.remote_mut() else { return };
        let idle = now.millis_since(remote.used);
        if remote.place == PeerPlace::Asked && idle >= LOCATE_TIMEOUT {
            remote.place = PeerPlace::Unknown;
        }
        let remembered = match remote.place {
            PeerPlace::At(_) => REMEMBERED,
            PeerPlace::Nowhere { .. } => ABSENT,
            PeerPlace::Unknown | PeerPlace::Asked | PeerPlace::Recalled => 0,
        };
        if self.is_idle() && idle >= remembered {
            self.rare().remote = None;
            return;
        }
        self.lose_sent(|sent| now.millis_since(sent.since) >= MAX_AWAY);
        self.forward_queue(now);
        self.doubt_silent(now);
    }

    /// Doubts a node that has owed an answer for long. If it is silent, its clients may have moved to others,
    /// so they are sought again and again.
    fn doubt_silent(&mut self, now: Instant) {
        let (Some(cluster), Some(remote)) = (&self.realm.router.cluster, self.remote()) else { return };
        let oldest = remote.sent.iter().find(|sent| !sent.returned);
        let node = match (remote.place, oldest) {
            (PeerPlace::At(Owner { node, .. }), _) => node,
            (PeerPlace::Recalled, Some(oldest)) => oldest.owner.node,
            _ => return,
        };
        let is_silent = cluster.is_silent(node);
        if is_silent || oldest.is_some_and(|sent| now.millis_since(sent.since) >= OVERDUE) {
            cluster.doubt(node);
        }
        if is_silent && now.millis_since(remote.used) >= SILENT_INTERVAL {
            self.seek(now);
        }
    }

    /// True if the peer is sought, or has to be soon: unless it is nowhere.
    pub(super) fn is_sought(&self) -> bool {
        self.remote().is_some_and(|remote| !matches!(remote.place, PeerPlace::Nowhere { .. }))
    }

    /// True if no message for the peer is here or on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_none() && self.remote().is_none_or(|remote| remote.sent.is_empty())
    }

    /// Forgets an absent or sought id without waiting messages, if too many of them are remembered.
    pub(super) fn bound_memory(&mut self) {
        let realm = self.realm;
        let is_idle = self.is_idle();
        let Some(remote) = self.remote_mut().filter(|_| is_idle) else { return };
        if matches!(remote.place, PeerPlace::Asked | PeerPlace::Nowhere { .. }) && remote.remembered.is_none()
        {
            remote.remembered = realm.router.remembered.reserve(1, MAX_REMEMBERED);
            if remote.remembered.is_none() {
                self.rare().remote = None;
            }
        }
    }
}
