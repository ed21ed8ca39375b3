//! Two connections that claim the same id.
//!
//! Some run on both transports: each closes the old socket and saves its outbox in its own way.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use peerbroker_core::vocabulary::CloseReason;

use crate::harness::messages::{ID_TAKEN, LEAVE, WAITING, forwarded_offer, offer};
use crate::harness::wire::opcode;
use crate::harness::{RawClient, Told, on_both, on_own};

const PROBE: Duration = Duration::from_millis(3000);
/// A client that waits longer for its id is told so.
const TOLD: Duration = Duration::from_secs(2);
const MS: Duration = Duration::from_millis(1);

#[test]
fn the_same_token_takes_the_id_over_and_the_old_socket_is_closed_and_not_heard() {
    on_both(|server| {
        let mut old = server.client("a");
        let mut b = server.client("b");
        let mut new = server.client("a");
        b.send(offer("a", "1"));
        new.expect(forwarded_offer("b", "a", "1"));
        new.send(offer("b", "2"));
        b.expect(forwarded_offer("a", "b", "2"));
        old.send(offer("b", r#""from the past""#));
        old.send(LEAVE);
        old.expect_closed_with(Some(4001));
        b.expect_nothing("b");
        new.expect_nothing("a");
        assert_eq!(server.realm().len(), 2);
    });
}

#[test]
fn a_holder_that_does_not_answer_loses_its_id() {
    on_both(|server| {
        let mut holder = server.client("a");
        let mut b = server.client("b");
        let mut newcomer = server.begin("a", "another token");
        holder.expect_ping();
        server.settle();
        server.advance(TOLD);
        newcomer.expect_accepted();
        newcomer.expect(WAITING);
        server.advance(PROBE - TOLD - MS);
        assert_eq!(server.told_about("a"), [Told::Connected("a".into())]);
        server.advance(MS);
        holder.expect_closed_with(Some(4002));
        // Both have the same address, so it does not wait for the holder to come back.
        newcomer.expect_open();
        b.send(offer("a", "1"));
        newcomer.expect(forwarded_offer("b", "a", "1"));
        assert!(server.told_about("a").contains(&Told::Disconnected("a".into(), CloseReason::Evicted)));
        assert_eq!(server.realm().len(), 2);
    });
}

#[test]
fn of_two_newcomers_with_different_tokens_one_gets_the_id() {
    on_own(|server| {
        let mut holder = server.client("a");
        let newcomers = [server.begin("a", "second"), server.begin("a", "third")];
        holder.expect_ping();
        server.advance(PROBE);
        let (told, answers) = mpsc::channel();
        thread::scope(|scope| {
            for newcomer in newcomers {
                let told = told.clone();
                scope.spawn(move || answer_pings(newcomer, &told));
            }
            let mut answers = [answers.recv().unwrap(), answers.recv().unwrap()];
            answers.sort();
            assert_eq!(answers, [ID_TAKEN, r#"{"type":"OPEN"}"#]);
            server.node().close();
        });
    });

    // Returns the first text and answers all pings, including those of a late claim.
    fn answer_pings(mut client: RawClient, told: &mpsc::Sender<String>) {
        client.expect_accepted();
        while let Some(frame) = client.next_frame("an answer") {
            match frame.opcode() {
                opcode::PING => client.pong(&frame.payload),
                opcode::TEXT if frame.payload == WAITING.as_bytes() => {}
                opcode::TEXT => told.send(String::from_utf8(frame.payload).unwrap()).unwrap(),
                _ => return,
            }
        }
    }
}
