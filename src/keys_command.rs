//! `peerbroker keys`: edits the stored keys. A running server applies the changes.

mod audit;
mod exported;
mod shown;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use peerbroker::config::BadRedis;
use peerbroker::keys::redis::RedisKeys;
use peerbroker::keys::sqlite::{FILE_NAME, SqliteKeys};
use peerbroker::keys::{Change, Key, KeyError, KeyStore, Settings};
use peerbroker::wire::ApiKey;

use audit::{Audit, SYSLOG};
use exported::BadExport;

use crate::cli::{BadKeySettings, KeySettings, KeysCommand, KeysPlace, StoredKeys};

/// Why a command failed, or could not print its result.
#[derive(Debug, thiserror::Error)]
pub enum KeysFailed {
    #[error(transparent)]
    Settings(#[from] BadKeySettings),
    #[error("no setting to change was given; `peerbroker keys set --help` lists the options")]
    NothingToChange,
    #[error("there is no {FILE_NAME} in --data_dir {}: check the path, or add a first key with `peerbroker keys add`", .0.display())]
    NoDatabase(PathBuf),
    #[error(
        "--data_dir is missing: give that of the server, or --redis, the URL of its cluster, if the server has --keys redis"
    )]
    NoPlace,
    #[error(transparent)]
    Redis(#[from] BadRedis),
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error("cannot write a key as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Export(#[from] BadExport),
    #[error("the key {0} exists already, so nothing was imported; --replace overwrites keys that exist")]
    WouldOverwrite(ApiKey),
    #[error("cannot write to stdout: {0}")]
    Stdout(io::Error),
}

impl KeysFailed {
    /// 2 for wrong arguments, like clap; 1 for all other errors.
    pub fn exit_code(&self) -> u8 {
        match self {
            KeysFailed::Settings(error) => error.exit_code(),
            KeysFailed::NothingToChange | KeysFailed::NoPlace | KeysFailed::Redis(_) => 2,
            _ => 1,
        }
    }
}

/// Runs a command and prints its result. The system's log gets a line for each change.
pub fn run(command: &KeysCommand) -> Result<(), KeysFailed> {
    run_noting(command, &Audit(Path::new(SYSLOG)))
}

fn run_noting(command: &KeysCommand, audit: &Audit<'_>) -> Result<(), KeysFailed> {
    let text = match command {
        KeysCommand::Add { at, key, settings } => add(at, key.clone(), settings, audit)?,
        KeysCommand::List { at, json } => {
            let keys = existing(at)?.all()?;
            if *json { shown::json(&keys)? } else { shown::table(&keys) }
        }
        KeysCommand::Show { at, key, json } => {
            let found = existing(at)?.get(key)?.ok_or_else(|| KeyError::Unknown(key.clone()))?;
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
            let changed = existing(at)?.change(key, change)?;
            audit.changed(&changed);
            format!("Changed:\n{}", shown::details(&changed))
        }
        KeysCommand::Enable { at, key } => switch(at, key, true, audit)?,
        KeysCommand::Disable { at, key } => switch(at, key, false, audit)?,
        KeysCommand::Export { at, file } => return export(at, file),
        KeysCommand::Import { at, file, replace } => import(at, file, *replace, audit)?,
        KeysCommand::Remove { at, key } => {
            existing(at)?.remove(key)?;
            audit.removed(key);
            format!("Removed {}.\n", shown::name_of(key))
        }
    };
    print(&text)
}

fn add(
    at: &KeysPlace,
    key: Option<ApiKey>,
    settings: &KeySettings,
    audit: &Audit<'_>,
) -> Result<String, KeysFailed> {
    // First: invalid settings must not create the directory.
    let change = settings.change()?;
    let mut key = Key::new(key, "", Settings::default());
    key.apply(change);
    let added = shown::added(&key);
    open(at, false)?.add(key.clone())?;
    audit.added(&key);
    Ok(added)
}

/// Says on stderr what was written, because stdout may be the export.
fn export(at: &KeysPlace, file: &Path) -> Result<(), KeysFailed> {
    let keys = existing(at)?.all()?;
    let text = exported::json(&keys)?;
    if file == Path::new(exported::STDIO) {
        print(&text)?
    } else {
        exported::write(file, &text)?
    }
    eprintln!("{}", exported::summary(&keys));
    Ok(())
}

fn import(at: &KeysPlace, file: &Path, replace: bool, audit: &Audit<'_>) -> Result<String, KeysFailed> {
    // First: an invalid file must not create the directory.
    let keys = exported::read(file)?;
    let number = shown::number(keys.len());
    match open(at, false)?.import(keys.clone(), replace) {
        Err(KeyError::Exists(key)) => return Err(KeysFailed::WouldOverwrite(key)),
        ended => ended?,
    }
    keys.iter().for_each(|key| audit.imported(key));
    Ok(format!("Imported {number}.\n"))
}

fn switch(at: &KeysPlace, key: &ApiKey, enabled: bool, audit: &Audit<'_>) -> Result<String, KeysFailed> {
    let change = Change { enabled: Some(enabled), ..Change::default() };
    audit.changed(&existing(at)?.change(key, change)?);
    Ok(format!("{} {}.\n", if enabled { "Enabled" } else { "Disabled" }, shown::name_of(key)))
}

/// Opens existing keys: a wrong path is an error and does not create a directory.
fn existing(at: &KeysPlace) -> Result<Box<dyn KeyStore>, KeysFailed> {
    open(at, true)
}

fn open(at: &KeysPlace, must_exist: bool) -> Result<Box<dyn KeyStore>, KeysFailed> {
    match at.stored_keys() {
        StoredKeys::InMemory => Err(KeysFailed::NoPlace),
        // If existence cannot be checked, opening gives the better error.
        StoredKeys::Directory(dir) if must_exist && matches!(dir.join(FILE_NAME).try_exists(), Ok(false)) => {
            Err(KeysFailed::NoDatabase(dir))
        }
        StoredKeys::Directory(dir) => Ok(Box::new(SqliteKeys::open(&dir)?)),
        StoredKeys::Redis(redis) => Ok(Box::new(RedisKeys::open(redis)?)),
    }
}

fn print(text: &str) -> Result<(), KeysFailed> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // The reader, such as `head -1`, has read enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(KeysFailed::Stdout(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::{env, fs, process};

    use super::*;
    use crate::cli::{Command, parsed};

    #[test]
    fn the_log_of_the_system_hears_who_changed_which_key() {
        let dir = env::temp_dir().join(format!("peerbroker-audit-{}", process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (socket, data) = (dir.join("log"), dir.join("data").display().to_string());
        let log = UnixDatagram::bind(&socket).unwrap();
        log.set_nonblocking(true).unwrap();
        let run = |args: &[&str]| {
            let Some(Command::Keys(command)) =
                parsed(&[&["keys"], args, &["--data_dir", &data]].concat()).command
            else {
                panic!("a command for keys");
            };
            run_noting(&command, &Audit(&socket))
        };
        let lines = || {
            let mut buffer = vec![0; 1 << 16];
            let lines = std::iter::from_fn(|| {
                let len = log.recv(&mut buffer).ok()?;
                Some(String::from_utf8(buffer[..len].to_vec()).unwrap())
            });
            lines.collect::<Vec<_>>()
        };
        let export = dir.join("keys.json").display().to_string();
        run(&["add", "--key", "k", "--auth_url", "https://a.test/?s=secret"]).unwrap();
        let added = lines().concat();
        let head = format!("<86>peerbroker[{}]: ", process::id());
        assert!(added.starts_with(&head) && added.contains(" (uid "), "{added}");
        assert!(added.contains(r#", with `peerbroker keys`, added the key "k": {"#), "{added}");
        assert!(!added.contains("secret") && !added.contains('\n'), "{added}");
        for (args, what) in [
            (&["set", "k", "--concurrent_limit", "7"][..], r#"changed the key "k": {"#),
            (&["disable", "k"], r#""enabled":false"#),
            (&["enable", "k"], r#""enabled":true"#),
            (&["export", &export], ""),
            (&["list"], ""),
            (&["import", "--replace", &export], r#"imported the key "k": {"#),
            (&["remove", "k"], r#"removed the key "k""#),
        ] {
            run(args).unwrap();
            let lines = lines();
            assert_eq!(lines.len(), usize::from(!what.is_empty()), "{args:?}: {lines:?}");
            assert!(lines.concat().contains(what), "{args:?}: {lines:?}");
        }
        assert!(run(&["remove", "k"]).is_err());
        assert!(lines().is_empty(), "nothing was changed");
        fs::remove_file(&socket).unwrap();
        run(&["add", "--key", "k"]).unwrap();
        fs::remove_dir_all(&dir).unwrap();
    }
}
