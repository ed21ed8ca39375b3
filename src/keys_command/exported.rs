//! The file of `peerbroker keys export` and `import`: one JSON document, so that a part of it is never taken for the whole.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use peerbroker::files::{self, FileError};
use peerbroker::keys::{Auth, InvalidName, JwtKey, Key, check_name};
use peerbroker::wire::ApiKey;
use peerbroker::{BadAuth, BadWebhook, check_auth, check_webhook};

use super::shown;

/// The name of a file that means stdout or stdin.
pub(super) const STDIO: &str = "-";

/// The version of the format. A new setting of keys needs no new one: a program that does not know it refuses the file.
const VERSION: u32 = 1;

/// Longest file. 10,000 keys have about 5 MB.
const MAX_BYTES: u64 = 256 << 20;

/// Why a file cannot be exported to or imported.
#[derive(Debug, thiserror::Error)]
pub enum BadExport {
    #[error("cannot write {path}: {error}", path = .path.display())]
    Write { path: PathBuf, error: io::Error },
    #[error("{path} exists already, and is not overwritten", path = .0.display())]
    Exists(PathBuf),
    #[error("cannot read {path}: {error}", path = .path.display())]
    Read { path: PathBuf, error: FileError },
    #[error("{path} is not a whole export of keys: {error}", path = .path.display())]
    Document { path: PathBuf, error: serde_json::Error },
    #[error("{path} has version {found} of the format, and this program knows {VERSION}: use the program that wrote it, or a newer one", path = .path.display())]
    Version { path: PathBuf, found: u32 },
    #[error("entry {entry} of {path} is not a key: {why}", path = .path.display())]
    Entry { path: PathBuf, entry: usize, why: BadEntry },
}

/// Why an entry of a file is not a key.
#[derive(Debug, thiserror::Error)]
pub enum BadEntry {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("there is no setting {0}. Correct its name, or use a newer program, if one wrote the file")]
    Unknown(String),
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error("its auth cannot be used: {0}")]
    Auth(#[from] BadAuth),
    #[error("its webhook cannot be used: {0}")]
    Webhook(#[from] BadWebhook),
    #[error("the key {0} is in an earlier entry, too")]
    Twice(ApiKey),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<K> {
    peerbroker_keys: u32,
    keys: Vec<K>,
}

pub(super) fn json(keys: &[Key]) -> serde_json::Result<String> {
    let document = Document { peerbroker_keys: VERSION, keys: keys.iter().collect() };
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

/// Writes a new file. What cannot be written as a whole is removed.
pub(super) fn write(path: &Path, text: &str) -> Result<(), BadExport> {
    let failed = |error| BadExport::Write { path: path.to_owned(), error };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => BadExport::Exists(path.to_owned()),
        _ => failed(error),
    })?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| {
        // The first error says why.
        let _ = fs::remove_file(path);
        failed(error)
    })
}

pub(super) fn summary(keys: &[Key]) -> String {
    let has_secret = |key: &&Key| {
        matches!(key.settings.auth, Auth::Jwt { verify: JwtKey::Secret(_) })
            || !key.settings.webhook.secrets.is_empty()
    };
    let secrets = match keys.iter().filter(has_secret).count() {
        0 => "none of them has a secret".to_owned(),
        secrets => format!("with the secret of {secrets}: whoever can read it can sign tokens or events"),
    };
    format!("Exported {}, {secrets}.", shown::number(keys.len()))
}

/// Reads and checks all keys. They have to be what `peerbroker keys add` would accept.
pub(super) fn read(path: &Path) -> Result<Vec<Key>, BadExport> {
    let from = if path == Path::new(STDIO) { Path::new("/dev/stdin") } else { path };
    let text = files::read_text(from, MAX_BYTES);
    let text = text.map_err(|error| BadExport::Read { path: path.to_owned(), error })?;
    let document: Document<Value> =
        serde_json::from_str(&text).map_err(|error| BadExport::Document { path: path.to_owned(), error })?;
    if document.peerbroker_keys != VERSION {
        return Err(BadExport::Version { path: path.to_owned(), found: document.peerbroker_keys });
    }
    let mut known = BTreeSet::new();
    let read = |(index, entry)| {
        let bad = |why| BadExport::Entry { path: path.to_owned(), entry: index + 1, why };
        let key = read_key(entry).map_err(bad)?;
        let is_new = known.insert(key.key.clone());
        if is_new { Ok(key) } else { Err(bad(BadEntry::Twice(key.key))) }
    };
    document.keys.into_iter().enumerate().map(read).collect()
}

/// A setting without effect could open a key to everybody, so an unknown one is an error.
fn read_key(entry: Value) -> Result<Key, BadEntry> {
    let key = Key { built_in: false, ..serde_json::from_value(entry.clone())? };
    let known = serde_json::to_value(&key)?;
    let members = entry.as_object().into_iter().flat_map(|members| members.keys());
    if let Some(unknown) = members.into_iter().find(|member| known.get(member).is_none()) {
        return Err(BadEntry::Unknown(unknown.escape_debug().to_string()));
    }
    check_name(&key.name)?;
    check_auth(&key.settings.auth)?;
    check_webhook(&key.settings.webhook, true)?;
    Ok(key)
}
