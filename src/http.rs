//! Answers HTTP requests from clients and browsers. Only this layer knows their URLs and status codes.

mod body;
mod client;
mod cors;
mod docs;
mod embedded;
pub(crate) mod endpoint;
mod files;
pub(crate) mod forwarded;
pub(crate) mod handshake;
mod html;
mod ice;
mod ids;
mod key_signup;
mod legacy;
mod mounted;
mod not_found;
pub(crate) mod pages;
mod peerjs;
mod percent;
mod response;
pub(crate) mod routes;
mod template;
pub(crate) mod upgrade;

use std::sync::Arc;

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};

use crate::session::ConnectRequest;
use crate::transport::actix_ws;
use handshake::Accepted;
use response::plain;
use routes::Route;

pub(crate) use mounted::Mounted;

/// Mounts the broker in an actix-web app, WebSocket included.
pub(crate) fn configure(app: &mut web::ServiceConfig, mounted: Arc<Mounted>) {
    let scope = mounted.path.as_str().trim_end_matches('/').to_owned();
    app.service(web::scope(&scope).default_service(handler(mounted)));
}

/// Answers every request below the mount path. A server of its own also uses it for all other paths.
pub(crate) fn handler(mounted: Arc<Mounted>) -> actix_web::Route {
    web::to(move |request: HttpRequest, payload: web::Payload| {
        let mounted = Arc::clone(&mounted);
        async move {
            let response = answer(&mounted, &request, payload).await;
            mounted.parts.events.counters().answered(response.status().as_u16());
            response
        }
    })
}

async fn answer(mounted: &Mounted, request: &HttpRequest, payload: web::Payload) -> HttpResponse {
    match handshake::open(mounted, request.head(), mounted.is_secure(request), None) {
        Some(Ok(opened)) => return open_socket(mounted, opened, payload).await,
        Some(Err(refused)) => {
            mounted.parts.events.counters().handshake_refused(refused.why);
            return refused.into_response();
        }
        None => {}
    }
    let route = routes::find(&mounted.path, request.path());
    let mut response = match *request.method() {
        // Refuses the preflight: otherwise a page could send the form with an `X-Forwarded-Host` of its choice.
        Method::OPTIONS if route == Route::Register => HttpResponse::NoContent().finish(),
        Method::OPTIONS if route != Route::Outside => cors::preflight(request),
        Method::GET | Method::HEAD => page(mounted, request, route).await,
        Method::POST => post(mounted, request, route, payload).await,
        _ => not_found::page(mounted, request),
    };
    if route == Route::Root {
        cors::vary(&mut response, "Accept");
    }
    // Outside the mount path too: the console of a page would show an error of CORS instead of the 404.
    cors::allow(&mounted.parts.config().cors, request, &mut response);
    response
}

async fn page(mounted: &Mounted, request: &HttpRequest, route: Route<'_>) -> HttpResponse {
    let parts = &mounted.parts;
    let pages = parts.config().pages;
    let peerjs = parts.config().dialects.peerjs;
    match route {
        Route::Id(_) | Route::Peers(_) | Route::Ice(_) if !peerjs => not_found::page(mounted, request),
        Route::Root if html::prefers_html(request) => match file(mounted, request, "").await {
            Some(index) => index,
            None if pages => pages::page(mounted, request, ""),
            None => peerjs::about(),
        },
        Route::Root => peerjs::about(),
        Route::Id(key) if percent::decode(key).is_none() => plain(StatusCode::BAD_REQUEST, "Bad Request"),
        Route::Id(key) | Route::Peers(key) | Route::Ice(key) if !peerjs::admits(mounted, key, request) => {
            plain(StatusCode::FORBIDDEN, "Forbidden")
        }
        Route::Id(key) => peerjs::new_id(parts, key, request).await,
        Route::Peers(key) => peerjs::peers(parts, key, request).await,
        Route::Ice(key) => ice::servers(mounted, key, request).await,
        Route::Health => plain(StatusCode::OK, "ok"),
        Route::Page(name) if pages => {
            docs::prepare(name).await;
            pages::page(mounted, request, name)
        }
        Route::File(below) => {
            // An app may have a file of this name, and serves it as before.
            let file = file(mounted, request, below).await;
            let client = || client::answer(mounted, request, below);
            file.or_else(client).unwrap_or_else(|| not_found::page(mounted, request))
        }
        Route::Register if key_signup::is_open(parts) => key_signup::shown(mounted, request).await,
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
    let parts = &mounted.parts;
    if route == Route::Register && key_signup::is_open(parts) {
        return key_signup::answer(mounted, request, payload).await;
    }
    match routes::find_post(&mounted.path, request.path()) {
        Some(post) if parts.config().dialects.peerjs => legacy::answer(parts, request, post, payload).await,
        _ => not_found::page(mounted, request),
    }
}

/// A file of `--static_dir`. Upgrade requests get none.
async fn file(mounted: &Mounted, request: &HttpRequest, below: &str) -> Option<HttpResponse> {
    let config = mounted.parts.config.load_full();
    let directory = config.static_dir.as_deref()?;
    if request.headers().contains_key(header::UPGRADE) {
        return None;
    }
    files::answer(directory, request, below).await
}

async fn open_socket(
    mounted: &Mounted,
    (accepted, request): (Accepted, ConnectRequest),
    payload: web::Payload,
) -> HttpResponse {
    match actix_ws::upgrade(payload, endpoint::bounds(&mounted.parts)).await {
        Ok((mut response, socket)) => {
            accepted.write_to(&mut response);
            accepted.endpoint.serve(socket, mounted, request);
            response
        }
        Err(error) => error.error_response(),
    }
}
