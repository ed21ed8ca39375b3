//! A connection as the model sees it: its stage, its outbox and its socket.

use std::collections::VecDeque;

use peerbroker::broker::Goodbye;

use super::MessageNo;
use crate::socket::Heard;

/// What a frame costs an outbox beside its bytes.
const OUTBOX_OVERHEAD: usize = 64;

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Holder,
    /// It lost the id; its session does not know yet.
    Dismissed(Goodbye),
    /// Its session says goodbye.
    Parting(Goodbye),
    Over,
}

/// A frame in an outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) what: Heard,
    pub(super) len: usize,
    pub(super) message: Option<MessageNo>,
    /// Goes to this connection or to none.
    pub(super) own: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conn {
    pub id: String,
    pub(super) token: String,
    pub stage: Stage,
    pub(super) outbox: VecDeque<Item>,
    /// Bytes of the first item that are written.
    pub written: usize,
    pub(super) limit: usize,
    /// What waited for it, until it was all written once.
    pub(super) allowance: usize,
    pub room: usize,
    pub broken: bool,
    /// Half a message was taken back: nothing can follow.
    pub(super) cut: bool,
    pub(super) last_heard: u64,
    pub(super) last_pinged: u64,
    /// Place in the order of first registrations.
    pub(super) rank: u64,
    pub received: Vec<Heard>,
}

/// Bytes on the wire.
pub(super) fn frame_len(text_len: usize) -> usize {
    text_len + if text_len < 126 { 2 } else { 4 }
}

pub(super) fn close_of(why: Goodbye) -> Item {
    let (code, reason) = match why.close() {
        Some((code, reason)) => (Some(code), reason.len() + 2),
        None => (None, 0),
    };
    Item { what: Heard::Close(code), len: 2 + reason, message: None, own: true }
}

pub(super) fn notice(text: String) -> Item {
    Item { len: frame_len(text.len()), what: Heard::Text(text), message: None, own: false }
}

impl Item {
    pub(super) fn cost(&self) -> usize {
        self.len + OUTBOX_OVERHEAD
    }

    pub(super) fn control(what: Heard) -> Self {
        Item { what, len: 2, message: None, own: true }
    }
}

impl Conn {
    /// Everything is written as soon as the socket takes it.
    pub(super) fn drain(&mut self) {
        while !self.broken && !self.cut && self.room > 0 {
            let Some(first) = self.outbox.front() else {
                self.allowance = 0;
                return;
            };
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
            self.allowance = 0;
        }
    }

    pub(super) fn push(&mut self, item: Item) {
        self.outbox.push_back(item);
        self.drain();
    }

    /// What is being written does not count.
    pub(super) fn has_room_for(&self, item: &Item) -> bool {
        let behind: usize = self.outbox.iter().skip(1).map(Item::cost).sum();
        self.outbox.is_empty() || behind + item.cost() <= self.limit + self.allowance
    }

    /// What was not begun and can go elsewhere.
    pub(super) fn take_unsent(&mut self, dead: bool) -> Vec<Item> {
        let is_opening = |item: &&Item| item.own && !matches!(item.what, Heard::Ping | Heard::Pong);
        let opening = self.outbox.iter().take_while(is_opening).count();
        let stays = if dead { 0 } else { opening.max(usize::from(self.written > 0)) };
        if dead {
            self.cut = true;
        }
        self.outbox.split_off(stays.min(self.outbox.len())).into()
    }
}
