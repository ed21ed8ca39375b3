//! Tests of packets: the bytes of the first version, and packets of newer and older ones.

use super::*;
use peerbroker_core::vocabulary::RealmKind;
use peerbroker_rooms::{GoneNews, MemberNews, MessageNews, OpenedNews, PrivateNews, SwarmNews};

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
    let packets = [
        Packet::Message { to: name("x"), connection: 3, ticket: 9, from: "y", kind: 0, payload: b"{}" },
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
            number: u64,
            text: &'a str,
            maybe: Option<u64>,
        },
    }
    let mut bytes = Vec::new();
    let to = name("x");
    let from = "y";
    let payload = "{}";
    let message =
        Packet::Message { to, connection: 3, ticket: 9, from, kind: 1, payload: payload.as_bytes() };
    write(&message, &mut bytes);
    let (newer, _) = postcard::take_from_bytes(&bytes[4..]).unwrap();
    let number = 0;
    let text = "";
    let maybe = None;
    let expected =
        Newer::Message { to, connection: 3, ticket: 9, from, kind: 1, payload, number, text, maybe };
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
    let packets = [
        Packet::Message { to: name("x"), connection: 3, ticket: 9, from: "y", kind: 0, payload: b"{}" },
        Packet::Settled { to: name("x"), ticket: 9, outcome: 1 },
        Packet::Reset,
    ];
    assert_eq!(batch.packets().collect::<Vec<_>>(), packets);
    let mut written = header(NodeId::new(7), 5);
    packets.iter().for_each(|packet| write(packet, &mut written));
    assert_eq!(written, bytes);
}

#[test]
fn news_of_rooms_have_the_bytes_of_the_first_version() {
    let room = "r";
    let id = "x";
    let token = [b't'; 16];
    let member = MemberNews { room, id, token, number: 3, data: Some("{}") };
    let message = MessageNews { room, from: "y", heard: 3, except: vec!["x"], text: "t" };
    let gone = GoneNews { room, id, for_good: true, former: vec![(7, 3)], number: 4 };
    let private = PrivateNews { room, from: "y", heard: 3, to: "x", text: "t" };
    let moved = MovedMember { key: "k", room, id, realm: 0 };
    let swarm = SwarmNews { info_hash: [b'h'; 20], peer_id: [b'p'; 20], guest: "x", is_complete: Some(true) };
    let rooms = |kind: RealmKind, news| Packet::RealmNews(kind.number(), "k", news);
    let returned = News::Returned(private);
    let expected: [(Packet<'_>, &[u8]); 9] = [
        (
            rooms(RealmKind::PeerJs, News::Member(member)),
            b"\x09\0\x01k\0\x01r\x01xtttttttttttttttt\x03\x01\x02{}",
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
        assert_eq!(postcard::to_allocvec(&packet).unwrap(), bytes);
        assert_eq!(postcard::from_bytes::<Packet<'_>>(bytes).unwrap(), packet);
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
