//! The lines of `--log_format json`: one object each, with `time`, `level`, `target`, `message`, and fields
//! of their own.

use std::net::SocketAddr;

use jiff::{Timestamp, Unit};
use log::Record;
use log::kv::{self, Key, Value as Kv, VisitSource};
use peerbroker_core::vocabulary::{ConnId, expected};
use peerbroker_events::{Event, PeerAddress};
use peerbroker_keys::escaped;
use serde_json::{Map, Value, json};

use super::text::{client_options, url};
use crate::cli::Settings;

/// The target of the lines on stdout.
const CONSOLE: &str = "peerbroker::console";
/// The field of the log that is JSON itself.
const SETTINGS: &str = "settings";

/// A line of stdout, with fields of an object.
pub(super) fn line(level: &str, message: &str, fields: Value) -> String {
    line_of(level, CONSOLE, message, fields)
}

fn line_of(level: &str, target: &str, message: &str, fields: Value) -> String {
    let time = expected(Timestamp::now().round(Unit::Millisecond), "a time in milliseconds");
    let time = format!("{time:.3}");
    let line = json!({"time": time, "level": level, "target": target, "message": message});
    escaped(&with(line, fields).to_string()) + "\n"
}

/// An object with the members of another one that it has not itself.
fn with(mut object: Value, more: Value) -> Value {
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        for (name, value) in more {
            object.entry(name).or_insert(value);
        }
    }
    object
}

/// A line of the log, with its fields.
pub(super) fn record(record: &Record<'_>) -> String {
    let mut fields = LogFields::default();
    // The visitor never fails.
    let _ = record.key_values().visit(&mut fields);
    line_of(record.level().as_str(), record.target(), &record.args().to_string(), fields.0.into())
}

#[derive(Default)]
struct LogFields(Map<String, Value>);

impl<'kvs> VisitSource<'kvs> for LogFields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Kv<'kvs>) -> Result<(), kv::Error> {
        let text = value.to_string();
        if text.is_empty() {
            return Ok(());
        }
        let value = match key.as_str() {
            SETTINGS => serde_json::from_str(&text).unwrap_or(Value::String(text)),
            _ => value.to_u64().map_or(Value::String(text), Value::from),
        };
        self.0.insert(key.as_str().to_owned(), value);
        Ok(())
    }
}

/// The fields of the line of a server that listens.
pub(super) fn started(settings: &Settings, address: SocketAddr) -> Value {
    let Settings { config, listen, calls, .. } = settings;
    // The address of a proxy is not known here.
    let url = (!config.proxied).then(|| url(&client_options(config, listen, address), listen));
    let calls = calls.words(Some(address), config.proxied);
    let path = config.path.as_str();
    json!({"event": "started", "address": address, "path": path, "url": url, "calls": calls})
}

/// The fields of the line of its API.
pub(super) fn api_started(address: SocketAddr) -> Value {
    json!({"event": "api_started", "address": address})
}

/// The fields of the line for an event.
pub(super) fn fields(event: &Event) -> Value {
    match event {
        Event::PeerConnected(new) => {
            let version = new.client_version.as_ref().map(|version| version.as_str());
            let more = json!({"address": new.address, "version": version});
            about("connected", &new.peer, new.connection, more)
        }
        Event::PeerDisconnected(gone) => {
            let duration = u64::try_from(gone.duration.as_millis()).unwrap_or(u64::MAX);
            let reason = gone.reason.ending().label;
            let messages = gone.messages;
            let bytes = gone.bytes;
            let more =
                json!({"reason": reason, "duration_ms": duration, "messages": messages, "bytes": bytes});
            about("disconnected", &gone.peer, gone.connection, more)
        }
        Event::Stopped => json!({"event": "stopped"}),
        _ => Value::Null,
    }
}

fn about(event: &str, peer: &PeerAddress, connection: ConnId, more: Value) -> Value {
    let key = peer.key.as_str();
    let id = peer.id.as_str();
    let realm = peer.realm.label();
    let connection_id = connection.get();
    with(json!({"event": event, "key": key, "id": id, "realm": realm, "connection_id": connection_id}), more)
}
