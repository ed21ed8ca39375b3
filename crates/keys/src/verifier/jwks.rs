//! A JSON Web Key Set in a file, which is read again when it changes.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use tokio::task::spawn_blocking;

use super::error::{BadAuth, Denied};
use super::verifying_keys::{VerifyingKey, VerifyingKeys};
use peerbroker_system::files::{self, Stamp};

/// The shortest time between two checks of the file.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Most bytes of the file: enough for over a thousand keys.
const MAX_BYTES: u64 = 1 << 20;

pub(super) struct Jwks {
    path: Arc<Path>,
    cached: Mutex<Cached>,
}

struct Cached {
    /// `None` until the file can be used for the first time.
    keys: Option<Arc<VerifyingKeys>>,
    /// The stamp of the version that was read last, even if it was invalid. `None` if there was no file.
    stamp: Option<Stamp>,
    checked_at: Instant,
}

impl Jwks {
    pub(super) fn open(path: &Path, now: Instant) -> Result<Self, BadAuth> {
        // The store keeps the path as text.
        match path.to_str() {
            None => return Err(BadAuth::PathNotUtf8(path.to_owned())),
            Some(url) if url.starts_with("https://") || url.starts_with("http://") => {
                return Err(BadAuth::KeySetIsUrl(url.to_owned()));
            }
            Some(_) => {}
        }
        let stamp = Stamp::of(path);
        let keys = Some(Arc::new(read(path)?));
        Ok(Jwks { path: path.into(), cached: Mutex::new(Cached { keys, stamp, checked_at: now }) })
    }

    /// A file that cannot be used yet. It is read when it changes.
    pub(super) fn awaited(path: &Path, now: Instant) -> Self {
        let cached = Cached { keys: None, stamp: Stamp::of(path), checked_at: now };
        Jwks { path: path.into(), cached: Mutex::new(cached) }
    }

    /// The keys of the file. They may be a second old, or older while the file is invalid.
    pub(super) async fn keys(&self, now: Instant) -> Result<Arc<VerifyingKeys>, Denied> {
        self.read_keys(now).await.ok_or_else(|| Denied::NoKeySet(Arc::clone(&self.path)))
    }

    async fn read_keys(&self, now: Instant) -> Option<Arc<VerifyingKeys>> {
        let last_stamp = {
            let mut cached = self.cached.lock();
            if now.saturating_duration_since(cached.checked_at) < CHECK_INTERVAL {
                return cached.keys.clone();
            }
            // Set before reading, so that no other client also checks.
            cached.checked_at = now;
            cached.stamp
        };
        let path = Arc::clone(&self.path);
        let reread = spawn_blocking(move || {
            // Taken first, so a write during the read counts as another change.
            let stamp = Stamp::of(&path);
            (stamp != last_stamp).then(|| (stamp, read(&path)))
        });
        // It fails only when the runtime ends.
        let reread = reread.await;
        let mut cached = self.cached.lock();
        if let Ok(Some((stamp, read))) = reread {
            cached.stamp = stamp;
            match read {
                Ok(keys) => {
                    if cached.keys.replace(Arc::new(keys)).is_none() {
                        log::info!("the key set {} can be used now", self.path.display());
                    }
                }
                Err(error) if cached.keys.is_none() => log::error!("{error}"),
                Err(error) => log::error!("the previous keys stay active: {error}"),
            }
        }
        cached.keys.clone()
    }
}

/// Reads the file. It may block on a disk, so it does not run on a worker's thread.
fn read(path: &Path) -> Result<VerifyingKeys, BadAuth> {
    let text = files::read_regular(path, MAX_BYTES)
        .map_err(|error| BadAuth::Unreadable { path: path.to_owned(), error })?;
    parse(path, &text)
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

/// The keys of a set. One that cannot be used is skipped (RFC 7517, section 5), because issuers add kinds of
/// keys.
pub(super) fn parse(path: &Path, text: &[u8]) -> Result<VerifyingKeys, BadAuth> {
    let set: KeySet = serde_json::from_slice(text).map_err(|error| BadAuth::NoKeySet {
        path: path.to_owned(),
        line: error.line(),
        column: error.column(),
    })?;
    let mut keys = Vec::new();
    let mut first_error = None;
    for (index, jwk) in set.keys.into_iter().enumerate() {
        match VerifyingKey::from_jwk(jwk, &keys) {
            Ok(key) => keys.extend(key),
            Err(error) => {
                log::warn!("key {} of {} is skipped: {error}", index + 1, path.display());
                first_error.get_or_insert(error);
            }
        }
    }
    match first_error {
        _ if !keys.is_empty() => Ok(VerifyingKeys::Several(keys)),
        Some(error) => Err(BadAuth::KeyInSet { path: path.to_owned(), error: Box::new(error) }),
        None => Err(BadAuth::NoKey(path.to_owned())),
    }
}
