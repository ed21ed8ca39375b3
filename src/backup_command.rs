//! `peerbroker backup`: copies the data directory while a server uses it.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use peerbroker::keys::KeyError;
use peerbroker::keys::sqlite::{FILE_NAME, SqliteKeys};

use crate::cli::{ACME_DIR, BackupArgs};

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupFailed {
    #[error("there is no {FILE_NAME} in --data_dir {}: give the data directory of the server", .0.display())]
    NoDatabase(PathBuf),
    #[error("{} exists already, and is not overwritten", .0.display())]
    Exists(PathBuf),
    #[error("an earlier backup was not finished: remove {}", .0.display())]
    Unfinished(PathBuf),
    #[error("cannot copy {}: {error}", .path.display())]
    Copy { path: PathBuf, error: io::Error },
    #[error("cannot write {}: {error}", .path.display())]
    Write { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Keys(#[from] KeyError),
}

/// Makes the backup beside its final place, so that it is there as a whole or not at all.
///
/// Returns the text to print.
pub fn run(args: &BackupArgs) -> Result<String, BackupFailed> {
    let BackupArgs { data_dir, to } = args;
    let write = |path: &Path| {
        let path = path.to_owned();
        move |error| BackupFailed::Write { path, error }
    };
    if matches!(data_dir.join(FILE_NAME).try_exists(), Ok(false)) {
        return Err(BackupFailed::NoDatabase(data_dir.clone()));
    }
    if fs::symlink_metadata(to).is_ok() {
        return Err(BackupFailed::Exists(to.clone()));
    }
    let unfinished = unfinished(to);
    DirBuilder::new().mode(0o700).create(&unfinished).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => BackupFailed::Unfinished(unfinished.clone()),
        _ => write(&unfinished)(error),
    })?;
    let done = copy(data_dir, &unfinished).and_then(|()| fs::rename(&unfinished, to).map_err(write(to)));
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

/// Beside `to`, because a directory can only be renamed within its file system.
fn unfinished(to: &Path) -> PathBuf {
    let mut name: OsString = to.components().collect::<PathBuf>().into();
    name.push(".unfinished");
    name.into()
}

fn copy(data_dir: &Path, to: &Path) -> Result<(), BackupFailed> {
    SqliteKeys::backup(data_dir, to)?;
    copy_tree(&data_dir.join(ACME_DIR), &to.join(ACME_DIR), ACME_DEPTH)?;
    sync(to)
}

/// Levels of directories: one for each ACME server.
const ACME_DEPTH: u32 = 1;

/// Copies regular files. The server replaces them as a whole, so each copy is whole. Without the directory there is
/// nothing to copy.
fn copy_tree(from: &Path, to: &Path, depth: u32) -> Result<(), BackupFailed> {
    let failed = |path: &Path, error| BackupFailed::Copy { path: path.to_owned(), error };
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|error| failed(from, error))?,
    };
    DirBuilder::new().mode(0o700).create(to).map_err(|error| failed(to, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| failed(from, error))?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        let kind = fs::metadata(&path);
        match kind {
            Ok(kind) if kind.is_dir() && depth > 0 => copy_tree(&path, &copy, depth - 1)?,
            Ok(kind) if kind.is_file() => match copy_file(&path, &copy) {
                // The server has renamed it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                ended => ended.map_err(|error| failed(&path, error))?,
            },
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&path, error)),
            _ => {}
        }
    }
    sync(to)
}

/// Private keys: only the owner may read them, from the beginning.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(&mut source, &mut copy)?;
    copy.sync_all()
}

fn sync(dir: &Path) -> Result<(), BackupFailed> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|error| BackupFailed::Write { path: dir.to_owned(), error })
}
