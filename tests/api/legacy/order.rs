//! Nothing is lost, doubled or out of order when a stream is renewed or left for a WebSocket while
//! messages wait.

use std::thread;

use crate::harness::http_client::TIMEOUT;
use crate::harness::legacy::StreamClient;
use crate::harness::messages::offer;
use crate::harness::wire::opcode;
use crate::harness::{RawClient, on_own, on_own_with, token_of};

fn number(message: &str) -> usize {
    let message: serde_json::Value = serde_json::from_str(message).unwrap();
    message["payload"].as_u64().expect("a number") as usize
}

/// The remaining lines of a stream.
fn rest(mut stream: StreamClient) -> Vec<usize> {
    std::iter::from_fn(|| stream.next_line()).map(|line| number(&line)).collect()
}

#[test]
fn a_friend_waits_for_its_turn_and_not_until_a_flood_is_over() {
    const FLOOD: usize = 40;
    on_own(|server| {
        let mut a = server.stream("a");
        let [mut flooder, mut friend] = ["flooder", "friend"].map(|id| server.client(id));
        (0..FLOOD).for_each(|n| flooder.send(offer("a", &n.to_string())));
        flooder.expect_nothing("flooder");
        (FLOOD..FLOOD + 3).for_each(|n| friend.send(offer("a", &n.to_string())));
        friend.expect_nothing("friend");
        let got: Vec<usize> = (0..FLOOD + 3).map(|_| number(&a.next_line().unwrap())).collect();
        let (of_flood, of_friend): (Vec<usize>, Vec<usize>) = got.iter().partition(|n| **n < FLOOD);
        assert!(of_flood.is_sorted() && of_friend.is_sorted(), "each sender's are in order: {got:?}");
        let behind = got.iter().rev().take_while(|n| **n < FLOOD).count();
        assert!(behind > FLOOD / 2, "{got:?}");
    });
}

#[test]
fn in_a_ping_pong_of_stream_and_websocket_nothing_is_lost_doubled_or_out_of_order() {
    const COUNT: usize = 300;
    on_own_with(
        |config| config.close_timeout = TIMEOUT,
        |server| {
            let mut stream = server.stream("a");
            let mut b = server.client("b");
            thread::scope(|scope| {
                scope.spawn(move || {
                    (0..COUNT).for_each(|n| b.send(offer("a", &n.to_string())));
                    b.expect_nothing("b");
                });
                let mut got = 0;
                let mut take = |n: usize| {
                    assert_eq!(n, got);
                    got += 1;
                    got < COUNT
                };
                loop {
                    let mut client = server.begin("a", &token_of("a"));
                    client.expect_accepted();
                    let old = rest(stream);
                    let mut more = old.into_iter().map(&mut take).last().unwrap_or(true);
                    // The server refuses a stream beside an open WebSocket, so the WebSocket leaves first.
                    for _ in 0..3 {
                        more = more && take(next_number(&mut client).unwrap());
                    }
                    client.close(None);
                    while let Some(n) = next_number(&mut client) {
                        more = take(n);
                    }
                    client.expect_end();
                    if !more {
                        break;
                    }
                    server.wait_until_gone("a");
                    stream = server.stream("a");
                }
            });
        },
    );

    fn next_number(client: &mut RawClient) -> Option<usize> {
        let frame = client.next_frame("a message or the close").expect("no end without a close frame");
        (frame.opcode() != opcode::CLOSE).then(|| number(std::str::from_utf8(&frame.payload).unwrap()))
    }
}
