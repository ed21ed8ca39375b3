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
    /// Lists only what has this text: keys in themselves or in their names, clients in their ids or at the start of their
    /// addresses. Upper and lower case are the same.
    pub(super) search: Option<String>,
}

impl Page {
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        match self.limit {
            Some(0) => Err(Problem::unprocessable("limit: must be a whole number from 1 on")),
            limit => Ok(limit.unwrap_or(MAX_LIMIT).min(MAX_LIMIT)),
        }
    }
}

/// A text that entries of a list are searched for.
pub(super) struct Search(String);

impl Search {
    /// Without a text everything is found.
    pub(super) fn new(text: Option<&str>) -> Self {
        Search(text.unwrap_or_default().to_lowercase())
    }

    pub(super) fn is_for_all(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn is_in(&self, text: &str) -> bool {
        self.is_for_all() || text.to_lowercase().contains(&self.0)
    }

    pub(super) fn begins(&self, text: &str) -> bool {
        text.to_lowercase().starts_with(&self.0)
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
