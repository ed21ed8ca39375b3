//! The database file: it is made, opened, migrated and copied, and has problems.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::KeyError;
use peerbroker_system::{self as system, files};

/// The name of the database file in its directory.
pub const FILE_NAME: &str = "peerbroker.db";

/// Time limit for another process that locks the file. Our own locks take milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Time limit for other processes at a checkpoint, which may be left to the next change.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_millis(100);

/// Most KiB of pages that a connection keeps. The server reads all keys when they change, and the kernel has
/// the pages too.
const CACHE_KIB: i64 = 256;

/// Each step migrates a database of version N to N + 1; version 0 is empty. Never change a released step:
/// append another one.
///
/// Fields that operators query are columns. The settings are JSON, where missing fields have their default,
/// so a new setting needs no step. `settings ->> '$.enabled'` queries one of them.
const MIGRATIONS: &[&str] = &[
    "CREATE TABLE keys (
        key TEXT NOT NULL PRIMARY KEY,
        name TEXT NOT NULL,
        created INTEGER NOT NULL,
        used INTEGER,
        registered INTEGER NOT NULL,
        settings TEXT NOT NULL
    ) STRICT;
    CREATE TABLE bans (place TEXT NOT NULL PRIMARY KEY, ban TEXT NOT NULL) STRICT",
    "CREATE TABLE hours (count INTEGER NOT NULL, counted INTEGER NOT NULL) STRICT;
    INSERT INTO hours VALUES (0, 0);
    ALTER TABLE keys ADD COLUMN used_hour INTEGER NOT NULL DEFAULT 0",
];

/// An error of a database file.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}", path = .path.display())]
pub struct DatabaseError {
    /// The path of the file, or of its directory.
    pub path: PathBuf,
    /// The problem.
    pub problem: Problem,
}

/// A problem of a database.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Problem {
    #[error("cannot create this directory, which --data_dir names: {0}")]
    Directory(io::Error),
    #[error("cannot create this file: {0}")]
    File(io::Error),
    #[error("cannot open it; it has to be a file that this user may read and write")]
    Unopened,
    #[error("it is not a regular file")]
    NotRegular,
    #[error(
        "it was removed or replaced while it was in use, so nothing can be kept: restart the server, which reads or makes it anew"
    )]
    Moved,
    #[error("this user may not write it, or files beside it")]
    Unwritable,
    #[error("no space left on the disk of {dir}: free some", dir = .0.display())]
    Full(PathBuf),
    #[error(
        "the disk of {dir} is read-only: mount it so that it can be written. In a container, take `ro` out of its volume; with \
         systemd, name it in ReadWritePaths=", dir = .0.display()
    )]
    ReadOnly(PathBuf),
    #[error(
        "its disk cannot be read or written ({0}): see the log of the kernel, as with `dmesg`, and the limits of this process"
    )]
    Disk(rusqlite::Error),
    #[error("another process kept it locked")]
    Locked,
    #[error(
        "{why}, so it is damaged, or of another program. Stop the server, and restore a backup: `mv {dir} {dir}-broken && cp -a BACKUP \
         {dir}`", dir = .dir.display()
    )]
    Damaged { why: String, dir: PathBuf },
    #[error("a newer version of peerbroker wrote it, in format {found}; this one knows {known}")]
    Newer { found: usize, known: usize },
    #[error("the key {key} in it cannot be read: {error}")]
    Entry { key: String, error: Box<dyn std::error::Error + Send + Sync> },
    #[error("{0}")]
    Settings(serde_json::Error),
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// Adds the path to an error.
pub(super) fn at<T>(path: &Path, done: Result<T, Problem>) -> Result<T, KeyError> {
    done.map_err(|problem| {
        let problem = explained(path, problem);
        KeyError::Store(DatabaseError { path: path.to_owned(), problem }.into())
    })
}

/// The problem, or its cause: SQLite often says only "disk I/O error" if the disk is full.
pub(super) fn explained(path: &Path, problem: Problem) -> Problem {
    let dir = directory_of(path);
    let is_full = match &problem {
        Problem::Directory(error) | Problem::File(error) => error.kind() == ErrorKind::StorageFull,
        Problem::Unopened => system::is_full(dir),
        Problem::Sqlite(error) => match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => true,
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => system::is_full(dir),
            _ => false,
        },
        _ => false,
    };
    if is_full {
        return Problem::Full(dir.to_owned());
    }
    let is_read_only = match &problem {
        Problem::Directory(error) | Problem::File(error) => error.kind() == ErrorKind::ReadOnlyFilesystem,
        Problem::Unopened | Problem::Unwritable => system::is_read_only(dir),
        Problem::Sqlite(error) => {
            let codes = [ErrorCode::ReadOnly, ErrorCode::CannotOpen, ErrorCode::SystemIoFailure];
            error.sqlite_error_code().is_some_and(|code| codes.contains(&code)) && system::is_read_only(dir)
        }
        _ => false,
    };
    if is_read_only {
        return Problem::ReadOnly(dir.to_owned());
    }
    match problem {
        Problem::Sqlite(error) => match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => damaged(path, error.to_string()),
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Problem::Unwritable
            }
            Some(ErrorCode::SystemIoFailure) => Problem::Disk(error),
            _ => Problem::Sqlite(error),
        },
        problem => problem,
    }
}

fn damaged(path: &Path, why: String) -> Problem {
    Problem::Damaged { why, dir: directory_of(path).to_owned() }
}

fn directory_of(path: &Path) -> &Path {
    if path.is_dir() { path } else { path.parent().unwrap_or(path) }
}

impl Problem {
    /// The problem of the copy of a file is one of the file in this directory.
    pub(super) fn of_source(self, dir: &Path) -> Self {
        match self {
            Problem::Damaged { why, .. } => Problem::Damaged { why, dir: dir.to_owned() },
            problem => problem,
        }
    }

    /// True if another owner or mode of the file or its directory may solve it.
    pub fn is_of_permissions(&self) -> bool {
        match self {
            Problem::Directory(error) | Problem::File(error) => error.kind() == ErrorKind::PermissionDenied,
            Problem::Unopened | Problem::Unwritable => true,
            _ => false,
        }
    }
}

/// The identity of the file, and that of its write-ahead log, if it has one.
pub(super) struct FileIds {
    file: (u64, u64),
    log: Option<(u64, u64)>,
}

impl FileIds {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let id = |path: &Path| fs::metadata(path).map(|found| system::identity(&found));
        Ok(FileIds { file: id(path)?, log: id(&log_of(path)).ok() })
    }

    /// Fails if the file was removed or replaced: SQLite would report success. The log exists as long as a
    /// connection is open.
    pub(super) fn check(&self, path: &Path) -> Result<(), Problem> {
        let found = FileIds::of(path).map_err(|_| Problem::Moved)?;
        let is_same = found.file == self.file && (self.log.is_none() || found.log == self.log);
        is_same.then_some(()).ok_or(Problem::Moved)
    }
}

/// Makes the directory and an empty file, if they do not exist. Returns the path of the file.
pub(super) fn make(dir: &Path) -> Result<PathBuf, KeyError> {
    let made = files::private_dir().recursive(true).create(dir);
    at(dir, made.map_err(Problem::Directory))?;
    let path = dir.join(FILE_NAME);
    // Closing a file releases all locks of this process on it (fcntl(2)), so no other thread may have the new
    // file open yet.
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock();
    match make_private(&path) {
        Ok(()) => at(&path, system::give_to_owner(dir, &path).map_err(Problem::File))?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return at(&path, Err(Problem::File(error))),
    }
    Ok(path)
}

/// Creates an empty file that only its owner can read, because it contains secrets. SQLite gives its other
/// files the same mode.
fn make_private(path: &Path) -> io::Result<()> {
    files::new_private().open(path).map(drop)
}

/// Fails if the database, or a file that SQLite has beside it, is no file: SQLite would wait for the writer
/// of a pipe. It refuses directories itself.
fn check_kind(path: &Path) -> Result<(), Problem> {
    let is_other = |path: PathBuf| fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir());
    let is_fine = !["", "-wal", "-shm", "-journal"].into_iter().any(|end| is_other(beside(path, end)));
    is_fine.then_some(()).ok_or(Problem::NotRegular)
}

/// A file that was opened for its store.
pub(super) struct Opened {
    pub(super) connection: Connection,
    /// The file had bytes and no tables, and there was no log beside it that could have them.
    pub(super) was_blank: bool,
}

/// Opens the file for its store, and brings it to the present format.
pub(super) fn open(path: &Path) -> Result<Opened, Problem> {
    check_kind(path)?;
    let has_bytes_alone = fs::metadata(path).is_ok_and(|found| found.len() > 0) && !log_of(path).exists();
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let was_blank = has_bytes_alone && format_of(&connection)? == 0;
    wal(&connection)?;
    // A key that was printed survives a power cut. NORMAL would keep the file valid but could lose the last
    // changes. Changes are rare, so FULL costs nothing.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    if format_of(&connection)? < MIGRATIONS.len() {
        migrate(&mut connection)?;
        checkpoint(&connection);
    }
    Ok(Opened { connection, was_blank })
}

/// Moves the write-ahead log into the file, so that a copy of the file alone has all keys. While another
/// process uses the log, a part stays there until the next change. Errors are ignored: the log keeps what was
/// written.
pub(super) fn checkpoint(connection: &Connection) {
    let _ = connection.busy_timeout(CHECKPOINT_TIMEOUT);
    let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    let _ = connection.busy_timeout(BUSY_TIMEOUT);
}

/// Opens the file for reading. Without a log no other process has it open, so it is read as immutable:
/// otherwise SQLite would make a log.
pub(super) fn open_unchanged(path: &Path) -> Result<Connection, Problem> {
    check_kind(path)?;
    system::may_write(path).map_err(|_| Problem::Unopened)?;
    // A server makes files beside it.
    system::may_create_in(directory_of(path)).map_err(|_| Problem::Unwritable)?;
    connect_to_read(path, !log_of(path).exists())
}

/// Opens the file for reading while its disk is full: there is no space for the index of a log. An empty log
/// has nothing to read, and nobody can write one.
pub(super) fn open_on_full_disk(path: &Path) -> Result<Connection, Problem> {
    connect_to_read(path, fs::metadata(log_of(path)).map_or(0, |found| found.len()) == 0)
}

fn connect_to_read(path: &Path, is_immutable: bool) -> Result<Connection, Problem> {
    let escaped = percent_encode(path.as_os_str().as_encoded_bytes(), NON_ALPHANUMERIC);
    let immutable = if is_immutable { "?immutable=1" } else { "" };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    connect(format!("file:{escaped}{immutable}").as_ref(), flags)
}

/// Opens an existing file, unless a newer version wrote it: such a file must not change.
fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, Problem> {
    // Only one thread at a time uses the connection, so it needs no mutex.
    let opened = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX);
    let connection = opened.map_err(|error| match error.sqlite_error_code() {
        // SQLite's own message gives no reason and repeats the path.
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => Problem::Unopened,
        _ => error.into(),
    })?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    format_of(&connection)?;
    Ok(connection)
}

/// Looks at all pages, tables and indices of a file, up to the first fault.
pub(super) fn examine(path: &Path, connection: &Connection) -> Result<(), Problem> {
    let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if found == "ok" { Ok(()) } else { Err(damaged(path, found.replace('\n', " "))) }
}

/// The number of [`MIGRATIONS`] that were applied.
pub(super) fn format_of(connection: &Connection) -> Result<usize, Problem> {
    let found: usize = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = MIGRATIONS.len();
    if found > known { Err(Problem::Newer { found, known }) } else { Ok(found) }
}

/// Enables write-ahead logging, so that readers and a writer do not wait for each other. The change of mode
/// needs exclusive access, and SQLite's busy timeout does not apply to it, so this waits itself.
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

/// Applies all steps in one transaction, so a process that is killed leaves the file unchanged. If two
/// processes start at once, the second one finds all steps done.
fn migrate(connection: &mut Connection) -> Result<(), Problem> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let format = format_of(&transaction)?;
    for step in MIGRATIONS.iter().skip(format) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", MIGRATIONS.len())?;
    Ok(transaction.commit()?)
}

/// Copies a database to a new file. A checkpoint of the write-ahead log needs write access, also to the
/// source.
///
/// All pages in one step: with a write-ahead log, a reader does not hold up writers. With several steps, each
/// write in between would start the copy anew.
pub(super) fn copy(source: &Path, copy: &Path) -> Result<(), KeyError> {
    let open = || {
        check_kind(source)?;
        let opened = connect(source, OpenFlags::SQLITE_OPEN_READ_WRITE);
        match opened.map_err(|problem| explained(source, problem)) {
            Err(Problem::Full(_)) => open_on_full_disk(source),
            opened => opened,
        }
    };
    let from = at(source, open())?;
    let write = || {
        make_private(copy).map_err(Problem::File)?;
        let mut to = connect(copy, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        match Backup::new(&from, &mut to)?.step(-1)? {
            StepResult::Done => Ok(()),
            _ => Err(Problem::Locked),
        }
    };
    at(copy, write())
}

/// True if there is certainly no file.
pub(super) fn is_absent(path: &Path) -> bool {
    let kinds = [ErrorKind::NotFound, ErrorKind::NotADirectory];
    fs::metadata(path).is_err_and(|error| kinds.contains(&error.kind()))
}

/// Checks if this directory, or the nearest one above it that exists, may be written to.
pub(super) fn may_be_made(dir: &Path) -> io::Result<()> {
    // The parent of a relative path may be empty, which is the current directory.
    let here = |dir: &Path| if dir.as_os_str().is_empty() { PathBuf::from(".") } else { dir.to_owned() };
    for above in dir.ancestors().map(here) {
        match fs::metadata(&above) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(found) if !found.is_dir() => return Err(ErrorKind::NotADirectory.into()),
            Ok(_) => return system::may_create_in(&above),
        }
    }
    Ok(())
}

/// The write-ahead log of a database.
fn log_of(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

/// A file whose name is that of the database with this end.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}
