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

fn test_functions(source: &str) -> Vec<String> {
    let behind_attributes =
        ["#[test]", "#[tokio::test"].into_iter().flat_map(|test| source.split(test).skip(1));
    behind_attributes
        .filter_map(|rest| rest.split_once("fn ")?.1.split_once('(').map(|(name, _)| name.to_owned()))
        .collect()
}

fn titles(source: &str) -> Vec<String> {
    let calls = source.lines().filter_map(|line| line.split_once("('"));
    calls.filter_map(|(_, rest)| rest.split_once("',").map(|(title, _)| title.to_owned())).collect()
}

#[test]
fn every_line_of_the_table_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = HashSet::new();
    collect(&root.join("tests"), "rs", &mut tests);
    collect(&root.join("src"), "rs", &mut tests);
    collect(&root.join("client-tests/tests"), "mjs", &mut tests);
    let table = fs::read_to_string(root.join("tests/CONTRACT.md")).unwrap();
    let rows = rows(&table);
    assert!(rows.len() > 100, "{} rows", rows.len());
    for [section, line, named] in rows {
        let named = names(named);
        assert!(!named.is_empty(), "{section} {line} names no test");
        for name in named {
            assert!(tests.contains(name), "{section} {line} names {name:?}, which is no test");
        }
    }
}
