//! One member leaves room to others in a room and its key; later news of a member count; messages are text or
//! binary.

use std::net::IpAddr;

use peerbroker_config::Limits;
use peerbroker_core::vocabulary::{Frame, NodeId, Opcode, RoomName, RoomRefusal};
use peerbroker_rooms::{MAX_DATA_BYTES, MemberNews, MessageNews, News, PrivateNews, Requester, RoomFrames};
use peerbroker_router::{Flushes, IdLease, Outbox};

use crate::House;
use crate::clients::register_from;

struct Plain;

impl RoomFrames for Plain {
    fn room_of(&self, _: &Frame) -> Option<String> {
        None
    }
}

impl House {
    fn plain(limits: Limits) -> Self {
        House::with(&Plain, 10_000, limits, None)
    }

    fn open(&self, id: &str, address: Option<IpAddr>) -> IdLease {
        register_from(address, &self.realm, id, id, &mut Outbox::new(1 << 20, None)).unwrap()
    }

    fn join(&self, peer: &IdLease, data: Option<&str>, members: usize) -> Result<(), RoomRefusal> {
        let room = RoomName::parse("r").unwrap();
        Flushes::with(|flushes| {
            self.rooms.join(&mut Requester { peer, request: None, flushes }, room, data, members)
        })
    }

    fn send(&self, peer: &IdLease) -> Result<(), RoomRefusal> {
        Flushes::with(|flushes| {
            self.rooms
                .send(&mut Requester { peer, request: None, flushes }, "r", None, || Frame::of_text("1"))
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
fn a_node_that_repeats_what_it_told_is_not_where_a_member_is_now() {
    let house = House::plain(Limits::default());
    let hear = |node: u64, number: u64, data: &str| {
        let news = MemberNews { room: "r", id: "x", token: [0; 16], number, data: Some(data) };
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
    Flushes::with(|flushes| {
        let requester = &mut Requester { peer: &alice, request: None, flushes };
        house.rooms.send(requester, "r", None, binary).unwrap();
        house.rooms.send(requester, "r", Some("bob"), binary).unwrap();
        house.rooms.publish(requester, "r", |_| binary(), &mut None).unwrap();
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
