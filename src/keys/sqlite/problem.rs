//! What can be wrong with a database.

use std::io;
use std::path::{Path, PathBuf};

use crate::keys::KeyError;

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
    #[error("another process kept it locked")]
    Locked,
    #[error("a newer version of peerbroker wrote it, in format {found}; this one knows {known}")]
    Newer { found: usize, known: usize },
    #[error("the key {key} in it cannot be read: {error}")]
    Entry { key: String, error: Box<dyn std::error::Error + Send + Sync> },
    #[error("{0}")]
    Settings(serde_json::Error),
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
}

pub(super) fn failed(path: &Path, problem: Problem) -> KeyError {
    KeyError::Store(DatabaseError { path: path.to_owned(), problem }.into())
}
