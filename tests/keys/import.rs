//! Keys that come at once, on every store: all or none.

use peerbroker_keys::memory::MemoryKeys;
use peerbroker_keys::{Key, KeyError, KeyStore};

use crate::directory::Directory;
use crate::redis_server::RedisServer;
use crate::{key, keys_in, made_at, open};

/// Runs a test on a new store of each kind.
fn on_every_store(test: impl Fn(&dyn KeyStore)) {
    test(&MemoryKeys::new());
    test(&open(&Directory::new().at("data")));
    test(&keys_in(&RedisServer::start()));
}

fn named(created: u64, text: &str, name: &str) -> Key {
    Key { name: name.to_owned(), ..made_at(created, text) }
}

fn registered(created: u64, text: &str) -> Key {
    Key { registered: true, ..made_at(created, text) }
}

#[test]
fn imported_keys_are_as_they_were() {
    on_every_store(|store| {
        store.add(made_at(1, "here")).unwrap();
        let before = store.version().unwrap();
        let used = Key { used: Some(7), ..registered(3, "used") };
        store.import(vec![named(2, "a", "A"), used.clone()], false).unwrap();
        assert_eq!(store.all().unwrap(), [made_at(1, "here"), named(2, "a", "A"), used]);
        assert_ne!(store.version().unwrap(), before);
    });
}

#[test]
fn if_one_key_exists_nothing_is_imported() {
    on_every_store(|store| {
        store.add(named(2, "b", "ours")).unwrap();
        let before = (store.version().unwrap(), store.all().unwrap());
        let refused = store.import(vec![made_at(1, "a"), made_at(1, "b"), made_at(1, "c")], false);
        assert!(matches!(refused, Err(KeyError::Exists(existing)) if existing == key("b")));
        assert_eq!((store.version().unwrap(), store.all().unwrap()), before);
    });
}

#[test]
fn replacing_overwrites_everything_of_a_key_and_keeps_others() {
    on_every_store(|store| {
        store.add(Key { used: Some(9), ..registered(5, "b") }).unwrap();
        store.add(made_at(6, "other")).unwrap();
        store.import(vec![named(1, "a", "A"), named(2, "b", "theirs")], true).unwrap();
        assert_eq!(store.all().unwrap(), [named(1, "a", "A"), named(2, "b", "theirs"), made_at(6, "other")]);
    });
}

#[test]
fn imported_keys_count_as_registered_ones() {
    on_every_store(|store| {
        store.add(registered(1, "a")).unwrap();
        store.import(vec![registered(1, "b"), registered(1, "c"), made_at(1, "d")], false).unwrap();
        assert!(!store.register(registered(2, "e"), 3).unwrap());
        assert!(store.register(registered(2, "e"), 4).unwrap());
        // Each of a, b and c changes the count once, even if it is there twice.
        store
            .import(vec![made_at(1, "a"), made_at(1, "b"), registered(1, "c"), registered(1, "c")], true)
            .unwrap();
        assert!(!store.register(registered(2, "f"), 2).unwrap());
        assert!(store.register(registered(2, "f"), 3).unwrap());
    });
}

#[test]
fn no_keys_are_no_change() {
    on_every_store(|store| {
        let before = store.version().unwrap();
        store.import(Vec::new(), true).unwrap();
        assert_eq!((store.version().unwrap(), store.all().unwrap()), (before, Vec::new()));
    });
}

#[test]
fn ten_thousand_keys_come_at_once() {
    on_every_store(|store| {
        let keys: Vec<Key> = (0..10_000).map(|number| registered(1, &format!("{number:05}"))).collect();
        store.import(keys.clone(), false).unwrap();
        assert_eq!(store.all().unwrap(), keys);
    });
}
