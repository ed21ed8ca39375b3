//! Keys in Redis: many nodes, and Redis that is gone.

use std::thread;
use std::time::Duration;

use peerbroker_keys::{Change, Key, KeyError, KeyStore, SharedStore};
use redis::Commands as _;

use testkit::wait::wait_for;

use crate::redis_server::RedisServer;
use crate::{key, keys_in, made_at};

#[test]
fn nodes_see_each_others_changes() {
    let server = RedisServer::start();
    let ours = keys_in(&server);
    let theirs = keys_in(&server);
    let disable = Change { enabled: Some(false), ..Change::default() };
    let changes: [&dyn Fn(); 4] = [
        &|| theirs.add(made_at(1, "k")).unwrap(),
        &|| drop(theirs.change(&key("k"), disable.clone()).unwrap()),
        &|| theirs.add(made_at(2, "l")).unwrap(),
        &|| theirs.remove(&key("k")).unwrap(),
    ];
    let mut versions = vec![ours.version().unwrap()];
    for change in changes {
        change();
        let version = ours.version().unwrap();
        assert!(!versions.contains(&version), "{version} after {versions:?}");
        assert_eq!(ours.all().unwrap(), theirs.all().unwrap());
        versions.push(version);
    }
}

#[test]
fn changes_of_many_nodes_to_one_key_are_all_kept() {
    let server = RedisServer::start();
    keys_in(&server).add(made_at(1, "k")).unwrap();
    thread::scope(|scope| {
        for node in 0..4 {
            let store = keys_in(&server);
            scope.spawn(move || {
                for number in 0..10 {
                    let change = match node {
                        0 => Change { name: Some(number.to_string()), ..Change::default() },
                        1 => Change { messages_per_second: Some(number), ..Change::default() },
                        2 => Change { concurrent_limit: Some(7), ..Change::default() },
                        _ => Change { allow_discovery: Some(true.into()), ..Change::default() },
                    };
                    store.change(&key("k"), change).unwrap();
                }
            });
        }
    });
    let changed = keys_in(&server).get(&key("k")).unwrap().unwrap();
    let settings = changed.settings;
    assert_eq!((changed.name.as_str(), settings.messages_per_second), ("9", 9));
    assert_eq!((settings.concurrent_limit, settings.allow_discovery), (7, true.into()));
}

#[test]
fn of_two_times_of_use_the_later_one_counts() {
    let server = RedisServer::start();
    let ours = keys_in(&server);
    let theirs = keys_in(&server);
    ours.add(made_at(1, "k")).unwrap();
    ours.record_used(&[(key("k"), 20)]).unwrap();
    theirs.record_used(&[(key("k"), 10)]).unwrap();
    assert_eq!(ours.get(&key("k")).unwrap().unwrap().used, Some(20));
}

#[test]
fn the_uses_of_very_many_keys_are_stored() {
    let server = RedisServer::start();
    let store = keys_in(&server);
    let texts: Vec<String> = (0..1201).map(|number| format!("k{number}")).collect();
    texts.iter().for_each(|text| store.add(made_at(1, text)).unwrap());
    let used: Vec<_> = texts.iter().map(|text| (key(text), 5)).collect();
    store.record_used(&used).unwrap();
    assert!(store.all().unwrap().iter().all(|key| key.used == Some(5)));
}

#[test]
fn registrations_of_an_address_are_counted_for_all_nodes() {
    let server = RedisServer::start();
    let ours = keys_in(&server);
    let theirs = keys_in(&server);
    let is_day = |count| count > Some(Duration::from_secs(86_000));
    assert_eq!(ours.count_signup("192.0.2.1", 2).unwrap(), None);
    assert_eq!(theirs.count_signup("192.0.2.1", 2).unwrap(), None);
    assert!(is_day(ours.count_signup("192.0.2.1", 2).unwrap()));
    assert!(is_day(theirs.count_signup("192.0.2.1", 2).unwrap()));
    assert_eq!(theirs.count_signup("192.0.2.2", 2).unwrap(), None, "another address");
    ours.discount_signup("192.0.2.1").unwrap();
    assert_eq!(theirs.count_signup("192.0.2.1", 2).unwrap(), None);
    assert!(is_day(ours.count_signup("192.0.2.1", 2).unwrap()));
}

#[test]
fn a_store_fails_while_redis_is_gone_and_works_when_it_is_back() {
    let mut server = RedisServer::start();
    let store = keys_in(&server);
    store.add(made_at(1, "k")).unwrap();
    let before = store.version().unwrap();
    server.kill();
    assert!(matches!(store.all().unwrap_err(), KeyError::Store(_)));
    server.start_again();
    let version = wait_for("Redis to be back", || store.version().ok());
    assert_ne!(version, before, "it lost the keys");
    assert_eq!(store.all().unwrap(), []);
    // Its scripts are gone as well.
    store.add(made_at(1, "again")).unwrap();
    assert_eq!(store.all().unwrap().len(), 1);
}

#[test]
fn a_broken_key_is_named_can_be_removed_and_does_not_keep_unused_ones() {
    let server = RedisServer::start();
    let mut client = server.client();
    let store = keys_in(&server);
    store.register(Key { registered: true, ..made_at(1, "unused") }, 0).unwrap();
    let _: () = client.hset("peerbroker:keys", "k:broken", "{").unwrap();
    let error = store.all().unwrap_err().to_string();
    assert!(error.contains("the key broken in Redis cannot be read"), "{error}");
    store.count_hour(10_000).unwrap();
    assert_eq!(store.remove_unused(1).unwrap(), [key("unused")]);
    store.remove(&key("broken")).unwrap();
    assert_eq!(store.all().unwrap(), []);
}

#[test]
fn broken_times_of_registrations_do_not_count() {
    let server = RedisServer::start();
    let mut client = server.client();
    let store = keys_in(&server);
    let _: () = client.rpush("peerbroker:signups:192.0.2.1", &["soon", "99999999999999999"]).unwrap();
    let _: () = client.set("peerbroker:signups:192.0.2.2", "of another program").unwrap();
    for address in ["192.0.2.1", "192.0.2.2"] {
        assert_eq!(store.count_signup(address, 1).unwrap(), None);
        assert!(store.count_signup(address, 1).unwrap().is_some());
    }
}
