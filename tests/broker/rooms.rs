//! Rooms over random histories: a list, and then exactly the changes after it, in one order for all members.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use peerbroker::config::Limits;
use peerbroker::rooms::{Requester, Rooms};
use peerbroker::router::{IdLease, Outbox};
use peerbroker::wire::{CloseReason, PeerId, RoomName, RoomRefusal};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use serde_json::Value;

use crate::House;
use crate::socket::{Heard, Socket};

const IDS: [&str; 4] = ["a", "b", "c", "d"];
const ROOMS: [&str; 2] = ["blue", "red"];
const RECLAIM: u64 = 10_000;
/// Less than a few frames: slow members are closed soon.
const OUTBOX: usize = 2000;

fn limits() -> Limits {
    Limits {
        outbox_bytes: OUTBOX,
        reclaim_timeout: Duration::from_millis(RECLAIM),
        alive_timeout: Duration::from_secs(1_000_000),
        ping_interval: Duration::from_secs(1_000_000),
        room_deliveries_per_second: 0,
        ..Limits::default()
    }
}

/// The members of a room as a client sees them, with their data.
type View = BTreeMap<String, Option<String>>;

/// The views of a client on one connection. It fails on a change that does not fit.
#[derive(Default)]
struct Views {
    of_rooms: BTreeMap<String, View>,
    /// The ids that it watches, and if they are online.
    online: BTreeMap<String, bool>,
    /// All that it heard behind its first list of a room, as far as it is unique.
    order: Vec<String>,
}

impl Views {
    /// Hears everything that has come on a connection.
    fn of(id: &str, socket: &Socket) -> Self {
        let mut views = Views::default();
        for heard in socket.heard() {
            if let Heard::Text(text) = heard
                && text.starts_with('{')
            {
                views.hear(id, &text);
            }
        }
        views
    }

    fn hear(&mut self, own: &str, text: &str) {
        let frame: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let member = |name: &str| frame[name].as_str().unwrap_or_default().to_owned();
        let (room, id) = (member("room"), member("id"));
        let data = |of: &Value| of.get("data").map(Value::to_string);
        match &*member("type") {
            "ROOM-MEMBERS" => {
                let listed = frame["members"].as_array().expect("a list");
                let mut view: View =
                    listed.iter().map(|of| (of["id"].as_str().unwrap().to_owned(), data(of))).collect();
                assert_eq!(view.len(), listed.len(), "twice in {text}");
                // It knows its own data.
                assert!(view.remove(own).is_some(), "{own} is not in its own list: {text}");
                self.of_rooms.insert(room, view);
                return;
            }
            kind @ ("ROOM-JOINED" | "ROOM-UPDATED" | "ROOM-LEFT") => {
                assert_ne!(id, own, "{text}");
                // A change that was on its way when the connection was replaced is older than the list.
                let Some(view) = self.of_rooms.get_mut(&room) else { return };
                let was_there = match kind {
                    "ROOM-LEFT" => view.remove(&id).is_some(),
                    _ => view.insert(id, data(&frame)).is_some(),
                };
                assert_eq!(was_there, kind != "ROOM-JOINED", "{own} hears {text}");
            }
            "PRESENCE" => drop(self.online.insert(id, frame["online"].as_bool().expect("a bool"))),
            "ROOM-MESSAGE" | "SERVER-MESSAGE" | "ROOM-OK" | "ROOM-REFUSED" | "EXPIRE" => {}
            other => panic!("{other}: {text}"),
        }
        if self.of_rooms.contains_key(&room) && text.contains("\"n\":") {
            self.order.push(text.to_owned());
        }
    }
}

/// A connection, and the client at its other end.
struct Client {
    id: &'static str,
    socket: Socket,
    lease: IdLease,
}

impl Client {
    fn request(
        &self,
        act: impl FnOnce(&mut Requester<'_>) -> Result<(), RoomRefusal>,
    ) -> Result<(), RoomRefusal> {
        let mut flushes = Vec::new();
        act(&mut Requester { peer: &self.lease, request: None, flushes: &mut flushes })
    }

    fn join(&self, rooms: &Rooms, room: &str, data: &str) {
        let name = RoomName::parse(room).unwrap();
        self.request(|requester| rooms.join(requester, name, Some(data), 100)).unwrap();
    }

    /// As its session does when it ends.
    fn depart(self, rooms: &Rooms, for_good: bool) {
        let departure = self.lease.part(CloseReason::Left, !for_good).expect("the end of its lease");
        rooms.departed(&departure.peer, for_good);
    }

    fn read_all(&self) {
        self.socket.set_room(usize::MAX);
        let _ = self.lease.with_outbox(Outbox::flush);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Connect {
        id: usize,
        token: bool,
    },
    Join {
        id: usize,
        room: usize,
        with_data: bool,
    },
    Leave {
        id: usize,
        room: usize,
    },
    Update {
        id: usize,
        room: usize,
    },
    Send {
        id: usize,
        room: usize,
        to: Option<usize>,
    },
    Watch {
        id: usize,
        of: usize,
    },
    /// The app's server sends to all members.
    Broadcast {
        room: usize,
    },
    /// The session of the connection ends, or notices that it has lost its id.
    Depart {
        id: usize,
        for_good: bool,
    },
    Block {
        id: usize,
        room: usize,
    },
    Read {
        id: usize,
    },
    Pass {
        millis: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (id, room) = (0..IDS.len(), 0..ROOMS.len());
    prop_oneof![
        4 => (id.clone(), prop::bool::weighted(0.8)).prop_map(|(id, token)| Step::Connect { id, token }),
        6 => (id.clone(), room.clone(), any::<bool>()).prop_map(|(id, room, with_data)| Step::Join { id, room, with_data }),
        2 => (id.clone(), room.clone()).prop_map(|(id, room)| Step::Leave { id, room }),
        4 => (id.clone(), room.clone()).prop_map(|(id, room)| Step::Update { id, room }),
        5 => (id.clone(), room.clone(), prop::option::weighted(0.3, 0..IDS.len()))
            .prop_map(|(id, room, to)| Step::Send { id, room, to }),
        3 => (id.clone(), 0..IDS.len()).prop_map(|(id, of)| Step::Watch { id, of }),
        2 => room.prop_map(|room| Step::Broadcast { room }),
        3 => (id.clone(), prop::bool::weighted(0.3)).prop_map(|(id, for_good)| Step::Depart { id, for_good }),
        1 => (id.clone(), 0..300_usize).prop_map(|(id, room)| Step::Block { id, room }),
        1 => id.prop_map(|id| Step::Read { id }),
        2 => prop::sample::select(vec![100, 6000, RECLAIM]).prop_map(|millis| Step::Pass { millis }),
    ]
}

struct World {
    house: House,
    rooms: Arc<Rooms>,
    /// All connections that have not departed, the newest of an id last.
    clients: Vec<Client>,
    /// The ends of connections whose clients have departed.
    past: Vec<(&'static str, Socket)>,
    number: usize,
}

impl World {
    fn new() -> Self {
        let house = House::new(limits());
        let rooms = house.broker.tenant("peerjs").unwrap().rooms();
        World { house, rooms, clients: Vec::new(), past: Vec::new(), number: 0 }
    }

    fn connect(&mut self, id: &'static str, token: &str) {
        let socket = Socket::open();
        if let Ok(lease) = self.house.try_connect(id, token, &socket) {
            self.rooms.opened(&lease);
            self.clients.push(Client { id, socket, lease });
        }
    }

    /// The connection of an id that came last.
    fn client(&self, id: usize) -> Option<&Client> {
        self.clients.iter().rev().find(|client| client.id == IDS[id])
    }

    /// Data that no other change has.
    fn data(&mut self) -> String {
        self.number += 1;
        format!("{{\"n\":{}}}", self.number)
    }

    fn take(&mut self, step: Step) {
        let (data, rooms) = (self.data(), Arc::clone(&self.rooms));
        let on = |id: usize, act: &dyn Fn(&mut Requester<'_>) -> Result<(), RoomRefusal>| {
            // Only a connection that has its id is heard.
            if let Some(client) = self.client(id).filter(|client| client.lease.is_current()) {
                // A client that is in no room, or asks for somebody who is in none, is refused.
                let _ = client.request(act);
            }
        };
        match step {
            Step::Connect { id, token } => self.connect(IDS[id], if token { "s" } else { "t" }),
            Step::Join { id, room, with_data } => on(id, &|requester| {
                let name = RoomName::parse(ROOMS[room]).unwrap();
                rooms.join(requester, name, with_data.then_some(&*data), 3)
            }),
            Step::Leave { id, room } => on(id, &|requester| rooms.leave(requester, ROOMS[room])),
            Step::Update { id, room } => {
                on(id, &|requester| rooms.update(requester, ROOMS[room], Some(&data)));
            }
            Step::Send { id, room, to } => {
                on(id, &|requester| rooms.send(requester, ROOMS[room], to.map(|to| IDS[to]), Some(&data)))
            }
            Step::Watch { id, of } => {
                on(id, &|requester| rooms.watch(requester, &[PeerId::parse(IDS[of]).unwrap()], 100));
            }
            Step::Broadcast { room } => {
                let reached = rooms.send_from_server(ROOMS[room], &data);
                assert!(reached <= rooms.members(ROOMS[room]).len());
            }
            Step::Depart { id, for_good } => {
                // The oldest: those that were replaced notice it late.
                if let Some(at) = self.clients.iter().position(|client| client.id == IDS[id]) {
                    let client = self.clients.remove(at);
                    let for_good = for_good && client.lease.is_current();
                    self.past.push((client.id, client.socket.clone()));
                    client.depart(&rooms, for_good);
                }
            }
            Step::Block { id, room } => self.client(id).into_iter().for_each(|one| one.socket.set_room(room)),
            Step::Read { id } => self.client(id).into_iter().for_each(Client::read_all),
            Step::Pass { millis } => self.house.pass(millis),
        }
    }

    /// Everybody reads, and a newcomer compares its lists with the views of the members.
    fn check(mut self) {
        self.clients.iter().for_each(Client::read_all);
        self.connect("z", "s");
        let observer = self.clients.last().expect("the newcomer");
        for room in ROOMS {
            observer.join(&self.rooms, room, "0");
        }
        let ids = IDS.map(|id| PeerId::parse(id).unwrap());
        observer.request(|requester| self.rooms.watch(requester, &ids, 100)).unwrap();
        let listed = Views::of("z", &observer.socket);
        for client in self.clients.iter().filter(|client| client.lease.is_current()) {
            let views = Views::of(client.id, &client.socket);
            for (id, online) in &views.online {
                assert_eq!(listed.online.get(id), Some(online), "{} watches {id}", client.id);
            }
            for (room, list) in &listed.of_rooms {
                let mut expected = list.clone();
                if expected.remove(client.id).is_some() {
                    expected.insert("z".to_owned(), Some("0".to_owned()));
                    assert_eq!(views.of_rooms.get(room), Some(&expected), "{} in {room}", client.id);
                }
            }
        }
        // One order: of two connections, one has not heard two things the other way round.
        let current = self.clients.iter().map(|client| (client.id, &client.socket));
        let all: Vec<Views> = current
            .chain(self.past.iter().map(|(id, socket)| (*id, socket)))
            .map(|(id, socket)| Views::of(id, socket))
            .collect();
        for one in &all {
            let rank: BTreeMap<&str, usize> =
                one.order.iter().enumerate().map(|(rank, text)| (&**text, rank)).collect();
            for room in ROOMS {
                let of_room = format!("\"room\":\"{room}\"");
                for other in &all {
                    let heard = other.order.iter().filter(|text| text.contains(&of_room));
                    let ranks: Vec<_> = heard.filter_map(|text| rank.get(&**text)).collect();
                    assert!(ranks.is_sorted(), "{:?} and {:?}", one.order, other.order);
                }
            }
        }
        // Nothing is left of rooms that everybody has left.
        for client in std::mem::take(&mut self.clients) {
            client.depart(&self.rooms, false);
        }
        self.house.pass(RECLAIM);
        assert_eq!((self.rooms.len(), self.rooms.is_empty()), (0, true));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").map_or(400, |cases| cases.parse().expect("a number")),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/proptest-regressions/rooms.txt",
        ))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_member_hears_a_list_and_exactly_the_changes_after_it(steps in vec(step(), 1..80)) {
        let mut world = World::new();
        steps.into_iter().for_each(|step| world.take(step));
        world.check();
    }
}

#[test]
fn threads_that_join_change_and_leave_at_once_hear_one_order() {
    const ROUNDS: usize = 300;
    const WORKERS: [&str; 6] = ["0", "1", "2", "3", "4", "5"];
    let mut world = World::new();
    world.house = House::new(Limits { outbox_bytes: 2 << 20, ..limits() });
    world.rooms = world.house.broker.tenant("peerjs").unwrap().rooms();
    WORKERS.into_iter().for_each(|id| world.connect(id, "s"));
    thread::scope(|scope| {
        for (number, client) in world.clients.iter().enumerate() {
            let rooms = &world.rooms;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let (room, data) = (ROOMS[round % 2], format!("{{\"n\":\"{number}/{round}\"}}"));
                    client.join(rooms, room, &data);
                    let _ = client.request(|requester| rooms.send(requester, room, None, Some(&data)));
                    rooms.send_from_server(room, &format!("{{\"n\":\"app {number}/{round}\"}}"));
                    if (round + number).is_multiple_of(3) {
                        let _ = client.request(|requester| rooms.leave(requester, room));
                    }
                }
            });
        }
    });
    world.check();
}
