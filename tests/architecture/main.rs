//! Checks the rules of the project that neither the compiler nor a lint checks: which layer may use
//! which, how large a file may be, and how many files a change may touch.
//!
//! Every path in `src` is checked, not only those of `use` items. Comments, documentation and
//! strings are not.

mod additions;
mod circles;
mod close_codes;
mod layers;
mod names;
mod scan;
mod self_check;
mod sources;

use std::collections::BTreeSet;
use std::path::Path;

use circles::{Modules, knots};
use close_codes::close_codes;
use layers::{ACTIX, LAYERS};
use names::is_test;
use sources::Sources;

/// A longer file usually has two concerns.
const MAX_LINES: usize = 400;

#[test]
fn every_import_goes_the_way_of_the_design() {
    let sources = Sources::read(Path::new(env!("CARGO_MANIFEST_DIR")));
    let violations = sources.violations();
    assert!(violations.is_empty(), "imports against the design:\n{}", violations.join("\n"));
}

#[test]
fn the_table_of_layers_has_no_way_back_up() {
    for (at, layer) in LAYERS.iter().enumerate() {
        for used in layer.layers() {
            let below = LAYERS[at + 1..].iter().any(|lower| lower.name == used);
            assert!(below, "{} uses {used}, which does not stand below it", layer.name);
        }
        let actix = layer.external().any(|path| path.starts_with("actix"));
        assert!(!actix || ACTIX.contains(&layer.name), "{} may not know actix", layer.name);
    }
}

#[test]
fn the_table_of_layers_allows_nothing_that_is_not_used() {
    let sources = Sources::read(Path::new(env!("CARGO_MANIFEST_DIR")));
    let edges = sources.edges();
    let unused: Vec<String> = LAYERS
        .iter()
        .flat_map(|layer| layer.layers().chain(layer.external()).map(|path| (layer.name, path)))
        .filter(|(layer, path)| {
            !edges.iter().any(|edge| edge.layer == *layer && edge.target.allowed_by(path))
        })
        .map(|(layer, path)| format!("{layer} does not use {path}"))
        .collect();
    assert!(unused.is_empty(), "take out of the table:\n{}", unused.join("\n"));
}

/// Known circles that remain to be removed.
const KNOWN_CIRCLES: &[&[&str]] = &[
    &["app", "app::background"],
    &["auth", "auth::answers", "auth::jwks", "auth::jwt", "auth::verifying_keys", "auth::webhook"],
    &[
        "broker",
        "broker::delivery",
        "broker::inspect",
        "broker::lease",
        "broker::outbox",
        "broker::outbox::shed",
        "broker::queue",
        "broker::realm",
        "broker::rooms",
        "broker::slot",
        "broker::state",
        "broker::tenant",
    ],
    &[
        "http",
        "http::body",
        "http::endpoint",
        "http::files",
        "http::key_signup",
        "http::legacy",
        "http::not_found",
        "http::pages",
        "http::peerjs",
        "http::seen",
    ],
    &["ops", "ops::access", "ops::keys", "ops::peers", "ops::stats"],
];

#[test]
fn no_module_imports_in_a_circle() {
    let sources = Sources::read(Path::new(env!("CARGO_MANIFEST_DIR")));
    let modules = Modules::read(sources.files.iter().map(|(path, text)| (path.as_path(), text.as_str())));
    let knots = knots(&modules.uses());
    let known: Vec<BTreeSet<String>> =
        KNOWN_CIRCLES.iter().map(|circle| circle.iter().map(|&module| module.to_owned()).collect()).collect();

    let new = knots.iter().filter(|knot| !known.iter().any(|known| knot.modules.is_subset(known)));
    let new: String = new.map(|knot| format!("{:?}:\n{}\n", knot.modules, knot.text)).collect();
    assert!(new.is_empty(), "modules that import each other in a circle:\n{new}");
    for known in known {
        let found = knots.iter().any(|knot| knot.modules.is_subset(&known));
        assert!(found, "take out of the list of circles: {known:?}");
    }
}

#[test]
#[ignore = "until the table of endings is there"]
fn close_codes_stand_in_the_table_of_endings_only() {
    let sources = Sources::read(Path::new(env!("CARGO_MANIFEST_DIR")));
    let others = sources.files.iter().filter(|(path, _)| !path.starts_with("src/wire") && !is_test(path));
    let found: Vec<String> = others.flat_map(|(path, text)| close_codes(path, text)).collect();
    assert!(found.is_empty(), "close codes outside of src/wire:\n{}", found.join("\n"));
}

#[test]
fn no_file_is_two_layers() {
    for (path, text) in &Sources::read(Path::new(env!("CARGO_MANIFEST_DIR"))).files {
        let lines = text.lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines", path.display());
        assert!(!path.ends_with("mod.rs"), "{}: call it after its module", path.display());
    }
}
