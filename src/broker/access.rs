//! The only ways to a slot's guard, and what happens at its end.

use std::sync::Arc;

use super::guard::Guard;
use super::realm::Realm;
use super::slot::Slot;
use crate::events::Event;
use crate::wire::PeerId;

impl Realm {
    /// Works on a slot under its lock. It may be retired: then it has no holder and no queue.
    pub(super) fn with<R>(&self, slot: &Arc<Slot>, act: impl FnOnce(&mut Guard<'_>) -> R) -> R {
        self.act(Guard::lock(self, slot), act)
    }

    /// Works on the slot of an id under its lock. There is one afterwards only if something is in it.
    pub(super) fn with_id<R>(&self, id: &PeerId, act: impl FnOnce(&mut Guard<'_>) -> R) -> R {
        self.with_live(self.find_or_create(id), act)
    }

    /// Works on a slot that was just found, or on its successor if it was retired meanwhile.
    pub(super) fn with_live<R>(&self, mut slot: Arc<Slot>, act: impl FnOnce(&mut Guard<'_>) -> R) -> R {
        loop {
            let guard = Guard::lock(self, &slot);
            if !guard.retired {
                return self.act(guard, act);
            }
            drop(guard);
            slot = self.find_or_create(&slot.id);
        }
    }

    fn act<R>(&self, mut guard: Guard<'_>, act: impl FnOnce(&mut Guard<'_>) -> R) -> R {
        let slot = guard.slot;
        let result = act(&mut guard);
        guard.seek_if_waiting();
        let losers = guard.unlock();
        self.tell(&slot.id, losers);
        result
    }

    /// Tells senders that everything they had waiting for a peer is gone. That may fill their outboxes, and others
    /// lose something there. A list, and not a recursion: an attacker could make the chain long.
    fn tell(&self, absent: &PeerId, losers: Vec<PeerId>) {
        if losers.is_empty() {
            return;
        }
        let mut untold = vec![(absent.clone(), losers)];
        while let Some((absent, losers)) = untold.pop() {
            for sender in losers {
                let notice = (self.expire_notice)(absent.as_str(), sender.as_str());
                let (to, from) = (|| self.address(&absent), || sender.clone());
                self.shared.events.emit(|| Event::Expired { to: to(), from: from() });
                let slot = self.find(sender.as_str()).filter(|slot| slot.is_held());
                let Some(slot) = slot else {
                    // It may have moved to another node.
                    self.shared.cluster.notify(self.address(&sender), notice);
                    continue;
                };
                let mut guard = Guard::lock(self, &slot);
                guard.notify(notice);
                if let Some(conn) = &mut guard.conn {
                    conn.outbox.flush();
                }
                guard.seek_if_waiting();
                untold.push((sender, guard.unlock()));
            }
        }
    }
}
