//! Samples of the server's numbers: the latest, and those of the last five minutes.

mod sample;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::app::Parts;

pub(super) use sample::Sample;

/// The time from sample to sample.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// Samples that are kept: those of five minutes.
const KEPT: usize = 300;

/// Readers at a time. Each costs a task, and the work for one message a second.
const MAX_READERS: usize = 16;

/// The samples, for all readers.
pub(super) struct Samples {
    history: Mutex<VecDeque<Sample>>,
    latest: watch::Sender<Sample>,
    readers: Arc<Semaphore>,
}

impl Default for Samples {
    fn default() -> Self {
        let readers = Arc::new(Semaphore::new(MAX_READERS));
        Samples { history: Mutex::default(), latest: watch::Sender::default(), readers }
    }
}

impl Samples {
    /// Takes a sample, and gives it to all readers.
    pub(super) fn take(&self, parts: &Parts) {
        let sample = Sample::take(parts);
        {
            let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
            if history.len() >= KEPT {
                history.pop_front();
            }
            history.push_back(sample.clone());
        }
        self.latest.send_replace(sample);
    }

    /// Lets one more reader in, if there is room.
    pub(super) fn admit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.readers).try_acquire_owned().ok()
    }

    /// Gets all samples from now on, or the latest of them.
    pub(super) fn subscribe(&self) -> watch::Receiver<Sample> {
        self.latest.subscribe()
    }

    /// The samples of the last five minutes, the oldest first.
    pub(super) fn history(&self) -> VecDeque<Sample> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
