//! The page of a client goes away: where the key wants it, its peers hear LEAVE.

use super::*;
use peerbroker_core::vocabulary::CloseReason;

/// Most peers that one connection remembers.
const MAX_CONTACTS: usize = 32;

fn leave_of(src: &str, dst: &str) -> String {
    format!(r#"{{"type":"LEAVE","src":"{src}","dst":"{dst}"}}"#)
}

fn on(config: &mut Config) {
    config.key_settings.leave_on_close = true;
}

/// Ends a client as a page does that goes away.
async fn goes_away(client: &mut MockClient) {
    client.end(Disconnect::Closed(Some(1001)));
    client.expect(Output::Close(Some(1001))).await;
}

#[test]
fn peers_that_it_has_sent_to_or_heard_from_get_leave_and_no_others() {
    run(on, async |world| {
        let mut a = world.client("a").await;
        let [mut called, mut caller] = [world.client("called").await, world.client("caller").await];
        let mut stranger = world.client("stranger").await;
        a.send(offer("called"));
        called.expect_text(&forwarded_offer("a", "called")).await;
        caller.send(offer("a"));
        a.expect_text(&forwarded_offer("caller", "a")).await;
        // LEAVE is no exchange: they have nothing to close.
        stranger.send(r#"{"type":"LEAVE","dst":"a"}"#);
        a.expect_text(&leave_of("stranger", "a")).await;

        goes_away(&mut a).await;
        called.expect_text(&leave_of("a", "called")).await;
        caller.expect_text(&leave_of("a", "caller")).await;
        for other in [&mut called, &mut caller, &mut stranger] {
            other.expect_nothing().await;
        }
        assert!(!world.is_here("a"));
    });
}

#[test]
fn a_caller_whose_offer_has_waited_gets_leave_too() {
    run(on, async |world| {
        let mut caller = world.client("caller").await;
        caller.send(offer("a"));
        caller.expect_nothing().await;
        let mut a = world.client("a").await;
        a.expect_text(&forwarded_offer("caller", "a")).await;
        goes_away(&mut a).await;
        caller.expect_text(&leave_of("a", "caller")).await;
    });
}

#[test]
fn an_end_that_is_no_page_going_away_says_nothing() {
    run(on, async |world| {
        let mut b = world.client("b").await;
        let ends = [
            Disconnect::Closed(None),
            Disconnect::Closed(Some(1000)),
            Disconnect::Gone,
            Disconnect::ByServer(CloseReason::ProtocolError),
        ];
        for end in ends {
            let a = world.client("a").await;
            a.send(offer("b"));
            b.expect_text(&forwarded_offer("a", "b")).await;
            a.end(end);
            b.expect_nothing().await;
            assert!(!world.is_here("a"), "{end:?}");
        }
    });
}

#[test]
fn without_the_setting_a_page_goes_away_in_silence() {
    run(
        |_| {},
        async |world| {
            let [mut a, mut b] = [world.client("a").await, world.client("b").await];
            a.send(offer("b"));
            b.expect_text(&forwarded_offer("a", "b")).await;
            goes_away(&mut a).await;
            b.expect_nothing().await;
        },
    );
}

#[test]
fn an_older_connection_says_nothing_and_its_successor_speaks_for_both() {
    run(on, async |world| {
        let [mut old, mut b] = [world.client("a").await, world.client("b").await];
        old.send(offer("b"));
        b.expect_text(&forwarded_offer("a", "b")).await;
        let mut new = world.client("a").await;
        old.expect(Output::Close(Some(4001))).await;
        old.end(Disconnect::Closed(Some(1001)));
        old.expect(Output::Shutdown).await;
        b.expect_nothing().await;
        assert!(world.is_here("a"));

        goes_away(&mut new).await;
        b.expect_text(&leave_of("a", "b")).await;
    });
}

#[test]
fn leave_is_on_its_way_before_another_client_has_the_id() {
    run(on, async |world| {
        let [mut a, mut b] = [world.client("a").await, world.client("b").await];
        a.send(offer("b"));
        b.expect_text(&forwarded_offer("a", "b")).await;
        // The page is reloaded: the new one has another token.
        a.end(Disconnect::Closed(Some(1001)));
        let mut reloaded = world.begin("a", "another");
        reloaded.send(offer("b"));
        a.expect(Output::Close(Some(1001))).await;
        reloaded.expect(Output::Handshake).await;
        expect_open(&mut reloaded).await;
        b.expect_text(&leave_of("a", "b")).await;
        b.expect_text(&forwarded_offer("a", "b")).await;
    });
}

#[test]
fn of_very_many_peers_those_hear_it_that_were_silent_for_less_long() {
    run(on, async |world| {
        let mut a = world.client("a").await;
        let name = |number: usize| format!("peer-{number}");
        let mut peers = Vec::new();
        for number in 0..MAX_CONTACTS + 2 {
            peers.push(world.client(&name(number)).await);
        }
        // The first two come last again.
        let in_order = (0..MAX_CONTACTS).chain([0, 1]).chain(MAX_CONTACTS..MAX_CONTACTS + 2);
        for number in in_order {
            a.send(offer(&name(number)));
            peers[number].expect_text(&forwarded_offer("a", &name(number))).await;
        }
        goes_away(&mut a).await;
        for (number, peer) in peers.iter_mut().enumerate() {
            if ![2, 3].contains(&number) {
                peer.expect_text(&leave_of("a", &name(number))).await;
            }
            peer.expect_nothing().await;
        }
    });
}
