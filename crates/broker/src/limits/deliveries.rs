//! The budget of deliveries that the clients of a key share, and the share of each address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use peerbroker_core::clock::Instant;
use peerbroker_core::rate_limit::RateLimit;
use peerbroker_core::vocabulary::AddressPrefix;

/// Every address may cause one of so many parts of the deliveries of a key. Beyond that, it leaves half of the key's burst to others.
const ADDRESS_PART: u32 = 10;

/// The rate limit of the deliveries that all clients of a key cause. Each call gets its rate, which can change.
#[derive(Default)]
pub struct Deliveries {
    all: RateLimit,
    /// The deliveries that the clients of each address cause, loopback aside.
    addresses: Mutex<HashMap<AddressPrefix, Arc<RateLimit>>>,
}

/// The account of an address. `None` for loopback.
pub type AddressAccount = Option<Arc<RateLimit>>;

impl Deliveries {
    /// The account of the address of a client.
    pub fn account(&self, address: Option<IpAddr>) -> AddressAccount {
        let address = AddressPrefix::of_remote(address)?;
        Some(Arc::clone(self.addresses.lock().entry(address).or_default()))
    }

    /// Forgets addresses without clients and with a full burst.
    pub fn sweep(&self, now: Instant) {
        let is_used = |account: &Arc<RateLimit>| Arc::strong_count(account) > 1 || !account.is_rested(now);
        self.addresses.lock().retain(|_, account| is_used(account));
    }

    /// Charges deliveries, or none of them: then it returns how much too early they are.
    pub fn try_charge(
        &self,
        account: &AddressAccount,
        count: u32,
        per_second: u32,
        now: Instant,
    ) -> Result<(), Duration> {
        match is_within_part(account, per_second, now) {
            true => self.all.try_charge(count, per_second, now),
            false => self.all.try_charge_half(count, per_second, now),
        }?;
        charge_account(account, count, per_second, now);
        Ok(())
    }

    /// Charges deliveries on credit, to a client that [owes](Self::owed) nothing.
    pub fn charge(&self, account: &AddressAccount, count: u32, per_second: u32, now: Instant) {
        self.all.charge(count, per_second, now);
        charge_account(account, count, per_second, now);
    }

    /// Charges deliveries that can neither be refused nor come later. Others are not refused for them.
    pub fn charge_inevitable(&self, account: &AddressAccount, count: u32, per_second: u32, now: Instant) {
        let _ = self.all.try_charge_half(count, per_second, now);
        charge_account(account, count, per_second, now);
    }

    /// Time until the client of an address has paid for what it had on credit.
    pub fn owed(&self, account: &AddressAccount, per_second: u32, now: Instant) -> Duration {
        match is_within_part(account, per_second, now) {
            true => self.all.charge(0, per_second, now),
            false => self.all.until_half(now),
        }
    }
}

/// True if an address has caused no more than its part.
fn is_within_part(account: &AddressAccount, per_second: u32, now: Instant) -> bool {
    let of_address = |account: &Arc<RateLimit>| account.charge(0, per_second.div_ceil(ADDRESS_PART), now);
    account.as_ref().is_none_or(|account| of_address(account).is_zero())
}

fn charge_account(account: &AddressAccount, count: u32, per_second: u32, now: Instant) {
    if let Some(account) = account {
        account.charge(count, per_second.div_ceil(ADDRESS_PART), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 10;
    const NOW: Instant = Instant::from_millis(5000);

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn an_address_beyond_its_part_waits_for_half_of_the_burst_and_others_for_none() {
        let deliveries = Deliveries::default();
        let [crowd, other] = [1, 2].map(|last| deliveries.account(address(last)));
        deliveries.charge(&crowd, 60, RATE, NOW);
        assert_eq!(deliveries.owed(&crowd, RATE, NOW), Duration::from_secs(1));
        assert_eq!(deliveries.try_charge(&crowd, 1, RATE, NOW), Err(Duration::from_millis(1100)));
        assert_eq!(deliveries.owed(&other, RATE, NOW), Duration::ZERO);
        assert!(deliveries.try_charge(&other, 10, RATE, NOW).is_ok());
        deliveries.charge_inevitable(&crowd, 500, RATE, NOW);
        assert_eq!(deliveries.try_charge(&other, 30, RATE, NOW), Ok(()));
    }

    #[test]
    fn loopback_has_no_part() {
        let deliveries = Deliveries::default();
        let local = deliveries.account(Some(IpAddr::from([127, 0, 0, 1])));
        assert!(local.is_none() && deliveries.try_charge(&local, 100, RATE, NOW).is_ok());
        assert!(deliveries.try_charge(&local, 1, RATE, NOW).is_err());
    }

    #[test]
    fn an_address_without_clients_is_forgotten_once_its_burst_is_full() {
        let deliveries = Deliveries::default();
        let account = deliveries.account(address(1));
        deliveries.charge_inevitable(&account, 5, RATE, NOW);
        for (account, at, known) in [(account, 60_000, 1), (None, 9_999, 1), (None, 10_000, 0)] {
            deliveries.sweep(Instant::from_millis(at));
            assert_eq!(deliveries.addresses.lock().len(), known, "{at}");
            drop(account);
        }
    }
}
