//! Events of a connection, from its registration to its end.

use std::collections::VecDeque;

use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::CloseReason;

use super::conn::{Conn, Item, Stage, close_of, notice};
use super::queue::Losses;
use super::{Chooser, ConnNo, Entry, Expiry, Message, Model, Probe, Routing};
use crate::clients::address;
use crate::socket::{HANDSHAKE, Heard};

/// Maximum clients that wait for one holder's answer.
const MAX_PROBES: usize = 16;

impl Model {
    pub fn connect(&mut self, id: &str, token: &str, room: usize, choose: &mut Chooser) -> Entry {
        let old = self.holders.get(id).copied();
        let mut losses = Losses::new();
        let rank = match old {
            Some(old) if self.conns[old].token != token => return Entry::Taken,
            Some(old) => {
                let mut unsent = self.dismiss(old, CloseReason::Replaced);
                // Its OPEN, pings and pongs were for the old connection only.
                unsent.retain(|item| !item.own);
                self.enqueue_all(id, unsent, false, &mut losses);
                self.conns[old].rank
            }
            None if self.is_reserved_from(id, token) => return Entry::Reserved,
            None if self.registered() >= self.clients => return Entry::Full,
            None => {
                self.next_rank += 1;
                self.next_rank
            }
        };
        // Half a message on the predecessor's socket is useless, so it is sent again, first.
        let mut begun = Vec::new();
        for conn in self.conns.iter_mut().filter(|conn| conn.id == id) {
            if conn.written > 0 && conn.outbox.front().is_some_and(|first| first.message.is_some()) {
                begun.extend(conn.outbox.pop_front());
                conn.outbox.clear();
                conn.cut = true;
            }
        }
        begun.reverse();
        self.enqueue_all(id, begun, true, &mut losses);
        let queue = self.queues.remove(id).unwrap_or_default();
        if self.reserved.remove(id).is_some() {
            self.probes.remove(id);
        }
        let mut conn = Conn {
            id: id.to_owned(),
            token: token.to_owned(),
            stage: Stage::Holder,
            outbox: VecDeque::new(),
            written: 0,
            limit: self.limits.outbox_bytes,
            charge: queue.charge(),
            blocked: false,
            progressed: false,
            crowded: None,
            room,
            broken: false,
            cut: false,
            arrival: Instant::default(),
            last_heard: self.now,
            last_pinged: Instant::default(),
            rank,
            received: Vec::new(),
        };
        conn.outbox.push_back(Item {
            what: Heard::Handshake,
            len: HANDSHAKE.len(),
            from: None,
            message: None,
            own: true,
        });
        conn.outbox.push_back(Item { own: true, ..notice("OPEN".to_owned()) });
        let preloaded = !queue.items.is_empty();
        conn.outbox.extend(queue.items);
        conn.record_sent(conn.outbox.iter().map(Item::cost).sum(), self.now);
        conn.drain();
        if preloaded && !conn.outbox.is_empty() {
            conn.crowded = Some(self.now);
        }
        self.holders.insert(id.to_owned(), self.conns.len());
        self.conns.push(conn);
        self.tell(losses, choose);
        Entry::Registered
    }

    fn is_reserved_from(&self, id: &str, token: &str) -> bool {
        self.reserved.get(id).is_some_and(|(owner, until, open_to_address)| {
            let is_open = *open_to_address && address(id, owner) == address(id, token);
            self.now < *until && owner != token && !is_open
        })
    }

    pub fn send(&mut self, from: ConnNo, message: Message, choose: &mut Chooser) -> Routing {
        let to = message.to.clone();
        let kept = message.kept;
        let sender = message.from.clone();
        let no = self.messages.len();
        self.messages.push(message);
        let routing = match self.holders.get(&to).copied() {
            None if !kept => Routing::Dropped,
            None => match self.keep(&to, self.item(no), false) {
                Ok(()) => Routing::Queued,
                Err(lost) => {
                    self.expiries.insert(Expiry { messages: lost, told: self.holds(from).then_some(from) });
                    Routing::Expired
                }
            },
            Some(holder) => {
                let (accepted, mut losses) = self.offer(holder, self.item(no));
                if !accepted && kept {
                    // The sender's own session sends the notice.
                    let at = losses.iter().position(|(_, loser, _)| *loser == sender);
                    let (_, _, messages) = losses.swap_remove(at.expect("its message is lost"));
                    self.expiries.insert(Expiry { messages, told: self.holds(from).then_some(from) });
                }
                self.tell(losses, choose);
                match accepted {
                    true => Routing::Delivered,
                    false if kept => Routing::Expired,
                    false => Routing::Dropped,
                }
            }
        };
        if routing == Routing::Expired {
            // Dismissed by its own session.
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
        let losses = self.notify(conn, item);
        self.tell(losses, choose);
    }

    /// Sends a frame to a client. A client with a full outbox does not read.
    pub(super) fn notify(&mut self, conn: ConnNo, item: Item) -> Losses {
        let (accepted, mut losses) = self.offer(conn, item);
        if !accepted {
            losses.extend(self.dismiss_slow_reader(conn));
        }
        losses
    }

    fn offer(&mut self, conn: ConnNo, item: Item) -> (bool, Losses) {
        let bytes = item.len;
        let is_message = item.from.is_some();
        let (accepted, lost) = self.conns[conn].offer(item);
        if accepted && is_message {
            self.conns[conn].record_sent(bytes, self.swept);
        }
        self.counts.expired += lost.len() as u64;
        if !accepted || !lost.is_empty() {
            self.conns[conn].crowded.get_or_insert(self.now);
        }
        let to = self.conns[conn].id.clone();
        (accepted, lost.into_iter().map(|(from, lost)| (to.clone(), from, lost)).collect())
    }

    pub fn hear(&mut self, conn: ConnNo) {
        if self.holds(conn) {
            self.conns[conn].last_heard = self.now;
            self.probes.remove(&self.conns[conn].id);
        }
    }

    /// Its session ends it, or is told that it was ended. `dead`: nothing can be written any more.
    pub fn part(&mut self, conn: ConnNo, dead: bool, choose: &mut Chooser) {
        match self.conns[conn].stage {
            Stage::Holder => {
                let id = self.conns[conn].id.clone();
                self.holders.remove(&id);
                self.probes.remove(&id);
                self.conns[conn].stage = Stage::Departure(CloseReason::Left);
                let unsent = self.conns[conn].take_unsent(dead);
                let losses = self.enqueue_unsent(&id, unsent, false);
                self.tell(losses, choose);
                if !dead {
                    self.conns[conn].push(close_of(CloseReason::Left));
                }
            }
            Stage::Dismissed(why) => {
                self.conns[conn].stage = Stage::Departure(why);
            }
            Stage::Departure(_) | Stage::Over => {}
        }
    }

    /// Its session is over.
    pub fn end(&mut self, conn: ConnNo, choose: &mut Chooser) {
        self.conns[conn].stage = Stage::Over;
        let id = self.conns[conn].id.clone();
        let undelivered = self.conns[conn].take_unsent(true);
        let came_back = undelivered.iter().any(|item| item.message.is_some());
        assert!(!came_back || !self.holders.contains_key(&id), "a successor has it already");
        let losses = self.enqueue_unsent(&id, undelivered, true);
        self.tell(losses, choose);
    }

    /// The socket's own task writes.
    pub fn flush(&mut self, conn: ConnNo) {
        self.conns[conn].drain();
    }

    pub fn probe(&mut self, id: &str, probe: usize) {
        let holder = self.holders.get(id).copied();
        if holder.is_none() && !self.reserved.contains_key(id) {
            return;
        }
        let now = self.now;
        let timeout = self.limits.probe_timeout;
        let arrival = holder.map(|holder| self.conns[holder].arrival).unwrap_or_default();
        let little = arrival <= now + timeout / 3;
        let undelayed = little && holder.is_some_and(|holder| self.conns[holder].is_drained());
        let arrival = if little { now } else { arrival.min(now + self.limits.reclaim_timeout) };
        let due = arrival + timeout;
        let probes = self.probes.entry(id.to_owned()).or_default();
        assert!(probes.len() < MAX_PROBES, "this test asks less");
        if let Some(holder) = holder.filter(|_| probes.is_empty()) {
            self.conns[holder].look(self.now);
            self.conns[holder].ping();
        }
        probes.push(Probe { no: probe, asked: now, due, undelayed });
    }

    /// Takes the id away. The partly written message stays, followed by the reason.
    pub(super) fn dismiss(&mut self, conn: ConnNo, why: CloseReason) -> Vec<Item> {
        let id = self.conns[conn].id.clone();
        self.holders.remove(&id);
        let probes = self.probes.remove(&id);
        let conn = &mut self.conns[conn];
        if matches!(why, CloseReason::Evicted | CloseReason::SlowReader) {
            let timeout = self.limits.probe_timeout;
            let reclaim = self.limits.reclaim_timeout;
            let first = probes.as_ref().map(|probes| probes[0].asked).filter(|_| why == CloseReason::Evicted);
            let waited = first.map(|asked| self.now.saturating_since(asked).saturating_sub(timeout));
            let waited = waited.unwrap_or_default();
            let is_surely_silent = why == CloseReason::Evicted
                && conn.is_drained()
                && probes.is_some_and(|probes| probes[0].undelayed);
            self.reserved.insert(
                id,
                (conn.token.clone(), self.now + reclaim.saturating_sub(waited), is_surely_silent),
            );
        }
        conn.stage = Stage::Dismissed(why);
        let unsent = conn.take_unsent(false);
        conn.push(close_of(why));
        unsent
    }

    pub(super) fn dismiss_slow_reader(&mut self, conn: ConnNo) -> Losses {
        self.counts.slow_readers += 1;
        let id = self.conns[conn].id.clone();
        let unsent = self.dismiss(conn, CloseReason::SlowReader);
        self.enqueue_unsent(&id, unsent, false)
    }
}
