//! The reports of the clients of a key about their connections.

use std::collections::BTreeMap;

use actix_web::get;
use actix_web::web::{Data, Json, Query};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::keys::tenant;
use super::problem::Problem;
use super::state::{AdminState, JsonResult};
use super::target::OfKey;
use crate::runtime::call_reports::{KeptReport, Step, sum};
use peerbroker_core::clock::Instant;
use peerbroker_events::{ReportDetails, Reported, ReportedReason, ReportedWay};

/// Most reports of an answer.
const MAX_REPORTS: usize = 50;

/// The client that a request asks about.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct AskedReports {
    /// Lists only reports of the client with this id, or about a connection with it.
    #[param(example = "alice")]
    client: Option<String>,
}

/// The reports of clients of a key to this node within a day. They are claims of the clients.
#[derive(Serialize, ToSchema)]
pub(super) struct CallReports {
    /// True if the key takes reports.
    on: bool,
    /// The sums of all steps.
    #[serde(flatten)]
    total: ReportCounts,
    /// Steps of five minutes with reports, the oldest first.
    steps: Vec<ReportStep>,
    /// The latest first; at most 50, and 20 of one client.
    reports: Vec<ShownReport>,
}

/// The connections that opened, by way, and those that failed, by reason.
#[derive(Serialize, ToSchema)]
struct ReportCounts {
    /// `direct`, `relay`, `turn`, `pipe` or `unknown`.
    opened: BTreeMap<&'static str, u32>,
    /// `no_udp`, `no_relay`, `peer_gone`, `unanswered`, `permission`, `codec`, `left` or `unknown`.
    failed: BTreeMap<&'static str, u32>,
}

/// The connections that were reported in five minutes.
#[derive(Serialize, ToSchema)]
struct ReportStep {
    /// Seconds since its beginning.
    ago: u64,
    #[serde(flatten)]
    counts: ReportCounts,
}

/// A report.
#[derive(Serialize, ToSchema)]
#[schema(as = CallReport)]
struct ShownReport {
    /// Seconds since it came.
    ago: u64,
    /// The client that reports.
    id: String,
    /// The other client.
    peer: String,
    /// The way of the data, if the connection opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    way: Option<ReportedWay>,
    /// The guess why it did not open.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<ReportedReason>,
    #[serde(flatten)]
    details: ReportDetails,
}

impl ReportCounts {
    fn of<'a>(steps: impl IntoIterator<Item = &'a Step>) -> Self {
        let mut counts = ReportCounts { opened: BTreeMap::new(), failed: BTreeMap::new() };
        for (outcome, count) in sum(steps) {
            let of = match outcome {
                Reported::Opened(_) => &mut counts.opened,
                Reported::Failed(_) => &mut counts.failed,
            };
            of.insert(outcome.labels().1, count);
        }
        counts
    }
}

impl ShownReport {
    fn new(KeptReport { at, report, .. }: KeptReport, now: Instant) -> Self {
        let (way, reason) = match report.outcome {
            Reported::Opened(way) => (Some(way), None),
            Reported::Failed(reason) => (None, Some(reason)),
        };
        ShownReport {
            ago: now.millis_since(at) / 1000,
            id: report.id.as_str().to_owned(),
            peer: report.peer.as_str().to_owned(),
            way,
            reason,
            details: report.details.clone(),
        }
    }
}

/// Shows what clients of a key have reported to this node of their connections, if `call_reports` of the key
/// is on.
#[utoipa::path(
    tag = "peers",
    params(("key" = String, Path, example = "my-game"), AskedReports),
    responses((status = OK, body = CallReports, description = "the reports"), Problem)
)]
#[get("/api/keys/{key}/reports")]
pub(super) async fn show_reports(
    ops: Data<AdminState>,
    OfKey { key, names: [] }: OfKey,
    asked: Query<AskedReports>,
) -> JsonResult<CallReports> {
    let tenant = tenant(ops.clone(), key.clone()).await?;
    let runtime = &ops.runtime;
    let now = runtime.now();
    let steps = runtime.call_reports.steps(&key);
    let newest = runtime.call_reports.newest(&key, asked.client.as_deref(), MAX_REPORTS);
    let step = |step: &Step| ReportStep {
        ago: now.millis_since(step.began) / 1000,
        counts: ReportCounts::of([step]),
    };
    Ok(Json(CallReports {
        on: tenant.is_some_and(|tenant| tenant.policy().settings().call_reports),
        total: ReportCounts::of(&steps),
        steps: steps.iter().map(step).collect(),
        reports: newest.into_iter().map(|kept| ShownReport::new(kept, now)).collect(),
    }))
}
