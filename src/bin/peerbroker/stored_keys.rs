//! The places of stored keys, and all that the program does with each of them. Another place is a variant of
//! [`KeysIn`], a variant of [`StoredKeys`], and the flag of its address in [`NamedPlaces`].

use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;
use std::{fs, io};

use peerbroker_config::RedisAddress;
use peerbroker_core::vocabulary::labels;
use peerbroker_keys::sqlite::{DatabaseError, FILE_NAME, SqliteKeys};
use peerbroker_keys::{KeyError, KeyStore};
use peerbroker_redis::RedisKeys;

use crate::failure::{Failure, failed, wrong};
use crate::predecessor::PendingResources;
use crate::process;

labels! {
    /// The kind of store that `--keys` names.
    #[derive(Default)]
    pub enum KeysIn {
        #[default]
        Sqlite = "sqlite",
        Redis = "redis",
    }
}

impl KeysIn {
    /// True if the keys are on this machine, in `--data_dir`.
    pub fn is_local(self) -> bool {
        match self {
            KeysIn::Sqlite => true,
            KeysIn::Redis => false,
        }
    }
}

/// The place of stored keys.
#[derive(Clone, PartialEq, Eq)]
pub enum StoredKeys {
    /// Memory: the keys are lost when the server stops.
    InMemory,
    /// A database in this directory.
    Directory(PathBuf),
    /// The Redis at this address.
    Redis(RedisAddress),
}

/// The places that settings name, whether or not keys are stored there.
pub struct NamedPlaces {
    pub data_dir: Option<PathBuf>,
    pub redis: Option<RedisAddress>,
    /// True if the URL of that Redis is on the command line.
    pub redis_is_of_command: bool,
}

/// A store of keys for a server, and the flag that names its place.
type OpenKeys = (Arc<dyn KeyStore>, String);

impl StoredKeys {
    /// The place of the stored keys of a server.
    pub fn of_server(
        kind: KeysIn,
        NamedPlaces { data_dir, redis, .. }: NamedPlaces,
    ) -> Result<Self, Failure> {
        match (kind, data_dir, redis) {
            (KeysIn::Sqlite, None, _) => Ok(StoredKeys::InMemory),
            (KeysIn::Sqlite, Some(dir), _) => Ok(StoredKeys::Directory(dir)),
            (KeysIn::Redis, Some(dir), _) => Err(wrong(format!(
                "--keys redis cannot be used with --data_dir {}: keys are stored in one place, so leave one of the two out",
                dir.display()
            ))),
            (KeysIn::Redis, None, None) => Err(wrong(
                "--keys redis needs --redis: keys are stored in the Redis that all nodes of the cluster share",
            )),
            (KeysIn::Redis, None, Some(redis)) => Ok(StoredKeys::Redis(redis)),
        }
    }

    /// The place of the keys that `peerbroker keys` edits. A URL on the command line wins.
    pub fn to_edit(kind: KeysIn, places: NamedPlaces) -> Self {
        let NamedPlaces { data_dir, redis, redis_is_of_command } = places;
        let redis = match kind {
            KeysIn::Redis => redis,
            KeysIn::Sqlite => redis.filter(|_| redis_is_of_command),
        };
        match (redis, data_dir) {
            (Some(redis), _) => StoredKeys::Redis(redis),
            (None, Some(dir)) => StoredKeys::Directory(dir),
            (None, None) => StoredKeys::InMemory,
        }
    }

    /// Runs all checks that create and change nothing. Returns what is stored, if that is in a directory.
    /// `has_others` is true if clients have keys elsewhere, or make them.
    pub fn check(&self, has_others: bool) -> Result<Option<String>, Failure> {
        let dir = match self {
            StoredKeys::Directory(dir) => dir,
            StoredKeys::InMemory | StoredKeys::Redis(_) => return Ok(None),
        };
        let keys = SqliteKeys::check(dir).map_err(|error| of_server(&error, dir))?;
        let found = match keys {
            None => "has no keys yet, and the server makes the database".to_owned(),
            Some(keys) => format!("has {}", number(keys)),
        };
        let dir = dir.display();
        let is_empty = keys.is_none_or(|keys| keys == 0);
        let advice = if is_empty && !has_others {
            format!(" No client can connect yet: add a key with 'peerbroker keys add --data_dir {dir}'.")
        } else {
            String::new()
        };
        Ok(Some(format!("--data_dir {dir} {found}.{advice}")))
    }

    /// Opens them for a server, if any are stored. Warns if another server uses the same ones without being a
    /// node of the same cluster. With `pending`, the predecessor may use them for a while.
    pub fn open(&self, pending: Option<&mut PendingResources>) -> Result<Option<OpenKeys>, Failure> {
        Ok(match self {
            StoredKeys::InMemory => None,
            StoredKeys::Redis(redis) => {
                let store = Arc::new(RedisKeys::open(redis.clone())?);
                Some((store, "--redis …".to_owned()))
            }
            StoredKeys::Directory(dir) => {
                let found = Found::at(dir);
                let store = Arc::new(SqliteKeys::open(dir).map_err(|error| of_server(&error, dir))?);
                found.tell(dir, |text| log::warn!("{text}"), |text| log::info!("{text}"));
                let dir = dir.display();
                if !store.lock_directory() {
                    let warning = format!(
                        "another server uses --data_dir {dir}: both accept its keys, but their peers never meet. Stop one \
                         of them, or give each a directory of its own"
                    );
                    match pending {
                        Some(pending) => pending.keys = Some((Arc::clone(&store), warning)),
                        None => log::warn!("{warning}"),
                    }
                }
                if store.is_read_only() {
                    log::warn!(
                        "no space left on the disk of --data_dir {dir}: its keys are active, but no change of them and no last use \
                         can be stored until there is space"
                    );
                }
                if store.was_blank() {
                    log::warn!("{FILE_NAME} of --data_dir {dir} has no tables, so no keys. {COPIED_ALONE}");
                }
                Some((store, format!("--data_dir {dir}")))
            }
        })
    }

    /// Opens them for `peerbroker keys`. Unless they are `new`, a wrong path is an error and does not create
    /// a directory.
    pub fn open_to_edit(self, new: bool) -> Result<Box<dyn KeyStore>, Failure> {
        match self {
            StoredKeys::InMemory => Err(wrong(
                "--data_dir is missing: give that of the server, or its --config, or --redis, the URL of its cluster, if the \
                 server has --keys redis",
            )),
            // If existence cannot be checked, opening gives the better error.
            StoredKeys::Directory(dir) if !new && matches!(dir.join(FILE_NAME).try_exists(), Ok(false)) => {
                Err(failed(format!(
                    "there is no {FILE_NAME} in --data_dir {}: check the path, or add a first key with `peerbroker keys add`",
                    dir.display()
                )))
            }
            StoredKeys::Directory(dir) => {
                let is_missing = matches!(dir.try_exists(), Ok(false));
                let keys = SqliteKeys::open(&dir).map_err(|error| {
                    explained(&error, &absolute(&dir).unwrap_or_else(|_| dir.clone()), |found, owner, _| {
                        let found = found.display();
                        format!("{found} belongs to user {owner}: run the command with sudo, or as this user")
                    })
                })?;
                if is_missing {
                    eprintln!(
                        "Created --data_dir {}: the server accepts its keys if it was started with this directory",
                        absolute(&dir)?.display()
                    );
                }
                if keys.was_blank() {
                    let dir = dir.display();
                    eprintln!(
                        "warning: {FILE_NAME} of --data_dir {dir} had no tables, so no keys. {COPIED_ALONE}"
                    );
                }
                Ok(Box::new(keys))
            }
            StoredKeys::Redis(redis) => Ok(Box::new(RedisKeys::open(redis).map_err(wrong)?)),
        }
    }
}

/// The database of a directory before it is opened, which makes one.
#[derive(PartialEq, Eq)]
enum Found {
    Database,
    /// A file without bytes.
    Empty,
    Nothing,
}

impl Found {
    fn at(dir: &Path) -> Self {
        match fs::metadata(dir.join(FILE_NAME)) {
            Ok(found) if found.len() == 0 => Found::Empty,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
            _ => Found::Database,
        }
    }

    /// Says that there were no keys: a relative path or a volume that is not mounted leads to another
    /// directory.
    fn tell(&self, dir: &Path, warn: impl Fn(&str), note: impl Fn(&str)) {
        let dir = absolute(dir).unwrap_or_else(|_| dir.to_owned());
        let dir = dir.display();
        match self {
            Found::Database => {}
            Found::Empty => warn(&format!(
                "{dir}/{FILE_NAME} was an empty file, so there are no stored keys: if there were some, stop the server and restore a \
                 backup"
            )),
            Found::Nothing => note(&format!("made a database without keys in --data_dir {dir}")),
        }
    }
}

/// The probable cause of a file without tables.
pub const COPIED_ALONE: &str =
    "Was it copied without peerbroker.db-wal, from a running server? Copy with `peerbroker backup`";

/// A number of keys in words, as in "1 key" and "2 keys".
pub fn number(keys: usize) -> String {
    format!("{keys} {}", if keys == 1 { "key" } else { "keys" })
}

/// The error of a store that a server cannot open, with a way out.
fn of_server(error: &KeyError, dir: &Path) -> Failure {
    let dir = &absolute(dir).unwrap_or_else(|_| dir.to_owned());
    explained(error, dir, |found, owner, own| {
        let is_above = found != dir && dir.starts_with(found);
        let is_missing = matches!(dir.try_exists(), Ok(false));
        let dir = dir.display();
        let belongs =
            format!("{} belongs to user {owner}, and the server runs as user {own}", found.display());
        match (is_above, is_missing) {
            (_, true) => format!("Make it for the server: `sudo install -d -m 700 -o {own} {dir}`"),
            (true, false) => format!("{belongs}, who may not enter it"),
            (false, false) => format!("{belongs}: `sudo chown -R {own} {dir}`"),
        }
    })
}

/// The error, with advice if the database, its directory, or the nearest one above it belongs to another user
/// than this process.
fn explained(error: &KeyError, dir: &Path, advice: impl Fn(&Path, u32, u32) -> String) -> Failure {
    let of_permissions = match error {
        KeyError::Store(error) => {
            error.downcast_ref::<DatabaseError>().is_some_and(|error| error.problem.is_of_permissions())
        }
        _ => false,
    };
    let file = dir.join(FILE_NAME);
    let advice = process::user().filter(|own| of_permissions && *own != 0).and_then(|own| {
        let owned = |path: &Path| Some((path.to_owned(), process::owner(path)?));
        let nearest = dir.ancestors().find_map(owned);
        let (path, owner) = owned(&file).into_iter().chain(nearest).find(|(_, owner)| *owner != own)?;
        Some(advice(&path, owner, own))
    });
    failed(advice.map_or_else(|| error.to_string(), |advice| format!("{error}. {advice}")))
}
