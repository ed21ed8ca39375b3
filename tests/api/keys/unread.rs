//! A store of keys that could not be read yet: nobody knows whether a key exists, so no client hears that it
//! does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use peerbroker::PeerBroker;
use peerbroker_config::Ban;
use peerbroker_core::vocabulary::ApiKey;
use peerbroker_keys::memory::MemoryKeys;
use peerbroker_keys::{Change, Key, KeyError, KeyStore, SharedStore};

use crate::harness::guests::problem;
use crate::harness::keys::{INVALID_KEY, api_key, plain_key};
use crate::harness::legacy::post;
use crate::harness::messages::{error, offer};
use crate::harness::ops::with_api_on;
use crate::harness::{TestServer, on_both, wait_until};
use crate::matchbox::with_matchbox;

const UNAVAILABLE: &str = "Server is not available at the moment";
const UNREAD: &str = "the keys could not be read yet; the log says why";

/// A store that fails until it is reachable.
#[derive(Default)]
struct FarKeys {
    keys: MemoryKeys,
    is_reachable: AtomicBool,
}

impl FarKeys {
    fn reach(&self) -> Result<&MemoryKeys, KeyError> {
        match self.is_reachable.load(Ordering::SeqCst) {
            true => Ok(&self.keys),
            false => Err(KeyError::Store("connection refused".into())),
        }
    }
}

impl KeyStore for FarKeys {
    fn all(&self) -> Result<Vec<Key>, KeyError> {
        self.reach()?.all()
    }
    fn get(&self, key: &ApiKey) -> Result<Option<Key>, KeyError> {
        self.reach()?.get(key)
    }
    fn change(&self, key: &ApiKey, change: Change) -> Result<Key, KeyError> {
        self.reach()?.change(key, change)
    }
    fn import(&self, keys: Vec<Key>, replace: bool) -> Result<(), KeyError> {
        self.reach()?.import(keys, replace)
    }
    fn remove(&self, key: &ApiKey) -> Result<(), KeyError> {
        self.reach()?.remove(key)
    }
    fn record_used(&self, used: &[(ApiKey, u64)]) -> Result<(), KeyError> {
        self.reach()?.record_used(used)
    }
    fn register(&self, key: Key, most: usize) -> Result<bool, KeyError> {
        self.reach()?.register(key, most)
    }
    fn count_hour(&self, now: u64) -> Result<(), KeyError> {
        self.reach()?.count_hour(now)
    }
    fn unused(&self, hours: u64) -> Result<Vec<ApiKey>, KeyError> {
        self.reach()?.unused(hours)
    }
    fn remove_unused(&self, hours: u64) -> Result<Vec<ApiKey>, KeyError> {
        self.reach()?.remove_unused(hours)
    }
    fn bans(&self) -> Result<Vec<Ban>, KeyError> {
        self.reach()?.bans()
    }
    fn put_ban(&self, ban: &Ban) -> Result<(), KeyError> {
        self.reach()?.put_ban(ban)
    }
    fn remove_ban(&self, ban: &Ban) -> Result<(), KeyError> {
        self.reach()?.remove_ban(ban)
    }
    fn shared(&self) -> Option<&dyn SharedStore> {
        None
    }
    fn version(&self) -> Result<u64, KeyError> {
        self.reach()?.version()
    }
}

fn far_keys() -> Arc<FarKeys> {
    let store = Arc::new(FarKeys::default());
    store.keys.add(plain_key("app")).unwrap();
    store
}

/// The status of a GET, a POST of a stream, and one of a message.
fn statuses(server: &TestServer, key: &str) -> [u16; 5] {
    let get = |what: &str| server.get(&format!("{}{key}/{what}", server.root())).status;
    let send = |word: &str, body: &str| {
        let mut http = server.http();
        http.send(post(&server.post_target_of(key, "a", word), "", body.as_bytes()));
        http.response(false).status
    };
    [get("id"), get("peers"), get("ice"), send("id?i=0", ""), send("offer", &offer("b", "1"))]
}

#[test]
fn until_the_keys_were_read_every_client_is_told_to_come_back() {
    let store = far_keys();
    let (server, api) = with_api_on(PeerBroker::builder().keys(store.clone()), with_matchbox);
    for key in ["peerjs", "app", "no such key"] {
        let encoded = key.replace(' ', "%20");
        let mut peer = server.newcomer_of(&encoded, "a");
        peer.expect(error(UNAVAILABLE));
        peer.expect_closed_with(Some(1013));
        let at_rxdb = format!("{}rxdb?key={encoded}", server.root());
        for target in [server.root_of(&encoded), at_rxdb] {
            let mut guest = server.begin_at(&target);
            guest.expect_accepted();
            guest.expect_guest_refused(problem(UNAVAILABLE), 1013);
        }
        let mut matchbox = server.begin_at(&format!("{}matchbox/room?key={encoded}", server.root()));
        matchbox.expect_accepted();
        assert!(matchbox.expect_text().contains(UNAVAILABLE));
        matchbox.expect_closed_with(Some(1013));
        assert_eq!(statuses(&server, &encoded), [503; 5], "{key}");
    }

    // A balancer that probes it as documented sends no client here.
    let health = server.get("/healthz");
    assert_eq!((health.status, health.text()), (503, UNREAD));
    assert_eq!((api.get("/healthz").status, api.get("/readyz").status), (503, 503));
    assert_eq!(api.get("/readyz").json["reasons"][0], UNREAD);

    // Operators hear the same, and not that there is no such key.
    for path in ["/api/keys", "/api/keys/app", "/api/keys/app/peers", "/api/keys/app/rooms/r/members"] {
        let answer = api.get(path);
        assert_eq!((answer.status, &answer.json["detail"]), (503, &UNREAD.into()), "{path}");
    }
    let of_key = api.clone().with_token("app-0123456789abcdef0123456789abcdef");
    assert_eq!(of_key.get("/api/keys/app/peers").status, 503);
    let hints = || {
        let mistakes = api.get("/api/mistakes").json["mistakes"].take();
        mistakes
            .as_array()
            .unwrap()
            .iter()
            .map(|mistake| mistake["hint"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    wait_until("the mistakes", || hints().len() == 3);
    assert_eq!(hints(), [UNREAD; 3]);

    store.is_reachable.store(true, Ordering::SeqCst);
    server.read_keys();
    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!((api.get("/healthz").status, api.get("/readyz").status), (200, 200));
    let _peers = (server.client_of("peerjs", "a"), server.client_of("app", "a"));
    server.newcomer_of("nope", "a").expect_refused(error(INVALID_KEY));

    // Keys that were read once stay known.
    store.is_reachable.store(false, Ordering::SeqCst);
    let _b = server.client_of("app", "b");
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn a_hint_about_a_key_does_not_guess_while_the_store_fails() {
    let store = far_keys();
    store.is_reachable.store(true, Ordering::SeqCst);
    let (server, api) = with_api_on(PeerBroker::builder().keys(store.clone()), |_| {});
    store.is_reachable.store(false, Ordering::SeqCst);
    server.newcomer_of("nope", "a").expect_refused(error(INVALID_KEY));
    let mistakes = || api.get("/api/mistakes").json["mistakes"].take();
    wait_until("the mistake", || !mistakes()[0].is_null());
    assert_eq!(mistakes()[0]["hint"], "the stored keys cannot be read at the moment; the log says why");
    assert!(server.node().tenant(api_key("nope").as_str()).is_none());
}

#[test]
fn a_server_without_a_store_knows_its_keys_at_once() {
    on_both(|server| {
        assert_eq!(server.get("/healthz").status, 200);
        server.client("a");
    });
}
