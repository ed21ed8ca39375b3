//! Files and programs around the tests.

use std::env;
use std::fs;
use std::io::{Write as _, stderr};
use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A certificate, a key or a chain of `tests/fixtures/tls`.
pub fn fixture(name: &str) -> PathBuf {
    root().join("tests/fixtures/tls").join(name)
}

/// The program under test, as Cargo has built it beside the test.
pub fn built_program() -> PathBuf {
    target().join("peerbroker")
}

/// A directory for files of tests.
pub fn scratch() -> PathBuf {
    let scratch = target().join("test-files");
    fs::create_dir_all(&scratch).expect("a directory");
    scratch.canonicalize().expect("a path")
}

/// Where Cargo puts programs. Tests are in `deps` below it.
fn target() -> PathBuf {
    let test = env::current_exe().expect("the path of this test");
    test.ancestors().nth(2).expect("two directories").to_owned()
}

/// The path of an installed program, or of one that `scripts/setup.sh` has unpacked.
pub fn find(program: &str) -> Option<PathBuf> {
    let unpacked = root().join("target/proxies/usr");
    let path = env::var_os("PATH").unwrap_or_default();
    let places =
        env::split_paths(&path).chain(["/usr/sbin".into(), unpacked.join("bin"), unpacked.join("sbin")]);
    places.map(|place| place.join(program)).find(|path| path.is_file())
}

/// The path of a program that a test needs. Without it, the test skips itself on the machine of a developer,
/// and fails where `CI` is set.
pub fn need(program: &str) -> Option<PathBuf> {
    let found = find(program);
    if found.is_none() {
        lacks(&format!("{program} is missing, which scripts/setup.sh gets where the distribution has it"));
    }
    found
}

/// Says why a test is skipped, past libtest, which would keep it to itself. Fails where `CI` is set.
pub fn lacks(reason: &str) {
    assert!(env::var_os("CI").is_none(), "{reason}");
    let _ = writeln!(stderr(), "skipped: {reason}");
}
