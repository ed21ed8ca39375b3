//! Looks whether a directory can hold the database, without creating or changing anything.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, OpenFlags};
use rustix::fs::Access;

use super::database::{BUSY_TIMEOUT, FILE_NAME, all_of, format_of, log_of, unopened};
use super::problem::{Problem, failed};
use crate::keys::KeyError;

/// Checks that the database can be made, or that all its keys can be read.
pub(super) fn check(dir: &Path) -> Result<(), KeyError> {
    let path = dir.join(FILE_NAME);
    let is_absent =
        |error: io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    if fs::metadata(&path).is_err_and(is_absent) {
        return may_be_made(dir).map_err(|error| failed(dir, Problem::Directory(error)));
    }
    let read = || {
        let connection = connect(&path)?;
        // A file of format 0 is empty, and gets its tables when it is opened.
        if format_of(&connection)? > 0 { all_of(&connection).map(drop) } else { Ok(()) }
    };
    read().map_err(|problem| failed(&path, problem))
}

/// Whether this directory, or the nearest one above it that exists, may be written to.
fn may_be_made(dir: &Path) -> io::Result<()> {
    // The parent of a relative path may be empty, which is the current directory.
    let here = |dir: &Path| if dir.as_os_str().is_empty() { PathBuf::from(".") } else { dir.to_owned() };
    for above in dir.ancestors().map(here) {
        match fs::metadata(&above) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(found) if !found.is_dir() => return Err(io::ErrorKind::NotADirectory.into()),
            Ok(_) => return Ok(rustix::fs::access(&above, Access::WRITE_OK | Access::EXEC_OK)?),
        }
    }
    Ok(())
}

/// Opens the file for reading. Without a log nobody else has it open, so it is read as one that cannot change:
/// otherwise SQLite would make a log.
fn connect(path: &Path) -> Result<Connection, Problem> {
    rustix::fs::access(path, Access::READ_OK | Access::WRITE_OK).map_err(|_| Problem::Unopened)?;
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let escaped = percent_encode(path.as_os_str().as_bytes(), NON_ALPHANUMERIC);
    let immutable = if log_of(path).exists() { "" } else { "?immutable=1" };
    let connection =
        Connection::open_with_flags(format!("file:{escaped}{immutable}"), flags).map_err(unopened)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}
