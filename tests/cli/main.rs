//! The program as operators use it: flags, environment, output, signals, exit codes.

#[allow(dead_code, reason = "shared with the tests of the wire contract")]
#[path = "../api/harness/api.rs"]
mod api;
#[path = "../keys/directory.rs"]
mod directory;
#[allow(dead_code, reason = "shared with the tests of the wire contract")]
#[path = "../api/harness/http_client.rs"]
mod http_client;
#[allow(dead_code, reason = "shared with the tests of the wire contract")]
#[path = "../api/harness/raw_client.rs"]
mod raw_client;
#[allow(dead_code, reason = "shared with the tests of the backplane")]
#[path = "../cluster/server.rs"]
mod redis_server;
#[allow(dead_code, reason = "shared with the tests of the wire contract")]
#[path = "../api/harness/wire.rs"]
mod wire;

mod backup;
mod certificates;
mod client_mistakes;
mod cluster;
mod flags;
mod forged;
mod help;
mod keys;
mod limits;
mod mistakes;
mod ops;
mod output;
mod program;
mod registration;
mod signals;
