//! Threads that use a store at the same time.

use std::sync::Barrier;
use std::thread;

use peerbroker_core::vocabulary::ApiKey;
use peerbroker_keys::{Change, Key, KeyStore};

use crate::{key, made_at};

/// Runs `work` on several threads that start together.
pub(super) fn at_once<T: Send>(threads: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(threads);
    let work = &work;
    thread::scope(|scope| {
        let begin = |number| {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                work(number)
            })
        };
        let running: Vec<_> = (0..threads).map(begin).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

pub(super) fn changes_from_many_threads_are_all_kept(store: &dyn KeyStore) {
    store.add(made_at(0, "shared")).unwrap();
    at_once(8, |thread| {
        for number in 0..5 {
            let own: ApiKey = key(&format!("{thread}-{number}"));
            store.add(made_at(1, own.as_str())).unwrap();
            store.record_used(&[(own.clone(), 3), (key("shared"), 4)]).unwrap();
            // Each thread changes another setting of one key.
            let change = match thread {
                0 => Change { name: Some("named".to_owned()), ..Change::default() },
                1 => Change { allow_no_origin: Some(true), ..Change::default() },
                2 => Change { messages_per_second: Some(7), ..Change::default() },
                _ => Change { allow_discovery: Some(true.into()), ..Change::default() },
            };
            store.change(&key("shared"), change).unwrap();
            if number % 2 == 0 {
                store.remove(&own).unwrap();
            }
        }
    });
    let shared = store.get(&key("shared")).unwrap().unwrap();
    let settings = &shared.settings;
    assert_eq!(
        (shared.name.as_str(), settings.allow_no_origin, settings.messages_per_second),
        ("named", true, 7)
    );
    assert_eq!(settings.allow_discovery, true.into());
    assert_eq!(store.all().unwrap().len(), 1 + 8 * 2);
}

pub(super) fn if_many_add_the_same_key_one_succeeds(store: &dyn KeyStore) {
    let added = at_once(8, |thread| {
        let mine = Key { name: thread.to_string(), ..made_at(1, "k") };
        store.add(mine).is_ok()
    });
    let winners: Vec<usize> = (0..8).filter(|&thread| added[thread]).collect();
    assert_eq!(winners.len(), 1, "{added:?}");
    assert_eq!(store.all().unwrap()[0].name, winners[0].to_string());
}

pub(super) fn readers_see_whole_keys_while_they_change(store: &dyn KeyStore) {
    store.add(made_at(1, "k")).unwrap();
    at_once(4, |thread| {
        for number in 0..20 {
            if thread == 0 {
                let change = Change {
                    name: Some(number.to_string()),
                    messages_per_second: Some(number),
                    ..Change::default()
                };
                store.change(&key("k"), change).unwrap();
            } else {
                let seen = store.get(&key("k")).unwrap().unwrap();
                let before_the_first = seen.name.is_empty();
                assert!(before_the_first || seen.name == seen.settings.messages_per_second.to_string());
                store.version().unwrap();
            }
        }
    });
}
