//! URLs and status codes: those of clients in `public`, those of operators in `admin`.

pub(crate) mod admin;
pub(crate) mod edge;
mod path;
pub(crate) mod public;
