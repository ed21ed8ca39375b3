//! Keys that change while clients come and go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use peerbroker_keys::KeyStore as _;

use crate::harness::guests::{OFFER, join};
use crate::harness::keys::{INVALID_KEY, api_key, enabled, on_own_with_keys, plain_key};
use crate::harness::messages::{error, offer};
use crate::harness::wire::opcode;
use crate::harness::{TestServer, wait_until};

const FLIPS: usize = 100;

/// Connects, sends a message and leaves, repeatedly; returns how often it was admitted.
fn come_and_go(server: &TestServer, name: &str, over: &AtomicBool) -> usize {
    let mut admitted = 0;
    for n in 0.. {
        if over.load(Ordering::SeqCst) {
            break;
        }
        let mut client = server.newcomer_of("one", name);
        client.send(offer("absent", &n.to_string()));
        client.send(offer(name, &n.to_string()));
        let frame = client.next_frame("a greeting or a goodbye").expect("a frame");
        match (frame.opcode(), &*frame.payload) {
            (opcode::TEXT, br#"{"type":"OPEN"}"#) => admitted += 1,
            (opcode::TEXT, text) => assert_eq!(String::from_utf8_lossy(text), error(INVALID_KEY)),
            // Admitted, and closed before it got its OPEN.
            (opcode::CLOSE, code) => assert_eq!(code[..2], 4004_u16.to_be_bytes()),
            other => panic!("{other:?}"),
        }
        // Half of them leave without a close frame.
        if n % 2 == 0 {
            client.close(None);
            client.expect_cut_off();
        }
    }
    admitted
}

/// Time for which a room waits for a host that was lost.
const RECLAIM: Duration = Duration::from_secs(10);

fn play(server: &TestServer, over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        let mut guest = server.begin_guest("guest", &server.root_of("one"));
        guest.send(r#"{"action":"createRoom"}"#);
        guest.send(join("ABCD", "anna", OFFER));
        guest.next_frame("a room, or a goodbye");
    }
}

#[test]
fn a_key_that_goes_on_and_off_under_load_leaves_nothing_behind() {
    on_own_with_keys(&[plain_key("one"), plain_key("two")], |server, keys| {
        let mut bystander = server.client_of("two", "bystander");
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let names = ["a", "b", "b"];
            let coming = names.map(|name| scope.spawn(|| come_and_go(server, name, &over)));
            scope.spawn(|| play(server, &over));
            // Like a command and the thread that watches the store.
            let reading = scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    server.read_keys();
                }
            });
            for n in 0..FLIPS {
                keys.change("one", enabled(n % 2 == 1));
                bystander.expect_nothing("bystander");
            }
            over.store(true, Ordering::SeqCst);
            let admitted: usize = coming.into_iter().map(|thread| thread.join().unwrap()).sum();
            eprintln!("{admitted} were let in");
            reading.join().unwrap();
        });
        bystander.expect_nothing("bystander");
        server.client_of("one", "last").expect_nothing("last");
        wait_until("nobody", || server.tenant("one").is_empty());
        // Those whose hosts were lost wait for them.
        server.advance(RECLAIM);
        wait_until("no room", || server.tenant("one").guests().room_codes.is_empty());
        assert_eq!(server.node().peers(), 1);
        keys.remove("one");
        wait_until("nothing that waits", || server.node().queued_bytes() == 0);
    });
}

#[test]
fn keys_that_are_read_by_several_at_once_are_in_force_as_they_were_read_last() {
    on_own_with_keys(&[plain_key("one")], |server, keys| {
        for _ in 0..FLIPS {
            keys.store.change(&api_key("one"), enabled(false)).unwrap();
            thread::scope(|scope| {
                scope.spawn(|| server.read_keys());
                scope.spawn(|| keys.change("one", enabled(true)));
                scope.spawn(|| server.read_keys());
            });
            server.client_of("one", "a").expect_nothing("a");
        }
    });
}
