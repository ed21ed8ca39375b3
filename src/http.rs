//! The only place that knows URLs and status codes.

mod body;
mod cors;
pub(crate) mod endpoint;
mod files;
pub(crate) mod handshake;
mod key_signup;
mod legacy;
mod not_found;
mod pages;
mod peerjs;
pub(crate) mod routes;
pub(crate) mod seen;
pub(crate) mod upgrade;

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};

use crate::app::Parts;
use crate::config::MountPath;
use crate::limits::LimitExceeded;
use crate::session::ConnectRequest;
use crate::transport::actix_ws;
use handshake::{Accepted, HandshakeRefusal};
use routes::Route;

/// A broker at a path.
pub(crate) struct Mounted {
    pub(crate) service: Arc<Parts>,
    pub(crate) path: MountPath,
    /// Over TLS for sure. An embedded broker has to ask each request.
    pub(crate) secure: bool,
    /// This machine's address on the local network, if the server listens there.
    pub(crate) lan_host: Option<IpAddr>,
}

impl Mounted {
    fn is_secure(&self, request: &HttpRequest) -> bool {
        self.secure || request.app_config().secure()
    }
}

/// Mounts the broker in an actix-web app, WebSocket included.
pub(crate) fn configure(app: &mut web::ServiceConfig, mounted: Arc<Mounted>) {
    let scope = mounted.path.as_str().trim_end_matches('/').to_owned();
    app.service(web::scope(&scope).default_service(handler(mounted)));
}

/// Answers every request: what [`configure`] mounts, and what a server of its own has outside the mount
/// path as well.
pub(crate) fn handler(mounted: Arc<Mounted>) -> actix_web::Route {
    web::to(move |request: HttpRequest, payload: web::Payload| {
        let mounted = Arc::clone(&mounted);
        async move { answer(&mounted, &request, payload).await }
    })
}

async fn answer(mounted: &Mounted, request: &HttpRequest, payload: web::Payload) -> HttpResponse {
    match handshake::open(mounted, request.head(), mounted.is_secure(request), None) {
        Some(Ok(opened)) => return open_socket(&mounted.service, opened, payload).await,
        Some(Err(refused)) => return refused.into_response(),
        None => {}
    }
    let route = routes::find(&mounted.path, request.path());
    let mut response = match *request.method() {
        // No page may send the form with a header that names another host than it was asked for.
        Method::OPTIONS if route == Route::Register => HttpResponse::NoContent().finish(),
        Method::OPTIONS if route != Route::Outside => cors::preflight(request),
        Method::GET | Method::HEAD => page(mounted, request, route).await,
        Method::POST => post(mounted, request, route, payload).await,
        _ => not_found::page(mounted, request),
    };
    if route == Route::Root {
        cors::vary(&mut response, "Accept");
    }
    if route != Route::Outside {
        cors::allow(&mounted.service.config().cors, request, &mut response);
    }
    response
}

async fn page(mounted: &Mounted, request: &HttpRequest, route: Route<'_>) -> HttpResponse {
    let service = &mounted.service;
    let pages = service.config().pages;
    let peerjs = service.config().dialects.peerjs;
    match route {
        Route::Id(_) | Route::Peers(_) if !peerjs => not_found::page(mounted, request),
        Route::Root if pages::prefers_html(request) => match file(mounted, request, "").await {
            Some(index) => index,
            None if pages => pages::page(mounted, request, ""),
            None => peerjs::about(),
        },
        Route::Root => peerjs::about(),
        Route::Id(key) if peerjs::decode_key(key).is_none() => plain(StatusCode::BAD_REQUEST, "Bad Request"),
        Route::Id(key) | Route::Peers(key) if !peerjs::admits(mounted, key, request) => {
            plain(StatusCode::FORBIDDEN, "Forbidden")
        }
        Route::Id(key) => peerjs::new_id(service, key, request).await,
        Route::Peers(key) => peerjs::peers(service, key, request.query_string()),
        Route::Health => plain(StatusCode::OK, "ok"),
        Route::Page(name) if pages => pages::page(mounted, request, name),
        Route::File(below) => {
            file(mounted, request, below).await.unwrap_or_else(|| not_found::page(mounted, request))
        }
        Route::Register if key_signup::is_open(service) => key_signup::to_the_form(),
        Route::Page(_) | Route::Register | Route::Socket | Route::Outside => {
            not_found::page(mounted, request)
        }
    }
}

async fn post(
    mounted: &Mounted,
    request: &HttpRequest,
    route: Route<'_>,
    payload: web::Payload,
) -> HttpResponse {
    let service = &mounted.service;
    if route == Route::Register && key_signup::is_open(service) {
        return key_signup::answer(mounted, request, payload).await;
    }
    match routes::find_post(&mounted.path, request.path()) {
        Some(post) if service.config().dialects.peerjs => {
            legacy::answer(service, request, post, payload).await
        }
        _ => not_found::page(mounted, request),
    }
}

/// A file of the app that is served beside the broker. No files for upgrade requests.
async fn file(mounted: &Mounted, request: &HttpRequest, below: &str) -> Option<HttpResponse> {
    let config = mounted.service.config.load_full();
    let directory = config.static_dir.as_deref()?;
    if request.headers().contains_key(header::UPGRADE) {
        return None;
    }
    files::answer(directory, request, below).await
}

async fn open_socket(
    service: &Arc<Parts>,
    (accepted, request): (Accepted, ConnectRequest),
    payload: web::Payload,
) -> HttpResponse {
    match actix_ws::upgrade(payload, endpoint::bounds(service)).await {
        Ok((mut response, socket)) => {
            accepted.write_to(&mut response);
            accepted.endpoint.serve(socket, service, request);
            response
        }
        Err(error) => error.error_response(),
    }
}

fn too_many_requests(too_many: LimitExceeded) -> HttpResponse {
    let refusal = HandshakeRefusal::TooManyConnections;
    let mut response = plain(refusal.status(), refusal.text().unwrap_or_default());
    response.headers_mut().insert(header::RETRY_AFTER, too_many.seconds().into());
    response
}

fn plain(status: StatusCode, text: &'static str) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")))
        .body(text)
}
