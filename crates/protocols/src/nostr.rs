//! Nostr, as far as it connects pages: relays of events that nobody stores.
//!
//! A client signs events and subscribes to those that fit its filters: NIP-01 of
//! github.com/nostr-protocol/nips. Trystero, whose default this is, publishes events of the kinds 20000 to
//! 29999 with a topic as their tag `x`; see Trystero 0.25, `packages/nostr/src/index.ts`.

mod advice;
mod client;
mod event;
mod filter;

use super::json;
pub(super) use advice::ADVICE;
pub(super) use client::Pending;
pub use client::{Filters, Listener, notice};
use peerbroker_core::vocabulary::Frame;

/// Most subscriptions of one client.
pub const MAX_SUBSCRIPTIONS: usize = 64;

/// Most tags, kinds and authors by which events are found, in all filters of a client. Trystero names up to
/// 250 topics in a filter.
pub const MAX_PLACES: usize = 256;

/// Most places at which one event is found.
const MAX_EVENT_PLACES: usize = 32;

/// Most filters of a subscription.
const MAX_FILTERS: usize = 16;

/// Most bytes of the filters of all subscriptions of a client, as JSON text. They keep at most twice as many.
const MAX_FILTER_BYTES: usize = 64 * 1024;

/// Most bytes of the filters of all clients of a key on one node, without the free ones of each.
pub const MAX_FILTER_BYTES_OF_KEY: usize = 32 << 20;

/// Bytes of filters of each client that do not count for the limit of its key: most clients have fewer.
pub const FREE_FILTER_BYTES: usize = 4096;

/// Most values of a list in a filter, and most tags of an event and values of a tag: more are never read.
pub const MAX_VALUES: usize = 250;

/// Most characters of the id of a subscription, by NIP-01.
pub const MAX_ID: usize = 64;

const _: () = assert!(MAX_VALUES < json::MAX_ELEMENTS);

/// A command of a client.
#[derive(Debug)]
pub enum NostrCommand<'a> {
    /// Tell others of this event, which is JSON text.
    Event(&'a str),
    /// Hear events that fit one of these filters, which are JSON text.
    Request(&'a str, Vec<&'a str>),
    /// Hear those of this subscription no longer.
    Close(&'a str),
    /// The client is told the reason.
    Invalid(&'static str),
}

/// Decodes a list. `None` for other messages.
pub(super) fn decode(text: &str) -> Option<NostrCommand<'_>> {
    if !text.trim_ascii_start().starts_with('[') {
        return None;
    }
    Some(match *list(text)?.as_slice() {
        [r#""EVENT""#, event] => NostrCommand::Event(event),
        [r#""REQ""#, id, ref filters @ ..] => NostrCommand::Request(id, filters.to_vec()),
        [r#""CLOSE""#, id] => NostrCommand::Close(id),
        _ => NostrCommand::Invalid(
            "invalid: known are [\"EVENT\", event], [\"REQ\", id, filter…] and [\"CLOSE\", id]",
        ),
    })
}

/// The first elements of a list, as JSON text.
fn list(text: &str) -> Option<Vec<&str>> {
    json::read(text, |reader| reader.list())
}

/// Writes a message: its label, parts that are JSON text, and a text.
fn message(label: &str, parts: &[&str], text: Option<&str>) -> Frame {
    let label = format!("\"{label}\"");
    let text = text.map(|text| serde_json::Value::from(text).to_string());
    let all: Vec<&str> = [&*label].into_iter().chain(parts.iter().copied()).chain(text.as_deref()).collect();
    Frame::of_text(&format!("[{}]", all.join(",")))
}
