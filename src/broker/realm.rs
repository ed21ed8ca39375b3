use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;

use super::Shared;
use super::delivery::Losses;
use super::inspect::ConnectionInfo;
use super::lease::{IdLease, Probe, RegisterOutcome};
use super::outbox::{Outbox, Outgoing};
use super::queue::QueueEnd;
use super::slot::Slot;
use super::state::{Conn, State};
use super::tenant::ClientQuota;
use crate::clock::millis;
use crate::wire::{ApiKey, CloseReason, ConnId, Link, PeerId, Token};
use crate::wire::{Frame, Opcode};

/// The peers of one key: they find each other, and nobody else finds them.
pub struct Realm {
    key: ApiKey,
    pub(super) shared: Arc<Shared>,
    pub(super) slots: DashMap<PeerId, Arc<Slot>>,
    registered: AtomicUsize,
    /// Shared by all realms of the key.
    pub(super) quota: Arc<ClientQuota>,
    pub(super) expired: fn(&str, &str) -> Frame,
}

/// Who wants to register, and as what.
#[derive(Debug)]
pub struct RegisterRequest<'a> {
    /// The id that it wants.
    pub id: &'a PeerId,
    /// What makes it the id's owner.
    pub token: &'a Token,
    /// What its connection is.
    pub link: Link,
    /// What it is told first when it is in.
    pub greeting: Option<Frame>,
    /// Whose it is, for the operator.
    pub about: ConnectionInfo,
}

impl Realm {
    pub(super) fn new(
        key: ApiKey,
        shared: Arc<Shared>,
        quota: Arc<ClientQuota>,
        expired: fn(&str, &str) -> Frame,
    ) -> Self {
        Realm { key, shared, slots: DashMap::new(), registered: AtomicUsize::new(0), quota, expired }
    }

    /// What its clients name it by.
    pub fn key(&self) -> &ApiKey {
        &self.key
    }

    /// Registers a connection under an id. The same token takes the id over from an older
    /// connection. On success the realm takes the outbox, and the greeting goes out first, then what
    /// waited for the id; else the outbox stays as it was.
    pub fn register(
        self: &Arc<Self>,
        mut newcomer: RegisterRequest<'_>,
        outbox: &mut Outbox,
    ) -> RegisterOutcome {
        let RegisterRequest { id, token, link, .. } = newcomer;
        let mut losses = Losses::new();
        let admittance = self.at(id, |slot, state| {
            let now = self.shared.clock.now();
            let conn = ConnId(self.shared.next_number());
            let mut greeting = newcomer.greeting.take();
            let since = match &state.conn {
                _ if self.shared.closing.load(Ordering::SeqCst) => return RegisterOutcome::Closing,
                _ if self.quota.is_revoked() => return RegisterOutcome::Revoked,
                Some(holder) if holder.token != *token => return RegisterOutcome::Taken,
                // The one who waited for the other was not quick enough to see it come.
                Some(holder) if (link, holder.link) == (Link::Stream, Link::Socket) => {
                    return RegisterOutcome::Elsewhere;
                }
                Some(holder) => {
                    greeting = greeting.filter(|_| holder.link != Link::Stream);
                    let since = holder.since;
                    let unsent = slot.dismiss(state, CloseReason::Replaced);
                    // Pings and pongs were for the old connection.
                    let texts = unsent.into_iter().filter(|unsent| unsent.frame.opcode() == Opcode::Text);
                    self.carry_over(slot, state, texts, QueueEnd::Back, &mut losses);
                    since
                }
                None if state.is_reserved_from(token, now) => return RegisterOutcome::Reserved,
                None if !self.acquire() => return RegisterOutcome::Full,
                None => conn.0,
            };
            // It goes through the queue, and so through its bounds: a client that takes over from itself
            // again and again, and reads nothing, gathers no more than one that is absent.
            let begun = state.revoke().into_iter().rev();
            self.keep_all(slot, state, begun, QueueEnd::Front, &mut losses);
            let waited = slot.take_queue(state, &self.shared);
            let mut outbox = std::mem::take(outbox);
            if let Some(greeting) = greeting {
                outbox.push_opening(greeting);
            }
            waited.into_iter().for_each(|waited| outbox.preload(waited));
            slot.install(state, Conn::new(conn, outbox, since, newcomer), now);
            state.announce(token, true);
            if self.quota.is_revoked() {
                // In between, and not found by who revoked the key.
                self.dismiss(slot, state, CloseReason::KeyRevoked);
            }
            RegisterOutcome::Registered(IdLease::new(Arc::clone(self), Arc::clone(slot), conn))
        });
        self.tell_expired(id, losses);
        admittance
    }

    fn acquire(&self) -> bool {
        let taken = self.quota.take();
        self.registered.fetch_add(usize::from(taken), Ordering::SeqCst);
        taken
    }

    fn release(&self) {
        self.registered.fetch_sub(1, Ordering::SeqCst);
        self.quota.leave();
    }

    /// Asks whether the holder of an id is alive, by a ping. If it is not, it is dropped after the
    /// probe timeout. An id that is kept for its owner is waited for as well.
    pub fn probe(&self, id: &PeerId) -> Probe {
        let now = self.shared.clock.now();
        match self.at(id, |slot, state| slot.probe(state, now)) {
            Some(receiver) => Probe::Asked(receiver),
            None => Probe::TooMany,
        }
    }

    /// Ends the lease of `conn`, by its own session, or tells that session once why it has
    /// ended already. `dead` says that nothing can be written any more.
    pub(super) fn part(&self, slot: &Arc<Slot>, conn: ConnId, dead: bool) -> Option<CloseReason> {
        let mut losses = Losses::new();
        let why = {
            let mut state = slot.lock();
            if state.conn.as_ref().is_some_and(|holder| holder.id == conn) {
                self.release();
                let unsent = slot.vacate(&mut state, dead);
                self.keep_all(slot, &mut state, unsent, QueueEnd::Back, &mut losses);
            }
            state.claim(conn)
        };
        self.tell_expired(&slot.id, losses);
        why
    }

    /// A connection that had lost its id is over. What it was in the middle of waits in front of
    /// what came later; if there is a successor, that has it already.
    pub(super) fn forget(&self, slot: &Arc<Slot>, conn: ConnId) {
        let mut losses = Losses::new();
        let outbox = {
            let mut state = slot.lock();
            let mut outbox = state.forget(conn);
            let undelivered = outbox.as_mut().map(Outbox::take_undelivered).unwrap_or_default();
            self.keep_all(slot, &mut state, undelivered, QueueEnd::Front, &mut losses);
            self.retire_if_vacant(slot, &mut state);
            outbox
        };
        // Its socket is closed with no lock held.
        drop(outbox);
        self.tell_expired(&slot.id, losses);
    }

    /// Ids of all registered peers, in order of their first lease.
    pub fn ids(&self) -> Vec<PeerId> {
        let mut ids: Vec<(u64, PeerId)> = self
            .held_slots()
            .into_iter()
            .filter_map(|slot| {
                let since = slot.lock().conn.as_ref()?.since;
                Some((since, slot.id.clone()))
            })
            .collect();
        ids.sort_unstable_by_key(|(since, _)| *since);
        ids.into_iter().map(|(_, id)| id).collect()
    }

    /// Whether the id is registered now.
    pub fn contains(&self, id: &str) -> bool {
        self.find(id).is_some_and(|slot| slot.is_held())
    }

    /// How many peers are registered now.
    pub fn len(&self) -> usize {
        self.registered.load(Ordering::SeqCst)
    }

    /// Whether no peer is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends a connection that is told why.
    pub(super) fn dismiss_peer(&self, slot: &Arc<Slot>, conn: ConnId, why: CloseReason) {
        self.with_holder(slot, conn, |state, losses| {
            let unsent = self.dismiss(slot, state, why);
            self.keep_all(slot, state, unsent, QueueEnd::Back, losses);
        });
    }

    pub(super) fn with_holder(
        &self,
        slot: &Arc<Slot>,
        conn: ConnId,
        act: impl FnOnce(&mut State, &mut Losses),
    ) {
        let mut losses = Losses::new();
        {
            let mut state = slot.lock();
            if state.conn.as_ref().is_some_and(|holder| holder.id == conn) {
                act(&mut state, &mut losses);
            }
        }
        self.tell_expired(&slot.id, losses);
    }

    pub(super) fn now(&self) -> u64 {
        self.shared.clock.now()
    }

    pub(super) fn dismiss(&self, slot: &Slot, state: &mut State, why: CloseReason) -> Vec<Outgoing> {
        if state.conn.is_some() {
            self.release();
        }
        let reclaim = millis(self.shared.limits.reclaim_timeout);
        if why.is_reclaimable() && reclaim > 0 {
            slot.reserve(state, self.now().saturating_add(reclaim));
        }
        slot.dismiss(state, why)
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<Slot>> {
        self.slots.get(id).map(|slot| Arc::clone(&slot))
    }

    pub(super) fn find_or_create(&self, id: &PeerId) -> Arc<Slot> {
        self.find(id.as_str()).unwrap_or_else(|| {
            let slot = self.slots.entry(id.clone());
            Arc::clone(&slot.or_insert_with(|| Arc::new(Slot::new(id.clone()))))
        })
    }

    pub(super) fn held_slots(&self) -> Vec<Arc<Slot>> {
        self.slots.iter().filter(|slot| slot.is_held()).map(|slot| Arc::clone(&slot)).collect()
    }

    pub(super) fn at<R>(&self, id: &PeerId, act: impl FnOnce(&Arc<Slot>, &mut State) -> R) -> R {
        self.at_slot(&self.find_or_create(id), act)
    }

    /// Runs `act` on a slot, or on its successor if it was retired meanwhile, under its lock.
    pub(super) fn at_slot<R>(&self, slot: &Arc<Slot>, act: impl FnOnce(&Arc<Slot>, &mut State) -> R) -> R {
        let mut slot = Arc::clone(slot);
        loop {
            {
                let mut state = slot.lock();
                if !state.retired {
                    let result = act(&slot, &mut state);
                    self.retire_if_vacant(&slot, &mut state);
                    return result;
                }
            }
            slot = self.find_or_create(&slot.id);
        }
    }

    // Under the place's lock, so that whoever finds the slot retired finds the map without it.
    pub(super) fn retire_if_vacant(&self, slot: &Arc<Slot>, state: &mut State) {
        if state.retired || !state.is_vacant() {
            return;
        }
        if !slot.is_rested(|| self.now()) {
            return slot.note_due();
        }
        state.retired = true;
        self.slots.remove_if(slot.id.as_str(), |_, there| Arc::ptr_eq(there, slot));
    }
}
