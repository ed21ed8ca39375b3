//! The state that the clients of one key share, in all protocols.

use std::any::Any;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;

use peerbroker_config::key::{Auth, Key, RelayMode};
use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::{ApiKey, CloseReason, ConnId, Limit, RealmKind};
use peerbroker_limits::{GuessLimiter, PipeTotals};
use peerbroker_rooms::{OtherNodes, Parting, RoomFrames, Rooms};
use peerbroker_router::{ClientLimits, PeerHandle, Realm, Router};

/// The parts of a node that all keys share.
pub struct Common {
    /// The router.
    pub router: Arc<Router>,
    /// The other nodes of a cluster.
    pub others: Option<Arc<dyn OtherNodes>>,
    /// Wrong guesses at room codes.
    pub wrong_codes: GuessLimiter,
    /// The pipes of all keys.
    pub pipes: Arc<PipeTotals>,
    frames: FramesOf,
    active: Mutex<Vec<Arc<KeyState>>>,
}

/// The frames that the members of the rooms of a realm hear.
pub type FramesOf = fn(RealmKind) -> &'static dyn RoomFrames;

/// The messages of a client that are read at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// Messages.
    pub messages: u32,
    /// The bytes of their texts.
    pub bytes: u64,
    /// Frames of any kind that are charged.
    pub frames: u32,
}

/// The time for which nothing is read from a client that is above a rate.
#[derive(Clone, Copy, Debug)]
pub struct Pause {
    /// Until it may send more.
    pub time: Duration,
    /// The rate.
    pub limit: Limit,
    /// Its value.
    pub per_second: u32,
}

impl Pause {
    /// The longest of those that a client has to make by each of its rates. `None` if it is above none of
    /// them.
    #[inline]
    pub(super) fn longest<const N: usize>(of_rates: [Pause; N]) -> Option<Pause> {
        of_rates.into_iter().filter(|pause| !pause.time.is_zero()).max_by_key(|pause| pause.time)
    }
}

/// A part of the state of a key that belongs to one protocol, or to several that share clients.
pub trait KeyPart: Any + Send + Sync {
    /// The part of a key. It may have to give way to one that another thread has made.
    fn new(key: &Arc<KeyState>) -> Self
    where
        Self: Sized;

    /// Does all timed work that is due.
    fn sweep(&self, _now: Instant) {}

    /// Ends what this part has of connections whose address fits, for a reason that is not the protocol's
    /// own. Clients of realms are dismissed there.
    fn dismiss(&self, _whom: &dyn Fn(Option<IpAddr>) -> bool, _reason: CloseReason) {}

    /// True if nothing is lost with it, unless somebody has it.
    fn is_idle(&self) -> bool;
}

impl Common {
    /// No key has a client yet.
    pub fn new(router: Arc<Router>, others: Option<Arc<dyn OtherNodes>>, frames: FramesOf) -> Arc<Self> {
        let wrong_codes = GuessLimiter::new(Limit::WrongRoomCodes);
        let pipes = Arc::default();
        Arc::new(Common { router, others, wrong_codes, pipes, frames, active: Mutex::default() })
    }

    /// The keys that have clients, or had some a moment ago. No lock is held while the caller works.
    pub fn active(&self) -> Vec<Arc<KeyState>> {
        self.active.lock().clone()
    }
}

/// The clients of one key: their realms, their rooms, the parts of their protocols, and the data of the key.
///
/// A key without clients has no realm: each comes into being with its first client and is dropped by the
/// sweeper after the last one. So very many keys cost almost nothing.
pub struct KeyState {
    key: ApiKey,
    data: ArcSwap<Key>,
    // Of the settings, those that messages need: to load the data costs more.
    messages_per_second: AtomicU32,
    allows_rooms: AtomicBool,
    expects_pipes: AtomicBool,
    withholds_addresses: AtomicBool,
    router: Arc<Router>,
    frames: FramesOf,
    /// Weak, because it holds the active keys.
    common: Weak<Common>,
    limits: Arc<ClientLimits>,
    realms: Mutex<Realms>,
}

#[derive(Default)]
struct Realms {
    /// At most one of each kind.
    realms: Vec<Arc<Realm>>,
    /// At most one of each realm.
    rooms: Vec<Arc<Rooms>>,
    /// At most one of each type.
    parts: Vec<Arc<dyn KeyPart>>,
    /// True if the key is among the active ones.
    is_active: bool,
}

impl Realms {
    fn part<P: KeyPart>(&self) -> Option<Arc<P>> {
        let is_wanted = |part: &&Arc<dyn KeyPart>| {
            let part: &dyn Any = &***part;
            part.is::<P>()
        };
        let part: Arc<dyn Any + Send + Sync> = self.parts.iter().find(is_wanted)?.clone();
        part.downcast().ok()
    }
}

impl KeyState {
    /// No client yet.
    pub fn new(data: Arc<Key>, common: &Arc<Common>) -> Arc<Self> {
        let state = KeyState {
            key: data.key.clone(),
            data: ArcSwap::from(Arc::clone(&data)),
            messages_per_second: AtomicU32::default(),
            allows_rooms: AtomicBool::default(),
            expects_pipes: AtomicBool::default(),
            withholds_addresses: AtomicBool::default(),
            router: Arc::clone(&common.router),
            frames: common.frames,
            common: Arc::downgrade(common),
            limits: Arc::new(ClientLimits::new(data.settings.concurrent_limit)),
            realms: Mutex::default(),
        };
        state.set_data(data);
        Arc::new(state)
    }

    /// Replaces the data. Clients that are here stay.
    pub fn set_data(&self, data: Arc<Key>) {
        let settings = &data.settings;
        self.limits.set(settings);
        self.messages_per_second.store(settings.messages_per_second, Relaxed);
        self.allows_rooms.store(settings.allow_rooms, Relaxed);
        self.expects_pipes.store(settings.pipes && settings.auth != Auth::None, Relaxed);
        self.withholds_addresses.store(settings.relay == RelayMode::Always, Relaxed);
        self.data.store(data);
    }

    /// The key as it is stored, with its settings. Do not keep it across an await.
    pub fn data(&self) -> Guard<Arc<Key>> {
        self.data.load()
    }

    /// True if PeerJS clients may have rooms.
    #[inline]
    pub fn allows_rooms(&self) -> bool {
        self.allows_rooms.load(Relaxed)
    }

    /// True if offers tell which pipes need no proof of their own.
    #[inline]
    pub fn expects_pipes(&self) -> bool {
        self.expects_pipes.load(Relaxed)
    }

    /// True if texts of clients are read without addresses: all calls of the key are relayed.
    #[inline]
    pub fn withholds_addresses(&self) -> bool {
        self.withholds_addresses.load(Relaxed)
    }

    /// The key.
    pub fn key(&self) -> &ApiKey {
        &self.key
    }

    /// Counts what a client has sent, and charges it to its rates. Returns the pause if it is above one of
    /// them: what it sends next is read after that.
    #[inline]
    pub fn spend(&self, peer: &PeerHandle, spent: &Spent) -> Option<Pause> {
        peer.count_messages(spent.messages, spent.bytes);
        self.charge(peer, spent)
    }

    /// Charges what a client has sent, or what counts as much, to each of its rates.
    #[inline]
    pub fn charge(&self, peer: &PeerHandle, spent: &Spent) -> Option<Pause> {
        let per_second = self.messages_per_second.load(Relaxed);
        let time = peer.charge(spent.frames, per_second);
        Pause::longest([Pause { time, limit: Limit::MessagesPerSecond, per_second }])
    }

    /// The router.
    pub fn router(&self) -> &Arc<Router> {
        &self.router
    }

    /// The parts that all keys share, unless the node has ended.
    pub(super) fn common(&self) -> Option<Arc<Common>> {
        self.common.upgrade()
    }

    /// True if other nodes may have clients of the key.
    pub(super) fn is_clustered(&self) -> bool {
        self.common().is_some_and(|common| common.others.is_some())
    }

    /// The time after which a node that has died counts as dead. `None` without a cluster.
    pub(super) fn lease(&self) -> Option<Duration> {
        Some(self.others()?.lease())
    }

    /// The realm of a kind, created if there is none.
    pub fn realm(self: &Arc<Self>, kind: RealmKind) -> Arc<Realm> {
        self.realm_of(&mut self.realms.lock(), kind)
    }

    /// The rooms of a realm, or what it has in their place, created if there are none.
    pub fn rooms(self: &Arc<Self>, kind: RealmKind) -> Arc<Rooms> {
        let realms = &mut *self.realms.lock();
        let realm = self.realm_of(realms, kind);
        let known = realms.rooms.iter().find(|rooms| rooms.realm().kind() == kind);
        known.map(Arc::clone).unwrap_or_else(|| {
            let frames = (self.frames)(kind);
            let rooms = Arc::new(Rooms::new(frames, realm, Arc::clone(&self.router), self.others()));
            realms.rooms.push(Arc::clone(&rooms));
            rooms
        })
    }

    /// As [`rooms`](Self::rooms), if there is one or was a moment ago.
    pub fn existing_rooms(&self, kind: RealmKind) -> Option<Arc<Rooms>> {
        self.realms.lock().rooms.iter().find(|rooms| rooms.realm().kind() == kind).cloned()
    }

    /// All rooms that are there or were a moment ago.
    pub fn all_rooms(&self) -> impl Iterator<Item = Arc<Rooms>> + use<> {
        of_all_kinds(&self.realms.lock().rooms)
    }

    /// A client of a realm that is gone leaves its rooms for good: if it comes back, it has another id.
    pub(super) fn leave_rooms(&self, kind: RealmKind, peer: &PeerHandle) {
        if let Some(rooms) = self.existing_rooms(kind) {
            rooms.departed(peer, Parting::ForGood);
        }
    }

    /// The part of a type, created if there is none.
    pub fn part<P: KeyPart>(self: &Arc<Self>) -> Arc<P> {
        if let Some(known) = self.existing_part() {
            return known;
        }
        // Without the lock: it may need a realm.
        let new = Arc::new(P::new(self));
        let realms = &mut *self.realms.lock();
        realms.part().unwrap_or_else(|| {
            self.activate(realms);
            realms.parts.push(Arc::<P>::clone(&new));
            new
        })
    }

    /// The part of a type, if there is one or was a moment ago.
    pub fn existing_part<P: KeyPart>(&self) -> Option<Arc<P>> {
        self.realms.lock().part()
    }

    fn existing_parts(&self) -> impl Iterator<Item = Arc<dyn KeyPart>> {
        let nth = |at: usize| self.realms.lock().parts.get(at).cloned();
        (0..).map_while(nth)
    }

    /// The realm of a kind, if it has clients, or had some a moment ago.
    pub fn existing(&self, kind: RealmKind) -> Option<Arc<Realm>> {
        self.realms.lock().realms.iter().find(|realm| realm.kind() == kind).cloned()
    }

    /// All realms that have clients, or had some a moment ago.
    pub fn existing_realms(&self) -> impl Iterator<Item = Arc<Realm>> + use<> {
        of_all_kinds(&self.realms.lock().realms)
    }

    /// The number of clients that are registered now, in all realms.
    pub fn len(&self) -> usize {
        self.limits.taken()
    }

    /// True if nobody is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends the connections of clients with this id, with [`CloseReason::Kicked`]; returns them, with their
    /// realms.
    pub fn kick(&self, id: &str) -> Vec<(RealmKind, ConnId)> {
        let kick = |realm: Arc<Realm>| Some((realm.kind(), realm.dismiss_id(id, CloseReason::Kicked)?));
        self.existing_realms().filter_map(kick).collect()
    }

    /// Dismisses all clients, and admits no more.
    pub fn revoke(&self) {
        self.limits.revoke();
        self.existing_realms().for_each(|realm| realm.revoke());
        self.dismiss_parts(&|_| true, CloseReason::KeyRevoked);
    }

    /// Ends connections whose address fits, and that are not those of registered clients.
    pub fn dismiss_parts(&self, whom: &dyn Fn(Option<IpAddr>) -> bool, reason: CloseReason) {
        self.existing_parts().for_each(|part| part.dismiss(whom, reason));
    }

    /// True if clients may not come any more.
    pub(super) fn is_revoked(&self) -> bool {
        self.limits.is_revoked()
    }

    /// The pipes of all keys.
    pub(super) fn pipe_totals(&self) -> Arc<PipeTotals> {
        self.common().map(|common| Arc::clone(&common.pipes)).unwrap_or_default()
    }

    /// Does all timed work that is due. Drops vacant realms, and leaves the active keys with the last one.
    pub fn sweep(self: &Arc<Self>) {
        self.existing_realms().for_each(|realm| realm.sweep());
        self.all_rooms().for_each(|rooms| rooms.sweep());
        self.existing_parts().for_each(|part| part.sweep(self.router.clock().now()));
        let realms = &mut *self.realms.lock();
        // Under the lock of the realms: a client without a reference cannot get one in between.
        realms.rooms.retain(|rooms| Arc::strong_count(rooms) > 1 || !rooms.is_empty());
        realms.parts.retain(|part| Arc::strong_count(part) > 1 || !part.is_idle());
        // Rooms and parts keep their realm.
        realms.realms.retain(|realm| Arc::strong_count(realm) > 1 || !realm.is_vacant());
        if realms.realms.is_empty() && realms.parts.is_empty() {
            realms.is_active = false;
            if let Some(common) = self.common() {
                common.active.lock().retain(|state| !Arc::ptr_eq(state, self));
            }
        }
    }

    /// The other nodes of a cluster.
    pub(super) fn others(&self) -> Option<Arc<dyn OtherNodes>> {
        self.common()?.others.clone()
    }

    /// The sweeper visits the key from now on.
    fn activate(self: &Arc<Self>, realms: &mut Realms) {
        if !std::mem::replace(&mut realms.is_active, true)
            && let Some(common) = self.common()
        {
            common.active.lock().push(Arc::clone(self));
        }
    }

    /// The realm of a kind, created if there is none.
    fn realm_of(self: &Arc<Self>, realms: &mut Realms, kind: RealmKind) -> Arc<Realm> {
        self.activate(realms);
        let known = realms.realms.iter().find(|realm| realm.kind() == kind);
        known.map(Arc::clone).unwrap_or_else(|| {
            let router = Arc::clone(&self.router);
            let limits = Arc::clone(&self.limits);
            let realm = Arc::new(Realm::new(self.key.clone(), kind, router, limits));
            realms.realms.push(Arc::clone(&realm));
            realm
        })
    }
}

/// All elements of a list, without its lock and without an allocation: it has at most one of each kind.
fn of_all_kinds<T>(list: &[Arc<T>]) -> impl Iterator<Item = Arc<T>> + use<T> {
    let mut list = list.iter().cloned();
    RealmKind::ALL.map(|_| list.next()).into_iter().flatten()
}
