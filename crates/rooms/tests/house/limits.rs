//! One member leaves room to others in a room and its key; later news of a member count; messages are text or
//! binary.

use std::net::IpAddr;
use std::sync::Arc;

use peerbroker_config::Limits;
use peerbroker_core::vocabulary::{Frame, Limit, NodeId, Opcode, RealmKind, RoomName, RoomRefusal, Token};
use peerbroker_protocols::room_frames;
use peerbroker_rooms::{
    MAX_DATA_BYTES, MemberNews, MessageNews, News, OwnFrames, OwnMessage, PrivateNews, Read, RoomFrames,
};
use peerbroker_router::{Flushes, IdLease, Outbox};

use crate::clients::register_from;
use crate::{DIGEST, House};

struct Plain;

impl RoomFrames for Plain {
    fn room_of(&self, _: &Frame) -> Option<String> {
        None
    }
}

impl House {
    fn plain(limits: Limits) -> Self {
        House::with(&Plain, 10_000, limits, false)
    }

    fn open(&self, id: &str, address: Option<IpAddr>) -> IdLease {
        register_from(address, &self.realm, id, id, &mut Outbox::new(1 << 20, None)).unwrap()
    }

    fn join(&self, peer: &IdLease, data: Option<&str>, members: usize) -> Result<(), RoomRefusal> {
        self.join_room("r", peer, data, members)
    }

    fn join_room(
        &self,
        room: &str,
        peer: &IdLease,
        data: Option<&str>,
        members: usize,
    ) -> Result<(), RoomRefusal> {
        let room = RoomName::parse(room).unwrap();
        self.request(peer, |rooms, requester| rooms.join(requester, room, data, members))
    }

    fn send(&self, peer: &IdLease) -> Result<(), RoomRefusal> {
        self.request(peer, |rooms, requester| rooms.send(requester, "r", None, || Frame::of_text("1")))
    }

    fn publish(&self, peer: &IdLease) -> Result<(), RoomRefusal> {
        self.request(peer, |rooms, requester| {
            rooms.publish(requester, "r", |_| Frame::of_text("1"), &mut None)
        })
    }
}

/// The address of the house, or of a guest.
fn address(last: u8) -> Option<IpAddr> {
    Some([192, 0, 2, last].into())
}

#[test]
fn what_the_key_refuses_costs_a_member_nothing() {
    // Bursts of 100 and 10.
    let limits =
        Limits { room_deliveries_per_second: 10, room_key_deliveries_per_second: 1, ..Limits::default() };
    let house = House::plain(limits);
    let [alice, bob] = ["alice", "bob"].map(|id| house.open(id, None));
    for peer in [&alice, &bob] {
        house.join(peer, None, 10).unwrap();
    }
    let refused: Vec<_> = (0..300).filter_map(|_| house.send(&alice).err()).collect();
    assert!(refused.len() > 280, "{}", refused.len());
    assert_eq!(refused.iter().find(|why| **why != RoomRefusal::KeyTooFast), None);
}

/// Bursts of 100.
fn slow() -> Limits {
    Limits { room_deliveries_per_second: 10, ..Limits::default() }
}

#[test]
fn a_change_costs_a_delivery_to_each_member() {
    let house = House::plain(slow());
    let members: Vec<IdLease> = (0..20).map(|member| house.open(&member.to_string(), None)).collect();
    for member in &members {
        house.join(member, None, 100).unwrap();
    }
    let update = |number: &usize| {
        let data = number.to_string();
        house.request(&members[0], |rooms, requester| rooms.update(requester, "r", Some(&data)).is_ok())
    };
    assert_eq!((0..1000).take_while(update).count(), 4);
}

/// Frames of a member that are expensive to find.
struct Searched;

impl OwnFrames for Searched {
    fn of(&self, _: &str, _: &Frame, _: &mut Read) -> OwnMessage {
        OwnMessage { frames: vec![Frame::of_text("found")], search: 30 }
    }

    fn max_rooms(&self) -> usize {
        1
    }
}

#[test]
fn a_publication_costs_a_delivery_to_each_member_and_the_search_for_frames_of_their_own() {
    let house = House::plain(slow());
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|id| house.open(id, None));
    let publications = |peer| (0..1000).take_while(|_| house.publish(peer).is_ok()).count();
    house.join(&bob, None, 10).unwrap();
    assert_eq!(publications(&alice), 100);
    let frames: Arc<dyn OwnFrames> = Arc::new(Searched);
    let join = |room| {
        let room = RoomName::parse(room).unwrap();
        house.request(&bob, |rooms, requester| rooms.join_with_own_frames(requester, room, &frames, 10))
    };
    assert_eq!([join("r"), join("s")], [Ok(()), Err(RoomRefusal::TooManyRooms)]);
    assert_eq!(publications(&carol), 3);
}

#[test]
fn a_client_that_is_not_refused_owes_for_what_it_has_published() {
    let house = House::with(room_frames(RealmKind::Guests), 10, slow(), false);
    let alice = house.open("alice", None);
    house.join(&alice, None, 10).unwrap();
    let publish = |_| {
        house.publish(&alice).unwrap();
        house.rooms.owed(&alice).map(|(limit, _)| limit)
    };
    let owed: Vec<_> = (0..200).map(publish).collect();
    assert_eq!((owed[50], owed[150]), (None, Some(Limit::RoomDeliveries)));
}

#[test]
fn the_last_tenth_of_a_room_is_for_addresses_with_few_members() {
    const MOST: usize = 200;
    let house = House::plain(Limits::default());
    let mut members = Vec::new();
    let mut fill = |host: u8| {
        let before = members.len();
        loop {
            let peer = house.open(&format!("{host}-{}", members.len()), address(host));
            let joined = house.join(&peer, None, MOST);
            members.push(peer);
            if let Err(why) = joined {
                assert_eq!(why, RoomRefusal::Full);
                return members.len() - before - 1;
            }
        }
    };
    assert_eq!(fill(1), MOST * 9 / 10);
    assert_eq!([2, 3].map(&mut fill), [MOST / 100; 2]);
}

#[test]
fn the_list_of_a_room_fits_into_the_outboxes_of_its_members() {
    let house = House::plain(Limits::default());
    let data = format!("\"{}\"", "x".repeat(MAX_DATA_BYTES - 2));
    let mut members = Vec::new();
    let refused = loop {
        let peer = house.open(&format!("member-{:03}", members.len()), None);
        if let Err(why) = house.join(&peer, Some(&data), 1_000) {
            break why;
        }
        members.push(peer);
    };
    assert_eq!(refused, RoomRefusal::ListFull);
    // A client may be in 16 rooms, whose lists take three quarters of its outbox.
    let most = Limits::default().outbox_bytes / 4 * 3 / 16;
    let listed = members.len() * (MAX_DATA_BYTES + "member-000".len());
    assert!(listed <= most && listed > most - 4 * MAX_DATA_BYTES, "{listed} of {most}");
}

#[test]
fn rooms_and_members_are_found_by_name_id_token_and_data() {
    let house = House::in_cluster(Limits::default());
    let rooms = &house.rooms;
    let [alice, bob] = ["alice", "bob"].map(|id| house.open(id, None));
    for (room, peer, data) in [("s", &alice, Some("1")), ("s", &bob, Some("2")), ("r", &bob, None)] {
        house.join_room(room, peer, data, 10).unwrap();
    }
    assert!(!rooms.is_empty());
    assert_eq!((rooms.len(), rooms.own_members()), (2, 3));
    let [r, s] = [("r".to_owned(), 1), ("s".to_owned(), 2)];
    assert_eq!(rooms.behind(None).collect::<Vec<_>>(), [r, s.clone()]);
    assert_eq!(rooms.behind(Some("r")).collect::<Vec<_>>(), [s]);
    assert_eq!(rooms.members_behind("s", Some("alice")), [("bob".to_owned(), Some("2".to_owned()))]);
    assert_eq!(rooms.members_with("s", "2"), [bob.id().clone()]);
    assert!(rooms.contains("r") && !rooms.contains("t"));
    // Another node still lists bob in a room.
    let news =
        MemberNews { room: "t", id: "bob", token: DIGEST, number: 1, data: None, seat: None, state: 0 };
    house.rooms.receive(NodeId::new(7), &News::Member(news), &mut Flushes::new());
    let of_bob = |token, connection| {
        let found = rooms.rooms_of(bob.id(), &Token::parse(token).unwrap(), connection);
        found.iter().map(|room| room.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(of_bob("bob", Some(bob.connection())), ["s", "r"]);
    assert_eq!(of_bob("bob", Some(alice.connection())), ["s", "r", "t"]);
    assert_eq!(of_bob("bob", None), ["s", "r", "t"]);
    // All tokens have the digest of this one.
    assert_eq!(of_bob("stranger", None), ["t"]);
    let topics = House::with(room_frames(RealmKind::Guests), 10, Limits::default(), false);
    assert_eq!([house, topics].map(|house| house.rooms.are_topics()), [false, true]);
}

#[test]
fn a_node_that_repeats_what_it_told_is_not_where_a_member_is_now() {
    let house = House::plain(Limits::default());
    let hear = |node: u64, number: u64, data: &str| {
        let news =
            MemberNews { room: "r", id: "x", token: [0; 16], number, data: Some(data), seat: None, state: 0 };
        house.rooms.receive(NodeId::new(node), &News::Member(news), &mut Flushes::new());
    };
    let own = house.open("own", None);
    house.join(&own, None, 10).unwrap();
    hear(1, 5, "\"there\"");
    hear(2, 7, "\"here\"");
    hear(1, 5, "\"there\"");
    let listed = house.rooms.members_behind("r", None);
    let of_x = listed.iter().find(|(id, _)| id == "x").and_then(|(_, data)| data.as_deref());
    assert_eq!(of_x, Some("\"here\""), "{listed:?}");
}

#[test]
fn members_hear_a_binary_message_as_binary() {
    // No text in UTF-8.
    const BYTES: &[u8] = b"\xff\0\x80";
    let house = House::plain(Limits::default());
    let [alice, bob] = ["alice", "bob"].map(|id| house.open(id, None));
    for peer in [&alice, &bob] {
        house.join(peer, None, 10).unwrap();
    }
    let binary = || Frame::message(Opcode::Binary, BYTES.len(), |frame| frame.extend_from_slice(BYTES));
    house.request(&alice, |rooms, requester| {
        rooms.send(requester, "r", None, binary).unwrap();
        rooms.send(requester, "r", Some("bob"), binary).unwrap();
        rooms.publish(requester, "r", |_| binary(), &mut None).unwrap();
    });
    assert_eq!(house.rooms.send_from_server("r", binary()), 2);
    let frame = binary();
    let frame = (&frame).into();
    let [room, from] = ["r", "carol"];
    let heard = u64::MAX;
    for news in [
        News::Message(MessageNews { room, from, heard, except: vec![], frame }),
        News::Private(PrivateNews { room, from, heard, to: "bob", frame }),
    ] {
        Flushes::with(|flushes| house.rooms.receive(NodeId::new(2), &news, flushes));
    }
    bob.with_outbox(|outbox| {
        let open = outbox.front().unwrap().len();
        outbox.advance(open);
        for _ in 0..6 {
            let heard = outbox.front().unwrap();
            assert_eq!((heard.opcode(), heard.payload()), (Some(Opcode::Binary), BYTES));
            let len = heard.len();
            outbox.advance(len);
        }
        assert!(outbox.front().is_none());
    })
    .unwrap();
}
