//! The share that one address has of the budget of a key. The others of these tests have another address.

use peerbroker::Config;
use peerbroker_config::{Dialect, Dialects};
use peerbroker_core::vocabulary::{Limit, RealmKind};
use peerbroker_events::Count;
use serde_json::json;

use crate::harness::wire::{self, opcode};
use crate::harness::{RawClient, TestServer, Transport, on_own_with, token_of, wait_until};
use crate::tracker::{announce, counted, offers, refused};

/// The address of the crowd.
const CROWD: &str = "192.0.2.1";
const OTHER: &str = "192.0.2.2";

/// A burst of 50 deliveries.
fn with_few_deliveries(config: &mut Config) {
    config.proxied = true;
    config.dialects = Dialects::from_iter(Dialect::ALL);
    config.limits.room_deliveries_per_second = 0;
    config.limits.room_key_deliveries_per_second = 5;
}

fn client_at(server: &TestServer, address: &str, target: &str) -> RawClient {
    let mut client = server.begin_with(target, &format!("X-Forwarded-For: {address}\r\n"));
    client.expect_accepted();
    client
}

/// A client at the root, or at a path below it.
fn guest_at(server: &TestServer, address: &str, path: &str) -> RawClient {
    client_at(server, address, &format!("{}{path}", server.root()))
}

fn hits(server: &TestServer) -> u64 {
    server.node().counters().total(Count::LimitHits(Limit::RoomKeyDeliveries))
}

/// A member of a room of its own.
fn member(server: &TestServer, address: &str, id: &str) -> RawClient {
    let mut client = client_at(server, address, &server.target(id, &token_of(id)));
    client.expect_open();
    client.send(format!(r#"{{"type":"ROOM-JOIN","room":"{id}"}}"#));
    assert!(client.expect_text().contains("ROOM-MEMBERS"));
    client
}

/// Asks as often. Each question has one answer. Returns the refusals.
fn refusals(client: &mut RawClient, question: &str, count: usize) -> usize {
    (0..count).for_each(|_| client.send(question));
    (0..count).filter(|_| client.expect_text().contains("key_too_fast")).count()
}

#[test]
fn of_rooms_and_presence() {
    // In a room of one, each costs as much as in a room of two.
    let questions = [
        r#"{"type":"ROOM-SEND","room":"ID","payload":1,"request":1}"#,
        r#"{"type":"ROOM-JOIN","room":"ID"}"#,
        r#"{"type":"ROOM-UPDATE","room":"ID","data":1,"request":1}"#,
        r#"{"type":"PRESENCE-WATCH","ids":["somebody"]}"#,
    ];
    for question in questions {
        on_own_with(with_few_deliveries, |server| {
            let ids = [0, 1, 2, 3].map(|n| format!("crowd-{n}"));
            let mut crowd = ids.each_ref().map(|id| member(server, CROWD, id));
            let crowd = crowd.iter_mut().zip(&ids);
            let refused: usize =
                crowd.map(|(client, id)| refusals(client, &question.replace("ID", id), 50)).sum();
            // The burst, in which are the four joins.
            assert_eq!((refused, hits(server)), (200 - 46, 200 - 46), "{question}");
            let mut other = member(server, OTHER, "other");
            assert_eq!(refusals(&mut other, &question.replace("ID", "other"), 9), 0, "{question}");
        });
    }
}

#[test]
fn of_topics() {
    on_own_with(with_few_deliveries, |server| {
        let subscriber = |address: &str, topic: &str| {
            let mut client = guest_at(server, address, "");
            client.send(format!(r#"{{"type":"subscribe","topics":["{topic}"]}}"#));
            client
        };
        let publish = |topic: &str| format!(r#"{{"type":"publish","topic":"{topic}"}}"#);
        let mut crowd = subscriber(CROWD, "crowd");
        (0..200).for_each(|_| crowd.send(publish("crowd")));
        wait_until("a pause", || hits(server) == 1);
        let mut other = subscriber(OTHER, "other");
        for _ in 0..9 {
            other.send(publish("other"));
            other.expect(r#"{"type":"publish","topic":"other","clients":1}"#);
        }
    });
}

/// Offers of a member of a swarm to its only other one. Returns the refusals.
fn refused_offers(server: &TestServer, address: &str, info_hash: &str, count: usize) -> usize {
    let mut partner = guest_at(server, "127.0.0.1", "");
    partner.send(announce(info_hash, 'p', &json!({})));
    partner.expect(counted(info_hash, 0, 1));
    let mut client = guest_at(server, address, "");
    (0..count).for_each(|n| client.send(announce(info_hash, 'c', &json!({ "offers": offers(n..n + 1) }))));
    client.send(json!({ "action": "scrape", "info_hash": info_hash }).to_string());
    let mut texts = Vec::new();
    while texts.last().is_none_or(|text: &String| !text.contains("scrape")) {
        texts.push(client.expect_text());
    }
    texts.iter().filter(|text| **text == refused(info_hash, "too many offers")).count()
}

#[test]
fn of_the_tracker() {
    on_own_with(with_few_deliveries, |server| {
        let of_crowd = ["a", "b", "c", "d"].map(|letter| letter.repeat(20));
        let refused: usize =
            of_crowd.iter().map(|info_hash| refused_offers(server, CROWD, info_hash, 50)).sum();
        assert_eq!((refused, hits(server)), (200 - 50, 200 - 50));
        assert_eq!(refused_offers(server, OTHER, &"o".repeat(20), 10), 0);
    });
}

/// Replicas of RxDB, one after the other, each in a room of its own. Returns the number of those that are in.
fn replicas(server: &TestServer, address: &str, count: usize, leave: bool) -> usize {
    let mut joined = Vec::new();
    for n in 0..count {
        let mut replica = guest_at(server, address, "rxdb");
        assert!(replica.expect_text().contains("init"));
        let room = format!("room {address} {n}");
        replica.send(format!(r#"{{"type":"join","room":"{room}"}}"#));
        let frame = replica.next_frame("a list, or the end").expect("a frame");
        if frame.opcode() != opcode::TEXT {
            break;
        }
        assert!(frame.payload.starts_with(br#"{"type":"joined""#));
        if leave {
            replica.expect_closed_by_us(None);
            let rooms = server.tenant("peerjs").rooms(RealmKind::RxDb);
            wait_until("the end of the room", || !rooms.contains(&room));
        }
        joined.push(replica);
    }
    joined.len()
}

#[test]
fn of_joins_and_leaves_of_rxdb() {
    // A client that has left again was charged for both.
    for (leave, joins) in [(false, 50), (true, 25)] {
        on_own_with(with_few_deliveries, |server| {
            assert_eq!(replicas(server, CROWD, 60, leave), joins);
            assert_eq!(hits(server), 1);
            assert_eq!(replicas(server, OTHER, 5, leave), 5);
        });
    }
}

#[test]
fn of_matchbox() {
    on_own_with(with_few_deliveries, |server| {
        let peer = |address: &str, n: usize| {
            let mut peer = guest_at(server, address, &format!("matchbox/{address}-{n}"));
            assert!(peer.expect_text().contains("IdAssigned"));
            peer
        };
        let mut crowd: Vec<RawClient> = (0..51).map(|n| peer(CROWD, n)).collect();
        crowd.pop().expect("the last one").expect_closed_with(Some(4007));
        assert_eq!(hits(server), 1);
        let mut others: Vec<RawClient> = (0..5).map(|n| peer(OTHER, n)).collect();
        crowd.iter_mut().chain(&mut others).for_each(RawClient::expect_quiet);
    });
}

/// A request of an address, which keeps what it gets, and a client that has answered since.
type Ask = fn(&TestServer, &str, usize) -> RawClient;

/// The way of a test to fill a limit from one address, and to ask from another one.
enum Filled {
    /// The limit is of one client, id, connection or address.
    Own,
    /// One address asks until the limit refuses it, and another one asks the same then.
    Here(fn(&mut Config), Ask),
    /// A test that does both.
    By(&'static str),
    /// As docs/LIMITS.md says.
    Said(&'static str),
}

/// A client of PeerJS, which sends this. Returns once that was handled.
fn sender(server: &TestServer, address: &str, number: usize, text: &str) -> RawClient {
    let id = format!("{address}-{number}");
    let mut client = client_at(server, address, &server.target(&id, &token_of(&id)));
    client.expect_open();
    client.send(text);
    settle(client)
}

/// Waits until the server has handled all that a client has sent, or has closed it.
fn settle(mut client: RawClient) -> RawClient {
    client.ping(b"");
    while let Some(frame) = client.next_frame("a pong, or the end")
        && ![opcode::PONG, opcode::CLOSE].contains(&frame.opcode())
    {}
    client
}

fn offer_to(server: &TestServer, address: &str, number: usize, dst: &str) -> RawClient {
    let payload = "x".repeat(10_000);
    sender(server, address, number, &format!(r#"{{"type":"OFFER","dst":"{dst}","payload":"{payload}"}}"#))
}

/// Each limit has a row.
fn filled(limit: Limit) -> Filled {
    use Filled::*;
    match limit {
        Limit::ConnectionsPerAddress | Limit::OpensPerSecond | Limit::PipesPerAddress => Own,
        Limit::CallReports | Limit::SignupsPerDay | Limit::WrongAdminTokens | Limit::WrongRoomCodes => Own,
        Limit::MessagesPerSecond | Limit::MaxMessageBytes | Limit::OutboxBytes | Limit::RoomDeliveries => Own,
        Limit::RoomsPerClient | Limit::WatchedIds | Limit::NamesPerClient | Limit::SwarmsPerClient => Own,
        Limit::WaitingForId | Limit::WaitingPosts | Limit::PostsPerClient | Limit::PipeBytes => Own,
        Limit::RoomCodePlayers => Own,
        Limit::ConcurrentLimit => Here(
            |config| config.key_settings.concurrent_limit = 100,
            |server, address, number| {
                let id = format!("{address}-{number}");
                let mut client = client_at(server, address, &server.target(&id, &token_of(&id)));
                client.expect_text();
                client
            },
        ),
        Limit::UnfinishedTotalBytes => Here(
            |config| config.unfinished_total_bytes = 500_000,
            |server, address, number| {
                let mut client = sender(server, address, number, r#"{"type":"HEARTBEAT"}"#);
                client.send_raw(wire::frame(opcode::TEXT, &[b'x'; 50_000]));
                settle(client)
            },
        ),
        Limit::QueueTotalBytes => Here(
            |config| config.limits.queue_total_bytes = 200_000,
            |server, address, number| {
                offer_to(server, address, number, &format!("absent-{address}-{number}"))
            },
        ),
        Limit::QueueMessages => Here(
            |config| config.limits.queue_messages = 10,
            |server, address, number| offer_to(server, address, number, "absent"),
        ),
        Limit::QueueBytes => Here(
            |config| config.limits.queue_bytes = 100_000,
            |server, address, number| offer_to(server, address, number, "absent"),
        ),
        Limit::RoomMembers => Here(
            |config| config.key_settings.room_members = 30,
            |server, address, number| sender(server, address, number, r#"{"type":"ROOM-JOIN","room":"r"}"#),
        ),
        Limit::RoomListBytes => Here(
            |config| config.limits.outbox_bytes = 100_000,
            |server, address, number| {
                let data = "x".repeat(100);
                let join = format!(r#"{{"type":"ROOM-JOIN","room":"r","data":"{data}"}}"#);
                sender(server, address, number, &join)
            },
        ),
        Limit::RoomState => Said("Any member may delete names of others"),
        Limit::KeyState => {
            By("crates/rooms/tests/house/shares.rs an_address_leaves_half_of_the_states_of_a_key")
        }
        Limit::RoomCodes => Here(
            |config| config.limits.room_codes = 10,
            |server, address, _| {
                let mut host = guest_at(server, address, "");
                host.send(r#"{"action":"createRoom"}"#);
                settle(host)
            },
        ),
        Limit::RoomKeyDeliveries => By("tests/api/limits/shares.rs of_rooms_and_presence"),
        Limit::KeyRooms => {
            By("crates/rooms/tests/house/shares.rs an_address_leaves_half_of_the_rooms_of_a_key")
        }
        Limit::KeyWatchedIds => {
            By("crates/rooms/tests/house/shares.rs an_address_leaves_half_of_the_watched_ids_of_a_key")
        }
        Limit::KeyFilterBytes => {
            By("crates/limits/src/quota.rs an_address_with_many_shares_leaves_as_much_as_it_has")
        }
        Limit::Pipes | Limit::PipesPerKey => {
            By("crates/protocols/tests/house/pipes.rs an_address_leaves_pipes_of_a_key_and_of_all_to_others")
        }
        Limit::PipeKeyBytes | Limit::PipeTotalBytes => {
            By("crates/protocols/tests/house/pipes.rs above_a_rate_of_a_key_or_of_all_others_do_not_wait")
        }
        Limit::WebhookRequests => {
            By("crates/keys/src/verifier/webhook.rs an_address_whose_questions_hang_leaves_others_some")
        }
        Limit::AppMessages => {
            By("tests/api/app_messages.rs an_address_leaves_half_of_the_places_of_a_key_to_others")
        }
        Limit::LinkBytes => {
            By("crates/cluster/src/link.rs a_source_that_floods_leaves_most_of_the_link_to_others")
        }
        Limit::SignupLimit => Said("keys registered per address within 24 hours"),
        Limit::KeySwarmMemberships => {
            By("crates/protocols/src/tracker/swarms.rs an_address_leaves_half_of_the_memberships_of_a_key")
        }
    }
}

#[test]
fn what_one_address_fills_another_one_gets_as_well() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| std::fs::read_to_string(root.join(file)).unwrap_or_default();
    let document = read("docs/LIMITS.md");
    for limit in Limit::ALL {
        match filled(limit) {
            Filled::Own => {}
            Filled::Said(words) => assert!(document.contains(words), "{limit:?}: {words}"),
            Filled::By(place) => {
                let (file, test) = place.split_once(' ').expect("a file and a test");
                assert!(read(file).contains(&format!("fn {test}()")), "{limit:?}: {place}");
            }
            Filled::Here(configure, ask) => {
                let server = TestServer::start(Transport::Own, |config| {
                    config.proxied = true;
                    config.dialects = Dialects::from_iter(Dialect::ALL);
                    configure(config);
                });
                let hits = || server.node().counters().total(Count::LimitHits(limit));
                let mut crowd = Vec::new();
                while hits() == 0 {
                    assert!(crowd.len() < 200, "{limit:?} has no end");
                    crowd.push(ask(&server, CROWD, crowd.len()));
                }
                assert!(crowd.len() > 2, "{limit:?}: {}", crowd.len());
                let _other = ask(&server, OTHER, 0);
                assert_eq!(hits(), 1, "{limit:?}: another address is refused too");
            }
        }
    }
}
