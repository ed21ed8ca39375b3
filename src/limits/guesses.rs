//! A rate limit for guesses at a secret: the admin token, or the code of a room.

use std::net::IpAddr;
use std::time::Duration;

use dashmap::DashMap;

use super::{AddressPrefix, LimitExceeded};
use crate::rate_limit::RateLimit;
use crate::wire::Limit;

/// Wrong guesses per second; bursts of ten times as many. A class of 30 behind one address stays below that even if
/// everybody mistypes a room code every six seconds.
const PER_SECOND: u32 = 5;

/// Counts recent wrong guesses and limits their rate.
pub(crate) struct GuessLimiter {
    limit: Limit,
    wrong: DashMap<GuessSource, RateLimit>,
}

/// An address, or all clients of a proxy at that address. So guesses through a proxy do not lock out an operator who
/// connects directly.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct GuessSource {
    /// `None` for loopback, where a program can choose from 16 million addresses.
    prefix: Option<AddressPrefix>,
    forwarded: bool,
}

impl GuessSource {
    pub(crate) fn new(address: Option<IpAddr>, forwarded: bool) -> Self {
        let remote = address.filter(|address| !address.to_canonical().is_loopback());
        GuessSource { prefix: remote.map(AddressPrefix::of), forwarded }
    }

    /// The address; `None` for loopback.
    pub(crate) fn address(self) -> Option<IpAddr> {
        self.prefix.map(|AddressPrefix(octets)| IpAddr::from(octets).to_canonical())
    }

    /// A source that is not loopback. Use this where loopback may stand for all clients of an undeclared proxy.
    pub(crate) fn remote(address: Option<IpAddr>) -> Option<Self> {
        Some(GuessSource::new(address, false)).filter(|source| source.prefix.is_some())
    }
}

impl GuessLimiter {
    /// A limiter without guesses. `limit` names it in errors and events.
    pub(crate) fn new(limit: Limit) -> Self {
        GuessLimiter { limit, wrong: DashMap::new() }
    }

    /// Checks whether a guess may be compared at `now` milliseconds.
    pub(crate) fn check(&self, source: GuessSource, now: u64) -> Result<(), LimitExceeded> {
        let Some(wrong) = self.wrong.get(&source) else {
            return Ok(());
        };
        match wrong.charge(0, PER_SECOND, now) {
            Duration::ZERO => Ok(()),
            retry_after => Err(LimitExceeded { limit: self.limit, retry_after }),
        }
    }

    /// Counts a wrong guess at `now` milliseconds.
    pub(crate) fn count_wrong(&self, source: GuessSource, now: u64) {
        self.wrong.entry(source).or_default().charge(1, PER_SECOND, now);
    }

    /// Forgets sources whose burst is full again.
    pub(crate) fn sweep(&self, now: u64) {
        self.wrong.retain(|_, wrong| !wrong.is_rested(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> GuessSource {
        GuessSource::new(Some(address.parse().unwrap()), false)
    }

    #[test]
    fn wrong_guesses_have_a_rate_limit_and_right_ones_do_not() {
        let guesses = GuessLimiter::new(Limit::WrongAdminTokens);
        let here = |now| guesses.check(at("192.0.2.1"), now);
        assert!((0..1000).all(|_| here(0).is_ok()));
        let guess = |now| here(now).map(|()| guesses.count_wrong(at("192.0.2.1"), now));
        assert_eq!((0..1000).filter(|_| guess(0).is_ok()).count(), 51);
        assert_eq!(
            here(0),
            Err(LimitExceeded { limit: Limit::WrongAdminTokens, retry_after: Duration::from_millis(200) })
        );
        assert!(guess(199).is_err() && guess(200).is_ok() && guess(200).is_err());
        // After the burst, one minute allows 60 seconds' worth.
        assert_eq!((200..=60_200).filter(|now| guess(*now).is_ok()).count(), 300);
    }

    #[test]
    fn an_ipv6_prefix_and_loopback_share_one_limit_and_a_proxy_on_loopback_has_its_own() {
        let proxied = |address: &str| GuessSource::new(Some(address.parse().unwrap()), true);
        for (one, same, other) in [
            (at("192.0.2.1"), at("::ffff:192.0.2.1"), at("192.0.2.2")),
            (at("2001:db8::1"), at("2001:db8::ffff:ffff"), at("2001:db8:0:1::1")),
            (at("127.0.0.1"), at("127.9.9.9"), at("192.0.2.1")),
            (at("127.0.0.1"), at("::1"), proxied("127.0.0.1")),
            (proxied("192.0.2.1"), proxied("192.0.2.1"), at("192.0.2.1")),
        ] {
            let guesses = GuessLimiter::new(Limit::WrongAdminTokens);
            (0..51).for_each(|_| guesses.count_wrong(one, 0));
            assert!(guesses.check(same, 0).is_err());
            assert!(guesses.check(other, 0).is_ok());
        }
    }

    #[test]
    fn a_source_is_forgotten_when_its_burst_is_full_again() {
        let guesses = GuessLimiter::new(Limit::WrongAdminTokens);
        guesses.count_wrong(at("192.0.2.1"), 0);
        guesses.sweep(199);
        assert_eq!(guesses.wrong.len(), 1);
        guesses.sweep(200);
        assert!(guesses.wrong.is_empty());
    }
}
