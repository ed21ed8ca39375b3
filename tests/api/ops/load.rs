//! Keys that are changed through the API while clients come and go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;

use crate::harness::keys::{INVALID_KEY, plain_key};
use crate::harness::messages::{error, offer};
use crate::harness::ops::with_api;
use crate::harness::wire::opcode;
use crate::harness::{TestServer, wait_until};

const ROUNDS: usize = 40;

/// Connects, sends a message and leaves, repeatedly.
fn come_and_go(server: &TestServer, id: &str, over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        let mut client = server.newcomer_of("one", id);
        client.send(offer("absent", "1"));
        client.send(offer(id, "1"));
        let frame = client.next_frame("a greeting or a goodbye").expect("a frame");
        let code =
            |code: u16| frame.opcode() == opcode::CLOSE && frame.payload.starts_with(&code.to_be_bytes());
        let says = |text: &str| frame.opcode() == opcode::TEXT && frame.payload == text.as_bytes();
        let expected = says(r#"{"type":"OPEN"}"#) || says(&error(INVALID_KEY)) || code(4004) || code(4005);
        assert!(expected, "{frame:?}");
    }
}

#[test]
fn keys_that_are_changed_and_removed_while_clients_come_and_go_leave_nothing_behind() {
    let (server, api) = with_api(&[plain_key("one"), plain_key("two")], None, |_| {});
    let mut bystander = server.client_of("two", "bystander");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let coming = ["a", "b", "b"].map(|id| scope.spawn(|| come_and_go(&server, id, &over)));
        let asking = scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                assert!(matches!(api.get("/api/keys/one/peers").status, 200 | 404));
                assert_eq!(api.get("/api/stats").status, 200);
            }
        });
        for n in 0..ROUNDS {
            let key = json!({"key": "one", "messages_per_second": 0});
            match n % 4 {
                0 => assert_eq!(api.patch("/api/keys/one", &json!({"enabled": false})).status, 200),
                1 => assert_eq!(api.patch("/api/keys/one", &json!({"enabled": true})).status, 200),
                2 => assert_eq!(api.delete("/api/keys/one").status, 204),
                _ => assert_eq!(api.post("/api/keys", &key).status, 201),
            }
            assert!(matches!(api.delete("/api/keys/one/peers/a").status, 204 | 404));
            bystander.expect_nothing("bystander");
        }
        over.store(true, Ordering::SeqCst);
        for thread in coming {
            thread.join().unwrap();
        }
        asking.join().unwrap();
    });
    server.client_of("one", "last").expect_nothing("last");
    wait_until("nobody", || server.tenant("one").is_empty());
    assert_eq!(api.get("/api/keys/one").json["clients"], 0);
    assert_eq!(api.delete("/api/keys/one").status, 204);
    wait_until("nothing that waits", || server.node().queued_bytes() == 0);
    bystander.expect_nothing("bystander");
    assert_eq!(server.node().peers(), 1);
}
