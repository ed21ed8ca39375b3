//! How often one address may do something within 24 hours.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use dashmap::DashMap;

use super::{Network, TooMany};
use crate::config::LiveConfig;
use crate::wire::Limit;

/// Milliseconds.
const DAY: u64 = 24 * 60 * 60 * 1000;

/// The addresses that have done it within the last 24 hours, and when.
///
/// Loopback counts as any other address here, and so does who has none: behind a proxy that this server was not told of
/// everybody comes from there, and would else have no bound.
pub(crate) struct DailyQuota {
    config: LiveConfig,
    /// Milliseconds, oldest first; never more than `most`.
    done: DashMap<Option<Network>, VecDeque<u64>>,
}

impl DailyQuota {
    pub(crate) fn new(config: LiveConfig) -> Self {
        DailyQuota { config, done: DashMap::new() }
    }

    /// Most within 24 hours; 0 is no limit.
    fn most(&self) -> u32 {
        self.config.load().registration.per_day
    }

    /// Whether an address may do it at `now` milliseconds.
    pub(crate) fn check(&self, address: Option<IpAddr>, now: u64) -> Result<(), TooMany> {
        let most = self.most();
        let Some(mut done) = self.done.get_mut(&address.map(Network::of)).filter(|_| most > 0) else {
            return Ok(());
        };
        done.retain(|at| is_recent(*at, now));
        match done.front() {
            Some(oldest) if done.len() as u64 >= u64::from(most) => Err(TooMany {
                limit: Limit::SignupsPerDay,
                retry_after: Duration::from_millis((oldest + DAY).saturating_sub(now)),
            }),
            _ => Ok(()),
        }
    }

    /// An address has done it at `now` milliseconds.
    pub(crate) fn count(&self, address: Option<IpAddr>, now: u64) {
        if self.most() > 0 {
            self.done.entry(address.map(Network::of)).or_default().push_back(now);
        }
    }

    /// Forgets who has not done it for a day.
    pub(crate) fn sweep(&self, now: u64) {
        self.done.retain(|_, done| done.back().is_some_and(|at| is_recent(*at, now)));
    }
}

fn is_recent(at: u64, now: u64) -> bool {
    now.saturating_sub(at) < DAY
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, KeySignup};

    fn daily(per_day: u32) -> DailyQuota {
        let registration = KeySignup { per_day, ..KeySignup::default() };
        DailyQuota::new(Config { registration, ..Config::default() }.into())
    }

    const HOUR: u64 = DAY / 24;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    /// Does it, if it may.
    fn try_it(daily: &DailyQuota, address: Option<IpAddr>, now: u64) -> Result<(), TooMany> {
        daily.check(address, now).map(|()| daily.count(address, now))
    }

    #[test]
    fn an_address_may_do_it_so_often_in_any_24_hours() {
        let daily = daily(2);
        let here = |now| try_it(&daily, ip("192.0.2.1"), now);
        assert!(here(0).is_ok() && here(10 * HOUR).is_ok());
        assert_eq!(
            here(20 * HOUR),
            Err(TooMany { limit: Limit::SignupsPerDay, retry_after: Duration::from_millis(4 * HOUR) })
        );
        assert_eq!(
            here(DAY - 1),
            Err(TooMany { limit: Limit::SignupsPerDay, retry_after: Duration::from_millis(1) })
        );
        assert!(here(DAY).is_ok());
        assert_eq!(
            here(DAY),
            Err(TooMany { limit: Limit::SignupsPerDay, retry_after: Duration::from_millis(10 * HOUR) })
        );
        assert!(try_it(&daily, ip("192.0.2.2"), DAY).is_ok());
    }

    #[test]
    fn what_is_only_asked_does_not_count() {
        let daily = daily(1);
        for _ in 0..3 {
            assert!(daily.check(ip("192.0.2.1"), 0).is_ok());
        }
    }

    #[test]
    fn a_household_is_one_address_and_so_is_loopback_and_who_has_none() {
        for (one, same, other) in [
            (ip("2001:db8::1"), ip("2001:db8::ffff:ffff"), ip("2001:db8:0:1::1")),
            (ip("192.0.2.1"), ip("::ffff:192.0.2.1"), ip("192.0.2.2")),
            (ip("127.0.0.1"), ip("::ffff:127.0.0.1"), ip("::1")),
            (None, None, ip("127.0.0.1")),
        ] {
            let daily = daily(1);
            assert!(try_it(&daily, one, 0).is_ok());
            assert!(try_it(&daily, same, 0).is_err(), "{same:?}");
            assert!(try_it(&daily, other, 0).is_ok(), "{other:?}");
        }
    }

    #[test]
    fn zero_is_any_number() {
        let daily = daily(0);
        assert!((0..1000).all(|_| try_it(&daily, ip("192.0.2.1"), 0).is_ok()));
        assert!(daily.done.is_empty());
    }

    #[test]
    fn who_has_not_done_it_for_a_day_is_forgotten() {
        let daily = daily(5);
        daily.count(ip("192.0.2.1"), 0);
        daily.count(ip("192.0.2.2"), 0);
        daily.count(ip("192.0.2.2"), HOUR);
        daily.sweep(DAY - 1);
        assert_eq!(daily.done.len(), 2);
        daily.sweep(DAY);
        assert_eq!(daily.done.len(), 1);
        daily.sweep(DAY + HOUR);
        assert!(daily.done.is_empty());
    }
}
