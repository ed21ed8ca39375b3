//! Limits of registered keys.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use peerbroker::Config;
use peerbroker_keys::KeyStore as _;

use super::{expect_page, key_in, register, register_with};
use crate::harness::http_client::Response;
use crate::harness::keys::{Keys, on_own_with_keys_and, plain_key};
use crate::harness::{TestServer, on_own_with};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Behind a proxy, with limits per address and in total.
fn bounds(per_day: u32, limit: usize) -> impl Fn(&mut Config) {
    move |config| {
        config.proxied = true;
        config.registration.open = true;
        config.registration.per_day = per_day;
        config.registration.limit = limit;
    }
}

fn register_from(server: &TestServer, address: &str) -> Response {
    register_with(server, &format!("X-Forwarded-For: {address}\r\n"), "My game", "https://a.test")
}

fn expect_too_many(response: &Response, after: Duration) {
    expect_page(response, 429);
    let seconds = after.as_secs();
    assert_eq!(response.header("retry-after"), Some(seconds.to_string()));
    assert!(response.text().contains("the maximum number of keys for 24 hours"), "{}", response.text());
    assert!(response.text().contains(r#"name="name" value="My game""#));
}

#[test]
fn an_address_has_a_limit_of_registrations_in_any_24_hours() {
    on_own_with(bounds(2, 0), |server| {
        key_in(&register_from(server, "192.0.2.1"));
        server.advance(10 * HOUR);
        key_in(&register_from(server, "192.0.2.1"));
        expect_too_many(&register_from(server, "192.0.2.1"), 14 * HOUR);
        for _ in 0..2 {
            key_in(&register_from(server, "192.0.2.2"));
        }
        expect_too_many(&register_from(server, "192.0.2.2"), 24 * HOUR);
        // Addresses that a client puts in front of its own are ignored.
        expect_too_many(&register_from(server, "198.51.100.1, 192.0.2.1"), 14 * HOUR);
        server.advance(14 * HOUR);
        key_in(&register_from(server, "192.0.2.1"));
        expect_too_many(&register_from(server, "192.0.2.1"), 10 * HOUR);
    });
}

#[test]
fn behind_a_proxy_that_the_server_was_not_told_of_all_share_one_bound() {
    let configure = |config: &mut Config| {
        bounds(1, 0)(config);
        config.proxied = false;
    };
    on_own_with(configure, |server| {
        key_in(&register_from(server, "192.0.2.1"));
        expect_too_many(&register_from(server, "192.0.2.2"), 24 * HOUR);
        expect_too_many(&register(server, "My game", "https://a.test"), 24 * HOUR);
    });
}

#[test]
fn refused_registrations_do_not_count() {
    on_own_with(bounds(1, 0), |server| {
        for _ in 0..3 {
            assert_eq!(register(server, "", "https://a.test").status, 422);
            assert_eq!(register(server, "My game", "a.test").status, 422);
            assert_eq!(register_with(server, "Origin: null\r\n", "My game", "https://a.test").status, 403);
        }
        key_in(&register(server, "My game", "https://a.test"));
        expect_too_many(&register(server, "My game", "https://a.test"), 24 * HOUR);
    });
}

#[test]
fn registered_keys_have_a_limit_in_total() {
    on_own_with_keys_and(bounds(1, 2), &[plain_key("an operator's")], |server, keys| {
        let first = key_in(&register_from(server, "192.0.2.1"));
        key_in(&register_from(server, "192.0.2.2"));
        let full = register_from(server, "192.0.2.3");
        expect_page(&full, 503);
        assert!(full.text().contains("This server has no free keys left."));
        assert!(full.text().contains(r#"name="name" value="My game""#));
        keys.remove(&first);
        // The refusal has not counted towards the limit of the address.
        key_in(&register_from(server, "192.0.2.3"));
        assert_eq!(register_from(server, "192.0.2.4").status, 503);
        assert_eq!(registered(keys), 2);
    });
}

fn registered(keys: &Keys<'_>) -> usize {
    keys.store.all().unwrap().iter().filter(|key| key.registered).count()
}

/// Registers from these addresses at once, and returns the status of each response.
fn at_once(server: &TestServer, addresses: &[String]) -> Vec<u16> {
    let start = Barrier::new(addresses.len());
    thread::scope(|scope| {
        let begin = |address| {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                register_from(server, address).status
            })
        };
        let running: Vec<_> = addresses.iter().map(|address| begin(address)).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn the_bounds_hold_when_many_register_at_once() {
    on_own_with_keys_and(bounds(3, 5), &[], |server, keys| {
        let statuses = at_once(server, &vec!["192.0.2.1".to_owned(); 8]);
        assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 3, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 5, "{statuses:?}");
        let others: Vec<String> = (0..8).map(|n| format!("198.51.100.{n}")).collect();
        let statuses = at_once(server, &others);
        assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 2, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 6, "{statuses:?}");
        assert_eq!(registered(keys), 5);
    });
}

#[test]
fn registration_limits_of_zero_are_off() {
    on_own_with(bounds(0, 0), |server| {
        for _ in 0..20 {
            key_in(&register_from(server, "192.0.2.1"));
        }
    });
}
