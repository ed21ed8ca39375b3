//! Registered keys that nobody uses: when the log names them, and when they are removed.

use std::collections::BTreeSet;
use std::time::Duration;

use parking_lot::Mutex;

use peerbroker_core::clock::{Clock, Instant, millis};
use peerbroker_core::vocabulary::ApiKey;
use peerbroker_events::counted;
use peerbroker_keys::{HOUR, KeyError, KeyStore};

const HOURS_A_DAY: u64 = 24;

/// Hours before its removal in which the log names an unused key, or half of its lifetime.
const NOTICE: u64 = HOURS_A_DAY;

/// Most keys that one line of the log names.
const MOST_NAMED: usize = 10;

/// Counts the hours in which this server runs. No date decides: clocks leap, backups are old, and machines
/// are switched off.
#[derive(Default)]
pub(super) struct UnusedKeys(Mutex<CountedHours>);

#[derive(Default)]
struct CountedHours {
    last: Option<Instant>,
    /// The unused keys that the log has named.
    due: BTreeSet<ApiKey>,
}

impl UnusedKeys {
    /// Counts an hour, once it is over, and names the keys that will be removed. Returns the unused hours
    /// after which a key goes now. Nothing is removed on the first day, so the log names a key a day before,
    /// and clients can come back.
    pub(super) fn hours_to_removal(
        &self,
        store: &dyn KeyStore,
        clock: &Clock,
        ttl_days: u32,
    ) -> Result<Option<u64>, KeyError> {
        let now = clock.now();
        let mut counted = self.0.lock();
        if counted.last.is_some_and(|last| now.saturating_since(last) < Duration::from_secs(HOUR)) {
            return Ok(None);
        }
        store.count_hour(clock.unix_millis().as_millis() / 1000)?;
        counted.last = Some(now);
        if ttl_days == 0 {
            return Ok(None);
        }
        let hours = u64::from(ttl_days) * HOURS_A_DAY;
        let due: BTreeSet<ApiKey> = store.unused(hours - NOTICE.min(hours / 2))?.into_iter().collect();
        let new: Vec<&ApiKey> = due.difference(&counted.due).collect();
        if !new.is_empty() {
            log::warn!("{}", notice(&new, ttl_days));
        }
        counted.due = due;
        Ok((now.as_millis() >= millis(Duration::from_hours(HOURS_A_DAY))).then_some(hours))
    }
}

/// The line about keys that will be removed.
fn notice(keys: &[&ApiKey], ttl_days: u32) -> String {
    let named = keys.iter().take(MOST_NAMED).map(|key| format!("{:?}", key.as_str())).collect::<Vec<_>>();
    let others = match keys.len() - named.len() {
        0 => String::new(),
        others => format!(" and {others} more"),
    };
    format!(
        "no client has used these registered keys for most of --registration_ttl, {}: {}{others}. Each is removed after a day or more \
         of this server, unless a client uses it",
        counted(ttl_days.into(), "day", "days"),
        named.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerbroker_keys::memory::MemoryKeys;
    use peerbroker_keys::{Key, Settings};

    const TTL: u32 = 90;

    /// A server with a registered key.
    struct Server {
        store: MemoryKeys,
        clock: Clock,
        unused: UnusedKeys,
    }

    impl Server {
        fn new() -> Self {
            let store = MemoryKeys::new();
            let app = Key::new(ApiKey::parse("app").ok(), "", Settings::default());
            store.register(Key { registered: true, ..app }, 0).unwrap();
            Server { store, clock: Clock::manual(), unused: UnusedKeys::default() }
        }

        fn look(&self) {
            if let Some(hours) = self.unused.hours_to_removal(&self.store, &self.clock, TTL).unwrap() {
                self.store.remove_unused(hours).unwrap();
            }
        }

        /// An hour, while the clock of the machine leaps by this much.
        fn an_hour_passes(&self, leap: Duration) {
            self.clock.add_gap(leap);
            self.clock.advance(Duration::from_hours(1));
            self.look();
        }

        /// The stored keys, and those that the log has named.
        fn keys(&self) -> (usize, usize) {
            (self.store.all().unwrap().len(), self.unused.0.lock().due.len())
        }
    }

    #[test]
    fn an_unused_key_goes_after_days_of_the_server_and_not_of_its_clock() {
        let server = Server::new();
        server.look();
        // A backup of years ago is restored, or the clock was wrong for a minute.
        server.clock.add_gap(Duration::from_hours(24 * 1000));
        server.look();
        let hours = u64::from(TTL) * HOURS_A_DAY - 1;
        (0..hours).for_each(|hour| server.an_hour_passes(Duration::from_hours(hour % 7 * 100)));
        assert_eq!(server.keys(), (1, 1), "it was removed too early, or nobody was told");
        server.an_hour_passes(Duration::ZERO);
        assert_eq!(server.keys().0, 0);
    }

    #[test]
    fn a_server_removes_no_unused_key_on_its_first_day_and_names_it() {
        let server = Server::new();
        (1..=91 * 24).for_each(|hour| server.store.count_hour(hour * 3600).unwrap());
        server.look();
        assert_eq!(server.keys(), (1, 1));
        (0..23).for_each(|_| server.an_hour_passes(Duration::from_hours(24 * 100)));
        assert_eq!(server.keys().0, 1);
        server.an_hour_passes(Duration::ZERO);
        assert_eq!(server.keys().0, 0);
    }
}
