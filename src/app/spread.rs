//! Closes clients one after another, so that they do not all come back in the same second.

use std::time::Duration;

use rand::seq::SliceRandom as _;

use super::Parts;
use crate::clock::millis;
use crate::wire::CloseReason;

/// How often some clients are closed.
const STEP: Duration = Duration::from_millis(50);

/// How long a client whose connection is accepted may take to open its WebSocket: some round trips.
const OPENING: Duration = Duration::from_secs(1);

impl Parts {
    /// Dismisses all clients that are here now, spread evenly over `window` and in random order. Ends early when nobody is
    /// connected. Clients that come meanwhile are left for [`Parts::close`].
    pub(crate) async fn spread(&self, window: Duration) {
        let mut clients = self.node.clients();
        clients.shuffle(&mut rand::rng());
        let (began, count, window) = (self.now(), clients.len(), millis(window));
        loop {
            let passed = self.now().saturating_sub(began);
            let is_empty = self.sessions.len() == 0 && passed >= millis(OPENING);
            if passed >= window || is_empty {
                return;
            }
            for (realm, id) in clients.drain(clients.len().min(remaining(count, passed, window))..) {
                realm.dismiss_id(id.as_str(), CloseReason::Shutdown);
            }
            self.sessions.sleep(STEP).await;
        }
    }
}

/// How many of `count` clients stay when `passed` of `window` milliseconds have passed.
fn remaining(count: usize, passed: u64, window: u64) -> usize {
    let left = u128::from(window.saturating_sub(passed));
    let remaining = (count as u128 * left).div_ceil(u128::from(window.max(1)));
    usize::try_from(remaining).unwrap_or(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_that_stays_falls_evenly() {
        let at = |passed| remaining(1000, passed, 10_000);
        assert_eq!([0, 1000, 5000, 9999, 10_000, 20_000].map(at), [1000, 900, 500, 1, 0, 0]);
        assert_eq!(remaining(0, 1, 10), 0);
        assert_eq!(remaining(usize::MAX, 0, u64::MAX), usize::MAX);
    }
}
