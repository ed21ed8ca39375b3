//! The operator's API for keys and peers, with its OpenAPI description, and the dashboard that uses it.

mod access;
mod cookie;
mod dashboard;
mod health;
mod index;
mod keys;
mod live;
mod metrics;
mod mistakes;
mod page;
mod peers;
mod problem;
mod samples;
mod session;
mod state;
mod stats;

use std::sync::Arc;

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::{DefaultHeaders, from_fn};
use actix_web::{App, Error, HttpRequest, HttpResponse, Route, web};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_actix_web::AppExt as _;

use index::{DESCRIPTION, Index};
use problem::Problem;

pub(crate) use state::{ClientPort, Ops};

/// Most bytes of a request body.
const MAX_BODY: usize = 64 << 10;

/// The app that serves the API.
pub(crate) fn app(
    ops: Arc<Ops>,
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
        .app_data(problem::for_path())
        .service(keys::list)
        .service(keys::add)
        .service(keys::show)
        .service(keys::change)
        .service(keys::remove)
        .service(peers::list)
        .service(peers::show)
        .service(peers::kick)
        .service(stats::show)
        .service(live::show)
        .service(mistakes::list)
        .service(metrics::show)
        .service(session::log_in)
        .service(session::log_out)
        .service(health::healthz)
        .service(health::readyz)
        .split_for_parts();
    let index = Index::of(&description);
    let show_index = || {
        let index = index.clone();
        web::get().to(move || std::future::ready(HttpResponse::Ok().json(&index)))
    };
    app.route("/", show_root(&index))
        .route("/dashboard/{file:.*}", web::get().to(send_file))
        .route("/api", show_index())
        .route("/api/", show_index())
        .route(DESCRIPTION, web::get().to(move || std::future::ready(send_description(&description))))
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
fn show_root(index: &Index) -> Route {
    let index = index.clone();
    web::get().to(move |ops: web::Data<Ops>, request: HttpRequest| {
        let mut response = match dashboard::is_page(&request) {
            true => dashboard::page(&ops, &request),
            false => HttpResponse::Ok().json(&index),
        };
        response.headers_mut().insert(header::VARY, header::HeaderValue::from_static("Accept"));
        std::future::ready(response)
    })
}

async fn send_file(request: HttpRequest) -> Result<HttpResponse, Problem> {
    match dashboard::file(&request) {
        Some(response) => Ok(response),
        None => not_found(request).await,
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "peerbroker",
        description = "Manages keys and peers, and shows statistics. A change is in force when the API answers."
    ),
    components(schemas(Problem)),
    modifiers(&Bearer),
    // Without an admin token, programs of the same machine need no authorization.
    security((), ("token" = []))
)]
struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        api.components.get_or_insert_default().add_security_scheme("token", scheme);
    }
}

fn send_description(description: &utoipa::openapi::OpenApi) -> HttpResponse {
    HttpResponse::Ok().json(description)
}

async fn not_found(request: HttpRequest) -> Result<HttpResponse, Problem> {
    Err(Problem::not_found(format!(
        "there is no {} {} here; GET / lists what is",
        request.method(),
        request.path()
    )))
}
