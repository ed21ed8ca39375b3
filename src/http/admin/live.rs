//! The server's numbers and events as they happen, as server-sent events.
//!
//! A ring keeps the newest events for all streams. Each stream is a task that waits for the next sample, and sends it through a
//! channel of a few messages, with the events since the last one. If a reader is slow, the channel is full: the stream leaves
//! samples out, and counts the events that have left the ring meanwhile.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::http::{StatusCode, header};
use actix_web::web::Data;
use actix_web::{HttpResponse, get, rt};
use bytes::Bytes;
use futures_core::Stream;
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::problem::Problem;
use super::recent::{LiveEvent, Recent};
use super::samples::LiveSample;
use super::state::{Ops, Reply};

/// Messages that wait for a slow reader.
const WAITING: usize = 4;

/// After this many messages a stream ends and its browser reconnects, so a session ends at most ten minutes late.
const MAX_MESSAGES: usize = 600;

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

/// Sends the server's numbers and events each second (`text/event-stream`). The first message, `history`, has the numbers of the
/// last five minutes in `samples`, and the last 100 events in `events`. Each other message, `tick`, is one of these objects.
#[utoipa::path(
    tag = "stats",
    responses((status = OK, body = LiveTick, content_type = "text/event-stream", description = "messages until the caller leaves"), Problem)
)]
#[get("/api/live")]
pub(super) async fn show_live(ops: Data<Ops>) -> Reply {
    let permit =
        ops.samples.admit().ok_or_else(|| Problem::new(StatusCode::SERVICE_UNAVAILABLE, TOO_MANY_STREAMS))?;
    let (sender, receiver) = mpsc::channel(WAITING);
    rt::spawn(async move {
        send(ops.into_inner(), sender).await;
        drop(permit);
    });
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        // Proxies forward each message at once: nginx reads this header.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(Messages(receiver)))
}

/// One reader's end of a stream.
struct Reader {
    sender: mpsc::Sender<Bytes>,
    recent: Arc<Recent>,
    /// The number of events that the reader has got, or has missed.
    seen: u64,
}

impl Reader {
    /// Sends a sample with the events since the last message. If the reader is slow, it gets no message, and the next one has
    /// the events that are still in the ring.
    fn send(&mut self, sample: LiveSample, unready: Vec<String>) {
        let Ok(room) = self.sender.try_reserve() else { return };
        let (events, skipped) = self.recent.since(&mut self.seen);
        room.send(message("tick", &LiveTick { sample, unready, events, skipped }));
    }
}

/// Sends messages until the reader has left, or the server stops.
async fn send(ops: Arc<Ops>, sender: mpsc::Sender<Bytes>) {
    // Subscribed before the history is read, so no sample is missing between the two.
    let mut samples = ops.samples.latest.subscribe();
    let mut reader = Reader { sender, recent: Arc::clone(&ops.recent), seen: 0 };
    let (events, _) = reader.recent.since(&mut reader.seen);
    // The browser reconnects two seconds after the end of a stream.
    let history = [
        Bytes::from_static(b"retry: 2000\n"),
        message("history", &json!({ "samples": ops.samples.history(), "events": events })),
    ]
    .concat();
    if reader.sender.try_send(history.into()).is_err() {
        return;
    }
    for _ in 0..MAX_MESSAGES {
        tokio::select! {
            changed = samples.changed() => if changed.is_err() { return },
            () = reader.sender.closed() => return,
        }
        let sample = samples.borrow_and_update().clone();
        reader.send(sample, ops.runtime.unready());
        if ops.runtime.is_stopping() {
            return;
        }
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

/// The body of the answer.
struct Messages(mpsc::Receiver<Bytes>);

impl Stream for Messages {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|message| message.map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use super::super::recent::tests::happen;
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_slow_reader_gets_fewer_messages_and_no_event_is_lost_uncounted() {
        let (recent, (sender, mut receiver)) = (Arc::new(Recent::new(Clock::manual())), mpsc::channel(1));
        let mut reader = Reader { sender, recent: Arc::clone(&recent), seen: 0 };
        let mut read = || {
            let message = receiver.try_recv().ok()?;
            let (_, json) = std::str::from_utf8(&message).unwrap().split_once("data: ").unwrap();
            Some(serde_json::from_str::<serde_json::Value>(json).unwrap())
        };
        for _ in 0..5 {
            happen(&recent, 1);
            reader.send(LiveSample::default(), Vec::new());
        }
        let first = read().unwrap();
        assert_eq!((first["events"].as_array().unwrap().len(), read().is_some()), (1, false));
        reader.send(LiveSample::default(), Vec::new());
        assert_eq!(read().unwrap()["events"].as_array().unwrap().len(), 4);
        happen(&recent, 10_000);
        reader.send(LiveSample::default(), Vec::new());
        let last = read().unwrap();
        let shown = last["events"].as_array().unwrap().len() as u64;
        assert_eq!(shown + last["skipped"].as_u64().unwrap(), 10_000);
    }
}
