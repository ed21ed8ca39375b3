//! The table of beginners' mistakes, `tests/MISTAKES.md`.

use std::fs;

use crate::pages::{lines, read, root};
use crate::references::below;

#[test]
fn the_tests_of_the_mistakes_are_there() {
    let mut sources: Vec<String> =
        ["src", "tests"].into_iter().flat_map(below).map(|name| read(&name)).collect();
    for entry in fs::read_dir(root().join("client-tests/tests")).unwrap() {
        sources.push(fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    let mut mistakes = 0;
    for row in lines("tests/MISTAKES.md").filter(|line| line.starts_with('|') && !line.starts_with("|--")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "{row}");
        if cells[0] == "Mistake" {
            continue;
        }
        let tests: Vec<&str> = cells[3].split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "a mistake without a test: {row}");
        for test in tests {
            assert!(sources.iter().any(|source| has_test(source, test)), "{test} is no test");
        }
        mistakes += 1;
    }
    assert!(mistakes > 15, "{mistakes} mistakes");
}

/// Whether a source has a function of this name, or a test of the browsers with this title.
fn has_test(source: &str, test: &str) -> bool {
    if test.contains(' ') {
        test.split('…').all(|part| source.contains(part))
    } else {
        source.contains(&format!("fn {test}("))
    }
}
