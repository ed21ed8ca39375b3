//! The filter of the log of a program that embeds the broker.

use peerbroker::Listen;
use peerbroker_config::ListenOps;
use serde_json::{Value, json};

use crate::harness::api::Api;
use crate::harness::ops::with_api;
use crate::harness::{TestServer, Transport};

#[test]
fn the_filter_is_that_of_the_last_change_and_null_ends_it() {
    let (_server, api) = with_api(&[], None, |_| {});
    let put = |body: Value| api.call("PUT", "/api/log", Some(&body));
    let configured = json!({"filter": "info", "configured": "info", "seconds": null});
    assert_eq!(api.get("/api/log").json, configured);
    let debug = json!({"filter": "debug", "configured": "info", "seconds": 60});
    assert_eq!(put(json!({"filter": "debug", "seconds": 60})).json, debug);
    let refused = put(json!({"filter": ""}));
    assert_eq!((refused.status, &refused.json["detail"]), (422, &"filter: expected a level".into()));
    assert_eq!(api.get("/api/log").json, debug, "a wrong filter changes nothing");
    assert_eq!(put(json!({"filter": "trace"})).json["seconds"], Value::Null);
    assert_eq!(put(json!({"filter": null})).json, configured);
}

#[test]
fn a_program_may_keep_its_log_to_itself() {
    let ops = ListenOps::default();
    let listen = Listen { ops: Some(ops), ..Listen::default() };
    let server = TestServer::start_listening(Transport::Own, |_| {}, listen);
    let api = Api { address: server.ops.unwrap(), headers: String::new() };
    assert_eq!(api.get("/api/log").status, 501);
    assert_eq!(api.call("PUT", "/api/log", Some(&json!({"filter": "info"}))).status, 501);
}
