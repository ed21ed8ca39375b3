//! Tests of every store. Each test is a function of a store, and runs on all of them.

mod concurrent;

use std::collections::BTreeSet;

use peerbroker_config::Ban;
use peerbroker_keys::{
    Auth, Change, Discovery, ExpireTimeout, IdStyle, JwtKey, Key, KeyError, KeyStore, KeyToken, Origin,
    RelayMode, Settings, TokenChange, TokenScope, Webhook, WebhookSecret,
};

use crate::{key, made_at};
use concurrent::{
    at_once, changes_from_many_threads_are_all_kept, if_many_add_the_same_key_one_succeeds,
    readers_see_whole_keys_while_they_change,
};

macro_rules! on_every_store {
    ($($test:ident)*) => {
        mod memory {
            $(#[test]
            fn $test() {
                super::$test(&peerbroker_keys::memory::MemoryKeys::new());
            })*
        }
        mod redis {
            $(#[test]
            fn $test() {
                let server = crate::redis_server::RedisServer::start();
                super::$test(&crate::keys_in(&server));
            })*
        }
        mod sqlite {
            $(#[test]
            fn $test() {
                let directory = crate::directory::Directory::new();
                super::$test(&crate::open(&directory.at("data")));
            })*
        }
    };
}

on_every_store! {
    a_new_store_is_empty
    a_key_comes_back_as_it_was_added
    every_kind_of_proof_comes_back_as_it_was_added
    keys_are_listed_by_age_and_then_by_text
    each_key_is_passed_on_once
    a_key_is_compared_exactly
    a_key_that_is_there_cannot_be_added
    a_change_touches_only_what_it_names
    everything_of_a_key_can_be_changed
    a_removed_key_is_gone_and_can_be_added_again
    a_missing_key_can_be_neither_changed_nor_removed
    the_version_is_another_one_after_every_change
    a_failed_change_does_not_change_the_version
    the_last_use_is_noted_and_is_no_change
    registered_keys_have_a_limit
    many_who_register_at_once_stay_within_the_limit
    registered_keys_that_are_unused_are_removed_and_named
    used_and_imported_keys_and_those_of_operators_stay
    many_servers_count_an_hour_once_and_a_leap_of_the_clock_is_one
    changes_from_many_threads_are_all_kept
    if_many_add_the_same_key_one_succeeds
    readers_see_whole_keys_while_they_change
    bans_are_kept_by_network_and_key
}

fn a_new_store_is_empty(store: &dyn KeyStore) {
    assert_eq!(store.all().unwrap(), []);
    assert_eq!(store.get(&key("peerjs")).unwrap(), None);
}

/// A key without default settings.
fn odd_key() -> Key {
    let origins = ["https://example.org", "https://*.example.org:8443"];
    let settings = Settings {
        enabled: false,
        allow_discovery: Discovery::Near,
        concurrent_limit: usize::MAX / 2,
        origins: origins.map(|origin| Origin::parse(origin).unwrap()).to_vec(),
        allow_no_origin: true,
        auth: Auth::Webhook { url: "https://example.org/?a='\"".to_owned() },
        messages_per_second: u32::MAX,
        leave_on_close: true,
        allow_rooms: false,
        private_rooms: true,
        room_members: 7,
        id_style: IdStyle::Words,
        relay: RelayMode::Always,
        expire_timeout: ExpireTimeout::try_from(120_000).ok(),
        relay_calls_per_key: Some(0),
        relay_bytes_per_second: Some(u32::MAX),
        relay_key_bytes_per_second: Some(1),
        pipes: false,
        ice_servers: false,
        call_reports: true,
        webhook: Webhook {
            url: "https://example.org/hook?a='".to_owned(),
            secrets: vec![WebhookSecret::parse("whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0").unwrap()],
            messages: true,
        },
        tokens: vec![KeyToken::new(&key("k"), "ü \"'", TokenScope::ALL.to_vec()).0],
    };
    let name = "Robert'); DROP TABLE keys;-- ü\u{1f980}\0\n\"";
    Key {
        name: name.to_owned(),
        settings,
        created: 1_700_000_000,
        used: Some(1_800_000_000),
        registered: true,
        ..made_at(0, "odd ü'\"\\%_ key")
    }
}

fn a_key_comes_back_as_it_was_added(store: &dyn KeyStore) {
    let plain = made_at(1_800_000_000, "plain");
    let odd = odd_key();
    store.add(plain.clone()).unwrap();
    store.add(odd.clone()).unwrap();
    assert_eq!(store.get(&plain.key).unwrap(), Some(plain.clone()));
    assert_eq!(store.get(&odd.key).unwrap(), Some(odd.clone()));
    assert_eq!(store.all().unwrap(), [odd, plain]);
}

fn every_kind_of_proof_comes_back_as_it_was_added(store: &dyn KeyStore) {
    let proofs = [
        Auth::None,
        Auth::Webhook { url: "http://localhost/".to_owned() },
        Auth::Jwt { verify: JwtKey::Secret("s".repeat(32)) },
        Auth::Jwt { verify: JwtKey::Pem("-----BEGIN PUBLIC KEY-----\n".to_owned()) },
        Auth::Jwt { verify: JwtKey::Jwks("/etc/keys.json".into()) },
    ];
    for (number, auth) in proofs.into_iter().enumerate() {
        let mut added = made_at(0, &format!("key{number}"));
        added.settings.auth = auth;
        store.add(added.clone()).unwrap();
        assert_eq!(store.get(&added.key).unwrap(), Some(added));
    }
}

fn each_key_is_passed_on_once(store: &dyn KeyStore) {
    let added = [odd_key(), made_at(1_800_000_000, "b"), made_at(1_900_000_000, "a")];
    added.iter().for_each(|key| store.add(key.clone()).unwrap());
    let mut passed = Vec::new();
    store.for_each(&mut |key| passed.push(key)).unwrap();
    passed.sort_by_key(|key| key.created);
    assert_eq!(passed, added);
}

fn texts(store: &dyn KeyStore) -> Vec<String> {
    store.all().unwrap().iter().map(|key| key.key.as_str().to_owned()).collect()
}

fn keys_are_listed_by_age_and_then_by_text(store: &dyn KeyStore) {
    for (created, text) in [(2, "a"), (1, "z"), (1, "ä"), (1, "B"), (1, "b"), (3, "0")] {
        store.add(made_at(created, text)).unwrap();
    }
    assert_eq!(texts(store), ["B", "b", "z", "ä", "a", "0"]);
}

fn a_key_is_compared_exactly(store: &dyn KeyStore) {
    // Two Unicode forms of one letter are among them.
    let different = ["key", "KEY", "key ", " key", "k\u{e9}y", "ke\u{301}y", "1", "1.0", "01"];
    for text in different {
        store.add(made_at(0, text)).unwrap();
    }
    assert_eq!(store.all().unwrap().len(), different.len());
    for other in ["Key", "k_y", "k%", "10e-1"] {
        assert_eq!(store.get(&key(other)).unwrap(), None, "{other}");
    }
}

fn a_key_that_is_there_cannot_be_added(store: &dyn KeyStore) {
    let first = made_at(1, "k");
    store.add(first.clone()).unwrap();
    let second = Key { name: "second".to_owned(), ..made_at(2, "k") };
    let error = store.add(second).unwrap_err();
    assert!(matches!(&error, KeyError::Exists(there) if *there == first.key), "{error}");
    assert_eq!(store.all().unwrap(), [first]);
}

fn a_change_touches_only_what_it_names(store: &dyn KeyStore) {
    let mut odd = odd_key();
    let other = made_at(1, "other");
    store.add(odd.clone()).unwrap();
    store.add(other.clone()).unwrap();

    let nothing = store.change(&odd.key, Change::default()).unwrap();
    assert_eq!(nothing, odd);

    let enable = Change { enabled: Some(true), ..Change::default() };
    odd.settings.enabled = true;
    assert_eq!(store.change(&odd.key, enable).unwrap(), odd);
    assert_eq!(store.get(&odd.key).unwrap(), Some(odd));
    assert_eq!(store.get(&other.key).unwrap(), Some(other));
}

fn everything_of_a_key_can_be_changed(store: &dyn KeyStore) {
    store.add(made_at(7, "k")).unwrap();
    let wanted = odd_key();
    let change = Change {
        name: Some(wanted.name.clone()),
        tokens: wanted.settings.tokens.iter().cloned().map(TokenChange::Add).collect(),
        ..wanted.settings.clone().into()
    };
    let changed = store.change(&key("k"), change).unwrap();
    assert_eq!(changed, Key { name: wanted.name, settings: wanted.settings, ..made_at(7, "k") });
    assert_eq!(store.get(&key("k")).unwrap(), Some(changed.clone()));

    let none = Change {
        origins: Some(Vec::new()),
        auth: Some(Auth::None),
        relay_bytes_per_second: Some(None),
        ..Change::default()
    };
    let emptied = store.change(&key("k"), none).unwrap().settings;
    assert_eq!((emptied.origins, emptied.auth), (Vec::new(), Auth::None));
    assert_eq!((emptied.relay_bytes_per_second, emptied.relay_calls_per_key), (None, Some(0)));
}

fn a_removed_key_is_gone_and_can_be_added_again(store: &dyn KeyStore) {
    for text in ["a", "b"] {
        store.add(made_at(1, text)).unwrap();
    }
    store.remove(&key("a")).unwrap();
    assert_eq!(texts(store), ["b"]);
    assert_eq!(store.get(&key("a")).unwrap(), None);
    let again = Key { name: "again".to_owned(), ..made_at(2, "a") };
    store.add(again.clone()).unwrap();
    assert_eq!(store.get(&again.key).unwrap(), Some(again));
}

fn a_missing_key_can_be_neither_changed_nor_removed(store: &dyn KeyStore) {
    store.add(made_at(1, "there")).unwrap();
    let absent = key("absent");
    let unknown = |error: KeyError| matches!(error, KeyError::Unknown(named) if named == absent);
    let enable = Change { enabled: Some(true), ..Change::default() };
    assert!(unknown(store.change(&absent, enable).unwrap_err()));
    assert!(unknown(store.remove(&absent).unwrap_err()));
    assert_eq!(texts(store), ["there"]);
}

fn the_version_is_another_one_after_every_change(store: &dyn KeyStore) {
    let mut versions = vec![store.version().unwrap()];
    let disable = Change { enabled: Some(false), ..Change::default() };
    let changes: [&dyn Fn(); 4] = [
        &|| store.add(made_at(1, "a")).unwrap(),
        &|| store.add(made_at(1, "b")).unwrap(),
        &|| drop(store.change(&key("a"), disable.clone()).unwrap()),
        &|| store.remove(&key("a")).unwrap(),
    ];
    for change in changes {
        change();
        let version = store.version().unwrap();
        assert!(!versions.contains(&version), "{version} after {versions:?}");
        assert_eq!(store.version().unwrap(), version, "asking changes nothing");
        versions.push(version);
    }
}

fn a_failed_change_does_not_change_the_version(store: &dyn KeyStore) {
    store.add(made_at(1, "there")).unwrap();
    let before = store.version().unwrap();
    store.add(made_at(2, "there")).unwrap_err();
    store.change(&key("absent"), Change::default()).unwrap_err();
    store.remove(&key("absent")).unwrap_err();
    store.get(&key("absent")).unwrap();
    store.all().unwrap();
    assert_eq!(store.version().unwrap(), before);
}

fn the_last_use_is_noted_and_is_no_change(store: &dyn KeyStore) {
    let a = made_at(1, "a");
    let b = made_at(2, "b");
    store.add(a.clone()).unwrap();
    store.add(b.clone()).unwrap();
    let before = store.version().unwrap();

    store.record_used(&[]).unwrap();
    store.record_used(&[(key("absent"), 1), (a.key.clone(), 5)]).unwrap();
    assert_eq!(store.get(&a.key).unwrap(), Some(Key { used: Some(5), ..a.clone() }));
    assert_eq!(store.get(&b.key).unwrap(), Some(b.clone()));
    assert_eq!(store.all().unwrap().len(), 2, "an unknown key is not made");

    store.record_used(&[(a.key.clone(), 9), (b.key.clone(), 8)]).unwrap();
    let used: Vec<_> = store.all().unwrap().iter().map(|key| key.used).collect();
    assert_eq!(used, [Some(9), Some(8)]);
    assert_eq!(store.version().unwrap(), before);

    let renamed = Change { name: Some("new".to_owned()), ..Change::default() };
    assert_eq!(store.change(&a.key, renamed).unwrap().used, Some(9), "a change keeps it");
}

fn registered_at(created: u64, text: &str) -> Key {
    Key { registered: true, ..made_at(created, text) }
}

fn registered_keys_have_a_limit(store: &dyn KeyStore) {
    store.add(made_at(1, "an operator's")).unwrap();
    for text in ["a", "b"] {
        assert!(store.register(registered_at(1, text), 2).unwrap());
    }
    let before = store.version().unwrap();
    assert!(!store.register(registered_at(1, "c"), 2).unwrap());
    assert_eq!(store.version().unwrap(), before, "a refusal is no change");
    assert_eq!(texts(store), ["a", "an operator's", "b"]);

    store.change(&key("a"), Change { enabled: Some(false), ..Change::default() }).unwrap();
    assert!(!store.register(registered_at(1, "c"), 2).unwrap(), "a disabled one counts");
    store.remove(&key("an operator's")).unwrap();
    assert!(!store.register(registered_at(1, "c"), 2).unwrap(), "an operator's never counted");
    store.remove(&key("a")).unwrap();
    assert!(store.register(registered_at(1, "c"), 2).unwrap());
    assert!(store.register(registered_at(1, "d"), 0).unwrap(), "0 means no limit");
    assert!(matches!(store.register(registered_at(1, "d"), 0).unwrap_err(), KeyError::Exists(_)));
}

fn many_who_register_at_once_stay_within_the_limit(store: &dyn KeyStore) {
    let registered = at_once(8, |thread| store.register(registered_at(1, &thread.to_string()), 3).unwrap());
    assert_eq!(registered.iter().filter(|registered| **registered).count(), 3, "{registered:?}");
    assert_eq!(store.all().unwrap().len(), 3);
}

/// Counts hours from a time of the clock on.
fn count_hours(store: &dyn KeyStore, from: u64, hours: u64) {
    (0..hours).for_each(|hour| store.count_hour(from + hour * 3600).unwrap());
}

fn registered_keys_that_are_unused_are_removed_and_named(store: &dyn KeyStore) {
    let register = |text| store.register(registered_at(10, text), 0).unwrap();
    register("old");
    register("used long ago");
    count_hours(store, 10_000, 1);
    store.record_used(&[(key("used long ago"), 20_000)]).unwrap();
    count_hours(store, 20_000, 2);
    register("new");
    let before = store.version().unwrap();
    assert_eq!((store.unused(4).unwrap(), store.remove_unused(4).unwrap()), (vec![], vec![]));
    assert_eq!(store.unused(3).unwrap(), [key("old")]);
    assert_eq!(store.version().unwrap(), before, "who removes nothing changes nothing");

    let mut removed = store.remove_unused(2).unwrap();
    removed.sort();
    assert_eq!(removed, [key("old"), key("used long ago")]);
    assert_eq!(texts(store), ["new"]);
    assert_eq!(store.get(&key("old")).unwrap(), None);
    let after = store.version().unwrap();
    assert_ne!(after, before);

    assert_eq!(store.remove_unused(2).unwrap(), []);
    assert_eq!(store.version().unwrap(), after);
    store.register(registered_at(1, "old"), 2).unwrap();
    assert_eq!(store.remove_unused(1).unwrap(), [], "it was added just now");
    assert!(!store.register(registered_at(1, "one more"), 2).unwrap());
}

fn used_and_imported_keys_and_those_of_operators_stay(store: &dyn KeyStore) {
    store.add(made_at(1, "an operator's")).unwrap();
    store.add(registered_at(2, "used")).unwrap();
    store.add(registered_at(3, "restored")).unwrap();
    count_hours(store, 10_000, 100);
    store.record_used(&[(key("used"), 1000)]).unwrap();
    store.import(vec![registered_at(3, "restored")], true).unwrap();
    assert_eq!(store.remove_unused(1).unwrap(), []);
    count_hours(store, 1_000_000, 1);
    // The same time of a clock that has stopped.
    store.record_used(&[(key("used"), 1000)]).unwrap();
    assert_eq!(store.remove_unused(1).unwrap(), [key("restored")]);
    assert_eq!(texts(store), ["an operator's", "used"]);
}

fn many_servers_count_an_hour_once_and_a_leap_of_the_clock_is_one(store: &dyn KeyStore) {
    store.add(registered_at(1, "k")).unwrap();
    const NOW: u64 = 1_700_000_000;
    for now in [NOW, NOW, NOW + 60, NOW + 3000] {
        store.count_hour(now).unwrap();
    }
    assert_eq!((store.unused(1).unwrap().len(), store.unused(2).unwrap().len()), (1, 0));
    for (hours, now) in [(2, NOW + 3600), (3, NOW + 86_400 * 1000), (4, NOW), (5, 0)] {
        store.count_hour(now).unwrap();
        assert_eq!((store.unused(hours).unwrap().len(), store.unused(hours + 1).unwrap().len()), (1, 0));
    }
}

fn bans_are_kept_by_network_and_key(store: &dyn KeyStore) {
    let ban = |text| Ban::parse(text).unwrap();
    store.remove_ban(&ban("192.0.2.1")).unwrap();
    for text in ["192.0.2.1", "192.0.2.1,until=2999-01-01T00:00:00Z", "192.0.2.1,key=a b,c", "2001:db8::/48"]
    {
        store.put_ban(&ban(text)).unwrap();
    }
    store.remove_ban(&ban("2001:db8::/48,until=2999-01-01T00:00:00Z")).unwrap();
    let expected = ["192.0.2.1,until=2999-01-01T00:00:00Z", "192.0.2.1,key=a b,c"].map(str::to_owned);
    let kept = store.bans().unwrap().iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(kept, BTreeSet::from(expected));
    assert_eq!(store.all().unwrap(), [], "bans are no keys");
}
