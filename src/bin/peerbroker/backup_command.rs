//! `peerbroker backup`: copies the data directory while a server uses it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use peerbroker_keys::KeyError;
use peerbroker_keys::sqlite::{DatabaseError, FILE_NAME, Problem, SqliteKeys};
use peerbroker_system::files;

use crate::cli::ACME_DIR;
use crate::failure::{Failure, cannot, failed, wrong};
use crate::stored_keys::{COPIED_ALONE, number};

/// Makes the backup beside its final place, so that a partial backup never has the final name.
///
/// Returns the text to print.
pub fn run(data_dir: Option<&Path>, to: &Path) -> Result<String, Failure> {
    let data_dir = data_dir.ok_or_else(|| wrong("--data_dir is missing: give that of the server"))?;
    if matches!(data_dir.join(FILE_NAME).try_exists(), Ok(false)) {
        let dir = data_dir.display();
        return Err(failed(format!(
            "there is no {FILE_NAME} in --data_dir {dir}: give the data directory of the server"
        )));
    }
    if fs::symlink_metadata(to).is_ok() {
        return Err(failed(format!("{} exists already, and is not overwritten", to.display())));
    }
    let unfinished = unfinished(to);
    files::private_dir().create(&unfinished).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            failed(format!("an earlier backup was not finished: remove {}", unfinished.display()))
        }
        _ => cannot("write", &unfinished)(error),
    })?;
    let done =
        copy(data_dir, &unfinished).and_then(|()| fs::rename(&unfinished, to).map_err(cannot("write", to)));
    if done.is_err() {
        // The first error says why.
        let _ = fs::remove_dir_all(&unfinished);
    }
    done?;
    Ok(format!(
        "Made {}. It has the secrets of the server: keep it where nobody else can read it.\n",
        to.display()
    ))
}

/// Checks a backup, and changes nothing. Returns the text to print.
pub fn check(backup: &Path) -> Result<String, Failure> {
    let dir = backup.display();
    if backup.is_file() {
        return Err(failed(format!(
            "{dir} is a file: give the directory of the backup, with its {FILE_NAME}"
        )));
    }
    let found = fs::metadata(backup.join(FILE_NAME)).map_err(cannot("read", &backup.join(FILE_NAME)));
    let keys = found.and_then(|_| SqliteKeys::check(backup).map_err(|error| unusable(backup, &error)))?;
    let keys =
        keys.ok_or_else(|| failed(format!("{dir} is no backup: its {FILE_NAME} is empty. {COPIED_ALONE}")))?;
    Ok(format!("{dir} is a backup with {}, which can all be read.\n", number(keys)))
}

/// The error of a backup, which is no server's directory to restore.
fn unusable(backup: &Path, error: &KeyError) -> Failure {
    let problem = match error {
        KeyError::Store(error) => error.downcast_ref::<DatabaseError>().map(|error| &error.problem),
        _ => None,
    };
    match problem {
        Some(Problem::Damaged { why, .. }) => failed(format!(
            "{} cannot be restored, because it is damaged: {why}. Use another backup",
            backup.display()
        )),
        _ => failed(error),
    }
}

/// A path beside `to`, because a directory can only be renamed within its file system.
fn unfinished(to: &Path) -> PathBuf {
    let mut name: OsString = to.components().collect::<PathBuf>().into();
    name.push(".unfinished");
    name.into()
}

fn copy(data_dir: &Path, to: &Path) -> Result<(), Failure> {
    SqliteKeys::backup(data_dir, to)?;
    copy_tree(&data_dir.join(ACME_DIR), &to.join(ACME_DIR), ACME_DEPTH)?;
    sync(to)
}

/// Levels of directories: one for each ACME server.
const ACME_DEPTH: u32 = 1;

/// Copies regular files. The server replaces whole files, so each copy is complete. A missing directory is no
/// error.
fn copy_tree(from: &Path, to: &Path, depth: u32) -> Result<(), Failure> {
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(cannot("copy", from))?,
    };
    files::private_dir().create(to).map_err(cannot("copy", to))?;
    for entry in entries {
        let entry = entry.map_err(cannot("copy", from))?;
        let path = entry.path();
        let copy = to.join(entry.file_name());
        let copied = match fs::metadata(&path) {
            Ok(kind) if kind.is_dir() && depth > 0 => Ok(copy_tree(&path, &copy, depth - 1)?),
            Ok(kind) if kind.is_file() => copy_file(&path, &copy),
            found => found.map(drop),
        };
        // The server may have renamed it since.
        if let Err(error) = copied
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(cannot("copy", &path)(error));
        }
    }
    sync(to)
}

/// Private keys: only the owner may read them, from the beginning.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut copy = files::new_private().open(to)?;
    io::copy(&mut source, &mut copy)?;
    copy.sync_all()
}

fn sync(dir: &Path) -> Result<(), Failure> {
    files::sync_dir(dir).map_err(cannot("write", dir))
}
