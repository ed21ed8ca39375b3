//! Clients, servers and tools for the tests and the benchmark: what more than one program of these uses.

pub mod api;
pub mod directory;
pub mod guests;
pub mod http_client;
pub mod log_lines;
pub mod messages;
pub mod nginx;
pub mod pebble;
pub mod ports;
pub mod process;
pub mod program;
pub mod raw_client;
pub mod redis_server;
pub mod relay_client;
pub mod room_views;
pub mod rows;
pub mod signal;
pub mod tls;
pub mod tools;
pub mod turn_client;
pub mod wait;
pub mod wire;

pub use tools::need;
