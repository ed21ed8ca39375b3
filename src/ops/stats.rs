//! What the broker does.

use std::sync::atomic::Ordering;

use actix_web::{get, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use super::{Ops, blocking};

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
    /// Clients closed because they did not read, since the start.
    slow_readers: u64,
    /// Clients dropped because nothing was heard of them.
    timed_out: u64,
    /// Clients that lost their id because they did not answer when somebody else asked for it.
    evicted: u64,
    /// Conversations with absent peers that expired.
    expired: u64,
}

/// How the broker is.
#[utoipa::path(tag = "stats", operation_id = "show_stats", responses((status = OK, body = Stats, description = "how it is"), Problem))]
#[get("/api/stats")]
pub(super) async fn show(ops: web::Data<Ops>) -> Result<web::Json<Stats>, Problem> {
    let stats = blocking(ops, |service| {
        let counters = service.broker.counters();
        Ok(Stats {
            version: env!("CARGO_PKG_VERSION"),
            uptime: service.uptime().as_secs(),
            keys: service.all_keys()?.len(),
            clients: service.broker.peers(),
            connections: service.sessions(),
            queued_bytes: service.broker.queued_bytes(),
            slow_readers: counters.slow_readers.load(Ordering::Relaxed),
            timed_out: counters.timed_out.load(Ordering::Relaxed),
            evicted: counters.evicted.load(Ordering::Relaxed),
            expired: counters.expired.load(Ordering::Relaxed),
        })
    });
    Ok(web::Json(stats.await?))
}
