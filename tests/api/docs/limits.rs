//! The tables of limits in docs/LIMITS.md match the code.

use std::collections::{BTreeMap, BTreeSet};

use peerbroker::wire::{Limit, LimitRow};

use crate::docs::flags::flags_of_the_help;
use crate::docs::pages::lines;

/// A row of a table: the limited thing, the limit, its setting, and its name and scope if it has them.
struct Row {
    what: String,
    limit: String,
    flag: Option<String>,
    name_and_scope: Option<(String, String)>,
}

fn rows() -> Vec<Row> {
    let rows = lines("docs/LIMITS.md").filter(|line| line.starts_with("| ") && !line.contains("| Set by |"));
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let flag = cells[2].split('`').find_map(|part| part.strip_prefix("--")).map(str::to_owned);
        let name_and_scope = cells
            .get(4)
            .and_then(|cell| cell.split_once(", "))
            .map(|(name, scope)| (name.trim_matches('`').to_owned(), scope.to_owned()));
        Row { what: cells[0].to_owned(), limit: cells[1].to_owned(), flag, name_and_scope }
    })
    .collect()
}

#[test]
fn the_limits_have_the_names_the_flags_and_the_scopes_of_the_code() {
    let documented: BTreeSet<_> = rows()
        .into_iter()
        .filter_map(|row| row.name_and_scope.map(|(name, scope)| (name, row.flag, scope)))
        .collect();
    let known: BTreeSet<_> = Limit::ALL
        .iter()
        .map(|limit| {
            let LimitRow { label, flag, scope } = limit.row();
            (label.to_owned(), flag.map(str::to_owned), scope.label().to_owned())
        })
        .collect();
    assert_eq!(documented, known);
}

#[test]
fn a_limit_that_a_flag_sets_has_the_default_of_the_flag() {
    let defaults: BTreeMap<_, _> =
        flags_of_the_help(&[]).into_iter().map(|flag| (flag.long, flag.default)).collect();
    let mut compared = BTreeSet::new();
    for Row { what, limit, flag, .. } in rows() {
        // The limit may be a flag.
        let Some(flag) = flag.filter(|_| !limit.starts_with('`')) else { continue };
        let default = defaults[&format!("--{flag}")].as_deref();
        assert_eq!(Some(&*in_units_of_the_flag(&limit)), default, "{what}");
        compared.insert(flag);
    }
    assert!(Limit::ALL.iter().filter_map(|limit| limit.row().flag).all(|flag| compared.contains(flag)));
    assert!(compared.contains("room_code_timeout") && compared.contains("registration_ttl"), "{compared:?}");
}

#[test]
fn a_burst_is_ten_times_its_rate() {
    let mut bursts = 0;
    for Row { what, limit, .. } in rows() {
        let Some((rate, burst)) = limit.split_once(" per second, burst ") else { continue };
        assert_eq!(rate.parse::<u32>().unwrap() * 10, burst.parse::<u32>().unwrap(), "{what}");
        bursts += 1;
    }
    assert_eq!(bursts, 6);
}

/// A limit like `64 MiB` or `10,000` in the unit of its flag: bytes, milliseconds, or a number.
fn in_units_of_the_flag(limit: &str) -> String {
    let (number, rest) = limit.split_once(' ').unwrap_or((limit, ""));
    let number: u64 = number.replace(',', "").parse().unwrap_or_else(|error| panic!("{limit}: {error}"));
    let unit = match rest.split([' ', ',']).next().unwrap_or_default() {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "s" => 1000,
        "h" => 60 * 60 * 1000,
        "" | "days" | "per" => 1,
        other => panic!("{limit}: what is {other}?"),
    };
    (number * unit).to_string()
}
