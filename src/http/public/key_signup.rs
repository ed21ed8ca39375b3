//! The form on the landing page that registers a key, and the answers to it.

use std::sync::Arc;

use actix_web::http::header::{self, HeaderName};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, http::StatusCode, web};

use super::handler::{Mounted, bare, origin, plain, read_body, value};
use super::html::Values;
use super::{forwarded, html, peerjs};
use crate::runtime::Runtime;
use crate::runtime::control::{InvalidSignup, SignupError, SignupRequest};
use peerbroker_config::ClientOptions;
use peerbroker_core::vocabulary::ApiKey;
use peerbroker_keys::{Key, KeyError};

/// Most bytes of a submitted form.
const MAX_BYTES: usize = 4096;

/// Browsers set it, and pages cannot change it.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

const CROSS_SITE: &str = "Forbidden: this form is for pages of this server. If you sent it from its landing page, \
    the proxy in front of it has to pass the Host header on, or the server needs --proxied.\n";

/// A form that was not accepted, or is empty.
#[derive(Default)]
struct Form {
    name: String,
    origin: String,
    problems: InvalidSignup,
}

pub(super) fn is_open(runtime: &Runtime) -> bool {
    runtime.config().pages && runtime.config().registration.open
}

/// The form as a section of the landing page. Empty if registration is closed.
pub(super) fn section(runtime: &Runtime, values: &Values) -> String {
    if is_open(runtime) { Form::default().shown(runtime, values) } else { String::new() }
}

/// Answers a GET of the form's address: shows the registered key of its query, or leads back to the form.
pub(super) async fn shown(mounted: &Mounted, request: &HttpRequest) -> HttpResponse {
    let key = value(request.query_string().as_bytes(), "key").and_then(|key| ApiKey::parse(&key).ok());
    let Some(key) = key else { return see_other("./") };
    if let Some(tenant) = mounted.runtime.node.tenant(key.as_str()) {
        let policy = tenant.policy_full();
        let key = policy.key();
        return if key.registered { key_page(mounted, request, key) } else { see_other("./") };
    }
    // Another node may have registered it a moment ago.
    let runtime = Arc::clone(&mounted.runtime);
    match web::block(move || runtime.control.one_key(&key)).await {
        Ok(Ok(key)) if key.registered && key.settings.enabled => key_page(mounted, request, &key),
        Ok(Err(KeyError::Store(_))) => plain(StatusCode::SERVICE_UNAVAILABLE, NOT_READ),
        _ => see_other("./"),
    }
}

/// The browser gets this address, so a reload sends no form again.
fn see_other(location: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, location)).finish()
}

/// Registers a key, and leads to the page that shows it.
pub(super) async fn answer(mounted: &Mounted, request: &HttpRequest, payload: web::Payload) -> HttpResponse {
    if !is_from_own_page(mounted, request) {
        return plain(StatusCode::FORBIDDEN, CROSS_SITE);
    }
    if !request.content_type().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return bare(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let body = match read_body(payload, MAX_BYTES).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let mut form = Form::of(&body);
    let app = match SignupRequest::check(&form.name, &form.origin) {
        Ok(app) => app,
        Err(problems) => {
            form.problems = problems;
            let why = "Please correct the form.";
            return form.again(mounted, request, StatusCode::UNPROCESSABLE_ENTITY, why);
        }
    };
    let runtime = Arc::clone(&mounted.runtime);
    let address = forwarded::client_address(&runtime, request.peer_addr(), request.headers());
    let registered = web::block(move || runtime.control.register(address, app)).await;
    let no_key = |status, why: &str| form.again(mounted, request, status, why);
    match registered {
        Ok(Ok(key)) => see_other(&format!("register?key={}", key.key.as_str())),
        Ok(Err(SignupError::TooMany(too_many))) => {
            let seconds = too_many.seconds();
            let why = format!(
                "Your address has registered the maximum number of keys for 24 hours. The next one is possible in {}.",
                in_words(seconds)
            );
            let mut response = no_key(StatusCode::TOO_MANY_REQUESTS, &why);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            response
        }
        Ok(Err(SignupError::Full)) => {
            let why = "This server has no free keys left. Ask its operator, or try again another day: unused keys may become free.";
            no_key(StatusCode::SERVICE_UNAVAILABLE, why)
        }
        Ok(Err(SignupError::Keys(error))) => {
            log::error!("cannot register a key: {error}");
            no_key(StatusCode::INTERNAL_SERVER_ERROR, NOT_STORED)
        }
        Err(_) => no_key(StatusCode::INTERNAL_SERVER_ERROR, NOT_STORED),
    }
}

const NOT_STORED: &str = "The key could not be stored, which is this server’s fault. Try again later.";

const NOT_READ: &str = "The keys of this server cannot be read at the moment. Try again later.";

/// True if a page of this server sent the form, or a program. Pages of other sites could otherwise register
/// keys with the browsers of their visitors.
fn is_from_own_page(mounted: &Mounted, request: &HttpRequest) -> bool {
    match (request.headers().get(SEC_FETCH_SITE), origin(request.headers())) {
        (Some(site), _) => site == "same-origin" || site == "none",
        (None, Some(origin)) => origin == peerjs::own_origin(mounted, request),
        (None, None) => true,
    }
}

impl Form {
    fn of(body: &[u8]) -> Self {
        let field = |name: &str| value(body, name).unwrap_or_default().into_owned();
        Form { name: field("name"), origin: field("origin"), ..Form::default() }
    }

    /// The form again, with its values and the problems.
    fn again(&self, mounted: &Mounted, request: &HttpRequest, status: StatusCode, why: &str) -> HttpResponse {
        let values = Values::of(mounted, forwarded::client_options(mounted, request));
        let form = self.shown(&mounted.runtime, &values);
        let values = values.with("why", why).with_html("registration", form);
        let content = values.part("no-key.html");
        html::framed(status, "No key yet", content, values)
    }

    fn shown(&self, runtime: &Runtime, values: &Values) -> String {
        let name = self.problems.name.as_deref();
        let origin = self.problems.origin;
        let focus = |focused: bool| if focused { "autofocus" } else { "" };
        values
            .clone()
            .with("name", &self.name)
            .with("origin", &self.origin)
            .with("name_problem", name.unwrap_or_default())
            .with("origin_problem", origin.unwrap_or_default())
            .with("name_invalid", &name.is_some().to_string())
            .with("origin_invalid", &origin.is_some().to_string())
            .with("name_focus", focus(name.is_some()))
            .with("origin_focus", focus(name.is_none() && origin.is_some()))
            .with("removal", &removal(runtime))
            .part("register.html")
    }
}

/// Shows the key and how to use it.
fn key_page(mounted: &Mounted, request: &HttpRequest, key: &Key) -> HttpResponse {
    let options =
        ClientOptions { key: key.key.as_str().to_owned(), ..forwarded::client_options(mounted, request) };
    let origin = key.settings.origins.first().map(|origin| origin.as_str()).unwrap_or_default();
    let values = Values::of(mounted, options)
        .with("name", &key.name)
        .with("origin", origin)
        .with("removal", &removal(&mounted.runtime));
    let content = values.part("key.html");
    html::framed(StatusCode::OK, "Your key", content, values)
}

/// Describes when an unused key is removed.
fn removal(runtime: &Runtime) -> String {
    match runtime.config().registration.ttl_days {
        0 => String::new(),
        1 => "It is removed when nobody uses it for a day.".to_owned(),
        days => format!("It is removed when nobody uses it for {days} days."),
    }
}

/// Rounds up.
fn in_words(seconds: u64) -> String {
    let minutes = seconds.div_ceil(60);
    match minutes.div_ceil(60) {
        ..=1 if minutes == 1 => "a minute".to_owned(),
        ..=1 => format!("{minutes} minutes"),
        hours => format!("{hours} hours"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_in_words() {
        for (seconds, words) in [
            (1, "a minute"),
            (60, "a minute"),
            (61, "2 minutes"),
            (3600, "60 minutes"),
            (3601, "2 hours"),
            (86_400, "24 hours"),
        ] {
            assert_eq!(in_words(seconds), words);
        }
    }

    #[test]
    fn any_body_is_read_as_a_form() {
        let input = |body: &[u8]| Form::of(body);
        let both = input(b"name=first&name=My+game%21&origin=https%3A%2F%2Fa.test%2F&more=x");
        assert_eq!((both.name.as_str(), both.origin.as_str()), ("My game!", "https://a.test/"));
        for body in [&b""[..], b"&&==&", b"\xff\0=%zz", b"name", b"Name=x"] {
            assert_eq!(input(body).name, "", "{body:?}");
        }
    }
}
