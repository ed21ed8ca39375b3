//! The tables of statistics in docs/API.md have what the API answers.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::docs::pages::{lines, rows, spans};
use crate::harness::ops::{with_api, with_everything};

/// The texts in backticks in the first column of the table with this head.
fn first_column(head: &str) -> BTreeSet<String> {
    rows("docs/API.md", head).iter().flat_map(|row| spans(&row[0])).collect()
}

/// The texts in backticks of each item of a list that begins with this one, without it.
fn listed(first: &str) -> Vec<BTreeSet<String>> {
    let begin = format!("- {first}, ");
    let items = lines("docs/API.md").filter_map(|line| line.strip_prefix(&begin).map(spans));
    items.map(BTreeSet::from_iter).collect()
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

#[test]
fn the_reasons_of_the_relay_and_of_turn_are_those_that_the_pages_name() {
    let (_server, api) = with_everything();
    let stats = api.get("/api/stats").json;
    let [of_relay, of_turn] = ["relay", "turn"].map(|of| names(&stats[of]["dropped"]));
    let [relay, turn] = &listed("`dropped`")[..] else { panic!("two lists") };
    assert_eq!(relay, &of_relay);
    // The page names those that differ from the relay's.
    assert!(turn.is_subset(&of_turn) && of_turn.difference(&of_relay).all(|reason| turn.contains(reason)));
    assert_eq!(listed("`refused`"), [names(&stats["turn"]["refused"])]);
}
