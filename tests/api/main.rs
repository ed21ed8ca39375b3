//! The wire contract, line by line, against a real server. `tests/CONTRACT.md` says which tests
//! check which line.

mod admission;
mod app_messages;
mod bad_input;
mod bounds;
mod calls;
mod client;
mod cluster;
mod conformance;
mod contract_table;
mod cors;
mod discovery;
mod docs;
mod embedding;
mod files;
mod handshake;
mod harness;
mod hostile;
mod http;
mod ice;
mod identity;
mod ids;
mod injection;
mod keys;
mod legacy;
mod limits;
mod liveness;
mod media;
mod odd_frames;
mod one_port;
mod ops;
mod protocol;
mod queue;
mod registration;
mod relay;
mod room_codes;
mod root;
mod shutdown;
mod smoke;
mod takeover;
mod tls;
mod turn;
mod unfinished_messages;
mod unfinished_requests;
mod webhooks;

use testkit::{directory, redis_server};
