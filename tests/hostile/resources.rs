//! A machine that runs out of resources, or loses its power.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::api::Api;
use crate::flow::push;
use crate::harness::{Target, handshake};
use crate::program::{Program, command};

pub fn descriptors(target: &mut Target) {
    let held: Vec<_> = (0..400).map(|_| target.connect()).collect();
    thread::sleep(Duration::from_secs(2));
    drop(held);
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let stream = target.connect();
        push(&stream, handshake("203.0.113.10", "afterwards", "t").as_bytes(), deadline);
        stream.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
        if std::io::Read::read(&mut &stream, &mut [0; 12]).is_ok_and(|count| count == 12) {
            return;
        }
        assert!(Instant::now() < deadline, "nobody gets in afterwards");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A separate server with an API. The shell command `limit` runs before it.
fn start(data_dir: &str, limit: &str) -> (Program, Api) {
    let args = ["--host", "127.0.0.1", "--port", "0", "--ops_port", "0", "--data_dir", data_dir];
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("{limit}; exec \"$0\" \"$@\"")]);
    limited.arg(command(&[]).get_program()).args(args).env_clear();
    let mut program = Program::start_command(&mut limited);
    let (api, _) = program.expect_api();
    (program, api)
}

/// Checks that all keys are there that the API has confirmed.
fn assert_kept(api: &Api, promised: &[String]) {
    for key in promised {
        assert_eq!(api.get(&format!("/api/keys/{key}")).status, 200, "{key} is lost");
    }
}

pub fn full_disk(target: &mut Target) {
    let data_dir = target.directory.arg("full");
    // No file may grow beyond 100 KiB. Writing more is an error instead of a signal.
    let (program, api) = start(&data_dir, "trap '' XFSZ; ulimit -f 200");
    let mut promised = Vec::new();
    let refused = (0..1000).find_map(|n| {
        let added = api.post("/api/keys", &json!({"key": format!("full-{n}"), "name": "x".repeat(100)}));
        (added.status != 201).then_some(added.status).or_else(|| {
            promised.push(format!("full-{n}"));
            None
        })
    });
    assert_eq!(refused, Some(500), "after {} keys", promised.len());
    assert_kept(&api, &promised);
    program.client("still-served");
    drop(program);
    let (_program, api) = start(&data_dir, ":");
    assert_kept(&api, &promised);
}
