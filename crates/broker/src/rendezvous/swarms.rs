//! Swarms: the guests that share a torrent, by the tracker's protocol.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use indexmap::IndexMap;
use indexmap::map::Entry;
use rand::seq::index::sample;

use crate::dialect::tracker::{Announce, Counts, Hash, Occasion, Problem};
use crate::rate_limit::RateLimit;
use crate::wire::{Limit, PeerId};

/// Most memberships of one guest.
pub const MAX_SWARMS: usize = 256;

/// Most memberships of all guests of a key.
pub const MAX_MEMBERSHIPS: usize = 500_000;

/// The swarms of one key.
#[derive(Default)]
pub struct Swarms {
    swarms: DashMap<Hash, Swarm>,
    memberships: AtomicUsize,
    /// The rate limit of offers of all guests.
    offers: RateLimit,
}

#[derive(Default)]
struct Swarm {
    /// By their ids in the swarm. A place in the order leads to a random one.
    members: IndexMap<Hash, Member>,
    complete: usize,
}

struct Member {
    guest: PeerId,
    is_complete: bool,
}

/// The memberships of one guest. Dropping it ends them.
pub struct Memberships {
    swarms: Arc<Swarms>,
    guest: PeerId,
    /// Info hashes, and the guest's ids in these swarms.
    all: HashSet<(Hash, Hash)>,
    offers: RateLimit,
}

impl Swarms {
    /// The number of swarms.
    pub fn len(&self) -> usize {
        self.swarms.len()
    }

    /// True if there is no swarm.
    pub fn is_empty(&self) -> bool {
        self.swarms.is_empty()
    }

    /// The number of members of all swarms.
    pub fn memberships(&self) -> usize {
        self.memberships.load(Ordering::Relaxed)
    }

    /// The number of members of a swarm.
    pub fn counts(&self, info_hash: &Hash) -> Counts {
        self.swarms.get(info_hash).map_or_else(Counts::default, |swarm| swarm.counts())
    }

    /// The guest that is a member of a swarm with this id.
    pub fn guest(&self, info_hash: &Hash, peer_id: &Hash) -> Option<PeerId> {
        Some(self.swarms.get(info_hash)?.members.get(peer_id)?.guest.clone())
    }

    /// Random members of a swarm, but not this one.
    pub fn others(&self, info_hash: &Hash, peer_id: &Hash, most: usize) -> Vec<PeerId> {
        let Some(swarm) = self.swarms.get(info_hash).filter(|_| most > 0) else { return Vec::new() };
        let members = &swarm.members;
        let places = sample(&mut rand::rng(), members.len(), members.len().min(most + 1));
        let chosen = places.into_iter().filter_map(|place| members.get_index(place));
        let others = chosen.filter(|(id, _)| *id != peer_id);
        others.take(most).map(|(_, member)| member.guest.clone()).collect()
    }

    /// Makes a place for one more membership.
    fn reserve(&self) -> bool {
        let reserved = |taken| (taken < MAX_MEMBERSHIPS).then_some(taken + 1);
        self.memberships.fetch_update(Ordering::Relaxed, Ordering::Relaxed, reserved).is_ok()
    }

    fn release(&self) {
        self.memberships.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Swarm {
    fn counts(&self) -> Counts {
        Counts { complete: self.complete, incomplete: self.members.len().saturating_sub(self.complete) }
    }

    fn leave(&mut self, peer_id: &Hash) {
        if let Some(member) = self.members.swap_remove(peer_id) {
            self.complete -= usize::from(member.is_complete);
        }
    }
}

impl Memberships {
    /// None yet.
    pub fn new(swarms: Arc<Swarms>, guest: PeerId) -> Self {
        Memberships { swarms, guest, all: HashSet::new(), offers: RateLimit::default() }
    }

    /// Joins a swarm, changes the membership or ends it. Returns the number of members.
    ///
    /// An id in a swarm belongs to the first guest that has it, until that leaves: others know the id.
    pub fn announce(&mut self, announce: &Announce<'_>) -> Result<Counts, Problem> {
        let (info_hash, peer_id) = (announce.info_hash.bytes, announce.peer_id.bytes);
        let name = (info_hash, peer_id);
        let is_member = self.all.contains(&name);
        let occasion = announce.event.ok_or(Problem::Event)?;
        if occasion == Occasion::Stopped {
            if self.all.remove(&name) {
                self.leave(&info_hash, &peer_id);
            }
            return Ok(self.swarms.counts(&info_hash));
        }
        if !is_member {
            if self.all.len() >= MAX_SWARMS {
                return Err(Problem::TooManySwarms);
            }
            if !self.swarms.reserve() {
                return Err(Problem::KeyTooManySwarms);
            }
        }
        let mut swarm = self.swarms.swarms.entry(info_hash).or_default();
        let swarm = &mut *swarm;
        match swarm.members.entry(peer_id) {
            Entry::Vacant(vacant) => {
                vacant.insert(Member { guest: self.guest.clone(), is_complete: announce.is_complete });
                swarm.complete += usize::from(announce.is_complete);
                self.all.insert(name);
            }
            Entry::Occupied(mut member) if is_member => {
                let is_complete = announce.is_complete || occasion == Occasion::Completed;
                if is_complete && !std::mem::replace(&mut member.get_mut().is_complete, true) {
                    swarm.complete += 1;
                }
            }
            Entry::Occupied(_) => {
                self.swarms.release();
                return Err(Problem::PeerIdTaken);
            }
        }
        Ok(swarm.counts())
    }

    /// Charges offers to the guest, and to all of the key, at these rates.
    pub fn charge(&self, offers: usize, (own, all): (u32, u32), now: u64) -> Result<(), Limit> {
        let count = u32::try_from(offers).unwrap_or(u32::MAX);
        self.offers.try_charge(count, own, now).map_err(|_| Limit::RoomDeliveries)?;
        self.swarms.offers.try_charge(count, all, now).map_err(|_| {
            self.offers.refund(count, own);
            Limit::RoomKeyDeliveries
        })
    }

    fn leave(&self, info_hash: &Hash, peer_id: &Hash) {
        self.swarms.swarms.remove_if_mut(info_hash, |_, swarm| {
            swarm.leave(peer_id);
            swarm.members.is_empty()
        });
        self.swarms.release();
    }
}

impl Drop for Memberships {
    fn drop(&mut self) {
        self.all.iter().for_each(|(info_hash, peer_id)| self.leave(info_hash, peer_id));
    }
}
