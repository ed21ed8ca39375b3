//! Nodes of one cluster under test. The drop ends them.

use serde_json::Value;

use crate::api::Api;
use crate::program::Program;
use crate::redis_server::RedisServer;
use testkit::wait::wait_until;

/// Arguments for a lease that ends during a test, and not because the machine is busy.
pub const SHORT_LEASE: &[&str] = &["--cluster_lease", "4000"];

pub struct Nodes {
    pub redis: RedisServer,
    pub programs: Vec<Program>,
    pub apis: Vec<Api>,
}

impl Nodes {
    /// Nodes that joined in the order of their names, `a`, `b` and so on, and know each other.
    pub fn start(count: usize, args: &[&str]) -> Self {
        let redis = RedisServer::start();
        let url = redis.url();
        let mut programs = Vec::new();
        let mut apis = Vec::new();
        for name in ["a", "b", "c"].iter().take(count) {
            let own = ["--redis", &url, "--node_name", name, "--ops_port", "0"];
            // Nodes know each other after a fifth of the lease.
            let env = [
                ("RUST_LOG", "info"),
                ("PEERBROKER_CLUSTER_LEASE", "5000"),
                ("PEERBROKER_DRAIN_TIMEOUT", "100"),
            ];
            let mut program = Program::start_with_env(&[&own, args].concat(), &env);
            let (api, _) = program.expect_api();
            wait_until("the node has joined", || api.get("/api/stats").json["cluster"]["state"] == "up");
            apis.push(api);
            programs.push(program);
        }
        let nodes = Nodes { redis, programs, apis };
        nodes.wait_until("all nodes know each other", || {
            nodes.apis.iter().all(|api| {
                let cluster = api.get("/api/stats").json["cluster"].take();
                let alive = cluster["nodes"].as_array().unwrap().iter().filter(|node| node["alive"] == true);
                alive.count() == count
            })
        });
        nodes
    }

    pub fn wait_until(&self, what: &str, happened: impl FnMut() -> bool) {
        wait_until(what, happened);
    }

    /// The ids that a node lists.
    pub fn ids(&self, node: usize, query: &str) -> Vec<String> {
        let answer = self.programs[node].get(&format!("/peerjs/peers{query}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_slice(&answer.body).expect("an array of ids")
    }

    pub fn stats(&self, node: usize) -> Value {
        self.apis[node].get("/api/stats").json
    }

    /// Stops a node, and returns its log.
    pub fn log_of(&mut self, node: usize) -> String {
        self.programs[node].stop().stderr
    }
}
