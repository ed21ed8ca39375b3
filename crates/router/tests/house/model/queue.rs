//! The queue of an absent peer, and its overflow.

use std::collections::{BTreeMap, VecDeque};

use peerbroker_core::clock::Instant;

use super::conn::{Item, notice};
use super::{Chooser, Expiry, MessageNo, Model};

/// The overhead of a queued message in the total.
pub(super) const QUEUE_OVERHEAD: usize = 512;

/// The queue of an absent peer, oldest first, and the start of each sender's conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Queue {
    pub(super) items: VecDeque<Item>,
    pub(super) began: BTreeMap<String, Instant>,
}

/// Recipient, sender, and the message.
pub(super) type Losses = Vec<(String, String, Vec<MessageNo>)>;

impl Queue {
    pub(super) fn charge(&self) -> usize {
        self.items.iter().map(|item| item.len + QUEUE_OVERHEAD).sum()
    }
}

/// The total of which one key alone may use so many bytes: seven times as many as stay free.
fn of_one_key(bytes: usize) -> usize {
    bytes + bytes.div_ceil(7)
}

impl Model {
    /// Queues unsent messages that must not be lost.
    pub(super) fn enqueue_unsent(&mut self, to: &str, unsent: Vec<Item>, in_front: bool) -> Losses {
        let kept = unsent.into_iter().filter(|item| item.message.is_some());
        let mut losses = Losses::new();
        self.enqueue_all(to, kept.collect(), in_front, &mut losses);
        losses
    }

    /// Queues unsent messages. After a loss, later messages of the same sender are lost too.
    pub(super) fn enqueue_all(&mut self, to: &str, unsent: Vec<Item>, in_front: bool, losses: &mut Losses) {
        for item in unsent {
            let from = item.from.clone();
            let no = item.message;
            let lost_before = |(_, sender, _): &&mut (String, String, _)| Some(sender) == from.as_ref();
            if let (Some(no), Some((_, _, lost))) = (no, losses.iter_mut().find(lost_before)) {
                lost.push(no);
            } else if let Err(lost) = self.keep(to, item, in_front)
                && let Some(from) = from.filter(|_| no.is_some())
            {
                losses.push((to.to_owned(), from, lost));
            }
        }
    }

    /// Queues a message, or drops all messages of its sender in this queue.
    pub(super) fn keep(&mut self, to: &str, item: Item, in_front: bool) -> Result<(), Vec<MessageNo>> {
        let total = self.queued_bytes();
        let queue = self.queues.entry(to.to_owned()).or_default();
        let bytes: usize = queue.items.iter().map(|item| item.len).sum();
        let fits = queue.items.len() < self.limits.queue_messages
            && bytes + item.len <= self.limits.queue_bytes
            && of_one_key(total + item.len + QUEUE_OVERHEAD) <= self.limits.queue_total_bytes;
        let kept = item.from.clone().zip(item.message);
        if !fits {
            let Some((from, no)) = kept else { return Err(Vec::new()) };
            self.counts.expired += 1;
            let mut lost = self.drop_conversation(to, &from);
            lost.push(no);
            return Err(lost);
        }
        if let Some((from, _)) = kept {
            queue.began.entry(from).or_insert(self.now);
        }
        if in_front {
            queue.items.push_front(item)
        } else {
            queue.items.push_back(item)
        }
        Ok(())
    }

    pub(super) fn drop_conversation(&mut self, to: &str, from: &str) -> Vec<MessageNo> {
        let Some(queue) = self.queues.get_mut(to) else { return Vec::new() };
        let is_its_own = |item: &Item| item.message.is_some() && item.from.as_deref() == Some(from);
        let (lost, stays): (VecDeque<Item>, VecDeque<Item>) =
            std::mem::take(&mut queue.items).into_iter().partition(is_its_own);
        queue.items = stays;
        queue.began.remove(from);
        if queue.items.is_empty() {
            self.queues.remove(to);
        }
        lost.into_iter().filter_map(|item| item.message).collect()
    }

    /// The holder of a sender's id is told what happened to its messages. A holder whose outbox is full
    /// does not read: it is dismissed, which may drop messages of others.
    pub(super) fn tell(&mut self, losses: Losses, choose: &mut Chooser) {
        let mut untold = losses;
        while !untold.is_empty() {
            let (absent, sender, messages) = untold.swap_remove(choose.one_of(untold.len()));
            let told = self.holders.get(&sender).copied();
            self.expiries.insert(Expiry { messages, told });
            let Some(conn) = told else { continue };
            untold.extend(self.notify(conn, notice(format!("EXPIRE {absent} {sender}"))));
        }
    }
}
