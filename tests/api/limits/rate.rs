//! The rate limit of messages per client.
//!
//! Some run on both transports: a pause means that a socket is not read, which each does in its own way.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use peerbroker::Config;
use peerbroker_core::vocabulary::PeerId;
use peerbroker_keys::Change;
use tokio::sync::oneshot::error::TryRecvError;

use crate::harness::guests::call;
use crate::harness::keys::{key, on_both_with_keys, on_own_with_keys};
use crate::harness::messages::{HEARTBEAT, ID_TAKEN, forwarded_offer, offer};
use crate::harness::{RawClient, TestServer, Transport, on_both_with, on_own_with, wait_until, wire};

const MS: Duration = Duration::from_millis(1);

fn rate(per_second: u32) -> impl Fn(&mut Config) {
    move |config| config.key_settings.messages_per_second = per_second
}

/// The same with a long alive timeout.
fn patient_rate(per_second: u32) -> impl Fn(&mut Config) {
    move |config| {
        config.key_settings.messages_per_second = per_second;
        config.limits.alive_timeout = Duration::from_secs(1_000_000);
    }
}

/// Sends messages to `b` one by one, each after the previous one has arrived.
fn send_and_hear(a: &mut RawClient, b: &mut RawClient, numbers: impl IntoIterator<Item = usize>) {
    for n in numbers {
        a.send(offer("b", &n.to_string()));
        b.expect(forwarded_offer("a", "b", &n.to_string()));
    }
}

/// Waits until a client has answered a ping, while the clock advances by a second.
fn lives_on(server: &TestServer, id: &str) {
    // The first pause has ended and the next one has begun.
    server.settle();
    let Some(mut answered) = server.realm().probe(&PeerId::parse(id).unwrap()) else {
        panic!("too many ask {id} already");
    };
    server.advance(Duration::from_secs(1));
    wait_until("a sign of life", || !matches!(answered.try_recv(), Err(TryRecvError::Empty)));
    assert!(server.realm().contains(id), "{id} is still here");
}

#[test]
fn after_a_burst_of_ten_times_the_rate_nothing_is_read_until_time_has_passed() {
    on_both_with(patient_rate(2), |server| {
        let mut a = server.client("a");
        let mut b = server.client("b");
        let mut c = server.client("c");
        // The last one is on credit: half a second to wait.
        send_and_hear(&mut a, &mut b, 0..21);
        // At once, because what one read brings is handled together.
        let burst: Vec<u8> = (21..25).flat_map(|n| wire::text(&offer("b", &n.to_string()))).collect();
        a.send_raw(burst);
        server.settle();
        // It delays nobody, and still receives.
        b.send(offer("c", "1"));
        c.expect(forwarded_offer("b", "c", "1"));
        c.send(offer("a", "1"));
        a.expect(forwarded_offer("c", "a", "1"));
        server.advance(499 * MS);
        server.settle();
        c.send(offer("b", "\"before\""));
        b.expect(forwarded_offer("c", "b", "\"before\""));
        server.advance(MS);
        for n in 21..25 {
            b.expect(forwarded_offer("a", "b", &n.to_string()));
        }
    });
}

#[test]
fn nothing_is_lost_or_comes_in_another_order() {
    on_both_with(patient_rate(10), |server| {
        let mut a = server.client("a");
        let mut b = server.client("b");
        let count = 2000;
        let got = AtomicUsize::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                let filler = "x".repeat(500);
                for n in 0..count {
                    a.send(offer("b", &format!("\"{n} {filler}\"")));
                }
            });
            scope.spawn(|| {
                let filler = "x".repeat(500);
                for n in 0..count {
                    b.expect(forwarded_offer("a", "b", &format!("\"{n} {filler}\"")));
                    got.fetch_add(1, Ordering::SeqCst);
                }
            });
            wait_until("all messages", || {
                server.advance(100 * MS);
                got.load(Ordering::SeqCst) == count
            });
        });
    });
}

#[test]
fn a_client_counts_as_alive_during_its_rate_limit_pause() {
    let alive = Duration::from_secs(10);
    on_both_with(
        |config| {
            config.key_settings.messages_per_second = 1;
            config.limits.alive_timeout = alive;
        },
        |server| {
            let mut a = server.client("a");
            // One read: twenty seconds on credit.
            let burst: Vec<u8> = (0..30).flat_map(|n| wire::text(&offer("a", &n.to_string()))).collect();
            a.send_raw(burst);
            for n in 0..30 {
                a.expect(forwarded_offer("a", "a", &n.to_string()));
            }
            for _ in 0..15 {
                lives_on(server, "a");
            }
            let mut newcomer = server.begin("a", "another token");
            server.settle();
            server.advance(Duration::from_secs(1));
            newcomer.expect_accepted();
            newcomer.expect_refused(ID_TAKEN);
            assert!(server.realm().contains("a"));
        },
    );
}

#[test]
fn a_client_can_be_closed_during_its_rate_limit_pause() {
    on_both_with_keys(
        &[key("one", Change { messages_per_second: Some(1), ..Change::default() })],
        |server, keys| {
            let mut a = server.client_of("one", "a");
            let burst: Vec<u8> = (0..30).flat_map(|n| wire::text(&offer("a", &n.to_string()))).collect();
            a.send_raw(burst);
            for n in 0..30 {
                a.expect(forwarded_offer("a", "a", &n.to_string()));
            }
            keys.remove("one");
            a.expect_closed_with(Some(4004));
        },
    );
}

#[test]
fn frames_of_every_kind_count() {
    use wire::opcode::{CONTINUATION, PING, PONG, TEXT};
    let fragments = [
        wire::frame(TEXT, b""),
        wire::frame(CONTINUATION, b"").repeat(9),
        wire::frame(wire::FIN | CONTINUATION, HEARTBEAT.as_bytes()),
    ];
    for (kind, frames) in [
        ("heartbeats", wire::text(HEARTBEAT).repeat(11)),
        ("pings", wire::frame(wire::FIN | PING, b"").repeat(11)),
        // One of them answers the broker's ping, which is free.
        ("pongs", wire::frame(wire::FIN | PONG, b"").repeat(12)),
        ("fragments", fragments.concat()),
    ] {
        eprintln!("{kind}");
        on_both_with(rate(1), |server| {
            let mut a = server.client("a");
            let mut b = server.client("b");
            server.hear_frame(&mut a, "a", &frames);
            a.send(offer("b", "1"));
            server.settle();
            b.expect_nothing("b");
            server.advance(Duration::from_secs(1));
            b.expect(forwarded_offer("a", "b", "1"));
        });
    }
}

#[test]
fn a_client_that_leaves_while_it_has_to_wait_is_gone_at_once() {
    let leave: [fn(RawClient); 2] = [drop, RawClient::reset];
    for leave in leave {
        let server = TestServer::start(Transport::Own, rate(1));
        let mut a = server.client("a");
        // One read: twenty seconds on credit. The server does not read the rest.
        let messages = |range: std::ops::Range<usize>| -> Vec<u8> {
            range.flat_map(|n| wire::text(&offer("a", &n.to_string()))).collect()
        };
        a.send_raw(messages(0..30));
        (0..30).for_each(|n| a.expect(forwarded_offer("a", "a", &n.to_string())));
        a.send_raw(messages(30..40));
        leave(a);
        // The wait would be a third of a minute.
        let noticed = (0..8).any(|_| {
            server.settle();
            server.advance(Duration::from_millis(250));
            !server.realm().contains("a")
        });
        assert!(noticed);
    }
}

#[test]
fn guests_have_the_rate_of_their_key() {
    on_own_with(rate(1), |server| {
        let (mut a, a_id) = server.caller("a");
        let (mut b, b_id) = server.caller("b");
        for _ in 0..9 {
            a.send(call("offer", &b_id, ""));
            b.expect(call("offer", &a_id, ""));
        }
        a.send(call("bye", &b_id, ""));
        server.settle();
        b.expect_quiet();
        server.advance(Duration::from_secs(1));
        b.expect(r#"{"action":"bye","data":{}}"#);
    });
}

#[test]
fn the_rate_limit_is_a_setting_of_the_key_and_applies_to_each_client() {
    on_own_with_keys(
        &[key("one", Change { messages_per_second: Some(1), ..Change::default() })],
        |server, keys| {
            let mut a = server.client_of("one", "a");
            let mut b = server.client_of("one", "b");
            send_and_hear(&mut a, &mut b, 0..11);
            let mut c = server.client_of("one", "c");
            for n in 0..11 {
                c.send(offer("b", &n.to_string()));
                b.expect(forwarded_offer("c", "b", &n.to_string()));
            }
            let mut free = server.client("a");
            let mut other = server.client("b");
            send_and_hear(&mut free, &mut other, 0..100);
            // New clients get the new setting.
            keys.change("one", Change { messages_per_second: Some(0), ..Change::default() });
            let mut again = server.client_of("one", "a");
            send_and_hear(&mut again, &mut b, 0..100);
        },
    );
}
