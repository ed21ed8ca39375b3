//! Seats and state: who is host, which write was first, and what a slow reader hears.

use std::sync::Arc;
use std::time::Duration;

use peerbroker_config::Limits;
use peerbroker_core::vocabulary::{NodeId, RoomName, RoomRefusal};
use peerbroker_rooms::{
    MAX_STATE_BYTES, MAX_STATE_NAMES, MemberNews, News, Replicated as _, Requester, Seat, SeatWish,
    StateNews, StateWrite, Version, WriteNews, WriteRefusedNews,
};
use peerbroker_router::{Flushes, IdLease, Outbox};
use serde_json::Value;

use crate::socket::Socket;
use crate::{DIGEST, House};

const WISH: SeatWish = SeatWish { number: None, never_host: false, only_host_writes: false };

/// A member of the room `r`, and what it has heard.
struct Player {
    lease: IdLease,
    socket: Socket,
}

impl Player {
    fn join(house: &House, id: &str, wish: SeatWish) -> Self {
        let socket = Socket::open();
        let lease = house.try_connect(id, "t", &socket).expect("an id");
        let player = Player { lease, socket };
        player.join_again(house, wish);
        player
    }

    fn join_again(&self, house: &House, wish: SeatWish) {
        let room = RoomName::parse("r").unwrap();
        let joined = house
            .request(&self.lease, |rooms, requester| rooms.join_with_seat(requester, room, None, wish, 10));
        joined.unwrap();
    }

    /// Reads everything, also what it has missed, which its session tells it then.
    fn read_all(&self, house: &House) {
        self.socket.set_room(usize::MAX);
        let _ = self.lease.with_outbox(Outbox::flush);
        while self.lease.with_outbox(Outbox::take_owed_state) == Some(true) {
            Flushes::with(|flushes| house.rooms.catch_up(&self.lease, flushes));
        }
    }

    fn write(
        &self,
        house: &House,
        name: &str,
        value: Option<&str>,
        seen: Option<u64>,
    ) -> Result<(), RoomRefusal> {
        let write = StateWrite { name, value, seen };
        house.request(&self.lease, |rooms, requester| rooms.write(requester, "r", write))
    }

    /// The frames of a type that it has heard.
    fn heard(&self, kind: &str) -> Vec<Value> {
        let frames = self.socket.texts().into_iter().filter_map(|text| serde_json::from_str(&text).ok());
        frames.filter(|frame: &Value| frame["type"] == kind).collect()
    }

    /// The seats in its last list.
    fn seats(&self) -> Vec<(String, u64)> {
        let lists = self.heard("ROOM-MEMBERS");
        let members = lists.last().expect("a list")["members"].as_array().expect("members").iter();
        let seat = |of: &Value| Some((of["id"].as_str()?.to_owned(), of["seat"].as_u64()?));
        members.filter_map(seat).collect()
    }
}

fn seats(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
    expected.iter().map(|(id, number)| ((*id).to_owned(), *number)).collect()
}

/// News of a member of node 7.
fn member(id: &str, seat: Seat) -> MemberNews<'_> {
    MemberNews { room: "r", id, token: DIGEST, number: 1, data: None, seat: Some(seat), state: 0 }
}

fn receive(house: &House, news: &News<'_>) {
    Flushes::with(|flushes| house.rooms.receive(NodeId::new(7), news, flushes));
}

#[test]
fn a_seat_is_the_smallest_free_number_or_the_one_of_before_and_stays() {
    let house = House::for_clients(10, Limits::default());
    let [anna, bert, carl] = ["anna", "bert", "carl"].map(|id| Player::join(&house, id, WISH));
    assert_eq!(carl.seats(), seats(&[("anna", 1), ("bert", 2), ("carl", 3)]));
    house.request(&anna.lease, |rooms, requester| rooms.leave(requester, "r")).unwrap();
    carl.join_again(&house, SeatWish { number: Some(1), ..WISH });
    assert_eq!(carl.seats(), seats(&[("bert", 2), ("carl", 3)]), "a member keeps its seat");
    let dora = Player::join(&house, "dora", SeatWish { number: Some(5), ..WISH });
    let emil = Player::join(&house, "emil", SeatWish { number: Some(2), ..WISH });
    anna.join_again(&house, SeatWish { number: Some(11), ..WISH });
    let expected = [("anna", 4), ("bert", 2), ("carl", 3), ("dora", 5), ("emil", 1)];
    assert_eq!(anna.seats(), seats(&expected), "no room has eleven members");
    drop((bert, dora, emil));
}

#[test]
fn a_member_has_joined_later_than_all_that_were_there_also_if_the_clock_was_set_back() {
    let house = House::in_cluster(Limits::default());
    let later = Seat { since: 5000, number: 1, never_host: false };
    let anna = Player::join(&house, "anna", WISH);
    receive(&house, &News::Member(member("bert", later)));
    house.router.clock().advance(Duration::from_millis(100));
    let carl = Player::join(&house, "carl", WISH);
    let lists = carl.heard("ROOM-MEMBERS");
    let since = |of: usize| lists[0]["members"][of]["since"].as_u64();
    assert_eq!((since(0), since(1), since(2)), (Some(1), Some(5000), Some(5001)));
    drop(anna);
}

#[test]
fn of_two_members_with_one_number_the_later_one_gets_another_and_hears_it() {
    let house = House::in_cluster(Limits::default());
    house.router.clock().advance(Duration::from_secs(10));
    let [anna, bert] = ["anna", "bert"].map(|id| Player::join(&house, id, WISH));
    let late = Seat { since: 20_000, number: 1, never_host: false };
    receive(&house, &News::Member(member("late", late)));
    assert!(bert.heard("ROOM-UPDATED").is_empty(), "the node of the later one gives it another");
    let early = Seat { since: 5, number: 2, never_host: false };
    receive(&house, &News::Member(member("early", early)));
    for player in [&anna, &bert] {
        let updated = player.heard("ROOM-UPDATED");
        assert_eq!((&updated[0]["id"], &updated[0]["seat"]), (&"bert".into(), &3.into()));
    }
}

#[test]
fn a_member_that_is_behind_hears_its_new_seat_too() {
    let limits = Limits { outbox_bytes: 10_000, room_deliveries_per_second: 0, ..Limits::default() };
    for writes in [0, 1000] {
        let house = House::in_cluster(limits.clone());
        house.router.clock().advance(Duration::from_secs(10));
        let [anna, bert] = ["anna", "bert"].map(|id| Player::join(&house, id, WISH));
        bert.socket.set_room(0);
        for number in 0..writes {
            anna.write(&house, "n", Some(&number.to_string()), None).unwrap();
        }
        let early = Seat { since: 5, number: 2, never_host: false };
        receive(&house, &News::Member(member("early", early)));
        bert.read_all(&house);
        let seat = |frame: &Value| (frame["id"] == "bert").then(|| frame["seat"].as_u64());
        let updated = bert.heard("ROOM-UPDATED").iter().find_map(seat).flatten();
        let listed = bert.seats().into_iter().find(|(id, _)| id == "bert").map(|(_, number)| number);
        assert_eq!(updated.or(listed), Some(3), "{writes}");
    }
}

#[test]
fn of_writes_that_have_seen_the_same_version_one_succeeds() {
    let house = House::for_clients(10, Limits::default());
    let [anna, bert] = ["anna", "bert"].map(|id| Player::join(&house, id, WISH));
    assert_eq!(anna.write(&house, "buzz", Some("1"), Some(0)), Ok(()));
    assert_eq!(bert.write(&house, "buzz", Some("2"), Some(0)), Err(RoomRefusal::StateChanged));
    assert_eq!(bert.write(&house, "buzz", None, Some(1)), Ok(()));
    assert_eq!(anna.write(&house, "buzz", Some("3"), Some(1)), Err(RoomRefusal::StateChanged));
    for player in [&anna, &bert] {
        let versions: Vec<_> = player
            .heard("ROOM-STATE")
            .iter()
            .map(|frame| (frame["version"].as_u64(), frame["value"].as_u64()))
            .collect();
        assert_eq!(versions, [(Some(1), Some(1)), (Some(2), None)]);
    }
    // A deleted name is not in lists.
    anna.join_again(&house, WISH);
    assert_eq!(anna.heard("ROOM-MEMBERS").last().unwrap().get("state"), None);
}

#[test]
fn a_room_has_as_many_names_and_bytes_as_it_may() {
    let house = House::for_clients(10, Limits::default());
    let anna = Player::join(&house, "anna", WISH);
    for name in ["", &"n".repeat(65)] {
        assert_eq!(anna.write(&house, name, Some("1"), None), Err(RoomRefusal::InvalidStateName));
    }
    let names: Vec<String> = (0..MAX_STATE_NAMES).map(|name| name.to_string()).collect();
    names.iter().for_each(|name| anna.write(&house, name, Some("1"), None).unwrap());
    assert_eq!(anna.write(&house, "more", Some("1"), None), Err(RoomRefusal::StateFull));
    assert_eq!(anna.write(&house, "0", Some("2"), None), Ok(()), "a name that is there may change");
    names.iter().for_each(|name| anna.write(&house, name, None, None).unwrap());
    let long = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    for _ in 0..2 {
        assert_eq!(
            anna.write(&house, "n", Some(&long(60_000)), None),
            Ok(()),
            "the new value replaces the old one"
        );
    }
    let half = MAX_STATE_BYTES / 2;
    assert_eq!(anna.write(&house, "n", Some(&long(half - 1)), None), Ok(()));
    assert_eq!(anna.write(&house, "m", Some(&long(half)), None), Err(RoomRefusal::StateFull));
    assert_eq!(anna.write(&house, "m", Some(&long(half - 1)), None), Ok(()));
    assert_eq!(anna.write(&house, "o", Some("1"), None), Err(RoomRefusal::StateFull));
}

#[test]
fn only_the_host_writes_the_state_of_a_room_that_was_made_so() {
    let house = House::for_clients(10, Limits::default());
    let restricted = SeatWish { only_host_writes: true, ..WISH };
    let anna = Player::join(&house, "anna", SeatWish { never_host: true, ..restricted });
    let bert = Player::join(&house, "bert", WISH);
    let carl = Player::join(&house, "carl", WISH);
    let writes = |player: &Player| player.write(&house, "n", Some("1"), None);
    assert_eq!(writes(&anna), Err(RoomRefusal::NotHost));
    assert_eq!((writes(&bert), writes(&carl)), (Ok(()), Err(RoomRefusal::NotHost)));
    house.request(&bert.lease, |rooms, requester| rooms.leave(requester, "r")).unwrap();
    assert_eq!(writes(&carl), Ok(()), "the next host");
    let state = &carl.heard("ROOM-MEMBERS")[0]["state"];
    assert_eq!((&state[0]["name"], &state[0]["value"]), (&"".into(), &"host".into()));
    // The room is not new for others.
    let dora = Player::join(&house, "dora", restricted);
    assert_eq!(writes(&dora), Err(RoomRefusal::NotHost));
}

#[test]
fn a_slow_reader_hears_the_latest_value_of_each_name() {
    let limits = Limits { outbox_bytes: 100_000, room_deliveries_per_second: 0, ..Limits::default() };
    let house = House::for_clients(10, limits);
    let [anna, slow] = ["anna", "slow"].map(|id| Player::join(&house, id, WISH));
    anna.write(&house, "old", Some("1"), None).unwrap();
    slow.socket.set_room(0);
    for number in 0..10_000 {
        anna.write(&house, ["a", "b"][number % 2], Some(&number.to_string()), None).unwrap();
    }
    slow.read_all(&house);
    let heard = slow.heard("ROOM-STATE");
    let last = |name: &str| heard.iter().rfind(|frame| frame["name"] == name).unwrap()["value"].as_u64();
    assert_eq!((last("a"), last("b")), (Some(9998), Some(9999)));
    assert!(heard.len() < 1000, "{}", heard.len());
    let of_old = heard.iter().filter(|frame| frame["name"] == "old").count();
    assert_eq!(of_old, 1, "what it has heard is not told again");
}

#[test]
fn a_late_write_of_another_node_changes_nothing() {
    let house = House::in_cluster(Limits::default());
    let anna = Player::join(&house, "anna", WISH);
    let news = |number: u64, node: u64, value| {
        let write = StateWrite { name: "n", value: Some(value), seen: None };
        let version = Version { number, node };
        receive(&house, &News::State(StateNews { room: "r", by: "bert", write, version, request: None }));
        anna.heard("ROOM-STATE").len()
    };
    assert_eq!([news(3, 7, "1"), news(2, 9, "2"), news(3, 7, "3"), news(3, 8, "4")], [1, 1, 1, 2]);
    assert_eq!(anna.heard("ROOM-STATE")[1]["value"], 4);
    // The next write of this node is later than both.
    anna.write(&house, "n", Some("5"), Some(3)).unwrap();
    assert_eq!(anna.heard("ROOM-STATE")[2]["version"], 4);
}

/// A cluster in which node 7 has told of a write.
fn with_a_write() -> (House, Player) {
    let house = House::in_cluster(Limits::default());
    let anna = Player::join(&house, "anna", WISH);
    receive(&house, &News::Member(member("bert", Seat { since: 0, number: 2, never_host: false })));
    let write = StateWrite { name: "n", value: Some("1"), seen: None };
    let version = Version { number: 3, node: 7 };
    receive(&house, &News::State(StateNews { room: "r", by: "bert", write, version, request: None }));
    house.others.take("");
    (house, anna)
}

#[test]
fn the_last_writes_of_a_node_that_is_gone_are_told_to_all() {
    let (house, _anna) = with_a_write();
    house.rooms.lose_node(NodeId::new(8), Duration::from_secs(1));
    assert!(house.others.take("State").is_empty());
    house.rooms.lose_node(NodeId::new(7), Duration::from_secs(1));
    let told = house.others.take("State");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("number: 3, node: 7"), "{told:?}");
}

#[test]
fn a_list_for_a_node_has_the_state() {
    let (house, _anna) = with_a_write();
    let mut list = Arc::clone(&house.rooms).own_list();
    let mut told = Vec::new();
    while list.send_more(&mut |_, news| told.push(format!("{news:?}"))) {}
    assert_eq!(told.iter().filter(|news| news.starts_with("State(")).count(), 1, "{told:?}");
}

#[test]
fn a_node_that_knows_later_writes_is_asked_for_them_and_tells_them() {
    let (house, _anna) = with_a_write();
    let carl = Seat { since: 9, number: 3, never_host: false };
    for (state, asked) in [(3, 0), (4, 1)] {
        receive(&house, &News::Member(MemberNews { state, ..member("carl", carl) }));
        assert_eq!(house.others.take("StateMissed").len(), asked, "{state}");
    }
    receive(&house, &News::StateMissed("r"));
    assert_eq!(house.others.take("State(").len(), 1);
}

#[test]
fn the_node_of_the_oldest_seat_decides_and_its_answer_comes_back() {
    let (house, anna) = with_a_write();
    let write = || {
        let write = StateWrite { name: "n", value: Some("2"), seen: None };
        Flushes::with(|flushes| {
            let requester = &mut Requester { peer: &anna.lease, request: Some("5"), flushes };
            house.rooms.write(requester, "r", write)
        })
    };
    // Bert of node 7 came first.
    write().unwrap();
    assert_eq!((house.others.take("Write(").len(), anna.heard("ROOM-OK").len()), (1, 0));
    let refused = WriteRefusedNews { room: "r", by: "anna", request: "5", reason: 0 };
    receive(&house, &News::WriteRefused(refused));
    assert_eq!(anna.heard("ROOM-REFUSED")[0]["payload"]["type"], "state_changed");
    let done = StateNews {
        room: "r",
        by: "anna",
        write: StateWrite { name: "n", value: Some("2"), seen: None },
        version: Version { number: 4, node: 7 },
        request: Some("5"),
    };
    receive(&house, &News::State(done));
    assert_eq!(anna.heard("ROOM-OK")[0]["request"], 5);
    // A write of another node is not decided here, but goes on to that one, once.
    for (from, passed) in [(0, 1), (9, 0)] {
        let write = StateWrite { name: "n", value: Some("3"), seen: None };
        receive(&house, &News::Write(WriteNews { room: "r", by: "dora", write, request: Some("1"), from }));
        assert_eq!(house.others.take("Write(").len(), passed);
    }
}
