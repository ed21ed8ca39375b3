//! The pace at which one connection is read. TCP slows its client down.

use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use crate::rate_limit::RateLimit;

/// Charged for each message or datagram beside its bytes, by relay and TURN alike: its headers of Ethernet, IP, UDP and TURN, and
/// the work that any message makes.
pub(crate) const MESSAGE_OVERHEAD: usize = 60;

/// Messages per second of a connection whose client has proved nothing; bursts of ten times that. An allocation takes three.
/// Chromium sends up to twenty checks a second until the relay has answered one. One connection alone cannot use up the
/// budget of its address ([`Strangers`](crate::limits::Strangers)).
const OF_STRANGER: u32 = 10;

/// Messages that are handled before other connections have their turn.
const AT_ONCE: u32 = 32;

/// The sender of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// Nobody that is known.
    Stranger,
    /// A client that has proved itself, with its rate limit; 0 means no limit.
    Client { bytes_per_second: u32 },
}

/// A stranger has sent more than strangers may.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Flood;

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
    pub(crate) async fn charge(&mut self, bytes: usize, sender: Sender) -> Result<(), Flood> {
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        match sender {
            Sender::Stranger if !self.rate.try_charge(1, OF_STRANGER, now) => return Err(Flood),
            Sender::Stranger => {}
            Sender::Client { bytes_per_second } => {
                let cost = u32::try_from(bytes + MESSAGE_OVERHEAD).unwrap_or(u32::MAX);
                let pause = self.rate.charge(cost, bytes_per_second, now);
                if !pause.is_zero() {
                    sleep(pause).await;
                }
            }
        }
        self.handled = self.handled.wrapping_add(1);
        if self.handled.is_multiple_of(AT_ONCE) {
            yield_now().await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
            assert_eq!(pace.charge(20, Sender::Stranger).await, Ok(()));
        }
        assert_eq!(pace.charge(20, Sender::Stranger).await, Err(Flood));
        sleep(Duration::from_millis(100)).await;
        assert_eq!(pace.charge(20, Sender::Stranger).await, Ok(()));
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
        assert_eq!(handled, AT_ONCE);
    }
}
