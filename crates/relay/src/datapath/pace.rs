//! Rates of datagrams: the pace at which one connection is read, and the limit of addresses that have proved
//! nothing yet.

use std::net::IpAddr;
use std::time::Duration;

use dashmap::DashMap;
use peerbroker_core::clock;
use peerbroker_core::rate_limit::RateLimit;
use peerbroker_core::vocabulary::AddressPrefix;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

/// Charged for each message or datagram besides its bytes, by relay and TURN alike: its headers of Ethernet,
/// IP, UDP and TURN, and the work for each message.
const MESSAGE_OVERHEAD: u64 = 60;

/// Messages per second of a connection whose client has proved nothing; bursts of ten times that. An
/// allocation takes three. Chromium sends up to twenty checks a second until the relay has answered one. One
/// connection alone cannot use up the budget of its address ([`UnverifiedSourceLimiter`]).
const UNVERIFIED_PER_SECOND: u32 = 10;

/// Messages that are handled before other connections get their turn.
const MESSAGES_PER_TURN: u32 = 32;

/// The bytes that messages or datagrams are charged as.
pub(crate) fn cost(bytes: usize, messages: u64) -> u32 {
    u32::try_from(bytes as u64 + MESSAGE_OVERHEAD * messages).unwrap_or(u32::MAX)
}

/// The sender of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// A sender that has proved nothing.
    Unverified,
    /// A client that has proved itself, with its rate limit; 0 means no limit.
    Client { bytes_per_second: u32 },
}

/// Charges the messages of one connection.
pub(crate) struct Pace {
    opened: Instant,
    rate: RateLimit,
    handled: u32,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Pace { opened: Instant::now(), rate: RateLimit::default(), handled: 0 }
    }

    /// Charges a message that was read. Waits until the next one may be read.
    pub(crate) async fn charge(&mut self, bytes: usize, sender: Sender) -> Result<(), Duration> {
        // A time line of its own, which begins with the connection.
        let now = clock::Instant::default() + self.opened.elapsed();
        match sender {
            Sender::Unverified => self.rate.try_charge(1, UNVERIFIED_PER_SECOND, now)?,
            Sender::Client { bytes_per_second } => {
                let pause = self.rate.charge(cost(bytes, 1), bytes_per_second, now);
                if !pause.is_zero() {
                    sleep(pause).await;
                }
            }
        }
        self.handled = self.handled.wrapping_add(1);
        if self.handled.is_multiple_of(MESSAGES_PER_TURN) {
            yield_now().await;
        }
        Ok(())
    }
}

/// Datagrams per second; bursts of ten times as many. A page that opens thirty calls at once sends some 500.
const PER_SECOND: u32 = 100;

/// Most addresses that are remembered. A flood from more than these is dropped.
const MAX: usize = 100_000;

/// Counts datagrams of senders that have proved nothing, by address.
#[derive(Default)]
pub(crate) struct UnverifiedSourceLimiter(DashMap<AddressPrefix, RateLimit>);

impl UnverifiedSourceLimiter {
    /// Counts a datagram at `now` milliseconds. False if it is too many.
    pub(crate) fn allows(&self, address: IpAddr, now: clock::Instant) -> bool {
        let prefix = AddressPrefix::of(address);
        if let Some(known) = self.0.get(&prefix) {
            return known.try_charge(1, PER_SECOND, now).is_ok();
        }
        self.0.len() < MAX && self.0.entry(prefix).or_default().try_charge(1, PER_SECOND, now).is_ok()
    }

    /// Forgets addresses whose full burst is available again.
    pub(crate) fn sweep(&self, now: clock::Instant) {
        self.0.retain(|_, rate| !rate.is_rested(now));
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_is_read_at_its_rate_and_pays_for_each_message() {
        let client = Sender::Client { bytes_per_second: 6000 };
        for (bytes, messages) in [(0, 2000), (60, 1000), (540, 200)] {
            let mut pace = Pace::new();
            let began = Instant::now();
            for _ in 0..messages {
                pace.charge(bytes, client).await.unwrap();
            }
            // The burst has ten seconds, and these are twenty.
            let time = began.elapsed();
            assert!((9900..=10_100).contains(&time.as_millis()), "{messages} of {bytes} take {time:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_over_its_budget_is_not_read_any_more() {
        let mut pace = Pace::new();
        for _ in 0..100 {
            assert_eq!(pace.charge(20, Sender::Unverified).await, Ok(()));
        }
        assert!(pace.charge(20, Sender::Unverified).await.is_err());
        sleep(Duration::from_millis(100)).await;
        assert_eq!(pace.charge(20, Sender::Unverified).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn others_have_their_turn_however_small_the_messages_are() {
        let mut handled = 0;
        let flood = async {
            let mut pace = Pace::new();
            for _ in 0..1000 {
                handled += 1;
                pace.charge(0, Sender::Client { bytes_per_second: 0 }).await.unwrap();
            }
        };
        // Ends when the flood yields for the first time.
        assert!(timeout(Duration::ZERO, flood).await.is_err());
        assert_eq!(handled, MESSAGES_PER_TURN);
    }

    #[test]
    fn a_stranger_has_a_rate_limit_of_its_own_and_is_forgotten() {
        let limiter = UnverifiedSourceLimiter::default();
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse().unwrap());
        let at = clock::Instant::from_millis;
        assert_eq!((0..2000).filter(|_| limiter.allows(one, at(0))).count(), 1000);
        assert!(limiter.allows(other, at(0)));
        assert!(!limiter.allows(one, at(9)) && limiter.allows(one, at(10)));
        limiter.sweep(at(10_010));
        assert!(limiter.0.is_empty());
    }
}
