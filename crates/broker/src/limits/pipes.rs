//! The pipes of all keys, for the limits that they share.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::config::PipeLimits;
use peerbroker_core::rate_limit::RateLimit;
use peerbroker_core::vocabulary::{AddressPrefix, Limit};

/// The pipes of all keys.
#[derive(Default)]
pub struct PipeTotals {
    open: AtomicUsize,
    /// The ends of each address that has any, loopback aside.
    addresses: Mutex<HashMap<AddressPrefix, usize>>,
    /// The bytes of all pipes.
    pub(crate) rate: RateLimit,
}

/// Counts a pipe until the drop.
pub(crate) struct PipePermit(Arc<PipeTotals>);

/// Counts an end of an address until the drop.
pub(crate) struct EndPermit {
    totals: Arc<PipeTotals>,
    /// `None` for loopback.
    address: Option<AddressPrefix>,
}

impl PipeTotals {
    /// The number of pipes, waiting ones included.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    pub(crate) fn permit(self: &Arc<Self>, limits: &PipeLimits) -> Result<PipePermit, Limit> {
        let fits = |open: usize| (open < limits.total).then_some(open + 1);
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).map_err(|_| Limit::Pipes)?;
        Ok(PipePermit(Arc::clone(self)))
    }

    pub(crate) fn permit_end(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        limits: &PipeLimits,
    ) -> Result<EndPermit, Limit> {
        let address = AddressPrefix::of_remote(address);
        if let Some(address) = address {
            let mut addresses = self.addresses.lock();
            let ends = addresses.entry(address).or_default();
            if limits.per_address > 0 && *ends >= limits.per_address {
                return Err(Limit::PipesPerAddress);
            }
            *ends += 1;
        }
        Ok(EndPermit { totals: Arc::clone(self), address })
    }
}

impl Drop for PipePermit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
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
