//! References of the pages exist: files, headings, and quoted Rust.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::contract_table::rust_tests;
use crate::docs::pages::{blocks, code_spans, pages, prose, read, root, rows, spans};

#[test]
fn references_of_the_pages_exist() {
    let mut missing = Vec::new();
    for page in pages() {
        let directory = root().join(&page).parent().unwrap().to_owned();
        for (line, target) in links(&page) {
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = if path.is_empty() { root().join(&page) } else { directory.join(path) };
            if !file.exists() {
                missing.push(format!("{page}:{line}: {target}"));
            } else if !anchor.is_empty() && !anchors(&file).contains(anchor) {
                missing.push(format!("{page}:{line}: no heading for #{anchor}"));
            }
        }
        for (line, path) in code_spans(&page).filter(|(_, span)| is_path(span)) {
            if !root().join(&path).exists() {
                missing.push(format!("{page}:{line}: {path}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The last column cites tests: a Rust test by its name, a test in a browser by its title or a part of it,
/// where `…` stands for what it fills in.
#[test]
fn the_tests_of_the_threats_and_of_the_mistakes_are_there() {
    let rust = rust_tests();
    let browser: Vec<String> =
        below("client-tests/tests", ".mjs").into_iter().map(|name| read(&name)).collect();
    let exists = |test: &String| {
        if !test.contains(' ') {
            return rust.contains(test);
        }
        let mut lines = browser.iter().flat_map(|source| source.lines()).map(str::trim);
        lines.any(|line| !line.starts_with("//") && test.split('…').all(|part| line.contains(part)))
    };
    let threats = rows("docs/SECURITY.md", "Threat");
    for row in threats.into_iter().chain(rows("tests/MISTAKES.md", "Mistake")) {
        let tests = spans(&row[3]);
        assert!(!tests.is_empty() && row.len() == 4, "a row without a test: {row:?}");
        assert!(tests.iter().all(exists), "no such test: {tests:?}");
    }
}

#[test]
fn the_rust_in_the_pages_stands_in_code_that_is_compiled() {
    let sources = ["tests/api/docs/embedding.rs", "tests/api/embedding.rs", "examples/embed.rs"].map(read);
    // The examples of a crate's page run as tests of its documentation.
    let (of_crates, pages): (Vec<_>, Vec<_>) =
        pages().into_iter().partition(|page| page.starts_with("crates/"));
    for page in of_crates {
        let library = read(&page.replace("README.md", "src/lib.rs"));
        assert!(library.starts_with("#![doc = include_str!(\"../README.md\")]"), "{page}");
        assert!(!blocks(&page, "rust").is_empty(), "{page}");
    }
    for block in pages.iter().flat_map(|page| blocks(page, "rust")) {
        let wanted: Vec<&str> = block.lines.iter().map(|line| line.trim()).collect();
        let found = sources.iter().any(|source| {
            let lines: Vec<&str> = source.lines().map(str::trim).collect();
            lines.windows(wanted.len()).any(|window| window == wanted)
        });
        assert!(found, "{}: this code is nowhere", block.at(1));
    }
}

/// All files below a directory whose names end like this.
pub fn below(directory: &str, end: &str) -> Vec<String> {
    let mut sources = Vec::new();
    let mut directories = vec![root().join(directory)];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            if entry.is_dir() {
                directories.push(entry);
            } else if name.ends_with(end) {
                sources.push(name);
            }
        }
    }
    sources
}

/// The relative links.
fn links(page: &str) -> impl Iterator<Item = (usize, String)> {
    prose(page).flat_map(|(number, line)| {
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let relative = targets.filter(|target| !target.contains("://"));
        relative.map(|target| (number, target.to_owned())).collect::<Vec<_>>()
    })
}

/// True if a text in backticks names a file of the project, except for build results.
fn is_path(span: &str) -> bool {
    let directories = "src/ tests/ docs/ client/ static/ client-tests/ deploy/ examples/ npm/ scripts/";
    let made = ["client/dist", "npm/vendor/dist", "client-tests/clients", "tests/fuzz/artifacts"];
    directories.split(' ').any(|directory| span.starts_with(directory))
        && !made.iter().any(|made| span.starts_with(made))
        && !span.contains(['*', '{', ' '])
}

/// The anchors of the headings of a page, as GitHub makes them.
fn anchors(page: &PathBuf) -> BTreeSet<String> {
    let text = fs::read_to_string(page).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter(|&c| c.is_alphanumeric() || " -_".contains(c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}
