//! Copies the database while others use it.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::check;
use super::database::{BUSY_TIMEOUT, FILE_NAME, format_of, unopened};
use super::problem::{Problem, failed};
use crate::keys::KeyError;

/// Copies the database, and reads all keys of the copy.
pub(super) fn backup(dir: &Path, to: &Path) -> Result<(), KeyError> {
    let (source, copy) = (dir.join(FILE_NAME), to.join(FILE_NAME));
    let from = connect(&source).map_err(|problem| failed(&source, problem))?;
    // Only its owner may read it, because it contains secrets. SQLite's other files get the same mode.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&copy);
    made.map_err(|error| failed(&copy, Problem::File(error)))?;
    write(&from, &copy).map_err(|problem| failed(&copy, problem))?;
    check::check(to)
}

/// Opens an existing file without changing it. A checkpoint of the write-ahead log needs write access.
fn connect(path: &Path) -> Result<Connection, Problem> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(unopened)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    format_of(&connection)?;
    Ok(connection)
}

/// All pages in one step: with a write-ahead log, a reader does not hold up writers. With several steps, each write in
/// between would start the copy anew.
fn write(from: &Connection, copy: &Path) -> Result<(), Problem> {
    let mut to = Connection::open(copy).map_err(unopened)?;
    to.busy_timeout(BUSY_TIMEOUT)?;
    match Backup::new(from, &mut to)?.step(-1)? {
        StepResult::Done => Ok(()),
        _ => Err(Problem::Locked),
    }
}
