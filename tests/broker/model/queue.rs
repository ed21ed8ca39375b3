//! What waits for an absent peer, and what becomes of it when it cannot wait.

use std::collections::{BTreeMap, VecDeque};

use super::conn::{Item, frame_len, notice};
use super::{Chooser, Expiry, MessageNo, Model};

/// What a kept message costs the total beside its bytes.
pub(super) const QUEUE_OVERHEAD: usize = 512;

/// What waits for an absent peer, oldest first, and when each sender's part of it began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Queue {
    pub(super) messages: VecDeque<MessageNo>,
    pub(super) began: BTreeMap<String, u64>,
}

/// For whom, from whom, and what.
pub(super) type Losses = Vec<(String, String, Vec<MessageNo>)>;

impl Model {
    /// Keeps what was not sent; what follows a loss of the same sender is lost with it.
    pub(super) fn keep_all(&mut self, to: &str, unsent: Vec<Item>, in_front: bool) -> Losses {
        let mut losses = Losses::new();
        for no in unsent.into_iter().filter_map(|item| item.message) {
            let from = self.messages[no].from.clone();
            if let Some((_, _, lost)) = losses.iter_mut().find(|(_, sender, _)| *sender == from) {
                lost.push(no);
            } else if let Err(lost) = self.keep(to, no, in_front) {
                losses.push((to.to_owned(), from, lost));
            }
        }
        losses
    }

    /// Keeps a message, or drops all that its sender had waiting here.
    pub(super) fn keep(&mut self, to: &str, no: MessageNo, in_front: bool) -> Result<(), Vec<MessageNo>> {
        let (from, len, total) = (self.messages[no].from.clone(), self.len_of(no), self.queued_bytes());
        let queue = self.queues.entry(to.to_owned()).or_default();
        let bytes: usize = queue.messages.iter().map(|no| frame_len(self.messages[*no].text.len())).sum();
        let fits = queue.messages.len() < self.limits.queue_messages
            && bytes + len <= self.limits.queue_bytes
            && total + len + QUEUE_OVERHEAD <= self.limits.queue_total_bytes;
        if !fits {
            self.counts.expired += 1;
            let mut lost = self.drop_conversation(to, &from);
            lost.push(no);
            return Err(lost);
        }
        queue.began.entry(from).or_insert(self.now);
        if in_front {
            queue.messages.push_front(no)
        } else {
            queue.messages.push_back(no)
        }
        Ok(())
    }

    pub(super) fn drop_conversation(&mut self, to: &str, from: &str) -> Vec<MessageNo> {
        let Some(queue) = self.queues.get_mut(to) else { return Vec::new() };
        let (lost, kept) = queue.messages.iter().partition(|no| self.messages[**no].from == from);
        queue.messages = kept;
        queue.began.remove(from);
        if queue.messages.is_empty() {
            self.queues.remove(to);
        }
        let lost: VecDeque<MessageNo> = lost;
        lost.into()
    }

    /// Whoever holds the id of a sender hears what became of its messages. One that has no room for
    /// it does not read: it is dismissed, which may cost others theirs.
    pub(super) fn tell(&mut self, losses: Losses, choose: &mut Chooser) {
        let mut untold = losses;
        while !untold.is_empty() {
            let (absent, sender, messages) = untold.swap_remove(choose.one_of(untold.len()));
            let told = self.holders.get(&sender).copied();
            self.expiries.insert(Expiry { messages, told });
            let Some(conn) = told else { continue };
            let item = notice(format!("EXPIRE {absent} {sender}"));
            if self.conns[conn].has_room_for(&item) {
                self.conns[conn].push(item);
            } else {
                untold.extend(self.dismiss_slow_reader(conn, None));
            }
        }
    }
}
