//! The flags of registration, and the lifetime of registered keys.

use peerbroker_core::vocabulary::ApiKey;
use peerbroker_keys::sqlite::SqliteKeys;
use peerbroker_keys::{Key, KeyStore as _, Settings};

use crate::directory::Directory;
use crate::http_client::{HttpConnection, Response};
use crate::program::{Program, run};
use testkit::wait::wait_until;

const DAY: u64 = 24 * 60 * 60;

fn register(program: &Program, name: &str) -> Response {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("name", name), ("origin", "https://a.test")])
        .finish();
    let mut http = HttpConnection::open(program.address);
    http.send(format!(
        "POST /broker/register HTTP/1.1\r\nHost: server.test\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    http.response(false)
}

fn statuses(program: &Program, count: usize) -> Vec<u16> {
    (0..count).map(|_| register(program, "My game").status).collect()
}

fn key_in(response: &Response) -> ApiKey {
    assert_eq!(response.status, 303, "{response:?}");
    let location = response.header("location").expect("a page");
    ApiKey::parse(location.strip_prefix("register?key=").expect("a key")).unwrap()
}

fn now() -> u64 {
    Key::new(None, "", Settings::default()).created
}

#[test]
fn registration_is_opened_by_a_flag_and_its_limit_is_a_flag() {
    const OPEN: [&str; 2] = ["--registration", "open"];
    for (args, expected) in [
        (&[][..], &[404][..]),
        (&OPEN, &[303, 303, 303, 303, 303, 429]),
        (&[OPEN[0], OPEN[1], "--registrations_per_day", "2"], &[303, 303, 429]),
        (&[OPEN[0], OPEN[1], "--registrations_per_day", "0"], &[303, 303, 303, 303, 303, 303]),
    ] {
        let program = Program::start(args);
        assert_eq!(statuses(&program, expected.len()), expected, "{args:?}");
    }
}

#[test]
fn the_page_says_after_how_many_days_a_key_goes() {
    for (args, text) in
        [(&[][..], "uses it for 90 days."), (&["--registration_ttl", "1"], "uses it for a day.")]
    {
        let program = Program::start(&[&["--registration", "open"], args].concat());
        assert!(program.get("/broker/").text().contains(text), "{args:?}");
        let key = key_in(&register(&program, "My game"));
        let page = program.get(&format!("/broker/register?key={}", key.as_str()));
        assert!(page.text().contains(text), "{args:?}");
    }
    let program = Program::start(&["--registration", "open", "--registration_ttl", "0"]);
    assert!(!program.get("/broker/").text().contains("is removed when"));
}

#[test]
fn a_registered_key_outlives_the_server_and_its_making_is_in_the_log() {
    let directory = Directory::new();
    let data_dir = directory.arg("data");
    let args = ["--registration", "open", "--data_dir", &data_dir];
    let mut program = Program::start(&args);
    let key = key_in(&register(&program, "My \u{202e}game \"x\""));
    let stderr = program.stop().stderr;
    let line = stderr.lines().find(|line| line.contains("peerbroker::audit")).expect("a line");
    assert!(line.contains(&format!("registration, from 127.0.0.1, added the key {key:?}")), "{line}");
    assert!(line.contains(r#""name":"My \u202egame \"x\"","origins":["https://a.test"]"#), "{line}");

    let program = Program::start(&args);
    let target = format!("/peerjs?key={}&id=a&token=t", key.as_str());
    program
        .connect(&target)
        .expect(r#"{"type":"ERROR","payload":{"msg":"This origin may not use the key"}}"#);
    let listed = run(&["keys", "list", "--data_dir", &data_dir], &[]).stdout;
    assert!(listed.iter().any(|line| line.contains(key.as_str())), "{listed:?}");
}

/// Waits until the server has looked for unused keys, which it does before it reads other changes. Then it
/// has counted this hour.
fn wait_for_a_look(program: &Program, store: &SqliteKeys, hour: u64) {
    wait_until("an hour to be counted", || !store.unused(hour).unwrap().is_empty());
    store.add(Key::new(ApiKey::parse("new").ok(), "", Settings::default())).unwrap();
    wait_until("the new key to be active", || {
        program.connect("/peerjs?key=new&id=a&token=t").expect_text().contains("OPEN")
    });
}

/// As after 100 days switched off, with an old backup, or with a clock that is 100 days ahead.
#[test]
fn a_server_that_starts_late_removes_no_registered_key() {
    let directory = Directory::new();
    let data_dir = directory.arg("data");
    let store = SqliteKeys::open(&directory.at("data")).unwrap();
    let key = Key::new(ApiKey::parse("of-a-school").ok(), "an app", Settings::default());
    store.add(Key { registered: true, created: now() - 100 * DAY, ..key.clone() }).unwrap();
    let program = Program::start(&["--data_dir", &data_dir]);
    wait_for_a_look(&program, &store, 1);
    assert!(store.get(&key.key).unwrap().is_some());
}

#[test]
fn a_key_that_is_going_to_be_removed_is_named_in_the_log() {
    let directory = Directory::new();
    let data_dir = directory.arg("data");
    let store = SqliteKeys::open(&directory.at("data")).unwrap();
    for (text, registered) in [("of-a-school", true), ("an-operators", false)] {
        let key = Key::new(ApiKey::parse(text).ok(), "an app", Settings::default());
        store.add(Key { registered, ..key }).unwrap();
    }
    (1..=6 * 24).for_each(|hour| store.count_hour(hour * 3600).unwrap());
    // Even after registration is closed.
    let mut program = Program::start(&["--data_dir", &data_dir, "--registration_ttl", "7"]);
    wait_for_a_look(&program, &store, 6 * 24 + 1);
    let stderr = program.stop().stderr;
    let line = stderr.lines().find(|line| line.contains("--registration_ttl, 7 days")).expect("a line");
    assert!(line.contains("of-a-school") && !line.contains("an-operators"), "{line}");
}

#[test]
fn with_a_ttl_of_zero_every_key_stays() {
    let directory = Directory::new();
    let data_dir = directory.arg("data");
    let store = SqliteKeys::open(&directory.at("data")).unwrap();
    let stays = Key { registered: true, created: 1, ..Key::new(None, "an app", Settings::default()) };
    let goes = Key { registered: true, created: 1, ..Key::new(None, "another", Settings::default()) };
    store.add(stays.clone()).unwrap();
    let mut program = Program::start(&["--data_dir", &data_dir, "--registration_ttl", "0"]);
    // The server reads changes after it has deleted unused keys, so the keys that it knows now have stayed.
    store.add(goes.clone()).unwrap();
    wait_until("the key to be active", || {
        let mut client = program.connect(&format!("/peerjs?key={}&id=a&token=t", goes.key.as_str()));
        client.expect_text().contains("OPEN")
    });
    assert_eq!(store.get(&stays.key).unwrap().map(|key| key.created), Some(1));
    assert!(!program.stop().stderr.contains("it is removed"));
}
