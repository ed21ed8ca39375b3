//! A slot under its lock.
//!
//! Everything that changes a slot goes through [`Realm::with`] or [`Realm::with_id`] in `access.rs`. When they end, the
//! slot is retired if nothing is left of it, it is unlocked, and the senders that lost something here are told.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, MutexGuard};

use super::realm::Realm;
use super::slot::Slot;
use super::state::State;
use crate::wire::PeerId;

pub(super) struct Guard<'a> {
    pub(super) realm: &'a Realm,
    pub(super) slot: &'a Arc<Slot>,
    state: MutexGuard<'a, State>,
    /// Senders that lost all they had waiting here, and have to hear of it.
    pub(super) losers: Vec<PeerId>,
}

impl<'a> Guard<'a> {
    pub(super) fn lock(realm: &'a Realm, slot: &'a Arc<Slot>) -> Self {
        Guard { realm, slot, state: slot.lock(), losers: Vec::new() }
    }

    /// Retires the slot if nothing is left of it, and unlocks it. Gives the senders that have to be told.
    pub(super) fn unlock(mut self) -> Vec<PeerId> {
        self.note_backlog();
        self.bound_memory();
        self.retire_if_vacant();
        self.losers
    }

    /// Marks a client that reads slowly, so that a scrape finds it without a lock of each slot.
    fn note_backlog(&self) {
        if let Some(conn) = self.conn.as_ref().filter(|conn| conn.outbox.is_blocked()) {
            self.slot.set_backlog(true);
            self.realm.shared.counters().largest_outbox().note(conn.outbox.held() as u64);
        }
    }

    // Under the slot's lock: a thread that finds the slot retired must find the map without it.
    fn retire_if_vacant(&mut self) {
        if self.retired || !self.is_vacant() {
            return;
        }
        if !self.slot.is_rested(|| self.realm.now()) {
            return self.slot.set_due(true);
        }
        self.retired = true;
        self.realm.remove(self.slot);
    }

    pub(super) fn now(&self) -> u64 {
        self.realm.now()
    }
}

impl Deref for Guard<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}
