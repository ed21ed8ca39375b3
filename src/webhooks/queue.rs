//! The events that wait for one endpoint, and the connections that it was told of.
//!
//! Each connection is a pair of events. The second one is accepted exactly if the first one was, and is not sent before the
//! first one has been delivered or given up.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::millis;
use crate::events::Event;
use crate::wire::ConnId;

/// The pauses before each further attempt.
pub(super) const PAUSES: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(2 * 60 * 60),
];

/// The longest pause that a receiver may ask for.
const MAX_ASKED_PAUSE: Duration = Duration::from_secs(60 * 60);

/// What an event is for its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It stands for itself.
    Single,
    /// A connection begins.
    Begin(ConnId),
    /// The connection ends.
    End(ConnId),
}

/// An event on its way to an endpoint.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    /// Never used twice.
    pub(super) number: u64,
    pub(super) event: Arc<Event>,
    pub(super) happened: Timestamp,
    pub(super) step: Step,
    /// What it costs to keep it.
    pub(super) bytes: usize,
    /// Attempts that have failed.
    pub(super) failures: usize,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The endpoint has it.
    Delivered,
    /// It may succeed later: not before this pause, if the endpoint says so.
    Failed(Option<Duration>),
    /// No attempt will succeed.
    Hopeless,
}

/// What becomes of a delivery after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    Delivered,
    Again,
    GivenUp,
}

/// What the events of an endpoint, or of all, take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

/// The events of one endpoint.
#[derive(Default)]
pub(super) struct Queue {
    /// By the time at which they are due, and their number.
    waiting: BTreeMap<(u64, u64), Delivery>,
    connections: HashMap<ConnId, Announced>,
    pub(super) load: Load,
    pub(super) in_flight: usize,
    /// The time under which this queue is among those that have something to send.
    pub(super) listed: Option<u64>,
}

/// A connection whose beginning was accepted, until its end is.
enum Announced {
    /// The endpoint may not know of it yet. Its end waits here. Boxed: most connections last longer than that.
    NotYet(Option<Box<Delivery>>),
    /// The endpoint knows, or the event was given up.
    Settled,
}

impl Load {
    pub(super) fn add(&mut self, bytes: usize) {
        self.events += 1;
        self.bytes += bytes;
    }

    pub(super) fn subtract(&mut self, bytes: usize) {
        self.events = self.events.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Queue {
    /// Whether the endpoint is to be told that this connection ends.
    pub(super) fn awaits_end_of(&self, connection: ConnId) -> bool {
        matches!(self.connections.get(&connection), Some(Announced::NotYet(None)) | Some(Announced::Settled))
    }

    /// Adds an event, due at once. The end of a connection must be [awaited](Self::awaits_end_of).
    pub(super) fn push(&mut self, delivery: Delivery, now: u64) {
        self.load.add(delivery.bytes);
        match delivery.step {
            Step::Single => {}
            Step::Begin(connection) => {
                self.connections.insert(connection, Announced::NotYet(None));
            }
            Step::End(connection) => {
                if let Some(Announced::NotYet(end)) = self.connections.get_mut(&connection) {
                    *end = Some(Box::new(delivery));
                    return;
                }
                self.connections.remove(&connection);
            }
        }
        self.wait(delivery, now);
    }

    /// When the next event is due.
    pub(super) fn next_due(&self) -> Option<u64> {
        self.waiting.first_key_value().map(|((due, _), _)| *due)
    }

    /// Takes the next event if it is due. [`settle`](Self::settle) takes it back.
    pub(super) fn take(&mut self, now: u64) -> Option<Delivery> {
        let first = self.waiting.first_entry().filter(|first| first.key().0 <= now)?;
        self.in_flight += 1;
        Some(first.remove())
    }

    /// An attempt has ended. `random` is from 0 to 1. The `last` attempt is never repeated.
    pub(super) fn settle(
        &mut self,
        mut delivery: Delivery,
        outcome: Outcome,
        last: bool,
        now: u64,
        random: f64,
    ) -> Settled {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Outcome::Failed(asked) = outcome
            && !last
            && let Some(pause) = PAUSES.get(delivery.failures)
        {
            // A quarter more or less, so that events that failed together do not come back together.
            let pause = pause.mul_f64(0.75 + random.clamp(0.0, 1.0) / 2.0);
            let pause = asked.map_or(pause, |asked| pause.max(asked.min(MAX_ASKED_PAUSE)));
            delivery.failures += 1;
            self.wait(delivery, now.saturating_add(millis(pause)));
            return Settled::Again;
        }
        self.load.subtract(delivery.bytes);
        if let Step::Begin(connection) = delivery.step {
            let end = match self.connections.get_mut(&connection) {
                Some(Announced::NotYet(end)) => end.take(),
                _ => None,
            };
            match end {
                Some(end) => {
                    self.connections.remove(&connection);
                    self.wait(*end, now);
                }
                None => {
                    self.connections.insert(connection, Announced::Settled);
                }
            }
        }
        if outcome == Outcome::Delivered { Settled::Delivered } else { Settled::GivenUp }
    }

    /// Makes everything due now.
    pub(super) fn hurry(&mut self, now: u64) {
        for (_, delivery) in std::mem::take(&mut self.waiting) {
            self.wait(delivery, now);
        }
    }

    /// Whether nothing waits, is on its way, or will have to come.
    pub(super) fn is_unused(&self) -> bool {
        self.load.events == 0 && self.connections.is_empty()
    }

    fn wait(&mut self, delivery: Delivery, due: u64) {
        self.waiting.insert((due, delivery.number), delivery);
    }
}
