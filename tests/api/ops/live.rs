//! The stream of numbers and events.

use peerbroker_config::AdminToken;
use serde_json::{Value, json};

use crate::harness::api::{Api, Stream};
use crate::harness::keys::plain_key;
use crate::harness::ops::with_api;
use crate::harness::wait_until;

/// As in `src/http/admin/samples.rs` and `src/http/admin/recent.rs`.
const MAX_STREAMS: usize = 16;
const MAX_EVENTS: usize = 100;

fn open(api: &Api) -> Stream {
    let mut stream = api.stream("/api/live");
    assert_eq!(stream.head.status, 200);
    assert_eq!(stream.expect_message().0, "history");
    stream
}

/// Reads until a message fits, and gives it.
fn until(stream: &mut Stream, mut fits: impl FnMut(&Value) -> bool) -> Value {
    loop {
        let (name, tick) = stream.expect_message();
        assert_eq!(name, "tick");
        if fits(&tick) {
            return tick;
        }
    }
}

fn has_event(tick: &Value, kind: &str, id: &str) -> bool {
    let events = tick["events"].as_array().unwrap();
    events.iter().any(|event| event["kind"] == kind && event["id"] == id)
}

#[test]
fn a_stream_tells_who_comes_and_goes_and_begins_with_the_past() {
    let (server, api) = with_api(&[plain_key("one")], None, |_| {});
    let mut stream = open(&api);
    assert_eq!(stream.head.header("content-type").as_deref(), Some("text/event-stream"));
    assert_eq!(stream.head.header("cache-control").as_deref(), Some("no-store"));
    let client = server.client_of("one", "%3Cb%3Ealice");
    let came = until(&mut stream, |tick| has_event(tick, "connected", "<b>alice"));
    assert_eq!((&came["sample"]["clients"], &came["unready"]), (&json!(1), &json!([])));
    assert_eq!(came["events"][0]["key"], "one");
    drop(client);
    let left = until(&mut stream, |tick| has_event(tick, "disconnected", "<b>alice"));
    assert_eq!((&left["sample"]["clients"], &left["sample"]["opened"]), (&json!(0), &json!(1)));

    // A stream that begins later gets the samples and the events of before at once, and gets no event twice.
    let mut later = api.stream("/api/live");
    let (name, history) = later.expect_message();
    assert_eq!(name, "history");
    let samples = history["samples"].as_array().unwrap();
    assert!(samples.iter().any(|sample| sample["clients"] == 1), "{samples:?}");
    let events = history["events"].as_array().unwrap();
    let of_alice: Vec<_> = events.iter().filter(|event| event["id"] == "<b>alice").collect();
    assert_eq!([&of_alice[0]["kind"], &of_alice[1]["kind"]], ["connected", "disconnected"], "{events:?}");
    assert!(of_alice[0]["ago"].is_u64(), "{of_alice:?}");
    let _client = server.client_of("one", "bob");
    let tick = until(&mut later, |tick| has_event(tick, "connected", "bob"));
    assert_eq!(tick["events"].as_array().unwrap().len(), 1, "{tick:?}");
}

#[test]
fn a_flood_of_events_is_cut_and_counted() {
    let (server, api) = with_api(&[], None, |_| {});
    let mut stream = open(&api);
    let clients: Vec<_> = (0..MAX_EVENTS + 50).map(|n| server.client(&format!("c{n}"))).collect();
    let mut known = 0;
    until(&mut stream, |tick| {
        let events = tick["events"].as_array().unwrap();
        assert!(events.len() <= MAX_EVENTS, "{}", events.len());
        known += events.len() as u64 + tick["skipped"].as_u64().unwrap();
        known >= clients.len() as u64
    });
}

#[test]
fn only_so_many_streams_are_open_at_a_time() {
    let (_server, api) = with_api(&[], None, |_| {});
    let mut streams: Vec<Stream> = (0..MAX_STREAMS).map(|_| open(&api)).collect();
    assert!(api.get("/api/live").problem(503).contains("too many"));
    assert_eq!(api.get("/api/stats").status, 200);
    streams.pop();
    wait_until("room for another stream", || api.stream("/api/live").head.status == 200);
}

#[test]
fn a_stream_needs_a_login_and_ends_with_the_server() {
    let token = "a-token-of-the-operator";
    assert!(AdminToken::parse(token).is_ok());
    let (mut server, api) = with_api(&[], Some(token), |_| {});
    api.get("/api/live").problem(401);
    let mut stream = open(&api.with_token(token));
    server.begin_stop();
    stream.expect_end();
    server.join();
}
