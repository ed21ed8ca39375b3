//! The log as a subscriber of events: actions of operators, and the facts that they need when something goes
//! wrong.

use std::io;

use log::kv::Value;
use log::{Level, Record};

use peerbroker_events::{Event, Events, Notice, Row};

/// The log's target for all that is done by people.
const AUDIT: &str = "peerbroker::audit";

/// Writes lines until the broker is gone.
pub(super) fn start(events: &Events) -> io::Result<()> {
    let has_line =
        |event: &Event| event.row(|row| row.line.is_some_and(|(level, _)| level <= log::max_level()));
    // Its warnings have a level of their own.
    let wants = move |event: &Event| matches!(event, Event::Reloaded { .. }) || has_line(event);
    events.follow_some("log", wants, |notices| notices.iter().for_each(write))
}

fn write(notice: &Notice) {
    let event = match notice {
        Notice::Event(event) => event,
        Notice::Missed(missed) => return log::warn!("the log was too slow, events not in it: {missed}"),
    };
    event.row(write_row);
    if let Event::Reloaded { pending, .. } = &**event {
        pending.iter().for_each(|text| log::warn!("{text}"));
    }
}

fn write_row(row: Row<'_>) {
    let Some((level, text)) = row.line.filter(|(level, _)| *level <= log::max_level()) else { return };
    // The lines for developers name a key and an id in their text. Operators look for those of clients that
    // cannot connect.
    let is_refusal = matches!(row.live, "refused" | "limit");
    let is_for_operators = level <= Level::Info || is_refusal;
    let of_client = row.address.as_ref().filter(|_| is_refusal);
    let subject = [
        ("action", (!row.action.is_empty()).then(|| row.action.into())),
        ("actor", row.by.map(|by| by.name().into())),
        ("address", row.by.map(|by| by.address().map_or("".into(), |ip| Value::from_dyn_display(ip)))),
        ("address", of_client.map(|ip| Value::from_dyn_display(ip))),
        ("reason", row.reason.as_ref().filter(|_| is_refusal).map(|reason| Value::from_dyn_display(reason))),
        ("key", row.key.filter(|_| is_for_operators).map(|key| key.as_str().into())),
        ("id", row.id.filter(|_| is_for_operators).map(|id| id.as_str().into())),
        ("connection_id", row.connection.map(|connection| connection.get().into())),
        ("life", row.life.map(|life| Value::from_dyn_display(life))),
    ];
    let subject = subject.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let fields: Vec<(&str, Value<'_>)> = subject.chain(row.fields.iter().cloned()).collect();
    let record = Record::builder()
        .args(text)
        .level(level)
        .target(if row.is_audit { AUDIT } else { module_path!() })
        .module_path_static(Some(module_path!()))
        .file_static(Some(file!()))
        .line(Some(line!()))
        .key_values(&fields)
        .build();
    log::logger().log(&record);
}
