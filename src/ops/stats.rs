//! What the broker does.

use std::collections::BTreeMap;

use actix_web::{get, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use super::state::{Ops, blocking};
use crate::events::Outcome;
use crate::wire::{CloseReason, MessageKind, Refusal};

/// What there is now, and what has happened since the start.
#[derive(Serialize, ToSchema)]
#[schema(as = Stats)]
pub(super) struct Stats {
    /// Of the server.
    version: &'static str,
    /// Seconds since the start.
    uptime: u64,
    /// Keys, those that are disabled included.
    keys: usize,
    /// Clients that have an id, of all keys.
    clients: usize,
    /// WebSockets and streams, those that are not in yet or say goodbye included.
    connections: usize,
    /// Bytes that wait for absent peers, with what it costs to keep them.
    queued_bytes: usize,
    /// Connections that got an id, since the start.
    opened: u64,
    /// Connections that lost their id since the start, by reason.
    closed: BTreeMap<&'static str, u64>,
    /// Clients that did not get an id since the start, by reason.
    refused: BTreeMap<&'static str, u64>,
    /// What became of messages since the start, by kind of message and outcome. A message that had to wait counts as
    /// `queued`, and later as `delivered`, `expired` or dropped.
    messages: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// Connections closed because their clients did not read: `closed.slow_reader`.
    slow_readers: u64,
    /// Connections closed because nothing was heard of their clients: `closed.timed_out`.
    timed_out: u64,
    /// Connections that lost their id because they did not answer when somebody else asked for it: `closed.evicted`.
    evicted: u64,
    /// How often a sender lost all that it had waiting for a peer, and was told.
    expired: u64,
}

/// How the broker is.
#[utoipa::path(tag = "stats", operation_id = "show_stats", responses((status = OK, body = Stats, description = "how it is"), Problem))]
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
