//! Clients are registered or refused, and ids change hands.

use super::*;

const WAITING: &str =
    r#"{"type":"WAITING","payload":{"msg":"The ID may still be in use: waiting for its last connection"}}"#;

#[test]
fn a_client_is_greeted_and_registered() {
    run(
        |_| {},
        async |world| {
            let mut a = world.client("a").await;
            a.expect_nothing().await;
            assert!(world.is_here("a"));
            assert_eq!(world.sessions(), 1);
        },
    );
}

#[test]
fn a_client_with_a_bad_query_hears_why_it_is_refused() {
    run(
        |_| {},
        async |world| {
            for (query, message) in [
                ("key=peerjs&id=a", "No id, token, or key supplied to websocket server"),
                ("key=other&id=a&token=t", "Invalid key provided"),
                ("key=peerjs&id=a%0A&token=t", "Invalid id provided: it has control characters"),
            ] {
                let mut client = world.begin_with(query);
                client.expect(Output::Handshake).await;
                client.expect_text(&error(message)).await;
                client.expect_closed_with(None).await;
            }
            assert!(!world.is_here("a"));
            assert_eq!(world.sessions(), 0);
        },
    );
}

#[test]
fn a_client_beyond_the_limit_is_refused() {
    run(
        |config| config.key_settings.concurrent_limit = 1,
        async |world| {
            let a = world.client("a").await;
            let mut b = world.begin("b", "t");
            b.expect(Output::Handshake).await;
            b.expect_text(&error("Server has reached its concurrent user limit")).await;
            b.expect_closed_with(None).await;
            a.leave();
            idle().await;
            drop(world.client("b").await);
        },
    );
}

#[test]
fn an_id_stays_with_a_holder_that_answers() {
    run(
        |_| {},
        async |world| {
            let (mut holder, mut other) = world.contested().await;
            other.expect_nothing().await;
            holder.comes(Input::Pong);
            other.expect_text(r#"{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}"#).await;
            other.expect_closed_with(None).await;
            holder.expect_nothing().await;
            assert!(world.is_here("a"));
        },
    );
}

#[test]
fn an_id_goes_to_another_client_if_its_holder_does_not_answer() {
    run(
        |_| {},
        async |world| {
            let (mut holder, mut other) = world.contested().await;
            world.advance(2 * SECOND).await;
            other.expect_text(WAITING).await;
            world.advance(SECOND).await;
            holder.expect_closed_with(Some(4002)).await;
            // The id is kept for its owner for a while.
            other.expect_nothing().await;
            world.advance(10 * SECOND).await;
            expect_open(&mut other).await;
        },
    );
}

#[test]
fn a_client_that_leaves_while_the_holder_is_asked_gets_no_id() {
    run(
        |_| {},
        async |world| {
            let (holder, other) = world.contested().await;
            other.leave();
            world.advance(SECOND).await;
            assert_eq!(world.sessions(), 1);
            holder.leave();
            idle().await;
            assert!(!world.is_here("a"));
        },
    );
}

#[test]
fn the_same_token_takes_an_id_over() {
    run(
        |_| {},
        async |world| {
            let mut first = world.client("a").await;
            let mut second = world.begin("a", "t");
            second.expect(Output::Handshake).await;
            expect_open(&mut second).await;
            // The first client sends nothing any more.
            first.send(offer("a"));
            first.expect_closed_with(Some(4001)).await;
            second.expect_nothing().await;
            assert!(world.is_here("a"), "the end of the first does not remove the second");
            assert_eq!(world.sessions(), 1);
        },
    );
}

#[test]
fn what_a_client_has_not_got_goes_to_the_connection_that_takes_over() {
    run(
        |_| {},
        async |world| {
            let a = world.client("a").await;
            let mut first = world.client("b").await;
            first.stop_reading();
            a.send(offer("b"));
            idle().await;
            let mut second = world.begin("b", "t");
            second.expect(Output::Handshake).await;
            expect_open(&mut second).await;
            second.expect_text(&forwarded_offer("a", "b")).await;
            first.read_on();
            first.expect_closed_with(Some(4001)).await;
        },
    );
}

#[test]
fn a_refused_guest_hears_it_in_the_dialect_of_its_first_text() {
    run(
        |_| {},
        async |world| {
            for (text, told) in [
                (
                    Some(r#"{"action":"createRoom"}"#),
                    Some(r#"{"type":"error","val":"Invalid key provided"}"#),
                ),
                (Some(r#"["REQ","s",{}]"#), Some(r#"["NOTICE","Invalid key provided"]"#)),
                (Some(r#"{"type":"subscribe","topics":["t"]}"#), None),
                (None, Some(r#"{"type":"error","val":"Invalid key provided"}"#)),
            ] {
                let (socket, mut client) = mock();
                world.serve_guest(socket, request("key=other"));
                client.expect(Output::Handshake).await;
                client.expect_nothing().await;
                match text {
                    Some(text) => client.send(text),
                    None => world.advance(SECOND).await,
                }
                if let Some(told) = told {
                    client.expect_text(told).await;
                }
                client.expect_closed_with(Some(4014)).await;
            }
        },
    );
}

#[test]
fn a_guest_is_served_in_its_own_dialect() {
    run(
        |_| {},
        async |world| {
            let guest = |query| {
                let (socket, client) = mock();
                world.serve_guest(socket, request(query));
                client
            };
            let mut player = guest("");
            // A guest is not greeted.
            player.expect(Output::Handshake).await;
            player.expect_nothing().await;
            player.send(r#"{"action":"joinRoom","room":"NONE","username":"u","offer":{}}"#);
            player.expect_text(r#"{"type":"error","val":"wrong room"}"#).await;
            // LEAVE is PeerJS, and means nothing here.
            player.send(LEAVE);
            player.expect_nothing().await;
            player.end(Disconnect::Closed(Some(1000)));
            player.expect(Output::Close(Some(1000))).await;
        },
    );
}
