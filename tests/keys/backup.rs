//! A copy of the database that is made while others write.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use peerbroker_keys::sqlite::{FILE_NAME, SqliteKeys};
use peerbroker_keys::{Key, KeyStore as _};

use crate::directory::Directory;
use crate::{made_at, open};

#[test]
fn a_copy_has_all_keys_and_only_its_owner_can_read_it() {
    let directory = Directory::new();
    let data = directory.at("data");
    let copy = directory.at("copy");
    fs::create_dir(&copy).unwrap();
    let store = open(&data);
    store.add(Key { used: Some(3), ..made_at(1, "a") }).unwrap();
    SqliteKeys::backup(&data, &copy).unwrap();
    let mode = fs::metadata(copy.join(FILE_NAME)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let files: Vec<_> = fs::read_dir(&copy).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, [FILE_NAME], "one file is the whole copy");
    store.add(made_at(2, "later")).unwrap();
    assert_eq!(open(&copy).all().unwrap(), [Key { used: Some(3), ..made_at(1, "a") }]);
}

#[test]
fn a_copy_of_a_database_that_nobody_uses_leaves_it_as_it_was() {
    let directory = Directory::new();
    let data = directory.at("data");
    let copy = directory.at("copy");
    fs::create_dir(&copy).unwrap();
    open(&data).add(made_at(1, "a")).unwrap();
    let before = fs::read(data.join(FILE_NAME)).unwrap();
    SqliteKeys::backup(&data, &copy).unwrap();
    assert_eq!(fs::read(data.join(FILE_NAME)).unwrap(), before);
    assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
    assert_eq!(open(&copy).all().unwrap(), [made_at(1, "a")]);
}

#[test]
fn a_copy_is_never_overwritten_and_never_made_of_nothing() {
    let directory = Directory::new();
    let data = directory.at("data");
    let copy = directory.at("copy");
    fs::create_dir_all(&copy).unwrap();
    let refused = SqliteKeys::backup(&data, &copy).unwrap_err().to_string();
    assert!(refused.contains("data/peerbroker.db: cannot open it"), "{refused}");
    assert!(!data.exists() && fs::read_dir(&copy).unwrap().next().is_none());
    open(&data).add(made_at(1, "a")).unwrap();
    fs::write(copy.join(FILE_NAME), "precious").unwrap();
    let refused = SqliteKeys::backup(&data, &copy).unwrap_err().to_string();
    assert!(refused.contains("copy/peerbroker.db"), "{refused}");
    assert_eq!(fs::read(copy.join(FILE_NAME)).unwrap(), b"precious");
}

/// Each write adds two keys, so a copy of half a write would have an odd number.
#[test]
fn copies_during_writes_have_the_keys_of_one_moment() {
    let directory = Directory::new();
    let data = directory.at("data");
    let stop = AtomicBool::new(false);
    let started = Barrier::new(2);
    let store = open(&data);
    store.import(vec![made_at(0, "first"), made_at(0, "second")], false).unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            started.wait();
            (1..).take_while(|_| !stop.load(Ordering::Relaxed)).fold(0, |_, number: u64| {
                let twins = ["a", "b"].map(|twin| made_at(number, &format!("{number}{twin}")));
                store.import(twins.to_vec(), false).unwrap();
                number
            })
        });
        started.wait();
        let mut before = 2;
        for number in 0..20 {
            let copy = directory.at(&format!("copy{number}"));
            fs::create_dir(&copy).unwrap();
            SqliteKeys::backup(&data, &copy).unwrap();
            let keys = open(&copy).all().unwrap().len();
            assert!(keys.is_multiple_of(2) && keys >= before, "{keys} after {before}");
            before = keys;
        }
        stop.store(true, Ordering::Relaxed);
        assert!(writer.join().unwrap() > 0);
    });
}
