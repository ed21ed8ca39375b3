//! The limit of keys that one address may register within 24 hours.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use dashmap::DashMap;

use super::{AddressPrefix, LimitExceeded};
use crate::config::LiveConfig;
use crate::wire::Limit;

/// Milliseconds.
const DAY: u64 = 24 * 60 * 60 * 1000;

/// Limits how many keys each address registers within 24 hours.
///
/// Unlike connection limits, this limit includes loopback and clients without an address: behind a proxy that the
/// server does not know, all clients seem to be there.
pub(crate) struct SignupLimiter {
    config: LiveConfig,
    /// Times of registrations in milliseconds, oldest first; at most `max` per address.
    signups: DashMap<Option<AddressPrefix>, VecDeque<u64>>,
}

impl SignupLimiter {
    pub(crate) fn new(config: LiveConfig) -> Self {
        SignupLimiter { config, signups: DashMap::new() }
    }

    /// Maximum registrations within 24 hours; 0 means no limit.
    fn max(&self) -> u32 {
        self.config.load().registration.per_day
    }

    /// Checks whether an address may register a key at `now` milliseconds.
    pub(crate) fn check(&self, address: Option<IpAddr>, now: u64) -> Result<(), LimitExceeded> {
        let max = self.max();
        let Some(mut signups) = self.signups.get_mut(&address.map(AddressPrefix::of)).filter(|_| max > 0)
        else {
            return Ok(());
        };
        signups.retain(|at| is_recent(*at, now));
        match signups.front() {
            Some(oldest) if signups.len() as u64 >= u64::from(max) => Err(LimitExceeded {
                limit: Limit::SignupsPerDay,
                retry_after: Duration::from_millis((oldest + DAY).saturating_sub(now)),
            }),
            _ => Ok(()),
        }
    }

    /// Counts a registration at `now` milliseconds.
    pub(crate) fn count(&self, address: Option<IpAddr>, now: u64) {
        if self.max() > 0 {
            self.signups.entry(address.map(AddressPrefix::of)).or_default().push_back(now);
        }
    }

    /// Forgets addresses without a registration in the last 24 hours.
    pub(crate) fn sweep(&self, now: u64) {
        self.signups.retain(|_, signups| signups.back().is_some_and(|at| is_recent(*at, now)));
    }
}

fn is_recent(at: u64, now: u64) -> bool {
    now.saturating_sub(at) < DAY
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, KeySignup};

    fn limiter(per_day: u32) -> SignupLimiter {
        let registration = KeySignup { per_day, ..KeySignup::default() };
        SignupLimiter::new(Config { registration, ..Config::default() }.into())
    }

    const HOUR: u64 = DAY / 24;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    /// Registers a key if the limit allows it.
    fn try_signup(limiter: &SignupLimiter, address: Option<IpAddr>, now: u64) -> Result<(), LimitExceeded> {
        limiter.check(address, now).map(|()| limiter.count(address, now))
    }

    #[test]
    fn an_address_has_a_limit_of_signups_in_any_24_hours() {
        let limiter = limiter(2);
        let here = |now| try_signup(&limiter, ip("192.0.2.1"), now);
        assert!(here(0).is_ok() && here(10 * HOUR).is_ok());
        assert_eq!(
            here(20 * HOUR),
            Err(LimitExceeded { limit: Limit::SignupsPerDay, retry_after: Duration::from_millis(4 * HOUR) })
        );
        assert_eq!(
            here(DAY - 1),
            Err(LimitExceeded { limit: Limit::SignupsPerDay, retry_after: Duration::from_millis(1) })
        );
        assert!(here(DAY).is_ok());
        assert_eq!(
            here(DAY),
            Err(LimitExceeded { limit: Limit::SignupsPerDay, retry_after: Duration::from_millis(10 * HOUR) })
        );
        assert!(try_signup(&limiter, ip("192.0.2.2"), DAY).is_ok());
    }

    #[test]
    fn a_check_does_not_count_as_a_signup() {
        let limiter = limiter(1);
        for _ in 0..3 {
            assert!(limiter.check(ip("192.0.2.1"), 0).is_ok());
        }
    }

    #[test]
    fn an_ipv6_prefix_loopback_and_a_missing_address_count_as_one_address_each() {
        for (one, same, other) in [
            (ip("2001:db8::1"), ip("2001:db8::ffff:ffff"), ip("2001:db8:0:1::1")),
            (ip("192.0.2.1"), ip("::ffff:192.0.2.1"), ip("192.0.2.2")),
            (ip("127.0.0.1"), ip("::ffff:127.0.0.1"), ip("::1")),
            (None, None, ip("127.0.0.1")),
        ] {
            let limiter = limiter(1);
            assert!(try_signup(&limiter, one, 0).is_ok());
            assert!(try_signup(&limiter, same, 0).is_err(), "{same:?}");
            assert!(try_signup(&limiter, other, 0).is_ok(), "{other:?}");
        }
    }

    #[test]
    fn zero_turns_the_limit_off() {
        let limiter = limiter(0);
        assert!((0..1000).all(|_| try_signup(&limiter, ip("192.0.2.1"), 0).is_ok()));
        assert!(limiter.signups.is_empty());
    }

    #[test]
    fn an_address_without_signups_for_a_day_is_forgotten() {
        let limiter = limiter(5);
        limiter.count(ip("192.0.2.1"), 0);
        limiter.count(ip("192.0.2.2"), 0);
        limiter.count(ip("192.0.2.2"), HOUR);
        limiter.sweep(DAY - 1);
        assert_eq!(limiter.signups.len(), 2);
        limiter.sweep(DAY);
        assert_eq!(limiter.signups.len(), 1);
        limiter.sweep(DAY + HOUR);
        assert!(limiter.signups.is_empty());
    }
}
