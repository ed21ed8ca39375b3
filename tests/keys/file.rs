//! The database file: its creation, and the errors if it cannot be used.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Barrier;

use peerbroker_config::Ban;
use peerbroker_keys::sqlite::{DatabaseError, FILE_NAME, Problem, SqliteKeys};
use peerbroker_keys::{Change, Key, KeyError, KeyStore as _};
use rusqlite::Connection;

use crate::directory::Directory;
use crate::{key, made_at, open};

fn failure(dir: &Path) -> (DatabaseError, String) {
    let Err(error) = SqliteKeys::open(dir) else { panic!("{} was opened", dir.display()) };
    problem_of(error)
}

/// The path that failed, and the error text.
fn problem_of(error: KeyError) -> (DatabaseError, String) {
    let text = error.to_string();
    match error {
        KeyError::Store(error) => (*error.downcast().expect("an error of the database"), text),
        other => panic!("{other}"),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn keys_are_there_when_the_file_is_opened_again() {
    let directory = Directory::new();
    let dir = directory.at("not/there/yet");
    let kept = made_at(5, "k");
    open(&dir).add(kept.clone()).unwrap();
    let keys = open(&dir);
    assert_eq!(keys.all().unwrap(), [kept]);
    drop(keys);
    let left: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [FILE_NAME], "nothing beside it when all have closed it");
}

#[test]
fn a_copy_of_the_file_alone_has_every_change() {
    let directory = Directory::new();
    let dir = directory.at("data");
    let keys = open(&dir);
    let copied = |name: &str| {
        let copy = directory.at(name);
        fs::create_dir(&copy).unwrap();
        fs::copy(dir.join(FILE_NAME), copy.join(FILE_NAME)).unwrap();
        let copy = open(&copy);
        assert!(!copy.was_blank());
        (copy.all().unwrap(), copy.bans().unwrap())
    };
    let ban = Ban::parse("192.0.2.0/24").unwrap();
    let rename = |name: &str| Change { name: Some(name.to_owned()), ..Change::default() };
    assert_eq!(copied("new"), (vec![], vec![]));
    // The other one has read, as a server does that looks for changes.
    let other = open(&dir);
    other.all().unwrap();
    keys.add(made_at(1, "a")).unwrap();
    assert_eq!(copied("added"), (vec![made_at(1, "a")], vec![]));
    let changed = keys.change(&key("a"), rename("renamed")).unwrap();
    assert_eq!(copied("changed"), (vec![changed], vec![]));
    keys.import(vec![made_at(2, "b")], false).unwrap();
    keys.remove(&key("a")).unwrap();
    assert_eq!(copied("removed"), (vec![made_at(2, "b")], vec![]));
    keys.put_ban(&ban).unwrap();
    assert_eq!(copied("banned"), (vec![made_at(2, "b")], vec![ban.clone()]));
    keys.remove_ban(&ban).unwrap();
    assert_eq!(copied("unbanned"), (vec![made_at(2, "b")], vec![]));
}

#[test]
fn a_change_does_not_wait_for_a_reader_and_the_next_one_is_in_the_file() {
    let directory = Directory::new();
    let dir = directory.at("data");
    let file = dir.join(FILE_NAME);
    let keys = open(&dir);
    let reader = Connection::open(&file).unwrap();
    reader.execute_batch("BEGIN; SELECT COUNT(*) FROM keys").unwrap();
    keys.add(made_at(1, "a")).unwrap();
    reader.execute_batch("COMMIT").unwrap();
    keys.add(made_at(2, "b")).unwrap();
    let copy = directory.at("copy");
    fs::create_dir(&copy).unwrap();
    fs::copy(&file, copy.join(FILE_NAME)).unwrap();
    assert_eq!(open(&copy).all().unwrap().len(), 2);
}

#[test]
fn a_file_that_lost_its_tables_with_its_log_is_noticed() {
    let directory = Directory::new();
    let dir = directory.at("data");
    let file = dir.join(FILE_NAME);
    fs::create_dir(&dir).unwrap();
    // As copied from an earlier version, which left the tables in the log.
    Connection::open(&file).unwrap().pragma_update(None, "journal_mode", "WAL").unwrap();
    assert!(fs::metadata(&file).unwrap().len() > 0);
    let keys = open(&dir);
    assert!(keys.was_blank());
    keys.add(made_at(1, "a")).unwrap();
    assert!(!open(&dir).was_blank());
    assert!(!open(&directory.at("new")).was_blank());
}

#[test]
fn a_closed_store_leaves_the_file_alone() {
    let directory = Directory::new();
    let dir = directory.at("data");
    let keys = open(&dir);
    keys.add(made_at(1, "a")).unwrap();
    keys.record_used(&[(key("a"), 7)]).unwrap();
    keys.close();
    let left: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [FILE_NAME]);
    assert_eq!(open(&dir).all().unwrap(), [Key { used: Some(7), ..made_at(1, "a") }]);
}

#[test]
fn a_check_reads_the_keys_and_leaves_no_trace_whatever_the_path_is_called() {
    let directory = Directory::new();
    let dir = directory.at("a?b#c%41 é");
    open(&dir).add(made_at(1, "k")).unwrap();
    let file = dir.join(FILE_NAME);
    SqliteKeys::check(&dir).unwrap();
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    Connection::open(&file).unwrap().execute("UPDATE keys SET settings = '{'", []).unwrap();
    let Err(error) = SqliteKeys::check(&dir) else { panic!("a broken entry was read") };
    assert!(problem_of(error).1.contains("the key k in it cannot be read"));
    fs::write(&file, "").unwrap();
    SqliteKeys::check(&dir).expect("an empty file gets its tables when it is opened");
}

#[test]
fn a_directory_is_locked_until_the_drop() {
    let directory = Directory::new();
    let dir = directory.at("data");
    let first = open(&dir);
    assert!(first.lock_directory());
    assert!(!open(&dir).lock_directory());
    first.add(made_at(1, "k")).unwrap();
    drop(first);
    assert!(open(&dir).lock_directory());
}

#[test]
fn only_its_owner_reads_it_and_what_is_beside_it() {
    let directory = Directory::new();
    let dir = directory.at("data");
    let keys = open(&dir);
    keys.add(made_at(1, "k")).unwrap();
    assert_eq!(mode(&dir), 0o700);
    let mut beside = 0;
    for entry in fs::read_dir(&dir).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
        beside += 1;
    }
    assert!(beside > 1, "the log of changes is beside it");
}

#[test]
fn modes_that_somebody_gave_stay() {
    let directory = Directory::new();
    let dir = directory.at("data");
    drop(open(&dir));
    let file = dir.join(FILE_NAME);
    for (path, mode) in [(&dir, 0o750), (&file, 0o640)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    drop(open(&dir));
    assert_eq!((mode(&dir), mode(&file)), (0o750, 0o640));
}

#[test]
fn changes_are_durable_and_readers_do_not_wait_for_them() {
    let directory = Directory::new();
    let keys = open(&directory.at("data"));
    keys.add(made_at(1, "k")).unwrap();
    let other = Connection::open(directory.at("data").join(FILE_NAME)).unwrap();
    let journal: String = other.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(journal, "wal");
    other.execute_batch("BEGIN IMMEDIATE; UPDATE keys SET name = 'half done'").unwrap();
    assert_eq!(keys.get(&key("k")).unwrap().unwrap().name, "");
    other.execute_batch("ROLLBACK").unwrap();
}

#[test]
fn a_database_of_a_newer_version_is_refused_and_left_alone() {
    let directory = Directory::new();
    let dir = directory.at("data");
    open(&dir).add(made_at(1, "k")).unwrap();
    let file = dir.join(FILE_NAME);
    Connection::open(&file).unwrap().execute_batch("PRAGMA user_version = 1000").unwrap();
    let before = fs::read(&file).unwrap();

    let (error, text) = failure(&dir);
    assert!(matches!(error.problem, Problem::Newer { found: 1000, known: 1.. }), "{text}");
    assert!(text.contains("newer version") && text.contains(file.to_str().unwrap()), "{text}");
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn an_empty_file_becomes_a_database() {
    // As left by a process that was killed at the right moment.
    let directory = Directory::new();
    directory.file(FILE_NAME, "");
    open(&directory.at("")).add(made_at(1, "k")).unwrap();
    assert_eq!(open(&directory.at("")).all().unwrap().len(), 1);
}

#[test]
fn many_processes_may_create_the_database_at_once() {
    for _ in 0..30 {
        let directory = Directory::new();
        let dir = directory.at("data");
        let start = Barrier::new(6);
        std::thread::scope(|scope| {
            for number in 0..6 {
                let dir = &dir;
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    open(dir).add(made_at(1, &number.to_string())).unwrap();
                });
            }
        });
        assert_eq!(open(&dir).all().unwrap().len(), 6);
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let directory = Directory::new();
    directory.file("file", "");
    for dir in [directory.at("file/data"), directory.at("file"), "/proc/peerbroker".into()] {
        let (error, text) = failure(&dir);
        assert!(matches!(error.problem, Problem::Directory(_)), "{text}");
        assert!(text.contains(dir.to_str().unwrap()), "{text}");
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    // Not even root makes files there.
    let (error, text) = failure(Path::new("/proc"));
    assert!(matches!(error.problem, Problem::File(_)), "{text}");
    assert!(text.contains("/proc/peerbroker.db: cannot create this file"), "{text}");
}

#[test]
fn a_file_that_is_not_a_database_is_named_and_left_alone() {
    let directory = Directory::new();
    let content = "no database, but longer than a header of one is. ".repeat(10);
    let file = directory.file(FILE_NAME, &content);
    let (error, text) = failure(&directory.at(""));
    assert!(matches!(error.problem, Problem::Damaged { .. }), "{text}");
    assert!(text.contains(&format!("{file}: file is not a database")), "{text}");
    assert_eq!(fs::read_to_string(&file).unwrap(), content);
}

#[test]
fn a_directory_in_the_place_of_the_file_is_named() {
    let directory = Directory::new();
    fs::create_dir(directory.at(FILE_NAME)).unwrap();
    let (error, text) = failure(&directory.at(""));
    assert!(matches!(error.problem, Problem::Unopened), "{text}");
    assert!(text.contains(&format!("{FILE_NAME}: cannot open it")), "{text}");
}

#[test]
fn an_entry_that_cannot_be_read_is_named() {
    for (broken, named) in [
        ("UPDATE keys SET settings = '{'", "the key k in it cannot be read"),
        ("UPDATE keys SET settings = '{\"enabled\":7}'", "the key k in it"),
        ("UPDATE keys SET key = ''", "it is empty"),
    ] {
        let directory = Directory::new();
        let keys = open(&directory.at(""));
        keys.add(made_at(1, "k")).unwrap();
        Connection::open(directory.at(FILE_NAME)).unwrap().execute_batch(broken).unwrap();
        let (_, text) = problem_of(keys.all().unwrap_err());
        assert!(text.contains(named) && text.contains(FILE_NAME), "{text}");
    }
}

#[test]
fn a_setting_that_an_older_version_did_not_store_has_its_default() {
    let directory = Directory::new();
    let keys = open(&directory.at(""));
    let stored = made_at(1, "k");
    keys.add(stored.clone()).unwrap();
    let other = Connection::open(directory.at(FILE_NAME)).unwrap();
    other.execute_batch("UPDATE keys SET settings = '{\"a_newer_one\":1}'").unwrap();
    assert_eq!(keys.all().unwrap(), [stored]);
}

#[test]
fn a_removed_setting_is_ignored_and_deleted_with_the_next_change() {
    let directory = Directory::new();
    let keys = open(&directory.at(""));
    let stored = made_at(1, "k");
    keys.add(stored.clone()).unwrap();
    let other = Connection::open(directory.at(FILE_NAME)).unwrap();
    let with_ice = "UPDATE keys SET settings = json_set(settings, '$.ice', json('false'))";
    assert_eq!(other.execute(with_ice, []).unwrap(), 1);
    assert_eq!(keys.get(&key("k")).unwrap().as_ref(), Some(&stored));
    assert_eq!(keys.all().unwrap(), [stored]);

    keys.change(&key("k"), Change::default()).unwrap();
    let settings: String = other.query_row("SELECT settings FROM keys", [], |row| row.get(0)).unwrap();
    assert!(!settings.contains(r#""ice":"#), "{settings}");
}

#[test]
fn a_secret_is_not_in_the_error_of_its_entry() {
    let directory = Directory::new();
    let keys = open(&directory.at(""));
    keys.add(made_at(1, "k")).unwrap();
    let other = Connection::open(directory.at(FILE_NAME)).unwrap();
    let broken = r#"{"auth":{"method":"jwt","kind":"secret","value":["hushhush"]}}"#;
    other.execute("UPDATE keys SET settings = ?1", [broken]).unwrap();
    let (error, text) = problem_of(keys.all().unwrap_err());
    assert!(!format!("{text}{error:?}").contains("hushhush"), "{text}");
}

#[test]
fn a_file_that_is_held_for_too_long_is_an_error_and_nothing_is_changed() {
    let directory = Directory::new();
    let keys = open(&directory.at(""));
    keys.add(made_at(1, "k")).unwrap();
    let version = keys.version().unwrap();
    let other = Connection::open(directory.at(FILE_NAME)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (_, text) = problem_of(keys.change(&key("k"), Change::default()).unwrap_err());
    assert!(text.contains("database is locked"), "{text}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(keys.version().unwrap(), version);
}

#[test]
fn writing_after_the_file_was_removed_or_replaced_fails() {
    let remove_all = |dir: &Path| fs::remove_dir_all(dir).unwrap();
    let remove = |dir: &Path| fs::remove_file(dir.join(FILE_NAME)).unwrap();
    let replace = |dir: &Path| {
        fs::copy(dir.join(FILE_NAME), dir.join("copy")).unwrap();
        fs::rename(dir.join("copy"), dir.join(FILE_NAME)).unwrap();
    };
    let remove_log = |dir: &Path| fs::remove_file(dir.join(format!("{FILE_NAME}-wal"))).unwrap();
    let ways: [&dyn Fn(&Path); 4] = [&remove_all, &remove, &replace, &remove_log];
    for end in ways {
        let directory = Directory::new();
        let dir = directory.at("data");
        let keys = open(&dir);
        keys.add(made_at(1, "k")).unwrap();
        assert_eq!(keys.lost(), None);
        end(&dir);
        for failed in [
            keys.add(made_at(2, "lost")),
            keys.change(&key("k"), Change::default()).map(drop),
            keys.remove(&key("k")),
            keys.record_used(&[(key("k"), 3)]),
            keys.remove_unused(5).map(drop),
            keys.version().map(drop),
        ] {
            let (error, text) = problem_of(failed.unwrap_err());
            assert!(matches!(error.problem, Problem::Moved), "{text}");
            assert!(text.contains(FILE_NAME) && text.contains("restart the server"), "{text}");
        }
        assert!(keys.lost().unwrap().contains("restart the server"));
    }
}
