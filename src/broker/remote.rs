//! Messages for a peer that is on another node, or may be: it is sought, gets them there, and they come back if it has left.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::delivery::Routed;
use super::guard::Guard;
use super::outgoing::{HandOver, Outgoing};
use super::place::{Place, Sent};
use super::queue::QueueEnd;
use super::realm::Realm;
use super::slot::Slot;
use crate::clock::millis;
use crate::events::Outcome;
use crate::wire::{DropReason, MessageKind, NodeId, Owner, PeerId};

/// The answer to the question where a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Located {
    /// A connection of another node has the id.
    At(Owner),
    /// Nobody has it. For so many milliseconds, the node on which it opens will tell.
    Nowhere(u64),
}

/// Milliseconds for which an unused place is remembered. Short: its node may be dead, and the peer elsewhere.
const REMEMBERED: u64 = 2_000;

/// Milliseconds that a message may be without an answer until its node is doubted.
const OVERDUE: u64 = 1_000;

/// Milliseconds between two questions where a peer is whose node is silent.
const SILENT_INTERVAL: u64 = 500;

/// Milliseconds for which it is remembered that a peer is nowhere, if nothing waits for it: so the same id is not sought for each message.
const ABSENT: u64 = 1_000;

/// Most ids without a message that are remembered as sought or absent. Further ones are forgotten at once.
const MAX_REMEMBERED: usize = 16_384;

/// How long an answer may take before the question is asked again, in milliseconds.
const PATIENCE: u64 = 2_000;

/// How long another node may have a message. Far more than a slow client takes, which its own node sees to.
const MAX_AWAY: u64 = 60_000;

impl Realm {
    /// The answer to [`Cluster::locate`](super::Cluster::locate).
    pub fn located(&self, id: &PeerId, located: Located) {
        self.with_existing(id, |guard| guard.located(located));
    }

    /// True if it is still asked where a peer is.
    pub fn is_sought(&self, id: &PeerId) -> bool {
        let asked = |guard: &mut Guard<'_>| guard.has_remote() && guard.remote_mut().place == Place::Asked;
        self.find(id.as_str()).is_some_and(|slot| self.with(&slot, asked))
    }

    /// A peer has opened on another node, which was asked to tell.
    pub fn appeared(&self, id: &PeerId, owner: Owner) {
        self.with_existing(id, |guard| guard.appeared(owner));
    }

    /// What became of a message that was [forwarded](super::Cluster::forward).
    pub fn settle(&self, id: &PeerId, ticket: u64, outcome: HandOver) {
        self.with_existing(id, |guard| guard.settle_sent(ticket, outcome));
    }

    /// A node is gone, and with it the answers about messages that it had; or all are, for `None`.
    pub fn lose_node(&self, node: Option<NodeId>) {
        for slot in self.slots_that(Slot::is_due) {
            self.with(&slot, |guard| guard.lose_node(node));
        }
    }

    /// What is known of peers elsewhere may be wrong from now on: those for whom messages wait are sought again.
    pub fn seek_again(&self) {
        for slot in self.slots_that(Slot::is_due) {
            self.with(&slot, |guard| {
                if !guard.has_remote() {
                    return;
                }
                let remote = guard.remote_mut();
                if matches!(remote.place, Place::Asked | Place::Nowhere { .. }) {
                    remote.place = Place::Unknown;
                }
            });
        }
    }

    /// Stops handing messages for an id over, because its peer opens here. Ready when no other node has one.
    pub fn recall(&self, id: &PeerId) -> Option<oneshot::Receiver<()>> {
        self.find(id.as_str()).and_then(|slot| self.with(&slot, |guard| guard.recall()))
    }

    fn with_existing(&self, id: &PeerId, act: impl FnOnce(&mut Guard<'_>)) {
        if let Some(slot) = self.find(id.as_str()) {
            self.with(&slot, act);
        }
    }
}

impl Guard<'_> {
    /// Sends a message to a peer that is not here.
    pub(super) fn deliver_elsewhere(
        &mut self,
        from: &PeerId,
        kind: MessageKind,
        message: Outgoing,
    ) -> Routed {
        let now = self.now();
        let expire = millis(self.realm.shared.config().limits.expire_timeout);
        let place = self.remote_mut().place;
        let message = match place {
            Place::At(owner) if self.queue.is_none() => match self.hand_over(owner, message, now) {
                None => return Routed::Delivered(None),
                Some(message) => message,
            },
            Place::Nowhere { until } if now + expire <= until && !kind.waits() => {
                return self.realm.drop_message(kind, DropReason::Absent);
            }
            _ => message,
        };
        let kept = self.keep_for(from, kind, message);
        let remote = self.remote_mut();
        if matches!(place, Place::Nowhere { until } if now + expire > until) {
            remote.place = Place::Unknown;
        }
        if matches!(kept, Routed::Dropped(_)) {
            if remote.has_sent(from) {
                // Its messages at another node are part of what the sender hears of now.
                let last = remote.last_ticket;
                remote.told.insert(from.clone(), last);
            }
        } else if remote.place == Place::Asked
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
            && self.realm.shared.cluster.is_shared()
            && !self.retired
        {
            let now = self.now();
            self.seek(now);
        }
    }

    /// Asks where the peer is, unless that is known or asked already.
    fn seek(&mut self, now: u64) {
        if self.remote_mut().place == Place::Unknown && self.conn.is_none() {
            self.seek_again(now);
        }
    }

    fn seek_again(&mut self, now: u64) {
        let waiting = self.queue.as_ref().and_then(|queue| queue.front()?.from().cloned());
        let remote = self.remote_mut();
        let on_its_way = || remote.sent.front().and_then(|sent| sent.outgoing.from().cloned());
        let Some(from) = waiting.or_else(on_its_way) else { return };
        (remote.place, remote.used) = (Place::Asked, now);
        self.slot.set_due(true);
        self.ask(&from);
    }

    fn ask(&mut self, from: &PeerId) {
        let over = self.remote_mut().over;
        self.realm.shared.cluster.locate(self.realm.address(&self.slot.id), from, over);
    }

    /// Hands a message over to the peer's node. Gives it back if there is no room.
    fn hand_over(&mut self, owner: Owner, outgoing: Outgoing, now: u64) -> Option<Outgoing> {
        let Some(ticket) = self.forward(owner, &outgoing) else { return Some(outgoing) };
        self.note_sent(ticket, owner, outgoing, now);
        None
    }

    fn forward(&mut self, owner: Owner, outgoing: &Outgoing) -> Option<u64> {
        let address = self.realm.address(&self.slot.id);
        let ticket = self.realm.shared.next_ticket();
        self.realm.shared.cluster.forward(owner, &address, ticket, outgoing).then_some(ticket)
    }

    fn note_sent(&mut self, ticket: u64, owner: Owner, outgoing: Outgoing, now: u64) {
        self.slot.set_due(true);
        let remote = self.remote_mut();
        (remote.last_ticket, remote.used) = (ticket, now);
        remote.sent.push_back(Sent { ticket, owner, since: now, outgoing, returned: false });
    }

    fn located(&mut self, located: Located) {
        let now = self.now();
        if self.conn.is_some() || self.remote_mut().place != Place::Asked {
            return;
        }
        self.remote_mut().used = now;
        match located {
            Located::At(owner) => self.found(owner, now),
            Located::Nowhere(mark) => {
                self.remote_mut().place = Place::Nowhere { until: now.saturating_add(mark) };
                self.drop_what_does_not_wait();
                self.end_search();
            }
        }
    }

    fn appeared(&mut self, owner: Owner) {
        let now = self.now();
        if self.conn.is_some() || !self.has_remote() {
            return;
        }
        // Otherwise the messages that its old node has come back first.
        if !matches!(self.remote_mut().place, Place::At(_) | Place::Recalled) {
            self.found(owner, now);
        }
    }

    /// The peer is on another node. The fate of messages at its old node will not be known.
    fn found(&mut self, owner: Owner, now: u64) {
        self.lose_sent(|sent| sent.owner != owner);
        let remote = self.remote_mut();
        (remote.place, remote.used) = (Place::At(owner), now);
        self.hand_over_queue(now);
    }

    fn hand_over_queue(&mut self, now: u64) {
        let Place::At(owner) = self.remote_mut().place else { return };
        let realm = self.realm;
        let Some(mut queue) = self.queue.take() else { return };
        while let Some(ticket) = queue.front().and_then(|oldest| self.forward(owner, oldest)) {
            if let Some(oldest) = queue.pop(&realm.room) {
                self.note_sent(ticket, owner, oldest, now);
            }
        }
        self.queue = Some(queue);
        self.note_queue();
    }

    fn drop_what_does_not_wait(&mut self) {
        let realm = self.realm;
        if let Some(queue) = &mut self.queue {
            let dropped = queue.drop_impatient(&realm.room);
            self.note_queue();
            self.count_all(dropped, Outcome::Dropped(DropReason::Absent));
        }
    }

    /// The peer is absent. If there is no room for its messages, their senders lose them.
    fn end_search(&mut self) {
        let realm = self.realm;
        let total = realm.shared.config().limits.queue_total_bytes;
        let Some(queue) = &mut self.queue else { return };
        if queue.end_search(total, &realm.room) {
            return;
        }
        let reason = DropReason::QueueTotalBytes;
        self.note_limit(reason);
        for sender in self.queue.as_ref().map(|queue| queue.senders()).unwrap_or_default() {
            self.drop_batch(&sender, Outcome::Dropped(reason));
            realm.shared.counters().expired(1);
            self.losers.push(sender);
        }
    }

    fn settle_sent(&mut self, ticket: u64, outcome: HandOver) {
        if !self.has_remote() {
            return;
        }
        let remote = self.remote_mut();
        let Some(at) = remote.sent.iter().position(|sent| sent.ticket == ticket && !sent.returned) else {
            return;
        };
        let is_told = |sent: &Sent| {
            let from = sent.outgoing.kept_from();
            from.and_then(|from| remote.told.get(from)).is_some_and(|until| ticket <= *until)
        };
        let told = remote.sent.get(at).is_some_and(is_told);
        if outcome == HandOver::NotHere {
            remote.over = remote.sent.get(at).map(|sent| sent.owner);
            remote.place = Place::Recalled;
        }
        match outcome {
            HandOver::NotHere if !told => {
                if let Some(sent) = remote.sent.get_mut(at) {
                    sent.returned = true;
                }
            }
            outcome => {
                let Some(Sent { outgoing, .. }) = remote.sent.remove(at) else { return };
                if outcome == HandOver::Delivered {
                    self.count(outgoing.kind(), Outcome::Delivered);
                } else {
                    self.lose(ticket, &outgoing, DropReason::OutboxFull, false);
                }
            }
        }
        self.end_recall();
    }

    /// A message is lost. Its sender has to hear of it, if it waits, and loses what else it has waiting here. But if the
    /// node that had the message is gone, no later message can overtake it: the others go on waiting.
    fn lose(&mut self, ticket: u64, outgoing: &Outgoing, reason: DropReason, is_gone: bool) {
        self.count(outgoing.kind(), Outcome::Dropped(reason));
        let Some(from) = outgoing.kept_from() else { return };
        let remote = self.remote_mut();
        if remote.told.get(from).is_some_and(|until| ticket <= *until) {
            return;
        }
        let last = remote.last_ticket;
        remote.told.insert(from.clone(), last);
        self.realm.shared.counters().expired(1);
        self.losers.push(from.clone());
        if is_gone {
            return;
        }
        let remote = self.remote_mut();
        let (lost, kept) = std::mem::take(&mut remote.sent)
            .into_iter()
            .partition(|sent| sent.returned && sent.outgoing.from() == Some(from));
        remote.sent = kept;
        let lost: VecDeque<Sent> = lost;
        lost.iter().for_each(|sent| self.count(sent.outgoing.kind(), Outcome::Dropped(reason)));
        self.drop_batch(from, Outcome::Dropped(reason));
    }

    /// Once all messages that came back are here, they wait again, in front, and the peer is sought anew.
    fn end_recall(&mut self) {
        let remote = self.remote_mut();
        if remote.sent.iter().any(|sent| !sent.returned) {
            return;
        }
        remote.told.clear();
        remote.settled.clear();
        if remote.place != Place::Recalled {
            return;
        }
        remote.place = Place::Unknown;
        let returned = std::mem::take(&mut remote.sent);
        // A sender that has lost a message in doubt keeps these.
        let mut told = std::mem::take(&mut self.losers);
        self.carry_over(returned.into_iter().rev().map(|sent| sent.outgoing), QueueEnd::Front);
        told.retain(|sender| !self.losers.contains(sender));
        self.losers.extend(told);
        self.slot.set_due(true);
    }

    fn lose_node(&mut self, gone: Option<NodeId>) {
        if !self.has_remote() {
            return;
        }
        let is_gone = |node: NodeId| gone.is_none_or(|gone| gone == node);
        if let Place::At(owner) = self.remote_mut().place
            && is_gone(owner.node)
        {
            self.remote_mut().place = Place::Recalled;
        }
        self.lose_sent(|sent| is_gone(sent.owner.node));
    }

    /// Gives up messages whose fate will not be known.
    fn lose_sent(&mut self, lost: impl Fn(&Sent) -> bool) {
        let tickets: Vec<u64> = self
            .remote_mut()
            .sent
            .iter()
            .filter(|sent| !sent.returned && lost(sent))
            .map(|sent| sent.ticket)
            .collect();
        for ticket in tickets {
            let remote = self.remote_mut();
            let at = remote.sent.iter().position(|sent| sent.ticket == ticket);
            if let Some(Sent { outgoing, owner, .. }) = at.and_then(|at| remote.sent.remove(at)) {
                let is_gone = self.realm.shared.cluster.is_silent(owner.node);
                self.lose(ticket, &outgoing, DropReason::InDoubt, is_gone);
            }
        }
        self.end_recall();
    }

    fn recall(&mut self) -> Option<oneshot::Receiver<()>> {
        if !self.has_remote() {
            return None;
        }
        let remote = self.remote_mut();
        if remote.sent.is_empty() {
            return None;
        }
        remote.place = Place::Recalled;
        let (settled, receiver) = oneshot::channel();
        remote.settled.push(settled);
        Some(receiver)
    }

    /// The peer has opened here.
    pub(super) fn end_remote(&mut self) {
        if self.has_remote() {
            self.lose_sent(|_| true);
            self.forget_remote();
        }
    }

    /// What the sweeper does: asks again, hands over what had no room, and forgets what was not used for a while.
    pub(super) fn sweep_remote(&mut self, now: u64) {
        if !self.has_remote() {
            return;
        }
        let remote = self.remote_mut();
        let idle = now.saturating_sub(remote.used);
        if remote.place == Place::Asked && idle >= PATIENCE {
            remote.place = Place::Unknown;
        }
        let remembered = match remote.place {
            Place::At(_) => REMEMBERED,
            Place::Nowhere { .. } => ABSENT,
            Place::Unknown | Place::Asked | Place::Recalled => 0,
        };
        if self.is_idle() && idle >= remembered {
            return self.forget_remote();
        }
        self.lose_sent(|sent| now.saturating_sub(sent.since) >= MAX_AWAY);
        self.hand_over_queue(now);
        self.doubt_silent(now);
    }

    /// Doubts a node that owes an answer for long. If it is silent, its clients may have moved to others, so they are sought
    /// again and again.
    fn doubt_silent(&mut self, now: u64) {
        let (realm, remote) = (self.realm, self.remote_mut());
        let Place::At(Owner { node, .. }) = remote.place else { return };
        let cluster = &realm.shared.cluster;
        let is_silent = cluster.is_silent(node);
        let oldest = remote.sent.iter().find(|sent| !sent.returned);
        if is_silent || oldest.is_some_and(|sent| now.saturating_sub(sent.since) >= OVERDUE) {
            cluster.doubt(node);
        }
        if is_silent && now.saturating_sub(remote.used) >= SILENT_INTERVAL {
            self.seek_again(now);
        }
    }

    /// True if the peer is sought, or has to be soon: all but those that are nowhere.
    pub(super) fn is_sought(&mut self) -> bool {
        self.has_remote() && !matches!(self.remote_mut().place, Place::Nowhere { .. })
    }

    /// True if no message for the peer is here or on its way.
    fn is_idle(&mut self) -> bool {
        self.queue.is_none() && self.remote_mut().sent.is_empty()
    }

    /// Forgets an id that nobody may have and for which nothing waits, if too many of them are remembered.
    pub(super) fn bound_memory(&mut self) {
        if !self.has_remote() || !self.is_idle() {
            return;
        }
        let realm = self.realm;
        let remote = self.remote_mut();
        if matches!(remote.place, Place::Asked | Place::Nowhere { .. }) && remote.remembered.is_none() {
            remote.remembered = realm.shared.remembered.reserve(1, MAX_REMEMBERED);
            if remote.remembered.is_none() {
                self.forget_remote();
            }
        }
    }
}
