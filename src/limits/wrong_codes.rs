//! How many wrong room codes one address may try.

use std::net::IpAddr;

use dashmap::DashMap;

use super::Network;
use crate::pace::Pace;

/// Wrong codes of one address a second, for long; ten times as many at once. A class of 30 behind one address
/// stays below that even if everybody mistypes the code every ten seconds. To try all codes of four letters
/// takes 26^4 / 5 seconds, which is 25 hours.
const PER_SECOND: u32 = 5;

/// The addresses that have tried wrong codes a moment ago.
#[derive(Default)]
pub(crate) struct WrongCodes {
    known: DashMap<Network, Pace>,
}

impl WrongCodes {
    /// Whether an address may try a code at `now` milliseconds. Loopback always may, as it may have any number
    /// of connections.
    pub(crate) fn may_try(&self, address: Option<IpAddr>, now: u64) -> bool {
        counted(address)
            .and_then(|network| self.known.get(&network))
            .is_none_or(|pace| pace.has_one(PER_SECOND, now))
    }

    /// Counts a wrong code.
    pub(crate) fn count(&self, address: Option<IpAddr>, now: u64) {
        if let Some(network) = counted(address) {
            // If many try at once, those that are too many gain nothing that lasts.
            let _ = self.known.entry(network).or_default().try_spend_one(PER_SECOND, now);
        }
    }

    /// Forgets the addresses that could do all again.
    pub(crate) fn sweep(&self, now: u64) {
        self.known.retain(|_, pace| !pace.is_rested(now));
    }
}

fn counted(address: Option<IpAddr>) -> Option<Network> {
    address.filter(|address| !address.to_canonical().is_loopback()).map(Network::of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    /// Tries as many wrong codes as it may.
    fn guess(codes: &WrongCodes, address: Option<IpAddr>, now: u64) -> usize {
        let wrong = |_: &usize| codes.may_try(address, now).then(|| codes.count(address, now)).is_some();
        (0..1000).take_while(wrong).count()
    }

    #[test]
    fn an_address_tries_so_many_wrong_codes() {
        let codes = WrongCodes::default();
        assert_eq!(guess(&codes, ip("192.0.2.1"), 0), 50);
        assert_eq!(guess(&codes, ip("192.0.2.2"), 0), 50);
        assert_eq!(guess(&codes, ip("192.0.2.1"), 199), 0);
        assert_eq!(guess(&codes, ip("192.0.2.1"), 200), 1);
        assert_eq!(guess(&codes, ip("192.0.2.1"), 3_600_000), 50);
    }

    #[test]
    fn a_household_is_one_address_and_loopback_none() {
        let codes = WrongCodes::default();
        assert_eq!(guess(&codes, ip("2001:db8::1"), 0), 50);
        assert_eq!(guess(&codes, ip("2001:db8::2"), 0), 0);
        for exempt in [ip("127.0.0.1"), ip("::1"), ip("::ffff:127.0.0.1"), None] {
            assert_eq!(guess(&codes, exempt, 0), 1000, "{exempt:?}");
        }
    }

    #[test]
    fn who_could_do_all_again_is_forgotten() {
        let codes = WrongCodes::default();
        codes.count(ip("192.0.2.1"), 0);
        codes.sweep(199);
        assert_eq!(codes.known.len(), 1);
        codes.sweep(200);
        assert!(codes.known.is_empty());
    }
}
