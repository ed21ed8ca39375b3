//! What the sweeper does to an id when it is time.

use peerbroker::broker::Goodbye;

use super::conn::Item;
use super::{Chooser, MessageNo, Model};
use crate::socket::Heard;

impl Model {
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
}

fn millis(duration: std::time::Duration) -> u64 {
    duration.as_millis() as u64
}
