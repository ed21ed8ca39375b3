//! The directory whose files are served, and the files of the server that must not be in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A file or directory of the server that `static_dir` never serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateFile {
    /// The flag that names it, for errors.
    pub setting: String,
    /// The path, which need not exist.
    pub path: PathBuf,
}

impl PrivateFile {
    /// Its path without links. If it is missing, its directory is resolved.
    pub fn resolved(&self) -> Option<PathBuf> {
        resolve(&self.path)
    }
}

fn resolve(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().or_else(|| {
        let parent = path.parent()?;
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        Some(resolve(parent)?.join(path.file_name()?))
    })
}

/// An error of [`Config::static_dir`](super::Config::static_dir): its files cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve --static_dir {path}: {why}", path = .path.display())]
pub struct BadStaticDir {
    /// The configured directory.
    pub path: PathBuf,
    why: Why,
}

#[derive(Debug, thiserror::Error)]
enum Why {
    #[error(transparent)]
    System(#[from] io::Error),
    #[error(
        "everybody could download {path} of {setting}. Move it to another directory, or give --static_dir a directory \
         that has only your app",
        path = .0.path.display(),
        setting = .0.setting
    )]
    Private(PrivateFile),
}

/// Checks that a directory can be entered, and serves none of the private files.
pub(super) fn check(path: &Path, private: &[PrivateFile]) -> Result<(), BadStaticDir> {
    let bad = |why| BadStaticDir { path: path.to_owned(), why };
    let root = enter(path).map_err(|error| bad(error.into()))?;
    let is_served = |file: &&PrivateFile| file.resolved().is_some_and(|file| serves(&root, &file));
    private.iter().find(is_served).map_or(Ok(()), |file| Err(bad(Why::Private(file.clone()))))
}

fn enter(path: &Path) -> io::Result<PathBuf> {
    let root = path.canonicalize()?;
    // Looking the dot up needs permission to enter the directory. Windows finds it for a file, too.
    match fs::metadata(root.join("."))?.is_dir() {
        true => Ok(root),
        false => Err(io::ErrorKind::NotADirectory.into()),
    }
}

/// True if URLs lead to a file below `root`, or `root` is in a private directory. Hidden names are never
/// served.
fn serves(root: &Path, file: &Path) -> bool {
    let is_hidden = |name: &Path| name.iter().any(|part| part.as_encoded_bytes().starts_with(b"."));
    file.strip_prefix(root).is_ok_and(|below| !is_hidden(below)) || root.starts_with(file)
}
