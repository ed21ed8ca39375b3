//! Lists come in pages.

use serde::Deserialize;
use utoipa::IntoParams;

use super::problem::Problem;

/// Most entries of one page.
const MAX: usize = 1000;

/// Which entries of a list are wanted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// Most entries of the answer; more than 1000 is 1000.
    #[param(default = 1000, minimum = 1, example = 100)]
    limit: Option<usize>,
    /// The `next` of the page before.
    pub(super) after: Option<String>,
}

impl Page {
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        match self.limit {
            Some(0) => Err(Problem::unprocessable("limit: it is a whole number from 1 on")),
            limit => Ok(limit.unwrap_or(MAX).min(MAX)),
        }
    }
}

/// Takes a page from what was asked for with room for one more, and tells where the next one begins.
pub(super) fn cut<T>(entries: &mut Vec<T>, limit: usize, name: impl FnOnce(&T) -> String) -> Option<String> {
    let more = entries.len() > limit;
    entries.truncate(limit);
    entries.last().filter(|_| more).map(name)
}
