use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;

use super::Shared;
use super::about::About;
use super::clock::millis;
use super::delivery::Losses;
use super::outbox::{Outbox, Outgoing};
use super::place::Place;
use super::queue::End;
use super::registration::{Admittance, Probe, Registration};
use super::state::{Conn, State};
use super::tenant::Seats;
use super::types::{ApiKey, ConnId, Goodbye, Link, PeerId, Token};
use crate::frame::{Frame, Opcode};

/// The peers of one key: they find each other, and nobody else finds them.
pub struct Realm {
    key: ApiKey,
    pub(super) shared: Arc<Shared>,
    pub(super) places: DashMap<PeerId, Arc<Place>>,
    registered: AtomicUsize,
    /// Shared by all realms of the key.
    pub(super) seats: Arc<Seats>,
    pub(super) expired: fn(&str, &str) -> Frame,
}

/// Who wants to register, and as what.
#[derive(Debug)]
pub struct Newcomer<'a> {
    /// The id that it wants.
    pub id: &'a PeerId,
    /// What makes it the id's owner.
    pub token: &'a Token,
    /// What its connection is.
    pub link: Link,
    /// What it is told first when it is in.
    pub greeting: Option<Frame>,
    /// Whose it is, for the operator.
    pub about: About,
}

impl Realm {
    pub(super) fn new(
        key: ApiKey,
        shared: Arc<Shared>,
        seats: Arc<Seats>,
        expired: fn(&str, &str) -> Frame,
    ) -> Self {
        Realm { key, shared, places: DashMap::new(), registered: AtomicUsize::new(0), seats, expired }
    }

    /// What its clients name it by.
    pub fn key(&self) -> &ApiKey {
        &self.key
    }

    /// Registers a connection under an id. The same token takes the id over from an older
    /// connection. On success the realm takes the outbox, and the greeting goes out first, then what
    /// waited for the id; else the outbox stays as it was.
    pub fn register(self: &Arc<Self>, mut newcomer: Newcomer<'_>, outbox: &mut Outbox) -> Admittance {
        let Newcomer { id, token, link, .. } = newcomer;
        let mut losses = Losses::new();
        let admittance = self.at(id, |place, state| {
            let now = self.shared.clock.now();
            let conn = ConnId(self.shared.next_number());
            let mut greeting = newcomer.greeting.take();
            let since = match &state.conn {
                _ if self.shared.closing.load(Ordering::SeqCst) => return Admittance::Closing,
                _ if self.seats.is_revoked() => return Admittance::Revoked,
                Some(holder) if holder.token != *token => return Admittance::Taken,
                // The one who waited for the other was not quick enough to see it come.
                Some(holder) if (link, holder.link) == (Link::Stream, Link::Socket) => {
                    return Admittance::Elsewhere;
                }
                Some(holder) => {
                    greeting = greeting.filter(|_| holder.link != Link::Stream);
                    let since = holder.since;
                    let unsent = place.dismiss(state, Goodbye::Replaced);
                    // Pings and pongs were for the old connection.
                    let texts = unsent.into_iter().filter(|unsent| unsent.frame.opcode() == Opcode::Text);
                    self.carry_over(place, state, texts, End::Back, &mut losses);
                    since
                }
                None if state.is_reserved_from(token, now) => return Admittance::Reserved,
                None if !self.take_seat() => return Admittance::Full,
                None => conn.0,
            };
            // It goes through the queue, and so through its bounds: a client that takes over from itself
            // again and again, and reads nothing, gathers no more than one that is absent.
            let begun = state.revoke().into_iter().rev();
            self.keep_all(place, state, begun, End::Front, &mut losses);
            let waited = place.take_queue(state, &self.shared);
            let mut outbox = std::mem::take(outbox);
            if let Some(greeting) = greeting {
                outbox.push_opening(greeting);
            }
            waited.into_iter().for_each(|waited| outbox.preload(waited));
            place.seat(state, Conn::new(conn, outbox, since, newcomer), now);
            state.announce(token, true);
            if self.seats.is_revoked() {
                // In between, and not found by who revoked the key.
                self.dismiss(place, state, Goodbye::KeyRevoked);
            }
            Admittance::Registered(Registration::new(Arc::clone(self), Arc::clone(place), conn))
        });
        self.tell_expired(id, losses);
        admittance
    }

    fn take_seat(&self) -> bool {
        let taken = self.seats.take();
        self.registered.fetch_add(usize::from(taken), Ordering::SeqCst);
        taken
    }

    fn leave_seat(&self) {
        self.registered.fetch_sub(1, Ordering::SeqCst);
        self.seats.leave();
    }

    /// Asks whether the holder of an id is alive, by a ping. If it is not, it is dropped after the
    /// probe timeout. An id that is kept for its owner is waited for as well.
    pub fn probe(&self, id: &PeerId) -> Probe {
        let now = self.shared.clock.now();
        match self.at(id, |place, state| place.probe(state, now)) {
            Some(receiver) => Probe::Asked(receiver),
            None => Probe::TooMany,
        }
    }

    /// Ends the registration of `conn`, by its own session, or tells that session once why it has
    /// ended already. `dead` says that nothing can be written any more.
    pub(super) fn part(&self, place: &Arc<Place>, conn: ConnId, dead: bool) -> Option<Goodbye> {
        let mut losses = Losses::new();
        let why = {
            let mut state = place.lock();
            if state.conn.as_ref().is_some_and(|holder| holder.id == conn) {
                self.leave_seat();
                let unsent = place.vacate(&mut state, dead);
                self.keep_all(place, &mut state, unsent, End::Back, &mut losses);
            }
            state.claim(conn)
        };
        self.tell_expired(&place.id, losses);
        why
    }

    /// A connection that had lost its id is over. What it was in the middle of waits in front of
    /// what came later; if there is a successor, that has it already.
    pub(super) fn forget(&self, place: &Arc<Place>, conn: ConnId) {
        let mut losses = Losses::new();
        let outbox = {
            let mut state = place.lock();
            let mut outbox = state.forget(conn);
            let undelivered = outbox.as_mut().map(Outbox::take_undelivered).unwrap_or_default();
            self.keep_all(place, &mut state, undelivered, End::Front, &mut losses);
            self.retire_if_vacant(place, &mut state);
            outbox
        };
        // Its socket is closed with no lock held.
        drop(outbox);
        self.tell_expired(&place.id, losses);
    }

    /// Ids of all registered peers, in order of their first registration.
    pub fn ids(&self) -> Vec<PeerId> {
        let mut ids: Vec<(u64, PeerId)> = self
            .held_places()
            .into_iter()
            .filter_map(|place| {
                let since = place.lock().conn.as_ref()?.since;
                Some((since, place.id.clone()))
            })
            .collect();
        ids.sort_unstable_by_key(|(since, _)| *since);
        ids.into_iter().map(|(_, id)| id).collect()
    }

    /// Whether the id is registered now.
    pub fn contains(&self, id: &str) -> bool {
        self.find(id).is_some_and(|place| place.is_held())
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
    pub(super) fn dismiss_peer(&self, place: &Arc<Place>, conn: ConnId, why: Goodbye) {
        self.with_holder(place, conn, |state, losses| {
            let unsent = self.dismiss(place, state, why);
            self.keep_all(place, state, unsent, End::Back, losses);
        });
    }

    pub(super) fn with_holder(
        &self,
        place: &Arc<Place>,
        conn: ConnId,
        act: impl FnOnce(&mut State, &mut Losses),
    ) {
        let mut losses = Losses::new();
        {
            let mut state = place.lock();
            if state.conn.as_ref().is_some_and(|holder| holder.id == conn) {
                act(&mut state, &mut losses);
            }
        }
        self.tell_expired(&place.id, losses);
    }

    pub(super) fn now(&self) -> u64 {
        self.shared.clock.now()
    }

    pub(super) fn dismiss(&self, place: &Place, state: &mut State, why: Goodbye) -> Vec<Outgoing> {
        if state.conn.is_some() {
            self.leave_seat();
        }
        let reclaim = millis(self.shared.limits.reclaim_timeout);
        if why.is_reclaimable() && reclaim > 0 {
            place.reserve(state, self.now().saturating_add(reclaim));
        }
        place.dismiss(state, why)
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<Place>> {
        self.places.get(id).map(|place| Arc::clone(&place))
    }

    pub(super) fn find_or_create(&self, id: &PeerId) -> Arc<Place> {
        self.find(id.as_str()).unwrap_or_else(|| {
            let place = self.places.entry(id.clone());
            Arc::clone(&place.or_insert_with(|| Arc::new(Place::new(id.clone()))))
        })
    }

    pub(super) fn held_places(&self) -> Vec<Arc<Place>> {
        self.places.iter().filter(|place| place.is_held()).map(|place| Arc::clone(&place)).collect()
    }

    pub(super) fn at<R>(&self, id: &PeerId, act: impl FnOnce(&Arc<Place>, &mut State) -> R) -> R {
        self.at_place(&self.find_or_create(id), act)
    }

    /// Runs `act` on a place, or on its successor if it was retired meanwhile, under its lock.
    pub(super) fn at_place<R>(
        &self,
        place: &Arc<Place>,
        act: impl FnOnce(&Arc<Place>, &mut State) -> R,
    ) -> R {
        let mut place = Arc::clone(place);
        loop {
            {
                let mut state = place.lock();
                if !state.retired {
                    let result = act(&place, &mut state);
                    self.retire_if_vacant(&place, &mut state);
                    return result;
                }
            }
            place = self.find_or_create(&place.id);
        }
    }

    // Under the place's lock, so that whoever finds the place retired finds the map without it.
    pub(super) fn retire_if_vacant(&self, place: &Arc<Place>, state: &mut State) {
        if state.retired || !state.is_vacant() {
            return;
        }
        if !place.is_rested(|| self.now()) {
            return place.note_due();
        }
        state.retired = true;
        self.places.remove_if(place.id.as_str(), |_, there| Arc::ptr_eq(there, place));
    }
}
