//! A store of keys in an SQLite database, which other processes may edit at the same time.

mod backup;
mod check;
mod database;
mod problem;

use std::path::Path;
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::thread::JoinHandle;

use super::{Change, Key, KeyError, KeyStore};
use crate::threads::{self, caught};
use crate::wire::ApiKey;
use database::Database;

pub use database::FILE_NAME;
pub use problem::{DatabaseError, Problem};

/// Keys in an SQLite database.
///
/// One thread owns the connection, so all callers see changes in the same order and SQLite needs no mutex. A call
/// sends the thread a closure and waits for its answer, so there are never more requests than callers. The drop
/// waits until the thread has closed the file.
pub struct SqliteKeys {
    /// `None` only during the drop.
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

type Request = Box<dyn FnOnce(&mut Database) + Send>;

/// The thread that owns the database has ended.
#[derive(Debug, thiserror::Error)]
#[error("the thread of the database has ended")]
struct ThreadEnded;

impl SqliteKeys {
    /// Opens the database in a directory, and creates both if they do not exist.
    pub fn open(dir: &Path) -> Result<Self, KeyError> {
        let mut database = Database::open(dir)?;
        let (requests, waiting) = channel::<Request>();
        let owner = move || {
            for request in waiting {
                // The caller gets an error, because its request is gone.
                if let Err(panic) = caught(|| request(&mut database)) {
                    log::error!("the thread of the keys has {panic}");
                }
            }
        };
        let thread = threads::start("keys", owner);
        let thread = thread.map_err(|error| KeyError::Store(error.into()))?;
        Ok(SqliteKeys { requests: Some(requests), thread: Some(thread) })
    }

    /// Checks what [`open`](Self::open) needs, and that all keys can be read. Creates and changes nothing.
    pub fn check(dir: &Path) -> Result<(), KeyError> {
        check::check(dir)
    }

    /// Copies the database in `dir` to the directory `to`, where there must not be one yet. Other processes may use it
    /// meanwhile: the copy has the keys of one moment.
    pub fn backup(dir: &Path, to: &Path) -> Result<(), KeyError> {
        backup::backup(dir, to)
    }

    /// Marks the directory as that of a server until the drop. False if another server has marked it.
    pub fn claim(&self) -> Result<bool, KeyError> {
        self.ask(|database| Ok(database.claim()))
    }

    fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(&mut Database) -> Result<T, KeyError> + Send + 'static,
    ) -> Result<T, KeyError> {
        let (answer, answered) = sync_channel(1);
        let request: Request = Box::new(move |database| {
            // This fails only if the caller has panicked.
            let _ = answer.send(request(database));
        });
        let sent = self.requests.as_ref().is_some_and(|requests| requests.send(request).is_ok());
        match sent.then(|| answered.recv()) {
            Some(Ok(answer)) => answer,
            _ => Err(KeyError::Store(ThreadEnded.into())),
        }
    }
}

impl Drop for SqliteKeys {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl KeyStore for SqliteKeys {
    fn all(&self) -> Result<Vec<Key>, KeyError> {
        self.ask(|database| database.all())
    }

    fn get(&self, key: &ApiKey) -> Result<Option<Key>, KeyError> {
        let key = key.clone();
        self.ask(move |database| database.get(&key))
    }

    fn add(&self, key: Key) -> Result<(), KeyError> {
        self.ask(move |database| database.add(key))
    }

    fn register(&self, key: Key, most: usize) -> Result<bool, KeyError> {
        self.ask(move |database| database.register(key, most))
    }

    fn change(&self, key: &ApiKey, change: Change) -> Result<Key, KeyError> {
        let key = key.clone();
        self.ask(move |database| database.change(&key, change))
    }

    fn import(&self, keys: Vec<Key>, replace: bool) -> Result<(), KeyError> {
        self.ask(move |database| database.import(&keys, replace))
    }

    fn remove(&self, key: &ApiKey) -> Result<(), KeyError> {
        let key = key.clone();
        self.ask(move |database| database.remove(&key))
    }

    /// Other processes see this as a change and read all keys again. So call it at most once a minute, not for each
    /// client.
    fn note_used(&self, used: &[(ApiKey, u64)]) -> Result<(), KeyError> {
        let used = used.to_vec();
        self.ask(move |database| database.note_used(&used))
    }

    fn remove_unused(&self, before: u64) -> Result<Vec<ApiKey>, KeyError> {
        self.ask(move |database| database.remove_unused(before))
    }

    fn version(&self) -> Result<u64, KeyError> {
        self.ask(|database| database.version())
    }
}
