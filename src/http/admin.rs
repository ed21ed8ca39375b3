//! The operator's API for keys and peers, with its OpenAPI description, and the dashboard that uses it.

mod access;
mod allocations;
mod bans;
mod call_reports;
mod dashboard;
mod keys;
mod live;
mod log;
mod messages;
mod metrics;
mod object;
mod peers;
mod problem;
mod recent;
mod rooms;
mod samples;
mod state;
mod stats;
mod target;
mod tokens;

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::{DefaultHeaders, from_fn};
use actix_web::web::ReqData;
use actix_web::{App, Error, HttpRequest, HttpResponse, http::header, web};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi, openapi};
use utoipa_actix_web::AppExt as _;

use problem::Problem;
use state::Reply;
use target::Target;

pub(crate) use state::{AdminState, ClientPort};

/// Path of the OpenAPI description.
const DESCRIPTION: &str = "/api/openapi.json";

/// Most bytes of a request body.
const MAX_BODY: usize = 64 << 10;

/// The app that serves the API.
pub(crate) fn app(
    ops: Arc<AdminState>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<BoxBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let (app, description) = App::new()
        .into_utoipa_app()
        .openapi(Description::openapi())
        .app_data(web::Data::from(ops))
        .app_data(problem::for_json(web::JsonConfig::default().limit(MAX_BODY)))
        .app_data(problem::for_query())
        .service(keys::list_keys)
        .service(keys::add_key)
        .service(keys::show_key)
        .service(keys::change_key)
        .service(keys::remove_key)
        .service(peers::list_peers)
        .service(peers::show_peer)
        .service(peers::kick_peer)
        .service(call_reports::show_reports)
        .service(rooms::list_rooms)
        .service(rooms::list_members)
        .service(rooms::list_topics)
        .service(messages::send_to_peer)
        .service(messages::send_to_all)
        .service(messages::send_to_room)
        .service(tokens::add_token)
        .service(tokens::remove_token)
        .service(bans::list_bans)
        .service(bans::add_ban)
        .service(bans::end_ban)
        .service(bans::list_addresses)
        .service(allocations::list_allocations)
        .service(allocations::end_allocation)
        .service(log::show_log)
        .service(log::change_log)
        .service(stats::show_stats)
        .service(live::show_live)
        .service(stats::list_mistakes)
        .service(stats::list_refusals)
        .service(metrics::show_metrics)
        .service(access::log_in)
        .service(access::log_out)
        .service(stats::show_health)
        .service(stats::show_readiness)
        .split_for_parts();
    app.app_data(web::Data::new(Index::of(&description)))
        .app_data(web::Data::new(description))
        .route("/", web::get().to(show_root))
        .route("/dashboard/{file:.*}", web::get().to(send_file))
        .route("/api", web::get().to(show::<Index>))
        .route("/api/", web::get().to(show::<Index>))
        .route(DESCRIPTION, web::get().to(show::<openapi::OpenApi>))
        .default_service(web::to(not_found))
        .wrap(from_fn(access::guard))
        .wrap(
            DefaultHeaders::new()
                .add((header::CACHE_CONTROL, "no-store"))
                .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
                .add((header::REFERRER_POLICY, "no-referrer")),
        )
}

/// The dashboard for browsers, the index for programs.
async fn show_root(
    ops: web::Data<AdminState>,
    index: web::Data<Index>,
    request: HttpRequest,
    target: ReqData<Target>,
) -> HttpResponse {
    let mut response = match dashboard::is_page(&request, &target) {
        true => dashboard::page(&ops, &request),
        false => HttpResponse::Ok().json(index),
    };
    response.headers_mut().insert(header::VARY, header::HeaderValue::from_static("Accept"));
    response
}

/// Something that the app has made at its start.
async fn show<T: Serialize>(made: web::Data<T>) -> web::Json<web::Data<T>> {
    web::Json(made)
}

async fn send_file(request: HttpRequest, target: ReqData<Target>) -> Reply {
    match dashboard::file(&request, &target).await {
        Some(response) => Ok(response),
        None => not_found(request, target).await,
    }
}

/// An index of the API: a short form of its description.
#[derive(Serialize)]
struct Index {
    name: &'static str,
    version: &'static str,
    /// Path of the OpenAPI description.
    description: &'static str,
    /// The summary of each operation, by path and method.
    operations: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Index {
    fn of(api: &openapi::OpenApi) -> Self {
        let operations = api.paths.paths.iter().map(|(path, item)| {
            // In JSON, an item has a member for each method.
            let item = json!(item);
            let methods = item.as_object().into_iter().flatten();
            let summary = |(method, operation): (&String, &Value)| {
                Some((method.to_uppercase(), operation.get("summary")?.clone()))
            };
            (path.clone(), methods.filter_map(summary).collect())
        });
        Index {
            name: "peerbroker's API",
            version: env!("CARGO_PKG_VERSION"),
            description: DESCRIPTION,
            operations: operations.collect(),
        }
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "peerbroker",
        description = "Manages keys and peers, and shows statistics. A change is active when the API answers."
    ),
    components(schemas(Problem)),
    modifiers(&Bearer),
    // Without an admin token, programs of the same machine need no authorization.
    security((), ("token" = []))
)]
struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, api: &mut openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        api.components.get_or_insert_default().add_security_scheme("token", scheme);
    }
}

async fn not_found(request: HttpRequest, target: ReqData<Target>) -> Reply {
    Err(Problem::not_found(format!(
        "there is no {} {} here; GET / lists what is",
        request.method(),
        target.path()
    )))
}
