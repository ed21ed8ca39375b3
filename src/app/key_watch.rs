//! Follows the store of keys, which other processes write to.

use std::time::Duration;

use crate::admin::Admin;
use crate::keys::KeyError;
use crate::threads::caught;

/// How often the last use of keys is stored, and unused keys are removed.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(60);

/// Puts changes of the store in force, and stores which keys were used.
pub(super) struct KeyWatch {
    version: Option<u64>,
    since_housekeeping: Duration,
    /// The last time failed, so the log has the reason.
    has_failed: bool,
}

impl Default for KeyWatch {
    fn default() -> Self {
        KeyWatch { version: None, since_housekeeping: HOUSEKEEPING_INTERVAL, has_failed: false }
    }
}

impl KeyWatch {
    /// How often [`look`](Self::look) is called.
    pub(super) const INTERVAL: Duration = Duration::from_millis(500);

    /// Logs the first of failures that follow each other.
    pub(super) fn look(&mut self, admin: &Admin) {
        // The store may be an embedding program's.
        let looked = caught(|| self.try_to_look(admin));
        let looked = looked.unwrap_or_else(|panic| Err(KeyError::Store(panic.into())));
        let had_failed = std::mem::replace(&mut self.has_failed, looked.is_err());
        match looked {
            Err(error) if !had_failed => log::error!("{error}"),
            Ok(()) if had_failed => log::info!("the keys can be reached again"),
            _ => {}
        }
    }

    fn try_to_look(&mut self, admin: &Admin) -> Result<(), KeyError> {
        self.since_housekeeping += Self::INTERVAL;
        if self.since_housekeeping >= HOUSEKEEPING_INTERVAL {
            self.since_housekeeping = Duration::ZERO;
            admin.keep_house()?;
        }
        let version = Some(admin.version()?);
        if version != self.version {
            admin.read_keys()?;
            self.version = version;
        }
        Ok(())
    }
}
