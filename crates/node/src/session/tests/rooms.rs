//! Requests about rooms, and members whose connections end and come back.

mod watching;

use std::sync::Mutex;

use super::*;
use peerbroker_config::Limits;
use peerbroker_core::address::Locality;
use peerbroker_core::vocabulary::{ApiKey, Limit, RealmKind};

fn join(room: &str) -> String {
    format!(r#"{{"type":"ROOM-JOIN","room":"{room}"}}"#)
}

fn members(room: &str, ids: &[&str]) -> String {
    let ids: Vec<String> = ids.iter().map(|id| format!(r#"{{"id":"{id}"}}"#)).collect();
    format!(r#"{{"type":"ROOM-MEMBERS","room":"{room}","members":[{}]}}"#, ids.join(","))
}

fn change(kind: &str, room: &str, id: &str) -> String {
    format!(r#"{{"type":"ROOM-{kind}","room":"{room}","id":"{id}"}}"#)
}

fn say(room: &str, payload: u32) -> String {
    format!(r#"{{"type":"ROOM-SEND","room":"{room}","payload":{payload}}}"#)
}

fn said(room: &str, src: &str, payload: u32) -> String {
    format!(r#"{{"type":"ROOM-MESSAGE","room":"{room}","src":"{src}","payload":{payload}}}"#)
}

fn refused(room: &str, label: &str, text: &str) -> String {
    format!(r#"{{"type":"ROOM-REFUSED","room":"{room}","payload":{{"type":"{label}","msg":"{text}"}}}}"#)
}

/// Two clients that are in the room `r`.
async fn pair(world: &World) -> (MockClient, MockClient) {
    let mut a = world.client("a").await;
    let mut b = world.client("b").await;
    a.send(join("r"));
    a.expect_text(&members("r", &["a"])).await;
    b.send(join("r"));
    b.expect_text(&members("r", &["a", "b"])).await;
    a.expect_text(&change("JOINED", "r", "b")).await;
    (a, b)
}

fn rooms(world: &World) -> usize {
    world.node.tenant("peerjs").unwrap().existing_rooms(RealmKind::PeerJs).map_or(0, |rooms| rooms.len())
}

#[test]
fn data_and_payloads_stay_the_text_of_their_sender() {
    run(
        |_| {},
        async |world| {
            let (mut a, mut b) = pair(&world).await;
            let odd = r#"{ "n": 1e400, "n": 12345678901234567890 }"#;
            a.send(format!(r#"{{"t\u0079pe":"ROOM-UPDATE","room":"\u0072","data":{odd},"request":1.50}}"#));
            a.expect_text(r#"{"type":"ROOM-OK","room":"r","request":1.50}"#).await;
            b.expect_text(&format!(r#"{{"type":"ROOM-UPDATED","room":"r","id":"a","data":{odd}}}"#)).await;
            b.send(format!(r#"{{"type":"ROOM-SEND","room":"r","dst":"a","payload":{odd},"request":"x"}}"#));
            a.expect_text(&format!(
                r#"{{"type":"ROOM-MESSAGE","room":"r","src":"b","dst":"a","payload":{odd}}}"#
            ))
            .await;
            b.expect_text(r#"{"type":"ROOM-OK","room":"r","request":"x"}"#).await;
            b.expect_nothing().await;
        },
    );
}

#[test]
fn a_client_that_leaves_hears_nothing_more_and_an_empty_room_is_gone() {
    run(
        |_| {},
        async |world| {
            let (mut a, mut b) = pair(&world).await;
            b.send(r#"{"type":"ROOM-LEAVE","room":"r"}"#);
            a.expect_text(&change("LEFT", "r", "b")).await;
            a.send(say("r", 1));
            b.expect_nothing().await;
            b.send(say("r", 2));
            b.expect_text(&refused("r", "not_member", "You are not in this room")).await;
            assert_eq!(rooms(&world), 1);
            a.send(r#"{"type":"ROOM-LEAVE","room":"r"}"#);
            a.expect_nothing().await;
            assert_eq!(rooms(&world), 0);
            // The rate limits of both are back to their bursts.
            world.advance(2 * SECOND).await;
            assert!(world.node.tenant("peerjs").unwrap().existing_rooms(RealmKind::PeerJs).is_none());
        },
    );
}

#[test]
fn a_client_that_comes_back_with_its_token_gets_the_list_and_others_notice_nothing() {
    run(
        |_| {},
        async |world| {
            let (mut a, b) = pair(&world).await;
            for end in [Disconnect::Gone, Disconnect::Closed(None), Disconnect::Closed(Some(1006))] {
                // Each connection is replaced, or ended, by the next one.
                b.end(end);
                idle().await;
                a.send(say("r", 1));
                let mut back = world.begin("b", "t");
                back.expect(Output::Handshake).await;
                expect_open(&mut back).await;
                back.expect_text(&said("r", "a", 1)).await;
                back.expect_text(&members("r", &["a", "b"])).await;
                back.leave();
                idle().await;
            }
            a.expect_nothing().await;
            world.advance(11 * SECOND).await;
            a.expect_text(&change("LEFT", "r", "b")).await;
        },
    );
}

#[test]
fn after_a_shorter_reclaim_timeout_members_leave_in_time() {
    run(
        |_| {},
        async |world| {
            let (mut a, b) = pair(&world).await;
            let c = world.client("c").await;
            c.send(join("r"));
            a.expect_text(&change("JOINED", "r", "c")).await;
            b.leave();
            idle().await;
            world.node.config().update(|config| {
                let mut config = config.clone();
                config.limits.reclaim_timeout = SECOND;
                config
            });
            c.leave();
            world.advance(SECOND).await;
            a.expect_text(&change("LEFT", "r", "c")).await;
            world.advance(9 * SECOND).await;
            a.expect_text(&change("LEFT", "r", "b")).await;
        },
    );
}

#[test]
fn a_takeover_keeps_the_rooms_of_its_client() {
    run(
        |_| {},
        async |world| {
            let (mut a, mut b) = pair(&world).await;
            let mut new = world.begin("b", "t");
            new.expect(Output::Handshake).await;
            expect_open(&mut new).await;
            new.expect_text(&members("r", &["a", "b"])).await;
            b.expect_closed_with(Some(4001)).await;
            world.advance(11 * SECOND).await;
            new.send(say("r", 1));
            a.expect_text(&said("r", "b", 1)).await;
        },
    );
}

#[test]
fn a_page_that_is_loaded_again_does_not_flicker_and_one_that_is_closed_leaves_after_a_second() {
    run(
        |_| {},
        async |world| {
            let (mut a, b) = pair(&world).await;
            b.end(Disconnect::Closed(Some(1001)));
            world.advance(SECOND / 2).await;
            let mut again = world.begin("b", "t");
            again.expect(Output::Handshake).await;
            expect_open(&mut again).await;
            again.expect_text(&members("r", &["a", "b"])).await;
            world.advance(2 * SECOND).await;
            a.expect_nothing().await;
            again.end(Disconnect::Closed(Some(1001)));
            world.advance(SECOND / 2).await;
            a.expect_nothing().await;
            world.advance(SECOND / 2).await;
            a.expect_text(&change("LEFT", "r", "b")).await;
        },
    );
}

#[test]
fn a_client_that_says_goodbye_leaves_its_rooms_at_once() {
    run(
        |_| {},
        async |world| {
            let mut a = world.client("a").await;
            a.send(join("r"));
            a.expect_text(&members("r", &["a"])).await;
            for end in 0..3 {
                let b = world.client("b").await;
                b.send(join("r"));
                a.expect_text(&change("JOINED", "r", "b")).await;
                match end {
                    0 => b.send(LEAVE),
                    1 => b.end(Disconnect::Closed(Some(1000))),
                    _ => drop(world.node.tenant("peerjs").unwrap().kick("b")),
                }
                a.expect_text(&change("LEFT", "r", "b")).await;
                b.leave();
            }
        },
    );
}

#[test]
fn a_stranger_that_gets_the_id_is_not_in_the_rooms_of_the_client_before() {
    run(
        |_| {},
        async |world| {
            let (mut a, b) = pair(&world).await;
            b.leave();
            idle().await;
            let mut stranger = world.begin("b", "another");
            stranger.expect(Output::Handshake).await;
            expect_open(&mut stranger).await;
            a.expect_text(&change("LEFT", "r", "b")).await;
            a.send(say("r", 1));
            stranger.expect_nothing().await;
        },
    );
}

#[test]
fn a_stranger_that_gets_the_id_gets_no_message_of_a_room_that_waited_for_its_member() {
    run(
        |_| {},
        async |world| {
            let (mut a, b) = pair(&world).await;
            b.leave();
            idle().await;
            a.send(say("r", 1));
            a.send(r#"{"type":"ROOM-SEND","room":"r","dst":"b","payload":2}"#);
            // This one is for the id, whoever has it.
            a.send(offer("b"));
            idle().await;
            let mut stranger = world.begin("b", "another");
            stranger.expect(Output::Handshake).await;
            expect_open(&mut stranger).await;
            stranger.expect_text(&forwarded_offer("a", "b")).await;
            stranger.expect_nothing().await;
            a.expect_text(&change("LEFT", "r", "b")).await;
        },
    );
}

fn update(n: u32) -> String {
    format!(r#"{{"type":"ROOM-UPDATE","room":"r","data":{n}}}"#)
}

fn updated(n: u32) -> String {
    format!(r#"{{"type":"ROOM-UPDATED","room":"r","id":"a","data":{n}}}"#)
}

#[test]
fn a_member_that_is_behind_hears_only_the_latest_data_of_each_other_one() {
    run(
        |config| config.limits = Limits { outbox_bytes: 8000, ..Limits::default() },
        async |world| {
            let (a, mut b) = pair(&world).await;
            b.stop_reading();
            let last = 200;
            (0..=last).for_each(|n| a.send(update(n)));
            a.send(say("r", 7));
            idle().await;
            b.read_on();
            // A 32nd of the outbox has room for these. A message comes behind the changes in front of it.
            let mut next = 0;
            while let Some(Output::Text(text)) = b.next().await {
                if text != updated(next) {
                    assert_eq!(text, updated(last));
                    break;
                }
                next += 1;
            }
            assert!((1..20).contains(&next), "{next}");
            b.expect_text(&said("r", "a", 7)).await;
            // From now on it hears every change again.
            a.send(update(1));
            a.send(update(2));
            b.expect_text(&updated(1)).await;
            b.expect_text(&updated(2)).await;
            b.expect_nothing().await;
        },
    );
}

#[test]
fn a_member_that_has_missed_the_end_of_another_one_gets_the_list() {
    run(
        |config| config.limits = Limits { outbox_bytes: 2000, ..Limits::default() },
        async |world| {
            let (a, mut b) = pair(&world).await;
            let c = world.client("c").await;
            b.stop_reading();
            for _ in 0..10 {
                c.send(join("r"));
                c.send(r#"{"type":"ROOM-LEAVE","room":"r"}"#);
            }
            a.send(update(5));
            idle().await;
            b.read_on();
            b.expect_text(&change("JOINED", "r", "c")).await;
            let list = r#"{"type":"ROOM-MEMBERS","room":"r","members":[{"id":"a","data":5},{"id":"b"}]}"#;
            let mut heard = Vec::new();
            while let Some(Output::Text(text)) = b.next().await {
                heard.push(text);
                if heard.last().is_some_and(|text| text == list) {
                    break;
                }
            }
            assert!(heard.len() < 5, "{heard:?}");
            b.expect_nothing().await;
        },
    );
}

#[test]
fn a_member_that_takes_nothing_of_the_changes_is_closed() {
    run(
        |config| config.limits = Limits { outbox_bytes: 2000, ..Limits::default() },
        async |world| {
            let (a, b) = pair(&world).await;
            b.stop_reading();
            (0..20).for_each(|n| a.send(update(n)));
            world.advance(4 * SECOND).await;
            assert!(world.is_here("b"));
            world.advance(2 * SECOND).await;
            assert!(!world.is_here("b"));
            b.break_writing();
            let mut back = world.begin("b", "t");
            back.expect(Output::Handshake).await;
            expect_open(&mut back).await;
            let list = r#"{"type":"ROOM-MEMBERS","room":"r","members":[{"id":"a","data":19},{"id":"b"}]}"#;
            back.expect_text(list).await;
            back.expect_nothing().await;
        },
    );
}

#[test]
fn a_message_to_a_room_expires_in_silence_and_apart_from_the_offer_of_its_sender() {
    run(
        |_| {},
        async |world| {
            let (mut a, b) = pair(&world).await;
            b.leave();
            idle().await;
            a.send(say("r", 1));
            world.advance(3 * SECOND).await;
            a.send(r#"{"type":"OFFER","dst":"b","payload":1}"#);
            world.advance(3 * SECOND).await;
            // PeerJS takes EXPIRE for a connection that failed.
            a.expect_nothing().await;
            let mut back = world.begin("b", "t");
            back.expect(Output::Handshake).await;
            expect_open(&mut back).await;
            back.expect_text(r#"{"type":"OFFER","src":"a","dst":"b","payload":1}"#).await;
            back.expect_text(&members("r", &["a", "b"])).await;
            back.expect_nothing().await;
        },
    );
}

#[test]
fn a_message_for_one_member_is_refused_if_too_much_waits_for_that_one() {
    run(
        |config| config.limits.queue_messages = 1,
        async |world| {
            let (mut a, b) = pair(&world).await;
            b.leave();
            idle().await;
            let to_b = r#"{"type":"ROOM-SEND","room":"r","dst":"b","payload":1}"#;
            a.send(to_b);
            a.expect_nothing().await;
            a.send(to_b);
            a.expect_text(&refused("r", "member_busy", "Too much waits for this member")).await;
        },
    );
}

#[test]
fn messages_that_wait_for_a_member_stay_when_a_later_one_is_refused() {
    run(
        |config| config.limits.queue_messages = 10,
        async |world| {
            let (mut a, b) = pair(&world).await;
            b.leave();
            idle().await;
            for n in 0..12 {
                a.send(format!(r#"{{"type":"ROOM-SEND","room":"r","dst":"b","payload":{n},"request":{n}}}"#));
                if n < 10 {
                    a.expect_text(&format!(r#"{{"type":"ROOM-OK","room":"r","request":{n}}}"#)).await;
                } else {
                    let Output::Text(answer) = a.next().await.unwrap() else { panic!("no text") };
                    assert!(answer.contains("member_busy"), "{answer}");
                }
            }
            let key = ApiKey::parse("peerjs").unwrap();
            assert_eq!(world.node.send_to_room(&key, "r", "1"), 1, "it is lost for b only");
            a.expect_text(r#"{"type":"SERVER-MESSAGE","room":"r","payload":1}"#).await;
            let mut back = world.begin("b", "t");
            back.expect(Output::Handshake).await;
            expect_open(&mut back).await;
            for n in 0..10 {
                let message =
                    format!(r#"{{"type":"ROOM-MESSAGE","room":"r","src":"a","dst":"b","payload":{n}}}"#);
                back.expect_text(&message).await;
            }
            back.expect_text(&members("r", &["a", "b"])).await;
            back.expect_nothing().await;
        },
    );
}

#[test]
fn the_last_tenth_of_a_room_is_kept_for_addresses_with_few_members_in_it() {
    run(
        |config| config.key_settings.room_members = 20,
        async |world| {
            let enter = async |id: &str, address: &str| {
                let (socket, mut client) = mock();
                let address = address.parse().ok();
                let source =
                    ClientSource { origin: None, address, locality: Locality::Internet, is_doctor: false };
                let query = format!("key=peerjs&id={id}&token=t");
                world.serve_peer(socket, ConnectRequest { query, source, permit: None });
                client.expect(Output::Handshake).await;
                expect_open(&mut client).await;
                client.send(join("r"));
                let Output::Text(answer) = client.next().await.unwrap() else { panic!("no text") };
                (client, answer)
            };
            let full = refused("r", "room_full", "The room is full");
            let mut crowd = Vec::new();
            for n in 0..18 {
                let (client, answer) = enter(&format!("a{n}"), "203.0.113.1").await;
                assert_ne!(answer, full, "{n}");
                crowd.push(client);
            }
            // They also count while they are away.
            crowd.iter().for_each(MockClient::leave);
            assert_eq!(enter("a18", "203.0.113.1").await.1, full);
            let _one = enter("b", "203.0.113.2").await;
            assert_eq!(enter("c", "203.0.113.2").await.1, full);
            let (_other, answer) = enter("d", "203.0.113.3").await;
            assert_ne!(answer, full);
            assert_eq!(enter("e", "203.0.113.4").await.1, full);
        },
    );
}

#[test]
fn a_list_is_never_longer_than_a_client_in_sixteen_rooms_can_get() {
    run(
        |config| config.limits.outbox_bytes = 400_000,
        async |world| {
            let data = "x".repeat(1022);
            let join = format!(r#"{{"type":"ROOM-JOIN","room":"r","data":"{data}"}}"#);
            let mut clients = Vec::new();
            for n in 0..18 {
                let client = world.client(&format!("c{n:02}")).await;
                client.send(&*join);
                clients.push(client);
            }
            idle().await;
            // 400,000 bytes / 4 * 3 / 16 rooms: 17 members with 1024 bytes of data each.
            let mut last = clients.pop().unwrap();
            let full = refused("r", "room_list_full", "The list of the members of this room is too long");
            last.expect_text(&full).await;
            last.send(r#"{"type":"ROOM-JOIN","room":"r"}"#);
            let Output::Text(list) = last.next().await.unwrap() else { panic!("no list") };
            assert!(list.len() < 400_000 / 4 * 3 / 16 + 100, "{}", list.len());
            last.send(format!(r#"{{"type":"ROOM-UPDATE","room":"r","data":"{data}"}}"#));
            last.expect_text(&full).await;
        },
    );
}

#[test]
fn requests_beyond_a_limit_or_without_sense_are_refused() {
    run(
        |config| (config.key_settings.room_members, config.limits.room_deliveries_per_second) = (2, 1),
        async |world| {
            let (mut a, mut b) = pair(&world).await;
            let mut c = world.client("c").await;
            c.send(join("r"));
            c.expect_text(&refused("r", "room_full", "The room is full")).await;
            for n in 1..=peerbroker_rooms::MAX_ROOMS {
                b.send(join(&n.to_string()));
            }
            let alone = |n: usize| members(&n.to_string(), &["b"]);
            // The burst is ten, of which two are spent.
            for n in 1..=9 {
                b.expect_text(&alone(n)).await;
            }
            b.expect_text(&refused("10", "too_fast", "Too many messages to this room")).await;
            let long = "x".repeat(1023);
            for (request, answer) in [
                (
                    r#"{"type":"ROOM-JOIN"}"#,
                    r#"{"type":"ROOM-REFUSED","payload":{"type":"invalid_room","msg":"Invalid room provided: it is empty"}}"#,
                ),
                (
                    r#"{"type":"ROOM-JOIN","room":5,"request":7}"#,
                    r#"{"type":"ROOM-REFUSED","request":7,"payload":{"type":"invalid_room","msg":"Invalid room provided: it is empty"}}"#,
                ),
                (
                    r#"{"type":"ROOM-JOIN","room":"r","request":{}}"#,
                    r#"{"type":"ROOM-REFUSED","room":"r","payload":{"type":"invalid_request","msg":"A request is a string or a number of at most 64 bytes"}}"#,
                ),
                (
                    &format!(r#"{{"type":"ROOM-UPDATE","room":"r","data":"{long}"}}"#),
                    &refused("r", "data_too_long", "The data of a member have at most 1024 bytes"),
                ),
                (
                    r#"{"type":"ROOM-SEND","room":"r","dst":"c"}"#,
                    &refused("r", "no_such_member", "Nobody in this room has this id"),
                ),
                (
                    r#"{"type":"ROOM-LEAVE","room":"none"}"#,
                    &refused("none", "not_member", "You are not in this room"),
                ),
            ] {
                a.send(request);
                a.expect_text(answer).await;
            }
            let hits = |limit| world.node.counters().total(peerbroker_events::Count::LimitHits(limit));
            assert_eq!(hits(Limit::RoomMembers), 1);
            assert!(hits(Limit::RoomDeliveries) > 0);
        },
    );
}

#[test]
fn a_client_is_in_sixteen_rooms_at_most() {
    run(
        |_| {},
        async |world| {
            let mut a = world.client("a").await;
            for n in 0..peerbroker_rooms::MAX_ROOMS {
                a.send(join(&n.to_string()));
                a.expect_text(&members(&n.to_string(), &["a"])).await;
            }
            a.send(join("more"));
            a.expect_text(&refused("more", "too_many_rooms", "You are in too many rooms")).await;
            a.send(r#"{"type":"ROOM-LEAVE","room":"0"}"#);
            a.send(join("more"));
            a.expect_text(&members("more", &["a"])).await;
        },
    );
}

#[test]
fn the_members_of_a_key_share_a_rate_limit() {
    run(
        |config| config.limits.room_key_deliveries_per_second = 1,
        async |world| {
            let (mut a, mut b) = pair(&world).await;
            // The burst is ten, of which the two joins have spent two.
            for n in 0..8 {
                a.send(say("r", n));
                b.expect_text(&said("r", "a", n)).await;
            }
            b.send(say("r", 8));
            b.expect_text(&refused("r", "key_too_fast", "Too many messages to the rooms of this key")).await;
            world.advance(SECOND).await;
            b.send(say("r", 9));
            a.expect_text(&said("r", "b", 9)).await;
        },
    );
}

#[test]
fn where_rooms_are_off_a_client_can_only_leave() {
    run(
        |_| {},
        async |world| {
            let (mut a, mut b) = pair(&world).await;
            let mut key = peerbroker_keys::Key::clone(&world.node.tenant("peerjs").unwrap().data());
            key.settings.allow_rooms = false;
            world.node.put_key(key);
            for request in [join("other"), say("r", 1), r#"{"type":"ROOM-UPDATE","room":"r"}"#.to_owned()] {
                b.send(request);
                let Output::Text(answer) = b.next().await.unwrap() else { panic!("no text") };
                assert!(answer.contains("rooms_off"), "{answer}");
            }
            b.send(r#"{"type":"ROOM-LEAVE","room":"r"}"#);
            a.expect_text(&change("LEFT", "r", "b")).await;
        },
    );
}

#[test]
fn the_rooms_of_a_removed_key_go_with_its_clients() {
    run(
        |_| {},
        async |world| {
            let tenant = world.node.tenant("peerjs").unwrap();
            let (mut a, _b) = pair(&world).await;
            world.node.remove_key("peerjs");
            a.expect_closed_with(Some(4004)).await;
            world.advance(2 * SECOND).await;
            assert!(tenant.existing_rooms(RealmKind::PeerJs).is_none());
        },
    );
}

#[test]
fn a_burst_for_a_large_room_leaves_its_worker_time_for_others() {
    run(
        |_| {},
        async |_| {
            const MEMBERS: usize = 200;
            const BURST: u32 = 20;
            const OTHERS: &str = "of somebody else";
            let texts = Arc::<Mutex<Vec<String>>>::default();
            let of_hook = Arc::clone(&texts);
            let world = World::with_hook(|_| {}, move |text| of_hook.lock().unwrap().push(text.to_owned()));
            let mut members = Vec::new();
            for n in 0..MEMBERS {
                let member = world.client(&format!("member-{n}")).await;
                member.send(join("r"));
                members.push(member);
            }
            let other = world.client("other").await;
            texts.lock().unwrap().clear();
            members[0].comes(Input::Texts((0..BURST).map(|n| say("r", n)).collect()));
            other.send(OTHERS);
            for _ in 0..BURST {
                idle().await;
            }
            let texts = texts.lock().unwrap();
            let before = texts.iter().position(|text| text == OTHERS).unwrap();
            assert!(before <= 3, "{before} messages for a room of {MEMBERS} before somebody else's");
            assert_eq!(texts.len(), BURST as usize + 1, "nothing is lost");
        },
    );
}
