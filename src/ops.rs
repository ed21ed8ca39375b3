//! The operator's listener: an API for keys and peers, which describes itself.

mod access;
mod keys;
mod page;
mod peers;
mod problem;
mod state;
mod stats;

use std::sync::Arc;

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::from_fn;
use actix_web::{App, Error, HttpRequest, HttpResponse, web};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_actix_web::AppExt as _;

use problem::Problem;

pub(crate) use state::Ops;

/// Longest body of a request.
const MAX_BODY: usize = 64 << 10;

/// The app that answers there.
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
        .service(peers::kick)
        .service(stats::show)
        .split_for_parts();
    app.route("/api/openapi.json", web::get().to(move || std::future::ready(described(&description))))
        .default_service(web::to(unknown))
        .wrap(from_fn(access::guard))
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "peerbroker",
        description = "Keys, the peers of each, and what the broker does. Changes are in force when they are answered."
    ),
    components(schemas(Problem)),
    modifiers(&Bearer),
    // None at all is for programs of the same machine, where the server has no token.
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

fn described(description: &utoipa::openapi::OpenApi) -> HttpResponse {
    HttpResponse::Ok().json(description)
}

async fn unknown(request: HttpRequest) -> Result<HttpResponse, Problem> {
    Err(Problem::not_found(format!(
        "there is no {} {} here; GET /api/openapi.json describes what there is",
        request.method(),
        request.path()
    )))
}
