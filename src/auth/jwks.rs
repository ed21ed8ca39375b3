//! A file with a JSON Web Key Set, read again when it changes.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use jsonwebtoken::jwk::{AlgorithmParameters, JwkSet};
use tokio::task::spawn_blocking;

use super::error::BadAuth;
use super::verifying_keys::{VerifyingKey, VerifyingKeys};
use crate::files;

/// How often the file is looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Longest file that is read: a thousand keys and more.
const MAX_BYTES: u64 = 1 << 20;

pub(super) struct Jwks {
    path: Arc<Path>,
    kept: Mutex<Kept>,
}

struct Kept {
    keys: Arc<VerifyingKeys>,
    /// That of the version that was read last, good or not; `None` if there was no file.
    stamp: Option<Stamp>,
    looked: Instant,
}

/// What changes when a file does.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
}

impl Jwks {
    pub(super) fn open(path: &Path, now: Instant) -> Result<Self, BadAuth> {
        // It is stored as text.
        if path.to_str().is_none() {
            return Err(BadAuth::OddPath(path.to_owned()));
        }
        let stamp = stamp(path);
        let keys = Arc::new(read(path)?);
        Ok(Jwks { path: path.into(), kept: Mutex::new(Kept { keys, stamp, looked: now }) })
    }

    /// The keys as the file has them; for a second, or if it cannot be read now, as it had them.
    pub(super) async fn keys(&self, now: Instant) -> Arc<VerifyingKeys> {
        let seen = {
            let mut kept = self.lock();
            if now.saturating_duration_since(kept.looked) < LOOK_EVERY {
                return Arc::clone(&kept.keys);
            }
            // Now, so that nobody else looks meanwhile.
            kept.looked = now;
            kept.stamp
        };
        let path = Arc::clone(&self.path);
        // An error is the end of the runtime.
        let look = spawn_blocking(move || look(&path, seen)).await;
        let mut kept = self.lock();
        if let Ok(Some((stamp, read))) = look {
            kept.stamp = stamp;
            match read {
                Ok(keys) => kept.keys = Arc::new(keys),
                Err(error) => log::error!("the old keys stay: {error}"),
            }
        }
        Arc::clone(&kept.keys)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the file if it is not as it was seen. Its stamp is taken first: what is written meanwhile is another
/// change.
fn look(path: &Path, seen: Option<Stamp>) -> Option<(Option<Stamp>, Result<VerifyingKeys, BadAuth>)> {
    let stamp = stamp(path);
    (stamp != seen).then(|| (stamp, read(path)))
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some(Stamp { modified: metadata.modified().ok(), len: metadata.len() })
}

/// Not for a worker's thread, but whatever the path names, it answers at once.
fn read(path: &Path) -> Result<VerifyingKeys, BadAuth> {
    let text = files::read_regular(path, MAX_BYTES)
        .map_err(|error| BadAuth::Unreadable { path: path.to_owned(), error })?;
    parse(path, &text)
}

pub(super) fn parse(path: &Path, text: &[u8]) -> Result<VerifyingKeys, BadAuth> {
    let set: JwkSet = serde_json::from_slice(text).map_err(|error| BadAuth::NoKeySet {
        path: path.to_owned(),
        line: error.line(),
        column: error.column(),
    })?;
    let (mut keys, mut kids) = (Vec::new(), HashSet::new());
    for jwk in &set.keys {
        if matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_)) {
            log::warn!("{} has a symmetric key (oct): it is never used", path.display());
        }
        let key = VerifyingKey::from_jwk(jwk)
            .map_err(|error| BadAuth::KeyInSet { path: path.to_owned(), error: Box::new(error) })?;
        let Some(key) = key else { continue };
        let kid = jwk.common.key_id.clone();
        if let Some(kid) = &kid
            && !kids.insert(kid.clone())
        {
            return Err(BadAuth::RepeatedKeyId { path: path.to_owned(), kid: kid.clone() });
        }
        keys.push((kid, key));
    }
    if keys.is_empty() { Err(BadAuth::NoKey(path.to_owned())) } else { Ok(VerifyingKeys::Several(keys)) }
}
