//! `peerbroker keys`: edits the database of keys, which a server that runs follows.

mod shown;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use peerbroker::keys::sqlite::{FILE_NAME, SqliteKeys};
use peerbroker::keys::{Change, Key, KeyError, KeyStore as _, Settings};
use peerbroker::wire::ApiKey;

use crate::cli::{BadKeySettings, KeySettings, KeysCommand};

/// Why a command did nothing, or could not tell what it did.
#[derive(Debug, thiserror::Error)]
pub enum KeysFailed {
    #[error(transparent)]
    Settings(#[from] BadKeySettings),
    #[error("nothing is to be changed: name an option, `peerbroker keys set --help` lists them")]
    NothingToChange,
    #[error("there is no {FILE_NAME} in {}: `peerbroker keys add`, or a server with this --data_dir, makes one", .0.display())]
    NoDatabase(PathBuf),
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error("cannot write a key as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("cannot write to stdout: {0}")]
    Stdout(io::Error),
}

impl KeysFailed {
    /// 2 for wrong arguments, as clap; 1 for all else.
    pub fn exit_code(&self) -> u8 {
        match self {
            KeysFailed::Settings(error) => error.exit_code(),
            KeysFailed::NothingToChange => 2,
            _ => 1,
        }
    }
}

/// Does it, and prints what was done.
pub fn run(command: &KeysCommand) -> Result<(), KeysFailed> {
    let text = match command {
        KeysCommand::Add { at, key, settings } => add(&at.data_dir, key.clone(), settings)?,
        KeysCommand::List { at, json } => {
            let keys = existing(&at.data_dir)?.all()?;
            if *json { shown::json(&keys)? } else { shown::table(&keys) }
        }
        KeysCommand::Show { at, key, json } => {
            let found = existing(&at.data_dir)?.get(key)?.ok_or_else(|| KeyError::Unknown(key.clone()))?;
            if *json { shown::json_of_one(&found)? } else { shown::details(&found) }
        }
        KeysCommand::Set { at, key, settings, no_origins } => {
            let mut change = settings.change()?;
            if *no_origins {
                change.origins = Some(Vec::new());
            }
            if change == Change::default() {
                return Err(KeysFailed::NothingToChange);
            }
            format!("Changed:\n{}", shown::details(&existing(&at.data_dir)?.change(key, change)?))
        }
        KeysCommand::Enable { at, key } => switch(&at.data_dir, key, true)?,
        KeysCommand::Disable { at, key } => switch(&at.data_dir, key, false)?,
        KeysCommand::Remove { at, key } => {
            existing(&at.data_dir)?.remove(key)?;
            format!("Removed {}.\n", shown::name_of(key))
        }
    };
    print(&text)
}

fn add(data_dir: &Path, key: Option<ApiKey>, settings: &KeySettings) -> Result<String, KeysFailed> {
    // Before the directory is made.
    let change = settings.change()?;
    let mut key = Key::new(key, "", Settings::default());
    key.apply(change);
    let added = shown::added(&key);
    SqliteKeys::open(data_dir)?.add(key)?;
    Ok(added)
}

fn switch(data_dir: &Path, key: &ApiKey, enabled: bool) -> Result<String, KeysFailed> {
    let change = Change { enabled: Some(enabled), ..Change::default() };
    existing(data_dir)?.change(key, change)?;
    Ok(format!("{} {}.\n", if enabled { "Enabled" } else { "Disabled" }, shown::name_of(key)))
}

/// The keys of a directory that has some: a wrong path should say so, and not become a directory.
fn existing(data_dir: &Path) -> Result<SqliteKeys, KeysFailed> {
    // What cannot be looked into fails better when it is opened.
    if let Ok(false) = data_dir.join(FILE_NAME).try_exists() {
        return Err(KeysFailed::NoDatabase(data_dir.to_owned()));
    }
    Ok(SqliteKeys::open(data_dir)?)
}

fn print(text: &str) -> Result<(), KeysFailed> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // Who has read enough, as `head -1`, does not want to know.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(KeysFailed::Stdout(error)),
        _ => Ok(()),
    }
}
