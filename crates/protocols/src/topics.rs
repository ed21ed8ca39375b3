//! Topics, to which clients subscribe and publish: the protocols of the signaling servers of y-webrtc and of
//! Trystero's ws-relay.
//!
//! Both have `subscribe`, `unsubscribe` and `publish`. A publication goes to all subscribers, its sender too.
//! y-webrtc names several `topics`, and hears its own object with the number of subscribers; Trystero names
//! one `topic`, and hears that and the `payload`. See the servers in y-webrtc 10.3.0, `bin/server.js`, and
//! Trystero 0.25, `packages/ws-relay/src/server.ts`.

mod advice;
mod client;

use std::borrow::Cow;

use super::client::Published;
use super::json::{self, Object, write_string};
use super::signal::SignalKind;
pub(super) use advice::ADVICE;
pub(super) use client::Pending;
pub use client::Subscriber;
use peerbroker_core::vocabulary::Frame;
use peerbroker_rooms::{MemberView, RoomFrames};

/// Most topics of one client.
pub const MAX_TOPICS: usize = 64;

/// Most topics of a list that are read: one more than a client may have, so that it hits the limit.
const MAX_LISTED: usize = MAX_TOPICS + 1;

const _: () = assert!(MAX_LISTED <= json::MAX_ELEMENTS);

/// A command of a client.
#[derive(Debug)]
pub enum TopicCommand<'a> {
    /// Hear what is published to these topics.
    Subscribe(Vec<Cow<'a, str>>),
    /// Hear it no longer.
    Unsubscribe(Vec<Cow<'a, str>>),
    /// Tell all subscribers of this topic.
    Publish(Cow<'a, str>),
    /// Answer with a pong: the client of y-webrtc closes a connection on which it has heard nothing for 30
    /// seconds.
    Ping,
}

impl TopicCommand<'_> {
    /// The command, to keep.
    fn into_owned(self) -> TopicCommand<'static> {
        let owned = |topic: Cow<'_, str>| Cow::Owned(topic.into_owned());
        match self {
            Self::Subscribe(topics) => TopicCommand::Subscribe(topics.into_iter().map(owned).collect()),
            Self::Unsubscribe(topics) => TopicCommand::Unsubscribe(topics.into_iter().map(owned).collect()),
            Self::Publish(topic) => TopicCommand::Publish(owned(topic)),
            Self::Ping => TopicCommand::Ping,
        }
    }
}

/// Decodes a frame without an action; `None` for one of no known type.
pub(super) fn decode<'a>(frame: &Object<'a>) -> Option<TopicCommand<'a>> {
    Some(match &*frame.string("type")? {
        "subscribe" => TopicCommand::Subscribe(topics(frame)?),
        "unsubscribe" => TopicCommand::Unsubscribe(topics(frame)?),
        "publish" => TopicCommand::Publish(frame.string("topic")?),
        "ping" => TopicCommand::Ping,
        _ => return None,
    })
}

/// The topic, or the topics. Members of the list that are no strings are none. `None` if there is neither.
fn topics<'a>(frame: &Object<'a>) -> Option<Vec<Cow<'a, str>>> {
    let list = frame.list("topics");
    let listed = list.unwrap_or_default().iter().take(MAX_LISTED);
    let topics: Vec<_> =
        frame.string("topic").into_iter().chain(listed.filter_map(|topic| json::string(topic))).collect();
    // y-webrtc subscribes to an empty list while it has no rooms.
    (list.is_some() || !topics.is_empty()).then_some(topics)
}

/// Reads a publication by which y-webrtc connects two clients. `None` if it is no signal, or encrypted.
pub(super) fn signal(publication: &str) -> Option<Published<'_>> {
    let data = Object::parse_with(json::member_of(publication, "data")?, &["signal"])?;
    let kind = SignalKind::of(data.object("signal").and_then(|signal| signal.get("type")));
    Some(Published { from: data.string("from")?, to: data.string("to"), kind })
}

/// The answer to a ping.
pub fn pong() -> Frame {
    Frame::of_text(r#"{"type":"pong"}"#)
}

/// A publication, as the subscribers of its topic hear it.
pub fn publication(topic: &str, text: &str, subscribers: usize) -> Frame {
    let Some(object) = Object::parse(text) else { return Frame::of_text(text) };
    if let Some(payload) = object.get("payload") {
        return Frame::text(topic.len() + payload.len() + 32, |out| {
            out.extend_from_slice(b"{\"topic\":");
            write_string(out, topic);
            out.extend_from_slice(b",\"payload\":");
            out.extend_from_slice(payload.as_bytes());
            out.push(b'}');
        });
    }
    let clients = |out: &mut Vec<u8>| out.extend_from_slice(subscribers.to_string().as_bytes());
    Frame::text(text.len() + 24, |out| object.write_with(out, "clients", Some(&clients)))
}

/// The rules of topics, whose subscribers hear publications only.
#[derive(Debug)]
pub struct Topics;

impl RoomFrames for Topics {
    fn echoes(&self) -> bool {
        true
    }

    fn refuses(&self) -> bool {
        false
    }

    fn max_rooms(&self) -> usize {
        MAX_TOPICS
    }

    fn lists_members(&self) -> bool {
        false
    }

    fn member_bytes(&self, _: MemberView<'_>) -> usize {
        0
    }

    fn room_of(&self, message: &Frame) -> Option<String> {
        let message = std::str::from_utf8(message.payload()).ok()?;
        json::member_of(message, "topic").and_then(json::string).map(Cow::into_owned)
    }
}
