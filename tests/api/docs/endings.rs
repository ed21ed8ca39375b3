//! The tables of endings and events in the documents, and the words and the form of the dashboard, have the
//! rows of the code.

use peerbroker_config::WebhookEvent;
use peerbroker_core::vocabulary::{
    AppRefusal, CloseReason, HandshakeRefusal, Refusal, RequestEnding, RoomRefusal,
};
use peerbroker_events::CallFailure;
use peerbroker_keys::Settings;

use crate::docs::pages::{read, rows, spans};

/// The cells of a row, but for its explanation.
fn row(label: &str, [second, third]: [&str; 2], retry: bool) -> [String; 4] {
    let cell = |text: &str| if text.is_empty() { "–".to_owned() } else { text.trim_end().to_owned() };
    [format!("`{label}`"), cell(second), cell(third), if retry { "yes" } else { "no" }.to_owned()]
}

fn of_request(RequestEnding { label, text, retry, limit }: RequestEnding) -> [String; 4] {
    let limit = limit.map(|limit| format!("`{}`", limit.row().label)).unwrap_or_default();
    row(label, [text, &limit], retry)
}

#[test]
fn the_tables_of_endings_are_those_of_the_code() {
    let code = |code: Option<u16>| code.map_or("none".to_owned(), |code| code.to_string());
    let closes = CloseReason::ALL.map(CloseReason::ending);
    let closes = closes.map(|it| row(it.label, [&code(it.code), it.text], it.retry));
    let refusals = Refusal::ALL.map(Refusal::ending);
    let refusals = refusals.map(|it| row(it.label, [it.text, &code(it.code)], it.retry));
    let handshakes = HandshakeRefusal::ALL.map(HandshakeRefusal::ending);
    let handshakes =
        handshakes.map(|it| row(it.label, [&it.status.to_string(), it.text.unwrap_or_default()], it.retry));
    for (heading, known) in [
        ("### The end of a connection", closes.to_vec()),
        ("### Refused clients", refusals.to_vec()),
        ("### Refused handshakes", handshakes.to_vec()),
        ("### Refused requests", RoomRefusal::ALL.map(|it| of_request(it.ending())).to_vec()),
        ("### Refused messages to the app", AppRefusal::ALL.map(|it| of_request(it.ending())).to_vec()),
    ] {
        let rows = rows("docs/PROTOCOL.md", heading).into_iter();
        let documented = rows.map(|row| [0, 1, 2, 4].map(|column| row[column].clone()));
        assert_eq!(documented.collect::<Vec<_>>(), known, "{heading}");
    }
}

#[test]
fn the_dashboard_has_words_for_each_reason_and_a_place_for_each_setting_of_a_key() {
    let words = read("static/dashboard/words.js");
    let form = read("static/dashboard/key-form.js");
    let closed = CloseReason::ALL.map(|reason| reason.ending().label);
    let refused = Refusal::ALL.map(|reason| reason.ending().label);
    for label in closed.into_iter().chain(refused).chain(CallFailure::ALL.map(CallFailure::label)) {
        assert!(words.contains(&format!("\n  {label}: '")), "{label}");
    }
    // The list of keys has a button for `enabled`, and a dialog for `tokens`.
    for name in Settings::NAMES.iter().filter(|name| !["enabled", "tokens"].contains(name)) {
        assert!(form.contains(&format!("'{name}'")), "{name}");
    }
}

#[test]
fn the_table_of_webhooks_has_each_event() {
    let documented: Vec<String> =
        rows("docs/WEBHOOKS.md", "").iter().flat_map(|row| spans(&row[0])).collect();
    for event in WebhookEvent::ALL.map(WebhookEvent::label) {
        assert!(documented.iter().any(|documented| documented == event), "{event}");
    }
}
