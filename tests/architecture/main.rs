//! Checks design rules that neither the compiler nor a lint can check: the allowed imports, circles of modules, where threads
//! start, and where close codes stand.
//!
//! Checks every path in the code of `src` and of `crates`, not only `use` items. Ignores comments and strings.

mod circles;
mod close_codes;
mod layers;
mod names;
mod scan;
mod self_check;
mod sources;

use std::path::Path;

use circles::{Modules, knots};
use close_codes::close_codes;
use layers::{ACTIX, LAYERS};
use names::is_test;
use sources::Sources;

#[test]
fn every_import_goes_the_way_of_the_design() {
    let sources = Sources::read(Path::new(env!("CARGO_MANIFEST_DIR")));
    let violations = sources.violations();
    assert!(violations.is_empty(), "imports against the design:\n{}", violations.join("\n"));
}

/// A thread that is started elsewhere has no name, or nobody sees its panic.
#[test]
fn threads_are_started_in_one_place() {
    let sources = Sources::read(Path::new(env!("CARGO_MANIFEST_DIR")));
    let elsewhere = sources.naming(&[["thread", "spawn"], ["thread", "Builder"]]);
    let elsewhere: Vec<&String> =
        elsewhere.iter().filter(|place| !place.starts_with("crates/core/src/threads.rs")).collect();
    assert!(
        sources
            .naming(&[["thread", "Builder"]])
            .iter()
            .any(|place| place.starts_with("crates/core/src/threads.rs"))
    );
    assert!(elsewhere.is_empty(), "threads are not started by crates/core/src/threads.rs: {elsewhere:?}");
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
fn no_module_imports_in_a_circle() {
    let sources = Sources::read(Path::new(env!("CARGO_MANIFEST_DIR")));
    let modules = Modules::read(sources.files.iter().map(|(path, text)| (path.as_path(), text.as_str())));
    let knots: String =
        knots(&modules.uses()).iter().map(|knot| format!("{:?}:\n{}\n", knot.modules, knot.text)).collect();
    assert!(knots.is_empty(), "modules that import each other in a circle:\n{knots}");
}

#[test]
fn close_codes_stand_in_the_table_of_endings_only() {
    let sources = Sources::read(Path::new(env!("CARGO_MANIFEST_DIR")));
    let others =
        sources.files.iter().filter(|(path, _)| !path.starts_with("crates/core/src/wire") && !is_test(path));
    let found: Vec<String> = others.flat_map(|(path, text)| close_codes(path, text)).collect();
    assert!(found.is_empty(), "close codes outside of crates/core/src/wire:\n{}", found.join("\n"));
}

#[test]
fn a_module_is_in_a_file_of_its_name() {
    for path in Sources::read(Path::new(env!("CARGO_MANIFEST_DIR"))).files.keys() {
        assert!(!path.ends_with("mod.rs"), "{}: call it after its module", path.display());
    }
}

/// actix-web decodes a path twice, so a guard that decodes it once would allow another name than a handler gets.
#[test]
fn only_one_file_of_the_api_reads_a_path() {
    let sources = Sources::read(Path::new(env!("CARGO_MANIFEST_DIR")));
    let places = sources.naming(&[["web", "Path"], ["dev", "Path"]]);
    assert!(places.is_empty(), "src/http/admin/target.rs reads paths, not actix_web::web::Path: {places:?}");
}
