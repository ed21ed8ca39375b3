//! What the broker promises, in the simplest words: no locks, no wake-ups, everything written as
//! soon as the socket takes it.
//!
//! Where the broker may choose an order (which id a sweep comes to first, which sender is told
//! first), the model asks a [`Chooser`]; the test goes on with
//! all choices that explain what it saw.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use peerbroker::broker::{Goodbye, Limits};

use crate::socket::{HANDSHAKE, Heard};

/// What a frame costs an outbox beside its bytes.
const OUTBOX_OVERHEAD: usize = 64;
/// What a kept message costs the total beside its bytes.
const QUEUE_OVERHEAD: usize = 512;
/// Newcomers that may wait for one holder's answer.
const MAX_PROBES: usize = 16;

pub type ConnNo = usize;
pub type MessageNo = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routing {
    Sent,
    Kept,
    Expired,
    Dropped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    Registered,
    Taken,
    Full,
}

/// What the broker has to keep in mind about a message.
#[derive(Clone, Debug)]
pub struct Message {
    pub from: String,
    pub to: String,
    pub text: String,
    pub kept: bool,
}

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
struct Item {
    what: Heard,
    len: usize,
    message: Option<MessageNo>,
    /// Goes to this connection or to none.
    own: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conn {
    pub id: String,
    token: String,
    pub stage: Stage,
    outbox: VecDeque<Item>,
    /// Bytes of the first item that are written.
    pub written: usize,
    limit: usize,
    /// What waited for it, until it was all written once.
    allowance: usize,
    pub room: usize,
    pub broken: bool,
    /// Half a message was taken back: nothing can follow.
    cut: bool,
    last_heard: u64,
    last_pinged: u64,
    /// Place in the order of first registrations.
    rank: u64,
    pub received: Vec<Heard>,
}

/// What waits for an absent peer, oldest first, and when each sender's part of it began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Queue {
    messages: VecDeque<MessageNo>,
    began: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub slow_readers: u64,
    pub timed_out: u64,
    pub evicted: u64,
    pub expired: u64,
}

/// An end of a conversation that was not delivery.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry {
    pub messages: Vec<MessageNo>,
    /// The connection that held the sender's id.
    pub told: Option<ConnNo>,
}

#[derive(Clone)]
pub struct Model {
    limits: Limits,
    pub now: u64,
    pub conns: Vec<Conn>,
    pub messages: Vec<Message>,
    holders: BTreeMap<String, ConnNo>,
    queues: BTreeMap<String, Queue>,
    /// When, and by which question.
    probes: BTreeMap<String, Vec<(u64, usize)>>,
    next_rank: u64,
    pub counts: Counts,
    pub expiries: BTreeSet<Expiry>,
}

impl PartialEq for Model {
    fn eq(&self, other: &Self) -> bool {
        // All else follows from what was done.
        self.conns == other.conns
            && self.holders == other.holders
            && self.queues == other.queues
            && self.probes == other.probes
            && self.counts == other.counts
            && self.expiries == other.expiries
    }
}

/// Bytes on the wire.
pub fn frame_len(text_len: usize) -> usize {
    text_len + if text_len < 126 { 2 } else { 4 }
}

fn close_of(why: Goodbye) -> Item {
    let (code, reason) = match why.close() {
        Some((code, reason)) => (Some(code), reason.len() + 2),
        None => (None, 0),
    };
    Item { what: Heard::Close(code), len: 2 + reason, message: None, own: true }
}

fn notice(text: String) -> Item {
    Item { len: frame_len(text.len()), what: Heard::Text(text), message: None, own: false }
}

impl Item {
    fn cost(&self) -> usize {
        self.len + OUTBOX_OVERHEAD
    }

    fn control(what: Heard) -> Self {
        Item { what, len: 2, message: None, own: true }
    }
}

impl Conn {
    /// Everything is written as soon as the socket takes it.
    fn drain(&mut self) {
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

    fn push(&mut self, item: Item) {
        self.outbox.push_back(item);
        self.drain();
    }

    /// What is being written does not count.
    fn has_room_for(&self, item: &Item) -> bool {
        let behind: usize = self.outbox.iter().skip(1).map(Item::cost).sum();
        self.outbox.is_empty() || behind + item.cost() <= self.limit + self.allowance
    }

    /// What was not begun and can go elsewhere.
    fn take_unsent(&mut self, dead: bool) -> Vec<Item> {
        let is_opening = |item: &&Item| item.own && !matches!(item.what, Heard::Ping | Heard::Pong);
        let opening = self.outbox.iter().take_while(is_opening).count();
        let stays = if dead { 0 } else { opening.max(usize::from(self.written > 0)) };
        if dead {
            self.cut = true;
        }
        self.outbox.split_off(stays.min(self.outbox.len())).into()
    }
}

impl Model {
    pub fn new(limits: Limits) -> Self {
        Model {
            limits,
            now: 0,
            conns: Vec::new(),
            messages: Vec::new(),
            holders: BTreeMap::new(),
            queues: BTreeMap::new(),
            probes: BTreeMap::new(),
            next_rank: 0,
            counts: Counts::default(),
            expiries: BTreeSet::new(),
        }
    }

    // ---- What can be asked ----

    pub fn registered(&self) -> usize {
        self.holders.len()
    }

    /// In order of first registration.
    pub fn ids(&self) -> Vec<String> {
        let mut ids: Vec<&ConnNo> = self.holders.values().collect();
        ids.sort_by_key(|conn| self.conns[**conn].rank);
        ids.into_iter().map(|conn| self.conns[*conn].id.clone()).collect()
    }

    pub fn holds(&self, conn: ConnNo) -> bool {
        self.conns[conn].stage == Stage::Holder
    }

    pub fn queued_bytes(&self) -> usize {
        self.queues
            .values()
            .flat_map(|queue| &queue.messages)
            .map(|no| self.len_of(*no) + QUEUE_OVERHEAD)
            .sum()
    }

    pub fn is_pending(&self, probe: usize) -> bool {
        self.probes.values().flatten().any(|(_, pending)| *pending == probe)
    }

    pub fn waiting(&self) -> impl Iterator<Item = MessageNo> + '_ {
        let queued = self.queues.values().flat_map(|queue| queue.messages.iter().copied());
        queued.chain(self.conns.iter().flat_map(|conn| conn.outbox.iter().filter_map(|item| item.message)))
    }

    fn len_of(&self, no: MessageNo) -> usize {
        frame_len(self.messages[no].text.len())
    }

    // ---- What can happen ----

    pub fn connect(&mut self, id: &str, token: &str, room: usize) -> Entry {
        let old = self.holders.get(id).copied();
        let (rank, mut waiting) = match old {
            Some(old) if self.conns[old].token != token => return Entry::Taken,
            Some(old) => (self.conns[old].rank, self.dismiss(old, Goodbye::Replaced)),
            None if self.registered() >= self.limits.concurrent_limit => return Entry::Full,
            None => {
                self.next_rank += 1;
                let queue = self.queues.remove(id).unwrap_or_default();
                (self.next_rank, queue.messages.into_iter().map(|no| self.item(no)).collect())
            }
        };
        // Half a message on a predecessor's socket is worth nothing: it goes out again, first.
        let mut begun = Vec::new();
        for conn in self.conns.iter_mut().filter(|conn| conn.id == id) {
            if conn.written > 0 && conn.outbox.front().is_some_and(|first| first.message.is_some()) {
                begun.extend(conn.outbox.pop_front());
                conn.outbox.clear();
                conn.cut = true;
            }
        }
        // Its OPEN, pings and pongs were for the old connection only.
        waiting.retain(|item| !item.own);
        begun.append(&mut waiting);
        let mut conn = Conn {
            id: id.to_owned(),
            token: token.to_owned(),
            stage: Stage::Holder,
            outbox: VecDeque::new(),
            written: 0,
            limit: self.limits.outbox_bytes,
            allowance: begun.iter().map(Item::cost).sum(),
            room,
            broken: false,
            cut: false,
            last_heard: self.now,
            last_pinged: 0,
            rank,
            received: Vec::new(),
        };
        conn.outbox.push_back(Item {
            what: Heard::Handshake,
            len: HANDSHAKE.len(),
            message: None,
            own: true,
        });
        conn.outbox.push_back(Item { own: true, ..notice("OPEN".to_owned()) });
        conn.outbox.extend(begun);
        conn.drain();
        self.holders.insert(id.to_owned(), self.conns.len());
        self.conns.push(conn);
        Entry::Registered
    }

    pub fn send(&mut self, from: ConnNo, message: Message, choose: &mut Chooser) -> Routing {
        let (to, kept, sender) = (message.to.clone(), message.kept, message.from.clone());
        let no = self.messages.len();
        self.messages.push(message);
        let routing = match self.holders.get(&to).copied() {
            None if !kept => Routing::Dropped,
            None => match self.keep(&to, no, false) {
                Ok(()) => Routing::Kept,
                Err(lost) => {
                    self.expiries.insert(Expiry { messages: lost, told: self.holds(from).then_some(from) });
                    Routing::Expired
                }
            },
            Some(holder) => {
                let item = self.item(no);
                if self.conns[holder].has_room_for(&item) {
                    self.conns[holder].push(item);
                    Routing::Sent
                } else {
                    let losses = self.dismiss_slow_reader(holder, kept.then_some(no));
                    self.tell(losses, choose);
                    Routing::Kept
                }
            }
        };
        if routing == Routing::Expired {
            // By its own session.
            self.reply(from, notice(format!("EXPIRE {to} {sender}")), choose);
        }
        routing
    }

    pub fn pong(&mut self, conn: ConnNo, choose: &mut Chooser) {
        self.reply(conn, Item::control(Heard::Pong), choose);
    }

    fn reply(&mut self, conn: ConnNo, item: Item, choose: &mut Chooser) {
        if !self.holds(conn) {
            return;
        }
        if self.conns[conn].has_room_for(&item) {
            self.conns[conn].push(item);
        } else {
            let losses = self.dismiss_slow_reader(conn, None);
            self.tell(losses, choose);
        }
    }

    pub fn hear(&mut self, conn: ConnNo) {
        if self.holds(conn) {
            self.conns[conn].last_heard = self.now;
            self.probes.remove(&self.conns[conn].id);
        }
    }

    /// Its session ends it, or hears that it was ended. `dead`: nothing can be written any more.
    pub fn part(&mut self, conn: ConnNo, dead: bool, choose: &mut Chooser) {
        match self.conns[conn].stage {
            Stage::Holder => {
                let id = self.conns[conn].id.clone();
                self.holders.remove(&id);
                self.probes.remove(&id);
                self.conns[conn].stage = Stage::Parting(Goodbye::Left);
                let unsent = self.conns[conn].take_unsent(dead);
                let losses = self.keep_all(&id, unsent, false);
                self.tell(losses, choose);
                if !dead {
                    self.conns[conn].push(close_of(Goodbye::Left));
                }
            }
            Stage::Dismissed(why) => {
                self.conns[conn].stage = Stage::Parting(why);
            }
            Stage::Parting(_) | Stage::Over => {}
        }
    }

    /// Its session is over.
    pub fn end(&mut self, conn: ConnNo, choose: &mut Chooser) {
        self.conns[conn].stage = Stage::Over;
        let id = self.conns[conn].id.clone();
        let undelivered = self.conns[conn].take_unsent(true);
        let came_back = undelivered.iter().any(|item| item.message.is_some());
        assert!(!came_back || !self.holders.contains_key(&id), "a successor has it already");
        let losses = self.keep_all(&id, undelivered, true);
        self.tell(losses, choose);
    }

    /// The socket's own task writes.
    pub fn flush(&mut self, conn: ConnNo) {
        self.conns[conn].drain();
    }

    pub fn probe(&mut self, id: &str, probe: usize) {
        let Some(holder) = self.holders.get(id).copied() else { return };
        let probes = self.probes.entry(id.to_owned()).or_default();
        assert!(probes.len() < MAX_PROBES, "this test asks less");
        if probes.is_empty() {
            self.conns[holder].push(Item::control(Heard::Ping));
        }
        probes.push((self.now, probe));
    }

    pub fn sweep(&mut self, choose: &mut Chooser) {
        let mut due: Vec<String> =
            self.holders.keys().chain(self.queues.keys()).filter(|id| self.is_due(id)).cloned().collect();
        while !due.is_empty() {
            let id = due.swap_remove(choose.one_of(due.len()));
            self.sweep_one(&id, choose);
        }
    }

    fn is_due(&self, id: &str) -> bool {
        let holder = self.holders.get(id).map(|holder| &self.conns[*holder]);
        let silent = holder.is_some_and(|holder| {
            self.now - holder.last_heard >= millis(self.limits.effective_ping_interval())
        });
        silent || self.probes.contains_key(id) || self.queues.contains_key(id)
    }

    fn sweep_one(&mut self, id: &str, choose: &mut Chooser) {
        let limits = self.limits.clone();
        let now = self.now;
        let since = |then: u64| now - then;
        let late: Vec<String> = self.queues.get(id).map_or_else(Vec::new, |queue| {
            let late =
                queue.began.iter().filter(|(_, began)| since(**began) >= millis(limits.expire_timeout));
            late.map(|(from, _)| from.clone()).collect()
        });
        let mut losses: Vec<(String, String, Vec<MessageNo>)> = Vec::new();
        for from in late {
            let messages = self.drop_conversation(id, &from);
            losses.push((id.to_owned(), from, messages));
        }
        self.counts.expired += losses.len() as u64;
        if let Some(holder) = self.holders.get(id).copied() {
            let conn = &self.conns[holder];
            let ping = millis(limits.effective_ping_interval());
            let asked = self
                .probes
                .get(id)
                .into_iter()
                .flatten()
                .any(|(asked, _)| since(*asked) >= millis(limits.probe_timeout));
            let why = if since(conn.last_heard) >= millis(limits.alive_timeout) {
                self.counts.timed_out += 1;
                Some(Goodbye::TimedOut)
            } else if asked {
                self.counts.evicted += 1;
                Some(Goodbye::Evicted)
            } else {
                None
            };
            if let Some(why) = why {
                let unsent = self.dismiss(holder, why);
                losses.extend(self.keep_all(id, unsent, false));
            } else if since(conn.last_heard) >= ping && since(conn.last_pinged.max(conn.last_heard)) >= ping {
                self.conns[holder].last_pinged = self.now;
                let item = Item::control(Heard::Ping);
                if self.conns[holder].has_room_for(&item) {
                    self.conns[holder].push(item);
                }
            }
        }
        self.tell(losses, choose);
    }

    // ---- How it comes about ----

    fn item(&self, no: MessageNo) -> Item {
        let Message { text, kept, .. } = &self.messages[no];
        Item { message: kept.then_some(no), ..notice(text.clone()) }
    }

    /// Takes the id away. What the connection is in the middle of stays, with the reason behind it.
    fn dismiss(&mut self, conn: ConnNo, why: Goodbye) -> Vec<Item> {
        let id = self.conns[conn].id.clone();
        self.holders.remove(&id);
        self.probes.remove(&id);
        let conn = &mut self.conns[conn];
        conn.stage = Stage::Dismissed(why);
        let unsent = conn.take_unsent(false);
        conn.push(close_of(why));
        unsent
    }

    fn dismiss_slow_reader(&mut self, conn: ConnNo, refused: Option<MessageNo>) -> Losses {
        self.counts.slow_readers += 1;
        let id = self.conns[conn].id.clone();
        let mut unsent = self.dismiss(conn, Goodbye::SlowReader);
        unsent.extend(refused.map(|no| self.item(no)));
        self.keep_all(&id, unsent, false)
    }

    /// Keeps what was not sent; what follows a loss of the same sender is lost with it.
    fn keep_all(&mut self, to: &str, unsent: Vec<Item>, in_front: bool) -> Losses {
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
    fn keep(&mut self, to: &str, no: MessageNo, in_front: bool) -> Result<(), Vec<MessageNo>> {
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

    fn drop_conversation(&mut self, to: &str, from: &str) -> Vec<MessageNo> {
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
    fn tell(&mut self, losses: Losses, choose: &mut Chooser) {
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

/// For whom, from whom, and what.
type Losses = Vec<(String, String, Vec<MessageNo>)>;

fn millis(duration: std::time::Duration) -> u64 {
    duration.as_millis() as u64
}

/// Goes through all ways to choose, one way per round.
#[derive(Default)]
pub struct Chooser {
    /// What was chosen, and of how many.
    choices: Vec<(usize, usize)>,
    at: usize,
}

impl Chooser {
    pub fn one_of(&mut self, options: usize) -> usize {
        if self.at == self.choices.len() {
            self.choices.push((0, options));
        }
        self.at += 1;
        self.choices[self.at - 1].0
    }

    /// Begins the next round; false if there is no other way left.
    pub fn next_round(&mut self) -> bool {
        self.at = 0;
        while let Some((chosen, options)) = self.choices.last_mut() {
            *chosen += 1;
            if chosen < options {
                return true;
            }
            self.choices.pop();
        }
        false
    }
}
