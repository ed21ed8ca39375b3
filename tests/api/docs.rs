//! Checks the documentation: its examples are replayed against a real server, its table of flags is
//! that of `--help`, its Rust is in compiled code, and its references exist.

mod deploy;
mod embedding;
mod endings;
mod examples;
mod figures;
mod flags;
mod limits;
mod metrics;
mod pages;
mod references;
mod statistics;
mod webhooks;
