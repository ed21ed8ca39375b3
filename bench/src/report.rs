//! Turns the measurements of a run into tables, charts and pages of the documentation.

mod baseline;
mod charts;
mod cluster;
mod document;
mod figures;
mod plot;
mod relays;
mod rows;
mod sizing;
mod table;

pub use baseline::{Baseline, Change};
pub use cluster::{cluster, directory};
pub use document::Chapter;
pub use relays::relays;

use crate::runner::{Kind, Run};

/// The comparison with other servers.
pub fn comparison(run: &Run) -> Chapter {
    Chapter {
        name: "numbers",
        data: "run.json",
        table: table::table(Kind::COMPARED, &rows::rows(run)),
        pictures: charts::pictures(run),
        rest: format!("The parts of the broker, without a socket:\n\n{}", table::micro_table(run)),
    }
}
