//! A broker without a network, and clients whose sockets are in memory.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use loom::sync::{Condvar, Mutex};

use crate::router::{
    ClientLimits, ConnectionInfo, IdLease, Outbox, PeerHandle, Realm, RegisterRefusal, RegisterRequest,
    RemotePeers, Routed, Router, Writer,
};
use peerbroker_config::{Config, Limits, LiveConfig};
use peerbroker_core::clock::Clock;
use peerbroker_core::vocabulary::{ApiKey, ConnectionKind, Frame, MessageKind, PeerId, RealmKind, Token};
use peerbroker_events::Events;

/// An order interrupts its threads so often at most. A thread that waits, or has ended, does not count.
const PREEMPTIONS: usize = 3;

/// Runs a scenario in every order of its threads.
pub fn in_every_order(scenario: impl Fn() + Send + Sync + 'static) {
    let orders = Arc::new(AtomicUsize::new(0));
    let mut model = loom::model::Builder::new();
    model.preemption_bound = model.preemption_bound.or(Some(PREEMPTIONS));
    model.max_branches = 20_000;
    let count = Arc::clone(&orders);
    model.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        scenario();
    });
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    println!("{name}: {} orders", orders.load(Ordering::Relaxed));
}

/// The parts that no scenario changes: made once, because they are large.
#[derive(Clone)]
pub struct Plan {
    pub config: LiveConfig,
    pub events: Events,
    /// Most clients.
    pub clients: usize,
}

impl Plan {
    pub fn new(change: impl FnOnce(&mut Limits)) -> Self {
        let mut config = Config::default();
        change(&mut config.limits);
        Plan { config: config.into(), events: Events::default(), clients: 100 }
    }

    pub fn build(&self) -> House {
        self.in_cluster(None)
    }

    pub fn in_cluster(&self, cluster: Option<Arc<dyn RemotePeers>>) -> House {
        let clock = Clock::manual();
        let config = self.config.clone();
        let events = self.events.clone();
        let expire = |absent: &str, _: &str| Frame::of_text(&format!("EXPIRE {absent}"));
        let router = Arc::new(Router::new(config, clock.clone(), events, cluster, expire));
        let limits = Arc::new(ClientLimits::new(self.clients));
        let key = ApiKey::parse("key").unwrap();
        let realm = Realm::new(key, RealmKind::PeerJs, router, Arc::clone(&limits));
        House { realm: Arc::new(realm), limits, clock }
    }
}

#[derive(Clone)]
pub struct House {
    pub realm: Arc<Realm>,
    pub limits: Arc<ClientLimits>,
    clock: Clock,
}

impl House {
    /// Loom does not see the clock: while threads run, it stands still.
    pub fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    pub fn open(&self, id: &str, token: &str, outbox: Outbox) -> Result<IdLease, RegisterRefusal> {
        let mut outbox = outbox;
        let token = Token::parse(token).unwrap();
        let request = RegisterRequest {
            id: &peer(id),
            token: &token,
            kind: ConnectionKind::Socket,
            greeting: None,
            info: ConnectionInfo::default(),
            keeps_contacts: false,
            hears_room: &|_, _| true,
            claim: None,
            last_place: None,
        };
        IdLease::register(&self.realm, request, &mut outbox)
    }

    /// A client that has its id.
    pub fn connect(&self, id: &str, socket: &Socket) -> IdLease {
        self.open(id, "token", socket.outbox()).expect("the id is free")
    }

    /// Sends a message, flushes it, and tells if it was accepted.
    pub fn send(&self, from: &str, to: &str, text: &str) -> bool {
        let routed = self.realm.route(&peer(from), to, MessageKind::Offer, Frame::of_text(text)).flushed();
        !matches!(routed, Routed::Dropped(_))
    }

    /// Everything that waits for a client comes, once all threads have ended.
    pub fn collect(&self, id: &str) -> Vec<String> {
        let socket = Socket::open();
        drop(self.connect(id, &socket));
        socket.texts()
    }

    /// Nothing is left to do for a client's outbox: it was written, or its socket is full.
    pub fn assert_flushed(lease: &IdLease) {
        let is_done = lease.with_outbox(|outbox| outbox.is_empty() || outbox.is_blocked());
        assert_ne!(is_done, Some(false), "something was not flushed");
    }

    /// For the end, when all threads have ended.
    pub fn check(&self) {
        assert_eq!(self.realm.contradiction(), None);
    }
}

pub fn peer(id: &str) -> PeerId {
    PeerId::parse(id).unwrap()
}

/// A message comes once, or its sender hears that it is lost.
pub fn assert_fate(sent: &[(&str, bool)], came: &[String], heard_by_sender: &[String], to: &str) {
    let expire = format!("EXPIRE {to}");
    let is_told = heard_by_sender.contains(&expire) || sent.iter().any(|(_, accepted)| !accepted);
    for (text, _) in sent {
        let times = came.iter().filter(|came| came == text).count();
        assert!(times <= 1, "{text} came {times} times");
        assert!(times == 1 || is_told, "{text} is lost: {came:?}");
    }
}

/// A socket in memory. Its other end reads as much as the scenario says.
#[derive(Clone)]
pub struct Socket(Arc<Mutex<Wire>>);

struct Wire {
    /// Bytes that the kernel still takes.
    room: usize,
    /// Woken when it takes some again.
    waits: Option<Waker>,
    bytes: Vec<u8>,
}

impl Socket {
    /// It takes everything.
    pub fn open() -> Self {
        Self::with_room(usize::MAX)
    }

    pub fn with_room(room: usize) -> Self {
        Socket(Arc::new(Mutex::new(Wire { room, waits: None, bytes: Vec::new() })))
    }

    pub fn outbox(&self) -> Outbox {
        self.outbox_of(1 << 20)
    }

    pub fn outbox_of(&self, limit: usize) -> Outbox {
        Outbox::new(limit, Some(Box::new(self.clone())))
    }

    /// The client reads everything from now on.
    pub fn make_room(&self) {
        let mut wire = self.0.lock().unwrap();
        wire.room = usize::MAX;
        if let Some(waits) = wire.waits.take() {
            waits.wake();
        }
    }

    /// False if the kernel takes nothing. Then it wakes the task once it does.
    fn has_room(&self, waker: &Waker) -> bool {
        let mut wire = self.0.lock().unwrap();
        if wire.room == 0 {
            wire.waits = Some(waker.clone());
        }
        wire.room > 0
    }

    /// A ping has come.
    pub fn was_pinged(&self) -> bool {
        self.frames().iter().any(|(first, _)| *first == 0x89)
    }

    /// The texts that have come.
    pub fn texts(&self) -> Vec<String> {
        let texts = self.frames().into_iter().filter(|(first, _)| *first == 0x81);
        texts.map(|(_, payload)| String::from_utf8(payload).unwrap()).collect()
    }

    fn frames(&self) -> Vec<(u8, Vec<u8>)> {
        let wire = self.0.lock().unwrap();
        let mut rest = &wire.bytes[..];
        let mut frames = Vec::new();
        // Frames here are short.
        while let [first, len, behind @ ..] = rest {
            let Some((payload, next)) = behind.split_at_checked(usize::from(*len)) else { break };
            frames.push((*first, payload.to_vec()));
            rest = next;
        }
        frames
    }
}

impl Writer for Socket {
    fn write(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut wire = self.0.lock().unwrap();
        if wire.room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut taken = 0;
        for slice in bytes {
            let count = slice.len().min(wire.room);
            wire.room -= count;
            taken += count;
            wire.bytes.extend_from_slice(&slice[..count]);
        }
        Ok(taken)
    }
}

/// The task of a session: it sleeps until somebody wakes it. If nobody does, loom says that this is a
/// deadlock.
#[derive(Default)]
pub struct Task {
    is_woken: Mutex<bool>,
    changed: Condvar,
}

impl Task {
    pub fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    pub fn sleep(&self) {
        let mut is_woken = self.is_woken.lock().unwrap();
        while !std::mem::take(&mut *is_woken) {
            is_woken = self.changed.wait(is_woken).unwrap();
        }
    }

    /// True, once, if somebody has woken it.
    pub fn was_woken(&self) -> bool {
        std::mem::take(&mut *self.is_woken.lock().unwrap())
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        *self.is_woken.lock().unwrap() = true;
        self.changed.notify_one();
    }
}

/// Polls the outbox of a session, as `session::run` does. True if the session has to tell its client of
/// state.
pub fn poll(peer: &PeerHandle, task: &Arc<Task>, socket: &Socket) -> bool {
    let waker = task.waker();
    let owes_state = peer.with_outbox(|outbox| {
        outbox.set_task(&waker);
        while !outbox.is_empty() || outbox.is_blocked() {
            if !socket.has_room(&waker) {
                outbox.block();
                break;
            }
            outbox.unblock();
            outbox.flush();
        }
        outbox.take_owed_state()
    });
    owes_state == Some(true)
}
