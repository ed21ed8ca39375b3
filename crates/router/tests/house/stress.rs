//! Many threads at once. The checks at the end hold for every interleaving.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use peerbroker_config::Limits;
use peerbroker_core::vocabulary::CloseReason;
use peerbroker_core::vocabulary::Frame;
use peerbroker_events::Count;
use peerbroker_router::{Flushes, IdLease, Outbox, Outgoing, RegisterRefusal, Routed};

use crate::socket::{Heard, Socket};
use crate::{House, peer, reply, route, send, text};

const SENDERS: usize = 4;
const RECIPIENTS: usize = 3;
/// Two per recipient, which take the id over from each other.
const RIVALS: usize = 2;
const MESSAGES: usize = 5000;

/// Much longer than any test here takes.
const WATCHDOG: Duration = Duration::from_secs(120);

/// Runs a closure, and fails if it does not end.
fn guarded(body: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel::<()>();
    let worker = thread::spawn(move || {
        let _done = done;
        body();
    });
    match ended.recv_timeout(WATCHDOG) {
        Err(RecvTimeoutError::Timeout) => panic!("a deadlock"),
        _ => worker.join().expect("the body's own assertions hold"),
    }
}

/// Reproducible pseudo-random numbers (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

/// The numbers of the messages that recipients got, over all their connections, in order.
type Deliveries = Arc<Mutex<Delivered>>;
/// By sender and recipient.
type Delivered = BTreeMap<(String, String), Vec<usize>>;

fn recipient(no: usize) -> String {
    format!("recipient {no}")
}

/// A socket that records the messages that arrive for a recipient.
fn socket_of(id: &str, room: usize, deliveries: &Deliveries) -> Socket {
    let id = id.to_owned();
    let deliveries = Arc::clone(deliveries);
    Socket::with_room(room).on_heard(move |heard| {
        if let Heard::Text(text) = heard
            && let Some((sender, no)) = text.split_once('#')
        {
            let pair = (sender.to_owned(), id.clone());
            deliveries.lock().unwrap().entry(pair).or_default().push(no.parse().unwrap());
        }
    })
}

/// A sender that has sent everything and is still connected.
struct Sender {
    registration: IdLease,
    socket: Socket,
    /// Number of messages to each recipient.
    sent: [usize; RECIPIENTS],
}

/// Sends its messages, in batches.
fn send_all(house: &House, no: usize) -> Sender {
    let id = format!("sender {no}");
    let socket = Socket::open();
    let registration = house.connect(&id, "s", &socket);
    let mut dice = Dice(no as u64 + 1);
    let mut sent = [0; RECIPIENTS];
    let mut flushes = Flushes::new();
    for _ in 0..MESSAGES {
        let to = dice.below(RECIPIENTS);
        let message = text(&format!("{id}#{}", sent[to]));
        sent[to] += 1;
        match route(&registration, &recipient(to), message, true) {
            Routed::Delivered(flush) => flushes.extend(flush),
            Routed::Queued | Routed::Dropped(_) => {}
        }
        if dice.below(8) == 0 {
            drop(send(&registration, &recipient(to), text("LEAVE"), false));
        }
        if dice.below(4) == 0 {
            flushes.flush();
        }
    }
    flushes.flush();
    Sender { registration, socket, sent }
}

/// Connects, takes over, is slow, and leaves in every way, repeatedly.
fn contend(house: &House, id: &str, seed: u64, deliveries: &Deliveries, done: &AtomicBool) {
    let mut dice = Dice(seed);
    while !done.load(Ordering::SeqCst) {
        let room = if dice.below(2) == 0 { usize::MAX } else { dice.below(3000) };
        let socket = socket_of(id, room, deliveries);
        let registration = house.connect(id, "t", &socket);
        for _ in 0..dice.below(30) {
            match dice.below(8) {
                0 => socket.set_room(dice.below(3000)),
                1 => socket.set_room(usize::MAX),
                2 => registration.mark_alive(),
                3 => reply(&registration, Frame::pong(&[])),
                4 => drop(house.realm.probe(&peer(id))),
                5 if dice.below(8) == 0 => socket.break_off(),
                _ => drop(registration.with_outbox(Outbox::flush)),
            }
            if !registration.is_current() {
                break;
            }
            thread::yield_now();
        }
        match dice.below(4) {
            0 => drop(registration),
            1 => drop(registration.part(CloseReason::Left, true)),
            _ => {
                let parting = registration.part(CloseReason::Left, false).expect("it parts once");
                for _ in 0..dice.below(4) {
                    thread::yield_now();
                    socket.set_room(dice.below(200));
                    parting.peer.with_last_outbox(Outbox::flush);
                }
                parting
                    .peer
                    .with_last_outbox(|outbox| outbox.push_unbounded(Outgoing::notice(Frame::close(None))));
            }
        }
    }
}

/// Runs senders and recipients on a house, together with the sweeper; `millis` pass between two
/// sweeps.
fn run(house: &House, millis: u64) -> (Vec<Sender>, Delivered) {
    let deliveries = Deliveries::default();
    let done = AtomicBool::new(false);
    let senders = thread::scope(|scope| {
        for no in 0..RECIPIENTS * RIVALS {
            let deliveries = &deliveries;
            let done = &done;
            let id = recipient(no % RECIPIENTS);
            scope.spawn(move || contend(house, &id, 100 + no as u64, deliveries, done));
        }
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                house.pass(millis);
                assert!(
                    house.router.queued_bytes() <= house.router.live_config().load().limits.queue_total_bytes
                );
                assert!(house.realm.ids().len() <= SENDERS + RECIPIENTS);
                thread::yield_now();
            }
        });
        let sending: Vec<_> = (0..SENDERS).map(|no| scope.spawn(move || send_all(house, no))).collect();
        let senders: Vec<_> = sending.into_iter().map(thread::ScopedJoinHandle::join).collect();
        // Set before anything can fail here, so that the other threads end.
        done.store(true, Ordering::SeqCst);
        senders.into_iter().map(|sender| sender.expect("it has sent all")).collect::<Vec<_>>()
    });
    assert_eq!(house.realm.len(), SENDERS, "every recipient left");
    for no in 0..RECIPIENTS {
        let id = recipient(no);
        drop(house.connect(&id, "t", &socket_of(&id, usize::MAX, &deliveries)));
    }
    assert_eq!(house.router.queued_bytes(), 0, "all that waited was delivered");
    assert!(senders.iter().all(|sender| sender.registration.is_current()));
    let delivered = std::mem::take(&mut *deliveries.lock().unwrap());
    (senders, delivered)
}

/// Large limits, for tests of other limits.
fn limits() -> Limits {
    Limits {
        expire_timeout: Duration::from_secs(3600),
        alive_timeout: Duration::from_secs(36_000),
        probe_timeout: Duration::from_secs(3600),
        queue_messages: usize::MAX,
        queue_bytes: usize::MAX,
        queue_total_bytes: usize::MAX,
        outbox_bytes: 1 << 30,
        ..Limits::default()
    }
}

#[test]
fn with_room_and_time_every_message_arrives_once_and_in_order() {
    guarded(|| {
        let house = House::new(limits());
        let (senders, delivered) = run(&house, 0);
        for Sender { registration, socket, sent } in &senders {
            for (to, count) in sent.iter().enumerate() {
                let pair = (registration.id().as_str().to_owned(), recipient(to));
                let expected: Vec<usize> = (0..*count).collect();
                assert!(delivered[&pair] == expected, "{pair:?} got {:?}", delivered[&pair]);
            }
            assert_eq!(socket.texts(), ["OPEN"], "nothing expired");
        }
    });
}

#[test]
fn without_room_or_time_every_gap_was_told_to_its_sender() {
    guarded(|| {
        let house = House::new(Limits {
            expire_timeout: Duration::from_millis(20),
            probe_timeout: Duration::from_millis(5),
            queue_messages: 40,
            queue_bytes: 1500,
            queue_total_bytes: 60_000,
            outbox_bytes: 2000,
            stall_timeout: Duration::from_millis(10),
            reclaim_timeout: Duration::from_millis(10),
            ..limits()
        });
        let (senders, delivered) = run(&house, 1);
        let mut all_told = 0;
        for Sender { registration, socket, sent } in &senders {
            for (to, count) in sent.iter().enumerate() {
                let pair = (registration.id().as_str().to_owned(), recipient(to));
                let notice = format!("EXPIRE {} {}", pair.1, pair.0);
                let told = socket.texts().iter().filter(|text| **text == notice).count();
                all_told += told;
                // Runs of missing messages. Each run expired as one conversation or several.
                let arrived = delivered.get(&pair).map_or(&[][..], Vec::as_slice);
                assert!(arrived.is_sorted_by(|a, b| a < b), "{pair:?}: {arrived:?}");
                let begins = [0].into_iter().chain(arrived.iter().map(|no| no + 1));
                let gaps = begins.zip(arrived.iter().chain([count])).filter(|(from, to)| from < *to).count();
                assert!(gaps <= told, "{pair:?}: {gaps} gaps, told {told} times");
            }
        }
        let expired = house.counters().total(Count::Expired);
        assert_eq!(expired, all_told as u64, "each expiry was told once");
    });
}

#[test]
fn nobody_stays_behind_when_the_server_stops_while_they_come_in() {
    guarded(|| {
        for round in 0..50 {
            let house = House::new(limits());
            thread::scope(|scope| {
                for no in 0..4 {
                    let house = &house;
                    scope.spawn(move || {
                        let mut held = Vec::new();
                        loop {
                            let id = format!("{no} {}", held.len() % 7);
                            match house.try_connect(&id, "s", &Socket::open()) {
                                Ok(registration) => held.push(registration),
                                Err(RegisterRefusal::Closing)
                                | Err(RegisterRefusal::Revoked)
                                | Err(RegisterRefusal::Elsewhere) => break,
                                Err(RegisterRefusal::Taken)
                                | Err(RegisterRefusal::Reserved)
                                | Err(RegisterRefusal::Full) => {
                                    panic!("it is its own")
                                }
                            }
                        }
                        // The sweeper may come once more.
                        house.sweep();
                        assert!(held.iter().all(|held| !held.is_current()), "round {round}");
                    });
                }
                thread::yield_now();
                house.close();
            });
            assert_eq!(house.realm.len(), 0);
        }
    });
}

#[test]
fn slots_go_while_a_node_is_lost() {
    guarded(|| {
        let house = House::in_cluster(limits());
        let stopped = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stopped.load(Ordering::Relaxed) {
                    house.realm.lose_node(None);
                }
            });
            for turn in 0..20_000 {
                drop(house.connect(&format!("{}", turn % 64), "s", &Socket::open()));
            }
            stopped.store(true, Ordering::Relaxed);
        });
    });
}
