//! Rooms over random histories: a list, and then exactly the changes after it, in one order for all members.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use peerbroker_config::Limits;
use peerbroker_core::vocabulary::{CloseReason, Frame, NodeId, PeerId, RoomName, RoomRefusal};
use peerbroker_protocols::peerjs::{app, rooms::message};
use peerbroker_rooms::{GoneNews, MemberNews, News, Parting, Requester, Rooms, SeatWish, StateWrite};
use peerbroker_router::{Flushes, IdLease, MESSAGES, Outbox};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{FileFailurePersistence, TestRunner};
use testkit::log_lines;
use testkit::room_views::{RoomViews, without_one_order, without_one_state};

use crate::clients::{peer, text};
use crate::socket::Socket;
use crate::{DIGEST, House};

/// A message of the app's server.
fn from_app(room: &str, payload: &str) -> Frame {
    Frame::of_text(&app::message(Some(room), payload))
}

/// The rooms in which each member may be.
const ROOMS_OF_EACH: usize = 2;
const RECLAIM: u64 = 10_000;
/// Less than a few frames: slow members are behind soon.
const OUTBOX: usize = 2000;

fn limits() -> Limits {
    Limits {
        outbox_bytes: OUTBOX,
        reclaim_timeout: Duration::from_millis(RECLAIM),
        alive_timeout: Duration::from_secs(1_000_000),
        room_deliveries_per_second: 0,
        ..Limits::default()
    }
}

/// The views of a client that has heard everything that came on a connection.
fn views(id: &str, socket: &Socket) -> RoomViews {
    let mut views = RoomViews::new(id);
    for text in socket.texts().iter().filter(|text| text.starts_with('{')) {
        views.hear(text).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
    if socket.was_full() {
        // A client that was behind may hear a message before the changes in front of it.
        let is_message = |text: &String| !text.contains("ROOM-UPDATED") && !text.contains("ROOM-STATE");
        views.orders.values_mut().for_each(|order| order.retain(is_message));
    }
    views
}

/// A connection, and the client at its other end.
struct Client {
    id: String,
    socket: Socket,
    lease: IdLease,
}

impl Client {
    fn request(
        &self,
        act: impl FnOnce(&mut Requester<'_>) -> Result<(), RoomRefusal>,
    ) -> Result<(), RoomRefusal> {
        Flushes::with(|flushes| act(&mut Requester { peer: &self.lease, request: None, flushes }))
    }

    fn join(&self, rooms: &Rooms, room: &str, data: &str) {
        let name = RoomName::parse(room).unwrap();
        self.request(|requester| rooms.join(requester, name, Some(data), 100)).unwrap();
    }

    /// As its session does when it ends.
    fn depart(self, rooms: &Rooms, for_good: bool) {
        let departure = self.lease.part(CloseReason::Left, !for_good).expect("the end of its lease");
        rooms.departed(&departure.peer, if for_good { Parting::ForGood } else { Parting::Lost });
    }

    /// Reads everything, also what it has missed, which its session tells it then.
    fn read_all(&self, rooms: &Rooms) {
        self.socket.set_room(usize::MAX);
        let _ = self.lease.with_outbox(Outbox::flush);
        while self.lease.with_outbox(Outbox::take_owed_state) == Some(true) {
            Flushes::with(|flushes| rooms.catch_up(&self.lease, flushes));
        }
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
        wish: Option<SeatWish>,
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
    Write {
        id: usize,
        room: usize,
        name: &'static str,
        is_deleted: bool,
        seen: Option<u64>,
    },
    Watch {
        id: usize,
        of: usize,
    },
    /// The app's server sends to all members of a room of this client.
    Broadcast {
        id: usize,
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

/// A step of one of so many members.
fn step(members: usize) -> impl Strategy<Value = Step> {
    let id = 0..members;
    let room = 0..ROOMS_OF_EACH;
    prop_oneof![
        4 => (id.clone(), prop::bool::weighted(0.8)).prop_map(|(id, token)| Step::Connect { id, token }),
        6 => (id.clone(), room.clone(), any::<bool>(), wish()).prop_map(|(id, room, with_data, wish)| Step::Join { id, room, with_data, wish }),
        5 => (id.clone(), room.clone(), prop::sample::select(vec!["a", "b", "c"]), any::<bool>(), prop::option::of(0..9_u64))
            .prop_map(|(id, room, name, is_deleted, seen)| Step::Write { id, room, name, is_deleted, seen }),
        2 => (id.clone(), room.clone()).prop_map(|(id, room)| Step::Leave { id, room }),
        4 => (id.clone(), room.clone()).prop_map(|(id, room)| Step::Update { id, room }),
        5 => (id.clone(), room.clone(), prop::option::weighted(0.3, 0..members))
            .prop_map(|(id, room, to)| Step::Send { id, room, to }),
        3 => (id.clone(), 0..members).prop_map(|(id, of)| Step::Watch { id, of }),
        2 => (id.clone(), room).prop_map(|(id, room)| Step::Broadcast { id, room }),
        3 => (id.clone(), prop::bool::weighted(0.3)).prop_map(|(id, for_good)| Step::Depart { id, for_good }),
        1 => (id.clone(), 0..300_usize).prop_map(|(id, room)| Step::Block { id, room }),
        1 => id.prop_map(|id| Step::Read { id }),
    ]
}

fn wish() -> impl Strategy<Value = Option<SeatWish>> {
    let wish = (prop::option::of(0..6_u32), any::<bool>(), any::<bool>());
    prop::option::of(wish.prop_map(|(number, never_host, only_host_writes)| SeatWish {
        number,
        never_host,
        only_host_writes,
    }))
}

fn pass() -> impl Strategy<Value = Step> {
    prop::sample::select(vec![100, 6000, RECLAIM]).prop_map(|millis| Step::Pass { millis })
}

struct World {
    house: House,
    rooms: Arc<Rooms>,
    names: Vec<String>,
    /// The number of ids that want to be in a room first. Then they want to be in the next one, too.
    crowd: usize,
    /// The connections of each id that have not departed, the newest last.
    clients: Vec<Vec<Client>>,
    /// The ends of connections whose clients have departed.
    past: Vec<(String, Socket)>,
    number: usize,
}

impl World {
    /// Rooms, and as many members of each.
    fn new(limits: Limits, rooms: usize, crowd: usize) -> Self {
        let house = House::for_clients(2 * rooms * crowd, limits);
        let names = (0..rooms).map(|room| format!("room {room}")).collect();
        let clients = std::iter::repeat_with(Vec::new).take(rooms * crowd).collect();
        let rooms = Arc::clone(&house.rooms);
        World { house, rooms, names, crowd, clients, past: Vec::new(), number: 0 }
    }

    fn connect(&self, id: &str, token: &str) -> Option<Client> {
        let socket = Socket::open();
        let lease = self.house.try_connect(id, token, &socket).ok()?;
        self.rooms.opened(&lease);
        Some(Client { id: id.to_owned(), socket, lease })
    }

    /// Somebody who compares the members of a room with the views of others.
    fn observe(&self, room: &str) -> Client {
        let observer = self.connect(&format!("observer of {room}"), "s").expect("an id of its own");
        observer.join(&self.rooms, room, "0");
        observer
    }

    /// The connection of an id that came last.
    fn client(&self, id: usize) -> Option<&Client> {
        self.clients[id].last()
    }

    fn all(&self) -> impl Iterator<Item = &Client> {
        self.clients.iter().flatten()
    }

    /// A room in which an id wants to be.
    fn room(&self, id: usize, room: usize) -> &str {
        &self.names[(id / self.crowd + room) % self.names.len()]
    }

    /// Data that no other change has.
    fn data(&mut self) -> String {
        self.number += 1;
        format!("{{\"n\":{}}}", self.number)
    }

    /// An id of its own crowd, or of the next one.
    fn neighbour(&self, id: usize, of: usize) -> PeerId {
        let base = id - id % self.crowd;
        let number = (base + of % (2 * self.crowd)) % self.clients.len();
        peer(&number.to_string())
    }

    fn take(&mut self, step: Step) {
        let data = self.data();
        let rooms = Arc::clone(&self.rooms);
        let on = |id: usize, act: &dyn Fn(&mut Requester<'_>) -> Result<(), RoomRefusal>| {
            // Only a connection that has its id is heard.
            if let Some(client) = self.client(id).filter(|client| client.lease.is_current()) {
                // A client that is in no room, or asks for somebody who is in none, is refused.
                let _ = client.request(act);
            }
        };
        match step {
            Step::Connect { id, token } => {
                let client = self.connect(&id.to_string(), if token { "s" } else { "t" });
                self.clients[id].extend(client);
            }
            Step::Join { id, room, with_data, wish } => on(id, &|requester| {
                let name = RoomName::parse(self.room(id, room)).unwrap();
                // Some are refused, because the room is full.
                let most = self.crowd + self.crowd / 2;
                let data = with_data.then_some(&*data);
                match wish {
                    None => rooms.join(requester, name, data, most),
                    Some(wish) => rooms.join_with_seat(requester, name, data, wish, most),
                }
            }),
            Step::Leave { id, room } => on(id, &|requester| rooms.leave(requester, self.room(id, room))),
            Step::Update { id, room } => {
                on(id, &|requester| rooms.update(requester, self.room(id, room), Some(&data)));
            }
            Step::Send { id, room, to } => on(id, &|requester| {
                let to = to.map(|to| self.neighbour(id, to));
                let room = self.room(id, room);
                let to = to.as_ref().map(PeerId::as_str);
                rooms.send(requester, room, to, || message(room, &id.to_string(), to, Some(&data)))
            }),
            Step::Write { id, room, name, is_deleted, seen } => on(id, &|requester| {
                let value = (!is_deleted).then_some(&*data);
                rooms.write(requester, self.room(id, room), StateWrite { name, value, seen })
            }),
            Step::Watch { id, of } => {
                on(id, &|requester| rooms.watch(requester, &[self.neighbour(id, of)], 100));
            }
            Step::Broadcast { id, room } => {
                let room = self.room(id, room);
                let reached = rooms.send_from_server(room, from_app(room, &data));
                assert!(reached <= rooms.members(room).len());
            }
            Step::Depart { id, for_good } => {
                // The oldest: those that were replaced notice it late.
                if !self.clients[id].is_empty() {
                    let client = self.clients[id].remove(0);
                    let for_good = for_good && client.lease.is_current();
                    self.past.push((client.id.clone(), client.socket.clone()));
                    client.depart(&rooms, for_good);
                }
            }
            Step::Block { id, room } => {
                if let Some(one) = self.client(id) {
                    one.socket.set_room(room);
                }
            }
            Step::Read { id } => {
                if let Some(client) = self.client(id) {
                    client.read_all(&rooms);
                }
            }
            Step::Pass { millis } => self.house.pass(millis),
        }
    }

    /// Everybody reads, and newcomers compare their lists with the views of the members.
    fn check(mut self) {
        self.all().for_each(|client| client.read_all(&self.rooms));
        let observers: Vec<Client> = self.names.iter().map(|room| self.observe(room)).collect();
        let mut of_clients: BTreeMap<&str, RoomViews> = BTreeMap::new();
        for client in self.all().filter(|client| client.lease.is_current()) {
            of_clients.insert(&client.id, views(&client.id, &client.socket));
        }
        let mut online = BTreeMap::new();
        let ids: Vec<PeerId> = (0..self.clients.len()).map(|id| peer(&id.to_string())).collect();
        for (observer, ids) in observers.iter().zip(ids.chunks(self.crowd)) {
            observer.request(|requester| self.rooms.watch(requester, ids, 100)).unwrap();
            online.append(&mut views(&observer.id, &observer.socket).online);
        }
        for (id, seen) in &of_clients {
            for (other, is_online) in &seen.online {
                assert_eq!(online.get(other), Some(is_online), "{id} watches {other}");
            }
        }
        for (observer, room) in observers.iter().zip(&self.names) {
            let observed = views(&observer.id, &observer.socket);
            let list = &observed.of_rooms[room];
            let members = list.keys().filter_map(|id| of_clients.get(&**id));
            assert_eq!(without_one_state(room, members.chain([&observed])), None);
            for (id, seen) in list.keys().filter_map(|id| of_clients.get_key_value(&**id)) {
                let mut expected = list.clone();
                expected.remove(*id);
                expected.insert(observer.id.clone(), Some("0".to_owned()));
                assert_eq!(seen.of_rooms.get(room), Some(&expected), "{id} in {room}");
            }
        }
        let of_ends = self.past.iter().map(|(id, socket)| views(id, socket));
        let of_replaced = self.all().filter(|client| !client.lease.is_current());
        let all: Vec<RoomViews> = of_ends
            .chain(of_replaced.map(|client| views(&client.id, &client.socket)))
            .chain(of_clients.into_values())
            .collect();
        assert_eq!(without_one_order(&all, |_| true), None);
        // Nothing is left of rooms that everybody has left.
        for client in std::mem::take(&mut self.clients).into_iter().flatten().chain(observers) {
            client.depart(&self.rooms, false);
        }
        self.house.pass(RECLAIM);
        assert_eq!((self.rooms.len(), self.rooms.is_empty()), (0, true));
    }
}

/// A client, and another node that may have been away when the client left a room. What it sends meanwhile
/// comes late.
struct LateNews {
    house: House,
    rooms: Arc<Rooms>,
    client: Client,
}

impl LateNews {
    fn new() -> Self {
        let house = House::in_cluster(limits());
        let rooms = Arc::clone(&house.rooms);
        let socket = Socket::open();
        let lease = house.try_connect("a", "token", &socket).expect("an id");
        let client = Client { id: "a".to_owned(), socket, lease };
        LateNews { house, rooms, client }
    }

    /// The other node lists the client in room x.
    fn list(&self) {
        self.list_on(7);
    }

    fn list_on(&self, node: u64) {
        let listed = MemberNews {
            room: "x",
            id: &self.client.id,
            token: DIGEST,
            number: 1,
            data: None,
            seat: None,
            state: 0,
        };
        self.receive(node, &News::Member(listed));
    }

    fn receive(&self, node: u64, news: &News<'_>) {
        Flushes::with(|flushes| self.rooms.receive(NodeId::new(node), news, flushes));
    }

    fn leave(&self) -> Result<(), RoomRefusal> {
        self.client.request(|requester| self.rooms.leave(requester, "x"))
    }

    /// True if the client hears a message of room x that comes from the other node.
    fn hears(&self) -> bool {
        let message = text(r#"{"type":"ROOM-MESSAGE","room":"x","src":"b","payload":2}"#);
        self.rooms.is_for(self.client.lease.id(), self.client.lease.connection(), &message)
    }

    /// The client goes, and the other node forgets it: then nothing is left.
    fn end(self) {
        let former = Vec::new();
        let gone = GoneNews { room: "x", id: "a", for_good: false, former, number: 2 };
        self.receive(7, &News::Gone(gone));
        let LateNews { house, rooms, client } = self;
        client.depart(&rooms, false);
        house.pass(RECLAIM);
        assert!(rooms.is_empty());
    }
}

#[test]
fn a_member_that_falls_behind_is_followed_once_and_once_when_it_has_caught_up() {
    let world = World::new(limits(), 1, 2);
    let clients = ["a", "b"].map(|id| world.connect(id, "s").unwrap());
    clients.iter().for_each(|client| client.join(&world.rooms, "x", "0"));
    let [a, b] = &clients;
    let lines = log_lines::written(MESSAGES, || {
        b.socket.set_room(0);
        for number in 0..OUTBOX {
            let data = number.to_string();
            a.request(|requester| world.rooms.update(requester, "x", Some(&data))).unwrap();
        }
        b.read_all(&world.rooms);
    });
    let falls_behind = r#"room "x": "b" falls behind: too much waits for its client"#;
    assert_eq!(lines, [falls_behind, r#"room "x": "b" has caught up"#]);
}

#[test]
fn a_client_hears_nothing_of_a_room_that_it_has_left_while_another_node_still_lists_it() {
    let world = LateNews::new();
    world.list();
    world.client.join(&world.rooms, "x", "1");
    assert!(world.hears());
    world.leave().unwrap();
    assert!(!world.hears());
    world.house.pass(RECLAIM);
    assert!(!world.hears());
    world.end();
}

#[test]
fn a_client_stays_out_of_a_room_that_it_has_left_when_another_node_lists_it_later() {
    let world = LateNews::new();
    world.client.join(&world.rooms, "x", "1");
    world.leave().unwrap();
    world.house.pass(RECLAIM);
    world.list();
    assert!(!world.hears());
    world.client.join(&world.rooms, "y", "1");
    assert!(!world.hears());
    assert_eq!(world.rooms.own_members(), 1);
    assert_eq!(world.leave(), Err(RoomRefusal::NotMember));
    assert_eq!(world.rooms.contradiction(), None);
    world.end();
}

#[test]
fn a_message_to_a_member_that_has_moved_waits_for_the_nodes_where_it_was() {
    let world = LateNews::new();
    world.list();
    world.list_on(8);
    let Client { id, socket, .. } = &world.client;
    let sender = world.house.try_connect("b", "token", &Socket::open()).expect("an id");
    let heard = || socket.texts().iter().filter(|text| text.contains("ROOM-MESSAGE")).count();
    let settle = |node| {
        Flushes::with(|flushes| world.rooms.settled(NodeId::new(node), "x", id, flushes));
        heard()
    };
    let send = || {
        let message = || message("x", "b", Some(id), None);
        world.house.request(&sender, |rooms, requester| rooms.send(requester, "x", Some(id), message))
    };
    let room = RoomName::parse("x").unwrap();
    world.house.request(&sender, |rooms, requester| rooms.join(requester, room, None, 10)).unwrap();
    world.client.join(&world.rooms, "x", "1");
    send().unwrap();
    // Only one of them is asked at a time.
    assert_eq!((heard(), settle(8), settle(7), settle(8)), (0, 0, 0, 1));
    send().unwrap();
    assert_eq!(heard(), 2);
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
    fn a_member_hears_a_list_and_exactly_the_changes_after_it(
        steps in vec(prop_oneof![15 => step(4), 1 => pass()], 1..80),
    ) {
        let mut world = World::new(limits(), ROOMS_OF_EACH, 2);
        for step in steps { world.take(step); }
        world.check();
    }
}

#[test]
fn ten_thousand_members_of_a_thousand_rooms_hear_lists_and_exactly_the_changes_after_them() {
    const ROOMS: usize = 1000;
    const CROWD: usize = 10;
    const STEPS: usize = 20_000;
    let limits = Limits { outbox_bytes: 2 << 20, ..limits() };
    let mut world = World::new(limits, ROOMS, CROWD);
    for id in 0..ROOMS * CROWD {
        world.take(Step::Connect { id, token: true });
        world.take(Step::Join { id, room: 0, with_data: true, wish: None });
    }
    assert_eq!((world.rooms.len(), world.rooms.own_members()), (ROOMS, ROOMS * CROWD));
    let mut runner = TestRunner::new(ProptestConfig::default());
    let steps = prop_oneof![2000 => step(ROOMS * CROWD), 1 => pass()];
    for _ in 0..STEPS {
        world.take(steps.new_tree(&mut runner).unwrap().current());
    }
    world.check();
}

#[test]
fn threads_that_join_change_and_leave_at_once_hear_one_order() {
    const ROUNDS: usize = 300;
    const WORKERS: usize = 6;
    let limits = Limits { outbox_bytes: 2 << 20, ..limits() };
    let mut world = World::new(limits, ROOMS_OF_EACH, WORKERS / ROOMS_OF_EACH);
    (0..WORKERS).for_each(|id| world.take(Step::Connect { id, token: true }));
    thread::scope(|scope| {
        for (number, client) in world.all().enumerate() {
            let rooms = &world.rooms;
            let names = &world.names;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let room = &*names[round % 2];
                    let data = format!("{{\"n\":\"{number}/{round}\"}}");
                    client.join(rooms, room, &data);
                    let _ = client.request(|requester| {
                        let message = || message(room, requester.peer.id().as_str(), None, Some(&data));
                        rooms.send(requester, room, None, message)
                    });
                    rooms.send_from_server(
                        room,
                        from_app(room, &format!("{{\"n\":\"app {number}/{round}\"}}")),
                    );
                    if (round + number).is_multiple_of(3) {
                        let _ = client.request(|requester| rooms.leave(requester, room));
                    }
                }
            });
        }
    });
    world.check();
}
