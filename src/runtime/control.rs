//! Changes of the running server: keys, kicks, keys that people register, the filter of the log. Each change
//! is an event.

mod bans;
mod known_keys;
mod unused_keys;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;

use bans::{MAX_BANS, OperatorBans};
use known_keys::{KnownKeys, MANY, StoredKeys};
use peerbroker_config::{Ban, CrowdedRoom};
use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::{ApiKey, Limit, PeerId, printable};
use peerbroker_events::{Actor, Event, KeyEvent, KeysEvent, PeerAddress};
use peerbroker_keys::verifier::{BadAuth, check_auth};
use peerbroker_keys::{
    Change, InvalidName, Key, KeyError, KeyStore, MAX_NAME_CHARS, MAX_ORIGIN_BYTES, MAX_TOKENS, Origin,
    Settings, TokenChange, TokenError, Webhook, check_name,
};
use peerbroker_limits::{GuessLimiter, LimitExceeded, SignupLimiter, address_text};
use peerbroker_node::{NextKeys, Node};
use peerbroker_system::threads::caught;
use peerbroker_webhooks::{BadWebhook, check_webhook};
use unused_keys::UnusedKeys;

/// A failed change of a key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// The key is a built-in one.
    #[error(
        "the key {key} is set by the flags or the configuration file of the server; store one of the same name, and that counts instead",
        key = printable(.0.as_str())
    )]
    BuiltIn(ApiKey),
    /// The name of the key is not valid.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The `auth` of the key could verify no client.
    #[error("auth: {0}")]
    Auth(#[from] BadAuth),
    /// The `webhook` of the key could get no events.
    #[error("webhook: {0}")]
    Webhook(#[from] BadWebhook),
    /// The rooms of the key could never be full.
    #[error("room_members: {0}")]
    Rooms(#[from] CrowdedRoom),
    /// A token cannot be added or removed.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The ban does not exist.
    #[error("there is no such ban{}", .0.as_ref().map(|wider| format!(": {wider} is banned, so end that")).unwrap_or_default())]
    NoBan(Option<Ban>),
    /// The ban is one of the configuration.
    #[error("the ban is set by the flags or the configuration file of the server")]
    ConfiguredBan,
    /// The limit of bans is reached.
    #[error("there are {MAX_BANS} bans already: ban a network in place of its addresses")]
    TooManyBans,
    /// The store failed, but the change is active.
    #[error("{0} on this node, but that is lost if this server stops before it can keep it: {1}")]
    NotKept(&'static str, KeyError),
    /// The store failed.
    #[error(transparent)]
    Keys(#[from] KeyError),
}

/// The log of the program that the broker is part of. It lets operators change the filter through the API:
/// give it to [`Builder::log`](crate::Builder::log).
pub trait LogControl: Send + Sync {
    /// The filter that the program was started or configured with.
    fn configured(&self) -> String;
    /// Filters by this text from now on, or by the configured filter. The error names the expected syntax.
    fn set_temporary(&self, filter: Option<&str>) -> Result<(), String>;
}

/// A failed change of the filter.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    /// The program has no such log.
    #[error("the program that this broker is part of does not let the API change its log")]
    Unsupported,
    /// The text is not a filter.
    #[error("filter: {0}")]
    Invalid(String),
    /// The program's own code has panicked.
    #[error("the log of the program has {0}")]
    Failed(String),
}

/// The filter of the log: a level, and levels of modules, as in `info,peerbroker_relay=debug`.
#[derive(Serialize, ToSchema)]
pub(crate) struct LogFilter {
    /// The active filter.
    filter: String,
    /// The filter of the configuration.
    configured: String,
    /// Seconds until `configured` is active again; `null` if it is, or if no end was given.
    seconds: Option<u64>,
}

/// The form: the name of an app, and the origin of its pages.
pub(crate) struct SignupRequest {
    name: String,
    origin: Origin,
}

/// The errors in the fields of the form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct InvalidSignup {
    pub(crate) name: Option<String>,
    pub(crate) origin: Option<&'static str>,
}

/// The reason why no key was registered.
pub(crate) enum SignupError {
    /// The address has reached its limit.
    TooMany(LimitExceeded),
    /// The limit of registered keys is reached.
    Full,
    /// The store failed.
    Keys(KeyError),
}

impl SignupRequest {
    /// Checks the fields. The origin may be the URL of any page of the app.
    pub(crate) fn check(name: &str, origin: &str) -> Result<Self, InvalidSignup> {
        let name = name.trim();
        let address = origin.trim();
        let wrong_name = match check_name(name) {
            Ok(()) if !name.is_empty() => None,
            _ => Some(format!("A name has 1 to {MAX_NAME_CHARS} characters and no control characters.")),
        };
        match Origin::of_page(address).ok().filter(|origin| origin.as_str().len() <= MAX_ORIGIN_BYTES) {
            Some(origin) if wrong_name.is_none() => Ok(SignupRequest { name: name.to_owned(), origin }),
            Some(_) => Err(InvalidSignup { name: wrong_name, origin: None }),
            None => Err(InvalidSignup { name: wrong_name, origin: Some(why_no_origin(address)) }),
        }
    }
}

fn why_no_origin(address: &str) -> &'static str {
    match address {
        address if address.contains('*') => "A key from here is for one origin: write it without a *.",
        _ => "Write where your pages come from, with https:// or http://, as in https://example.org.",
    }
}

/// Changes the running server.
pub(crate) struct Control {
    node: Arc<Node>,
    pub(super) store: Arc<dyn KeyStore>,
    /// The reason why only a restart reaches the store again.
    pub(super) lost: ArcSwapOption<String>,
    /// Limits the keys that one address registers.
    signups: SignupLimiter,
    /// Wrong guesses at the admin token.
    pub(crate) wrong_tokens: GuessLimiter,
    /// The keys as they were last stored. Held while keys are written or activated, so that the last written
    /// state is the active one.
    writing: Mutex<KnownKeys>,
    unused: UnusedKeys,
    /// The bans that operators have set.
    pub(crate) bans: OperatorBans,
    log: Option<Arc<dyn LogControl>>,
    /// The filter that the API has set, and the time at which it ends. Held while the log gets another
    /// filter, so that both agree.
    temporary_filter: Mutex<Option<(String, Option<Instant>)>>,
}

impl Control {
    pub(crate) fn new(
        node: Arc<Node>,
        store: Arc<dyn KeyStore>,
        shared: Option<Arc<dyn KeyStore>>,
        log: Option<Arc<dyn LogControl>>,
    ) -> Self {
        node.await_keys();
        Control {
            bans: OperatorBans::new(Arc::clone(&node), &store, shared),
            signups: SignupLimiter::new(node.config().clone()),
            node,
            store,
            lost: ArcSwapOption::empty(),
            wrong_tokens: GuessLimiter::new(Limit::WrongAdminTokens),
            writing: Mutex::default(),
            unused: UnusedKeys::default(),
            log,
            temporary_filter: Mutex::default(),
        }
    }

    /// All keys, including disabled and built-in ones; oldest first.
    pub(crate) fn all_keys(&self) -> Result<Vec<Key>, KeyError> {
        let mut keys = self.with_built_in(self.store.all()?);
        keys.iter_mut().for_each(|key| self.node.complete_key(key));
        let known = self.writing.lock();
        keys.iter_mut().for_each(|key| known.complete(key));
        Ok(keys)
    }

    /// A key, stored or built-in.
    pub(crate) fn one_key(&self, key: &ApiKey) -> Result<Key, KeyError> {
        let found = self.store.get(key)?.or_else(|| self.built_in(key));
        let mut found = found.ok_or_else(|| KeyError::Unknown(key.clone()))?;
        self.node.complete_key(&mut found);
        self.writing.lock().complete(&mut found);
        Ok(found)
    }

    /// Adds a key and activates it.
    pub(crate) fn add_key(&self, by: Actor, key: Key) -> Result<Key, ControlError> {
        check_name(&key.name)?;
        check_auth(&key.settings.auth)?;
        self.check_webhook(&key.settings.webhook)?;
        self.node.config().load().limits.check_key(&key.settings)?;
        let mut known = self.writing.lock();
        self.store.add(key.clone())?;
        self.record_added(&mut known, by, &key);
        Ok(key)
    }

    fn record_added(&self, known: &mut KnownKeys, by: Actor, key: &Key) {
        known.record(key);
        self.emit(&key.key, || KeyEvent::Created(by, key.described()));
        self.node.put_key(key.clone());
    }

    /// Changes a key and activates the change.
    pub(crate) fn change_key(&self, by: Actor, key: &ApiKey, change: Change) -> Result<Key, ControlError> {
        change.name.as_deref().map(check_name).transpose()?;
        change.auth.as_ref().map(check_auth).transpose()?;
        change.webhook.as_ref().map(|webhook| self.check_webhook(webhook)).transpose()?;
        let check = |members| self.node.config().load().limits.check_room_members(members);
        change.room_members.map(check).transpose()?;
        let mut known = self.writing.lock();
        let change = known.unkept.get(key).cloned().unwrap_or_default().then(change);
        let changed = self.store.change(key, change.clone());
        let changed = changed.map_err(|error| self.change_unkept(&mut known, by, key, change, error))?;
        known.record(&changed);
        self.emit(key, || KeyEvent::Changed(by, changed.described()));
        self.node.put_key(changed.clone());
        Ok(changed)
    }

    /// Adds or removes a token of a stored key.
    pub(crate) fn change_token(
        &self,
        by: Actor,
        key: &ApiKey,
        token: TokenChange,
    ) -> Result<(), ControlError> {
        if let TokenChange::Add(token) = &token {
            check_name(&token.name)?;
        }
        token.check(&self.one_key(key)?.settings.tokens)?;
        let changed =
            self.change_key(by, key, Change { tokens: vec![token.clone()], ..Change::default() })?;
        Ok(token.check_done(&changed.settings.tokens)?)
    }

    /// Removes a key and dismisses its clients. A built-in key of the same name becomes active again.
    pub(crate) fn remove_key(&self, by: Actor, key: &ApiKey) -> Result<(), ControlError> {
        let mut known = self.writing.lock();
        let removed = self.store.remove(key);
        let disable = Change { enabled: Some(false), ..Change::default() };
        removed.map_err(|error| self.change_unkept(&mut known, by, key, disable, error))?;
        known.forget(key);
        self.emit(key, || KeyEvent::Removed(by));
        match self.built_in(key) {
            Some(built_in) => self.node.put_key(built_in),
            None => self.node.remove_key(key.as_str()),
        }
        Ok(())
    }

    /// Changes a key on this node until the store can keep that, if the store has failed.
    fn change_unkept(
        &self,
        known: &mut KnownKeys,
        by: Actor,
        key: &ApiKey,
        change: Change,
        error: KeyError,
    ) -> ControlError {
        if !matches!(error, KeyError::Store(_)) || change.tokens.len() > MAX_TOKENS {
            return self.explain(error);
        }
        let is_disabled = change.enabled == Some(false);
        match self.store.get(key) {
            Ok(Some(mut changed)) => {
                changed.apply(change.clone());
                self.emit(key, || KeyEvent::Changed(by, changed.described()));
                self.node.put_key(changed);
            }
            // The store does not even say what the key is.
            Err(_) if is_disabled && self.node.tenant(key.as_str()).is_some() => {
                self.node.remove_key(key.as_str());
            }
            _ => return self.explain(error),
        }
        known.unkept.insert(key.clone(), change);
        let what = if is_disabled { "the key is disabled" } else { "the change of the key is active" };
        ControlError::NotKept(what, error)
    }

    /// Stores the bans and the changes of keys that the store could not keep. If it fails again, this is
    /// tried at the next look.
    pub(super) fn keep(&self) -> Result<(), KeyError> {
        self.bans.keep()?;
        let mut known = self.writing.lock();
        while let Some((key, change)) =
            known.unkept.iter().next().map(|(key, change)| (key.clone(), change.clone()))
        {
            match self.store.change(&key, change) {
                Ok(changed) => known.record(&changed),
                Err(KeyError::Store(why)) => return Err(KeyError::Store(why)),
                Err(_) => known.forget(&key),
            }
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

    /// Activates the keys of the flags and of the store, and the bans.
    pub(crate) fn read_keys(&self) -> Result<(), KeyError> {
        self.bans.activate();
        // A node that cannot ask the others may serve its clients, so it does not wait for what only the
        // others know.
        if !self.bans.are_shared() || self.store.shared().is_some() {
            self.bans.read()?;
        }
        let mut known = self.writing.lock();
        // Before the keys: a change in between is seen by the next look.
        let version = self.store.version()?;
        let mut stored = StoredKeys::default();
        let mut next = NextKeys::default();
        self.store.for_each(&mut |mut key| {
            stored.add(&known, &key);
            known.complete(&mut key);
            self.node.prepare_key(&mut next, key);
        })?;
        for key in self.node.config().load().built_in_keys() {
            if !stored.digests.contains_key(&key.key) {
                self.node.prepare_key(&mut next, key);
            }
        }
        let had = known.count();
        if had > 0 && stored.digests.is_empty() && self.store.is_blank()? {
            self.emit_of_many(|| KeysEvent::Lost(had));
        } else {
            self.emit_changes(&known, &stored);
        }
        known.version = Some(version);
        known.digests = Some(stored.digests);
        self.node.replace_keys(next);
        Ok(())
    }

    /// Calls [`read_keys`](Self::read_keys) if the store has changed since.
    pub(super) fn read_changed_keys(&self) -> Result<(), KeyError> {
        let version = self.store.version()?;
        let is_known = self.writing.lock().version == Some(version);
        if is_known { Ok(()) } else { self.read_keys() }
    }

    /// Checks the unusable keys again, because a relay has begun.
    pub(crate) fn try_unusable_keys(&self) {
        let _writing = self.writing.lock();
        self.node.try_unusable_keys();
    }

    /// Stores which keys were used, and removes registered keys that were unused for too long.
    pub(crate) fn keep_house(&self) -> Result<(), KeyError> {
        self.store.record_used(&self.node.take_used_keys())?;
        self.bans.remove_old()?;
        let ttl = self.node.config().load().registration.ttl_days;
        let Some(hours) = self.unused.hours_to_removal(&*self.store, self.node.clock(), ttl)? else {
            return Ok(());
        };
        let mut known = self.writing.lock();
        let removed = self.store.remove_unused(hours)?;
        if removed.len() > MANY {
            self.emit_of_many(|| KeysEvent::Unused(removed.len(), ttl));
        }
        for key in &removed {
            known.forget(key);
            if removed.len() <= MANY {
                self.emit(key, || KeyEvent::Unused(ttl));
            }
            self.node.remove_key(key.as_str());
        }
        Ok(())
    }

    /// Forgets addresses whose full burst is available again, and ends a filter of the log whose time is
    /// over.
    pub(crate) fn sweep(&self, now: Instant) {
        self.signups.sweep(now);
        self.wrong_tokens.sweep(now);
        if let Err(error) = self.end_filter(now) {
            log::error!("{error}; its filter may not be the configured one");
        }
    }

    /// Ends the filter of the log if its time is over.
    fn end_filter(&self, now: Instant) -> Result<(), LogError> {
        let mut temporary = self.temporary_filter.lock();
        if !temporary.as_ref().is_some_and(|(_, until)| until.is_some_and(|until| until <= now)) {
            return Ok(());
        }
        // Also if it fails. It is not tried again, because it would fail each time.
        *temporary = None;
        self.node.events().emit(|| Event::LogFilter { by: None, filter: None, seconds: None });
        self.filter_log(None)
    }

    /// The filter of the log.
    pub(crate) fn log(&self) -> Result<LogFilter, LogError> {
        let configured = self.log.as_ref().ok_or(LogError::Unsupported)?.configured();
        let temporary = self.temporary_filter.lock().clone();
        let (filter, until) = temporary.unwrap_or_else(|| (configured.clone(), None));
        let seconds = until.map(|until| until.millis_since(self.node.clock().now()).div_ceil(1000));
        Ok(LogFilter { filter, configured, seconds })
    }

    /// Changes the filter of the log, for some seconds or until that is done again. `None` is the configured
    /// filter.
    pub(crate) fn set_log(
        &self,
        by: Actor,
        filter: Option<String>,
        seconds: Option<u32>,
    ) -> Result<(), LogError> {
        let until = seconds.map(|seconds| self.node.clock().now() + Duration::from_secs(seconds.into()));
        let mut temporary = self.temporary_filter.lock();
        self.filter_log(filter.as_deref())?;
        *temporary = filter.clone().map(|filter| (filter, until));
        self.node.events().emit(|| Event::LogFilter { by: Some(by), filter, seconds });
        Ok(())
    }

    /// Filters the log by another text, or by the configured one.
    fn filter_log(&self, filter: Option<&str>) -> Result<(), LogError> {
        let log = self.log.as_ref().ok_or(LogError::Unsupported)?;
        let set = caught(|| log.set_temporary(filter));
        set.map_err(|panic| LogError::Failed(panic.to_string()))?.map_err(LogError::Invalid)
    }

    fn check_webhook(&self, webhook: &Webhook) -> Result<(), BadWebhook> {
        check_webhook(webhook, self.node.config().load().webhooks.private)
    }

    fn emit(&self, key: &ApiKey, what: impl FnOnce() -> KeyEvent) {
        self.node.events().emit(|| Event::Key { key: key.clone(), what: what() });
    }

    fn emit_of_many(&self, what: impl FnOnce() -> KeysEvent) {
        self.node.events().emit(|| Event::Keys { what: what() });
    }

    /// Emits the changes by others since this process read or wrote the keys: one event for each, or one for
    /// many. None the first time.
    fn emit_changes(&self, known: &KnownKeys, stored: &StoredKeys) {
        let by = Actor::Elsewhere;
        if stored.changes > MANY {
            self.emit_of_many(|| KeysEvent::Imported(by, stored.changes));
        } else {
            stored.changed.iter().for_each(|(key, what)| self.emit(key, || what.clone()));
        }
        let removed = known.digests.iter().flat_map(HashMap::keys);
        let removed: Vec<_> = removed.filter(|key| !stored.digests.contains_key(*key)).collect();
        if removed.len() > MANY {
            self.emit_of_many(|| KeysEvent::Removed(by, removed.len()));
        } else {
            removed.iter().for_each(|key| self.emit(key, || KeyEvent::Removed(by)));
        }
    }

    fn built_in(&self, key: &ApiKey) -> Option<Key> {
        self.node.config().load().built_in_keys().into_iter().find(|built_in| built_in.key == *key)
    }

    /// The keys of the flags, and those that are stored, which override them.
    fn with_built_in(&self, stored: Vec<Key>) -> Vec<Key> {
        let mut keys = self.node.config().load().built_in_keys();
        keys.retain(|key| !stored.iter().any(|stored| stored.key == key.key));
        keys.extend(stored);
        keys
    }

    fn explain(&self, error: KeyError) -> ControlError {
        match error {
            KeyError::Unknown(key) if self.built_in(&key).is_some() => ControlError::BuiltIn(key),
            error => error.into(),
        }
    }

    /// Creates a key for an app and activates it. Uses the disk, so do not call it on a worker's thread.
    pub(crate) fn register(&self, address: Option<IpAddr>, app: SignupRequest) -> Result<Key, SignupError> {
        let now = self.node.clock().now();
        let config = self.node.config().load_full();
        let bounds = &config.registration;
        // Held from here on, so that the counts are still right when the key is added.
        let mut known = self.writing.lock();
        let shared = self.store.shared().filter(|_| bounds.per_day > 0);
        let too_many = match shared {
            Some(shared) => {
                let wait = shared.count_signup(&address_text(address), bounds.per_day);
                let too_many = |retry_after| LimitExceeded { limit: Limit::SignupsPerDay, retry_after };
                wait.map_err(SignupError::Keys)?.map(too_many)
            }
            None => self.signups.check(address, now).err(),
        };
        if let Some(too_many) = too_many {
            self.node.events().limit_hit(too_many.limit, None, address);
            return Err(SignupError::TooMany(too_many));
        }
        // Registration sets nothing else.
        let settings = Settings {
            origins: vec![app.origin],
            concurrent_limit: config.key_settings.concurrent_limit,
            ..Settings::default()
        };
        let key = Key { registered: true, ..Key::new(None, &app.name, settings) };
        let registered = self.store.register(key.clone(), bounds.limit).map_err(SignupError::Keys);
        if let Some(shared) = shared.filter(|_| !matches!(registered, Ok(true))) {
            // If this fails, the address may register one key less that day.
            let _ = shared.discount_signup(&address_text(address));
        }
        if !registered? {
            self.node.events().limit_hit(Limit::SignupLimit, None, address);
            return Err(SignupError::Full);
        }
        if shared.is_none() {
            self.signups.count(address, now);
        }
        self.record_added(&mut known, Actor::Signup(address), &key);
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerbroker_config::{Config, LiveConfig};
    use peerbroker_core::clock::Clock;
    use peerbroker_events::Events;
    use peerbroker_keys::RelayMode;
    use peerbroker_keys::memory::MemoryKeys;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    /// A log that can be filtered.
    struct AnyLog;

    impl LogControl for AnyLog {
        fn configured(&self) -> String {
            "info".to_owned()
        }

        fn set_temporary(&self, _: Option<&str>) -> Result<(), String> {
            Ok(())
        }
    }

    fn control() -> Control {
        let config = LiveConfig::from(Config { default_key: false, ..Config::default() });
        let node = Arc::new(Node::new(config, Clock::system(), Events::default(), None));
        Control::new(node, Arc::new(MemoryKeys::new()), None, Some(Arc::new(AnyLog)))
    }

    #[test]
    fn a_filter_that_is_set_while_another_one_ends_stays() {
        let control = control();
        for _ in 0..2_000 {
            control.set_log(Actor::Elsewhere, Some("warn".to_owned()), Some(0)).unwrap();
            let together = Barrier::new(2);
            thread::scope(|scope| {
                scope.spawn(|| {
                    together.wait();
                    control.sweep(Instant::MAX);
                });
                together.wait();
                control.set_log(Actor::Elsewhere, Some("debug".to_owned()), None).unwrap();
            });
            assert_eq!(control.log().unwrap().filter, "debug", "the end of an older filter ended it");
        }
    }

    /// A key that cannot be used, because there is no relay.
    fn unusable() -> Key {
        let settings = Settings { relay: RelayMode::Always, ..Settings::default() };
        Key::new(ApiKey::parse("k").ok(), "", settings)
    }

    #[test]
    fn a_removed_key_does_not_return_when_unusable_keys_are_tried_again_meanwhile() {
        let control = control();
        let key = unusable();
        for _ in 0..2_000 {
            control.add_key(Actor::Elsewhere, key.clone()).unwrap();
            let together = Barrier::new(2);
            thread::scope(|scope| {
                scope.spawn(|| {
                    together.wait();
                    control.try_unusable_keys();
                });
                together.wait();
                control.remove_key(Actor::Elsewhere, &key.key).unwrap();
            });
            assert!(control.node.tenant("k").is_none(), "a removed key is active again");
        }
    }

    #[test]
    fn a_key_stays_known_while_it_is_tried_again() {
        let control = control();
        let key = unusable();
        control.add_key(Actor::Elsewhere, key).unwrap();
        let tried = AtomicUsize::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    control.try_unusable_keys();
                    tried.fetch_add(1, Ordering::SeqCst);
                }
            });
            while tried.load(Ordering::SeqCst) < 2_000 {
                let is_known = control.node.tenant("k").is_some();
                assert!(is_known, "a client would be refused with InvalidKey");
            }
        });
    }

    #[test]
    fn an_app_has_a_name_and_an_origin() {
        let app = SignupRequest::check("  My game ", " https://example.org/app/ ").map_err(drop).unwrap();
        assert_eq!((app.name.as_str(), app.origin.as_str()), ("My game", "https://example.org"));
        let long = "ü".repeat(MAX_NAME_CHARS);
        assert!(SignupRequest::check(&long, "http://localhost:3000").is_ok());
    }

    #[test]
    fn what_is_wrong_is_said_of_each() {
        let wrong = |name: &str, origin: &str| SignupRequest::check(name, origin).map(drop).unwrap_err();
        let long = "n".repeat(MAX_NAME_CHARS + 1);
        for name in ["", "  ", "a\nb", "\0", long.as_str()] {
            let one = wrong(name, "https://a.test");
            let both = wrong(name, "a.test");
            assert!(one.name.is_some() && one.origin.is_none(), "{name:?}: {one:?}");
            assert!(both.name.is_some() && both.origin.is_some(), "{name:?}: {both:?}");
        }
        let long = format!("https://{}", "a".repeat(MAX_ORIGIN_BYTES));
        for (origin, why) in [
            ("", "https://example.org"),
            ("example.org", "with https://"),
            ("null", "with https://"),
            ("https://*.example.org", "without a *"),
            (&long, "https://example.org"),
        ] {
            let wrong = wrong("My game", origin);
            assert!(wrong.name.is_none() && wrong.origin.unwrap().contains(why), "{origin}: {wrong:?}");
        }
    }
}
