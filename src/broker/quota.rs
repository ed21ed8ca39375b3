use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How many clients a key has and may have, in all its realms.
#[derive(Debug)]
pub struct ClientQuota {
    taken: AtomicUsize,
    limit: AtomicUsize,
    revoked: AtomicBool,
}

impl ClientQuota {
    /// Nobody yet.
    pub fn new(limit: usize) -> Self {
        ClientQuota {
            taken: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit),
            revoked: AtomicBool::new(false),
        }
    }

    /// Changes the limit. Clients that are here stay.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::SeqCst);
    }

    /// Admits nobody any more.
    pub fn revoke(&self) {
        self.revoked.store(true, Ordering::SeqCst);
    }

    /// The most clients.
    pub(super) fn limit(&self) -> usize {
        self.limit.load(Ordering::SeqCst)
    }

    /// How many clients have an id.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::SeqCst)
    }

    /// Counts one client more. Says whether it was the last that fits; `None` if it does not fit.
    pub(super) fn acquire(&self) -> Option<Acquired> {
        let limit = self.limit.load(Ordering::SeqCst);
        let fits = |taken: usize| (taken < limit).then_some(taken + 1);
        let before = self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fits).ok()?;
        Some(Acquired { used_up: (before + 1 == limit).then_some(limit) })
    }

    /// Counts one client less.
    pub(super) fn release(&self) {
        self.taken.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A client was counted.
pub(super) struct Acquired {
    /// The limit, if it is reached now.
    pub(super) used_up: Option<usize>,
}
