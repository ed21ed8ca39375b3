//! The state that all operations share, and the pages of lists.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use utoipa::IntoParams;

use super::problem::Problem;
use super::recent::Recent;
use super::samples::{Samples, TICK};
use crate::runtime::{self, Runtime};
use peerbroker_events::Actor;

/// The state that all operations share.
pub(crate) struct AdminState {
    pub(super) runtime: Arc<Runtime>,
    pub(super) clients: ClientPort,
    pub(super) samples: Samples,
    pub(super) recent: Arc<Recent>,
}

/// The name and port of this server for clients, for the browser of an operator.
pub(crate) struct ClientPort {
    /// The name of its certificate; without one, clients use the name of the machine that the operator uses.
    pub(crate) name: Option<String>,
    pub(crate) port: u16,
    pub(crate) is_secure: bool,
    /// True if the API itself is served by HTTPS.
    pub(crate) is_api_secure: bool,
}

impl AdminState {
    /// The state of the API. It takes samples of the server's numbers until it is dropped, and keeps the
    /// newest events.
    pub(crate) fn start(runtime: Arc<Runtime>, clients: ClientPort) -> Arc<Self> {
        let recent = Arc::new(Recent::new(runtime.node.clock().clone()));
        recent.follow(&runtime.events);
        let ops = Arc::new(AdminState { runtime, clients, samples: Samples::default(), recent });
        let take = |ops: &AdminState| ops.samples.take(&ops.runtime);
        runtime::repeat(ops.runtime.events.threads(), "samples", &ops, |_| TICK, take);
        ops
    }
}

/// The result of an operation.
pub(super) type Reply = Result<HttpResponse, Problem>;

/// The result of an operation that answers with JSON.
pub(super) type JsonResult<T> = Result<web::Json<T>, Problem>;

/// The caller, as the log names it.
pub(super) fn actor(request: &HttpRequest) -> Actor {
    Actor::Api(request.peer_addr().map(|peer| peer.ip().to_canonical()))
}

/// Runs work on the blocking pool, because the store of keys may wait for the disk.
pub(super) async fn blocking<T: Send + 'static>(
    ops: web::Data<AdminState>,
    work: impl FnOnce(&Runtime) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    web::block(move || work(&ops.runtime)).await.map_err(|_| Problem::internal())?
}

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
    /// Lists only entries with this text: keys in themselves or in their names, rooms in their names, clients
    /// in their ids or, outside rooms, at the start of their addresses. Ignores case.
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
    /// A search for a text. Without a text it finds everything.
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

/// The first `limit` entries of a list, and the `after` of the next page if there are more.
pub(super) fn cut_to_page<T>(
    entries: impl Iterator<Item = T>,
    limit: usize,
    name: impl FnOnce(&T) -> String,
) -> (Vec<T>, Option<String>) {
    let mut entries: Vec<T> = entries.take(limit + 1).collect();
    let behind = entries.split_off(limit.min(entries.len()));
    let next = entries.last().filter(|_| !behind.is_empty()).map(name);
    (entries, next)
}
