//! Lists, kicks and numbers are those of all nodes.

use serde_json::json;

use super::nodes::{Nodes, SHORT_LEASE};
use crate::http_client::HttpConnection;

#[test]
fn each_node_lists_the_peers_of_all() {
    let nodes = Nodes::start(3, &["--allow_discovery"]);
    let ids = ["d", "a", "e", "b", "c"];
    let _clients: Vec<_> =
        ids.iter().enumerate().map(|(number, id)| nodes.programs[number % 3].client(id)).collect();
    for node in 0..3 {
        assert_eq!(nodes.ids(node, ""), ["a", "b", "c", "d", "e"]);
        assert_eq!(nodes.ids(node, "?limit=2"), ["a", "b"]);
        assert_eq!(nodes.ids(node, "?limit=2&after=b"), ["c", "d"]);
        assert_eq!(nodes.ids(node, "?limit=2&after=d"), ["e"]);
        let page = nodes.apis[node].get("/api/keys/peerjs/peers?limit=3").json;
        let shown: Vec<_> = page["peers"].as_array().unwrap().iter().collect();
        assert_eq!(shown.iter().map(|peer| &peer["id"]).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(shown.iter().map(|peer| &peer["node"]).collect::<Vec<_>>(), ["b", "a", "b"]);
        assert_eq!(page["next"], "c");
        let rest = nodes.apis[node].get("/api/keys/peerjs/peers?limit=3&after=c").json;
        assert_eq!((rest["peers"].as_array().unwrap().len(), &rest["next"]), (2, &json!(null)));
    }
}

#[test]
fn a_node_that_does_not_answer_is_left_out_of_a_list() {
    let nodes = Nodes::start(2, &["--allow_discovery", "--cluster_lease", "60000"]);
    let _clients = [nodes.programs[0].client("here"), nodes.programs[1].client("there")];
    assert_eq!(nodes.ids(0, ""), ["here", "there"]);
    nodes.programs[1].signal("-STOP");
    assert_eq!(nodes.ids(0, ""), ["here"]);
    let stats = nodes.stats(0);
    let other =
        stats["cluster"]["nodes"].as_array().unwrap().iter().find(|node| node["name"] == "b").unwrap();
    assert_eq!((&other["alive"], &other["stats"]), (&json!(true), &json!(null)));
    nodes.programs[1].signal("-CONT");
    assert_eq!(nodes.ids(0, ""), ["here", "there"]);
}

#[test]
fn a_peer_is_shown_and_kicked_wherever_it_is() {
    let mut nodes = Nodes::start(2, &[]);
    let mut there = nodes.programs[1].client("there");
    let shown = nodes.apis[0].get("/api/keys/peerjs/peers/there");
    assert_eq!(shown.status, 200);
    assert_eq!((&shown.json["id"], &shown.json["node"]), (&json!("there"), &json!("b")));
    assert_eq!((&shown.json["kind"], &shown.json["connection"]), (&json!("peerjs"), &json!("websocket")));
    assert_eq!(shown.json["address"], "127.0.0.1");

    assert_eq!(nodes.apis[0].delete("/api/keys/peerjs/peers/there").status, 204);
    there.expect_closed_with(Some(4005));
    nodes.apis[0].delete("/api/keys/peerjs/peers/there").problem(404);
    nodes.apis[1].get("/api/keys/peerjs/peers/there").problem(404);
    let kicked = r#"kicked the peer "there""#;
    assert_eq!(nodes.log_of(0).matches(kicked).count(), 1);
    assert_eq!(nodes.log_of(1).matches(kicked).count(), 0);
}

#[test]
fn statistics_have_the_numbers_of_each_node_and_their_sums() {
    let nodes = Nodes::start(2, &[]);
    let mut here = nodes.programs[0].client("here");
    let mut there = [nodes.programs[1].client("there"), nodes.programs[1].client("too")];
    here.send(r#"{"type":"OFFER","dst":"there","payload":1}"#);
    there[0].expect(r#"{"type":"OFFER","src":"here","dst":"there","payload":1}"#);
    for node in 0..2 {
        let stats = nodes.stats(node);
        let cluster = &stats["cluster"];
        assert_eq!(cluster["node"], ["a", "b"][node]);
        assert_eq!(stats["clients"], [1, 2][node]);
        assert_eq!((&cluster["total"]["clients"], &cluster["total"]["opened"]), (&json!(3), &json!(3)));
        assert_eq!(cluster["total"]["handed_over"], 1);
        let of = |name: &str| {
            let mut all = cluster["nodes"].as_array().unwrap().iter();
            all.find(|node| node["name"] == name).unwrap()["stats"].clone()
        };
        assert_eq!((&of("a")["clients"], &of("b")["clients"]), (&json!(1), &json!(2)));
        assert_eq!((&of("a")["handed_over"], &of("b")["handed_over"]), (&json!(1), &json!(0)));
        assert!(cluster["life"].is_string(), "{cluster}");
    }
}

#[test]
fn a_node_out_of_its_cluster_is_not_ready_and_says_why() {
    let mut nodes = Nodes::start(1, SHORT_LEASE);
    let ready = nodes.apis[0].get("/readyz");
    assert_eq!((ready.status, ready.json), (200, json!({"ready": true, "reasons": []})));
    nodes.redis.kill();
    nodes.wait_until("the node is out", || nodes.apis[0].get("/readyz").status == 503);
    let unready = nodes.apis[0].get("/readyz").json;
    assert_eq!(unready["ready"], false);
    assert!(unready["reasons"][0].as_str().unwrap().contains("cannot reach the other nodes"), "{unready}");
    assert_eq!(nodes.stats(0)["cluster"]["state"], "degraded");
    assert_eq!(nodes.apis[0].get("/healthz").json, json!({"status": "ok"}));
    drop(nodes.programs[0].client("served"));
    nodes.redis.start_again();
    nodes.wait_until("the node is back", || nodes.apis[0].get("/readyz").status == 200);
}

#[test]
fn a_node_without_keys_is_not_ready() {
    let mut nodes = Nodes::start(1, &["--keys", "redis"]);
    nodes.redis.kill();
    let url = nodes.redis.url();
    let mut late = crate::program::Program::start(&["--redis", &url, "--keys", "redis", "--ops_port", "0"]);
    let (api, _) = late.expect_api();
    let unready = api.get("/readyz");
    assert_eq!(unready.status, 503);
    assert!(unready.json.to_string().contains("keys could not be read"), "{}", unready.json);
    nodes.redis.start_again();
    nodes.wait_until("the keys are read", || api.get("/readyz").status == 200);
}

#[test]
fn a_server_that_stops_is_not_ready() {
    let mut nodes = Nodes::start(1, &[]);
    let mut api = HttpConnection::open(nodes.apis[0].address);
    assert_eq!(api.request("GET", "/readyz", "").status, 200);
    let mut client = nodes.programs[0].client("slow");
    nodes.programs[0].signal("-TERM");
    // It waits for the answer to its close frame.
    assert_eq!(client.expect_close(), Some(1001));
    assert_eq!(api.request("GET", "/readyz", "").status, 503);
    client.close(Some(1001));
    assert!(nodes.programs[0].wait().status.success());
}
