//! Ends of this node whose pipes are on other nodes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use peerbroker_core::vocabulary::AddressPrefix;
use peerbroker_limits::{EndPermit, Place};

/// The bridges of a key.
#[derive(Default)]
pub(super) struct Bridges(Mutex<BridgesState>);

#[derive(Default)]
struct BridgesState {
    last: u64,
    open: HashMap<u64, (Option<IpAddr>, watch::Sender<bool>)>,
}

/// The connection between an end of this node and its pipe on another one. Counted until the drop.
pub struct Bridge {
    bridges: Arc<Bridges>,
    number: u64,
    is_over: watch::Receiver<bool>,
    _permits: (Place<AddressPrefix>, EndPermit),
}

impl Bridges {
    pub(super) fn open(
        this: &Arc<Self>,
        address: Option<IpAddr>,
        permits: (Place<AddressPrefix>, EndPermit),
    ) -> Bridge {
        let (sender, is_over) = watch::channel(false);
        let state = &mut *this.0.lock();
        state.last += 1;
        state.open.insert(state.last, (address, sender));
        Bridge { bridges: Arc::clone(this), number: state.last, is_over, _permits: permits }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().open.is_empty()
    }

    /// Ends those of addresses that fit.
    pub(super) fn end(&self, whom: &dyn Fn(Option<IpAddr>) -> bool) {
        for (address, sender) in self.0.lock().open.values() {
            if whom(*address) {
                sender.send_replace(true);
            }
        }
    }
}

impl Bridge {
    /// Waits until the broker ends it, as for a ban, or because it stops.
    pub async fn ended(&mut self) {
        // Without a sender, nobody ends it any more.
        let _ = self.is_over.wait_for(|is_over| *is_over).await;
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.bridges.0.lock().open.remove(&self.number);
    }
}
