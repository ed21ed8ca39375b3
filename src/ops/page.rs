//! Pages of lists.

use serde::Deserialize;
use utoipa::IntoParams;

use super::problem::Problem;

/// Most entries of a page.
const MAX_LIMIT: usize = 1000;

/// The page of a list that a request asks for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// Most entries of the answer. Values above 1000 count as 1000.
    #[param(default = 1000, minimum = 1, example = 100)]
    limit: Option<usize>,
    /// The `next` of the previous page.
    pub(super) after: Option<String>,
}

impl Page {
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        match self.limit {
            Some(0) => Err(Problem::unprocessable("limit: must be a whole number from 1 on")),
            limit => Ok(limit.unwrap_or(MAX_LIMIT).min(MAX_LIMIT)),
        }
    }
}

/// Cuts a list to `limit` entries, and returns the `after` of the next page if there were more.
pub(super) fn cut_to_page<T>(
    entries: &mut Vec<T>,
    limit: usize,
    name: impl FnOnce(&T) -> String,
) -> Option<String> {
    let more = entries.len() > limit;
    entries.truncate(limit);
    entries.last().filter(|_| more).map(name)
}
