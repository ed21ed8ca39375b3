//! The tables of statistics in docs/API.md have what the API answers.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::docs::pages::lines;
use crate::harness::ops::with_api;

/// The texts in backticks in the first column of the table with this head.
fn first_column(head: &str) -> BTreeSet<String> {
    let table = lines("docs/API.md")
        .skip_while(|line| line != "## Statistics")
        .skip_while(|line| !line.starts_with(head))
        .skip(2);
    let rows = table.take_while(|line| line.starts_with('|'));
    rows.flat_map(|row| spans(row.split('|').nth(1).unwrap())).collect()
}

fn spans(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn names(object: &Value) -> BTreeSet<String> {
    object.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_statistics_have_the_fields_kinds_and_outcomes_of_the_tables() {
    let (_server, api) = with_api(&[], None, |_| {});
    let stats = api.get("/api/stats").json;
    assert_eq!(first_column("| Field "), names(&stats));
    let messages = lines("docs/API.md").find(|line| line.starts_with("| `messages` | messages by kind"));
    let kinds: BTreeSet<String> = spans(&messages.unwrap()).into_iter().skip(1).collect();
    assert_eq!(kinds, names(&stats["messages"]));
    for kind in kinds {
        assert_eq!(first_column("| Outcome "), names(&stats["messages"][kind]));
    }
}
