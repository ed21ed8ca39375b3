//! Messages between clients, and the rate at which they are read.

use std::sync::Mutex;

use super::*;
use crate::session::pace::{FRAMES_PER_TURN, READS_PER_TURN};
use peerbroker_config::key::ExpireTimeout;
use peerbroker_core::vocabulary::Frame;

#[test]
fn a_message_reaches_its_recipient_as_text_or_bytes() {
    run(
        |_| {},
        async |world| {
            let mut a = world.client("a").await;
            let mut b = world.client("b").await;
            a.send(offer("b"));
            b.expect_text(&forwarded_offer("a", "b")).await;
            b.comes(Input::Binary(offer("a").into_bytes()));
            a.expect_text(&forwarded_offer("b", "a")).await;
            a.expect_nothing().await;
            b.expect_nothing().await;
        },
    );
}

#[test]
fn messages_of_one_read_arrive_in_order() {
    run(
        |_| {},
        async |world| {
            let mut a = world.client("a").await;
            let mut b = world.client("b").await;
            let messages = ["b", "a", "b", "nobody", "b"].map(offer).to_vec();
            a.comes(Input::Texts(messages));
            for _ in 0..3 {
                b.expect_text(&forwarded_offer("a", "b")).await;
            }
            b.expect_nothing().await;
            a.expect_text(&forwarded_offer("a", "a")).await;
            a.expect_nothing().await;
        },
    );
}

#[test]
fn sessions_read_before_one_of_them_writes_for_all() {
    run(
        |_| {},
        async |world| {
            let (socket, mut c) = direct_mock();
            world.serve_peer(socket, request("key=peerjs&id=c&token=t"));
            idle().await;
            while let Some(Output::Written(_)) = c.already() {}
            let a = world.client("a").await;
            let b = world.client("b").await;
            let forwarded = |from: &[&str]| {
                let frames = from.iter().map(|from| {
                    let frame = Frame::of_text(&forwarded_offer(from, "c"));
                    frame.as_bytes().to_vec()
                });
                Output::Written(frames.collect::<Vec<_>>().concat())
            };
            a.send(offer("c"));
            b.send(offer("c"));
            c.expect(forwarded(&["a", "b"])).await;
            // The end of a session does not take its last messages along.
            a.send(offer("c"));
            a.end(Disconnect::Closed(None));
            c.expect(forwarded(&["a"])).await;
            assert_eq!(c.already(), None);
        },
    );
}

#[test]
fn a_hook_that_panics_takes_no_message_of_its_client_along() {
    run(
        |_| {},
        async |_| {
            let world = World::with_hook(|_| {}, |text| assert_ne!(text, "panic"));
            let (socket, mut b) = direct_mock();
            world.serve_peer(socket, request("key=peerjs&id=b&token=t"));
            idle().await;
            while let Some(Output::Written(_)) = b.already() {}
            let a = world.client("a").await;
            a.comes(Input::Texts(vec![offer("b"), "panic".to_owned()]));
            let frame = Frame::of_text(&forwarded_offer("a", "b"));
            b.expect(Output::Written(frame.as_bytes().to_vec())).await;
        },
    );
}

#[test]
fn a_ping_is_answered_with_its_payload() {
    run(
        |_| {},
        async |world| {
            let mut a = world.client("a").await;
            for payload in [&b""[..], b"are you there?"] {
                a.comes(Input::Ping(payload.to_vec()));
                a.expect(Output::Pong(payload.to_vec())).await;
            }
        },
    );
}

#[test]
fn a_flood_leaves_its_worker_time_for_others() {
    run(
        |_| {},
        async |world| {
            const FLOOD: usize = 10_000;
            let flooder = world.client("flooder").await;
            let mut other = world.client("other").await;
            (0..FLOOD).for_each(|_| flooder.send(""));
            other.comes(Input::Ping(b"x".to_vec()));
            other.expect(Output::Pong(b"x".to_vec())).await;
            let read = FLOOD - flooder.unread();
            assert!(read <= 2 * READS_PER_TURN, "{read} reads of a flood before the one of somebody else");
        },
    );
}

#[test]
fn a_read_of_very_many_messages_leaves_its_worker_time_for_others() {
    run(
        |_| {},
        async |_| {
            const FLOOD: usize = 10_000;
            const OTHERS: &str = "of somebody else";
            let texts = Arc::<Mutex<Vec<String>>>::default();
            let of_hook = Arc::clone(&texts);
            let world = World::with_hook(|_| {}, move |text| of_hook.lock().unwrap().push(text.to_owned()));
            let flooder = world.client("flooder").await;
            let other = world.client("other").await;
            flooder.comes(Input::Texts(vec![HEARTBEAT.to_owned(); FLOOD]));
            other.send(OTHERS);
            for _ in 0..FLOOD / FRAMES_PER_TURN as usize {
                idle().await;
            }
            let texts = texts.lock().unwrap();
            let before = texts.iter().position(|text| text == OTHERS).unwrap();
            assert!(
                before <= FRAMES_PER_TURN as usize,
                "{before} messages of a flood before somebody else's"
            );
            assert_eq!(texts.len(), FLOOD + 1, "nothing is lost");
        },
    );
}

#[test]
fn a_client_that_does_not_read_gets_all_when_it_goes_on() {
    run(
        |_| {},
        async |world| {
            let a = world.client("a").await;
            let mut b = world.client("b").await;
            b.stop_reading();
            for _ in 0..3 {
                a.send(offer("b"));
            }
            b.expect_nothing().await;
            b.read_on();
            for _ in 0..3 {
                b.expect_text(&forwarded_offer("a", "b")).await;
            }
        },
    );
}

#[test]
fn a_message_to_an_absent_peer_waits_for_it_and_then_expires() {
    run(
        |_| {},
        async |world| {
            let mut a = world.client("a").await;
            a.send(offer("b"));
            world.advance(4 * SECOND).await;
            let mut b = world.client("b").await;
            b.expect_text(&forwarded_offer("a", "b")).await;
            a.send(offer("c"));
            world.advance(4 * SECOND).await;
            a.expect_nothing().await;
            world.advance(SECOND).await;
            a.expect_text(r#"{"type":"EXPIRE","src":"c","dst":"a"}"#).await;
            world.client("c").await.expect_nothing().await;
        },
    );
}

#[test]
fn a_client_that_sends_too_much_is_not_read_for_a_while() {
    run(
        |config| config.key_settings.messages_per_second = 1,
        async |world| {
            let mut a = world.client("a").await;
            // A burst of ten is fine, and two more are on credit.
            a.comes(Input::Texts(vec![offer("a"); 12]));
            a.send(offer("a"));
            for _ in 0..12 {
                a.expect_text(&forwarded_offer("a", "a")).await;
            }
            for _ in 0..7 {
                world.advance(SECOND / 4).await;
                assert_eq!(a.unread(), 1);
            }
            a.expect_nothing().await;
            world.advance(SECOND / 4).await;
            assert_eq!(a.unread(), 0);
            a.expect_text(&forwarded_offer("a", "a")).await;
        },
    );
}

#[test]
fn a_new_rate_applies_to_clients_that_are_here() {
    run(
        |_| {},
        async |world| {
            let a = world.client("a").await;
            a.comes(Input::Texts(vec![HEARTBEAT.to_owned(); 100]));
            a.send(HEARTBEAT);
            idle().await;
            assert_eq!(a.unread(), 0);
            let mut key = peerbroker_keys::Key::clone(&world.node.tenant("peerjs").unwrap().data());
            key.settings.messages_per_second = 1;
            world.node.put_key(key);
            a.comes(Input::Texts(vec![HEARTBEAT.to_owned(); 12]));
            a.send(HEARTBEAT);
            idle().await;
            assert_eq!(a.unread(), 1);
        },
    );
}

#[test]
fn pings_count_towards_the_rate() {
    run(
        |config| config.key_settings.messages_per_second = 1,
        async |world| {
            let mut a = world.client("a").await;
            for _ in 0..12 {
                a.comes(Input::Ping(Vec::new()));
            }
            for _ in 0..11 {
                a.expect(Output::Pong(Vec::new())).await;
            }
            a.expect_nothing().await;
            assert_eq!(a.unread(), 1);
        },
    );
}

#[test]
fn fragments_and_pongs_that_answer_no_ping_count_towards_the_rate() {
    for frame in [|| Input::Fragment, || Input::Pong] {
        run(
            |config| config.key_settings.messages_per_second = 1,
            async |world| {
                let mut a = world.client("a").await;
                for _ in 0..12 {
                    a.comes(frame());
                }
                a.expect_nothing().await;
                assert_eq!(a.unread(), 1);
            },
        );
    }
}

#[test]
fn answers_to_our_pings_are_free() {
    run(
        |config| config.key_settings.messages_per_second = 1,
        async |world| {
            let mut a = world.client("a").await;
            // Strangers want its id, one after another.
            for _ in 0..40 {
                let mut stranger = world.begin("a", "another");
                stranger.expect(Output::Handshake).await;
                a.expect(Output::Ping).await;
                a.comes(Input::Pong);
                stranger.expect_text(r#"{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}"#).await;
            }
            for _ in 0..10 {
                a.send(offer("a"));
            }
            for _ in 0..10 {
                a.expect_text(&forwarded_offer("a", "a")).await;
            }
        },
    );
}

#[test]
fn a_client_that_leaves_while_it_is_not_read_is_noticed() {
    run(
        |config| config.key_settings.messages_per_second = 1,
        async |world| {
            let mut a = world.client("a").await;
            a.comes(Input::Texts(vec![HEARTBEAT.to_owned(); 60]));
            a.expect_nothing().await;
            a.leave();
            idle().await;
            assert!(world.is_here("a"), "nothing is read, so nothing is seen");
            world.advance(SECOND / 4).await;
            a.expect_end().await;
            assert!(!world.is_here("a"));
        },
    );
}

#[test]
fn a_key_may_let_messages_wait_for_longer_than_the_server_does() {
    run(
        |config| {
            config.key_settings.expire_timeout = ExpireTimeout::try_from(120_000).ok();
            config.limits.alive_timeout = 1000 * SECOND;
        },
        async |world| {
            let mut a = world.client("a").await;
            a.send(offer("b"));
            a.send(offer("c"));
            world.advance(119 * SECOND).await;
            let mut b = world.client("b").await;
            b.expect_text(&forwarded_offer("a", "b")).await;
            a.expect_nothing().await;
            world.advance(SECOND).await;
            a.expect_text(r#"{"type":"EXPIRE","src":"c","dst":"a"}"#).await;
            // A change is for messages that wait already, too.
            a.send(offer("c"));
            idle().await;
            let mut key = peerbroker_keys::Key::clone(&world.node.tenant("peerjs").unwrap().data());
            key.settings.expire_timeout = None;
            world.node.put_key(key);
            world.advance(5 * SECOND).await;
            a.expect_text(r#"{"type":"EXPIRE","src":"c","dst":"a"}"#).await;
        },
    );
}

#[test]
fn a_message_that_may_not_wait_expires_at_once() {
    run(
        |config| config.limits.queue_messages = 0,
        async |world| {
            let mut a = world.client("a").await;
            a.send(offer("b"));
            a.expect_text(r#"{"type":"EXPIRE","src":"b","dst":"a"}"#).await;
        },
    );
}

#[test]
fn a_client_that_is_not_read_is_not_taken_for_silent() {
    let configure = |config: &mut Config| {
        config.key_settings.messages_per_second = 1;
        config.limits.alive_timeout = 10 * SECOND;
    };
    run(configure, async |world| {
        let a = world.client("a").await;
        a.comes(Input::Texts(vec![HEARTBEAT.to_owned(); 60]));
        a.send(HEARTBEAT);
        for _ in 0..6 {
            world.advance(8 * SECOND).await;
            assert!(world.is_here("a"));
        }
        assert_eq!(a.unread(), 1);
        world.advance(2 * SECOND).await;
        assert_eq!(a.unread(), 0);
    });
}

/// A client at the root.
async fn guest(world: &World) -> MockClient {
    let (socket, mut client) = mock();
    world.serve_guest(socket, request("key=peerjs"));
    client.expect(Output::Handshake).await;
    idle().await;
    client
}

#[test]
fn each_topic_or_info_hash_of_a_list_counts_as_a_message() {
    let topics: Vec<String> = (0..30).map(|n| n.to_string()).collect();
    let hashes: Vec<String> = (0..30).map(|n| format!("{n:020}")).collect();
    for list in [
        format!(r#"{{"type":"subscribe","topics":{topics:?}}}"#),
        format!(r#"{{"type":"unsubscribe","topics":{topics:?}}}"#),
        format!(r#"{{"action":"scrape","info_hash":{hashes:?}}}"#),
    ] {
        let configure = |config: &mut Config| {
            config.key_settings.messages_per_second = 1;
            config.dialects = peerbroker_config::Dialects::from_iter(peerbroker_config::Dialect::ALL);
        };
        run(configure, async |world| {
            let client = guest(&world).await;
            client.send(&list);
            client.send(r#"{"type":"ping"}"#);
            // Its burst is ten messages, and the rest comes at the rate.
            for _ in 0..20 {
                idle().await;
                assert_eq!(client.unread(), 1, "{list}");
                world.advance(SECOND).await;
            }
            world.advance(2 * SECOND).await;
            assert_eq!(client.unread(), 0, "{list}");
        });
    }
}

#[test]
fn a_list_ends_where_its_limit_does() {
    run(
        |_| {},
        async |world| {
            let mut client = guest(&world).await;
            let same = vec!["same"; 100_000];
            client.send(format!(
                r#"{{"type":"subscribe","topics":["first",{},"last"]}}"#,
                &format!("{same:?}")[1..].trim_end_matches(']')
            ));
            for (topic, hears) in [("first", true), ("last", false)] {
                client.send(format!(r#"{{"type":"publish","topic":"{topic}","data":1}}"#));
                if hears {
                    let heard = format!(r#"{{"type":"publish","topic":"{topic}","data":1,"clients":1}}"#);
                    client.expect_text(&heard).await;
                }
                client.expect_nothing().await;
            }
        },
    );
}
