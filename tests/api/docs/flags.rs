//! The flags in the pages are those of `--help`.

use std::collections::BTreeSet;
use std::process::Command;

use crate::docs::pages::{code_spans, lines, pages};

/// Flags without a variable. The variables of all others follow from their names, as the page says.
const NO_SETTINGS: [&str; 3] = ["--check_config", "--help", "--version"];

#[test]
fn the_table_of_flags_is_that_of_the_help() {
    let documented: BTreeSet<Flag> = table_of("docs/CONFIG.md", "## Flags")
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let bare = |cell: &str| Some(cell.replace('`', "")).filter(|text| !text.is_empty());
            let names: Vec<&str> = cells[1].split(", ").map(|name| name.trim_matches('`')).collect();
            let long = names[0].to_owned();
            let short = names.get(1).map(|&name| name.to_owned());
            let variable =
                (!NO_SETTINGS.contains(&&*long)).then(|| long.to_uppercase().replace("--", "PEERBROKER_"));
            Flag { long, short, variable, default: bare(cells[2]) }
        })
        .collect();
    assert_eq!(documented, flags_of_the_help(&[]));
}

#[test]
fn the_table_of_options_of_keys_is_that_of_their_help() {
    type Row = (Vec<String>, Option<String>);
    let documented: BTreeSet<Row> = table_of("docs/KEYS.md", "## Keys")
        .map(|line| {
            let cells: Vec<String> = line.split('|').map(|cell| cell.trim().replace('`', "")).collect();
            let default = Some(cells[2].clone()).filter(|text| text != "–");
            (cells[1].split(", ").map(str::to_owned).collect(), default)
        })
        .collect();
    let of = |command| flags_of_the_help(&["keys", command]).into_iter();
    let known: BTreeSet<Row> = of("add")
        .chain(of("set"))
        .filter(|flag| flag.long != "--help")
        .map(|flag| (std::iter::once(flag.long).chain(flag.short).collect(), flag.default))
        .collect();
    assert_eq!(documented, known);
}

#[test]
fn the_table_of_options_of_the_doctor_is_that_of_its_help() {
    type Row = (Vec<String>, Option<String>);
    let documented: BTreeSet<Row> = table_of("docs/OPERATING.md", "## The doctor")
        .map(|line| {
            let cells: Vec<String> = line.split('|').map(|cell| cell.trim().replace('`', "")).collect();
            let default = Some(cells[2].clone()).filter(|text| text != "–");
            (cells[1].split(", ").map(str::to_owned).collect(), default)
        })
        .collect();
    let known = flags_of_the_help(&["doctor"]).into_iter().filter(|flag| flag.long != "--help");
    let known: BTreeSet<Row> =
        known.map(|flag| (std::iter::once(flag.long).chain(flag.short).collect(), flag.default)).collect();
    assert_eq!(documented, known);
}

/// The rows that start with a flag, in the section with this heading.
fn table_of(page: &str, heading: &str) -> impl Iterator<Item = String> {
    let mut inside = false;
    lines(page).filter(move |line| {
        if line.starts_with("## ") {
            inside = line == heading;
        }
        inside && line.starts_with("| `-")
    })
}

#[test]
fn every_flag_that_is_named_exists() {
    let commands =
        [&[][..], &["keys", "add"], &["keys", "set"], &["keys", "list"], &["keys", "import"], &["doctor"]];
    let known: BTreeSet<String> =
        commands.iter().flat_map(|command| flags_of_the_help(command)).map(|flag| flag.long).collect();
    for page in pages() {
        for (line, span) in code_spans(&page) {
            let name = span.split(['=', ' ']).next().unwrap_or_default();
            if let Some(name) = name.strip_prefix("--") {
                let with_underscores = format!("--{}", name.replace('-', "_"));
                assert!(known.contains(&with_underscores), "{page}:{line}: there is no flag --{name}");
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flag {
    pub long: String,
    short: Option<String>,
    pub variable: Option<String>,
    pub default: Option<String>,
}

/// The column of the descriptions of flags in the help.
const TEXT_INDENT: usize = 10;

/// The flags of the program, or of a command.
pub fn flags_of_the_help(command: &[&str]) -> BTreeSet<Flag> {
    let mut program = Command::new(testkit::program::path());
    let help = program.args(command).arg("--help").env_clear().output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let manual = Command::new(testkit::program::path()).arg("man").output().unwrap();
    let manual = String::from_utf8(manual.stdout).unwrap();
    let mut flags: Vec<(String, String)> = Vec::new();
    for line in help.lines() {
        // A wrapped description may start with a flag too, but is further right.
        let (line, indent) = (line.trim(), line.len() - line.trim_start().len());
        if line.starts_with('-') && indent < TEXT_INDENT {
            let (names, text) = line.split_once("  ").unwrap_or((line, ""));
            flags.push((names.to_owned(), format!("{text} ")));
        } else if let Some((_, text)) = flags.last_mut() {
            text.push_str(line);
            text.push(' ');
        }
    }
    let bracketed = |text: &str, name: &str| {
        let (_, rest) = text.split_once(&format!("[{name}: "))?;
        rest.split(']').next().map(|value| value.trim_end_matches('=').to_owned())
    };
    // Options for an existing key have no default. Their help says the default of a new key.
    let of_new_key = |text: &str| {
        let (_, value) = text.split_once("A new key: ")?;
        value.split_whitespace().next().map(str::to_owned)
    };
    let flag = |(names, text): (String, String)| {
        let names: Vec<&str> = names.split([',', ' ']).filter(|name| name.starts_with('-')).collect();
        let long = names.iter().find(|name| name.starts_with("--")).unwrap();
        let short = names.iter().find(|name| !name.starts_with("--"));
        let variable = format!("PEERBROKER_{}", long.trim_start_matches('-').to_uppercase());
        let is_variable = command.is_empty() && manual.contains(&format!("[env: {variable}]"));
        Flag {
            long: (*long).to_owned(),
            short: short.map(|&name| name.to_owned()),
            variable: is_variable.then_some(variable),
            default: bracketed(&text, "default").or_else(|| of_new_key(&text)),
        }
    };
    flags.into_iter().map(flag).collect()
}
