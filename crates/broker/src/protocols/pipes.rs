//! Pipes: two connections whose binary messages go to each other, unread, for pages that cannot reach each other by WebRTC.
//!
//! A pipe has two ends, which know its id from each other's descriptions. What one end sends is read only while the socket of the other
//! takes it, so a pipe keeps at most what one read of each end brings.

mod line;
mod pipe;
mod totals;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::key_state::{KeyPart, KeyState};
use crate::config::key::unix_time;
use crate::events::Count;
use crate::router::{Outbox, Router};
use peerbroker_core::clock::Instant;
use peerbroker_core::rate_limit::RateLimit;
use peerbroker_core::vocabulary::{ApiKey, CloseReason, Limit, PipeId, Refusal};

use pipe::Pipe;
pub use pipe::{Attach, PipeEnd, PipeOutlet, PipeReport, PipeTurn};
pub use totals::PipeTotals;

/// The pipes of a key.
pub struct Pipes {
    key: ApiKey,
    router: Arc<Router>,
    totals: Arc<PipeTotals>,
    pipes: Mutex<HashMap<PipeId, Arc<Pipe>>>,
    /// The pipes that are in descriptions of clients who have proved their ids, and the time of each.
    expected: Mutex<HashMap<PipeId, Instant>>,
    /// The bytes of all of them.
    rate: RateLimit,
}

/// Time for which a pipe of a description may be opened. Longer than a page waits for its first end.
const EXPECTED: Duration = Duration::from_secs(120);

/// Most pipes of descriptions of a key that are remembered.
const MAX_EXPECTED: usize = 10_000;

impl Pipes {
    /// Connects an end of a pipe. Its outbox begins with the answer to its handshake, and comes back with a refusal.
    pub fn attach(
        self: &Arc<Self>,
        key: &KeyState,
        attach: &Attach,
        outbox: Outbox,
    ) -> Result<PipeEnd, (Refusal, Outbox)> {
        let limits = self.router.live_config().load().pipes;
        let now = self.router.clock().now();
        let mut pipes = self.pipes.lock();
        if self.router.is_closing() {
            return Err((Refusal::Closing, outbox));
        }
        // Under the lock: whoever revokes it ends the pipes that are here after that.
        if key.is_revoked() {
            return Err((Refusal::InvalidKey, outbox));
        }
        let known = pipes.get(&attach.pipe).cloned();
        let pipe = match known {
            Some(pipe) => Ok(pipe),
            None if pipes.len() >= limits.per_key => Err(Limit::PipesPerKey),
            None => self.totals.permit(&limits).map(|permit| Pipe::new(attach.pipe, permit, unix_time())),
        };
        let permit = || self.totals.permit_end(attach.address, &limits);
        let attached = pipe.and_then(|pipe| Ok((pipe.place(attach, permit, now)?, pipe)));
        let (place, pipe) = match attached {
            Ok(placed) => placed,
            Err(limit) => {
                drop(pipes);
                self.router.events().limit_hit(limit, Some(&self.key), attach.address);
                return Err((Refusal::TooManyPipes, outbox));
            }
        };
        let Some(place) = place else { return Err((Refusal::PipeTaken, outbox)) };
        pipes.entry(attach.pipe).or_insert_with(|| Arc::clone(&pipe));
        Ok(pipe.connect(place, self, attach.address, outbox, now))
    }

    /// Notes that a client which has proved its id has sent a description with this pipe, so its ends need no proof of their own.
    pub fn expect(&self, pipe: PipeId) {
        let now = self.router.clock().now();
        let mut expected = self.expected.lock();
        if expected.len() < MAX_EXPECTED {
            expected.insert(pipe, now);
        }
    }

    /// True if the ends of a pipe need no proof: it is in a description, or there already.
    pub fn is_expected(&self, pipe: PipeId) -> bool {
        self.expected.lock().contains_key(&pipe) || self.pipes.lock().contains_key(&pipe)
    }

    /// The pipes, those with the most bytes first, at most so many.
    pub fn reports(&self, most: usize) -> Vec<PipeReport> {
        let mut reports: Vec<_> = self.all().iter().map(|pipe| pipe.report()).collect();
        reports.sort_by_key(|report| Reverse(report.bytes));
        reports.truncate(most);
        reports
    }

    fn all(&self) -> Vec<Arc<Pipe>> {
        self.pipes.lock().values().cloned().collect()
    }

    /// Ends a pipe, and the connections of both ends for the same reason.
    fn end(&self, pipe: &Pipe, reason: CloseReason) {
        self.remove(pipe, reason);
        pipe.end(&|_| reason);
    }

    fn remove(&self, pipe: &Pipe, reason: CloseReason) {
        if self.pipes.lock().remove(&pipe.id).is_some() {
            self.router.events().counters().add(Count::PipesClosed(reason), 1);
        }
    }
}

impl KeyPart for Pipes {
    fn new(key: &Arc<KeyState>) -> Self {
        Pipes {
            key: key.key().clone(),
            router: Arc::clone(key.router()),
            totals: key.pipe_totals(),
            pipes: Mutex::default(),
            expected: Mutex::default(),
            rate: RateLimit::default(),
        }
    }

    fn sweep(&self, now: Instant) {
        self.expected.lock().retain(|_, since| now.saturating_since(*since) < EXPECTED);
        let idle_timeout = self.router.live_config().load().pipes.idle_timeout;
        for pipe in self.all() {
            if let Some(reason) = pipe.sweep(now, idle_timeout) {
                self.end(&pipe, reason);
            }
        }
    }

    fn dismiss(&self, whom: &dyn Fn(Option<IpAddr>) -> bool, reason: CloseReason) {
        for pipe in self.all() {
            if pipe.has_end(whom) {
                self.remove(&pipe, reason);
                pipe.end(&|address| if whom(address) { reason } else { CloseReason::PipeLeft });
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.pipes.lock().is_empty()
            && self.expected.lock().is_empty()
            && self.rate.is_rested(self.router.clock().now())
    }
}
