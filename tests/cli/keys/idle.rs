//! Memory of keys that nobody uses.

use std::fs;

use serde_json::{Value, json};
use testkit::process::Process;
use testkit::wait::wait_until;

use super::{done, keys};
use crate::directory::Directory;
use crate::program::Program;

/// Most bytes of an idle key, also while all keys are read.
const MOST: u64 = 1_800;

#[test]
fn an_idle_key_takes_few_bytes_also_while_another_process_adds_one() {
    const KEYS: usize = 10_000;
    let peak = |number: usize| {
        let directory = Directory::new();
        let entries = (0..number).map(|n| json!({ "name": format!("app {n}"), "key": format!("key-{n}") }));
        let file = json!({ "peerbroker_keys": 1, "keys": entries.collect::<Vec<Value>>() });
        fs::write(directory.at("keys.json"), file.to_string()).unwrap();
        let imported = keys(&directory, &["import", &directory.arg("keys.json")]);
        assert_eq!(imported.status.code(), Some(0), "{}", imported.stderr);
        let mut program = Program::start(&["--data_dir", &directory.arg("data")]);
        done(&directory, &["add", "-k", "another"]);
        wait_until("the server has read the keys again", || program.get("/another/id").status == 200);
        let peak = Process(program.id()).peak_resident().expect("its memory");
        program.stop();
        peak
    };
    let each = peak(KEYS).saturating_sub(peak(1)) / KEYS as u64;
    assert!(each <= MOST, "{each} bytes each");
}
