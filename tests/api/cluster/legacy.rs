//! PeerJS 0.3.x over HTTP behind a load balancer: each request of a client may be on another node.

use std::sync::{Mutex, mpsc};

use peerbroker::{Config, PeerBroker};

use super::Nodes;
use crate::harness::http_client::TIMEOUT;
use crate::harness::legacy::StreamClient;
use crate::harness::messages::{forwarded, forwarded_offer, message, offer};
use crate::harness::{TestServer, wait_until};

/// A stream that began anew, after the time in which its WebSocket could come.
fn stream(node: &TestServer, id: &str) -> StreamClient {
    let mut stream = node.begin_stream(id, 0);
    stream.expect_open();
    stream
}

#[test]
fn a_post_on_any_node_reaches_its_recipient_on_any_other() {
    let nodes = Nodes::start(3);
    let mut a = stream(&nodes[0], "a");
    let mut b = nodes[2].client("b");
    for (n, node) in [1, 2, 0, 1, 1].into_iter().enumerate() {
        assert_eq!(nodes[node].post("a", "offer", &offer("b", &n.to_string())).status, 200);
        b.expect(forwarded_offer("a", "b", &n.to_string()));
    }
    b.send(message("ANSWER", "a", "1"));
    a.expect(forwarded("ANSWER", "b", "a", "1"));
    assert_eq!(nodes[1].post("a", "offer", "nothing").status, 400);
    assert_eq!(nodes[1].post("a", "leave", r#"{"type":"LEAVE"}"#).status, 200);
    a.expect_end();
}

#[test]
fn a_post_waits_for_a_stream_that_opens_on_another_node_in_a_moment() {
    let nodes = Nodes::start(2);
    let mut b = nodes[1].client("b");
    let mut early = nodes[1].begin_post("a", "offer", &offer("b", "1"));
    let _a = stream(&nodes[0], "a");
    assert_eq!(early.response(false).status, 200);
    b.expect(forwarded_offer("a", "b", "1"));
}

#[test]
fn a_post_with_another_token_is_not_handled_by_the_node_of_the_stream() {
    let nodes = Nodes::start(2);
    let mut a = stream(&nodes[0], "a");
    let mut b = nodes[1].client("b");
    let target = nodes[1].post_target_with("a", "not-its-token", "offer");
    assert_eq!(nodes[1].begin_post_at(&target, &offer("b", "1")).response(false).status, 401);
    b.expect_nothing("b");
    a.expect_nothing(&nodes[0], "a");
}

#[test]
fn a_hook_that_waits_for_a_post_of_another_node_delays_nothing_else_between_nodes() {
    let (began, begins) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let builder = PeerBroker::builder().config(Config::default()).on_message(move |client, _| {
        if client.id.as_str() == "a" {
            began.send(()).unwrap();
            released.lock().unwrap().recv_timeout(TIMEOUT).unwrap();
        }
    });
    let mut nodes = Nodes::start(1);
    nodes.push(TestServer::start_node_of(builder, nodes.cluster()));
    let _a = stream(&nodes[1], "a");
    let mut b = nodes[1].client("b");
    let mut c = nodes[0].client("c");
    let mut post = nodes[0].begin_post("a", "offer", &offer("c", "1"));
    begins.recv_timeout(TIMEOUT).unwrap();
    c.send(offer("b", "2"));
    b.expect(forwarded_offer("c", "b", "2"));
    release.send(()).unwrap();
    assert_eq!(post.response(false).status, 200);
    c.expect(forwarded_offer("a", "c", "1"));
}

#[test]
fn a_stream_goes_on_on_another_node_without_a_second_open() {
    let nodes = Nodes::start(3);
    let mut first = stream(&nodes[0], "a");
    let mut b = nodes[2].client("b");
    b.send(offer("a", "1"));
    first.expect(forwarded_offer("b", "a", "1"));
    let mut second = nodes[1].begin_stream("a", 1);
    first.expect_end();
    b.send(offer("a", "2"));
    second.expect(forwarded_offer("b", "a", "2"));
    let mut third = nodes[0].begin_stream("a", 2);
    second.expect_end();
    b.send(offer("a", "3"));
    third.expect(forwarded_offer("b", "a", "3"));
}

#[test]
fn a_stream_that_begins_anew_is_greeted_though_its_client_has_one_on_another_node() {
    let nodes = Nodes::start(2);
    let mut old = stream(&nodes[0], "a");
    let _new = stream(&nodes[1], "a");
    old.expect_end();
}

#[test]
fn a_websocket_that_continues_a_stream_of_another_node_gets_no_second_open() {
    let nodes = Nodes::start(2);
    let mut old = stream(&nodes[0], "a");
    let mut client = nodes[1].upgraded("a");
    old.expect_end();
    client.expect_nothing("a");
}

#[test]
fn a_stream_ends_without_an_open_if_its_client_has_a_websocket_on_another_node() {
    let nodes = Nodes::start(2);
    let mut client = nodes[0].client("a");
    for number in [0, 1] {
        nodes[1].begin_stream("a", number).expect_end();
    }
    client.expect_nothing("a");
    wait_until("the WebSocket to be there", || nodes[0].realm().contains("a"));
}
