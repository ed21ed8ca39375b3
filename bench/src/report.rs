//! Turns the measurements of a run into tables of the documentation.

mod cluster;
mod document;
mod figures;
mod relays;
mod rows;
mod sizing;
mod table;

pub use cluster::{cluster, directory};
pub use document::Chapter;
pub use relays::relays;

use crate::runner::{Kind, Run};

/// The comparison with other servers.
pub fn comparison(run: &Run) -> Chapter {
    let mut rows = rows::rows(run);
    rows.retain(|row| row.values.iter().any(Option::is_some));
    Chapter {
        name: "numbers",
        data: "run.json",
        table: table::table(Kind::COMPARED.map(Kind::name), &rows),
        rest: String::new(),
    }
}
