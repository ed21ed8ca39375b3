//! Swarms: the guests that share a torrent, by the tracker's protocol.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use indexmap::IndexMap;
use parking_lot::Mutex;
use rand::seq::index::sample;

use super::{Announce, Counts, Hash, Occasion, Problem};
use crate::names::NameHolder;
use peerbroker_core::clock::Instant;
use peerbroker_core::rate_limit::RateLimit;
use peerbroker_core::vocabulary::{AddressPrefix, ApiKey, Limit, NodeId, PeerId, RealmKind};
use peerbroker_limits::{OwnShare, Quota, QuotaShare, SharedRate};
use peerbroker_rooms::{News, OtherNodes, OwnList, RealmName, Replicated, SwarmNews};
use peerbroker_router::Flushes;

/// Most memberships of one guest.
pub const MAX_SWARMS: usize = 256;

/// Most memberships of all guests of a key that are on this node.
pub const MAX_MEMBERSHIPS: usize = 500_000;

/// Members in one step of a list for another node.
const LIST_STEP: usize = 500;

/// The swarms of one key, with the members of all nodes.
///
/// The guard of a swarm in the map is its lock: other nodes are told of a change under it, so they hear all
/// changes in order.
pub struct Swarms {
    key: ApiKey,
    others: Option<Arc<dyn OtherNodes>>,
    swarms: DashMap<Hash, Swarm>,
    /// Of the guests of this node, in shares.
    memberships: Arc<Quota>,
    /// The memberships of guests of each other node. Locked last.
    elsewhere: Mutex<BTreeMap<NodeId, usize>>,
    /// The offers of all guests.
    offers: SharedRate<AddressPrefix>,
}

#[derive(Default)]
struct Swarm {
    members: IndexMap<MemberPlace, Member>,
    /// The guests that are members, and under how many ids. A place in the order leads to a random one.
    guests: IndexMap<PeerId, usize>,
    complete: usize,
}

/// The id of a member in a swarm, and its node, `None` for this one. One that has moved to another node may
/// be on both.
type MemberPlace = (Hash, Option<NodeId>);

struct Member {
    guest: PeerId,
    is_complete: bool,
    /// False for one of another node that the list on its way has not named yet.
    is_named: bool,
}

/// The memberships of one guest. Dropping it ends them.
pub struct Memberships {
    swarms: Arc<Swarms>,
    guest: PeerId,
    /// Info hashes, and the guest's ids in these swarms.
    all: HashSet<(Hash, Hash)>,
    /// Its part of the memberships of the key.
    share: QuotaShare,
    offers: RateLimit,
    account: OwnShare,
}

/// The result of an announce.
#[derive(Debug)]
pub enum Announced {
    /// The swarm has so many members.
    Counted(Counts),
    /// The guest that has the id. If it does not live any more, the announcing one is to get the id.
    Held(PeerId),
}

impl Swarms {
    /// No swarm yet.
    pub fn new(key: ApiKey, others: Option<Arc<dyn OtherNodes>>) -> Self {
        let memberships = Quota::of_things(MAX_MEMBERSHIPS, 0);
        let (swarms, elsewhere) = Default::default();
        Swarms { key, others, swarms, memberships, elsewhere, offers: SharedRate::default() }
    }

    /// Says what contradicts itself: for tests, while nothing else happens.
    pub fn contradiction(&self) -> Option<String> {
        let mut elsewhere: BTreeMap<NodeId, usize> = BTreeMap::new();
        for swarm in &self.swarms {
            let complete = swarm.members.values().filter(|member| member.is_complete).count();
            let is_counted = swarm.guests.iter().all(|(guest, ids)| {
                *ids > 0 && swarm.members.values().filter(|member| member.guest == *guest).count() == *ids
            });
            let of_guests: usize = swarm.guests.values().sum();
            let all_counted = is_counted && of_guests == swarm.members.len();
            if complete != swarm.complete || !all_counted || swarm.members.is_empty() {
                return Some("a swarm is empty, or its members are not counted right".to_owned());
            }
            let nodes = swarm.members.keys().filter_map(|place| place.1);
            nodes.for_each(|node| *elsewhere.entry(node).or_default() += 1);
        }
        let is_wrong = elsewhere != *self.elsewhere.lock();
        is_wrong.then(|| "memberships of other nodes are not counted right".to_owned())
    }

    /// Forgets addresses that have caused no offers for a while.
    pub fn sweep(&self, now: Instant) {
        self.offers.sweep(now);
    }

    /// The number of swarms.
    pub fn len(&self) -> usize {
        self.swarms.len()
    }

    /// True if there is no swarm.
    pub fn is_empty(&self) -> bool {
        self.swarms.is_empty()
    }

    /// The number of members of all swarms that are guests of this node.
    pub fn memberships(&self) -> usize {
        self.memberships.used()
    }

    /// The number of members of a swarm.
    pub fn counts(&self, info_hash: &Hash) -> Counts {
        self.swarms.get(info_hash).map_or_else(Counts::default, |swarm| swarm.counts())
    }

    /// The guest that is a member of a swarm with this id.
    pub fn guest(&self, info_hash: &Hash, peer_id: &Hash) -> Option<PeerId> {
        let nodes = self.nodes();
        let swarm = self.swarms.get(info_hash)?;
        swarm.holder(peer_id, &nodes).map(|(_, member)| member.guest.clone())
    }

    /// Random guests with other ids in a swarm than the one that this guest announces. Each is there once:
    /// many ids get no more offers.
    pub fn others(&self, info_hash: &Hash, guest: &PeerId, most: usize) -> Vec<PeerId> {
        let Some(swarm) = self.swarms.get(info_hash).filter(|_| most > 0) else { return Vec::new() };
        let guests = &swarm.guests;
        let places = sample(&mut rand::rng(), guests.len(), guests.len().min(most + 1));
        let chosen = places.into_iter().filter_map(|place| guests.get_index(place));
        let others = chosen.filter(|(other, ids)| *other != guest || **ids > 1);
        others.take(most).map(|(other, _)| other.clone()).collect()
    }

    /// Another node has told of a guest of its own. One that came from a third node is there no more, or not
    /// for long.
    pub fn receive(&self, node: NodeId, news: &SwarmNews<'_>) {
        let &SwarmNews { info_hash, peer_id, guest, is_complete } = news;
        let Ok(guest) = PeerId::parse(guest) else { return };
        let place = (peer_id, Some(node));
        let Some(is_complete) = is_complete else {
            self.swarms.remove_if_mut(&info_hash, |_, swarm| {
                if swarm.members.get(&place).is_some_and(|member| member.guest == guest) {
                    self.remove(swarm, &place);
                }
                swarm.members.is_empty()
            });
            return;
        };
        let nodes = self.nodes();
        let mut swarm = self.swarms.entry(info_hash).or_default();
        for node in nodes {
            self.remove(&mut swarm, &(peer_id, Some(node)));
        }
        swarm.insert(place, Member { guest, is_complete, is_named: true });
        *self.elsewhere.lock().entry(node).or_default() += 1;
    }

    /// Makes a guest of this node a member, or changes it.
    fn join(
        &self,
        (info_hash, peer_id): (Hash, Hash),
        guest: &PeerId,
        (is_complete, occasion): (bool, Occasion),
        holder: &NameHolder,
    ) -> Result<Announced, Problem> {
        let nodes = self.nodes();
        let mut swarm = self.swarms.entry(info_hash).or_default();
        let mut member = Member { guest: guest.clone(), is_complete, is_named: true };
        match (swarm.holder(&peer_id, &nodes), holder) {
            (None, _) => {}
            (Some((_, known)), _) if known.guest == *guest => {
                // As in the reference, a member stays complete.
                member.is_complete |= known.is_complete || occasion == Occasion::Completed;
                if member.is_complete == known.is_complete {
                    return Ok(Announced::Counted(swarm.counts()));
                }
            }
            (Some((place, known)), NameHolder::Gone(gone)) if known.guest == *gone => {
                self.remove(&mut swarm, &place);
            }
            (Some((_, known)), NameHolder::Unasked) => return Ok(Announced::Held(known.guest.clone())),
            (Some(_), _) => return Err(Problem::PeerIdTaken),
        }
        self.announce_member((info_hash, peer_id), guest, Some(member.is_complete));
        swarm.insert((peer_id, None), member);
        Ok(Announced::Counted(swarm.counts()))
    }

    /// Removes a member, if it is there.
    fn remove(&self, swarm: &mut Swarm, place: &MemberPlace) {
        if swarm.remove(place)
            && let Some(node) = place.1
        {
            let mut elsewhere = self.elsewhere.lock();
            if let Some(members) = elsewhere.get_mut(&node) {
                *members -= 1;
                if *members == 0 {
                    elsewhere.remove(&node);
                }
            }
        }
    }

    /// Removes the members of another node, or some of them.
    fn remove_of(&self, node: NodeId, wanted: impl Fn(&Member) -> bool) {
        self.swarms.retain(|_, swarm| {
            let is_gone = |(place, member): &(&MemberPlace, &Member)| place.1 == Some(node) && wanted(member);
            let gone: Vec<MemberPlace> =
                swarm.members.iter().filter(is_gone).map(|(place, _)| *place).collect();
            gone.iter().for_each(|place| self.remove(swarm, place));
            !swarm.members.is_empty()
        });
    }

    /// Tells the other nodes of a guest of this one, under the guard of the swarm.
    fn announce_member(&self, (info_hash, peer_id): (Hash, Hash), guest: &PeerId, is_complete: Option<bool>) {
        if let Some(others) = &self.others {
            let news = SwarmNews { info_hash, peer_id, guest: guest.as_str(), is_complete };
            others.send(self.realm_name(), &News::Swarm(news));
        }
    }

    fn realm_name(&self) -> RealmName<'_> {
        RealmName { key: &self.key, realm: RealmKind::Guests }
    }
}

impl Replicated for Swarms {
    fn own_list(self: Arc<Self>) -> Box<dyn OwnList> {
        let mut swarms: Vec<Hash> = self.swarms.iter().map(|swarm| *swarm.key()).collect();
        // In an order that no hash decides.
        swarms.sort_unstable();
        Box::new(OwnSwarms { of: self, swarms, info_hash: Hash::default(), members: Vec::new() })
    }

    fn nodes(&self) -> Vec<NodeId> {
        self.elsewhere.lock().keys().copied().collect()
    }

    fn begin_list(&self, node: NodeId) {
        for mut swarm in self.swarms.iter_mut() {
            let of_node = swarm.members.iter_mut().filter(|(place, _)| place.1 == Some(node));
            of_node.for_each(|(_, member)| member.is_named = false);
        }
    }

    fn end_list(&self, node: NodeId, _flushes: &mut Flushes) {
        self.remove_of(node, |member| !member.is_named);
    }

    fn succeed(&self, former: NodeId, _node: NodeId, _flushes: &mut Flushes) {
        self.remove_of(former, |_| true);
    }

    /// A guest that comes to another node is another one, so nobody waits for it.
    fn lose_node(&self, node: NodeId, _patience: Duration) {
        self.remove_of(node, |_| true);
    }
}

/// Members of this node that another node has still to hear of.
struct OwnSwarms {
    of: Arc<Swarms>,
    swarms: Vec<Hash>,
    /// The swarm that is being listed, and its members that are left.
    info_hash: Hash,
    members: Vec<Hash>,
}

impl OwnList for OwnSwarms {
    fn send_more(&mut self, each: &mut dyn FnMut(RealmName<'_>, &News<'_>)) -> bool {
        if self.members.is_empty() {
            let Some(next) = self.swarms.pop() else { return false };
            self.info_hash = next;
            let swarm = self.of.swarms.get(&next);
            let places = swarm.iter().flat_map(|swarm| swarm.members.keys());
            self.members = places.filter(|place| place.1.is_none()).map(|place| place.0).collect();
        }
        let name = self.of.realm_name();
        let info_hash = self.info_hash;
        let Some(swarm) = self.of.swarms.get(&info_hash) else {
            self.members.clear();
            return true;
        };
        for peer_id in self.members.drain(self.members.len().saturating_sub(LIST_STEP)..) {
            if let Some(Member { guest, is_complete, .. }) = swarm.members.get(&(peer_id, None)) {
                let guest = guest.as_str();
                let is_complete = Some(*is_complete);
                each(name, &News::Swarm(SwarmNews { info_hash, peer_id, guest, is_complete }));
            }
        }
        true
    }
}

impl Swarm {
    fn counts(&self) -> Counts {
        Counts { complete: self.complete, incomplete: self.members.len().saturating_sub(self.complete) }
    }

    /// The member with an id, of this node if it is here.
    fn holder(&self, peer_id: &Hash, nodes: &[NodeId]) -> Option<(MemberPlace, &Member)> {
        let mut places = std::iter::once(None).chain(nodes.iter().copied().map(Some));
        places.find_map(|node| self.members.get(&(*peer_id, node)).map(|member| ((*peer_id, node), member)))
    }

    fn insert(&mut self, place: MemberPlace, member: Member) {
        self.complete += usize::from(member.is_complete);
        *self.guests.entry(member.guest.clone()).or_default() += 1;
        let before = self.members.insert(place, member);
        if let Some(before) = before {
            self.uncount(&before);
        }
    }

    fn uncount(&mut self, member: &Member) {
        self.complete -= usize::from(member.is_complete);
        if let Some(ids) = self.guests.get_mut(&member.guest) {
            *ids -= 1;
            if *ids == 0 {
                self.guests.swap_remove(&member.guest);
            }
        }
    }

    /// False if it is not there.
    fn remove(&mut self, place: &MemberPlace) -> bool {
        let member = self.members.swap_remove(place);
        member.iter().for_each(|member| self.uncount(member));
        member.is_some()
    }
}

impl Memberships {
    /// No membership yet.
    pub fn new(swarms: Arc<Swarms>, guest: PeerId, address: Option<IpAddr>) -> Self {
        let account = swarms.offers.of_address(address);
        let share = swarms.memberships.share(AddressPrefix::of_remote(address));
        Memberships { swarms, guest, all: HashSet::new(), share, offers: RateLimit::default(), account }
    }

    /// Joins a swarm, changes the membership or ends it.
    ///
    /// An id in a swarm belongs to the first guest that has it, until that leaves: others know the id.
    /// `holder` is known of the guest that has it.
    pub fn announce(&mut self, announce: &Announce<'_>, holder: &NameHolder) -> Result<Announced, Problem> {
        let info_hash = announce.info_hash.bytes;
        let peer_id = announce.peer_id.bytes;
        let name = (info_hash, peer_id);
        let occasion = announce.event.ok_or(Problem::Event)?;
        if occasion == Occasion::Stopped {
            if self.all.remove(&name) {
                self.leave(&info_hash, &peer_id);
                self.count();
            }
            return Ok(Announced::Counted(self.swarms.counts(&info_hash)));
        }
        let is_new = !self.all.contains(&name);
        if is_new && self.all.len() >= MAX_SWARMS {
            return Err(Problem::TooManySwarms);
        }
        if is_new {
            self.share.set(self.all.len() + 1).map_err(|_| Problem::KeyTooManySwarms)?;
        }
        let joined = self.swarms.join(name, &self.guest, (announce.is_complete, occasion), holder);
        if let Ok(Announced::Counted(_)) = joined {
            self.all.insert(name);
        } else {
            self.count();
        }
        joined
    }

    /// Charges offers to the guest, its address, and all of the key, at these rates.
    pub fn charge(&self, offers: usize, (own, all): (u32, u32), now: Instant) -> Result<(), Limit> {
        let count = u32::try_from(offers).unwrap_or(u32::MAX);
        self.offers.try_charge(count, own, now).map_err(|_| Limit::RoomDeliveries)?;
        self.swarms.offers.try_charge(&self.account, count, all, now).map_err(|_| {
            self.offers.refund(count, own);
            Limit::RoomKeyDeliveries
        })
    }

    fn leave(&self, info_hash: &Hash, peer_id: &Hash) {
        let swarms = &self.swarms;
        let place = (*peer_id, None);
        swarms.swarms.remove_if_mut(info_hash, |_, swarm| {
            // Another guest has the id if this one did not answer in time.
            if swarm.members.get(&place).is_some_and(|member| member.guest == self.guest) {
                swarm.remove(&place);
                swarms.announce_member((*info_hash, *peer_id), &self.guest, None);
            }
            swarm.members.is_empty()
        });
    }

    /// Gives back what its memberships do not need.
    fn count(&mut self) {
        // Fewer always fit.
        let _ = self.share.set(self.all.len());
    }
}

impl Drop for Memberships {
    fn drop(&mut self) {
        self.all.iter().for_each(|(info_hash, peer_id)| self.leave(info_hash, peer_id));
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::Name;
    use super::*;

    /// Joins swarms with new guests of an address until the key's limit refuses it.
    fn fill(swarms: &Arc<Swarms>, host: u8) -> Vec<Memberships> {
        let guest = |number: usize| PeerId::parse(&format!("{host}-{number}")).unwrap();
        let address = Some([192, 0, 2, host].into());
        let mut all = Vec::new();
        for number in 0.. {
            let mut memberships = Memberships::new(Arc::clone(swarms), guest(number), address);
            for swarm in 0..MAX_SWARMS {
                let mut peer_id = [host; 20];
                peer_id[..8].copy_from_slice(&(number * MAX_SWARMS + swarm).to_be_bytes());
                let name = |bytes: Hash| Name { bytes, text: Cow::Borrowed("") };
                let announce = Announce {
                    info_hash: name([0; 20]),
                    peer_id: name(peer_id),
                    event: Some(Occasion::Here),
                    is_complete: false,
                    offers: Vec::new(),
                    answer: None,
                };
                if memberships.announce(&announce, &NameHolder::Unasked).is_err() {
                    return all;
                }
            }
            all.push(memberships);
        }
        all
    }

    #[test]
    fn an_address_leaves_half_of_the_memberships_of_a_key() {
        let swarms = Arc::new(Swarms::new(ApiKey::parse("peerjs").unwrap(), None));
        let guests_of = |part: usize| MAX_MEMBERSHIPS / part / MAX_SWARMS;
        let first = fill(&swarms, 1);
        assert_eq!(first.len(), guests_of(2));
        let second = fill(&swarms, 2);
        assert_eq!(second.len(), guests_of(4));
        drop((first, second));
        assert_eq!((swarms.memberships(), swarms.len()), (0, 0));
    }
}
