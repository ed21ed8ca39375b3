//! The server's numbers and events while they happen, as server-sent events.
//!
//! Each stream is a task that waits for the next sample, and sends it with the events that happened meanwhile through a channel of a
//! few messages. If a reader is slow, the channel is full: the stream leaves samples out, and counts the events that are lost.

mod happening;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::http::header;
use actix_web::{HttpResponse, get, rt, web};
use bytes::Bytes;
use futures_core::Stream;
use serde::Serialize;
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::problem::Problem;
use super::samples::Sample;
use super::state::Ops;
use crate::events::{Notice, Subscription};
use happening::Happening;

/// Messages that wait for a slow reader.
const WAITING: usize = 4;

/// Events in one message. The others are counted.
const MAX_EVENTS: usize = 100;

/// Events that a stream looks at for one message, so that a flood cannot keep it busy.
const MAX_TAKEN: usize = 10_000;

/// After so many messages a stream ends and its browser comes again, so a session ends at most ten minutes late.
const MAX_MESSAGES: usize = 600;

/// The first message of a stream.
#[derive(Serialize)]
struct History {
    samples: VecDeque<Sample>,
}

/// A message of a stream.
#[derive(Serialize, ToSchema)]
#[schema(as = LiveTick)]
pub(super) struct Tick {
    /// The numbers of the server.
    sample: Sample,
    /// Why the server should not get clients; empty if it should.
    unready: Vec<String>,
    /// What happened since the last message: the newest, in order.
    events: Vec<Happening>,
    /// Events since the last message that are not in it.
    skipped: u64,
}

/// Sends the server's numbers and events each second (`text/event-stream`). The first message, `history`, has the numbers of the
/// last five minutes in `samples`. Each other message, `tick`, is one of these objects.
#[utoipa::path(
    tag = "stats",
    operation_id = "show_live",
    responses((status = OK, body = Tick, content_type = "text/event-stream", description = "messages until the caller leaves"), Problem)
)]
#[get("/api/live")]
pub(super) async fn show(ops: web::Data<Ops>) -> Result<HttpResponse, Problem> {
    let permit = ops.samples.admit().ok_or_else(Problem::too_many_streams)?;
    let (sender, receiver) = mpsc::channel(WAITING);
    rt::spawn(async move {
        send(ops.into_inner(), sender).await;
        drop(permit);
    });
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        // Proxies pass each message on at once: nginx reads this header.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(Messages(receiver)))
}

/// One reader's end of a stream.
struct Reader {
    sender: mpsc::Sender<Bytes>,
    events: Subscription,
}

impl Reader {
    /// Sends a sample with the events since the last message. If the reader is slow, it gets no message, and the events wait for the
    /// next one in their ring, which counts what it cannot hold.
    fn send(&mut self, sample: Sample, unready: Vec<String>) {
        let Ok(room) = self.sender.try_reserve() else { return };
        let (events, skipped) = take(&mut self.events);
        room.send(message("tick", &Tick { sample, unready, events, skipped }));
    }
}

/// Sends messages until the reader has left, or the server stops.
async fn send(ops: Arc<Ops>, sender: mpsc::Sender<Bytes>) {
    // Subscribed before the history is read, so no sample is missing between the two.
    let mut samples = ops.samples.subscribe();
    let mut reader = Reader { sender, events: ops.parts.events.subscribe() };
    // The browser comes again two seconds after a stream has ended.
    let history = [
        Bytes::from_static(b"retry: 2000\n"),
        message("history", &History { samples: ops.samples.history() }),
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
        reader.send(sample, ops.parts.unready());
        if ops.parts.is_stopping() {
            return;
        }
    }
}

/// The newest events that have happened, and how many others.
fn take(events: &mut Subscription) -> (Vec<Happening>, u64) {
    let (mut newest, mut skipped) = (VecDeque::new(), 0);
    for notice in std::iter::from_fn(|| events.try_next()).take(MAX_TAKEN) {
        match notice {
            Notice::Event(event) => newest.push_back(event),
            Notice::Missed(missed) => skipped += missed,
        }
        if newest.len() > MAX_EVENTS {
            newest.pop_front();
            skipped += 1;
        }
    }
    (newest.iter().filter_map(|event| Happening::of(event)).collect(), skipped)
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
    use super::*;
    use crate::events::{Event, Events};
    use crate::wire::Limit;

    #[test]
    fn a_flood_of_events_is_cut_to_the_newest_and_counted() {
        let events = Events::default();
        let mut subscription = events.subscribe();
        for _ in 0..MAX_EVENTS + 7 {
            events.emit(|| Event::LimitHit { limit: Limit::Rooms, key: None, address: None });
        }
        let (happened, skipped) = take(&mut subscription);
        assert_eq!((happened.len(), skipped), (MAX_EVENTS, 7));
        assert_eq!(take(&mut subscription).1, 0);
    }

    #[test]
    fn a_slow_reader_gets_fewer_messages_and_no_event_is_lost_uncounted() {
        let (events, (sender, mut receiver)) = (Events::default(), mpsc::channel(1));
        let mut reader = Reader { sender, events: events.subscribe() };
        let happen = || events.emit(|| Event::LimitHit { limit: Limit::Rooms, key: None, address: None });
        let mut read = || {
            let message = receiver.try_recv().ok()?;
            let (_, json) = std::str::from_utf8(&message).unwrap().split_once("data: ").unwrap();
            Some(serde_json::from_str::<serde_json::Value>(json).unwrap())
        };
        for _ in 0..5 {
            happen();
            reader.send(Sample::default(), Vec::new());
        }
        let first = read().unwrap();
        assert_eq!((first["events"].as_array().unwrap().len(), read().is_some()), (1, false));
        reader.send(Sample::default(), Vec::new());
        assert_eq!(read().unwrap()["events"].as_array().unwrap().len(), 4);
        // More than the ring of events holds.
        (0..10_000).for_each(|_| happen());
        reader.send(Sample::default(), Vec::new());
        let last = read().unwrap();
        let shown = last["events"].as_array().unwrap().len() as u64;
        assert_eq!(shown + last["skipped"].as_u64().unwrap(), 10_000);
    }
}
