//! Limits per address: of connections, of guesses at a secret, and of keys that it may register within 24
//! hours.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;

use peerbroker_config::LiveConfig;
use peerbroker_core::clock::Instant;
use peerbroker_core::rate_limit::RateLimit;
use peerbroker_core::vocabulary::{AddressPrefix, Limit};

/// The unit by which limits count an address, as a text. A client without an address has one as well.
pub fn address_text(address: Option<IpAddr>) -> String {
    let prefix = address.map(|address| IpAddr::from(AddressPrefix::of(address).0).to_canonical());
    prefix.map_or_else(|| "none".to_owned(), |prefix| prefix.to_string())
}

/// An address has exceeded a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitExceeded {
    /// The limit that was exceeded.
    pub limit: Limit,
    /// The time after which it is worth another try.
    pub retry_after: Duration,
}

impl LimitExceeded {
    /// `retry_after` in seconds for the `Retry-After` header: rounded up, and at least 1.
    pub fn seconds(self) -> u64 {
        let begun = u64::from(self.retry_after.subsec_nanos() > 0);
        (self.retry_after.as_secs() + begun).max(1)
    }
}

/// Counts the connections of each address, and limits how fast it opens new ones.
pub struct ConnectionLimiter {
    config: LiveConfig,
    known: DashMap<AddressPrefix, AddressUse>,
}

#[derive(Default)]
struct AddressUse {
    open: u32,
    opens: RateLimit,
    /// WebSockets and streams that were opened, and connections that were refused.
    opened: u32,
    hits: u32,
}

/// The use that an address makes of the server, since it was last forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressReport {
    /// The address; of IPv6, the first one of its /64.
    pub address: IpAddr,
    /// Open connections.
    pub connections: u32,
    /// WebSockets and streams that it has opened.
    pub opened: u32,
    /// Connections that a limit of addresses has refused.
    pub limit_hits: u32,
}

/// Counts one connection towards the limit of its address until the last clone is dropped.
#[derive(Clone)]
pub struct ConnectionPermit(Arc<PermitInner>);

struct PermitInner {
    addresses: Arc<ConnectionLimiter>,
    prefix: AddressPrefix,
}

impl ConnectionPermit {
    /// The unit of its address.
    pub fn prefix(&self) -> AddressPrefix {
        self.0.prefix
    }
}

impl ConnectionLimiter {
    /// Nobody is connected yet.
    pub fn new(config: LiveConfig) -> Arc<Self> {
        Arc::new(ConnectionLimiter { config, known: DashMap::new() })
    }

    /// Counts a new connection. Returns `None` for loopback, which is not limited: it is a local proxy or
    /// the operator.
    pub fn connect(
        self: &Arc<Self>,
        address: Option<IpAddr>,
    ) -> Result<Option<ConnectionPermit>, LimitExceeded> {
        let Some(prefix) = AddressPrefix::of_remote(address) else { return Ok(None) };
        let mut known = self.known.entry(prefix).or_default();
        self.acquire(prefix, &mut known).map(Some)
    }

    /// Counts a new WebSocket or stream at `now`. It shares the permit of its `connection`, unless a
    /// proxy names another address.
    pub fn open(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        now: Instant,
        connection: Option<&ConnectionPermit>,
    ) -> Result<Option<ConnectionPermit>, LimitExceeded> {
        let Some(prefix) = AddressPrefix::of_remote(address) else { return Ok(None) };
        let mut known = self.known.entry(prefix).or_default();
        let permit = match connection.filter(|ConnectionPermit(inner)| inner.prefix == prefix) {
            Some(permit) => permit.clone(),
            None => self.acquire(prefix, &mut known)?,
        };
        // A new permit may be dropped below, which locks `known` again.
        let spent = known.opens.try_charge(1, self.config.load().address_limits.opens_per_second, now);
        let count = if spent.is_ok() { &mut known.opened } else { &mut known.hits };
        *count = count.saturating_add(1);
        drop(known);
        spent.map_err(|retry_after| LimitExceeded { limit: Limit::OpensPerSecond, retry_after })?;
        Ok(Some(permit))
    }

    fn acquire(
        self: &Arc<Self>,
        prefix: AddressPrefix,
        known: &mut AddressUse,
    ) -> Result<ConnectionPermit, LimitExceeded> {
        let max = self.config.load().address_limits.connections;
        if max > 0 && known.open >= max {
            known.hits = known.hits.saturating_add(1);
            let retry_after = Duration::from_secs(10);
            return Err(LimitExceeded { limit: Limit::ConnectionsPerAddress, retry_after });
        }
        known.open += 1;
        Ok(ConnectionPermit(Arc::new(PermitInner { addresses: Arc::clone(self), prefix })))
    }

    /// The busiest `most` of the addresses whose texts `fits`: first those that reach limits, then those with
    /// the most connections. Loopback is not among them.
    pub fn busiest(&self, most: usize, fits: impl Fn(&str) -> bool) -> Vec<AddressReport> {
        let report = |prefix: &AddressPrefix, known: &AddressUse| AddressReport {
            address: IpAddr::from(prefix.0).to_canonical(),
            connections: known.open,
            opened: known.opened,
            limit_hits: known.hits,
        };
        let all = self.known.iter().map(|known| report(known.key(), known.value()));
        let mut all: Vec<_> = all.filter(|report| fits(&report.address.to_string())).collect();
        all.sort_unstable_by_key(|report| Reverse((report.limit_hits, report.connections, report.opened)));
        all.truncate(most);
        all
    }

    /// Forgets addresses that have no connection and a full burst.
    pub fn sweep(&self, now: Instant) {
        self.known.retain(|_, known| known.open > 0 || !known.opens.is_rested(now));
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.known.len()
    }
}

impl Drop for PermitInner {
    fn drop(&mut self) {
        if let Some(mut known) = self.addresses.known.get_mut(&self.prefix) {
            known.open = known.open.saturating_sub(1);
        }
    }
}

/// Wrong guesses per second; bursts of ten times as many. A class of 30 behind one address stays below that
/// even if everybody mistypes a room code every six seconds.
const PER_SECOND: u32 = 5;

/// Counts recent wrong guesses and limits their rate.
pub struct GuessLimiter {
    limit: Limit,
    wrong: DashMap<GuessSource, RateLimit>,
}

/// An address, or all clients of a proxy at that address. So guesses through a proxy do not count for an
/// operator who connects directly.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct GuessSource {
    /// `None` for loopback, where a program can choose from 16 million addresses.
    prefix: Option<AddressPrefix>,
    forwarded: bool,
}

impl GuessSource {
    /// The source of a request, which a trusted proxy may have forwarded.
    pub fn new(address: Option<IpAddr>, forwarded: bool) -> Self {
        GuessSource { prefix: AddressPrefix::of_remote(address), forwarded }
    }

    /// The address; `None` for loopback.
    pub fn address(self) -> Option<IpAddr> {
        self.prefix.map(|AddressPrefix(octets)| IpAddr::from(octets).to_canonical())
    }

    /// A source that is not loopback. Use this where loopback may be an undeclared proxy of all clients.
    pub fn remote(address: Option<IpAddr>) -> Option<Self> {
        Some(GuessSource::new(address, false)).filter(|source| source.prefix.is_some())
    }
}

impl GuessLimiter {
    /// A limiter without guesses. `limit` names it in errors and events.
    pub fn new(limit: Limit) -> Self {
        GuessLimiter { limit, wrong: DashMap::new() }
    }

    /// Checks whether a source may guess at `now`.
    pub fn check(&self, source: GuessSource, now: Instant) -> Result<(), LimitExceeded> {
        match self.wrong.get(&source).map_or(Duration::ZERO, |wrong| wrong.charge(0, PER_SECOND, now)) {
            Duration::ZERO => Ok(()),
            retry_after => Err(LimitExceeded { limit: self.limit, retry_after }),
        }
    }

    /// Counts a wrong guess at `now`.
    pub fn count_wrong(&self, source: GuessSource, now: Instant) {
        self.wrong.entry(source).or_default().charge(1, PER_SECOND, now);
    }

    /// Forgets sources whose full burst is available again.
    pub fn sweep(&self, now: Instant) {
        self.wrong.retain(|_, wrong| !wrong.is_rested(now));
    }
}

/// Milliseconds.
const DAY: u64 = 24 * 60 * 60 * 1000;

/// Limits how many keys each address registers within 24 hours.
///
/// Unlike connection limits, this limit includes loopback and clients without an address: behind a proxy that
/// the server does not know, all clients seem to be there.
pub struct SignupLimiter {
    config: LiveConfig,
    /// Times of registrations, oldest first; at most `max` per address.
    signups: DashMap<Option<AddressPrefix>, VecDeque<Instant>>,
}

impl SignupLimiter {
    /// No key was registered yet.
    pub fn new(config: LiveConfig) -> Self {
        SignupLimiter { config, signups: DashMap::new() }
    }

    /// Maximum registrations within 24 hours; 0 means no limit.
    fn max(&self) -> u32 {
        self.config.load().registration.per_day
    }

    /// Checks whether an address may register a key at `now`.
    pub fn check(&self, address: Option<IpAddr>, now: Instant) -> Result<(), LimitExceeded> {
        let max = self.max();
        let signups = self.signups.get_mut(&address.map(AddressPrefix::of));
        let Some(mut signups) = signups.filter(|_| max > 0) else { return Ok(()) };
        signups.retain(|at| is_recent(*at, now));
        match signups.front() {
            Some(oldest) if signups.len() as u64 >= u64::from(max) => Err(LimitExceeded {
                limit: Limit::SignupsPerDay,
                retry_after: oldest.plus_millis(DAY).saturating_since(now),
            }),
            _ => Ok(()),
        }
    }

    /// Counts a registration at `now`.
    pub fn count(&self, address: Option<IpAddr>, now: Instant) {
        if self.max() > 0 {
            self.signups.entry(address.map(AddressPrefix::of)).or_default().push_back(now);
        }
    }

    /// Forgets addresses without a registration in the last 24 hours.
    pub fn sweep(&self, now: Instant) {
        self.signups.retain(|_, signups| signups.back().is_some_and(|at| is_recent(*at, now)));
    }
}

fn is_recent(at: Instant, now: Instant) -> bool {
    now.millis_since(at) < DAY
}
