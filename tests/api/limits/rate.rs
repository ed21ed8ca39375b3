//! The rate limit of messages per client.
//!
//! Some run on both transports: a pause means that a socket is not read, which each does in its own way.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use peerbroker::Config;
use peerbroker_keys::Change;

use crate::harness::keys::{key, on_both_with_keys};
use crate::harness::messages::{forwarded_offer, offer};
use crate::harness::{RawClient, on_both_with, wait_until, wire};

const MS: Duration = Duration::from_millis(1);

/// A rate limit, and a long alive timeout.
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
