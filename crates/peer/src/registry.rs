//! The connections of a peer, and the messages for which they wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::error::ConnectError;
use crate::signals::Description;

/// A message for which a connection waits.
pub(crate) enum Awaited {
    Answer(oneshot::Sender<Result<Description, ConnectError>>),
    /// The caller's nonce, for a safety number.
    Nonce(watch::Sender<Option<String>>),
}

/// The id of the other end, and that of the connection.
type Key = (String, String);

pub(crate) struct Registry {
    awaited: Mutex<HashMap<Key, Awaited>>,
    places: Arc<Semaphore>,
}

/// The place of a connection, which ends with it.
pub(crate) struct Registration {
    registry: Arc<Registry>,
    key: Key,
    _place: OwnedSemaphorePermit,
}

impl Registry {
    pub(crate) fn new(places: usize) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        Arc::new(Registry { awaited: Mutex::default(), places })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Awaited>> {
        self.awaited.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A place for a connection with `peer`.
    pub(crate) fn register(
        self: &Arc<Self>,
        peer: &str,
        connection: &str,
        awaited: Awaited,
    ) -> Result<Registration, ConnectError> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| ConnectError::TooMany(peer.to_owned()))?;
        let key = (peer.to_owned(), connection.to_owned());
        self.lock().insert(key.clone(), awaited);
        Ok(Registration { registry: Arc::clone(self), key, _place: place })
    }

    /// An ANSWER or a CANDIDATE of a peer.
    pub(crate) fn hear(&self, src: &str, is_answer: bool, description: Description) {
        let key = (src.to_owned(), description.connection_id.clone());
        let mut awaited = self.lock();
        match awaited.remove(&key) {
            Some(Awaited::Answer(answered)) if is_answer => {
                // Whoever has connected may wait no more.
                let _ = answered.send(Ok(description));
            }
            Some(Awaited::Nonce(nonce)) if !is_answer && description.safety.is_some() => {
                nonce.send_replace(description.safety);
            }
            Some(other) => drop(awaited.insert(key, other)),
            None => {}
        }
    }

    /// Ends the wait for the answers of a peer that is not there.
    pub(crate) fn give_up(&self, peer: &str, why: impl Fn(String) -> ConnectError) {
        let mut awaited = self.lock();
        let is_its =
            |(of, _): &Key, awaited: &mut Awaited| of == peer && matches!(awaited, Awaited::Answer(_));
        for (_, awaited) in awaited.extract_if(is_its) {
            if let Awaited::Answer(answered) = awaited {
                // Whoever has connected may wait no more.
                let _ = answered.send(Err(why(peer.to_owned())));
            }
        }
    }

    /// Nothing comes any more.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.key);
    }
}
