//! A slot under its lock.
//!
//! Everything that changes a slot goes through [`Realm::with`], [`Realm::with_id`] or [`Realm::with_live`].
//! When they end, the slot is retired if nothing is left of it, it is unlocked, and the senders that lost
//! something here are told.

use std::collections::VecDeque;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::oneshot;

use super::outbox::{Outbox, Shed};
use super::outgoing::{ForwardOutcome, Outgoing};
use super::queue::{Overflow, QueueEnd, QueueRoom};
use super::realm::Realm;
use super::routed::{Flush, Routed};
use super::slot::{Slot, ping_interval};
use super::state::{
    Conn, ConnectionInfo, Former, Leaving, ProbeTiming, RegisterRefusal, RegisterRequest, Reserved, SlotState,
};
use super::witness::{self, Named};
use crate::sync::MutexGuard;
use peerbroker_config::Limits;
use peerbroker_core::clock::{Instant, millis};
use peerbroker_core::vocabulary::{
    CloseReason, ConnId, ConnectionKind, DUPLICATED_TAB, DropReason, Frame, MessageKind, Opcode, PeerId,
};
use peerbroker_events::{
    ClientMistake, Connected, Count, Disconnected, Event, Mistake, Outcome, ReportedKind,
};

pub(super) struct Guard<'a> {
    pub(super) realm: &'a Realm,
    pub(super) slot: &'a Arc<Slot>,
    state: MutexGuard<'a, SlotState>,
    /// Senders that lost all their messages that waited here, and have to be told.
    pub(super) senders_to_notify: Vec<PeerId>,
}

// The only ways to a guard.
impl Realm {
    /// Works on a slot under its lock. It may be retired: then it has no holder and no queue.
    pub(super) fn with<R>(&self, slot: &Arc<Slot>, act: impl FnOnce(&mut Guard<'_>) -> R) -> R {
        Guard::lock(self, slot).act(act)
    }

    /// Works on the slot of an id under its lock, if it has one.
    pub(super) fn with_existing<R>(&self, id: &str, act: impl FnOnce(&mut Guard<'_>) -> R) -> Option<R> {
        Some(self.with(&self.find(id)?, act))
    }

    /// Works on the slot of an id under its lock. Afterwards the slot remains only if it is not vacant.
    pub(super) fn with_id<R>(&self, id: &PeerId, act: impl FnOnce(&mut Guard<'_>) -> R) -> R {
        self.with_live(self.find_or_create(id), act)
    }

    /// Works on a slot that was just found, or on its successor if it was retired since.
    pub(super) fn with_live<R>(&self, mut slot: Arc<Slot>, act: impl FnOnce(&mut Guard<'_>) -> R) -> R {
        loop {
            let guard = Guard::lock(self, &slot);
            if !guard.retired {
                return guard.act(act);
            }
            drop(guard);
            slot = self.find_or_create(&slot.id);
        }
    }
}

impl Deref for Guard<'_> {
    type Target = SlotState;

    fn deref(&self) -> &SlotState {
        &self.state
    }
}

impl DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut SlotState {
        &mut self.state
    }
}

impl<'a> Guard<'a> {
    fn lock(realm: &'a Realm, slot: &'a Arc<Slot>) -> Self {
        Guard { realm, slot, state: slot.lock(), senders_to_notify: Vec::new() }
    }

    /// Retires the slot if it is vacant, and unlocks it. Returns the senders that have to be told.
    fn unlock(mut self) -> Vec<PeerId> {
        self.record_backlog();
        self.bound_memory();
        self.retire_if_vacant();
        self.senders_to_notify
    }

    /// Marks a client that reads slowly, so that a scrape finds it without a lock of each slot, and counts
    /// what waits for it.
    fn record_backlog(&mut self) {
        let slot = self.slot;
        let router = &self.realm.router;
        let Some(conn) = &mut self.conn else { return };
        conn.outbox.charge(&router.outboxes);
        if conn.outbox.is_blocked() {
            slot.set_backlog(true);
            router.counters().largest_outbox.record(conn.outbox.held() as u64);
        }
    }

    // Under the slot's lock: a thread that finds the slot retired must find the map without it.
    fn retire_if_vacant(&mut self) {
        if self.retired || !self.is_vacant() {
            return;
        }
        if !self.slot.is_rested(|| self.realm.router.now()) {
            return self.slot.set_due(true);
        }
        self.retired = true;
        self.realm.remove(self.slot);
    }

    pub(super) fn now(&self) -> Instant {
        self.realm.router.now()
    }

    fn act<R>(mut self, act: impl FnOnce(&mut Guard<'_>) -> R) -> R {
        let realm = self.realm;
        let slot = self.slot;
        let result = act(&mut self);
        self.seek_if_waiting();
        let senders_to_notify = self.unlock();
        Guard::notify_senders(realm, &slot.id, senders_to_notify);
        result
    }

    /// Tells senders that all their waiting messages for a peer are gone. That may fill their outboxes, where
    /// other senders then lose messages. A list, and not a recursion: an attacker could make the chain long.
    fn notify_senders(realm: &Realm, absent: &PeerId, senders_to_notify: Vec<PeerId>) {
        if senders_to_notify.is_empty() {
            return;
        }
        let mut untold = vec![(absent.clone(), senders_to_notify)];
        while let Some((absent, senders_to_notify)) = untold.pop() {
            for sender in senders_to_notify.into_iter().filter(PeerId::is_client) {
                let notice = (realm.router.expire_notice)(absent.as_str(), sender.as_str());
                let to = || realm.address(&absent);
                let from = || sender.clone();
                realm.router.events.emit(|| Event::Expired { to: to(), from: from() });
                let slot = realm.find(sender.as_str()).filter(|slot| slot.is_held());
                let Some(slot) = slot else {
                    // It may have moved to another node.
                    if let Some(cluster) = &realm.router.cluster {
                        cluster.notify(realm.address(&sender), notice);
                    }
                    continue;
                };
                let mut guard = Guard::lock(realm, &slot);
                guard.notify(notice);
                if let Some(conn) = &mut guard.conn {
                    conn.outbox.flush();
                    witness::follow_written(&sender, conn.id);
                }
                guard.seek_if_waiting();
                untold.push((sender, guard.unlock()));
            }
        }
    }

    // The connection that holds the id.

    /// True if this connection holds the id.
    pub(super) fn is_held_by(&self, conn: ConnId) -> bool {
        self.conn.as_ref().is_some_and(|holder| holder.id == conn)
    }

    /// The connection, if it holds the id.
    pub(super) fn holder(&mut self, conn: ConnId) -> Option<&mut Conn> {
        self.conn.as_mut().filter(|holder| holder.id == conn)
    }

    /// A flush for the holder, unless a flush is already scheduled.
    pub(super) fn schedule_flush(&mut self) -> Option<Flush> {
        let outbox = &mut self.conn.as_mut()?.outbox;
        let scheduled = std::mem::replace(&mut outbox.flush_scheduled, true);
        let writes = outbox.has_writer();
        (!scheduled).then(|| Flush::new(Arc::clone(self.slot), writes))
    }

    /// Makes `conn` the holder, and writes the start of its outbox. A former holder must have been dismissed.
    pub(super) fn install(&mut self, conn: Conn, now: Instant) {
        self.slot.set_holder(conn.id, conn.info.address, conn.contacts.is_some(), now);
        self.end_reservation(Instant::MAX);
        let last_token = self.rare.as_mut().and_then(|rare| rare.last_token.take());
        if last_token.is_some_and(|last| last != conn.token) {
            self.slot.rate.forgive(now);
        }
        self.slot.set_due(false);
        self.realm.router.counters().add(Count::Opened, 1);
        let slot = self.slot;
        let conn = self.conn.insert(conn);
        let begins_with = conn.outbox.held();
        conn.record_sent(begins_with, now);
        let outbox = &mut conn.outbox;
        outbox.flush();
        witness::follow_written(&slot.id, conn.id);
        if outbox.has_waited() {
            self.record_crowded(now);
        }
    }

    /// Takes the id away from its holder and sends it a close frame. Unwritten messages are queued for the
    /// next holder.
    pub(super) fn dismiss(&mut self, why: CloseReason) {
        if self.conn.is_some() {
            self.realm.release();
        }
        let unsent = self.displace(why);
        self.enqueue_unsent(unsent, QueueEnd::Back);
    }

    /// As [`dismiss`](Self::dismiss), for a takeover: the new connection inherits the place in the quota.
    /// Returns unwritten frames.
    pub(super) fn displace(&mut self, why: CloseReason) -> Vec<Outgoing> {
        let limits = &self.realm.router.config().limits;
        let timeout = millis(limits.probe_timeout);
        let reclaim = millis(limits.reclaim_timeout);
        if why.is_reclaimable()
            && reclaim > 0
            && self.realm.kind().has_own_ids()
            && let Some(token) = self.conn.as_ref().map(|holder| holder.token.clone())
        {
            // The waiting clients have already waited for a slow link; their total wait does not grow.
            let probe = self.first_probe().filter(|_| why == CloseReason::Evicted);
            let waited =
                probe.map_or(0, |probe| self.now().millis_since(probe.asked).saturating_sub(timeout));
            let until = self.now().plus_millis(reclaim.saturating_sub(waited));
            // Its user reloads the page and comes from the same address, unlike most strangers.
            let open_to = self.surely_silent().filter(|_| why == CloseReason::Evicted);
            self.rare().reserved = Some(Reserved { token, until, open_to, claimed: None });
        }
        let close =
            if why == CloseReason::Replaced { self.close_of_replaced() } else { why.ending().close() };
        let Some((mut outbox, ended)) = self.uninstall(why) else { return Vec::new() };
        let unsent = outbox.take_unsent(false);
        outbox.push_unbounded(Outgoing::notice(Frame::close(close)));
        outbox.flush();
        witness::follow_written(&self.slot.id, ended.connection);
        outbox.wake_task();
        self.rare().leaving.push(Leaving { ended, outbox, is_told: false });
        unsent
    }

    /// The close frame of a connection whose client has a newer one. If the id changes hands again and again,
    /// it says why, and the operator is told.
    #[cold]
    fn close_of_replaced(&self) -> Option<(u16, &'static str)> {
        let close = CloseReason::Replaced.ending().close();
        // A stream ends when its client has its WebSocket.
        let Some(holder) = self.conn.as_ref().filter(|holder| holder.kind == ConnectionKind::Socket) else {
            return close;
        };
        let peer = self.realm.address(&self.slot.id);
        if !self.realm.router.contested.record(&peer, self.now()) {
            return close;
        }
        let address = holder.info.address;
        self.realm.router.events.emit(|| {
            let mistake = Mistake::DuplicatedTab { key: peer.key, id: peer.id };
            Event::ClientMistake(Box::new(ClientMistake { mistake, origin: None, address }))
        });
        close.map(|(code, _)| (code, DUPLICATED_TAB))
    }

    /// Takes the id back from a holder whose session ends. `dead` means that the connection is broken.
    pub(super) fn vacate(&mut self, why: CloseReason, dead: bool) {
        let Some((mut outbox, ended)) = self.uninstall(why) else { return };
        self.realm.release();
        let unsent = outbox.take_unsent(dead);
        self.rare().leaving.push(Leaving { ended, outbox, is_told: false });
        self.enqueue_unsent(unsent, QueueEnd::Back);
    }

    fn uninstall(&mut self, why: CloseReason) -> Option<(Outbox, Disconnected)> {
        let conn = self.conn.take()?;
        let ended = Disconnected {
            peer: self.realm.address(&self.slot.id),
            connection: conn.id,
            reason: why,
            duration: self.now().saturating_since(conn.opened),
            messages: self.slot.messages.load(Relaxed),
            bytes: self.slot.bytes.load(Relaxed),
        };
        self.slot.clear_holder();
        self.slot.end_probes(&mut self.state);
        self.slot.set_due(self.reserved().is_some());
        if !self.slot.rate.is_new() {
            self.rare().last_token = Some(conn.token);
        }
        self.realm.router.counters().add(Count::Closed(why), 1);
        if conn.fence != 0 && !self.keep_claim(conn.id) {
            self.release_claim(conn.id);
        }
        Some((conn.outbox, ended))
    }

    /// Gives a claim back, so that the id is free on all nodes.
    fn release_claim(&self, connection: ConnId) {
        if let Some(cluster) = &self.realm.router.cluster {
            cluster.release(self.realm.address(&self.slot.id), connection);
        }
    }

    /// Ends a reservation that is over at `now`, and wakes the clients that wait for the id.
    pub(super) fn end_reservation(&mut self, now: Instant) {
        if let Some(claimed) = self.take_reservation(now) {
            self.release_claim(claimed);
        }
    }

    /// Gives the id up to a client's newer connection on another node.
    pub(super) fn yield_id(&mut self, connection: ConnId, why: CloseReason) {
        if self.is_held_by(connection) {
            self.dismiss(why);
            // A partly written message goes to the new connection too.
            let begun = self.revoke();
            self.enqueue_unsent(begun.into_iter().rev(), QueueEnd::Front);
        }
        if self.is_reserved_by(connection) {
            self.end_reservation(Instant::MAX);
        }
    }

    /// Adds a frame to the holder's outbox. False if it was refused. Other senders may lose their frames
    /// there.
    pub(super) fn push(&mut self, outgoing: Outgoing) -> bool {
        let router = &self.realm.router;
        let Some(conn) = &mut self.conn else { return false };
        let bytes = outgoing.kind().map(|_| outgoing.frame.len());
        if let (Some(contacts), Some(from)) = (&mut conn.contacts, outgoing.contact()) {
            contacts.add(from);
        }
        let shed = conn.outbox.push(outgoing, || router.free_outbox_bytes());
        if let Some(bytes) = bytes.filter(|_| shed.as_ref().is_none_or(|shed| !shed.refused)) {
            router.counters().add(Count::Sent, bytes as u64);
            conn.record_sent(bytes, router.about_now());
        }
        let Some(Shed { refused, crowded, senders_to_notify, expired, lost }) = shed else { return true };
        if refused || crowded {
            self.record_crowded(self.now());
            self.realm.router.counters().add(Count::Expired, expired as u64);
            self.senders_to_notify.extend(senders_to_notify);
        }
        if !lost.is_empty() {
            self.record_limit(DropReason::OutboxFull);
            self.count_losses(lost, Outcome::Dropped(DropReason::OutboxFull));
        }
        !refused
    }

    /// Sends the holder a notice of the broker. A client that does not even read its own answers is
    /// dismissed.
    pub(super) fn notify(&mut self, notice: Frame) {
        if self.conn.is_some() && !self.push(Outgoing::notice(notice)) {
            self.dismiss(CloseReason::SlowReader);
        }
    }

    /// Sends a connection a notice of the broker, if it holds the id.
    pub(super) fn notify_connection(&mut self, conn: ConnId, notice: Frame) -> Option<Flush> {
        if !self.is_held_by(conn) {
            return None;
        }
        self.notify(notice);
        self.schedule_flush()
    }

    /// Tells a connection of state, in frames of so many bytes, if it holds the id and at most one `part`th
    /// of its outbox is full with that. Otherwise its session is woken once there is room.
    pub(super) fn send_state(
        &mut self,
        conn: ConnId,
        frames: impl ExactSizeIterator<Item = Frame>,
        bytes: usize,
        part: usize,
    ) -> Option<Option<Flush>> {
        if !self.holder(conn)?.outbox.push_state(frames, bytes, part) {
            self.record_crowded(self.now());
            return None;
        }
        Some(self.schedule_flush())
    }

    /// Notes that the holder's outbox is full, or starts with queued messages: the sweeper watches it.
    fn record_crowded(&mut self, now: Instant) {
        if let Some(conn) = &mut self.conn {
            conn.crowded.get_or_insert(now);
            self.slot.set_due(true);
        }
    }

    // The queue of an absent peer, and the senders that lose messages there.

    /// Keeps a message for the next holder. Its sender is not told if that fails.
    pub(super) fn enqueue(&mut self, outgoing: Outgoing, end: QueueEnd) -> Result<(), DropReason> {
        let realm = self.realm;
        let router = &realm.router;
        if realm.limits.is_revoked() {
            // No peer can register any more to get it.
            self.count_losses(outgoing.counted(), Outcome::Dropped(DropReason::KeyRevoked));
            return Err(DropReason::KeyRevoked);
        }
        let now = router.now();
        let kind = outgoing.counted_kind();
        let expires = outgoing.expires_for().is_some();
        let is_sought = self.is_sought();
        let own = self.slot.source();
        // Nobody knows the address of a sender that has gone. Its message comes back from a client of this
        // id.
        let source = |from: &PeerId| realm.source(from).unwrap_or(own);
        let queue = self.queue.get_or_insert_default();
        let kept =
            queue.enqueue(outgoing, end, now, &router.config().limits, &realm.budget, is_sought, source);
        self.record_queue();
        match kept {
            Ok(wanted) => {
                self.count(kind, Outcome::Queued);
                self.record_wanted(wanted);
                Ok(())
            }
            Err(Overflow { reason, lost }) => {
                self.count_losses(lost, Outcome::Dropped(reason));
                router.counters().add(Count::Expired, u64::from(expires));
                self.record_limit(reason);
                Err(reason)
            }
        }
    }

    /// Keeps the messages of an outbox that must not be lost. The rest is dropped with its connection.
    pub(super) fn enqueue_unsent(&mut self, unsent: impl IntoIterator<Item = Outgoing>, end: QueueEnd) {
        let kept = unsent.into_iter().filter_map(|mut outgoing| {
            if outgoing.sender_if_reliable().is_none() {
                self.count_losses(outgoing.counted(), Outcome::Dropped(DropReason::Disconnected));
                return None;
            }
            if outgoing.is_foreign() {
                // Its own node keeps it, with the others of its sender.
                outgoing.settle(ForwardOutcome::NotHere);
                return None;
            }
            Some(outgoing)
        });
        let kept: Vec<Outgoing> = kept.collect();
        self.enqueue_all(kept, end);
    }

    /// Keeps all messages of an outbox for the next connection of the same client, which takes them before
    /// any other gets the slot.
    pub(super) fn enqueue_all(&mut self, unsent: impl IntoIterator<Item = Outgoing>, end: QueueEnd) {
        for outgoing in unsent {
            let from = outgoing.expires_for().cloned();
            // The batch is lost as a whole.
            if from.as_ref().is_some_and(|from| self.senders_to_notify.contains(from)) {
                self.count_losses(outgoing.counted(), Outcome::Expired);
                continue;
            }
            match self.enqueue(outgoing, end) {
                // With the key, its senders go too.
                Ok(()) | Err(DropReason::KeyRevoked) => {}
                Err(_) => self.senders_to_notify.extend(from),
            }
        }
    }

    /// Takes out the batches that have waited too long at `now`.
    pub(super) fn expire(&mut self, now: Instant) {
        let realm = self.realm;
        let Some(began) = now.minus_millis(millis(realm.expire_timeout())) else { return };
        let router = &realm.router;
        let Some(queue) = &mut self.queue else { return };
        let expired = queue.expire(began, &realm.budget);
        self.record_queue();
        for (sender, messages) in expired {
            if messages.iter().any(|(_, kind)| kind.waits()) {
                router.counters().add(Count::Expired, 1);
                self.senders_to_notify.push(sender);
            }
            self.count_losses(messages, Outcome::Expired);
        }
    }

    /// Emits an event for each of these senders, whose offers wait for a peer that is absent.
    pub(super) fn record_wanted(&self, senders: impl IntoIterator<Item = (PeerId, ReportedKind)>) {
        for (from, kind) in senders {
            let to = || self.realm.address(&self.slot.id);
            self.realm.router.events.emit(|| Event::PeerWanted { peer: to(), from, kind });
        }
    }

    /// Drops everything that one sender has waiting here, without telling it.
    pub(super) fn drop_batch(&mut self, sender: &PeerId, outcome: Outcome) {
        let realm = self.realm;
        if let Some(queue) = &mut self.queue {
            let dropped = queue.drop_batch(sender, &realm.budget);
            self.record_queue();
            self.count_losses(dropped, outcome);
        }
    }

    /// Drops the messages of rooms that wait and that the client does not hear. Their senders are not told.
    pub(super) fn drop_of_rooms(&mut self, hears: impl Fn(&Frame) -> bool) {
        let realm = self.realm;
        if let Some(queue) = &mut self.queue {
            let dropped = queue.drop_of_rooms(&realm.budget, hears);
            self.record_queue();
            self.count_losses(dropped, Outcome::Expired);
        }
    }

    /// Takes out the messages of rooms that wait, with the sender of each.
    pub(super) fn take_of_rooms(&mut self) -> Vec<(PeerId, Frame)> {
        let realm = self.realm;
        let taken = self.queue.as_mut().map(|queue| queue.take_of_rooms(&realm.budget));
        self.record_queue();
        let of_sender = |outgoing: Outgoing| Some((outgoing.message?.0, outgoing.frame));
        taken.into_iter().flatten().filter_map(of_sender).collect()
    }

    /// Takes all queued messages, for the new holder.
    pub(super) fn take_queue(&mut self) -> Option<(VecDeque<Outgoing>, QueueRoom)> {
        let (messages, room) = self.drain_queue()?;
        for outgoing in &messages {
            self.count(outgoing.counted_kind(), Outcome::Delivered);
            self.realm.router.counters().add(Count::Sent, outgoing.frame.len() as u64);
        }
        Some((messages, room))
    }

    /// Drops all queued messages. The senders are not told.
    pub(super) fn drop_queue(&mut self) {
        let Some((messages, _room)) = self.drain_queue() else { return };
        let lost = messages.iter().filter_map(|outgoing| outgoing.message.clone());
        self.count_losses(lost, Outcome::Dropped(DropReason::KeyRevoked));
    }

    fn drain_queue(&mut self) -> Option<(VecDeque<Outgoing>, QueueRoom)> {
        self.slot.set_waiting_since(None);
        Some(self.queue.take()?.drain(&self.realm.budget))
    }

    pub(super) fn record_queue(&mut self) {
        self.slot.set_waiting_since(self.queue.as_ref().and_then(|queue| queue.oldest()));
        if self.queue.as_ref().is_some_and(|queue| queue.is_empty()) {
            self.queue = None;
        }
    }

    pub(super) fn record_limit(&self, reason: DropReason) {
        self.realm.router.events.limit_hit(reason.limit(), Some(&self.realm.key), None);
    }

    pub(super) fn count(&self, kind: Option<MessageKind>, outcome: Outcome) {
        self.realm.router.count(kind, outcome);
    }

    /// Counts messages that are lost, and names each in the log.
    pub(super) fn count_losses(
        &self,
        lost: impl IntoIterator<Item = (PeerId, MessageKind)>,
        outcome: Outcome,
    ) {
        for (from, kind) in lost {
            self.count(Some(kind), outcome);
            witness::record_loss(&self.named(&from, kind), outcome);
        }
    }

    // Messages for the holder.

    /// Keeps a message until its recipient comes, or is found.
    pub(super) fn enqueue_for(&mut self, from: &PeerId, kind: MessageKind, message: Outgoing) -> Routed {
        match self.enqueue(message, QueueEnd::Back) {
            Ok(()) => {
                self.follow(from, kind, "waits for its recipient");
                Routed::Queued
            }
            // With the key, its senders go too.
            Err(DropReason::KeyRevoked) => Routed::Dropped(DropReason::KeyRevoked),
            Err(reason) => {
                self.record_own_loss(kind, from);
                Routed::Dropped(reason)
            }
        }
    }

    pub(super) fn named<'n>(&'n self, from: &'n PeerId, kind: MessageKind) -> Named<'n> {
        Named { from, to: self.slot.id.as_str(), kind }
    }

    pub(super) fn follow(&self, from: &PeerId, kind: MessageKind, step: impl fmt::Display) {
        witness::follow(&self.named(from, kind), step);
    }

    /// Emits an event: a sender lost its waiting messages. Its session tells the client.
    pub(super) fn record_own_loss(&self, kind: MessageKind, from: &PeerId) {
        if kind.waits() && from.is_client() {
            let to = || self.realm.address(&self.slot.id);
            self.realm.router.events.emit(|| Event::Expired { to: to(), from: from.clone() });
        }
    }

    // Registration, and probes of the holder.

    /// Gives the id to a new connection, or tells why not. The same token takes the id over from an older
    /// connection.
    ///
    /// A refusal changes nothing, so it comes first. The queue is taken when it has all that waited for the
    /// id in other places. Followers of events hear of the client before its greeting is written, and so
    /// before the client itself does.
    pub(super) fn register(
        &mut self,
        mut request: RegisterRequest<'_>,
        outbox: &mut Outbox,
    ) -> Result<ConnId, RegisterRefusal> {
        let router = &self.realm.router;
        let now = router.now();
        let id = request.claim.map_or_else(|| router.next_connection(), |claim| claim.connection);
        let token = request.token;
        self.admit(&mut request, id, now)?;
        let former = self.take_over();
        let waited = self.collect_waiting(|frame| (request.hears_room)(frame, former.is_some()));
        let holder = Conn::granted(request, id, former, waited, std::mem::take(outbox), now);
        self.emit_connected(&holder);
        self.install(holder, now);
        self.announce(token, true);
        Ok(id)
    }

    /// Refuses a connection that may not have the id. A first connection takes its place in the quota: last,
    /// because a refusal behind that would have to give it back.
    #[inline]
    fn admit(
        &self,
        request: &mut RegisterRequest<'_>,
        id: ConnId,
        now: Instant,
    ) -> Result<(), RegisterRefusal> {
        let realm = self.realm;
        match &self.conn {
            _ if realm.router.is_closing() => Err(RegisterRefusal::Closing),
            _ if realm.limits.is_revoked() => Err(RegisterRefusal::Revoked),
            Some(holder) if holder.token != *request.token => Err(RegisterRefusal::Taken),
            // A newer connection of the client was faster.
            Some(holder) if holder.id > id => Err(RegisterRefusal::Elsewhere),
            // The client's WebSocket registered first.
            Some(holder)
                if (request.kind, holder.kind) == (ConnectionKind::Stream, ConnectionKind::Socket) =>
            {
                Err(RegisterRefusal::Elsewhere)
            }
            Some(_) => Ok(()),
            None if self.is_reserved_from(request.token, request.info.address, now) => {
                Err(RegisterRefusal::Reserved)
            }
            None if !realm.acquire(request.info.address, &mut request.last_place) => {
                Err(RegisterRefusal::Full)
            }
            None => Ok(()),
        }
    }

    /// Dismisses the client's earlier connection, if it has one. Messages that wait there go to the queue.
    #[inline]
    fn take_over(&mut self) -> Option<Former> {
        let holder = self.conn.as_mut()?;
        let former = Former {
            rank: holder.rank,
            kind: holder.kind,
            contacts: holder.contacts.take(),
            last_place: holder.last_place.take(),
        };
        let unsent = self.displace(CloseReason::Replaced);
        // Pings and pongs were for the old connection.
        let is_message =
            |unsent: &Outgoing| matches!(unsent.frame.opcode(), Some(Opcode::Text | Opcode::Binary));
        self.enqueue_all(unsent.into_iter().filter(is_message), QueueEnd::Back);
        Some(former)
    }

    /// Takes all messages that wait for the id, also the half-written one of an ended connection and those on
    /// their way to another node. Through the queue, so that its limits apply: a client that keeps taking
    /// over from itself and reads nothing must not collect more than an absent one.
    #[inline]
    fn collect_waiting(&mut self, hears: impl Fn(&Frame) -> bool) -> Option<(VecDeque<Outgoing>, QueueRoom)> {
        let begun = self.revoke().into_iter().rev();
        self.enqueue_all(begun, QueueEnd::Front);
        self.end_remote();
        self.drop_of_rooms(hears);
        self.take_queue()
    }

    #[inline]
    fn emit_connected(&self, holder: &Conn) {
        self.realm.router.events.emit(|| {
            let ConnectionInfo { address, version: client_version, .. } = holder.info.clone();
            Event::PeerConnected(Connected {
                peer: self.realm.address(&self.slot.id),
                connection: holder.id,
                token: holder.token.clone(),
                address,
                client_version,
                kind: holder.kind,
            })
        });
    }

    /// Asks the holder for a sign of life, or waits for the owner for whom the id is reserved. `None` if too
    /// many clients wait already.
    pub(super) fn probe(&mut self) -> Option<oneshot::Receiver<()>> {
        if self.conn.is_none() && self.reserved().is_none() {
            return Some(oneshot::channel().1);
        }
        let now = self.now();
        let limits = &self.realm.router.config().limits;
        let probe = millis(limits.probe_timeout);
        let reclaim = millis(limits.reclaim_timeout);
        let timing = self.conn.as_ref().map(|conn| conn.time_probe(now, probe, reclaim));
        // A reservation ends by itself.
        let timing = timing.unwrap_or(ProbeTiming { asked: now, due: Instant::MAX, undelayed: false });
        let (receiver, first) = self.ask(timing)?;
        let slot = self.slot;
        if let Some(conn) = &mut self.conn {
            // Before the ping, because its answer may be heard before this function ends.
            slot.set_probed(true);
            if first {
                // Only bytes that it takes from now on are an answer.
                conn.record_progress(now);
                conn.ping();
            }
        }
        Some(receiver)
    }

    // Periodic work.

    pub(super) fn sweep(&mut self, now: Instant, limits: &Limits) {
        self.expire(now);
        if let Some(why) = self.check_holder(now, limits) {
            self.dismiss(why);
        }
        self.end_reservation(now);
        self.sweep_remote(now);
        // The sweeper has to visit soon again as long as something is left to do.
        let crowded = self.conn.as_ref().is_some_and(|conn| conn.crowded.is_some());
        let unrested = self.conn.is_none() && !self.slot.is_rested(|| now);
        self.slot.set_due(crowded || self.reserved().is_some() || unrested || self.remote().is_some());
    }

    /// Pings a silent holder. Returns the reason to dismiss it, if there is one.
    fn check_holder(&mut self, now: Instant, limits: &Limits) -> Option<CloseReason> {
        let slot = self.slot;
        if self.conn.as_mut().is_some_and(|conn| conn.record_progress(now) && conn.outbox.direct) {
            slot.heard.store(now);
            slot.end_probes(&mut self.state);
        }
        let probe = self.first_probe();
        let Some(conn) = &mut self.conn else {
            slot.set_probed(false);
            return None;
        };
        let heard = slot.heard.load();
        let silent = now.millis_since(heard);
        if silent >= millis(limits.alive_timeout) {
            return Some(CloseReason::TimedOut);
        }
        if probe.is_some_and(|probe| probe.due <= now) {
            return Some(CloseReason::Evicted);
        }
        if conn.crowded.is_some_and(|since| now.millis_since(since) >= millis(limits.stall_timeout)) {
            return Some(CloseReason::SlowReader);
        }
        let ping = ping_interval(limits);
        if silent >= ping && now.millis_since(conn.pinged.max(heard)) >= ping {
            conn.pinged = now;
            conn.ping();
        }
        None
    }
}
