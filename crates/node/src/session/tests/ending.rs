//! Sessions end, and give back what they hold.

use std::sync::{Mutex, OnceLock};

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::*;
use peerbroker_core::vocabulary::{CloseReason, PeerId};

/// A probe of the client `a`.
fn probe(node: &Node) -> oneshot::Receiver<()> {
    node.tenant("peerjs").unwrap().peers().probe(&PeerId::parse("a").unwrap()).unwrap()
}

#[test]
fn a_client_that_gives_signs_of_life_stays_and_a_silent_one_is_dropped() {
    run(
        |_| {},
        async |world| {
            let mut a = world.client("a").await;
            for sign in [Input::Texts(vec![HEARTBEAT.to_owned()]), Input::Pong, Input::Part] {
                world.advance(50 * SECOND).await;
                a.expect(Output::Ping).await;
                a.comes(sign);
                a.expect_nothing().await;
            }
            world.advance(50 * SECOND).await;
            a.expect(Output::Ping).await;
            assert!(world.is_here("a"));
            world.advance(11 * SECOND).await;
            a.expect_closed_with(None).await;
            assert!(!world.is_here("a"));
            assert_eq!(world.sessions(), 0);
        },
    );
}

#[test]
fn leave_ends_the_session_and_gives_the_id_back() {
    run(
        |_| {},
        async |world| {
            let mut a = world.client("a").await;
            a.comes(Input::Texts(vec![LEAVE.to_owned(), offer("a")]));
            a.expect_closed_with(Some(1000)).await;
            assert!(!world.is_here("a"));
            let mut again = world.begin("a", "another");
            again.expect(Output::Handshake).await;
            expect_open(&mut again).await;
            again.expect_nothing().await;
        },
    );
}

/// Otherwise a thread that waits for the id asks before it is free, and is told that it is taken.
#[test]
fn a_probe_waits_until_all_is_handled_that_its_client_has_sent() {
    run(
        |_| {},
        async |_| {
            let open = Arc::<Mutex<Option<oneshot::Receiver<()>>>>::default();
            let seen = Arc::new(Mutex::new(Vec::new()));
            let of_hook = Arc::clone(&open);
            let seen_by_hook = Arc::clone(&seen);
            let world = World::with_hook(
                |_| {},
                move |text| {
                    let state = of_hook.lock().unwrap().as_mut().map(|probe| probe.try_recv());
                    seen_by_hook.lock().unwrap().push((text.to_owned(), state));
                },
            );
            let mut a = world.client("a").await;
            *open.lock().unwrap() = Some(probe(&world.node));
            a.expect(Output::Ping).await;
            a.comes(Input::Texts(vec![HEARTBEAT.to_owned(), LEAVE.to_owned()]));
            a.expect_closed_with(Some(1000)).await;
            let and_the_probe_waits = |text: &str| (text.to_owned(), Some(Err(TryRecvError::Empty)));
            assert_eq!(*seen.lock().unwrap(), [HEARTBEAT, LEAVE].map(and_the_probe_waits));
            assert_eq!(open.lock().unwrap().as_mut().unwrap().try_recv(), Err(TryRecvError::Closed));
        },
    );
}

#[test]
fn what_was_read_before_a_probe_does_not_answer_it() {
    run(
        |_| {},
        async |_| {
            let open = Arc::<Mutex<Option<_>>>::default();
            let node = Arc::<OnceLock<Arc<Node>>>::default();
            let of_hook = Arc::clone(&open);
            let node_of_hook = Arc::clone(&node);
            let world = World::with_hook(
                |_| {},
                move |_| *of_hook.lock().unwrap() = Some(probe(node_of_hook.get().unwrap())),
            );
            node.set(Arc::clone(&world.node)).ok().unwrap();
            let mut a = world.client("a").await;
            a.send(HEARTBEAT);
            a.expect(Output::Ping).await;
            a.expect_nothing().await;
            let mut probe = open.lock().unwrap().take().unwrap();
            assert_eq!(probe.try_recv(), Err(TryRecvError::Empty));
            a.comes(Input::Pong);
            a.expect_nothing().await;
            assert_eq!(probe.try_recv(), Err(TryRecvError::Closed));
        },
    );
}

#[test]
fn a_close_frame_of_the_client_is_answered_and_no_other_waited_for() {
    run(
        |_| {},
        async |world| {
            for code in [None, Some(1000), Some(3999)] {
                let mut a = world.client("a").await;
                a.end(Disconnect::Closed(code));
                a.expect(Output::Close(code)).await;
                a.expect(Output::Shutdown).await;
                // The client ends its side as well.
                a.expect_nothing().await;
                assert_eq!(world.sessions(), 1);
                assert!(!world.is_here("a"));
                a.end(Disconnect::Gone);
                a.expect_end().await;
            }
            assert_eq!(world.sessions(), 0);
        },
    );
}

#[test]
fn a_violation_is_closed_with_its_code() {
    run(
        |_| {},
        async |world| {
            for (reason, code) in [
                (CloseReason::ProtocolError, 1002),
                (CloseReason::NotUtf8, 1007),
                (CloseReason::TooBig, 1009),
                (CloseReason::TryAgainLater, 1013),
            ] {
                let mut a = world.client("a").await;
                a.end(Disconnect::ByServer(reason));
                a.expect_closed_with(Some(code)).await;
                assert!(!world.is_here("a"));
            }
        },
    );
}

#[test]
fn a_client_that_does_not_answer_a_close_frame_is_cut_off() {
    run(
        |_| {},
        async |world| {
            let mut a = world.client("a").await;
            a.send(LEAVE);
            a.expect(Output::Close(Some(1000))).await;
            a.expect_nothing().await;
            assert_eq!(world.sessions(), 1);
            a.expect_end().await;
            assert_eq!(world.sessions(), 0);
        },
    );
}

#[test]
fn a_broken_connection_gives_the_id_back_with_nothing_said() {
    run(
        |_| {},
        async |world| {
            let mut a = world.client("a").await;
            a.end(Disconnect::Gone);
            a.expect_end().await;
            assert!(!world.is_here("a"));
            let mut b = world.client("b").await;
            b.break_writing();
            b.expect_end().await;
            assert!(!world.is_here("b"));
            assert_eq!(world.sessions(), 0);
        },
    );
}

#[test]
fn what_a_broken_connection_did_not_get_waits_for_the_next_one() {
    run(
        |_| {},
        async |world| {
            let a = world.client("a").await;
            let mut b = world.client("b").await;
            b.stop_reading();
            a.send(offer("b"));
            idle().await;
            b.break_writing();
            b.expect_end().await;
            let mut b = world.client("b").await;
            b.expect_text(&forwarded_offer("a", "b")).await;
        },
    );
}

#[test]
fn everybody_is_closed_when_the_server_stops_and_nobody_is_admitted() {
    run(
        |_| {},
        async |world| {
            let mut a = world.client("a").await;
            world.stop();
            let mut b = world.begin("b", "t");
            b.expect(Output::Handshake).await;
            b.expect_text(&error("Server is stopping")).await;
            b.expect_closed_with(Some(1001)).await;
            a.expect_closed_with(Some(1001)).await;
            assert_eq!(world.sessions(), 0);
        },
    );
}

#[test]
fn a_session_that_is_dropped_gives_the_id_back() {
    run(
        |_| {},
        async |world| {
            let (socket, mut a) = mock();
            let session = world.serve_peer(socket, request("key=peerjs&id=a&token=t"));
            a.expect(Output::Handshake).await;
            expect_open(&mut a).await;
            session.abort();
            a.expect_end().await;
            assert!(!world.is_here("a"));
            assert_eq!(world.sessions(), 0);
        },
    );
}
