//! The file: how it is made, and every statement of SQL.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension as _, Row, Transaction, TransactionBehavior, params,
};

use crate::keys::{Change, Key, KeyError, Settings};
use crate::wire::ApiKey;

/// The name of the file in its directory.
pub const FILE_NAME: &str = "peerbroker.db";

/// How long another process may hold the file; what we do with it takes milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What makes a database of version N one of version N + 1, from an empty one on. What has been released
/// stays as it is; another step follows it.
///
/// What an operator may want to query are columns. The settings are JSON: what they lack has its default, so a
/// new one needs no step, and `settings ->> '$.enabled'` finds them as well.
const MIGRATIONS: &[&str] = &["CREATE TABLE keys (
        key TEXT NOT NULL PRIMARY KEY,
        name TEXT NOT NULL,
        created INTEGER NOT NULL,
        used INTEGER,
        registered INTEGER NOT NULL,
        settings TEXT NOT NULL
    ) STRICT"];

/// Which file failed, and how.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}", path = .path.display())]
pub struct DatabaseError {
    /// The file, or the directory that it should be in.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: Problem,
}

/// How a database can fail.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Problem {
    #[error("cannot make this directory: {0}")]
    Directory(io::Error),
    #[error("cannot make or find this file: {0}")]
    File(io::Error),
    #[error("cannot open it; it has to be a file that this user may read and write")]
    Unopened,
    #[error(
        "it was removed or replaced while it was in use, so nothing can be kept: restart the server, which reads or makes it anew"
    )]
    Moved,
    #[error("a newer version of peerbroker wrote it, in format {found}; this one knows {known}")]
    Newer { found: usize, known: usize },
    #[error("the key {key} in it cannot be read: {error}")]
    Entry { key: String, error: Box<dyn std::error::Error + Send + Sync> },
    #[error("{0}")]
    Settings(serde_json::Error),
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// A device and the number of a file on it.
type FileId = (u64, u64);

pub(super) struct Database {
    connection: Connection,
    path: PathBuf,
    /// Which file that was when it was opened.
    file: FileId,
    /// Of its write-ahead log, if it has one.
    log: Option<FileId>,
    /// Changes through this connection, which its `data_version` does not count.
    own_changes: u64,
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
        Ok(Database { connection, path, file, log, own_changes: 0 })
    }

    pub(super) fn all(&self) -> Result<Vec<Key>, KeyError> {
        let read = || {
            let select =
                "SELECT key, name, created, used, registered, settings FROM keys ORDER BY created, key";
            let mut statement = self.connection.prepare(select)?;
            let rows = statement.query_map([], Entry::of)?;
            rows.map(|row| row?.into_key()).collect::<Result<Vec<_>, Problem>>()
        };
        read().map_err(|problem| failed(&self.path, problem))
    }

    pub(super) fn get(&self, key: &ApiKey) -> Result<Option<Key>, KeyError> {
        find(&self.connection, key).map_err(|problem| failed(&self.path, problem))
    }

    pub(super) fn add(&mut self, key: Key) -> Result<(), KeyError> {
        let added = self.write(|transaction| {
            let insert = "INSERT INTO keys (key, name, created, used, registered, settings)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (key) DO NOTHING";
            let settings = json(&key.settings)?;
            let values = params![key.key.as_str(), key.name, key.created, key.used, key.registered, settings];
            Ok(transaction.execute(insert, values)?)
        })?;
        self.changed_one(added).ok_or(KeyError::Exists(key.key))
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

    pub(super) fn remove(&mut self, key: &ApiKey) -> Result<(), KeyError> {
        let removed = self.write(|transaction| {
            Ok(transaction.execute("DELETE FROM keys WHERE key = ?1", [key.as_str()])?)
        })?;
        self.changed_one(removed).ok_or_else(|| KeyError::Unknown(key.clone()))
    }

    /// Writes nothing where nothing is new, so that other processes see no change then.
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

    pub(super) fn count_registered(&self) -> Result<usize, KeyError> {
        let select = "SELECT COUNT(*) FROM keys WHERE registered";
        let count = self.connection.query_row(select, [], |row| row.get(0));
        count.map_err(|error| failed(&self.path, error.into()))
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

    /// `data_version` is another number after every commit of others, and only of others.
    pub(super) fn version(&self) -> Result<u64, KeyError> {
        let of_others = self.connection.pragma_query_value(None, "data_version", |row| row.get::<_, u32>(0));
        let of_others = of_others.map_err(|error| failed(&self.path, error.into()))?;
        Ok((self.own_changes << u32::BITS) | u64::from(of_others))
    }

    /// Does all of it or nothing. It is IMMEDIATE because what first reads and then wants to write is
    /// refused at once, without waiting, if somebody else has written between.
    fn write<T>(&mut self, work: impl FnOnce(&Transaction<'_>) -> Result<T, Problem>) -> Result<T, KeyError> {
        let write = || {
            // SQLite goes on with a file that nobody can find any more, and says that all is well. Its log stays
            // for as long as any connection is open.
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

/// A row as it is stored.
struct Entry {
    key: String,
    name: String,
    created: u64,
    used: Option<u64>,
    registered: bool,
    settings: String,
}

impl Entry {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Entry {
            key: row.get("key")?,
            name: row.get("name")?,
            created: row.get("created")?,
            used: row.get("used")?,
            registered: row.get("registered")?,
            settings: row.get("settings")?,
        })
    }

    fn into_key(self) -> Result<Key, Problem> {
        let Entry { key: text, name, created, used, registered, settings } = self;
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

fn find(connection: &Connection, key: &ApiKey) -> Result<Option<Key>, Problem> {
    let select = "SELECT key, name, created, used, registered, settings FROM keys WHERE key = ?1";
    let entry = connection.query_row(select, [key.as_str()], Entry::of).optional()?;
    entry.map(Entry::into_key).transpose()
}

fn json(settings: &Settings) -> Result<String, Problem> {
    serde_json::to_string(settings).map_err(Problem::Settings)
}

fn failed(path: &Path, problem: Problem) -> KeyError {
    KeyError::Store(DatabaseError { path: path.to_owned(), problem }.into())
}

/// The write-ahead log of a database.
fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

fn file_at(path: &Path) -> io::Result<FileId> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Makes an empty file that only its owner reads, for there are secrets in it; SQLite gives the files beside it the
/// same mode. One that is there keeps the mode that somebody gave it.
fn make_private(path: &Path) -> io::Result<()> {
    // Closing a file gives up all locks that this process has on it, so nobody else may have opened the new
    // one yet.
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn connect(path: &Path) -> Result<Connection, Problem> {
    // One thread has the connection, which need not guard itself.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(unopened)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Before anything is written: a newer version's file stays as it is.
    format_of(&connection)?;
    wal(&connection)?;
    // A key that was printed is there after a power cut as well. NORMAL would keep the file whole, but not the last
    // changes; a process that is killed loses nothing either way. Changes are rare, so it costs nothing.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    if format_of(&connection)? < MIGRATIONS.len() {
        migrate(&mut connection)?;
    }
    Ok(connection)
}

/// SQLite says no more than that it cannot, and repeats the path.
fn unopened(error: rusqlite::Error) -> Problem {
    match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => Problem::Unopened,
        _ => error.into(),
    }
}

/// How many of [`MIGRATIONS`] it has seen.
fn format_of(connection: &Connection) -> Result<usize, Problem> {
    let found: usize = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = MIGRATIONS.len();
    if found > known { Err(Problem::Newer { found, known }) } else { Ok(found) }
}

/// Has readers and a writer not wait for each other. A new file changes to it while nobody else uses the file, and
/// that is the one thing for which SQLite does not wait by itself.
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

/// All steps at once: who is killed meanwhile leaves the file as it was. Two processes may come to it; the second
/// finds it done.
fn migrate(connection: &mut Connection) -> Result<(), Problem> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let format = format_of(&transaction)?;
    for step in MIGRATIONS.iter().skip(format) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", MIGRATIONS.len())?;
    Ok(transaction.commit()?)
}
