//! The newest events, for the streams of `/api/live`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::Clock;
use crate::events::{Event, Events, Notice};

/// The newest events, which are kept. A message has no others.
const MAX_EVENTS: usize = 100;

/// Something that happened. Strings in it come from strangers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LiveEvent)]
pub(super) struct LiveEvent {
    /// The kind: `connected`, `disconnected`, `refused`, `mistake`, `kicked`, `expired`, `relayed`, `limit`, `key_added`,
    /// `key_changed`, `key_removed`, `key_full`, `certificate`, `reloaded`, `reload_failed`, `log_filter`, `cluster` or `stopping`.
    kind: &'static str,
    /// The key that it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The id of the peer that it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The address of the client or operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// The origin of the client's page.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    /// The reason, or more: the label of a reason or limit, or the name of a file or node.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Seconds since it happened.
    ago: u64,
}

impl LiveEvent {
    fn of(event: &Event, ago: u64) -> Self {
        event.row(|row| LiveEvent {
            kind: row.live,
            key: row.key.map(ToString::to_string),
            id: row.id.map(ToString::to_string),
            address: row.address.map(|address| address.to_string()),
            origin: row.origin.map(str::to_owned),
            reason: row.reason.map(ToString::to_string),
            ago,
        })
    }
}

/// The newest events, for all readers.
pub(super) struct Recent {
    clock: Clock,
    ring: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    /// The oldest first, each with the time at which it happened.
    events: VecDeque<(u64, Arc<Event>)>,
    /// The number of events since the start, including those that were lost or have left the ring.
    total: u64,
}

impl Recent {
    /// An empty ring. [`Recent::follow`] fills it.
    pub(super) fn new(clock: Clock) -> Self {
        Recent { clock, ring: Mutex::default() }
    }

    /// Keeps all later events that are news to operators.
    pub(super) fn follow(self: &Arc<Self>, events: &Events) {
        let recent = Arc::clone(self);
        if let Err(error) = events.follow("dashboard", move |notices| recent.add(notices)) {
            log::error!("cannot start the thread that keeps events, so the dashboard shows none: {error}");
        }
    }

    pub(super) fn add(&self, notices: &[Notice]) {
        let (now, mut ring) = (self.clock.now(), self.ring());
        for notice in notices {
            match notice {
                Notice::Event(event) if event.row(|row| row.live.is_empty()) => {}
                Notice::Event(event) => {
                    ring.total += 1;
                    ring.events.push_back((now, Arc::clone(event)));
                    if ring.events.len() > MAX_EVENTS {
                        ring.events.pop_front();
                    }
                }
                Notice::Missed(missed) => ring.total += missed,
            }
        }
    }

    /// The events after the first `seen`: those that are kept, and the number of the other ones. All of them are seen then.
    pub(super) fn since(&self, seen: &mut u64) -> (Vec<LiveEvent>, u64) {
        let (now, ring) = (self.clock.now(), self.ring());
        let new = ring.total.saturating_sub(*seen);
        *seen = ring.total;
        let kept = ring.events.len() as u64;
        let ago = |at: u64| now.saturating_sub(at) / 1000;
        let events = ring.events.iter().skip(kept.saturating_sub(new) as usize);
        let events: Vec<_> = events.map(|(at, event)| LiveEvent::of(event, ago(*at))).collect();
        let skipped = new.saturating_sub(events.len() as u64);
        (events, skipped)
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::wire::Limit;

    pub(in super::super) fn happen(recent: &Recent, times: usize) {
        let event = Arc::new(Event::LimitHit { limit: Limit::Rooms, key: None, address: None });
        recent.add(&vec![Notice::Event(event); times]);
    }

    #[test]
    fn a_flood_of_events_is_cut_to_the_newest_and_counted() {
        let (recent, mut seen) = (Recent::new(Clock::manual()), 0);
        happen(&recent, MAX_EVENTS + 7);
        recent.add(&[Notice::Missed(3), Notice::Event(Arc::new(Event::Stopped))]);
        let (happened, skipped) = recent.since(&mut seen);
        assert_eq!((happened.len(), skipped), (MAX_EVENTS, 10));
        let (happened, skipped) = recent.since(&mut seen);
        assert_eq!((happened.len(), skipped), (0, 0));
        happen(&recent, 2);
        assert_eq!(recent.since(&mut seen).0.len(), 2);
    }
}
