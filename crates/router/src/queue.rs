//! Messages that wait for one absent peer, and the bytes that all queues share.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::outgoing::Outgoing;
use crate::sync::{AtomicUsize, Mutex, MutexGuard};
use peerbroker_config::Limits;
use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::{DropReason, Frame, MessageKind, PeerId};
use peerbroker_events::ReportedKind;

// Charged for each message besides its bytes: about the memory of a message that is the only one for its
// recipient. So many tiny messages are bounded too.
const OVERHEAD: usize = 512;

/// The messages that wait for one absent peer.
///
/// The messages of one sender are a batch with one clock, which starts with the first of them. A batch is
/// delivered as a whole and in order, or expires as a whole. If one message has no room, the batch is lost
/// with it, because its sender hears EXPIRE for the recipient. Messages of rooms and of the app are refused
/// one by one instead: those that were accepted stay.
#[derive(Default)]
pub(super) struct Queue {
    messages: VecDeque<Outgoing>,
    batches: HashMap<PeerId, PendingBatch>,
    bytes: usize,
    /// Its messages use the room for those whose recipient is sought.
    is_sought: bool,
}

struct PendingBatch {
    since: Instant,
    messages: usize,
    /// Of these messages, without the overhead.
    bytes: usize,
    /// The number of the sender's address. 0 is no source, but loopback, which may be a proxy of all, or the
    /// app.
    source: u64,
    /// Somebody may call the recipient: an event has told that its sender wants it.
    is_told: bool,
}

/// The position of a message in the order of delivery.
#[derive(Clone, Copy)]
pub(super) enum QueueEnd {
    /// In front: the message is older than all that wait.
    Front,
    /// Behind: the usual case.
    Back,
}

/// A bound was reached, and the message is lost. If it is about a connection, all waiting ones of its sender
/// are, too.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overflow {
    /// The bound that it hit.
    pub(super) reason: DropReason,
    /// The messages that are gone.
    pub(super) lost: Vec<(PeerId, MessageKind)>,
}

impl Queue {
    /// Keeps a message that arrives at `now`. The first one decides whether the recipient is sought. Returns
    /// its sender if that is the first to tell of: an offer waits for a recipient that is known to be absent.
    #[expect(clippy::too_many_arguments, reason = "the bounds of all that waits")]
    pub(super) fn enqueue(
        &mut self,
        outgoing: Outgoing,
        end: QueueEnd,
        now: Instant,
        limits: &Limits,
        budget: &QueueBudget,
        is_sought: bool,
        source: impl FnOnce(&PeerId) -> u64,
    ) -> Result<Option<(PeerId, ReportedKind)>, Overflow> {
        let len = outgoing.frame.len();
        let known = outgoing.from().and_then(|from| self.batches.get(from)).map(|batch| batch.source);
        let source = known.or_else(|| outgoing.from().map(source)).unwrap_or(0);
        if self.is_empty() {
            self.is_sought = is_sought;
        }
        let messages = self.messages.len();
        let bytes = self.bytes + len;
        // A source leaves as much as it has.
        let is_half_full = 2 * messages >= limits.queue_messages || 2 * bytes > limits.queue_bytes;
        let of_source = if source != 0 && is_half_full { self.of_source(source) } else { (0, 0) };
        let refused = if messages + of_source.0 >= limits.queue_messages {
            Some(DropReason::QueueMessages)
        } else if bytes + of_source.1 > limits.queue_bytes {
            Some(DropReason::QueueBytes)
        } else if !self.take(&outgoing, source, limits.queue_total_bytes, budget) {
            Some(DropReason::QueueTotalBytes)
        } else {
            None
        };
        if let Some(reason) = refused {
            let mut lost = Vec::new();
            if let Some(from) = outgoing.expires_for() {
                lost = self.drop_batch(from, budget);
            }
            lost.extend(outgoing.counted());
            return Err(Overflow { reason, lost });
        }
        self.bytes += len;
        let mut wanted = None;
        if let Some(from) = outgoing.from() {
            let new = PendingBatch { since: now, messages: 0, bytes: 0, source, is_told: false };
            let batch = self.batches.entry(from.clone()).or_insert(new);
            batch.messages += 1;
            batch.bytes += len;
            if !is_sought && is_offer(&outgoing) && !std::mem::replace(&mut batch.is_told, true) {
                wanted = Some((from.clone(), ReportedKind::of_offer(outgoing.frame.payload())));
            }
        }
        match end {
            QueueEnd::Front => self.messages.push_front(outgoing),
            QueueEnd::Back => self.messages.push_back(outgoing),
        }
        Ok(wanted)
    }

    /// The senders of waiting offers that were not told of: the recipient was sought, and is absent.
    pub(super) fn take_wanted(&mut self) -> Vec<(PeerId, ReportedKind)> {
        let batches = &mut self.batches;
        let wanted = |outgoing: &Outgoing| {
            let from = outgoing.from().filter(|_| is_offer(outgoing))?;
            let is_told = std::mem::replace(&mut batches.get_mut(from)?.is_told, true);
            (!is_told).then(|| (from.clone(), ReportedKind::of_offer(outgoing.frame.payload())))
        };
        self.messages.iter().filter_map(wanted).collect()
    }

    /// Takes out the batches that began at `began` or before: their senders, and the messages of each.
    pub(super) fn expire(
        &mut self,
        began: Instant,
        budget: &QueueBudget,
    ) -> Vec<(PeerId, Vec<(PeerId, MessageKind)>)> {
        let old = self.batches.iter().filter(|(_, batch)| batch.since <= began);
        let senders: Vec<PeerId> = old.map(|(from, _)| from.clone()).collect();
        let expired = senders.into_iter().map(|from| {
            let messages = self.drop_if(|outgoing| outgoing.from() == Some(&from), budget);
            (from, messages)
        });
        expired.collect()
    }

    /// The oldest message.
    pub(super) fn front(&self) -> Option<&Outgoing> {
        self.messages.front()
    }

    /// Takes out the messages that do not wait.
    pub(super) fn drop_non_queueable(&mut self, budget: &QueueBudget) -> Vec<(PeerId, MessageKind)> {
        self.drop_if(|outgoing| outgoing.sender_if_reliable().is_none(), budget)
    }

    /// Takes out the oldest message.
    pub(super) fn pop(&mut self, budget: &QueueBudget) -> Option<Outgoing> {
        let outgoing = self.messages.pop_front()?;
        self.bytes -= outgoing.frame.len();
        let source = leave(&mut self.batches, &outgoing);
        give_back(&outgoing, source, self.is_sought, budget);
        Some(outgoing)
    }

    /// Takes out everything of one sender that must not be lost.
    pub(super) fn drop_batch(&mut self, from: &PeerId, budget: &QueueBudget) -> Vec<(PeerId, MessageKind)> {
        self.drop_if(|outgoing| outgoing.sender_if_reliable() == Some(from), budget)
    }

    /// Takes out the messages of rooms that the client does not hear.
    pub(super) fn drop_of_rooms(
        &mut self,
        budget: &QueueBudget,
        hears: impl Fn(&Frame) -> bool,
    ) -> Vec<(PeerId, MessageKind)> {
        self.drop_if(|outgoing| is_of_room(outgoing) && !hears(&outgoing.frame), budget)
    }

    /// Takes out the messages of rooms.
    pub(super) fn take_of_rooms(&mut self, budget: &QueueBudget) -> Vec<Outgoing> {
        self.take_if(is_of_room, budget)
    }

    fn drop_if(
        &mut self,
        goes: impl Fn(&Outgoing) -> bool,
        budget: &QueueBudget,
    ) -> Vec<(PeerId, MessageKind)> {
        self.take_if(goes, budget).iter().filter_map(Outgoing::counted).collect()
    }

    fn take_if(&mut self, goes: impl Fn(&Outgoing) -> bool, budget: &QueueBudget) -> Vec<Outgoing> {
        let mut messages = Vec::from(std::mem::take(&mut self.messages));
        let gone: Vec<Outgoing> = messages.extract_if(.., |outgoing| goes(outgoing)).collect();
        self.messages = messages.into();
        for outgoing in &gone {
            self.bytes -= outgoing.frame.len();
            let source = leave(&mut self.batches, outgoing);
            give_back(outgoing, source, self.is_sought, budget);
        }
        gone
    }

    fn take(&mut self, outgoing: &Outgoing, source: u64, total: usize, budget: &QueueBudget) -> bool {
        let cost = cost(outgoing);
        match outgoing.from() {
            Some(from) if self.is_sought && budget.take_for_sought(from, cost, total) => true,
            _ => self.end_search(total, budget) && budget.take([outgoing], &[(source, cost)], total),
        }
    }

    /// The bytes of its messages, by their source.
    fn sources(&self) -> Vec<(u64, usize)> {
        let limited = self.batches.values().filter(|batch| batch.source != 0);
        limited.map(|batch| (batch.source, batch.bytes + batch.messages * OVERHEAD)).collect()
    }

    /// The messages of a source, and their bytes.
    fn of_source(&self, source: u64) -> (usize, usize) {
        let of_source = self.batches.values().filter(|batch| batch.source == source);
        of_source.fold((0, 0), |(messages, bytes), batch| (messages + batch.messages, bytes + batch.bytes))
    }

    /// From now on its messages use the bytes for absent peers. False if that has too little.
    pub(super) fn end_search(&mut self, total: usize, budget: &QueueBudget) -> bool {
        if !self.is_sought {
            return true;
        }
        let has_room = budget.take(&self.messages, &self.sources(), total);
        if has_room {
            let of_sought = self.messages.iter().filter_map(|outgoing| Some((outgoing.from()?, outgoing)));
            of_sought.for_each(|(from, outgoing)| budget.give_back_sought(from, cost(outgoing)));
            self.is_sought = false;
        }
        has_room
    }

    /// The senders of messages that must not be lost.
    pub(super) fn senders(&self) -> Vec<PeerId> {
        self.batches.keys().cloned().collect()
    }

    /// The messages of a sender that wait.
    pub(super) fn messages_of(&self, from: &PeerId) -> usize {
        self.batches.get(from).map_or(0, |batch| batch.messages)
    }

    /// The time at which the oldest batch began.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.batches.values().map(|batch| batch.since).min()
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// True if its bytes, and the messages of its batches, are those of its messages.
    pub(super) fn is_counted_right(&self) -> bool {
        let bytes: usize = self.messages.iter().map(|outgoing| outgoing.frame.len()).sum();
        let of =
            |from: &PeerId| self.messages.iter().filter(|outgoing| outgoing.from() == Some(from)).count();
        bytes == self.bytes && self.batches.iter().all(|(from, batch)| of(from) == batch.messages)
    }

    /// The bytes that it has charged for a recipient that is sought.
    pub(super) fn sought_bytes(&self) -> usize {
        let charged = self.messages.iter().filter(|outgoing| self.is_sought && outgoing.from().is_some());
        charged.map(cost).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// All messages in order of arrival, and their share of the budget.
    pub(super) fn drain(mut self, budget: &QueueBudget) -> (VecDeque<Outgoing>, QueueRoom) {
        // They leave one budget and enter the other, even if that is full.
        self.end_search(usize::MAX, budget);
        let charged = self.messages.iter().map(|outgoing| outgoing.frame.leave_queue() + OVERHEAD).sum();
        let bytes = self.bytes + self.messages.len() * OVERHEAD;
        let sources = self.sources();
        (self.messages, QueueRoom { account: Arc::clone(&budget.waiting), charged, sources, bytes })
    }
}

fn give_back(outgoing: &Outgoing, source: u64, is_sought: bool, budget: &QueueBudget) {
    match outgoing.from() {
        Some(from) if is_sought => budget.give_back_sought(from, cost(outgoing)),
        _ => {
            budget.waiting.give_back(outgoing.frame.leave_queue() + OVERHEAD);
            budget.waiting.all.give_back_of(&[(source, cost(outgoing))]);
        }
    }
}

fn is_of_room(outgoing: &Outgoing) -> bool {
    outgoing.kind() == Some(MessageKind::Room)
}

fn is_offer(outgoing: &Outgoing) -> bool {
    outgoing.kind() == Some(MessageKind::Offer)
}

fn cost(outgoing: &Outgoing) -> usize {
    outgoing.frame.len() + OVERHEAD
}

/// Takes a message out of the batch of its sender. Returns its source.
fn leave(batches: &mut HashMap<PeerId, PendingBatch>, outgoing: &Outgoing) -> u64 {
    let Some(from) = outgoing.from() else { return 0 };
    let Some(batch) = batches.get_mut(from) else { return 0 };
    batch.messages -= 1;
    batch.bytes -= outgoing.frame.len();
    let source = batch.source;
    if batch.messages == 0 {
        batches.remove(from);
    }
    source
}

/// Counts the bytes in use.
#[derive(Debug, Default)]
pub(super) struct Budget(AtomicUsize);

/// A part of a budget. Dropping it gives the bytes back.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: Arc<Budget>,
    bytes: usize,
}

/// The bytes that wait of all realms.
#[derive(Debug, Default)]
pub(super) struct WaitingMessages {
    pub(super) bytes: Budget,
    /// The messages of each source. Each counts in full, also one that shares its bytes with others that
    /// wait.
    of_sources: Mutex<HashMap<u64, usize>>,
}

/// The bytes that wait of one realm, and of all.
#[derive(Debug)]
pub(super) struct Account {
    own: Budget,
    all: Arc<WaitingMessages>,
}

/// The bytes that messages took of an account when they waited. Dropping it gives them back.
#[derive(Debug)]
pub struct QueueRoom {
    account: Arc<Account>,
    /// Less than all their bytes, if others share them that still wait.
    charged: usize,
    sources: Vec<(u64, usize)>,
    /// All bytes of the messages.
    pub(super) bytes: usize,
}

/// A realm has at most so many times the bytes that are still free. So alone it has seven eighths, and with
/// `n` greedy realms, each has 7 shares of `7 n + 1`, once what waited too long is gone.
const MOST_OF_FREE: usize = 7;

/// The bytes that messages of a realm may take while they wait.
///
/// In a cluster, the broker first looks for a peer that is not here. A quarter is for messages that wait for
/// the answer: otherwise floods to unknown ids would cut the nodes from each other. No sender can use up that
/// part: each has at most an eighth of what is still free for its realm, and leaves an eighth to other
/// realms. With `n` greedy senders, everybody finds one share in `n + 8`.
pub(super) struct QueueBudget {
    waiting: Arc<Account>,
    sought: Arc<Budget>,
    shares: Mutex<Shares>,
    is_cluster: bool,
}

/// Bytes of messages whose recipients are sought.
#[derive(Default)]
struct Shares {
    realm: usize,
    senders: HashMap<PeerId, usize>,
}

impl QueueBudget {
    pub(super) fn new(waiting: &Arc<WaitingMessages>, sought: &Arc<Budget>, is_cluster: bool) -> Self {
        let waiting = Arc::new(Account { own: Budget::default(), all: Arc::clone(waiting) });
        QueueBudget { waiting, sought: Arc::clone(sought), shares: Mutex::default(), is_cluster }
    }

    /// The part of `total` for messages whose recipients are sought.
    fn for_sought(&self, total: usize) -> usize {
        if self.is_cluster { total / 4 } else { 0 }
    }

    /// Takes bytes of `total` for messages of these sources to absent peers. Bytes that they share with
    /// others that wait cost nothing.
    fn take<'a>(
        &self,
        messages: impl IntoIterator<Item = &'a Outgoing> + Clone,
        sources: &[(u64, usize)],
        total: usize,
    ) -> bool {
        let mut charged = 0;
        for outgoing in messages.clone() {
            charged += outgoing.frame.enter_queue() + OVERHEAD;
        }
        if self.waiting.take(charged, sources, total - self.for_sought(total)) {
            return true;
        }
        let mut free = 0;
        for outgoing in messages {
            free += outgoing.frame.leave_queue() + OVERHEAD;
        }
        // Another thread may have relied on these bytes, or left them to this one.
        self.waiting.add(charged.saturating_sub(free));
        self.waiting.give_back(free.saturating_sub(charged));
        false
    }

    /// Takes bytes of `total` for a message that waits outside the queues.
    pub(super) fn reserve(&self, message: &Frame, source: u64, total: usize) -> Option<QueueRoom> {
        let bytes = message.len() + OVERHEAD;
        let sources = vec![(source, bytes)];
        let has_room = self.waiting.take(bytes, &sources, total - self.for_sought(total));
        has_room.then(|| QueueRoom { account: Arc::clone(&self.waiting), charged: bytes, sources, bytes })
    }

    /// Takes bytes of `total` for a message whose recipient is sought.
    pub(super) fn take_for_sought(&self, from: &PeerId, bytes: usize, total: usize) -> bool {
        let max = self.for_sought(total);
        let mut shares = self.shares();
        let others = self.sought.used().saturating_sub(shares.realm);
        let free = (max.saturating_sub(others) / 8 * 7).saturating_sub(shares.realm);
        let own = shares.senders.get(from).copied().unwrap_or(0);
        if own.saturating_add(bytes) > free / 8 || !self.sought.take(bytes, max) {
            return false;
        }
        shares.realm += bytes;
        *shares.senders.entry(from.clone()).or_default() += bytes;
        true
    }

    pub(super) fn give_back_sought(&self, from: &PeerId, bytes: usize) {
        self.sought.give_back(bytes);
        let mut shares = self.shares();
        shares.realm = shares.realm.saturating_sub(bytes);
        if let Some(own) = shares.senders.get_mut(from) {
            *own = own.saturating_sub(bytes);
            if *own == 0 {
                shares.senders.remove(from);
            }
        }
    }

    /// The bytes that are charged for recipients that are sought.
    pub(super) fn sought_bytes(&self) -> usize {
        self.shares().realm
    }

    fn shares(&self) -> MutexGuard<'_, Shares> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    /// Takes bytes, unless more than `max` would be in use of all, or this realm or a source would have too
    /// much of it.
    fn take(&self, bytes: usize, sources: &[(u64, usize)], max: usize) -> bool {
        let own = self.own.add(bytes) + bytes;
        if self.all.bytes.take(bytes, max.saturating_sub(own.div_ceil(MOST_OF_FREE))) {
            if self.all.take_of(sources, max) {
                return true;
            }
            self.all.bytes.give_back(bytes);
        }
        self.own.give_back(bytes);
        false
    }

    /// Takes bytes, even if there are none left.
    fn add(&self, bytes: usize) {
        self.own.add(bytes);
        self.all.bytes.add(bytes);
    }

    fn give_back(&self, bytes: usize) {
        self.own.give_back(bytes);
        self.all.bytes.give_back(bytes);
    }
}

impl WaitingMessages {
    /// Takes bytes for sources, each of which leaves as much free as it has.
    fn take_of(&self, sources: &[(u64, usize)], max: usize) -> bool {
        let mut limited = sources.iter().filter(|(source, _)| *source != 0).peekable();
        if limited.peek().is_none() {
            return true;
        }
        let free = max.saturating_sub(self.bytes.used());
        let mut all = self.of_sources.lock().unwrap_or_else(PoisonError::into_inner);
        let mut has_room = true;
        for (source, bytes) in limited {
            let has = all.entry(*source).or_default();
            *has += bytes;
            has_room &= *has <= free;
        }
        drop(all);
        if !has_room {
            self.give_back_of(sources);
        }
        has_room
    }

    fn give_back_of(&self, sources: &[(u64, usize)]) {
        for (source, bytes) in sources.iter().filter(|(source, _)| *source != 0) {
            let mut all = self.of_sources.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(has) = all.get_mut(source) {
                *has -= bytes;
                if *has == 0 {
                    all.remove(source);
                }
            }
        }
    }
}

impl Drop for QueueRoom {
    fn drop(&mut self) {
        self.account.give_back(self.charged);
        self.account.all.give_back_of(&self.sources);
    }
}

impl Budget {
    pub(super) fn used(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes bytes, unless more than `max` would be in use.
    pub(super) fn take(&self, bytes: usize, max: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|used| *used <= max);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    /// Takes bytes, even if there are none left. Returns those in use before.
    fn add(&self, bytes: usize) -> usize {
        self.0.fetch_add(bytes, Ordering::Relaxed)
    }

    /// Gives bytes back.
    pub(super) fn give_back(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// A part without any bytes yet.
    pub(super) fn reservation(self: &Arc<Self>) -> Reservation {
        Reservation { budget: Arc::clone(self), bytes: 0 }
    }

    /// Takes bytes as [`take`](Self::take) does, for as long as the guard lives.
    pub(super) fn reserve(self: &Arc<Self>, bytes: usize, max: usize) -> Option<Reservation> {
        self.take(bytes, max).then(|| Reservation { budget: Arc::clone(self), bytes })
    }
}

impl Reservation {
    /// Takes more bytes, even if there are none left, or gives some back.
    pub(super) fn set(&mut self, bytes: usize) {
        if bytes > self.bytes {
            self.budget.add(bytes - self.bytes);
        } else {
            self.budget.give_back(self.bytes - bytes);
        }
        self.bytes = bytes;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}
