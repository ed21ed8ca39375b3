//! Turns the measurements of a run into tables, charts and pages of the documentation.

mod baseline;
mod charts;
mod document;
mod figures;
mod plot;
mod rows;
mod table;

pub use baseline::{Baseline, Change};
pub use document::{facts, write};
pub use rows::{Claim, Row, rows};
pub use table::{micro_table, table};
