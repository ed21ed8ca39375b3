//! Operations on the log.

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, get, http::StatusCode, put};
use serde::Deserialize;
use utoipa::ToSchema;

use super::object::Object;
use super::problem::Problem;
use super::state::{AdminState, JsonResult, actor, blocking};
use crate::runtime::control::{LogError, LogFilter};

/// A filter to use instead of the configured one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogChange {
    /// The filter; `null` ends the last one.
    filter: Option<String>,
    /// Seconds after which the configured filter is active again. Default: no end.
    #[schema(minimum = 1)]
    seconds: Option<u32>,
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
#[utoipa::path(tag = "log", responses((status = OK, body = LogFilter, description = "the filter"), Problem))]
#[get("/api/log")]
pub(super) async fn show_log(ops: Data<AdminState>) -> JsonResult<LogFilter> {
    blocking(ops, |runtime| Ok(runtime.control.log()?)).await.map(Json)
}

/// Changes the filter of the log, for some seconds or until the next change or restart.
#[utoipa::path(
    tag = "log",
    request_body(content = LogChange, example = json!({"filter": "info,peerbroker_relay=debug", "seconds": 600})),
    responses((status = OK, body = LogFilter, description = "the filter"), Problem)
)]
#[put("/api/log")]
pub(super) async fn change_log(
    ops: Data<AdminState>,
    request: HttpRequest,
    body: Json<Object<LogChange>>,
) -> JsonResult<LogFilter> {
    let actor = actor(&request);
    let Object(LogChange { filter, seconds }) = body.into_inner();
    if seconds == Some(0) {
        return Err(Problem::unprocessable("seconds: expected 1 or more"));
    }
    let shown = blocking(ops, move |runtime| {
        runtime.control.set_log(actor, filter, seconds)?;
        Ok(runtime.control.log()?)
    });
    shown.await.map(Json)
}
