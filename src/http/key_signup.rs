//! The form on the landing page that registers a key for somebody's app, and what is answered to it.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, web};

use super::mounted::Mounted;
use super::response::plain;
use super::template::Values;
use super::{body, endpoint, html, peerjs, seen};
use crate::admin::{InvalidSignup, SignupError, SignupRequest};
use crate::app::Parts;
use crate::client_options::ClientOptions;
use crate::keys::Key;

/// Most bytes of a form that is sent.
const MAX_BYTES: usize = 4096;

/// Said by browsers, and by no page.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

const NOT_FROM_HERE: &str = "Forbidden: this form is for pages of this server. If you sent it from its landing page, \
    the proxy in front of it has to pass the Host header on, or the server needs --proxied.\n";

/// What was typed into the form.
#[derive(Default)]
struct Typed {
    name: String,
    origin: String,
}

pub(super) fn is_open(parts: &Parts) -> bool {
    parts.config().pages && parts.config().registration.open
}

/// The form as a section of the landing page; nothing if registration is closed.
pub(super) fn section(parts: &Parts, values: &Values) -> String {
    if is_open(parts) {
        form(parts, values, &Typed::default(), &InvalidSignup::default())
    } else {
        String::new()
    }
}

/// For those who open the address of the answer again.
pub(super) fn to_the_form() -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, HeaderValue::from_static("./"))).finish()
}

/// Registers a key.
pub(super) async fn answer(mounted: &Mounted, request: &HttpRequest, payload: web::Payload) -> HttpResponse {
    if !is_from_here(mounted, request) {
        return plain(StatusCode::FORBIDDEN, NOT_FROM_HERE);
    }
    if !request.content_type().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type");
    }
    let body = match body::read(payload, MAX_BYTES).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let typed = Typed::of(&body);
    let app = match SignupRequest::check(&typed.name, &typed.origin) {
        Ok(app) => app,
        Err(wrong) => {
            let why = "Something in the form needs another look.";
            return once_more(mounted, request, StatusCode::UNPROCESSABLE_ENTITY, why, &typed, &wrong);
        }
    };
    let parts = Arc::clone(&mounted.parts);
    let address = seen::client_address(&parts, request.headers(), request.peer_addr());
    let registered = web::block(move || parts.admin.register(address, app)).await;
    let no_key =
        |status, why: &str| once_more(mounted, request, status, why, &typed, &InvalidSignup::default());
    match registered {
        Ok(Ok(key)) => here_it_is(mounted, request, &key),
        Ok(Err(SignupError::TooMany(too_many))) => {
            let seconds = too_many.seconds();
            let why = format!(
                "Your address has registered all the keys that it may within 24 hours. The next one is possible in {}.",
                in_words(Duration::from_secs(seconds))
            );
            let mut response = no_key(StatusCode::TOO_MANY_REQUESTS, &why);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            response
        }
        Ok(Err(SignupError::Full)) => {
            let why = "All the keys that this server gives away are taken. Ask those who run it, or try again another day: \
                       keys that nobody uses may become free.";
            no_key(StatusCode::SERVICE_UNAVAILABLE, why)
        }
        Ok(Err(SignupError::AdminError(error))) => {
            log::error!("cannot register a key: {error}");
            no_key(StatusCode::INTERNAL_SERVER_ERROR, COULD_NOT)
        }
        Err(_) => no_key(StatusCode::INTERNAL_SERVER_ERROR, COULD_NOT),
    }
}

const COULD_NOT: &str = "The key could not be stored, which is this server’s fault. Try again later.";

/// Whether a page of this server sent the form, or no page. Other sites must not have the browsers of their visitors
/// register keys.
fn is_from_here(mounted: &Mounted, request: &HttpRequest) -> bool {
    match (request.headers().get(SEC_FETCH_SITE), endpoint::origin(request.headers())) {
        (Some(site), _) => site == "same-origin" || site == "none",
        (None, Some(origin)) => origin == peerjs::own_origin(mounted, request),
        (None, None) => true,
    }
}

impl Typed {
    fn of(body: &[u8]) -> Self {
        let value = |wanted: &str| {
            let mut pairs = form_urlencoded::parse(body);
            pairs.find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned()).unwrap_or_default()
        };
        Typed { name: value("name"), origin: value("origin") }
    }
}

/// The form again, with what was typed, and what is wrong with it.
fn once_more(
    mounted: &Mounted,
    request: &HttpRequest,
    status: StatusCode,
    why: &str,
    typed: &Typed,
    wrong: &InvalidSignup,
) -> HttpResponse {
    let values = Values::of(mounted, seen::client_options(mounted, request));
    let form = form(&mounted.parts, &values, typed, wrong);
    let values = values.with("{{why}}", why).with_html("{{registration}}", form);
    let content = values.part("no-key.html");
    html::answer(status, "No key yet", content, values)
}

/// The key and how to use it.
fn here_it_is(mounted: &Mounted, request: &HttpRequest, key: &Key) -> HttpResponse {
    let options = ClientOptions { key: key.key.to_string(), ..seen::client_options(mounted, request) };
    let origin = key.settings.origins.first().map(|origin| origin.as_str()).unwrap_or_default();
    let values = Values::of(mounted, options)
        .with("{{name}}", &key.name)
        .with("{{origin}}", origin)
        .with("{{removal}}", &removal(&mounted.parts));
    let content = values.part("key.html");
    html::answer(StatusCode::CREATED, "Your key", content, values)
}

fn form(parts: &Parts, values: &Values, typed: &Typed, wrong: &InvalidSignup) -> String {
    let (name, origin) = (wrong.name.as_deref(), wrong.origin);
    let focus = |it: bool| if it { "autofocus" } else { "" };
    values
        .clone()
        .with("{{name}}", &typed.name)
        .with("{{origin}}", &typed.origin)
        .with("{{name_problem}}", name.unwrap_or_default())
        .with("{{origin_problem}}", origin.unwrap_or_default())
        .with("{{name_invalid}}", &name.is_some().to_string())
        .with("{{origin_invalid}}", &origin.is_some().to_string())
        .with("{{name_focus}}", focus(name.is_some()))
        .with("{{origin_focus}}", focus(name.is_none() && origin.is_some()))
        .with("{{removal}}", &removal(parts))
        .part("register.html")
}

/// What becomes of a key that nobody uses.
fn removal(parts: &Parts) -> String {
    match parts.config().registration.ttl_days {
        0 => String::new(),
        1 => "It is removed when nobody uses it for a day.".to_owned(),
        days => format!("It is removed when nobody uses it for {days} days."),
    }
}

/// Rounded up.
fn in_words(duration: Duration) -> String {
    let minutes = duration.as_secs().div_ceil(60);
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
    fn a_time_is_told_in_words() {
        for (seconds, words) in [
            (1, "a minute"),
            (60, "a minute"),
            (61, "2 minutes"),
            (3600, "60 minutes"),
            (3601, "2 hours"),
            (86_400, "24 hours"),
        ] {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }

    #[test]
    fn what_is_typed_may_be_anything() {
        let typed = |body: &[u8]| Typed::of(body);
        let both = typed(b"name=My+game%21&origin=https%3A%2F%2Fa.test%2F&more=x&name=second");
        assert_eq!((both.name.as_str(), both.origin.as_str()), ("My game!", "https://a.test/"));
        for body in [&b""[..], b"&&==&", b"\xff\0=%zz", b"name", b"Name=x"] {
            assert_eq!(typed(body).name, "", "{body:?}");
        }
    }
}
