//! The documentation is true: its examples are replayed against a real server, its table of flags
//! is that of `--help`, its Rust stands in code that is compiled, and what it points at is there.

// Not all of it is needed here.
#[allow(dead_code, reason = "shared with the tests of the API")]
#[path = "../api"]
mod api {
    pub mod harness;
}

mod choosing;
mod embedding;
mod endings;
mod examples;
mod flags;
mod limits;
mod pages;
mod references;
mod statistics;
