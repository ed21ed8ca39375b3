//! A rate limit for guesses at a secret: the admin token, or the code of a room.

use std::net::IpAddr;
use std::time::Duration;

use dashmap::DashMap;

use super::{Network, TooMany};
use crate::rate_limit::RateLimit;
use crate::wire::Limit;

/// Wrong guesses per second; bursts of ten times as many. A class of 30 behind one address stays below that even if
/// everybody mistypes a room code every six seconds.
const PER_SECOND: u32 = 5;

/// The guessers that were wrong lately.
pub(crate) struct GuessLimiter {
    limit: Limit,
    wrong: DashMap<Guesser, RateLimit>,
}

/// An address, or all clients of a proxy at that address. So guesses through a proxy do not lock out an operator who
/// connects directly.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Guesser {
    /// `None` stands for all of loopback, where a program can choose from 16 million addresses.
    network: Option<Network>,
    forwarded: bool,
}

impl Guesser {
    pub(crate) fn new(address: Option<IpAddr>, forwarded: bool) -> Self {
        let remote = address.filter(|address| !address.to_canonical().is_loopback());
        Guesser { network: remote.map(Network::of), forwarded }
    }

    /// Where it is; `None` for loopback.
    pub(crate) fn address(self) -> Option<IpAddr> {
        self.network.map(|Network(octets)| IpAddr::from(octets).to_canonical())
    }

    /// `None` for loopback, which is not counted where it stands for the clients of an undeclared proxy.
    pub(crate) fn remote(address: Option<IpAddr>) -> Option<Self> {
        Some(Guesser::new(address, false)).filter(|guesser| guesser.network.is_some())
    }
}

impl GuessLimiter {
    /// Nobody has guessed yet.
    pub(crate) fn new(limit: Limit) -> Self {
        GuessLimiter { limit, wrong: DashMap::new() }
    }

    /// Whether a guess may be compared at `now` milliseconds.
    pub(crate) fn check(&self, guesser: Guesser, now: u64) -> Result<(), TooMany> {
        let Some(wrong) = self.wrong.get(&guesser) else {
            return Ok(());
        };
        match wrong.charge(0, PER_SECOND, now) {
            Duration::ZERO => Ok(()),
            retry_after => Err(TooMany { limit: self.limit, retry_after }),
        }
    }

    /// Counts a wrong guess at `now` milliseconds.
    pub(crate) fn count_wrong(&self, guesser: Guesser, now: u64) {
        self.wrong.entry(guesser).or_default().charge(1, PER_SECOND, now);
    }

    /// Forgets guessers whose wrong guesses are long ago.
    pub(crate) fn sweep(&self, now: u64) {
        self.wrong.retain(|_, wrong| !wrong.is_rested(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Guesser {
        Guesser::new(Some(address.parse().unwrap()), false)
    }

    #[test]
    fn wrong_guesses_are_bounded_and_right_ones_are_not() {
        let guesses = GuessLimiter::new(Limit::WrongAdminTokens);
        let here = |now| guesses.check(at("192.0.2.1"), now);
        assert!((0..1000).all(|_| here(0).is_ok()));
        let guess = |now| here(now).map(|()| guesses.count_wrong(at("192.0.2.1"), now));
        assert_eq!((0..1000).filter(|_| guess(0).is_ok()).count(), 51);
        assert_eq!(
            here(0),
            Err(TooMany { limit: Limit::WrongAdminTokens, retry_after: Duration::from_millis(200) })
        );
        assert!(guess(199).is_err() && guess(200).is_ok() && guess(200).is_err());
        // In a minute of trying, as many as a minute has.
        assert_eq!((200..=60_200).filter(|now| guess(*now).is_ok()).count(), 300);
    }

    #[test]
    fn a_household_guesses_as_one_and_so_does_loopback_but_not_a_proxy_there() {
        let proxied = |address: &str| Guesser::new(Some(address.parse().unwrap()), true);
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
    fn who_has_not_guessed_for_long_is_forgotten() {
        let guesses = GuessLimiter::new(Limit::WrongAdminTokens);
        guesses.count_wrong(at("192.0.2.1"), 0);
        guesses.sweep(199);
        assert_eq!(guesses.wrong.len(), 1);
        guesses.sweep(200);
        assert!(guesses.wrong.is_empty());
    }
}
