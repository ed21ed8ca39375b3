//! The tables of limits in docs/LIMITS.md match the code.

use std::collections::BTreeSet;

use peerbroker_core::vocabulary::{Limit, LimitRow};

use crate::docs::flags::flags_of_the_help;
use crate::docs::pages::rows;

/// The flag in a cell, without its hyphens.
fn flag(cell: &str) -> Option<String> {
    cell.split('`').find_map(|part| part.strip_prefix("--")).map(str::to_owned)
}

#[test]
fn the_limits_have_the_names_the_flags_and_the_scopes_of_the_code() {
    let documented = rows("docs/LIMITS.md", "").into_iter().filter_map(|row| {
        let (name, scope) = row.get(4)?.split_once(", ")?;
        Some((name.trim_matches('`').to_owned(), flag(&row[2]), scope.to_owned()))
    });
    let known = Limit::ALL.iter().map(|limit| {
        let LimitRow { label, flag, scope } = limit.row();
        (label.to_owned(), flag.map(str::to_owned), scope.label().to_owned())
    });
    assert_eq!(documented.collect::<BTreeSet<_>>(), known.collect());
}

#[test]
fn a_limit_that_a_flag_sets_has_the_default_of_the_flag_and_a_burst_is_ten_times_its_rate() {
    let defaults = flags_of_the_help(&[]);
    let mut compared = BTreeSet::new();
    for row in rows("docs/LIMITS.md", "") {
        let what = &row[0];
        let limit = &row[1];
        if let Some((rate, burst)) = limit.split_once(" per second, burst ") {
            assert_eq!(rate.parse::<u32>().unwrap() * 10, burst.parse::<u32>().unwrap(), "{what}");
        }
        // The limit may be a flag, or a part of what the flag sets.
        if let Some(flag) = flag(&row[2]).filter(|_| !limit.starts_with('`') && row[2].starts_with('`')) {
            let is_meant = |names: &str| names.split(',').next() == Some(&format!("--{flag}"));
            let default = defaults.iter().find(|(names, _)| is_meant(names)).map(|(_, default)| default);
            assert_eq!(Some(&in_units_of_the_flag(limit)), default, "{what}");
            compared.insert(flag);
        }
    }
    assert!(Limit::ALL.iter().filter_map(|limit| limit.row().flag).all(|flag| compared.contains(flag)));
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
