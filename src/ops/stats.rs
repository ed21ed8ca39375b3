//! Statistics of the broker.

use std::collections::BTreeMap;

use actix_web::{get, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use super::state::{Ops, blocking};
use crate::events::Outcome;
use crate::wire::{CloseReason, MessageKind, Refusal};

/// Current state of the server, and totals since its start.
#[derive(Serialize, ToSchema)]
#[schema(as = Stats)]
pub(super) struct Stats {
    /// Version of the server.
    version: &'static str,
    /// Seconds since the start.
    uptime: u64,
    /// Number of keys, including disabled ones.
    keys: usize,
    /// Keys with clients, now or a moment ago.
    active_keys: usize,
    /// Number of clients that have an id, of all keys.
    clients: usize,
    /// Number of WebSockets and streams, including those that are opening or closing.
    connections: usize,
    /// Bytes of messages that wait for absent peers, including the overhead of storing them.
    queued_bytes: usize,
    /// Connections that got an id since the start.
    opened: u64,
    /// Connections that lost their id since the start, by reason.
    closed: BTreeMap<&'static str, u64>,
    /// Refused clients since the start, by reason.
    refused: BTreeMap<&'static str, u64>,
    /// Messages since the start, by kind and outcome. A message that waits counts as `queued`, and later also as
    /// `delivered`, `expired` or dropped.
    messages: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// Connections closed because the client did not read. The same as `closed.slow_reader`.
    slow_readers: u64,
    /// Connections closed because the client was silent. The same as `closed.timed_out`.
    timed_out: u64,
    /// Connections that lost their id because they did not answer when another client asked for it. The same as
    /// `closed.evicted`.
    evicted: u64,
    /// Number of times that all waiting messages from a sender to a peer expired and the sender was told.
    expired: u64,
}

/// Shows statistics.
#[utoipa::path(tag = "stats", operation_id = "show_stats", responses((status = OK, body = Stats, description = "the statistics"), Problem))]
#[get("/api/stats")]
pub(super) async fn show(ops: web::Data<Ops>) -> Result<web::Json<Stats>, Problem> {
    let stats = blocking(ops, |parts| {
        let totals = parts.events.counters().totals();
        let closed = |reason: CloseReason| totals.closed(reason);
        let outcomes = |kind: MessageKind| {
            Outcome::all().map(|outcome| (outcome.label(), totals.messages(kind, outcome))).collect()
        };
        Ok(Stats {
            version: env!("CARGO_PKG_VERSION"),
            uptime: parts.uptime().as_secs(),
            keys: parts.admin.all_keys()?.len(),
            active_keys: parts.node.active_keys(),
            clients: parts.node.peers(),
            connections: parts.sessions.len(),
            queued_bytes: parts.node.queued_bytes(),
            opened: totals.opened(),
            closed: CloseReason::ALL
                .into_iter()
                .map(|reason| (reason.ending().label, closed(reason)))
                .collect(),
            refused: Refusal::ALL
                .into_iter()
                .map(|reason| (reason.ending().label, totals.refused(reason)))
                .collect(),
            messages: MessageKind::ALL.into_iter().map(|kind| (kind.label(), outcomes(kind))).collect(),
            slow_readers: closed(CloseReason::SlowReader),
            timed_out: closed(CloseReason::TimedOut),
            evicted: closed(CloseReason::Evicted),
            expired: totals.expired(),
        })
    });
    Ok(web::Json(stats.await?))
}
