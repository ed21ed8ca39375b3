//! Probes: whether the process serves, and whether it should get clients. They need no token, and tell no secrets.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use super::state::Ops;

/// The paths of the probes.
pub(super) const PATHS: [&str; 2] = ["/healthz", "/readyz"];

/// Whether the process serves.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// Always `ok`.
    status: &'static str,
}

/// Whether the server should get clients.
#[derive(Serialize, ToSchema)]
pub(super) struct Readiness {
    /// Whether it should.
    ready: bool,
    /// Why not.
    reasons: Vec<String>,
}

/// Tells that the process serves.
#[utoipa::path(
    tag = "health",
    operation_id = "show_health",
    security(()),
    responses((status = OK, body = Health, description = "the process serves"), Problem)
)]
#[get("/healthz")]
pub(super) async fn healthz() -> web::Json<Health> {
    web::Json(Health { status: "ok" })
}

/// Tells whether the server should get clients: not while it stops, has not read its keys, or is out of its cluster.
#[utoipa::path(
    tag = "health",
    operation_id = "show_readiness",
    security(()),
    responses(
        (status = OK, body = Readiness, description = "the server should get clients"),
        (status = SERVICE_UNAVAILABLE, body = Readiness, description = "it should not"),
        Problem
    )
)]
#[get("/readyz")]
pub(super) async fn readyz(ops: web::Data<Ops>) -> HttpResponse {
    let reasons = ops.parts.unready();
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    HttpResponse::build(status).json(Readiness { ready, reasons })
}
