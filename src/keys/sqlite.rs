//! Keys in a database of SQLite, which other processes may edit meanwhile.

mod database;

use std::path::Path;
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use super::{Change, Key, KeyError, KeyStore};
use crate::wire::ApiKey;
use database::Database;

pub use database::{DatabaseError, FILE_NAME, Problem};

/// Keys in a file.
///
/// One thread owns the connection, so that every caller sees the changes of all others in one order and SQLite
/// needs no locks of its own. A call sends it a piece of work and waits for the answer; what waits is
/// bounded by the number of callers. Dropped, it waits for the thread to close the file.
pub struct SqliteKeys {
    /// `None` only while this is dropped.
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

type Request = Box<dyn FnOnce(&mut Database) + Send>;

/// The thread that owns the database is no more.
#[derive(Debug, thiserror::Error)]
#[error("the thread of the database has ended")]
struct Ended;

impl SqliteKeys {
    /// Opens the database in this directory; makes both if they are not there.
    pub fn open(dir: &Path) -> Result<Self, KeyError> {
        let mut database = Database::open(dir)?;
        let (requests, waiting) = channel::<Request>();
        let owner = move || waiting.into_iter().for_each(|request| request(&mut database));
        let thread = thread::Builder::new().name("keys".to_owned()).spawn(owner);
        let thread = thread.map_err(|error| KeyError::Store(error.into()))?;
        Ok(SqliteKeys { requests: Some(requests), thread: Some(thread) })
    }

    fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(&mut Database) -> Result<T, KeyError> + Send + 'static,
    ) -> Result<T, KeyError> {
        let (answer, answered) = sync_channel(1);
        let request: Request = Box::new(move |database| {
            // The caller waits for it, or has panicked.
            let _ = answer.send(request(database));
        });
        let sent = self.requests.as_ref().is_some_and(|requests| requests.send(request).is_ok());
        match sent.then(|| answered.recv()) {
            Some(Ok(answer)) => answer,
            _ => Err(KeyError::Store(Ended.into())),
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

    fn change(&self, key: &ApiKey, change: Change) -> Result<Key, KeyError> {
        let key = key.clone();
        self.ask(move |database| database.change(&key, change))
    }

    fn remove(&self, key: &ApiKey) -> Result<(), KeyError> {
        let key = key.clone();
        self.ask(move |database| database.remove(&key))
    }

    /// For other processes this is a change like any, after which they read all keys again. It is harmless as
    /// long as it is called once a minute, not for each client, and their reading writes nothing.
    fn note_used(&self, used: &[(ApiKey, u64)]) -> Result<(), KeyError> {
        let used = used.to_vec();
        self.ask(move |database| database.note_used(&used))
    }

    fn count_registered(&self) -> Result<usize, KeyError> {
        self.ask(|database| database.count_registered())
    }

    fn remove_unused(&self, before: u64) -> Result<Vec<ApiKey>, KeyError> {
        self.ask(move |database| database.remove_unused(before))
    }

    fn version(&self) -> Result<u64, KeyError> {
        self.ask(|database| database.version())
    }
}
