//! Checks that the tests exist that `tests/CONTRACT.md` names.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// The cells of the rows of all tables, without their heads.
fn rows(markdown: &str) -> Vec<[&str; 3]> {
    let cells = markdown.lines().filter(|line| line.starts_with('|')).map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        <[&str; 3]>::try_from(cells).unwrap_or_else(|_| panic!("three columns: {line}"))
    });
    cells.filter(|[section, ..]| *section != "§" && !section.starts_with("--")).collect()
}

/// The names in backticks.
fn names(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn collect(dir: &Path, extension: &str, found: &mut HashSet<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, extension, found);
        } else if path.extension().is_some_and(|there| there == extension) {
            let source = fs::read_to_string(&path).unwrap();
            found.extend(if extension == "rs" { test_functions(&source) } else { titles(&source) });
        }
    }
}

/// The names of all Rust tests and attacks.
pub fn rust_tests() -> HashSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = HashSet::new();
    for directory in ["tests", "src", "crates"] {
        collect(&root.join(directory), "rs", &mut tests);
    }
    tests
}

/// Functions behind an attribute of tests, and the names in a macro that makes tests or attacks of functions.
fn test_functions(source: &str) -> Vec<String> {
    let starts = ["#[test]", "#[tokio::test", "#[actix_web::test]"];
    let behind_attributes = starts.into_iter().flat_map(|start| source.split(start).skip(1));
    let functions = behind_attributes.filter_map(|rest| Some(rest.split_once("fn ")?.1.split_once('(')?.0));
    let lists = ["on_every_backplane! {", "on_every_store! {"];
    let listed = lists.into_iter().flat_map(|list| source.split(list).skip(1));
    let listed =
        listed.filter_map(|rest| rest.split_once('}')).flat_map(|(names, _)| names.split_whitespace());
    let attacks = source.split("attack!(").skip(1).filter_map(|rest| rest.split([':', ',']).nth(2));
    functions.chain(listed).chain(attacks).map(str::to_owned).collect()
}

fn titles(source: &str) -> Vec<String> {
    let calls = source.lines().filter_map(|line| line.split_once("('"));
    calls.filter_map(|(_, rest)| rest.split_once("',").map(|(title, _)| title.to_owned())).collect()
}

#[test]
fn every_line_of_the_table_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = rust_tests();
    collect(&root.join("client-tests/tests"), "mjs", &mut tests);
    let table = fs::read_to_string(root.join("tests/CONTRACT.md")).unwrap();
    let rows = rows(&table);
    assert!(!rows.is_empty(), "no table");
    for [section, line, named] in rows {
        let named = names(named);
        assert!(!named.is_empty(), "{section} {line} names no test");
        for name in named {
            assert!(tests.contains(name), "{section} {line} names {name:?}, which is no test");
        }
    }
}
