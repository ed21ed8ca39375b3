//! A connection in the model: its stage, its outbox and its socket.

use std::collections::{BTreeMap, VecDeque};

use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::CloseReason;

use super::MessageNo;
use crate::socket::Heard;

/// The overhead of a frame in an outbox.
const OUTBOX_OVERHEAD: usize = 256;

/// The stage of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Holder,
    /// It lost the id; its session does not know yet.
    Dismissed(CloseReason),
    /// Its session is closing it.
    Departure(CloseReason),
    Over,
}

/// A frame in an outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) what: Heard,
    pub(super) len: usize,
    /// The peer that sent it.
    pub(super) from: Option<String>,
    /// Belongs to a message that must not be lost.
    pub(super) message: Option<MessageNo>,
    /// Is only for this connection.
    pub(super) own: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conn {
    pub id: String,
    pub(super) token: String,
    pub stage: Stage,
    pub(super) outbox: VecDeque<Item>,
    /// Written bytes of the first item.
    pub written: usize,
    pub(super) limit: usize,
    /// Messages from the queue raise the limit until everything was written once.
    pub(super) charge: usize,
    /// The last write would have blocked.
    pub(super) blocked: bool,
    /// Bytes were written after that, and nobody has checked yet.
    pub(super) progressed: bool,
    /// Since when a full outbox has made no progress.
    pub(super) crowded: Option<Instant>,
    pub room: usize,
    pub broken: bool,
    /// Half a message was taken back, so nothing can follow.
    pub(super) cut: bool,
    /// When everything sent to it has arrived, over a slow link.
    pub(super) arrival: Instant,
    pub(super) last_heard: Instant,
    pub(super) last_pinged: Instant,
    /// Slot in the order of first registrations.
    pub(super) rank: u64,
    pub received: Vec<Heard>,
}

/// Bytes on the wire.
pub(super) fn frame_len(text_len: usize) -> usize {
    text_len + if text_len < 126 { 2 } else { 4 }
}

pub(super) fn close_of(why: CloseReason) -> Item {
    let (code, reason) = match why.ending().close() {
        Some((code, reason)) => (Some(code), reason.len() + 2),
        None => (None, 0),
    };
    Item { what: Heard::Close(code), len: 2 + reason, from: None, message: None, own: true }
}

pub(super) fn notice(text: String) -> Item {
    Item { len: frame_len(text.len()), what: Heard::Text(text), from: None, message: None, own: false }
}

impl Item {
    pub(super) fn cost(&self) -> usize {
        self.len + OUTBOX_OVERHEAD
    }

    pub(super) fn control(what: Heard) -> Self {
        Item { what, len: 2, from: None, message: None, own: true }
    }

    fn is_opening(&self) -> bool {
        self.own && !matches!(self.what, Heard::Ping | Heard::Pong)
    }
}

impl Conn {
    /// Writes everything that the socket takes.
    pub(super) fn drain(&mut self) {
        while !self.broken && !self.cut && self.room > 0 {
            let Some(first) = self.outbox.front() else { break };
            self.progressed |= std::mem::take(&mut self.blocked);
            let count = self.room.min(first.len - self.written);
            if self.room != usize::MAX {
                self.room -= count;
            }
            self.written += count;
            if self.written == first.len {
                self.written = 0;
                self.received.extend(self.outbox.pop_front().map(|item| item.what));
            }
        }
        if self.outbox.is_empty() {
            self.charge = 0;
        } else if self.room == 0 && !self.broken && !self.cut {
            // A write to a broken socket fails: only a live one is full.
            self.blocked = true;
        }
    }

    pub(super) fn record_sent(&mut self, bytes: usize, now: Instant) {
        self.arrival = self.arrival.max(now).plus_millis(bytes as u64 / 8).min(now.plus_millis(60_000));
    }

    pub(super) fn is_drained(&self) -> bool {
        self.outbox.is_empty() && !self.blocked
    }

    /// Checks whether a full outbox has made progress.
    pub(super) fn look(&mut self, now: Instant) -> bool {
        let progressed = std::mem::take(&mut self.progressed);
        if progressed {
            self.crowded = self.crowded.map(|_| now);
        }
        if self.outbox.is_empty() && !self.blocked {
            self.crowded = None;
        }
        progressed
    }

    pub(super) fn push(&mut self, item: Item) {
        self.outbox.push_back(item);
        self.drain();
    }

    /// Before all items that are not partly written.
    pub(super) fn ping(&mut self) {
        let begun = self.begun();
        if self.outbox.get(begun).is_none_or(|next| next.what != Heard::Ping) {
            self.outbox.insert(begun, Item::control(Heard::Ping));
        }
        self.drain();
    }

    /// Adds an item if it fits. Returns whether it did, and the dropped items by sender.
    pub(super) fn offer(&mut self, item: Item) -> (bool, Vec<(String, Vec<MessageNo>)>) {
        let mut lost = Vec::new();
        if self.has_room_for(&item) {
            self.push(item);
            return (true, lost);
        }
        let bound = self.limit + self.charge;
        let mut behind = self.behind();
        let mut gone = Vec::new();
        let mut accepted = true;
        let mut shares = self.shares(&item);
        loop {
            let overflows = behind + item.cost() > bound;
            if !overflows && behind <= bound / 4 * 3 {
                break;
            }
            let heaviest =
                shares.keys().max_by_key(|from| (shares[*from].0, item.from.as_ref() != Some(from), *from));
            let heaviest = heaviest.cloned();
            let own = heaviest == item.from;
            if own && !overflows {
                break;
            }
            if let Some(from) = heaviest {
                behind -= shares.remove(&from).map_or(0, |(_, counted)| counted);
                gone.push(from);
            }
            if own {
                accepted = false;
                break;
            }
        }
        for from in gone {
            let mut messages = self.shed(&from);
            messages.extend(item.message.filter(|_| !accepted && item.from.as_ref() == Some(&from)));
            if !messages.is_empty() {
                lost.push((from, messages));
            }
        }
        if accepted {
            self.push(item);
        }
        (accepted, lost)
    }

    /// For each sender: all bytes, and those after the first item.
    fn shares(&self, item: &Item) -> BTreeMap<String, (usize, usize)> {
        let mut shares = BTreeMap::<String, (usize, usize)>::new();
        let waiting = self.outbox.iter().enumerate().skip(self.begun());
        for (at, item) in waiting.chain([(0, item)]) {
            if let Some(from) = &item.from {
                let (all, behind) = shares.entry(from.clone()).or_default();
                *all += item.cost();
                *behind += if at > 0 { item.cost() } else { 0 };
            }
        }
        shares
    }

    fn shed(&mut self, sender: &String) -> Vec<MessageNo> {
        let waiting = self.outbox.split_off(self.begun());
        let (gone, stays): (VecDeque<Item>, VecDeque<Item>) =
            waiting.into_iter().partition(|item| item.from.as_ref() == Some(sender));
        self.outbox.extend(stays);
        gone.into_iter().filter_map(|item| item.message).collect()
    }

    /// The partly written item does not count.
    fn behind(&self) -> usize {
        self.outbox.iter().skip(1).map(Item::cost).sum()
    }

    fn has_room_for(&self, item: &Item) -> bool {
        self.outbox.is_empty() || self.behind() + item.cost() <= self.limit + self.charge
    }

    /// Number of items that cannot move.
    fn begun(&self) -> usize {
        let opening = self.outbox.iter().take_while(|item| item.is_opening()).count();
        opening.max(usize::from(self.written > 0)).min(self.outbox.len())
    }

    /// Unwritten items that can move.
    pub(super) fn take_unsent(&mut self, dead: bool) -> Vec<Item> {
        let stays = if dead { 0 } else { self.begun() };
        self.cut |= dead;
        self.charge = 0;
        self.outbox.split_off(stays).into()
    }
}
