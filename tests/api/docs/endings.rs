//! The tables of endings in docs/PROTOCOL.md are those of the code.

use peerbroker::config::WebhookEvent;
use peerbroker::events::CallFailure;
use peerbroker::keys::Settings;
use peerbroker::wire::{AppRefusal, CloseReason, HandshakeRefusal, Refusal, RequestEnding, RoomRefusal};

use crate::docs::pages::lines;

/// Name, close code or status, text, and whether to come back.
type Row = (String, Option<u16>, String, bool);

fn row(label: &str, code: Option<u16>, text: &str, retry: bool) -> Row {
    (label.to_owned(), code, text.trim_end().to_owned(), retry)
}

/// The rows of the table in the section with this heading.
fn documented(heading: &str, code: usize, text: usize) -> Vec<Row> {
    let section = lines("docs/PROTOCOL.md")
        .skip_while(|line| line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with('#'));
    let rows = section.filter(|line| line.starts_with("| `"));
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 5, "{line}");
        let number = Some(cells[code]).filter(|cell| *cell != "none");
        let number = number.map(|number| number.parse().unwrap_or_else(|error| panic!("{error}: {line}")));
        let text = if cells[text] == "–" { "" } else { cells[text] };
        let retry = match cells[4] {
            "yes" => true,
            "no" => false,
            other => panic!("{other}: {line}"),
        };
        row(cells[0].trim_matches('`'), number, text, retry)
    })
    .collect()
}

#[test]
fn the_reasons_of_closes_are_those_of_the_code() {
    let known = CloseReason::ALL.map(CloseReason::ending);
    let known = known.map(|row| self::row(row.label, row.code, row.text, row.retry));
    assert_eq!(documented("### The end of a connection", 1, 2), known);
}

#[test]
fn the_refusals_of_clients_are_those_of_the_code() {
    let known = Refusal::ALL.map(Refusal::ending);
    let known = known.map(|row| self::row(row.label, row.code, row.text, row.retry));
    assert_eq!(documented("### Refused clients", 2, 1), known);
}

#[test]
fn the_refusals_of_handshakes_are_those_of_the_code() {
    let known = HandshakeRefusal::ALL.map(HandshakeRefusal::ending);
    let known =
        known.map(|row| self::row(row.label, Some(row.status), row.text.unwrap_or_default(), row.retry));
    assert_eq!(documented("### Refused handshakes", 1, 2), known);
}

#[test]
fn the_dashboard_has_words_for_each_reason() {
    let words = std::fs::read_to_string("static/dashboard/words.js").expect("the words of the dashboard");
    let closed = CloseReason::ALL.map(|reason| reason.ending().label);
    let refused = Refusal::ALL.map(|reason| reason.ending().label);
    for label in closed.into_iter().chain(refused).chain(CallFailure::ALL.map(CallFailure::label)) {
        assert!(words.contains(&format!("\n  {label}: '")), "{label}");
    }
}

#[test]
fn the_form_of_the_dashboard_has_each_setting_of_a_key() {
    let form = std::fs::read_to_string("static/dashboard/key-form.js").expect("the form");
    // The list of keys has a button for `enabled`, and a dialog for `tokens`.
    for name in Settings::NAMES.iter().filter(|name| !["enabled", "tokens"].contains(name)) {
        assert!(form.contains(&format!("'{name}'")), "{name}");
    }
}

#[test]
fn the_table_of_webhooks_has_each_event() {
    let rows: Vec<String> = lines("docs/WEBHOOKS.md").filter(|line| line.starts_with("| `")).collect();
    for event in WebhookEvent::ALL {
        let cell = format!("`{}`", event.label());
        assert!(
            rows.iter().any(|row| row.split('|').nth(1).is_some_and(|first| first.contains(&cell))),
            "{cell}"
        );
    }
}

/// The row of a request that is refused: name, text, limit, and whether to try again.
type RequestRow = (String, String, Option<String>, bool);

fn request_row(ending: RequestEnding) -> RequestRow {
    let limit = ending.limit.map(|limit| limit.row().label.to_owned());
    (ending.label.to_owned(), ending.text.to_owned(), limit, ending.retry)
}

fn documented_requests(heading: &str) -> Vec<RequestRow> {
    let section = lines("docs/PROTOCOL.md")
        .skip_while(|line| line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with('#'));
    section
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let plain = |cell: &str| cell.trim_matches('`').to_owned();
            let limit = Some(cells[2]).filter(|cell| *cell != "–").map(plain);
            (plain(cells[0]), cells[1].to_owned(), limit, cells[4] == "yes")
        })
        .collect()
}

#[test]
fn the_refusals_of_requests_are_those_of_the_code() {
    let known = RoomRefusal::ALL.map(|refusal| request_row(refusal.ending()));
    assert_eq!(documented_requests("### Refused requests"), known);
    let known = AppRefusal::ALL.map(|refusal| request_row(refusal.ending()));
    assert_eq!(documented_requests("### Refused messages to the app"), known);
}
