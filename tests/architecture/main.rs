//! Holds the rules of the house that neither the compiler nor a lint can hold: which part may use
//! which, and how large a file may grow.
//!
//! Every path in `src` is looked at, not only those of `use` items. Comments, documentation and
//! strings are not.

mod names;
mod rooms;
mod scan;
mod self_check;
mod sources;

use std::path::Path;

use rooms::{ACTIX, ROOMS};
use sources::Sources;

/// A file that is longer is usually two rooms.
const MAX_LINES: usize = 400;

#[test]
fn every_import_goes_the_way_of_the_design() {
    let sources = Sources::read(Path::new(env!("CARGO_MANIFEST_DIR")));
    let violations = sources.violations();
    assert!(violations.is_empty(), "imports against the design:\n{}", violations.join("\n"));
}

#[test]
fn the_table_of_rooms_has_no_way_back_up() {
    for (at, room) in ROOMS.iter().enumerate() {
        for used in room.rooms() {
            let below = ROOMS[at + 1..].iter().any(|lower| lower.name == used);
            assert!(below, "{} uses {used}, which does not stand below it", room.name);
        }
        let actix = room.external().any(|path| path.starts_with("actix"));
        assert!(!actix || ACTIX.contains(&room.name), "{} may not know actix", room.name);
    }
}

#[test]
fn the_table_of_rooms_allows_nothing_that_is_not_used() {
    let sources = Sources::read(Path::new(env!("CARGO_MANIFEST_DIR")));
    let edges = sources.edges();
    let unused: Vec<String> = ROOMS
        .iter()
        .flat_map(|room| room.rooms().chain(room.external()).map(|path| (room.name, path)))
        .filter(|(room, path)| !edges.iter().any(|edge| edge.room == *room && edge.target.allowed_by(path)))
        .map(|(room, path)| format!("{room} does not use {path}"))
        .collect();
    assert!(unused.is_empty(), "take out of the table:\n{}", unused.join("\n"));
}

#[test]
fn no_file_is_two_rooms() {
    for (path, text) in &Sources::read(Path::new(env!("CARGO_MANIFEST_DIR"))).files {
        let lines = text.lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines", path.display());
        assert!(!path.ends_with("mod.rs"), "{}: call it after its module", path.display());
    }
}
