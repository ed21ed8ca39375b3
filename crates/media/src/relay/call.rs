//! A call, as all threads share it: its session, its charges, its shares, and the names of its clients.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use peerbroker_core::media_api::{CandidateNudge, Parties, RelayLimits};
use peerbroker_core::rate_limit::RateLimit;
use peerbroker_core::wire::{ApiKey, RealmKind};

use super::endpoint::Endpoint;
use super::load::{Load, Ranking};
use super::session::{End, Outcome, Session};
use crate::datapath::pace::MESSAGE_OVERHEAD;
use crate::datapath::shares::Share;

/// Checks and answers per second that a side of a call relays for free, so that a call above its limit of bytes survives.
const FREE_CHECKS: u32 = 5;

/// Stands between names, which have no control characters.
const BETWEEN: char = '\0';

/// The state that the calls of one key share.
#[derive(Default)]
pub(super) struct OfKey {
    rate: RateLimit,
    /// The order in which its calls give way.
    pub(super) ranking: Mutex<Ranking<u32>>,
}

/// One call.
pub(super) struct Call {
    pub(super) number: u32,
    pub(super) session: Mutex<Session>,
    /// Those of its clients, if they can be told to come.
    names: Option<Box<str>>,
    rate: RateLimit,
    /// Of the checks of the offerer and of the answerer.
    checks: [RateLimit; 2],
    share: Share<OfKey>,
    pub(super) key: ApiKey,
    load: Load,
    has_joined: AtomicBool,
    has_carried: AtomicBool,
}

impl Call {
    pub(super) fn new(
        number: u32,
        session: Session,
        parties: Parties<'_>,
        share: Share<OfKey>,
        load: Load,
    ) -> Self {
        Call {
            number,
            session: Mutex::new(session),
            names: names(parties),
            rate: RateLimit::default(),
            checks: Default::default(),
            share,
            key: parties.key.clone(),
            load,
            has_joined: AtomicBool::new(false),
            has_carried: AtomicBool::new(false),
        }
    }

    /// Charges the call and its key for datagrams, or neither of them. False if that is too much.
    pub(super) fn charge(&self, packets: u64, bytes: usize, limits: &RelayLimits, now: u64) -> bool {
        let count = u32::try_from(bytes as u64 + MESSAGE_OVERHEAD as u64 * packets).unwrap_or(u32::MAX);
        if self.rate.try_charge(count, limits.bytes_per_second, now).is_err() {
            return false;
        }
        let fits = self.share.rate.try_charge(count, limits.key_bytes_per_second, now).is_ok();
        if !fits {
            self.rate.refund(count, limits.bytes_per_second);
        }
        fits
    }

    /// Charges datagrams from one side to the other, except a few checks per second. Drops those above the limit, and counts them.
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
            && self.session.lock().is_joined()
            && !self.has_joined.swap(true, Ordering::Relaxed)
    }

    /// Tells a client to come, if it can be told.
    pub(super) fn nudge(&self, whom: End, times: u8) -> Option<CandidateNudge> {
        let mut ids = self.names.as_ref()?.splitn(3, BETWEEN).map(Box::from);
        let (offerer, answerer, connection) = (ids.next()?, ids.next()?, ids.next()?);
        let (whom, other) = match whom {
            End::Offerer => (offerer, answerer),
            End::Answerer => (answerer, offerer),
        };
        Some(CandidateNudge { key: self.key.clone(), whom, other, connection, times })
    }

    /// Its clients, if they can be told of its end.
    pub(super) fn clients(&self) -> Option<[Box<str>; 2]> {
        let mut ids = self.names.as_ref()?.split(BETWEEN).map(Box::from);
        Some([ids.next()?, ids.next()?])
    }

    /// True if it is carried now for the first time.
    pub(super) fn carries(&self) -> bool {
        !self.has_carried.load(Ordering::Relaxed) && !self.has_carried.swap(true, Ordering::Relaxed)
    }
}

/// The ids of the offerer, of the answerer and of the connection in one text, because there are many calls. `None` in rooms,
/// which have no message for a candidate.
fn names(Parties { realm, offerer, answerer, connection, .. }: Parties<'_>) -> Option<Box<str>> {
    let connection = connection.filter(|_| realm == RealmKind::PeerJs)?;
    Some(format!("{offerer}{BETWEEN}{answerer}{BETWEEN}{connection}").into())
}
