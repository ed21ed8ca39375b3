//! Files with secrets, and the configuration file. They may be a shell's `<(…)`, which keeps a secret out of
//! the file system.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf, absolute};

use parking_lot::Mutex;
use peerbroker_system::files::{self, FileError};

use crate::failure::{Failure, failed};

/// The texts of pipes, and true if further ones are refused. A pipe can be read once only, and a reload needs
/// its text again.
static PIPES: Mutex<(BTreeMap<PathBuf, String>, bool)> = Mutex::new((BTreeMap::new(), false));

/// Longest file with a token, a secret or a public key: as long as the body of an API request.
const MAX_BYTES: u64 = 64 << 10;

/// Reads the file with a token, a secret or a public key that a flag names.
pub(super) fn of_flag(flag: &str, path: &Path) -> Result<String, Failure> {
    let place = || match absolute(path) {
        Ok(whole) if path.is_relative() => format!(", which is {} here", whole.display()),
        _ => String::new(),
    };
    let unreadable = |error| failed(format!("cannot read --{flag} {}{}: {error}", path.display(), place()));
    read(path, MAX_BYTES).map_err(unreadable)
}

/// Reads a text of at most `max` bytes: a file each time, a pipe only at the first call.
pub(super) fn read(path: &Path, max: u64) -> Result<String, FileError> {
    if path.is_file() {
        return files::read_text(path, max);
    }
    let (texts, are_refused) = &mut *PIPES.lock();
    if let Some(text) = texts.get(path) {
        return Ok(text.clone());
    }
    if *are_refused && path.exists() {
        return Err(FileError::NotRegular);
    }
    let text = files::read_text(path, max)?;
    texts.insert(path.to_owned(), text.clone());
    Ok(text)
}

/// Makes unread pipes errors from now on: a running server must not wait for what they say.
pub fn refuse_new_pipes() {
    PIPES.lock().1 = true;
}
