//! Tests of packets: the bytes of the first version, and packets of newer and older ones.

use super::*;
use peerbroker_core::vocabulary::{Frame, Opcode, RealmKind};
use peerbroker_rooms::{GoneNews, MemberNews, MessageNews, OpenedNews, PrivateNews, SwarmNews};
use proptest::prelude::*;

fn header(from: NodeId, number: u64) -> Vec<u8> {
    let mut batch = vec![0; HEADER];
    set_header(&mut batch, from, number);
    batch
}

fn name(text: &str) -> NameRef<'_> {
    NameRef { key: "k", entity: 0, name: text }
}

#[test]
fn a_batch_gives_back_what_was_written() {
    let node = NodeId::new(7);
    let frame = Frame::of_text("{}");
    let frame = (&frame).into();
    let packets = [
        Packet::Message { to: name("x"), connection: 3, ticket: 9, from: "y", kind: 0, frame },
        Packet::Settled { to: name("x"), ticket: 9, outcome: 1 },
        Packet::Reset,
    ];
    let mut bytes = header(node, 5);
    packets.iter().for_each(|packet| write(packet, &mut bytes));
    let batch = Batch::read(&bytes).unwrap();
    assert_eq!((batch.from, batch.number), (node, 5));
    assert_eq!(batch.packets().collect::<Vec<_>>(), packets);
}

#[test]
fn packets_and_fields_of_a_newer_version_are_skipped() {
    let mut bytes = header(NodeId::new(1), 1);
    bytes.extend_from_slice(&[2, 0, 0, 0, 99, 1]);
    write(&Packet::Echo { number: 4 }, &mut bytes);
    // The same packet with a field more.
    let len = bytes.len();
    write(&Packet::Echo { number: 5 }, &mut bytes);
    bytes.push(77);
    bytes[len] += 1;
    let batch = Batch::read(&bytes).unwrap();
    assert_eq!(batch.packets().collect::<Vec<_>>(), [Packet::Echo { number: 4 }, Packet::Echo { number: 5 }]);
}

#[test]
fn fields_that_an_older_version_did_not_write_are_empty() {
    #[derive(Debug, PartialEq, Eq, Deserialize)]
    enum Newer<'a> {
        Message {
            to: NameRef<'a>,
            connection: u64,
            ticket: u64,
            from: &'a str,
            kind: u8,
            payload: &'a str,
            is_binary: bool,
            number: u64,
            text: &'a str,
            maybe: Option<u64>,
        },
    }
    let mut bytes = Vec::new();
    let to = name("x");
    let from = "y";
    let payload = "{}";
    let frame = Frame::of_text(payload);
    let frame = (&frame).into();
    write(&Packet::Message { to, connection: 3, ticket: 9, from, kind: 1, frame }, &mut bytes);
    let (newer, _) = postcard::take_from_bytes(&bytes[4..]).unwrap();
    let number = 0;
    let text = "";
    let maybe = None;
    let expected = Newer::Message {
        to,
        connection: 3,
        ticket: 9,
        from,
        kind: 1,
        payload,
        is_binary: false,
        number,
        text,
        maybe,
    };
    assert_eq!(expected, newer);
}

/// Bytes of the first version, which every later one has to read.
#[test]
fn bytes_of_the_first_version_are_understood() {
    let bytes: &[u8] = &[
        1, 7, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, // version, writer, number
        22, 0, 0, 0, 0, 1, b'k', 0, 1, b'x', 3, 9, 1, b'y', 0, 2, b'{', b'}', 0, 0, 0, 0, 0, 0, 0,
        0, // Message
        16, 0, 0, 0, 1, 1, b'k', 0, 1, b'x', 9, 1, 0, 0, 0, 0, 0, 0, 0, 0, // Settled
        9, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, // Reset
    ];
    let batch = Batch::read(bytes).unwrap();
    assert_eq!((batch.from, batch.number), (NodeId::new(7), 5));
    let frame = Frame::of_text("{}");
    let frame = (&frame).into();
    let packets = [
        Packet::Message { to: name("x"), connection: 3, ticket: 9, from: "y", kind: 0, frame },
        Packet::Settled { to: name("x"), ticket: 9, outcome: 1 },
        Packet::Reset,
    ];
    assert_eq!(batch.packets().collect::<Vec<_>>(), packets);
    assert_eq!(bytes[..HEADER], header(NodeId::new(7), 5));
    let mut rest = &bytes[HEADER..];
    for packet in &packets {
        rest = expect_first_version(packet, rest);
    }
    assert!(rest.is_empty());
}

/// A packet of texts begins as in the first version, and what it has more is zeros. Returns the bytes behind
/// that of the first version.
fn expect_first_version<'a>(packet: &Packet<'_>, bytes: &'a [u8]) -> &'a [u8] {
    let (len, rest) = bytes.split_first_chunk().unwrap();
    let (first, rest) = rest.split_at(u32::from_le_bytes(*len).try_into().unwrap());
    let mut written = Vec::new();
    write(packet, &mut written);
    let (same, more) = written[4..].split_at(first.len());
    assert_eq!(same, first, "{packet:?}");
    assert!(more.iter().all(|byte| *byte == 0), "{more:?}");
    rest
}

proptest! {
    /// A frame keeps its bytes on the way, and stays text or binary.
    #[test]
    fn frames_are_the_same_on_the_next_node(bytes: Vec<u8>, text: String, id: String) {
        let frames = [
            Frame::of_text(&text),
            Frame::message(Opcode::Binary, 0, |frame| frame.extend_from_slice(&bytes)),
        ];
        for whole in &frames {
            let [room, from, to] = [&*id; 3];
            let frame = whole.into();
            let heard = 3;
            let private = PrivateNews { room, from, heard, to, frame };
            let news = [
                News::Message(MessageNews { room, from, heard, except: vec![to], frame }),
                News::Private(private),
                News::Returned(private),
            ];
            let mut packets = vec![
                Packet::Message { to: name(to), connection: 1, ticket: 1, from, kind: 1, frame },
                Packet::Notice { to: name(to), connection: 1, frame },
            ];
            packets.extend(news.map(|news| Packet::RealmNews(0, "k", news)));
            let mut batch = header(NodeId::new(7), 1);
            packets.iter().for_each(|packet| write(packet, &mut batch));
            let read: Vec<_> = Batch::read(&batch).unwrap().packets().collect();
            prop_assert_eq!(read, packets);
            let arrived = Frame::from(frame);
            prop_assert_eq!((arrived.opcode(), arrived.as_bytes()), (whole.opcode(), whole.as_bytes()));
        }
    }
}

#[test]
fn news_of_rooms_have_the_bytes_of_the_first_version() {
    let room = "r";
    let id = "x";
    let token = [b't'; 16];
    let frame = Frame::of_text("t");
    let frame = (&frame).into();
    let member = MemberNews { room, id, token, number: 3, data: Some("{}"), seat: None, state: 0 };
    let message = MessageNews { room, from: "y", heard: 3, except: vec!["x"], frame };
    let gone = GoneNews { room, id, for_good: true, former: vec![(7, 3)], number: 4 };
    let private = PrivateNews { room, from: "y", heard: 3, to: "x", frame };
    let moved = MovedMember { key: "k", room, id, realm: 0 };
    let swarm = SwarmNews { info_hash: [b'h'; 20], peer_id: [b'p'; 20], guest: "x", is_complete: Some(true) };
    let rooms = |kind: RealmKind, news| Packet::RealmNews(kind.number(), "k", news);
    let returned = News::Returned(private);
    let expected: [(Packet<'_>, &[u8]); 9] = [
        (
            rooms(RealmKind::PeerJs, News::Member(member)),
            b"\x09\0\x01k\0\x01r\x01xtttttttttttttttt\x03\x01\x02{}\0\0",
        ),
        (rooms(RealmKind::PeerJs, News::Gone(gone)), b"\x09\0\x01k\x01\x01r\x01x\x01\x01\x07\x03\x04"),
        (
            rooms(RealmKind::PeerJs, News::Opened(OpenedNews { id, token })),
            b"\x09\0\x01k\x02\x01xtttttttttttttttt",
        ),
        (rooms(RealmKind::PeerJs, News::Message(message)), b"\x09\0\x01k\x03\x01r\x01y\x03\x01\x01x\x01t"),
        (rooms(RealmKind::Guests, News::Private(private)), b"\x09\x01\x01k\x04\x01r\x01y\x03\x01x\x01t"),
        (
            rooms(RealmKind::Guests, News::Swarm(swarm)),
            b"\x09\x01\x01k\x05hhhhhhhhhhhhhhhhhhhhpppppppppppppppppppp\x01x\x01\x01",
        ),
        (rooms(RealmKind::PeerJs, returned), b"\x09\0\x01k\x06\x01r\x01y\x03\x01x\x01t"),
        (Packet::RoomMoved(moved), b"\x0c\x01k\x01r\x01x\0"),
        (Packet::RoomSettled(moved), b"\x0d\x01k\x01r\x01x\0"),
    ];
    for (packet, bytes) in expected {
        let whole = [bytes, &SPARE].concat();
        let len = u32::try_from(whole.len()).unwrap().to_le_bytes();
        expect_first_version(&packet, &[&len[..], &whole].concat());
        assert_eq!(postcard::take_from_bytes::<Packet<'_>>(&whole).unwrap().0, packet);
    }
}

#[test]
fn kinds_keep_their_numbers_between_versions() {
    let number = |written: postcard::Result<Vec<u8>>| written.unwrap()[0];
    let question = |question: &Question| number(postcard::to_allocvec(question));
    let answer = |answer: &NodeAnswer| number(postcard::to_allocvec(answer));
    assert_eq!(question(&Question::Yield(name("x").to_owned_name(), 1, 0)), 1);
    assert_eq!((question(&Question::Stats), question(&Question::Part { seat: 1 })), (7, 9));
    let [wanted, client] = [(); 2].map(|()| String::new());
    let seat = Question::Seat { name: name("x").to_owned_name(), wanted, client, seat: 1 };
    assert_eq!(question(&seat), 8);
    assert_eq!((answer(&NodeAnswer::No), answer(&NodeAnswer::Number(1))), (1, 3));
    assert_eq!((answer(&NodeAnswer::Text(String::new())), answer(&NodeAnswer::Posted(0))), (5, 8));
}

#[test]
fn bytes_that_are_no_batch_are_no_error() {
    assert!(Batch::read(b"").is_none());
    assert!(Batch::read(b"too short").is_none());
    let mut bytes = header(NodeId::new(1), 1);
    bytes.extend_from_slice(&[255, 255, 255, 255, 0]);
    assert_eq!(Batch::read(&bytes).unwrap().packets().count(), 0);
}
