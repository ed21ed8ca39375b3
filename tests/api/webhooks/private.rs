//! URLs of keys that lead into the network of the server.

use std::net::TcpListener;

use peerbroker_keys::{Change, Key};

use crate::harness::keys::{key, on_own_with_keys_and};
use crate::harness::receiver::Receiver;
use crate::harness::wait_until;

#[test]
fn the_url_of_a_key_leads_to_no_private_address() {
    let operator = Receiver::start();
    let inside = TcpListener::bind("127.0.0.1:0").unwrap();
    inside.set_nonblocking(true).unwrap();
    let port = inside.local_addr().unwrap().port();
    let hosts = [
        "https://127.0.0.1",
        "https://localhost",
        "https://2130706433",
        "https://0x7f.1",
        "https://[::1]",
        "https://[::ffff:127.0.0.1]",
        "https://0.0.0.0",
        // Not even with TLS: it needs --webhook_private.
        "http://127.0.0.1",
        "http://localhost",
    ];
    let keys: Vec<Key> = hosts
        .iter()
        .enumerate()
        .map(|(n, host)| {
            let webhook = operator.webhook_at(&format!("{host}:{port}/"));
            key(&format!("key-{n}"), Change { webhook: Some(webhook), ..Change::default() })
        })
        .collect();
    on_own_with_keys_and(
        |config| config.webhooks.operator = operator.webhook(),
        &keys,
        |server, _| {
            let clients: Vec<_> =
                (0..hosts.len()).map(|n| server.client_of(&format!("key-{n}"), "alice")).collect();
            wait_until("every URL to be tried", || {
                let totals = server.webhooks();
                totals.retried + totals.failed == hosts.len() as u64
            });
            drop(clients);
            assert_eq!(inside.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        },
    );
}
