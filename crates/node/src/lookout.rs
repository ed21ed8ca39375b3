//! A client whose key is unknown waits until the store of keys was looked at again: another process may have
//! added the key a moment ago.

use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;
use tokio::time::timeout;

/// Pause between two looks. All clients that come meanwhile share the next one, so guesses of keys cost the
/// store ten looks a second at most.
const PAUSE: Duration = Duration::from_millis(100);

/// Time for which a client waits if the store does not answer.
const LONGEST: Duration = Duration::from_secs(1);

/// The looks of one thread at the store.
#[derive(Default)]
pub struct Lookout {
    state: Mutex<LookoutState>,
    wanted: Condvar,
    /// The number of the last look that has ended, and true if the store could be read.
    ended: watch::Sender<(u64, bool)>,
}

#[derive(Default)]
struct LookoutState {
    is_wanted: bool,
    /// The number of the last look that has begun.
    begun: u64,
}

impl Lookout {
    /// Waits for the end of a look that begins later. False if the store does not answer in time, or cannot
    /// be read.
    pub(super) async fn wait_for_next(&self) -> bool {
        let mut ended = self.ended.subscribe();
        let begun = {
            let mut state = self.state.lock();
            state.is_wanted = true;
            state.begun
        };
        self.wanted.notify_one();
        let looked = timeout(LONGEST, ended.wait_for(|(number, _)| *number > begun)).await;
        looked.is_ok_and(|looked| looked.is_ok_and(|looked| looked.1))
    }

    /// Waits for an interval, or until a client wants a look. Then one begins.
    pub fn wait(&self, interval: Duration) {
        thread::sleep(PAUSE);
        let mut state = self.state.lock();
        let rest = interval.saturating_sub(PAUSE);
        self.wanted.wait_while_for(&mut state, |state| !state.is_wanted, rest);
        state.is_wanted = false;
        state.begun += 1;
    }

    /// The look has ended. If the store `was_read`, what it has is active.
    pub fn end(&self, was_read: bool) {
        self.ended.send_replace((self.state.lock().begun, was_read));
    }
}
