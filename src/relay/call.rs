//! A call, as all threads share it: its session, what it is charged, and whom it counts for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::endpoint::Endpoint;
use super::load::Load;
use super::pace::MESSAGE_OVERHEAD;
use super::session::{End, Outcome, Session};
use super::shares::Share;
use super::wakes::Named;
use crate::config::RelayLimits;
use crate::rate_limit::RateLimit;

/// Checks and answers per second that a side of a call passes on for free, so that a call above its limit of bytes goes on.
const FREE_CHECKS: u32 = 5;

/// One call.
pub(super) struct Call {
    pub(super) number: u32,
    session: Mutex<Session>,
    /// The clients that can be told to come.
    pub(super) named: Option<Named>,
    rate: RateLimit,
    /// Of the checks of the offerer and of the answerer.
    checks: [RateLimit; 2],
    pub(super) share: Share,
    load: Load,
    has_joined: AtomicBool,
    has_carried: AtomicBool,
}

impl Call {
    pub(super) fn new(number: u32, session: Session, named: Option<Named>, share: Share, load: Load) -> Self {
        Call {
            number,
            session: Mutex::new(session),
            named,
            rate: RateLimit::default(),
            checks: Default::default(),
            share,
            load,
            has_joined: AtomicBool::new(false),
            has_carried: AtomicBool::new(false),
        }
    }

    pub(super) fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Charges the call and its key for datagrams, or neither of them. False if that is too much.
    pub(super) fn charge(&self, packets: u64, bytes: usize, limits: &RelayLimits, now: u64) -> bool {
        let count = u32::try_from(bytes as u64 + MESSAGE_OVERHEAD as u64 * packets).unwrap_or(u32::MAX);
        if !self.rate.try_charge(count, limits.bytes_per_second, now) {
            return false;
        }
        let fits = self.share.rate().try_charge(count, limits.key_bytes_per_second, now);
        if !fits {
            self.rate.refund(count, limits.bytes_per_second);
        }
        fits
    }

    /// Charges what goes on from one side to the other, except a few checks per second. Drops what is too much, and counts it.
    pub(super) fn let_pass(
        &self,
        end: End,
        from: Endpoint,
        outcome: &mut Outcome<'_>,
        limits: &RelayLimits,
        now: u64,
    ) -> u64 {
        let [offerer, answerer] = &self.checks;
        let free = if end == End::Offerer { offerer } else { answerer };
        let before = outcome.send.len();
        outcome.send.retain(|datagram| {
            datagram.to == from
                || free.try_charge_one(FREE_CHECKS, now).is_ok()
                || self.charge(1, datagram.bytes.len(), limits, now)
        });
        (before - outcome.send.len()) as u64
    }

    /// The load of its client, unless the call was carried and has to stay.
    pub(super) fn weight_unused(&self) -> Option<usize> {
        (!self.has_carried.load(Ordering::Relaxed)).then(|| self.load.weight())
    }

    /// True if both of its clients have come now for the first time.
    pub(super) fn joins(&self) -> bool {
        !self.has_joined.load(Ordering::Relaxed)
            && self.session().is_joined()
            && !self.has_joined.swap(true, Ordering::Relaxed)
    }

    /// True if it is carried now for the first time.
    pub(super) fn carries(&self) -> bool {
        !self.has_carried.load(Ordering::Relaxed) && !self.has_carried.swap(true, Ordering::Relaxed)
    }
}
