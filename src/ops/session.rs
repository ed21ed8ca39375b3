//! Browsers log in and out.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, delete, post, web};
use serde::Deserialize;
use utoipa::ToSchema;

use super::problem::Problem;
use super::state::Ops;
use super::{access, cookie};

/// What a browser logs in with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    /// The admin token.
    token: String,
}

/// Begins a session in a browser: sets a cookie that counts as the token for 12 hours. Does nothing on a server without a
/// token.
#[utoipa::path(
    tag = "session",
    operation_id = "log_in",
    security(()),
    request_body(content = Login, example = json!({"token": "the-token-of-the-operator"})),
    responses((status = NO_CONTENT, description = "the session has begun"), Problem)
)]
#[post("/api/session")]
pub(super) async fn log_in(
    ops: web::Data<Ops>,
    request: HttpRequest,
    login: web::Json<Login>,
) -> Result<HttpResponse, Problem> {
    let mut response = HttpResponse::NoContent();
    if let Some(token) = &ops.token {
        access::check_guess(&ops.parts, token, &request, login.token.as_bytes())?;
        response.insert_header((header::SET_COOKIE, cookie::of_new_session(&request, token)?));
    }
    Ok(response.finish())
}

/// Ends the session in this browser.
#[utoipa::path(
    tag = "session",
    operation_id = "log_out",
    responses((status = NO_CONTENT, description = "the browser has no session"), Problem)
)]
#[delete("/api/session")]
pub(super) async fn log_out(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let none = cookie::of_no_session(&request)?;
    Ok(HttpResponse::NoContent().insert_header((header::SET_COOKIE, none)).finish())
}
