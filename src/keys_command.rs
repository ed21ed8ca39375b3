//! `peerbroker keys`: edits the database of keys. A running server applies the changes.

mod shown;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use peerbroker::keys::sqlite::{FILE_NAME, SqliteKeys};
use peerbroker::keys::{Change, Key, KeyError, KeyStore as _, Settings};
use peerbroker::wire::ApiKey;

use crate::cli::{BadKeySettings, KeySettings, KeysCommand};

/// Why a command failed, or could not print its result.
#[derive(Debug, thiserror::Error)]
pub enum KeysFailed {
    #[error(transparent)]
    Settings(#[from] BadKeySettings),
    #[error("no setting to change was given; `peerbroker keys set --help` lists the options")]
    NothingToChange,
    #[error("there is no {FILE_NAME} in --data_dir {}: check the path, or add a first key with `peerbroker keys add`", .0.display())]
    NoDatabase(PathBuf),
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error("cannot write a key as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("cannot write to stdout: {0}")]
    Stdout(io::Error),
}

impl KeysFailed {
    /// 2 for wrong arguments, like clap; 1 for all other errors.
    pub fn exit_code(&self) -> u8 {
        match self {
            KeysFailed::Settings(error) => error.exit_code(),
            KeysFailed::NothingToChange => 2,
            _ => 1,
        }
    }
}

/// Runs a command and prints its result.
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
    // First: invalid settings must not create the directory.
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

/// Opens an existing database: a wrong path is an error and does not create a directory.
fn existing(data_dir: &Path) -> Result<SqliteKeys, KeysFailed> {
    // If existence cannot be checked, opening gives the better error.
    if let Ok(false) = data_dir.join(FILE_NAME).try_exists() {
        return Err(KeysFailed::NoDatabase(data_dir.to_owned()));
    }
    Ok(SqliteKeys::open(data_dir)?)
}

fn print(text: &str) -> Result<(), KeysFailed> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // The reader, such as `head -1`, has read enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(KeysFailed::Stdout(error)),
        _ => Ok(()),
    }
}
