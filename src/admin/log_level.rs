//! The filter of the log, which operators can change for a while.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::threads::caught;

/// The log of the program that the broker is part of. It lets operators change the filter through the API: give it to
/// [`Builder::log`](crate::Builder::log).
pub trait LogControl: Send + Sync {
    /// The filter that the program was started or configured with.
    fn configured(&self) -> String;
    /// Filters by this text from now on, or as configured. The error says what is expected.
    fn set_temporary(&self, filter: Option<&str>) -> Result<(), String>;
}

/// Why the filter cannot be changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    /// The program has no such log.
    #[error("the program that this broker is part of does not let the API change its log")]
    Unsupported,
    /// The filter is none.
    #[error("filter: {0}")]
    Invalid(String),
    /// The program's own code has panicked.
    #[error("the log of the program has {0}")]
    Failed(String),
}

/// The filter in force.
pub(crate) struct LogState {
    pub(crate) filter: String,
    pub(crate) configured: String,
    /// When the filter ends, by the clock of the broker.
    pub(crate) until: Option<u64>,
}

/// The log and its temporary filter.
pub(super) struct LogLevel {
    control: Option<Arc<dyn LogControl>>,
    temporary: Mutex<Option<Temporary>>,
}

struct Temporary {
    filter: String,
    until: Option<u64>,
}

impl LogLevel {
    pub(super) fn new(control: Option<Arc<dyn LogControl>>) -> Self {
        LogLevel { control, temporary: Mutex::default() }
    }

    pub(super) fn state(&self) -> Result<LogState, LogError> {
        let configured = self.control.as_ref().ok_or(LogError::Unsupported)?.configured();
        Ok(match &*self.temporary() {
            Some(Temporary { filter, until }) => {
                LogState { filter: filter.clone(), configured, until: *until }
            }
            None => LogState { filter: configured.clone(), configured, until: None },
        })
    }

    /// Filters by another text, until then if a time is given; `None` ends that.
    pub(super) fn set(&self, filter: Option<String>, until: Option<u64>) -> Result<(), LogError> {
        let control = self.control.as_ref().ok_or(LogError::Unsupported)?;
        let mut temporary = self.temporary();
        let set = caught(|| control.set_temporary(filter.as_deref()));
        set.map_err(|panic| LogError::Failed(panic.to_string()))?.map_err(LogError::Invalid)?;
        *temporary = filter.map(|filter| Temporary { filter, until });
        Ok(())
    }

    /// Ends a filter whose time is over. True if there was one.
    pub(super) fn sweep(&self, now: u64) -> bool {
        let is_over =
            self.temporary().as_ref().is_some_and(|set| set.until.is_some_and(|until| until <= now));
        if !is_over {
            return false;
        }
        if let Err(error) = self.set(None, None) {
            // Not tried again: it would fail each time.
            *self.temporary() = None;
            log::error!("{error}; its filter may not be the configured one");
        }
        true
    }

    fn temporary(&self) -> MutexGuard<'_, Option<Temporary>> {
        self.temporary.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
