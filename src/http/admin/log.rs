//! Operations on the log.

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, get, http::StatusCode, put};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;
use super::state::{JsonResult, Ops, actor, blocking};
use crate::runtime::Runtime;
use crate::runtime::admin::{LogError, LogState};

/// The filter of the log: a level, and levels of modules, as in `info,peerbroker_media=debug`.
#[derive(Serialize, ToSchema)]
#[schema(as = LogFilter)]
pub(super) struct ShownFilter {
    /// The active filter.
    filter: String,
    /// The filter of the configuration.
    configured: String,
    /// Seconds until `configured` is active again; `null` if it is, or if no end was given.
    seconds: Option<u64>,
}

/// A filter to use instead of the configured one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LogChange)]
pub(super) struct LogChange {
    /// The filter; `null` ends the last one.
    filter: Option<String>,
    /// Seconds after which the configured filter is active again. Default: no end.
    #[schema(minimum = 1)]
    seconds: Option<u32>,
}

impl ShownFilter {
    fn of(runtime: &Runtime) -> Result<Self, Problem> {
        let LogState { filter, configured, until } = runtime.admin.log()?;
        let seconds = until.map(|until| until.saturating_sub(runtime.now()).div_ceil(1000));
        Ok(ShownFilter { filter, configured, seconds })
    }
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Unsupported => Problem::new(StatusCode::NOT_IMPLEMENTED, error.to_string()),
            LogError::Failed(_) => Problem::internal(),
            LogError::Invalid(_) => Problem::unprocessable(error.to_string()),
        }
    }
}

/// Shows the filter of the log.
#[utoipa::path(tag = "log", responses((status = OK, body = ShownFilter, description = "the filter"), Problem))]
#[get("/api/log")]
pub(super) async fn show_log(ops: Data<Ops>) -> JsonResult<ShownFilter> {
    blocking(ops, ShownFilter::of).await.map(Json)
}

/// Changes the filter of the log, for some seconds or until the next change or restart.
#[utoipa::path(
    tag = "log",
    request_body(content = LogChange, example = json!({"filter": "info,peerbroker_media=debug", "seconds": 600})),
    responses((status = OK, body = ShownFilter, description = "the filter"), Problem)
)]
#[put("/api/log")]
pub(super) async fn change_log(
    ops: Data<Ops>,
    request: HttpRequest,
    body: Json<LogChange>,
) -> JsonResult<ShownFilter> {
    let (actor, LogChange { filter, seconds }) = (actor(&request), body.into_inner());
    if seconds == Some(0) {
        return Err(Problem::unprocessable("seconds: expected 1 or more"));
    }
    let shown = blocking(ops, move |runtime| {
        runtime.admin.set_log(actor, filter, seconds)?;
        ShownFilter::of(runtime)
    });
    shown.await.map(Json)
}
