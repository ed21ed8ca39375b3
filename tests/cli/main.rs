//! The program as operators use it: flags, environment, output, signals, exit codes.

mod backup;
mod calls;
mod certificates;
mod client_mistakes;
mod cluster;
mod config;
mod doctor;
mod first_build;
mod flags;
mod forged;
mod handover;
mod help;
mod init;
mod irregular_files;
mod keys;
mod limits;
mod log;
mod mistakes;
mod netcat;
mod ops;
mod output;
mod registration;
mod settings;
mod signals;
mod stdio;
mod stopped;
#[cfg(unix)]
mod unix_socket;
mod webhooks;
mod windows;

use testkit::{api, directory, http_client, program, raw_client, redis_server, wire};
