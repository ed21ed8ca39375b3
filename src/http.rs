//! The only place that knows URLs and status codes.

mod cors;
mod not_found;
mod pages;
mod peerjs;
pub(crate) mod routes;
mod seen;
pub(crate) mod upgrade;

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, rt, web};

use crate::config::MountPath;
use crate::service::Service;
use crate::session;
use crate::transport::{Socket, actix_ws, handshake};
use routes::Route;

/// A broker at a path.
pub(crate) struct Mounted {
    pub(crate) service: Arc<Service>,
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
    let handler = web::to(move |request: HttpRequest, payload: web::Payload| {
        let mounted = Arc::clone(&mounted);
        async move { answer(&mounted, &request, payload).await }
    });
    app.service(web::scope(&scope).default_service(handler));
}

/// What answers outside the mount path when nobody else does.
pub(crate) fn outside(mounted: Arc<Mounted>) -> actix_web::Route {
    web::to(move |request: HttpRequest| {
        let mounted = Arc::clone(&mounted);
        async move { page(&mounted, &request, routes::find(&mounted.path, request.path())) }
    })
}

async fn answer(mounted: &Mounted, request: &HttpRequest, payload: web::Payload) -> HttpResponse {
    let route = routes::find(&mounted.path, request.path());
    let mut response = match *request.method() {
        Method::OPTIONS if route != Route::Outside => cors::preflight(request),
        Method::GET if handshake::asks_for_websocket(request.headers()) => {
            match endpoint(&mounted.service, route) {
                Some(endpoint) => return open_socket(mounted, endpoint, request, payload).await,
                None => page(mounted, request, route),
            }
        }
        Method::GET | Method::HEAD => page(mounted, request, route),
        _ => not_found::page(mounted, request),
    };
    if route == Route::Root {
        cors::vary(&mut response, "Accept");
    }
    if route != Route::Outside {
        cors::allow(&mounted.service.config.cors, request, &mut response);
    }
    response
}

fn page(mounted: &Mounted, request: &HttpRequest, route: Route<'_>) -> HttpResponse {
    let service = &mounted.service;
    let pages = service.config.pages;
    let peerjs = service.config.dialects.peerjs;
    match route {
        Route::Id(_) | Route::Peers(_) if !peerjs => not_found::page(mounted, request),
        Route::Root if pages && pages::prefers_html(request) => pages::page(mounted, request, ""),
        Route::Root => peerjs::about(),
        Route::Id(key) if peerjs::decode_key(key).is_none() => plain(StatusCode::BAD_REQUEST, "Bad Request"),
        Route::Id(_) => peerjs::new_id(service),
        Route::Peers(key) => peerjs::peers(service, key),
        Route::Health => plain(StatusCode::OK, "ok"),
        Route::Page(name) if pages => pages::page(mounted, request, name),
        Route::Page(_) | Route::Socket | Route::Unknown | Route::Outside => not_found::page(mounted, request),
    }
}

/// Where a WebSocket can be opened.
#[derive(Clone, Copy)]
enum Endpoint {
    /// That of PeerJS.
    Peers,
    /// That of room codes and calls.
    Root,
}

/// The WebSocket of an address, if there is one and its dialects are on. At the root there is also a
/// page, for those who would upgrade to something else.
fn endpoint(service: &Service, route: Route<'_>, headers: &HeaderMap) -> Option<Endpoint> {
    let dialects = service.config.dialects;
    match route {
        Route::Socket if dialects.peerjs => Some(Endpoint::Peers),
        Route::Root if dialects.any_at_root() && handshake::asks_for_websocket(headers) => {
            Some(Endpoint::Root)
        }
        _ => None,
    }
}

impl Endpoint {
    /// Lets the session go on by itself, as a small task of its own: HTTP's is four times as large and
    /// can end now.
    fn serve<S: Socket + 'static>(self, socket: S, service: &Arc<Service>, query: &str) {
        match self {
            Endpoint::Peers => drop(rt::spawn(session::serve_peer(socket, service, query))),
            Endpoint::Root => drop(rt::spawn(session::serve_guest(socket, service, query))),
        }
    }
}

async fn open_socket(
    mounted: &Mounted,
    endpoint: Endpoint,
    request: &HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let service = &mounted.service;
    // actix-ws is content with less, and would answer 101 where no frame can follow.
    if let Err(why) = handshake::check(request.head()) {
        return HttpResponse::BadRequest()
            .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")))
            .force_close()
            .body(format!("{why}\n"));
    }
    match actix_ws::upgrade(request, payload, service.config.max_message_bytes).await {
        Ok((response, socket)) => {
            endpoint.serve(socket, service, request.query_string());
            response
        }
        Err(error) => error.error_response(),
    }
}

fn plain(status: StatusCode, text: &'static str) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")))
        .body(text)
}
