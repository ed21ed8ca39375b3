//! Operations on the log.

use actix_web::{HttpRequest, get, put, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;
use super::state::{Ops, actor, blocking};
use crate::admin::{LogError, LogState};
use crate::app::Parts;

/// The filter of the log: a level, and levels of modules, as in `info,peerbroker::relay=debug`.
#[derive(Serialize, ToSchema)]
#[schema(as = LogFilter)]
pub(super) struct ShownFilter {
    /// The filter in force.
    filter: String,
    /// The filter of the configuration.
    configured: String,
    /// Seconds until `configured` is in force again; `null` if it is, or if no end was given.
    seconds: Option<u64>,
}

/// A filter to use instead of the configured one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LogChange)]
pub(super) struct LogChange {
    /// The filter; `null` ends the last one.
    filter: Option<String>,
    /// Seconds after which the configured filter is in force again. Default: no end.
    #[schema(minimum = 1)]
    seconds: Option<u32>,
}

impl ShownFilter {
    fn of(parts: &Parts) -> Result<Self, Problem> {
        let LogState { filter, configured, until } = parts.admin.log()?;
        let seconds = until.map(|until| until.saturating_sub(parts.now()).div_ceil(1000));
        Ok(ShownFilter { filter, configured, seconds })
    }
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Unsupported => Problem::not_implemented(error.to_string()),
            LogError::Failed(_) => Problem::internal(),
            LogError::Invalid(_) => Problem::unprocessable(error.to_string()),
        }
    }
}

/// Shows the filter of the log.
#[utoipa::path(tag = "log", operation_id = "show_log", responses((status = OK, body = ShownFilter, description = "the filter"), Problem))]
#[get("/api/log")]
pub(super) async fn show(ops: web::Data<Ops>) -> Result<web::Json<ShownFilter>, Problem> {
    Ok(web::Json(blocking(ops, ShownFilter::of).await?))
}

/// Changes the filter of the log, for some seconds or until the next change or restart.
#[utoipa::path(
    tag = "log",
    operation_id = "change_log",
    request_body(content = LogChange, example = json!({"filter": "info,peerbroker::relay=debug", "seconds": 600})),
    responses((status = OK, body = ShownFilter, description = "the filter"), Problem)
)]
#[put("/api/log")]
pub(super) async fn change(
    ops: web::Data<Ops>,
    request: HttpRequest,
    body: web::Json<LogChange>,
) -> Result<web::Json<ShownFilter>, Problem> {
    let (actor, LogChange { filter, seconds }) = (actor(&request), body.into_inner());
    if seconds == Some(0) {
        return Err(Problem::unprocessable("seconds: expected 1 or more"));
    }
    let shown = blocking(ops, move |parts| {
        parts.admin.set_log(actor, filter, seconds)?;
        ShownFilter::of(parts)
    });
    Ok(web::Json(shown.await?))
}
