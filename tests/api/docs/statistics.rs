//! The tables of statistics in docs/API.md have what the API answers.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::docs::pages::{rows, spans};
use crate::harness::ops::with_api;

/// The texts in backticks in the first column of the table with this head.
fn first_column(head: &str) -> BTreeSet<String> {
    rows("docs/API.md", head).iter().flat_map(|row| spans(&row[0])).collect()
}

fn names(object: &Value) -> BTreeSet<String> {
    object.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_statistics_have_the_fields_kinds_and_outcomes_of_the_tables() {
    let (_server, api) = with_api(&[], None, |_| {});
    let stats = api.get("/api/stats").json;
    assert_eq!(first_column("Field"), names(&stats));
    let fields = rows("docs/API.md", "Field");
    let messages = fields.iter().find(|row| row[0] == "`messages`").unwrap();
    let kinds: BTreeSet<String> = spans(&messages[1]).into_iter().collect();
    assert_eq!(kinds, names(&stats["messages"]));
    for kind in kinds {
        assert_eq!(first_column("Outcome"), names(&stats["messages"][kind]));
    }
}
