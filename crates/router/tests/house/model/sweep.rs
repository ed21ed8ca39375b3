//! The sweeper's work on one id.

use std::collections::BTreeSet;

use peerbroker_core::vocabulary::CloseReason;

use super::{Chooser, MessageNo, Model};

impl Model {
    pub fn sweep(&mut self, choose: &mut Chooser) {
        self.swept = self.now;
        let ids = self.holders.keys().chain(self.queues.keys()).chain(self.reserved.keys());
        let ids: BTreeSet<&String> = ids.filter(|id| self.is_due(id)).collect();
        let mut due: Vec<String> = ids.into_iter().cloned().collect();
        while !due.is_empty() {
            let id = due.swap_remove(choose.one_of(due.len()));
            self.sweep_one(&id, choose);
        }
    }

    fn is_due(&self, id: &str) -> bool {
        let holder = self.holders.get(id).map(|holder| &self.conns[*holder]);
        let silent = holder.is_some_and(|holder| {
            self.now.saturating_since(holder.last_heard) >= self.limits.ping_interval()
        });
        let crowded = holder.is_some_and(|holder| holder.crowded.is_some());
        let waits = self.queues.contains_key(id) || self.reserved.contains_key(id);
        silent || crowded || waits || self.probes.contains_key(id)
    }

    fn sweep_one(&mut self, id: &str, choose: &mut Chooser) {
        let limits = self.limits.clone();
        let now = self.now;
        let since = |then| now.saturating_since(then);
        let late: Vec<String> = self.queues.get(id).map_or_else(Vec::new, |queue| {
            let late = queue.began.iter().filter(|(_, began)| since(**began) >= limits.expire_timeout);
            late.map(|(from, _)| from.clone()).collect()
        });
        let mut losses: Vec<(String, String, Vec<MessageNo>)> = Vec::new();
        for from in late {
            let messages = self.drop_conversation(id, &from);
            losses.push((id.to_owned(), from, messages));
        }
        self.counts.expired += losses.len() as u64;
        if let Some(holder) = self.holders.get(id).copied() {
            if self.conns[holder].look(now) {
                self.conns[holder].last_heard = now;
                self.probes.remove(id);
            }
            let conn = &self.conns[holder];
            let ping = limits.ping_interval();
            let late = self.probes.get(id).is_some_and(|probes| probes[0].due <= now);
            let why = if since(conn.last_heard) >= limits.alive_timeout {
                self.counts.timed_out += 1;
                Some(CloseReason::TimedOut)
            } else if late {
                self.counts.evicted += 1;
                Some(CloseReason::Evicted)
            } else {
                None
            };
            if why.is_none() && conn.crowded.is_some_and(|then| since(then) >= limits.stall_timeout) {
                losses.extend(self.dismiss_slow_reader(holder));
            } else if let Some(why) = why {
                let unsent = self.dismiss(holder, why);
                losses.extend(self.enqueue_unsent(id, unsent, false));
            } else if since(conn.last_heard) >= ping && since(conn.last_pinged.max(conn.last_heard)) >= ping {
                self.conns[holder].last_pinged = self.now;
                self.conns[holder].ping();
            }
        }
        if self.reserved.get(id).is_some_and(|(_, until, _)| *until <= now) {
            self.reserved.remove(id);
            self.probes.remove(id);
        }
        self.tell(losses, choose);
    }
}
