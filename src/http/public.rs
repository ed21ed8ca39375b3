//! Answers HTTP requests from clients and browsers. Only this layer knows their URLs and status codes.

mod arrival;
mod cached;
mod call_reports;
mod docs;
mod documents;
pub(crate) mod endpoint;
mod files;
pub(crate) mod forwarded;
mod handler;
pub(crate) mod handshake;
mod html;
mod key_signup;
mod legacy;
#[cfg(feature = "nostr")]
mod nostr;
mod not_found;
pub(crate) mod pages;
mod peerjs;
pub(crate) mod routes;

use std::sync::Arc;

use actix_web::dev::{Service, ServiceRequest};
use actix_web::http::{Method, StatusCode, header};
use actix_web::web::{self, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::path::{self, decode};
use crate::runtime::KEYS_UNREAD;
use handler::{bare, plain};
use handshake::AcceptedHandshake;
use peerbroker_config::Dialect;
use peerbroker_core::vocabulary::{ApiKey, RealmKind, Refusal};
use peerbroker_events::{Count, Event, Mistake, Refused};
use peerbroker_node::session::{ClientSource, ConnectRequest};
use peerbroker_transport::actix_ws;
use routes::Route;

pub(crate) use handler::Mounted;

/// Mounts the broker in an actix-web app, WebSocket included.
pub(crate) fn configure(app: &mut web::ServiceConfig, mounted: Arc<Mounted>) {
    let scope = mounted.path.as_str().trim_end_matches('/').to_owned();
    // The server of the program has merged them before; here, the server is that of an app.
    let merge = |mut request: ServiceRequest, service: &_| {
        path::merge_slashes(request.head_mut());
        Service::call(service, request)
    };
    app.service(web::scope(&scope).wrap_fn(merge).default_service(handler(mounted)));
}

/// Answers every request below the mount path. A separate server also uses it for all other paths.
pub(crate) fn handler(mounted: Arc<Mounted>) -> actix_web::Route {
    web::to(move |request: HttpRequest, payload: Payload| {
        let mounted = Arc::clone(&mounted);
        async move {
            let response = answer(&mounted, &request, payload).await;
            mounted.runtime.events.counters().add(Count::Answers(response.status().as_u16() / 100), 1);
            response
        }
    })
}

async fn answer(mounted: &Mounted, request: &HttpRequest, payload: Payload) -> HttpResponse {
    match handshake::open(mounted, request.head(), mounted.is_secure(request), None) {
        Some(Ok(opened)) => return open_socket(mounted, opened, payload).await,
        Some(Err(refused)) => {
            mounted.runtime.events.counters().add(Count::HandshakesRefused(refused.why), 1);
            return refused.into_response();
        }
        None => {}
    }
    let route = routes::find(&mounted.path, request.path());
    let mut response = match *request.method() {
        // Refuses the preflight: otherwise a page could send the form with an `X-Forwarded-Host` of its
        // choice.
        Method::OPTIONS if route == Route::Register => HttpResponse::NoContent().finish(),
        // The asterisk means the server itself (RFC 9110, section 9.3.7).
        Method::OPTIONS if route != Route::Outside || request.path() == "*" => handler::preflight(request),
        Method::GET | Method::HEAD => page(mounted, request, route).await,
        Method::POST => post(mounted, request, route, payload).await,
        _ => not_found::page(mounted, request),
    };
    if route == Route::Root {
        handler::vary(&mut response, "Accept");
    }
    // Outside the mount path too: the console of a page would show an error of CORS instead of the 404.
    let is_allowed = handler::allow_origin(&mounted.runtime.config().cors, request, &mut response);
    if !is_allowed && handler::origin(request.headers()) != Some(peerjs::own_origin(mounted, request)) {
        endpoint::mistake(&mounted.runtime, request.head(), Mistake::CorsRefused);
    }
    response
}

async fn page(mounted: &Mounted, request: &HttpRequest, route: Route<'_>) -> HttpResponse {
    let runtime = &mounted.runtime;
    let pages = runtime.config().pages;
    let dialects = runtime.config().dialects;
    let peerjs = dialects.has(Dialect::PeerJs);
    match route {
        #[cfg(feature = "nostr")]
        Route::Root if dialects.has(Dialect::Nostr) && nostr::is_asked_for(request) => nostr::about(runtime),
        Route::Root if html::prefers_html(request) => match file(mounted, request, "").await {
            Some(index) => index,
            None if pages => pages::page(mounted, request, "").await,
            None => peerjs::about(),
        },
        Route::Root => peerjs::about(),
        Route::Id(key) | Route::Peers(key) | Route::Members(key, _) | Route::Ice(key) if peerjs => {
            of_key(mounted, request, route, key).await
        }
        Route::Health if runtime.node.awaits_keys() => plain(StatusCode::SERVICE_UNAVAILABLE, KEYS_UNREAD),
        Route::Health => plain(StatusCode::OK, "ok"),
        Route::Page(name) if pages => {
            docs::prepare(name).await;
            pages::page(mounted, request, name).await
        }
        Route::File(below) => {
            // An app may have a file of this name, and serves it as before.
            if let Some(file) = file(mounted, request, below).await {
                return file;
            }
            match pages::client(mounted, request, below).await {
                Some(client) => client,
                None => nothing(mounted, request).await,
            }
        }
        // Without an upgrade, it is a folder that an app may have.
        Route::Socket(dialect) if dialect != Dialect::PeerJs => {
            let below = request.path().strip_prefix(mounted.path.as_str()).unwrap_or_default();
            file(mounted, request, below).await.unwrap_or_else(|| not_found::page(mounted, request))
        }
        Route::Register if key_signup::is_open(runtime) => key_signup::shown(mounted, request).await,
        Route::Outside => nothing(mounted, request).await,
        _ => not_found::page(mounted, request),
    }
}

/// Answers a path without content: with the icon that browsers ask for, an id for a client with a wrong path,
/// or a 404.
async fn nothing(mounted: &Mounted, request: &HttpRequest) -> HttpResponse {
    let config = mounted.runtime.config();
    let is_cut = routes::is_cut_id_request(&mounted.path, request.path());
    let is_wrong = || {
        // PeerJS 0.3.x posts to `{key}/{id}/{token}/id`.
        let post = routes::find_post(&mounted.path, request.path());
        (is_cut || routes::is_id_request(request.path()))
            && post.is_none_or(|post| post.token == config.key.as_str())
            && !html::prefers_html(request)
    };
    if config.pages && routes::is_icon(&mounted.path, request.path()) {
        pages::icon(request).await
    } else if config.dialects.has(Dialect::PeerJs) && is_wrong() {
        if is_cut {
            not_found::record_cut(mounted, &endpoint::source(&mounted.runtime, request.head()));
        } else {
            not_found::record_request(mounted, request.head());
        }
        peerjs::id_at_wrong_path(mounted)
    } else {
        not_found::page(mounted, request)
    }
}

/// Answers for PeerJS clients of a key, which is percent-encoded.
async fn of_key(mounted: &Mounted, request: &HttpRequest, route: Route<'_>, key: &str) -> HttpResponse {
    let Some(key) = decode(key) else { return bare(StatusCode::BAD_REQUEST) };
    let runtime = &mounted.runtime;
    let source = endpoint::source(runtime, request.head());
    let note = |reason| {
        let ClientSource { origin, address, is_doctor, .. } = source.clone();
        let key = ApiKey::parse(&key).ok();
        let realm = RealmKind::PeerJs;
        let refused = Refused { reason, key, id: None, origin, address, realm, is_doctor };
        runtime.events.emit(|| Event::Refused(Box::new(refused)));
    };
    let policy = match runtime.node.tenant_of_client(&key, source.address).await {
        Ok(tenant) => Some(tenant.policy_full()),
        Err(Refusal::InvalidKey) => None,
        // The WebSocket that follows is refused with a text, and noted.
        Err(Refusal::Banned) if matches!(route, Route::Id(_)) => return peerjs::id_in_vain(peerjs::BANNED),
        Err(refusal) => {
            note(refusal);
            return legacy::refuse(refusal);
        }
    };
    match (route, policy) {
        (_, Some(policy)) if !peerjs::allows_origin(mounted, policy.settings(), request) => match route {
            Route::Id(_) => peerjs::id_in_vain(peerjs::FOREIGN_ORIGIN),
            _ => {
                note(Refusal::ForeignOrigin);
                bare(StatusCode::FORBIDDEN)
            }
        },
        (Route::Peers(_) | Route::Members(..), Some(policy))
            if !policy.settings().allow_discovery.lists() =>
        {
            endpoint::mistake(runtime, request.head(), Mistake::DiscoveryOff(policy.key().key.clone()));
            bare(StatusCode::UNAUTHORIZED)
        }
        (Route::Members(..), Some(policy)) if policy.settings().private_rooms => {
            bare(StatusCode::UNAUTHORIZED)
        }
        (Route::Peers(_), Some(policy)) => peerjs::peers(runtime, &policy, request, source.network()).await,
        (Route::Members(_, room), Some(policy)) => match decode(room) {
            Some(room) => peerjs::members(runtime, &policy, &room, source.network()),
            None => bare(StatusCode::BAD_REQUEST),
        },
        (Route::Ice(_), Some(policy)) => peerjs::ice_servers(mounted, &policy, request).await,
        // Unlike for an id, the key must exist: credentials for an unknown key are useless.
        (Route::Peers(_) | Route::Members(..) | Route::Ice(_), None) => bare(StatusCode::UNAUTHORIZED),
        // An unknown key gets one too, as in peerjs-server.
        (_, policy) => peerjs::new_id(runtime, &key, policy.as_deref(), request).await,
    }
}

async fn post(mounted: &Mounted, request: &HttpRequest, route: Route<'_>, payload: Payload) -> HttpResponse {
    let runtime = &mounted.runtime;
    if route == Route::Register && key_signup::is_open(runtime) {
        return key_signup::answer(mounted, request, payload).await;
    }
    let speaks_peerjs = runtime.config().dialects.has(Dialect::PeerJs);
    if let Some(key) = routes::find_report(&mounted.path, request.path()).filter(|_| speaks_peerjs) {
        return call_reports::answer(mounted, request, key, payload).await;
    }
    match routes::find_post(&mounted.path, request.path()) {
        Some(post) if speaks_peerjs => legacy::answer(runtime, request, post, payload).await,
        _ => not_found::page(mounted, request),
    }
}

/// A file of `--static_dir`. Upgrade requests get none.
async fn file(mounted: &Mounted, request: &HttpRequest, below: &str) -> Option<HttpResponse> {
    let config = mounted.runtime.config.load_full();
    if config.static_dir.is_none() || request.headers().contains_key(header::UPGRADE) {
        return None;
    }
    files::answer(config, request, below).await
}

async fn open_socket(
    mounted: &Mounted,
    (accepted, request): (AcceptedHandshake, ConnectRequest),
    payload: Payload,
) -> HttpResponse {
    let decoder = accepted.endpoint.decoder(&mounted.runtime, &request);
    match actix_ws::upgrade(payload, decoder).await {
        Ok((mut response, socket)) => {
            accepted.write_to(&mut response);
            accepted.endpoint.serve(socket, mounted, request);
            response
        }
        Err(error) => error.error_response(),
    }
}

#[cfg(test)]
mod tests {
    pub(super) mod echo;
}
