//! The database file, and all SQL statements.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension as _, Row, Transaction, TransactionBehavior, params,
};

use super::problem::{Problem, failed};
use crate::keys::{Change, Key, KeyError, Settings};
use crate::wire::ApiKey;

/// The name of the database file in its directory.
pub const FILE_NAME: &str = "peerbroker.db";

/// How long to wait for another process that locks the file. Our own locks take milliseconds.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Each step migrates a database of version N to N + 1; version 0 is empty. Never change a released step: append
/// another one.
///
/// Fields that operators query are columns. The settings are JSON, where missing fields have their default, so a
/// new setting needs no step. `settings ->> '$.enabled'` queries one of them.
const MIGRATIONS: &[&str] = &["CREATE TABLE keys (
        key TEXT NOT NULL PRIMARY KEY,
        name TEXT NOT NULL,
        created INTEGER NOT NULL,
        used INTEGER,
        registered INTEGER NOT NULL,
        settings TEXT NOT NULL
    ) STRICT"];

/// Device number and inode number of a file.
type FileId = (u64, u64);

pub(super) struct Database {
    connection: Connection,
    path: PathBuf,
    /// The identity of the file when it was opened.
    file: FileId,
    /// The identity of its write-ahead log, if it has one.
    log: Option<FileId>,
    /// Changes through this connection; SQLite's `data_version` counts only those of others.
    own_changes: u64,
    /// The directory, if this process has claimed it.
    claim: Option<File>,
}

impl Database {
    pub(super) fn open(dir: &Path) -> Result<Self, KeyError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|error| failed(dir, Problem::Directory(error)))?;
        let path = dir.join(FILE_NAME);
        make_private(&path).map_err(|error| failed(&path, Problem::File(error)))?;
        let connection = connect(&path).map_err(|problem| failed(&path, problem))?;
        let file = file_at(&path).map_err(|error| failed(&path, Problem::File(error)))?;
        let log = file_at(&log_of(&path)).ok();
        Ok(Database { connection, path, file, log, own_changes: 0, claim: None })
    }

    /// Locks the directory itself. A lock on the database would be lost: SQLite has its own, and closing any handle of the
    /// file ends them all (fcntl(2)).
    ///
    /// False only if another process is known to have it: some file systems have no locks.
    pub(super) fn claim(&mut self) -> bool {
        let dir = self.path.parent().unwrap_or(&self.path);
        let Ok(claim) = File::open(dir) else { return true };
        let claimed = claim.try_lock();
        self.claim = Some(claim);
        !matches!(claimed, Err(TryLockError::WouldBlock))
    }

    pub(super) fn all(&self) -> Result<Vec<Key>, KeyError> {
        all_of(&self.connection).map_err(|problem| failed(&self.path, problem))
    }

    pub(super) fn get(&self, key: &ApiKey) -> Result<Option<Key>, KeyError> {
        find(&self.connection, key).map_err(|problem| failed(&self.path, problem))
    }

    pub(super) fn add(&mut self, key: Key) -> Result<(), KeyError> {
        let added = self.write(|transaction| insert(transaction, &key))?;
        self.changed_one(added).ok_or(KeyError::Exists(key.key))
    }

    /// False if there are as many registered keys as there may be.
    pub(super) fn register(&mut self, key: Key, most: usize) -> Result<bool, KeyError> {
        let added = self.write(|transaction| {
            let select = "SELECT COUNT(*) FROM keys WHERE registered";
            let registered: usize = transaction.query_row(select, [], |row| row.get(0))?;
            let is_full = most > 0 && registered >= most;
            Ok(if is_full { None } else { Some(insert(transaction, &key)?) })
        })?;
        let Some(added) = added else { return Ok(false) };
        self.changed_one(added).map(|()| true).ok_or(KeyError::Exists(key.key))
    }

    pub(super) fn change(&mut self, key: &ApiKey, change: Change) -> Result<Key, KeyError> {
        let changed = self.write(|transaction| {
            let Some(mut found) = find(transaction, key)? else {
                return Ok(None);
            };
            found.apply(change);
            let update = "UPDATE keys SET name = ?2, settings = ?3 WHERE key = ?1";
            let values = params![key.as_str(), found.name, json(&found.settings)?];
            transaction.execute(update, values)?;
            Ok(Some(found))
        })?;
        self.changed_one(usize::from(changed.is_some()));
        changed.ok_or_else(|| KeyError::Unknown(key.clone()))
    }

    pub(super) fn import(&mut self, keys: &[Key], replace: bool) -> Result<(), KeyError> {
        let existing = self.write(|transaction| {
            for Key { key, .. } in keys.iter().filter(|_| !replace) {
                if find(transaction, key)?.is_some() {
                    return Ok(Some(key.clone()));
                }
            }
            for key in keys {
                transaction.execute("DELETE FROM keys WHERE key = ?1", [key.key.as_str()])?;
                insert(transaction, key)?;
            }
            Ok(None)
        })?;
        match existing {
            Some(key) => Err(KeyError::Exists(key)),
            None => {
                self.changed_one(keys.len());
                Ok(())
            }
        }
    }

    pub(super) fn remove(&mut self, key: &ApiKey) -> Result<(), KeyError> {
        let removed = self.write(|transaction| {
            Ok(transaction.execute("DELETE FROM keys WHERE key = ?1", [key.as_str()])?)
        })?;
        self.changed_one(removed).ok_or_else(|| KeyError::Unknown(key.clone()))
    }

    /// Writes nothing if no time is new, so that other processes see no change.
    pub(super) fn note_used(&mut self, used: &[(ApiKey, u64)]) -> Result<(), KeyError> {
        self.write(|transaction| {
            let update = "UPDATE keys SET used = ?2 WHERE key = ?1 AND used IS NOT ?2";
            let mut statement = transaction.prepare(update)?;
            for (key, when) in used {
                statement.execute(params![key.as_str(), when])?;
            }
            Ok(())
        })
    }

    pub(super) fn remove_unused(&mut self, before: u64) -> Result<Vec<ApiKey>, KeyError> {
        let removed = self.write(|transaction| {
            let delete = "DELETE FROM keys WHERE registered AND coalesce(used, created) < ?1 RETURNING key";
            let mut statement = transaction.prepare(delete)?;
            let removed = statement.query_map([before], |row| row.get::<_, String>(0))?;
            removed.map(|key| parse_key(&key?)).collect::<Result<Vec<_>, Problem>>()
        })?;
        self.changed_one(removed.len());
        Ok(removed)
    }

    /// `data_version` changes after each commit of another connection, but not after our own.
    pub(super) fn version(&self) -> Result<u64, KeyError> {
        let of_others = self.connection.pragma_query_value(None, "data_version", |row| row.get::<_, u32>(0));
        let of_others = of_others.map_err(|error| failed(&self.path, error.into()))?;
        Ok((self.own_changes << u32::BITS) | u64::from(of_others))
    }

    /// Runs `work` in a transaction. It is IMMEDIATE because SQLite fails a transaction that reads first and then
    /// writes, without waiting, if another process has written in between.
    fn write<T>(&mut self, work: impl FnOnce(&Transaction<'_>) -> Result<T, Problem>) -> Result<T, KeyError> {
        let write = || {
            // SQLite reports success for a file that was removed or replaced, so compare its identity. The log exists
            // as long as a connection is open.
            let is_log_gone = self.log.is_some() && file_at(&log_of(&self.path)).ok() != self.log;
            if is_log_gone || file_at(&self.path).ok() != Some(self.file) {
                return Err(Problem::Moved);
            }
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        write().map_err(|problem| failed(&self.path, problem))
    }

    fn changed_one(&mut self, rows: usize) -> Option<()> {
        (rows > 0).then(|| self.own_changes += 1)
    }
}

/// A row of the table of keys.
struct KeyRow {
    key: String,
    name: String,
    created: u64,
    used: Option<u64>,
    registered: bool,
    settings: String,
}

impl KeyRow {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(KeyRow {
            key: row.get("key")?,
            name: row.get("name")?,
            created: row.get("created")?,
            used: row.get("used")?,
            registered: row.get("registered")?,
            settings: row.get("settings")?,
        })
    }

    fn into_key(self) -> Result<Key, Problem> {
        let KeyRow { key: text, name, created, used, registered, settings } = self;
        let key = parse_key(&text)?;
        let settings = serde_json::from_str(&settings).map_err(|error| unreadable(&text, error))?;
        Ok(Key { key, name, settings, created, used, registered, built_in: false })
    }
}

fn parse_key(text: &str) -> Result<ApiKey, Problem> {
    ApiKey::parse(text).map_err(|error| unreadable(text, error))
}

fn unreadable(key: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Problem {
    Problem::Entry { key: key.escape_debug().to_string(), error: error.into() }
}

pub(super) fn all_of(connection: &Connection) -> Result<Vec<Key>, Problem> {
    let select = "SELECT key, name, created, used, registered, settings FROM keys ORDER BY created, key";
    let mut statement = connection.prepare(select)?;
    let rows = statement.query_map([], KeyRow::of)?;
    rows.map(|row| row?.into_key()).collect()
}

fn find(connection: &Connection, key: &ApiKey) -> Result<Option<Key>, Problem> {
    let select = "SELECT key, name, created, used, registered, settings FROM keys WHERE key = ?1";
    let entry = connection.query_row(select, [key.as_str()], KeyRow::of).optional()?;
    entry.map(KeyRow::into_key).transpose()
}

/// Adds no row if the key exists.
fn insert(transaction: &Transaction<'_>, key: &Key) -> Result<usize, Problem> {
    let insert = "INSERT INTO keys (key, name, created, used, registered, settings)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (key) DO NOTHING";
    let values =
        params![key.key.as_str(), key.name, key.created, key.used, key.registered, json(&key.settings)?];
    Ok(transaction.execute(insert, values)?)
}

fn json(settings: &Settings) -> Result<String, Problem> {
    serde_json::to_string(settings).map_err(Problem::Settings)
}

/// The write-ahead log of a database.
pub(super) fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

fn file_at(path: &Path) -> io::Result<FileId> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Creates an empty file that only its owner can read, because it contains secrets. SQLite gives its other files
/// the same mode. An existing file keeps its mode.
fn make_private(path: &Path) -> io::Result<()> {
    // Closing a file releases all locks of this process on it (fcntl(2)), so no other thread may have the new file
    // open yet.
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn connect(path: &Path) -> Result<Connection, Problem> {
    // Only one thread uses the connection, so it needs no mutex.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(unopened)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Check before the first write: the file of a newer version must not change.
    format_of(&connection)?;
    wal(&connection)?;
    // A key that was printed survives a power cut. NORMAL would keep the file valid but could lose the last changes.
    // Changes are rare, so FULL costs nothing.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    if format_of(&connection)? < MIGRATIONS.len() {
        migrate(&mut connection)?;
    }
    Ok(connection)
}

/// SQLite's own message gives no reason and repeats the path.
pub(super) fn unopened(error: rusqlite::Error) -> Problem {
    match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => Problem::Unopened,
        _ => error.into(),
    }
}

/// The number of [`MIGRATIONS`] that were applied.
pub(super) fn format_of(connection: &Connection) -> Result<usize, Problem> {
    let found: usize = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = MIGRATIONS.len();
    if found > known { Err(Problem::Newer { found, known }) } else { Ok(found) }
}

/// Enables write-ahead logging, so that readers and a writer do not wait for each other. The change of mode needs
/// exclusive access, and SQLite's busy timeout does not apply to it, so this waits itself.
fn wal(connection: &Connection) -> Result<(), Problem> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && Instant::now() < deadline =>
            {
                thread::sleep(Duration::from_millis(5));
            }
            ended => return Ok(ended?),
        }
    }
}

/// Applies all steps in one transaction, so a process that is killed leaves the file unchanged. If two processes
/// start at once, the second one has nothing left to do.
fn migrate(connection: &mut Connection) -> Result<(), Problem> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let format = format_of(&transaction)?;
    for step in MIGRATIONS.iter().skip(format) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", MIGRATIONS.len())?;
    Ok(transaction.commit()?)
}
