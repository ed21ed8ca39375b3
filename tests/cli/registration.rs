//! The flags of registration, and the lifetime of registered keys.

use peerbroker::keys::sqlite::SqliteKeys;
use peerbroker::keys::{Key, KeyStore as _, Settings};
use peerbroker::vocabulary::ApiKey;

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
fn registration_is_opened_by_a_flag_and_its_limits_are_flags() {
    const OPEN: [&str; 2] = ["--registration", "open"];
    for (args, expected) in [
        (&[][..], &[404][..]),
        (&OPEN, &[303, 303, 303, 303, 303, 429]),
        (&[OPEN[0], OPEN[1], "--registrations_per_day", "2"], &[303, 303, 429]),
        (&[OPEN[0], OPEN[1], "--registrations_per_day", "0"], &[303, 303, 303, 303, 303, 303]),
        (&[OPEN[0], OPEN[1], "--registration_limit", "1"], &[303, 503]),
        (&[OPEN[0], OPEN[1], "--registration_limit", "0"], &[303, 303]),
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

#[test]
fn registered_keys_that_nobody_uses_are_removed() {
    let directory = Directory::new();
    let data_dir = directory.arg("data");
    let registered = |text: &str, days: u64| {
        let key = Key::new(ApiKey::parse(text).ok(), "an app", Settings::default());
        Key { registered: true, created: now() - days * DAY, ..key }
    };
    let store = SqliteKeys::open(&directory.at("data")).unwrap();
    let old_but_used = registered("old-but-used", 100);
    let an_operators = Key { registered: false, ..registered("an-operators", 100) };
    let keys = [registered("old", 8), registered("new", 6), old_but_used.clone(), an_operators];
    for key in keys {
        store.add(key).unwrap();
    }
    store.record_used(&[(old_but_used.key, now() - DAY)]).unwrap();

    // Even after registration is closed.
    let mut program = Program::start(&["--data_dir", &data_dir, "--registration_ttl", "7"]);
    let listed = || run(&["keys", "list", "--data_dir", &data_dir], &[]).stdout.join("\n");
    wait_until("the old key to be removed", || !listed().contains("\nold "));
    let left: Vec<String> = store.all().unwrap().iter().map(|key| key.key.as_str().to_owned()).collect();
    assert_eq!(left, ["an-operators", "old-but-used", "new"]);
    let stderr = program.stop().stderr;
    let line = r#"the key "old" was registered and not used for 7 days: it is removed"#;
    assert_eq!(stderr.matches(line).count(), 1, "{stderr}");
    assert_eq!(stderr.matches("it is removed").count(), 1, "{stderr}");
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
