//! The server's numbers and events as they happen, as server-sent events.
//!
//! A ring keeps the newest events for all streams. A stream makes its next message when its reader has room
//! for it: the latest sample, with the events since the last message. So a slow reader gets fewer samples,
//! and the number of events that have left the ring meanwhile.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::{StatusCode, header};
use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::problem::Problem;
use super::recent::LiveEvent;
use super::samples::LiveSample;
use super::state::{AdminState, Reply};

/// After this time a stream ends and its browser reconnects, so a session ends at most ten minutes late.
const LIFETIME: Duration = Duration::from_secs(600);

const TOO_MANY_STREAMS: &str = "too many callers read /api/live at the same time: close one of them";

/// A message of a stream.
#[derive(Serialize, ToSchema)]
pub(super) struct LiveTick {
    /// The numbers of the server.
    sample: LiveSample,
    /// The reasons why the server should not get clients; empty if it should.
    unready: Vec<String>,
    /// The events since the last message: the newest, in order.
    events: Vec<LiveEvent>,
    /// Events since the last message that are not in it.
    skipped: u64,
}

/// Sends the server's numbers and events each second (`text/event-stream`). The first message, `history`, has
/// the numbers of the last five minutes in `samples`, and the last 100 events in `events`. Each other
/// message, `tick`, is one of these objects.
#[utoipa::path(
    tag = "stats",
    responses((status = OK, body = LiveTick, content_type = "text/event-stream", description = "messages until the caller leaves"), Problem)
)]
#[get("/api/live")]
pub(super) async fn show_live(ops: Data<AdminState>) -> Reply {
    let too_many = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, TOO_MANY_STREAMS);
    let samples = ops.samples.subscribe().ok_or_else(too_many)?;
    let ops = ops.into_inner();
    let mut seen = 0;
    let (events, _) = ops.recent.since(&mut seen);
    let history = message("history", &json!({ "samples": ops.samples.history(), "events": events }));
    // The browser reconnects two seconds after the end of a stream.
    let first: Bytes = [Bytes::from_static(b"retry: 2000\n"), history].concat().into();
    let reader = Reader { ops, samples, seen, end: Instant::now() + LIFETIME };
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        // Proxies forward each message at once: nginx reads this header.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(stream::iter([Ok(first)]).chain(stream::unfold(reader, Reader::next))))
}

/// The reader of a stream.
struct Reader {
    ops: Arc<AdminState>,
    samples: watch::Receiver<LiveSample>,
    /// The number of events that the reader has got, or has missed.
    seen: u64,
    end: Instant,
}

impl Reader {
    /// The next message, once there is a new sample. `None` if the reader has to reconnect, or the server
    /// stops.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if Instant::now() >= self.end {
            return None;
        }
        self.samples.changed().await.ok()?;
        let sample = self.samples.borrow_and_update().clone();
        let (events, skipped) = self.ops.recent.since(&mut self.seen);
        let tick = LiveTick { sample, unready: self.ops.runtime.unready(), events, skipped };
        if self.ops.runtime.is_stopping() {
            self.end = Instant::now();
        }
        Some((Ok(message("tick", &tick)), self))
    }
}

fn message(name: &str, data: &impl Serialize) -> Bytes {
    match serde_json::to_string(data) {
        // JSON has no line breaks.
        Ok(json) => format!("event: {name}\ndata: {json}\n\n").into(),
        Err(error) => {
            log::error!("cannot write a message of /api/live: {error}");
            Bytes::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::recent::{Recent, tests::happen};
    use super::super::samples::Samples;
    use super::super::state::ClientPort;
    use super::*;
    use crate::runtime::{Components, Runtime};
    use peerbroker_core::clock::Clock;

    async fn read(reader: Reader) -> (serde_json::Value, Reader) {
        let (message, reader) = reader.next().await.unwrap();
        let message = message.unwrap();
        let (_, json) = std::str::from_utf8(&message).unwrap().split_once("data: ").unwrap();
        (serde_json::from_str(json).unwrap(), reader)
    }

    #[tokio::test]
    async fn a_slow_reader_gets_fewer_messages_and_no_event_is_lost_uncounted() {
        let clock = Clock::manual();
        let recent = Arc::new(Recent::new(clock.clone()));
        let runtime = Runtime::start(Components { clock: Some(clock), ..Components::default() });
        let clients = ClientPort { name: None, port: 0, is_secure: false, is_api_secure: false };
        let ops = Arc::new(AdminState { runtime, clients, samples: Samples::default(), recent });
        let samples = ops.samples.subscribe().unwrap();
        let end = Instant::now() + LIFETIME;
        let happen = |times| {
            happen(&ops.recent, times);
            ops.samples.take(&ops.runtime);
        };
        (0..5).for_each(|_| happen(1));
        let (first, reader) = read(Reader { ops: Arc::clone(&ops), samples, seen: 0, end }).await;
        assert_eq!(first["events"].as_array().unwrap().len(), 5, "of all samples, it gets the latest");
        happen(10_000);
        let (last, _) = read(reader).await;
        let shown = last["events"].as_array().unwrap().len() as u64;
        assert_eq!(shown + last["skipped"].as_u64().unwrap(), 10_000);
    }
}
