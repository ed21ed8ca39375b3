//! Everything that changes the running server: keys, kicks, keys that people register. Each change is an event.

mod key_signup;
mod known;
mod log_level;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::auth::{BadAuth, check_auth};
use crate::config::KeySignup;
use crate::events::{Actor, Event, KeyEvent, PeerAddress};
use crate::keys::{Change, InvalidName, Key, KeyError, KeyStore, Webhook, check_name, unix_time};
use crate::limits::{GuessLimiter, SignupLimiter};
use crate::node::{ActiveKeys, Node};
use crate::webhooks::{BadWebhook, check_webhook};
use crate::wire::{ApiKey, Limit, PeerId};
use known::{Difference, KnownKeys};
use log_level::LogLevel;

pub(crate) use key_signup::{InvalidSignup, SignupError, SignupRequest};
pub use log_level::LogControl;
pub(crate) use log_level::{LogError, LogState};

const SECONDS_A_DAY: u64 = 24 * 60 * 60;

/// Why a change of a key failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    /// The key is a built-in one.
    #[error(
        "the key {0} is set by the flags or the configuration file of the server; store one of the same name, and that counts instead"
    )]
    BuiltIn(ApiKey),
    /// Its name is not valid.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Its `auth` could verify nobody.
    #[error("auth: {0}")]
    Auth(#[from] BadAuth),
    /// Its `webhook` could get no events.
    #[error("webhook: {0}")]
    Webhook(#[from] BadWebhook),
    /// The store failed.
    #[error(transparent)]
    Keys(#[from] KeyError),
}

/// Changes the running server.
pub(crate) struct Admin {
    node: Arc<Node>,
    keys: Arc<ActiveKeys>,
    store: Arc<dyn KeyStore>,
    /// Addresses that have registered keys.
    signups: SignupLimiter,
    /// Locked while a key is registered, so that the counts are still right when the key is added.
    signing_up: Mutex<()>,
    /// Wrong guesses at the admin token.
    pub(crate) wrong_tokens: GuessLimiter,
    /// The keys were read at least once.
    has_read: AtomicBool,
    /// Locked while keys are written or put in force, so that the last written state is in force.
    writing: Mutex<()>,
    /// As they were stored last. Changed only while `writing` is locked.
    known: KnownKeys,
    log: LogLevel,
}

impl Admin {
    pub(crate) fn new(
        node: Arc<Node>,
        keys: Arc<ActiveKeys>,
        store: Arc<dyn KeyStore>,
        log: Option<Arc<dyn LogControl>>,
    ) -> Self {
        Admin {
            signups: SignupLimiter::new(node.config().clone()),
            node,
            keys,
            store,
            signing_up: Mutex::new(()),
            wrong_tokens: GuessLimiter::new(Limit::WrongAdminTokens),
            has_read: AtomicBool::new(false),
            writing: Mutex::new(()),
            known: KnownKeys::default(),
            log: LogLevel::new(log),
        }
    }

    /// All keys, including disabled and built-in ones; oldest first.
    pub(crate) fn all_keys(&self) -> Result<Vec<Key>, KeyError> {
        let stored = self.store.all()?;
        let mut keys = self.built_in_beside(&stored);
        keys.extend(stored);
        keys.iter_mut().for_each(|key| self.keys.complete(key));
        Ok(keys)
    }

    /// One key.
    pub(crate) fn one_key(&self, key: &ApiKey) -> Result<Key, KeyError> {
        let found = self.store.get(key)?.or_else(|| self.built_in(key));
        let mut found = found.ok_or_else(|| KeyError::Unknown(key.clone()))?;
        self.keys.complete(&mut found);
        Ok(found)
    }

    /// Adds a key and puts it in force.
    pub(crate) fn add_key(&self, by: Actor, key: Key) -> Result<Key, AdminError> {
        check_name(&key.name)?;
        check_auth(&key.settings.auth)?;
        self.check_webhook(&key.settings.webhook)?;
        let _writing = lock(&self.writing);
        self.store.add(key.clone())?;
        self.note_added(by, &key);
        Ok(key)
    }

    fn note_added(&self, by: Actor, key: &Key) {
        self.known.note(key);
        self.emit(&key.key, || KeyEvent::Created(by, key.described()));
        self.keys.put(key.clone(), &self.node);
    }

    /// Changes a key and puts that in force.
    pub(crate) fn change_key(&self, by: Actor, key: &ApiKey, change: Change) -> Result<Key, AdminError> {
        change.name.as_deref().map(check_name).transpose()?;
        change.auth.as_ref().map(check_auth).transpose()?;
        change.webhook.as_ref().map(|webhook| self.check_webhook(webhook)).transpose()?;
        let _writing = lock(&self.writing);
        let changed = self.store.change(key, change).map_err(|error| self.explain(error))?;
        self.known.note(&changed);
        self.emit(key, || KeyEvent::Changed(by, changed.described()));
        self.keys.put(changed.clone(), &self.node);
        Ok(changed)
    }

    /// Removes a key and dismisses its clients. A built-in key of the same name is in force again.
    pub(crate) fn remove_key(&self, by: Actor, key: &ApiKey) -> Result<(), AdminError> {
        let _writing = lock(&self.writing);
        self.store.remove(key).map_err(|error| self.explain(error))?;
        self.known.forget(key);
        self.emit(key, || KeyEvent::Removed(by));
        match self.built_in(key) {
            Some(built_in) => self.keys.put(built_in, &self.node),
            None => self.keys.remove(key, &self.node),
        }
        Ok(())
    }

    /// Dismisses the clients of a key with this id, on all nodes. False if there was none.
    pub(crate) async fn kick(&self, by: Actor, key: &ApiKey, id: &PeerId) -> bool {
        let kicked = self.node.kick(key.as_str(), id).await;
        for (realm, connection) in kicked.iter().copied() {
            let peer = || PeerAddress { key: key.clone(), realm, id: id.clone() };
            self.node.events().emit(|| Event::PeerKicked { peer: peer(), connection, by });
        }
        !kicked.is_empty()
    }

    /// Puts the keys of the flags and of the store in force.
    pub(crate) fn read_keys(&self) -> Result<(), KeyError> {
        let _writing = lock(&self.writing);
        let stored = self.store.all()?;
        for difference in self.known.replace(&stored) {
            let by = Actor::Elsewhere;
            match difference {
                Difference::Added(key) => self.emit(&key.key, || KeyEvent::Created(by, key.described())),
                Difference::Changed(key) => self.emit(&key.key, || KeyEvent::Changed(by, key.described())),
                Difference::Removed(key) => self.emit(&key, || KeyEvent::Removed(by)),
            }
        }
        let mut keys = self.built_in_beside(&stored);
        keys.extend(stored);
        self.keys.replace(keys, &self.node);
        self.has_read.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Looks again at the keys that nobody can use: a relay has begun.
    pub(crate) fn try_unusable_keys(&self) {
        let _writing = lock(&self.writing);
        self.keys.try_unusable(&self.node);
    }

    /// Whether the keys are in force: their store could be read.
    pub(crate) fn has_read_keys(&self) -> bool {
        self.has_read.load(Ordering::Relaxed)
    }

    /// The version of the store.
    pub(crate) fn version(&self) -> Result<u64, KeyError> {
        self.store.version()
    }

    /// Stores which keys were used, and removes registered keys that were unused for too long.
    pub(crate) fn keep_house(&self) -> Result<(), KeyError> {
        self.store.note_used(&self.keys.take_used())?;
        let KeySignup { ttl_days: ttl @ 1.., .. } = self.node.config().load().registration else {
            return Ok(());
        };
        let before = unix_time().saturating_sub(u64::from(ttl) * SECONDS_A_DAY);
        let _writing = lock(&self.writing);
        for key in self.store.remove_unused(before)? {
            self.known.forget(&key);
            self.emit(&key, || KeyEvent::Unused(ttl));
            self.keys.remove(&key, &self.node);
        }
        Ok(())
    }

    /// Forgets addresses whose limits are back to full.
    pub(crate) fn sweep(&self, now: u64) {
        self.signups.sweep(now);
        self.wrong_tokens.sweep(now);
        if self.log.sweep(now) {
            self.node.events().emit(|| Event::LogFilter { by: None, filter: None, seconds: None });
        }
    }

    /// The filter of the log.
    pub(crate) fn log(&self) -> Result<LogState, LogError> {
        self.log.state()
    }

    /// Changes the filter of the log, for some seconds or until that is done again. `None` is the configured filter.
    pub(crate) fn set_log(
        &self,
        by: Actor,
        filter: Option<String>,
        seconds: Option<u32>,
    ) -> Result<(), LogError> {
        let until = seconds.map(|seconds| self.node.clock().now() + u64::from(seconds) * 1000);
        self.log.set(filter.clone(), until)?;
        self.node.events().emit(|| Event::LogFilter { by: Some(by), filter, seconds });
        Ok(())
    }

    fn check_webhook(&self, webhook: &Webhook) -> Result<(), BadWebhook> {
        check_webhook(webhook, self.node.config().load().webhooks.private)
    }

    fn emit(&self, key: &ApiKey, what: impl FnOnce() -> KeyEvent) {
        self.node.events().emit(|| Event::Key { key: key.clone(), what: what() });
    }

    fn built_in(&self, key: &ApiKey) -> Option<Key> {
        self.node.config().load().built_in_keys().into_iter().find(|built_in| built_in.key == *key)
    }

    /// The keys of the flags. Stored keys override them.
    fn built_in_beside(&self, stored: &[Key]) -> Vec<Key> {
        let mut keys = self.node.config().load().built_in_keys();
        keys.retain(|key| !stored.iter().any(|stored| stored.key == key.key));
        keys
    }

    fn explain(&self, error: KeyError) -> AdminError {
        match error {
            KeyError::Unknown(key) if self.node.config().load().is_built_in(&key) => AdminError::BuiltIn(key),
            error => error.into(),
        }
    }
}

fn lock(mutex: &Mutex<()>) -> MutexGuard<'_, ()> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;
    use crate::clock::Clock;
    use crate::config::{Config, LiveConfig};
    use crate::events::Events;
    use crate::keys::memory::MemoryKeys;
    use crate::keys::{RelayMode, Settings};

    fn admin() -> Admin {
        let config = LiveConfig::new(Config { default_key: false, ..Config::default() });
        let node = Arc::new(Node::new(config, Clock::system(), Events::default(), None));
        Admin::new(node, Arc::default(), Arc::new(MemoryKeys::new()), None)
    }

    /// A key that nobody can use, because there is no relay.
    fn unusable() -> Key {
        let settings = Settings { relay: RelayMode::Always, ..Settings::default() };
        Key::new(ApiKey::parse("k").ok(), "", settings)
    }

    #[test]
    fn a_removed_key_does_not_return_when_unusable_keys_are_tried_again_meanwhile() {
        let (admin, key) = (admin(), unusable());
        for _ in 0..2_000 {
            admin.add_key(Actor::Elsewhere, key.clone()).unwrap();
            let together = Barrier::new(2);
            thread::scope(|scope| {
                scope.spawn(|| {
                    together.wait();
                    admin.try_unusable_keys();
                });
                together.wait();
                admin.remove_key(Actor::Elsewhere, &key.key).unwrap();
            });
            assert!(admin.keys.get("k").is_none(), "a removed key is active again");
        }
    }

    #[test]
    fn a_key_stays_known_while_it_is_tried_again() {
        let (admin, key) = (admin(), unusable());
        admin.add_key(Actor::Elsewhere, key).unwrap();
        let tried = AtomicUsize::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    admin.try_unusable_keys();
                    tried.fetch_add(1, Ordering::SeqCst);
                }
            });
            while tried.load(Ordering::SeqCst) < 2_000 {
                let is_known = admin.keys.get("k").is_some();
                assert!(is_known, "a client would be refused with InvalidKey");
            }
        });
    }
}
