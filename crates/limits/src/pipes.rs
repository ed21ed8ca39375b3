//! The pipes of all keys, for the limits that they share.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use super::shares::{Place, Places, SharedRate};
use peerbroker_config::PipeLimits;
use peerbroker_core::vocabulary::{AddressPrefix, ApiKey, Limit};

/// The pipes of all keys.
#[derive(Default)]
pub struct PipeTotals {
    open: Arc<Places<AddressPrefix>>,
    /// The ends of each address that has any, loopback aside.
    addresses: Mutex<HashMap<AddressPrefix, usize>>,
    /// The bytes of all pipes, shared by the addresses of each key.
    pub rate: SharedRate<(ApiKey, Option<AddressPrefix>)>,
}

/// Counts an end of an address until the drop.
pub struct EndPermit {
    totals: Arc<PipeTotals>,
    /// `None` for loopback.
    address: Option<AddressPrefix>,
}

impl PipeTotals {
    /// The number of pipes, waiting ones included.
    pub fn open(&self) -> usize {
        self.open.taken()
    }

    /// Counts a pipe whose first end has this address, until the drop.
    pub fn permit(
        &self,
        address: Option<IpAddr>,
        limits: &PipeLimits,
    ) -> Result<Place<AddressPrefix>, Limit> {
        self.open.take(AddressPrefix::of_remote(address), limits.total).ok_or(Limit::Pipes)
    }

    /// Counts an end of an address until the drop, if it may have one more.
    pub fn permit_end(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        limits: &PipeLimits,
    ) -> Result<EndPermit, Limit> {
        let address = AddressPrefix::of_remote(address);
        if let Some(address) = address {
            let mut addresses = self.addresses.lock();
            let ends = addresses.entry(address).or_default();
            if *ends >= limits.per_address() {
                return Err(Limit::PipesPerAddress);
            }
            *ends += 1;
        }
        Ok(EndPermit { totals: Arc::clone(self), address })
    }
}

impl Drop for EndPermit {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut addresses = self.totals.addresses.lock();
        if let Some(ends) = addresses.get_mut(&address) {
            *ends -= 1;
            if *ends == 0 {
                addresses.remove(&address);
            }
        }
    }
}
