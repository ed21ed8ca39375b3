//! A call, as all threads share it: its session, its charges, its shares, and the names of its clients.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use parking_lot::Mutex;
use peerbroker_core::clock::Instant;
use peerbroker_core::rate_limit::RateLimit;
use peerbroker_core::vocabulary::{ApiKey, expected};
use peerbroker_media_api::{
    CallRealm, CandidateNudge, Carried, EndedCalls, MediaLimits, Parties, RelayedOver,
};

use super::endpoint::Transport;
use super::load::{Load, Ranking};
use super::session::{CallSide, IceSession, Outcome};
use crate::datapath::of_key::KeyTraffic;
use crate::datapath::pace::cost;
use crate::datapath::shares::Share;

/// Checks and answers per second that a side of a call relays for free, so that a call above its limit of
/// bytes survives.
const FREE_CHECKS: u32 = 5;

/// Stands between names, which have no control characters.
const BETWEEN: &str = "\0";

/// The state that the calls of one key share.
#[derive(Default)]
pub(super) struct OfKey {
    pub(super) traffic: KeyTraffic,
    /// The order in which its calls give way.
    pub(super) ranking: Mutex<Ranking<u32>>,
}

/// A call through the relay.
pub(super) struct Call {
    pub(super) number: u32,
    pub(super) session: Mutex<IceSession>,
    /// The ids of the offerer, of the answerer and of the connection in one text, because there are many
    /// calls.
    names: Box<str>,
    realm: CallRealm,
    pub(super) only_relayed: bool,
    rate: RateLimit,
    /// Of the checks of the offerer and of the answerer.
    checks: [RateLimit; 2],
    pub(super) share: Share<OfKey>,
    pub(super) key: ApiKey,
    load: Load,
    /// The bytes that it has carried, and the time of the first of them.
    bytes: AtomicU64,
    carried_since: AtomicU64,
    /// A bit for each transport that it was carried over; none if it was not.
    over: AtomicU8,
}

impl Call {
    pub(super) fn new(
        number: u32,
        session: IceSession,
        parties: Parties<'_>,
        share: Share<OfKey>,
        load: Load,
    ) -> Self {
        let names: Vec<&str> =
            [parties.offerer, parties.answerer].into_iter().chain(parties.connection).collect();
        Call {
            number,
            session: Mutex::new(session),
            names: names.join(BETWEEN).into(),
            realm: parties.realm,
            only_relayed: parties.only_relayed,
            rate: RateLimit::default(),
            checks: Default::default(),
            share,
            key: parties.key.clone(),
            load,
            bytes: AtomicU64::new(0),
            carried_since: AtomicU64::new(0),
            over: AtomicU8::new(0),
        }
    }

    /// Charges the call and its key for datagrams, or neither of them. False if that is too much.
    pub(super) fn charge(&self, packets: u64, bytes: usize, limits: &MediaLimits, now: Instant) -> bool {
        let count = cost(bytes, packets);
        let bytes_per_second = self.share.traffic.bytes_per_second(limits.bytes_per_second);
        if self.rate.try_charge(count, bytes_per_second, now).is_err() {
            return false;
        }
        let fits = self.share.traffic.charge(count, now);
        if !fits {
            self.rate.refund(count, bytes_per_second);
        }
        fits
    }

    /// Charges datagrams from one side to the other, except a few checks per second. Drops those above the
    /// limit, and counts them.
    pub(super) fn let_pass(
        &self,
        end: CallSide,
        outcome: &mut Outcome<'_>,
        limits: &MediaLimits,
        now: Instant,
    ) {
        let [offerer, answerer] = &self.checks;
        let free = if end == CallSide::Offerer { offerer } else { answerer };
        let before = outcome.send.len();
        outcome.send.retain(|datagram| {
            datagram.is_own
                || free.try_charge(1, FREE_CHECKS, now).is_ok()
                || self.charge(1, datagram.bytes.len(), limits, now)
        });
        outcome.too_much = (before - outcome.send.len()) as u64;
    }

    /// The load of its client, unless the call was carried and has to stay.
    pub(super) fn weight_unused(&self) -> Option<usize> {
        (self.over.load(Ordering::Relaxed) == 0).then(|| self.load.weight())
    }

    /// Tells a client to come, if it can be told.
    pub(super) fn nudge(&self, whom: CallSide, times: u8) -> Option<CandidateNudge> {
        let Parties { offerer, answerer, connection, .. } = self.parties();
        let connection = connection.filter(|_| self.realm.hears_of_calls)?.into();
        let offerer = offerer.into();
        let answerer = answerer.into();
        let (whom, other) = match whom {
            CallSide::Offerer => (offerer, answerer),
            CallSide::Answerer => (answerer, offerer),
        };
        Some(CandidateNudge { key: self.key.clone(), whom, other, connection, times })
    }

    /// Its clients, if they can be told of its end.
    pub(super) fn clients(&self) -> Option<EndedCalls> {
        let Parties { offerer, answerer, connection, .. } = self.parties();
        connection.filter(|_| self.realm.hears_of_calls)?;
        let mut clients = [offerer.into(), answerer.into()];
        // Either may have called the other.
        clients.sort_unstable();
        Some(EndedCalls { key: self.key.clone(), clients })
    }

    /// Records carried bytes. True if they are the first.
    pub(super) fn carries(&self, bytes: usize, from: Transport, to: Transport, now: Instant) -> bool {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let bit = |transport| match transport {
            Transport::Udp => UDP,
            Transport::Tcp | Transport::BrokerTcp => TCP,
        };
        let over = bit(from) | bit(to);
        if self.over.load(Ordering::Relaxed) & over == over {
            return false;
        }
        let is_first = self.over.fetch_or(over, Ordering::Relaxed) == 0;
        if is_first {
            self.carried_since.store(now.as_millis(), Ordering::Relaxed);
        }
        is_first
    }

    /// The part of it that was carried until its clients were `heard` last, if there is one.
    pub(super) fn carried(&self, heard: Instant) -> Option<Carried> {
        let over = match self.over.load(Ordering::Relaxed) {
            0 => return None,
            UDP => RelayedOver::Udp,
            TCP => RelayedOver::Tcp,
            _ => RelayedOver::Mixed,
        };
        let since = Instant::from_millis(self.carried_since.load(Ordering::Relaxed));
        let bytes = self.bytes.load(Ordering::Relaxed);
        Some(Carried { over, duration: heard.saturating_since(since), bytes })
    }

    /// Its clients.
    pub(super) fn parties(&self) -> Parties<'_> {
        let mut names = self.names.splitn(3, BETWEEN);
        let mut name = || expected(names.next().ok_or(&self.names), "two names");
        let offerer = name();
        let answerer = name();
        let key = &self.key;
        let realm = self.realm;
        let only_relayed = self.only_relayed;
        Parties { key, realm, offerer, answerer, connection: names.next(), only_relayed }
    }
}

/// The bits of the transports.
const UDP: u8 = 1;
const TCP: u8 = 2;
