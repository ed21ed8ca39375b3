//! Numbers and bytes that nodes of other versions read.

use peerbroker_cluster::Posted;
use peerbroker_cluster::packet::{NodeAnswer, Packet, Question, write};
use peerbroker_cluster::{Entity, Name};
use peerbroker_core::vocabulary::{CloseReason, Frame, MessageKind, RealmKind};
use peerbroker_protocols::room_codes::RoomCodeError;

use crate::stage::key;

#[test]
fn numbers_in_packets_never_change() {
    let labels = ["offer", "answer", "candidate", "leave", "room_code", "call", "server", "room", "swarm"];
    for (number, label) in (0..).zip(labels) {
        let kind = MessageKind::of_number(number).expect("a kind");
        assert_eq!((kind.label(), kind.number()), (label, number));
    }
    let labels = [
        "left",
        "replaced",
        "evicted",
        "timed_out",
        "slow_reader",
        "key_revoked",
        "kicked",
        "outranked",
        "shutdown",
        "protocol_error",
        "not_utf8",
        "too_big",
        "try_again_later",
        "room_full",
        "banned",
        "no_place",
        "wrong_message",
        "pipe_alone",
        "pipe_left",
        "pipe_stalled",
        "pipe_broken",
        "pipes_off",
    ];
    for (number, label) in (0..).zip(labels) {
        let why = CloseReason::of_number(number).expect("a reason");
        assert_eq!((why.ending().label, why.number()), (label, number));
    }
    let posted =
        [Posted::Done, Posted::Ignored, Posted::Absent, Posted::TooMuch, Posted::Unknown, Posted::Banned];
    for (number, posted) in (0..).zip(posted) {
        assert_eq!((Posted::of_number(number), posted.number()), (Some(posted), number));
    }
    let errors = [
        RoomCodeError::NoRoom,
        RoomCodeError::NoPlayer,
        RoomCodeError::Full,
        RoomCodeError::TooMany,
        RoomCodeError::HostAway,
    ];
    for (number, error) in (0..).zip(errors) {
        assert_eq!((RoomCodeError::of_number(number), error.number()), (Some(error), number));
    }
    // Those of newer versions.
    let unknown = (MessageKind::of_number(9), CloseReason::of_number(22), Posted::of_number(6));
    assert_eq!((unknown, RoomCodeError::of_number(5)), ((None, None, None), None));
}

#[test]
fn packets_have_the_bytes_that_they_had() {
    let name = Name { key: key("k"), entity: Entity::Peer(RealmKind::PeerJs), name: "x".to_owned() };
    let question = Question::Yield(name.as_ref().to_owned_name(), 3, CloseReason::Outranked.number());
    let kind = MessageKind::Candidate.number();
    let frame = Frame::of_text("{}");
    let frame = (&frame).into();
    let message = Packet::Message { to: name.as_ref(), connection: 3, ticket: 9, from: "y", kind, frame };
    let refused = NodeAnswer::NotSeated(RoomCodeError::Full.number());
    let posted = NodeAnswer::Posted(Posted::TooMuch.number());
    let expected: [(Packet<'_>, &[u8]); 4] = [
        (message, b"\0\x01k\0\x01x\x03\x09\x01y\x02\x02{}\0"),
        (Packet::Question { number: 1, question }, b"\x04\x01\x01\x01k\0\x01x\x03\x07"),
        (Packet::Answer { number: 1, answer: refused }, b"\x05\x01\x07\x02"),
        (Packet::Answer { number: 1, answer: posted }, b"\x05\x01\x08\x03"),
    ];
    for (packet, content) in expected {
        let mut bytes = Vec::new();
        write(&packet, &mut bytes);
        // Its length in front, and zeros behind it.
        let len = u32::try_from(content.len() + 8).expect("a few").to_le_bytes();
        assert_eq!(bytes, [&len, content, &[0; 8]].concat(), "{packet:?}");
    }
}
