//! A store of keys in an SQLite database, which other processes may edit at the same time.

mod file;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params};

use super::{Change, HOUR, Key, KeyError, KeyStore, Settings, SharedStore};
use file::{FileIds, Opened, at};
use peerbroker_config::Ban;
use peerbroker_core::vocabulary::ApiKey;

pub use file::{DatabaseError, FILE_NAME, Problem};

/// Keys in an SQLite database.
///
/// One lock guards the connection, so all callers see changes in the same order and SQLite needs no mutex.
/// After a panic, SQLite has rolled its transaction back.
pub struct SqliteKeys(Mutex<Database>);

struct Database {
    connection: Connection,
    path: PathBuf,
    /// The identities of the file and its log when it was opened.
    ids: FileIds,
    /// Changes through this connection; SQLite's `data_version` counts only those of others.
    own_changes: u64,
    /// The directory, if this process has locked it.
    lock: Option<File>,
    /// The disk was full when it was opened, so it can only be read.
    is_read_only: bool,
    /// The file had bytes and no tables when it was opened.
    was_blank: bool,
}

impl SqliteKeys {
    /// Opens the database in a directory, and creates both if they do not exist. If the disk is full, keys
    /// can be read, and changes fail until there is space.
    pub fn open(dir: &Path) -> Result<Self, KeyError> {
        let path = file::make(dir)?;
        let (Opened { connection, was_blank }, is_read_only) =
            match file::open(&path).map_err(|problem| file::explained(&path, problem)) {
                Err(full @ Problem::Full(_)) => {
                    let connection = at(&path, file::open_on_full_disk(&path).map_err(|_| full))?;
                    (Opened { connection, was_blank: false }, true)
                }
                opened => (at(&path, opened)?, false),
            };
        let ids = at(&path, FileIds::of(&path).map_err(Problem::File))?;
        let database =
            Database { connection, path, ids, own_changes: 0, lock: None, is_read_only, was_blank };
        Ok(SqliteKeys(Mutex::new(database)))
    }

    /// True if the disk was full, and changes fail.
    pub fn is_read_only(&self) -> bool {
        self.0.lock().is_read_only
    }

    /// True if the file had bytes and no tables when it was opened, as one that was copied without its
    /// write-ahead log.
    pub fn was_blank(&self) -> bool {
        self.0.lock().was_blank
    }

    /// Checks the requirements of [`open`](Self::open), and that all keys can be read. Returns the number of
    /// keys; `None` if there is no database yet, or an empty one. Creates and changes nothing.
    pub fn check(dir: &Path) -> Result<Option<usize>, KeyError> {
        let path = dir.join(FILE_NAME);
        if file::is_absent(&path) {
            return at(dir, file::may_be_made(dir).map(|()| None).map_err(Problem::Directory));
        }
        at(&path, keys_in(&path))
    }

    /// Copies the database in `dir` to the directory `to`, which must not have one yet. Other processes may
    /// use it during the copy, which has the keys of one moment.
    pub fn backup(dir: &Path, to: &Path) -> Result<(), KeyError> {
        let path = dir.join(FILE_NAME);
        let copy = to.join(FILE_NAME);
        file::copy(&path, &copy)?;
        // The copy has the pages of the file, and its faults.
        at(&path, keys_in(&copy).map_err(|problem| problem.of_source(dir))).map(drop)
    }

    /// Marks the directory as that of a server until the drop. False if another server is known to have
    /// marked it: some file systems have no locks.
    ///
    /// Locks the directory itself. A lock on the database would be lost: SQLite has its own, and closing any
    /// handle of the file ends them all (fcntl(2)).
    pub fn lock_directory(&self) -> bool {
        let mut database = self.0.lock();
        let dir = database.path.parent().unwrap_or(&database.path);
        let Ok(lock) = File::open(dir) else { return true };
        let locked = lock.try_lock();
        database.lock = Some(lock);
        !matches!(locked, Err(TryLockError::WouldBlock))
    }
}

/// The number of keys in a file, all of which can be read; `None` if it is empty. Changes nothing.
fn keys_in(path: &Path) -> Result<Option<usize>, Problem> {
    let read = || {
        let connection = file::open_unchanged(path)?;
        // A file of format 0 is empty, and gets its tables when the server opens it.
        let has_tables = file::format_of(&connection)? > 0;
        let count = || file::examine(path, &connection).and_then(|()| Ok(all_of(&connection)?.len()));
        has_tables.then(count).transpose()
    };
    read().map_err(|problem| file::explained(path, problem))
}

impl Database {
    /// Runs `work` in a transaction. It is IMMEDIATE because SQLite fails a transaction that reads first and
    /// then writes, without waiting, if another process has written in between.
    fn write<T>(&mut self, work: impl FnOnce(&Transaction<'_>) -> Result<T, Problem>) -> Result<T, KeyError> {
        let path = self.path.clone();
        let write = || {
            self.open_to_write()?;
            self.ids.check(&self.path)?;
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        at(&path, write())
    }

    /// Opens the file again if its disk was full, which may have space by now.
    fn open_to_write(&mut self) -> Result<(), Problem> {
        if self.is_read_only {
            self.connection = file::open(&self.path)?.connection;
            self.ids = FileIds::of(&self.path).map_err(Problem::File)?;
            self.is_read_only = false;
            log::info!(
                "there is space on the disk of {} again: changes of keys are stored",
                self.path.display()
            );
            // Others may have written before this connection could see it.
            self.own_changes += 1;
        }
        Ok(())
    }

    /// Counts a change, and moves it into the file. `None` if no row was changed.
    fn count_change(&mut self, rows: usize) -> Option<()> {
        (rows > 0).then(|| {
            self.own_changes += 1;
            file::checkpoint(&self.connection);
        })
    }
}

impl KeyStore for SqliteKeys {
    fn all(&self) -> Result<Vec<Key>, KeyError> {
        let database = self.0.lock();
        at(&database.path, all_of(&database.connection))
    }

    fn for_each(&self, act: &mut dyn FnMut(Key)) -> Result<(), KeyError> {
        let database = self.0.lock();
        let mut read = || {
            let mut select = database.connection.prepare(SELECT)?;
            select.query_and_then([], read_key)?.try_for_each(|key| key.map(&mut *act))
        };
        at(&database.path, read())
    }

    fn get(&self, key: &ApiKey) -> Result<Option<Key>, KeyError> {
        let database = self.0.lock();
        at(&database.path, find(&database.connection, key))
    }

    fn register(&self, key: Key, most: usize) -> Result<bool, KeyError> {
        let mut database = self.0.lock();
        let added = database.write(|transaction| {
            let select = "SELECT COUNT(*) FROM keys WHERE registered";
            // Reads all keys.
            let registered = || transaction.query_row(select, [], |row| row.get::<_, usize>(0));
            let is_full = most > 0 && registered()? >= most;
            Ok(if is_full { None } else { Some(insert(transaction, &key)?) })
        })?;
        let Some(added) = added else { return Ok(false) };
        database.count_change(added).map(|()| true).ok_or(KeyError::Exists(key.key))
    }

    fn change(&self, key: &ApiKey, change: Change) -> Result<Key, KeyError> {
        let mut database = self.0.lock();
        let changed = database.write(|transaction| {
            let Some(mut found) = find(transaction, key)? else {
                return Ok(None);
            };
            found.apply(change);
            let update = "UPDATE keys SET name = ?2, settings = ?3 WHERE key = ?1";
            let values = params![key.as_str(), found.name, json(&found.settings)?];
            transaction.execute(update, values)?;
            Ok(Some(found))
        })?;
        database.count_change(usize::from(changed.is_some()));
        changed.ok_or_else(|| KeyError::Unknown(key.clone()))
    }

    fn import(&self, keys: Vec<Key>, replace: bool) -> Result<(), KeyError> {
        let mut database = self.0.lock();
        let existing = database.write(|transaction| {
            for Key { key, .. } in keys.iter().filter(|_| !replace) {
                if find(transaction, key)?.is_some() {
                    return Ok(Some(key.clone()));
                }
            }
            for key in &keys {
                transaction.execute("DELETE FROM keys WHERE key = ?1", [key.key.as_str()])?;
                insert(transaction, key)?;
            }
            Ok(None)
        })?;
        if let Some(key) = existing {
            return Err(KeyError::Exists(key));
        }
        database.count_change(keys.len());
        Ok(())
    }

    fn remove(&self, key: &ApiKey) -> Result<(), KeyError> {
        let mut database = self.0.lock();
        let removed = database.write(|transaction| {
            Ok(transaction.execute("DELETE FROM keys WHERE key = ?1", [key.as_str()])?)
        })?;
        database.count_change(removed).ok_or_else(|| KeyError::Unknown(key.clone()))
    }

    /// Other processes see this as a change and read all keys again. So call it at most once a minute, not
    /// for each client. Writes nothing if no time is new.
    fn record_used(&self, used: &[(ApiKey, u64)]) -> Result<(), KeyError> {
        if used.is_empty() {
            return Ok(());
        }
        self.0.lock().write(|transaction| {
            let update = "UPDATE keys SET used = ?2, used_hour = hours.count FROM hours
                WHERE key = ?1 AND (used IS NOT ?2 OR used_hour IS NOT hours.count)";
            let mut statement = transaction.prepare(update)?;
            for (key, when) in used {
                statement.execute(params![key.as_str(), when])?;
            }
            Ok(())
        })
    }

    fn count_hour(&self, now: u64) -> Result<(), KeyError> {
        self.0.lock().write(|transaction| {
            let update = "UPDATE hours SET count = count + 1, counted = ?1
                WHERE ?1 NOT BETWEEN counted AND counted + ?2 - 1";
            transaction.execute(update, [now, HOUR])?;
            Ok(())
        })
    }

    fn unused(&self, hours: u64) -> Result<Vec<ApiKey>, KeyError> {
        let database = self.0.lock();
        let select = format!("SELECT key FROM keys {UNUSED} ORDER BY key");
        let read = || {
            let mut statement = database.connection.prepare(&select)?;
            statement.query_and_then([hours], parse_key)?.collect()
        };
        at(&database.path, read())
    }

    fn remove_unused(&self, hours: u64) -> Result<Vec<ApiKey>, KeyError> {
        let mut database = self.0.lock();
        let removed = database.write(|transaction| {
            let mut statement = transaction.prepare(&format!("DELETE FROM keys {UNUSED} RETURNING key"))?;
            statement.query_and_then([hours], parse_key)?.collect::<Result<Vec<_>, _>>()
        })?;
        database.count_change(removed.len());
        Ok(removed)
    }

    fn shared(&self) -> Option<&dyn SharedStore> {
        None
    }

    fn bans(&self) -> Result<Vec<Ban>, KeyError> {
        let database = self.0.lock();
        at(&database.path, all_bans(&database.connection))
    }

    fn put_ban(&self, ban: &Ban) -> Result<(), KeyError> {
        let mut database = self.0.lock();
        database.write(|transaction| {
            let insert = "INSERT OR REPLACE INTO bans (place, ban) VALUES (?1, ?2)";
            transaction.execute(insert, [ban.place(), ban.to_string()])?;
            Ok(())
        })?;
        file::checkpoint(&database.connection);
        Ok(())
    }

    fn remove_ban(&self, ban: &Ban) -> Result<(), KeyError> {
        let mut database = self.0.lock();
        database.write(|transaction| {
            transaction.execute("DELETE FROM bans WHERE place = ?1", [ban.place()])?;
            Ok(())
        })?;
        file::checkpoint(&database.connection);
        Ok(())
    }

    fn lost(&self) -> Option<String> {
        let database = self.0.lock();
        let problem = database.ids.check(&database.path).err()?;
        Some(format!("{}: {problem}", database.path.display()))
    }

    /// The last connection to a file moves its log into it, and removes the log.
    fn close(&self) {
        let Ok(nothing) = Connection::open_in_memory() else { return };
        // The lock stays held, so no other thread finds a database without keys.
        let database = MutexGuard::leak(self.0.lock());
        database.connection = nothing;
    }

    /// `data_version` changes after each commit of another connection, but not after our own.
    fn version(&self) -> Result<u64, KeyError> {
        let mut database = self.0.lock();
        // While the disk is full, nobody changes anything.
        let _ = database.open_to_write();
        at(&database.path, database.ids.check(&database.path))?;
        let of_others = database.connection.pragma_query_value(None, "data_version", |row| row.get(0));
        let of_others: u32 = at(&database.path, of_others.map_err(Problem::from))?;
        Ok((database.own_changes << u32::BITS) | u64::from(of_others))
    }
}

/// The columns of a key.
const SELECT: &str = "SELECT key, name, created, used, registered, settings FROM keys";

/// The registered keys that were unused for some counted hours.
const UNUSED: &str = "WHERE registered AND used_hour + ?1 <= (SELECT count FROM hours)";

fn all_of(connection: &Connection) -> Result<Vec<Key>, Problem> {
    let select = format!("{SELECT} ORDER BY created, key");
    connection.prepare(&select)?.query_and_then([], read_key)?.collect()
}

fn all_bans(connection: &Connection) -> Result<Vec<Ban>, Problem> {
    let mut select = connection.prepare("SELECT ban FROM bans")?;
    let texts = select.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    Ok(Ban::read_all(texts))
}

fn find(connection: &Connection, key: &ApiKey) -> Result<Option<Key>, Problem> {
    let select = format!("{SELECT} WHERE key = ?1");
    connection.prepare(&select)?.query_and_then([key.as_str()], read_key)?.next().transpose()
}

fn read_key(row: &Row<'_>) -> Result<Key, Problem> {
    let key = parse_key(row)?;
    let settings: String = row.get("settings")?;
    Ok(Key {
        name: row.get("name")?,
        created: row.get("created")?,
        used: row.get("used")?,
        registered: row.get("registered")?,
        settings: serde_json::from_str(&settings).map_err(|error| unreadable(key.as_str(), error))?,
        built_in: false,
        key,
    })
}

fn parse_key(row: &Row<'_>) -> Result<ApiKey, Problem> {
    let text: String = row.get("key")?;
    ApiKey::parse(&text).map_err(|error| unreadable(&text, error))
}

fn unreadable(key: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Problem {
    Problem::Entry { key: key.escape_debug().to_string(), error: error.into() }
}

/// Adds no row if the key exists.
fn insert(transaction: &Transaction<'_>, key: &Key) -> Result<usize, Problem> {
    let insert = "INSERT INTO keys (key, name, created, used, registered, settings, used_hour)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, (SELECT count FROM hours)) ON CONFLICT (key) DO NOTHING";
    let values =
        params![key.key.as_str(), key.name, key.created, key.used, key.registered, json(&key.settings)?];
    Ok(transaction.execute(insert, values)?)
}

fn json(settings: &Settings) -> Result<String, Problem> {
    serde_json::to_string(settings).map_err(Problem::Settings)
}
