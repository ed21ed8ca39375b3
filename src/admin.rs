//! What is done to keys while the server runs, with a line in the log for each.

mod key_signup;

use std::fmt;
use std::net::IpAddr;
use std::sync::PoisonError;

use crate::app::Service;
use crate::auth::{BadAuth, check_auth};
use crate::config::KeySignup;
use crate::keys::{Change, InvalidName, Key, KeyError, check_name, unix_time};
use crate::wire::ApiKey;

pub(crate) use key_signup::{InvalidSignup, SignupError, SignupRequest};

/// The log's target for all that is done by people.
const AUDIT: &str = "peerbroker::audit";

const SECONDS_A_DAY: u64 = 24 * 60 * 60;

/// Who does something.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Actor {
    /// Whoever may use the API, from this address.
    Api(Option<IpAddr>),
    /// Somebody who registers an app, from this address.
    KeySignup(Option<IpAddr>),
}

/// Why something was not done to a key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    /// The flags say what it is.
    #[error(
        "the key {0} is set by the flags of the server; store one of the same name, and that counts instead"
    )]
    BuiltIn(ApiKey),
    /// Its name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Nobody could prove an id by it.
    #[error("auth: {0}")]
    Auth(#[from] BadAuth),
    /// The store.
    #[error(transparent)]
    Keys(#[from] KeyError),
}

impl Service {
    /// All keys, those that are disabled and those of the flags included; oldest first.
    pub(crate) fn all_keys(&self) -> Result<Vec<Key>, KeyError> {
        let stored = self.store.all()?;
        let mut keys = self.built_in_beside(&stored);
        keys.extend(stored);
        keys.iter_mut().for_each(|key| self.keys.complete(key));
        Ok(keys)
    }

    /// One of them.
    pub(crate) fn one_key(&self, key: &ApiKey) -> Result<Key, KeyError> {
        let built_in = || self.config.built_in_keys().into_iter().find(|built_in| built_in.key == *key);
        let found = self.store.get(key)?.or_else(built_in);
        let mut found = found.ok_or_else(|| KeyError::Unknown(key.clone()))?;
        self.keys.complete(&mut found);
        Ok(found)
    }

    /// Adds a key and puts it in force.
    pub(crate) fn add_key(&self, by: Actor, key: Key) -> Result<Key, AdminError> {
        check_name(&key.name)?;
        check_auth(&key.settings.auth)?;
        self.store.add(key.clone())?;
        log::info!(target: AUDIT, "{by} added the key {:?}: {}", key.key, described(&key));
        self.read_keys()?;
        Ok(key)
    }

    /// Changes a key and puts that in force.
    pub(crate) fn change_key(&self, by: Actor, key: &ApiKey, change: Change) -> Result<Key, AdminError> {
        change.name.as_deref().map(check_name).transpose()?;
        change.auth.as_ref().map(check_auth).transpose()?;
        let changed = self.store.change(key, change).map_err(|error| self.explain(error))?;
        log::info!(target: AUDIT, "{by} changed the key {key:?}: {}", described(&changed));
        self.read_keys()?;
        Ok(changed)
    }

    /// Removes a key and dismisses its clients.
    pub(crate) fn remove_key(&self, by: Actor, key: &ApiKey) -> Result<(), AdminError> {
        self.store.remove(key).map_err(|error| self.explain(error))?;
        log::info!(target: AUDIT, "{by} removed the key {key:?}");
        self.read_keys()?;
        Ok(())
    }

    /// Dismisses the clients of a key that have an id. Says whether there was one.
    pub(crate) fn kick(&self, by: Actor, key: &ApiKey, id: &str) -> bool {
        let kicked = self.broker.tenant(key.as_str()).is_some_and(|tenant| tenant.kick(id));
        if kicked {
            log::info!(target: AUDIT, "{by} kicked the peer {id:?} of the key {key:?}");
        }
        kicked
    }

    /// Puts the keys in force that the flags and the store say.
    pub(crate) fn read_keys(&self) -> Result<(), KeyError> {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let stored = self.store.all()?;
        let mut keys = self.built_in_beside(&stored);
        keys.extend(stored);
        self.keys.put_in_force(keys, &self.broker);
        Ok(())
    }

    /// Notes which keys were used, and removes those that were registered and not used for too long.
    pub(crate) fn keep_house(&self) -> Result<(), KeyError> {
        self.store.note_used(&self.keys.take_used())?;
        let KeySignup { ttl_days: ttl @ 1.., .. } = self.config.registration else {
            return Ok(());
        };
        for key in self.store.remove_unused(unix_time().saturating_sub(u64::from(ttl) * SECONDS_A_DAY))? {
            log::info!(target: AUDIT, "the key {key:?} was registered and not used for {ttl} days: it is removed");
        }
        Ok(())
    }

    /// The keys of the flags. Who stores one of the same name wants to say what it may do.
    fn built_in_beside(&self, stored: &[Key]) -> Vec<Key> {
        let mut keys = self.config.built_in_keys();
        keys.retain(|key| !stored.iter().any(|stored| stored.key == key.key));
        keys
    }

    fn explain(&self, error: KeyError) -> AdminError {
        match error {
            KeyError::Unknown(key) if self.config.is_built_in(&key) => AdminError::BuiltIn(key),
            error => error.into(),
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, address) = match self {
            Actor::Api(address) => ("the API", address),
            Actor::KeySignup(address) => ("registration", address),
        };
        match address {
            Some(address) => write!(f, "{what}, from {address},"),
            None => write!(f, "{what}"),
        }
    }
}

/// As JSON on one line: without its secret, and without the query of a webhook's URL, where its owner may have
/// put one. Strangers name keys too.
fn described(key: &Key) -> String {
    let mut json = match key.public_json() {
        Ok(json) => json,
        Err(error) => return error.to_string(),
    };
    if let Some(serde_json::Value::String(url)) = json.pointer_mut("/auth/url")
        && let Some(query) = url.find('?')
    {
        url.truncate(query);
        url.push_str("?…");
    }
    escaped(&json.to_string())
}

/// JSON with escapes for all that could forge a line of the log, or command a terminal.
fn escaped(json: &str) -> String {
    let mut line = String::with_capacity(json.len());
    for c in json.chars() {
        if matches!(c, '"' | '\'' | '\\') || c.escape_debug().len() == 1 {
            line.push(c);
        } else {
            let mut units = [0; 2];
            line.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    line
}
