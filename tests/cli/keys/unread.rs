//! A server that could not read its keys yet: it denies none of them.

use std::fs;

use peerbroker_keys::sqlite::{FILE_NAME, SqliteKeys};
use peerbroker_keys::{Key, KeyStore as _, Settings};
use testkit::wait::wait_until;

use crate::directory::Directory;
use crate::doctor::examine;
use crate::program::Program;

const UNREAD: &str = "the keys could not be read yet";

/// Nobody is told that there is no such key: no client, no balancer, no operator.
fn expect_unread(args: &[&str]) {
    let mut program = Program::start(&[args, &["--ops_port", "0"]].concat());
    let (api, _) = program.expect_api();
    for key in ["peerjs", "stored"] {
        let mut client = program.connect(&format!("/peerjs?key={key}&id=a&token=t"));
        client.expect(r#"{"type":"ERROR","payload":{"msg":"Server is not available at the moment"}}"#);
        client.expect_closed_with(Some(1013));
    }
    for status in
        [program.get("/healthz").status, program.get("/peerjs/id").status, api.get("/readyz").status]
    {
        assert_eq!(status, 503, "{args:?}");
    }
    let url = format!("http://{}", program.address);
    examine(&[&url, "--quick"]).expect("health", "failed", &[UNREAD]);
    examine(&[&url]).expect("path", "failed", &[UNREAD, "admits nobody"]);
    let mistakes = || api.get("/api/mistakes").json["mistakes"].to_string();
    wait_until("the mistakes", || mistakes().contains(UNREAD));
    assert!(!mistakes().contains("keys add"), "{}", mistakes());
}

#[test]
fn a_node_whose_redis_is_down_from_the_start_denies_no_key() {
    for degraded in ["allow", "refuse"] {
        // Nothing listens there.
        let redis = ["--redis", "redis://127.0.0.1:1", "--keys", "redis", "--cluster_degraded", degraded];
        expect_unread(&redis);
    }
}

#[test]
fn a_server_whose_database_is_damaged_denies_no_key() {
    let data = Directory::new();
    let dir = data.at("data");
    let store = SqliteKeys::open(&dir).unwrap();
    for _ in 0..100 {
        store.add(Key::new(None, "an app", Settings::default())).unwrap();
    }
    drop(store);
    let file = dir.join(FILE_NAME);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].iter_mut().for_each(|byte| *byte = 0xff);
    fs::write(&file, bytes).unwrap();
    expect_unread(&["--data_dir", &data.arg("data")]);
}

#[test]
fn a_database_that_is_replaced_below_the_server_is_noticed() {
    let data = Directory::new();
    let dir = data.at("data");
    for replace in [false, true] {
        SqliteKeys::open(&dir).unwrap();
        let mut program = Program::start(&["--data_dir", &data.arg("data"), "--ops_port", "0"]);
        let (api, _) = program.expect_api();
        assert_eq!(api.get("/readyz").status, 200);
        let file = dir.join(FILE_NAME);
        let copy = dir.join("copy");
        fs::copy(&file, &copy).unwrap();
        fs::remove_file(&file).unwrap();
        if replace {
            fs::rename(&copy, &file).unwrap();
        }
        program.expect_log(" ERROR ");
        let words = "peerbroker.db: it was removed or replaced while it was in use, so nothing can be kept: restart the server";
        wait_until("the reason", || api.get("/readyz").json["reasons"].to_string().contains(words));
        assert_eq!(api.get("/readyz").status, 503);
        // Its clients stay, and no key is denied.
        assert_eq!(program.get("/peerjs/id").status, 200);
        program.connect("/peerjs?key=new&id=a&token=t").expect_text();
        let log = program.stop().stderr;
        assert_eq!(log.matches(&format!("cannot reach the keys: {}", dir.display())).count(), 1, "{log}");
        fs::remove_dir_all(&dir).unwrap();
    }
}
