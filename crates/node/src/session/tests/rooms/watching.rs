//! Clients that watch ids.

use super::*;

fn watch(ids: &str) -> String {
    format!(r#"{{"type":"PRESENCE-WATCH","ids":[{ids}],"request":1}}"#)
}

fn presence(id: &str, online: bool) -> String {
    format!(r#"{{"type":"PRESENCE","id":"{id}","online":{online}}}"#)
}

const WATCHED: &str = r#"{"type":"PRESENCE-OK","request":1}"#;

#[test]
fn a_client_that_watches_ids_hears_when_they_come_and_go() {
    run(
        |_| {},
        async |world| {
            let mut a = world.client("a").await;
            let b = world.client("b").await;
            a.send(watch(r#""b","c","a""#));
            for frame in [presence("b", true), presence("c", false), presence("a", true)] {
                a.expect_text(&frame).await;
            }
            a.expect_text(WATCHED).await;
            let mut c = world.client("c").await;
            a.expect_text(&presence("c", true)).await;
            b.send(LEAVE);
            a.expect_text(&presence("b", false)).await;
            // A client that comes back hears again of what it watches, and those that watch it notice
            // nothing.
            c.send(watch(r#""a""#));
            c.expect_text(&presence("a", true)).await;
            c.expect_text(WATCHED).await;
            c.leave();
            idle().await;
            let mut back = world.begin("c", "t");
            back.expect(Output::Handshake).await;
            expect_open(&mut back).await;
            back.expect_text(&presence("a", true)).await;
            back.leave();
            a.expect_nothing().await;
            world.advance(11 * SECOND).await;
            a.expect_text(&presence("c", false)).await;
            assert_eq!(rooms(&world), 0);
        },
    );
}

#[test]
fn a_client_hears_nothing_of_ids_that_it_watches_no_longer_and_nothing_is_left_of_them() {
    run(
        |_| {},
        async |world| {
            let mut a = world.client("a").await;
            let b = world.client("b").await;
            a.send(watch(r#""b""#));
            a.expect_text(&presence("b", true)).await;
            a.expect_text(WATCHED).await;
            a.send(r#"{"type":"PRESENCE-UNWATCH","ids":["b","nobody"],"request":1}"#);
            a.expect_text(WATCHED).await;
            b.send(LEAVE);
            a.expect_nothing().await;
            let b = world.client("b").await;
            a.expect_nothing().await;
            world.advance(2 * SECOND).await;
            world.advance(2 * SECOND).await;
            assert!(world.node.tenant("peerjs").unwrap().existing_rooms(RealmKind::PeerJs).is_none());
            drop(b);
        },
    );
}

#[test]
fn each_id_of_a_request_to_watch_counts_towards_the_rate() {
    run(
        |config| config.key_settings.messages_per_second = 1,
        async |world| {
            let mut a = world.client("a").await;
            for kind in ["WATCH", "UNWATCH"] {
                a.send(format!(
                    r#"{{"type":"PRESENCE-{kind}","ids":["b","c","d","e","f","g"],"request":1}}"#
                ));
            }
            idle().await;
            let answers = std::iter::from_fn(|| a.already()).count();
            assert_eq!(answers, 6 + 2);
            // Two requests and twelve ids are four more than a burst.
            a.send(HEARTBEAT);
            for _ in 0..3 {
                world.advance(SECOND).await;
                assert_eq!(a.unread(), 1);
            }
            world.advance(SECOND).await;
            assert_eq!(a.unread(), 0);
        },
    );
}

#[test]
fn requests_to_watch_beyond_a_limit_or_without_sense_are_refused() {
    run(
        |config| config.key_settings.room_members = 1,
        async |world| {
            let mut a = world.client("a").await;
            let mut b = world.client("b").await;
            let refused = |label: &str, text: &str| {
                format!(
                    r#"{{"type":"PRESENCE-REFUSED","request":1,"payload":{{"type":"{label}","msg":"{text}"}}}}"#
                )
            };
            let invalid = refused("invalid_ids", "The ids to watch are an array of valid ids");
            for ids in ["", "5", r#""b",null"#, r#""""#, r#""\u0001b""#] {
                a.send(watch(ids));
                a.expect_text(&invalid).await;
            }
            a.send(r#"{"type":"PRESENCE-WATCH","request":1}"#);
            a.expect_text(&invalid).await;
            let ids = |range: std::ops::Range<usize>| {
                range.map(|n| format!("\"{n}\"")).collect::<Vec<String>>().join(",")
            };
            let most = peerbroker_rooms::MAX_WATCHED;
            let too_many = refused("too_many_watched", "You watch too many ids");
            a.send(watch(&ids(0..most + 1)));
            a.expect_text(&too_many).await;
            a.send(watch(&ids(0..most)));
            for n in 0..most {
                a.expect_text(&presence(&n.to_string(), false)).await;
            }
            a.expect_text(WATCHED).await;
            a.send(watch(r#""more""#));
            a.expect_text(&too_many).await;
            // An id that it watches already needs no place.
            a.send(watch(r#""0""#));
            a.expect_text(&presence("0", false)).await;
            a.expect_text(WATCHED).await;
            b.send(watch(r#""0""#));
            b.expect_text(&refused("room_full", "The room is full")).await;
            let hits = |limit| world.node.counters().total(peerbroker_events::Count::LimitHits(limit));
            assert_eq!(hits(Limit::WatchedIds), 2);
        },
    );
}
