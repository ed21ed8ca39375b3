//! The documents have the figures of the recorded benchmarks.

// The benchmark writes the documents with it.
#[path = "../../bench/src/report.rs"]
mod report;

use crate::docs::pages::{pages, read, root};

#[test]
fn the_figures_of_the_documents_are_those_of_the_last_runs() {
    for (name, text) in report::documents(root()).unwrap() {
        let found = read(name);
        let differs = found.lines().zip(text.lines()).find(|(found, expected)| found != expected);
        assert!(found == text, "{name}: `make bench-report` writes its figures: {differs:?}");
    }
}

#[test]
fn every_page_with_figures_is_written() {
    let documents = report::documents(root()).unwrap();
    for page in pages().into_iter().filter(|page| read(page).contains("<!-- figure: ")) {
        assert!(
            documents.iter().any(|(name, _)| *name == page),
            "{page} is not in tests/bench/src/report.rs"
        );
    }
}
