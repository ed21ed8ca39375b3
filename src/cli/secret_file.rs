//! Files with secrets, and the configuration file. They may be pipes: with `<(…)`, a shell keeps a secret out of the file system.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use peerbroker::files::{self, FileError};

/// What the pipes held. A pipe can be read once only, and a reload needs its text again.
static PIPES: Mutex<Option<HashMap<PathBuf, String>>> = Mutex::new(None);

/// Reads a text of at most `max` bytes: a file as it is now, a pipe as it was at the first call.
pub(super) fn read(path: &Path, max: u64) -> Result<String, FileError> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
        return files::read_text(path, max);
    }
    let mut pipes = PIPES.lock().unwrap_or_else(PoisonError::into_inner);
    let pipes = pipes.get_or_insert_default();
    if let Some(text) = pipes.get(path) {
        return Ok(text.clone());
    }
    let text = files::read_text(path, max)?;
    pipes.insert(path.to_owned(), text.clone());
    Ok(text)
}
