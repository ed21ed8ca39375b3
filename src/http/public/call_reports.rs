//! `POST {path}{key}/reports`: a client reports how a connection to another one went.

use std::sync::Arc;

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse, http::StatusCode};

use super::handler::{Mounted, bare, plain, read_body};
use super::legacy::{refuse, too_many_requests};
use super::{endpoint, peerjs};
use crate::http::path::decode;
use peerbroker_core::vocabulary::Refusal;
use peerbroker_events::{ConnectionReport, Count, Event, Reported};
use peerbroker_node::session::ClientSource;

/// Most bytes of a report.
const MAX_BYTES: usize = 4096;

/// Pages that hear it send no more.
const OFF: &str = "This key takes no call reports\n";

/// Answers a report for a key, which is percent-encoded.
pub(super) async fn answer(
    mounted: &Mounted,
    request: &HttpRequest,
    key: &str,
    payload: Payload,
) -> HttpResponse {
    let runtime = &mounted.runtime;
    let Some(key) = decode(key) else { return bare(StatusCode::BAD_REQUEST) };
    let ClientSource { address, .. } = endpoint::source(runtime, request.head());
    let policy = match runtime.node.tenant_of_client(&key, address).await {
        Ok(tenant) => tenant.policy_full(),
        Err(Refusal::InvalidKey) => return plain(StatusCode::NOT_FOUND, OFF),
        Err(refusal) => return refuse(refusal),
    };
    if !policy.settings().call_reports {
        return plain(StatusCode::NOT_FOUND, OFF);
    }
    if !peerjs::allows_origin(mounted, policy.settings(), request) {
        return bare(StatusCode::FORBIDDEN);
    }
    let key = &policy.key().key;
    if let Err(too_many) = runtime.call_reports.charge(address, runtime.now()) {
        runtime.events.limit_hit(too_many.limit, Some(key), address);
        return too_many_requests(too_many);
    }
    let body = match read_body(payload, MAX_BYTES).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    // Of any content type: browsers would ask first if it had to be the one of JSON.
    let Some(report) = ConnectionReport::read(&body) else { return bare(StatusCode::BAD_REQUEST) };
    let report = Arc::new(report);
    if runtime.call_reports.add(key, &report, address, runtime.now()) {
        runtime.events.counters().add(Count::Reported(report.outcome), 1);
        if matches!(report.outcome, Reported::Failed(_)) {
            runtime.events.emit(|| Event::ConnectionFailed { key: key.clone(), report });
        }
    }
    HttpResponse::NoContent().finish()
}
