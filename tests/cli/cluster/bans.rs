//! A ban is one of all nodes, wherever their keys are.

use serde_json::json;

use super::nodes::Nodes;
use crate::program::Program;

fn status(program: &Program) -> u16 {
    program.request("/peerjs/id", "X-Forwarded-For: 192.0.2.1\r\n").status
}

fn is_of_all_nodes(keys: &[&str]) {
    let nodes = Nodes::start(2, &[&["--proxied"], keys].concat());
    let wait_for = |wanted: u16| {
        for program in &nodes.programs {
            nodes.wait_until("the ban", || status(program) == wanted);
        }
    };
    let made = nodes.apis[0].post("/api/bans", &json!({"network": "192.0.2.0/24", "seconds": 600}));
    assert_eq!(made.status, 201, "{}", made.json);
    wait_for(403);
    assert_eq!(nodes.apis[1].get("/api/bans").json["bans"], json!([made.json]));
    // A node that comes later has it too.
    let url = nodes.redis.url();
    let late = Program::start(&[&["--redis", &url, "--proxied"], keys].concat());
    nodes.wait_until("the ban", || status(&late) == 403);
    // Any node ends it.
    assert_eq!(nodes.apis[1].delete("/api/bans/192.0.2.0%2F24").status, 204);
    wait_for(200);
    nodes.wait_until("the end of the ban", || status(&late) == 200);
}

#[test]
fn a_ban_is_of_all_nodes() {
    is_of_all_nodes(&[]);
}

#[test]
fn a_ban_is_of_all_nodes_with_keys_in_redis() {
    is_of_all_nodes(&["--keys", "redis"]);
}
