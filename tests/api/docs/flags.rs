//! The flags in the pages are those of `--help`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::docs::pages::{code_spans, pages, prose, rows};

#[test]
fn the_tables_of_flags_are_those_of_the_help() {
    for (page, heading, commands) in [
        ("docs/CONFIG.md", "", &[&[][..]][..]),
        ("docs/KEYS.md", "## Keys", &[&["keys", "add"], &["keys", "set"]]),
        ("docs/OPERATING.md", "## The doctor", &[&["doctor"]]),
    ] {
        let rows = rows(page, heading).into_iter().filter(|row| row[0].starts_with("`-"));
        let documented = rows.map(|row| (row[0].replace('`', ""), row[1].replace(['`', '–'], "")));
        let documented: BTreeMap<_, _> = documented.collect();
        let all: BTreeMap<_, _> = commands.iter().flat_map(|command| flags_of_the_help(command)).collect();
        // A sentence above the table says that each secret may be in a file.
        let is_of_file = |names: &str| names.strip_suffix("_file").is_some_and(|of| all.contains_key(of));
        let is_repeated = |names: &str| !heading.is_empty() && names.starts_with("--help");
        let known = all.iter().filter(|(names, _)| !is_of_file(names) && !is_repeated(names));
        let known = known.map(|(names, default)| (names.clone(), default.clone()));
        assert_eq!(documented, known.collect(), "{page}");
    }
}

#[test]
fn every_flag_that_is_named_exists() {
    let commands = [
        &[][..],
        &["keys", "add"],
        &["keys", "set"],
        &["keys", "list"],
        &["keys", "import"],
        &["doctor"],
        &["listen"],
        &["connect"],
    ];
    let known: BTreeSet<String> = commands.iter().flat_map(|command| long_flags(command)).collect();
    for page in pages() {
        let spans = code_spans(&page).filter(|(_, span)| span.starts_with("--"));
        // Of commands that tests cannot run: others are run by `listings-run` of the client tests.
        let commands = prose(&page).filter(|(_, line)| line.starts_with("    "));
        let words = commands.flat_map(|(number, line)| {
            let ours = line.rsplit_once("peerbroker ").map(|(_, words)| words.to_owned()).unwrap_or_default();
            let flags = ours.split(' ').filter(|word| word.starts_with("--")).map(str::to_owned);
            flags.map(move |flag| (number, flag)).collect::<Vec<_>>()
        });
        for (line, span) in spans.chain(words) {
            let name = span.split(['=', ' ']).next().unwrap_or_default();
            let with_underscores = format!("--{}", name[2..].replace('-', "_"));
            assert!(known.contains(&with_underscores), "{page}:{line}: there is no flag {name}");
        }
    }
}

/// The column of the descriptions of flags in the help.
const TEXT_INDENT: usize = 10;

/// The long names of the flags of the program, or of a command.
pub fn long_flags(command: &[&str]) -> impl Iterator<Item = String> {
    let flags = flags_of_the_help(command).into_iter();
    flags.map(|(names, _)| names.split(',').next().unwrap().to_owned())
}

/// The flags of the program, or of a command, each with its short one, and the default.
pub fn flags_of_the_help(command: &[&str]) -> BTreeMap<String, String> {
    let mut program = Command::new(testkit::program::path());
    let help = program.args(command).arg("--help").env_clear().output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let mut flags: Vec<(String, String)> = Vec::new();
    for line in help.lines() {
        // A wrapped description may start with a flag too, but is further right.
        let indent = line.len() - line.trim_start().len();
        let line = line.trim();
        if line.starts_with('-') && indent < TEXT_INDENT {
            let (names, text) = line.split_once("  ").unwrap_or((line, ""));
            let mut names: Vec<_> = names.split([',', ' ']).filter(|name| name.starts_with('-')).collect();
            names.sort_by_key(|name| !name.starts_with("--"));
            flags.push((names.join(", "), format!("{text} ")));
        } else if let Some((_, text)) = flags.last_mut() {
            text.extend([line, " "]);
        }
    }
    // Options for an existing key have no default. Their help says the default of a new key.
    let default = |text: &str| {
        let bracketed = text.split_once("[default: ").and_then(|(_, rest)| rest.split(']').next());
        let of_new_key = || text.split_once("A new key: ")?.1.split_whitespace().next();
        bracketed.map(|value| value.trim_end_matches('=')).or_else(of_new_key).unwrap_or_default().to_owned()
    };
    flags.into_iter().map(|(names, text)| (names, default(&text))).collect()
}
