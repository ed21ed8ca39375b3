//! The PeerJS client that the broker serves: preset to this broker, and unchanged.

use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use super::embedded::{Library, PEERJS, PEERJS_READABLE, PEERJS_VERSION};
use super::mounted::Mounted;
use super::template::Values;
use super::{forwarded, ice, pages};

/// Lets pages that isolate themselves (`Cross-Origin-Embedder-Policy`) load the script.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// A file of the client, by its name below the mount path.
pub(super) fn answer(mounted: &Mounted, request: &HttpRequest, name: &str) -> Option<HttpResponse> {
    if !mounted.parts.config().dialects.peerjs {
        return None;
    }
    let mut response = match name {
        "peerjs.js" => preset(mounted, request, &PEERJS_READABLE, "client.js"),
        "peerjs.min.js" => preset(mounted, request, &PEERJS, "client.js"),
        "peerjs.mjs" => preset(mounted, request, &PEERJS, "client.mjs"),
        _ => [PEERJS, PEERJS_READABLE]
            .iter()
            .find(|library| unchanged_name(library) == name)
            .map(|library| unchanged(request, library))?,
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    Some(response)
}

/// `peerjs-1.5.5.min.js`: a name with the version, because the file never changes.
fn unchanged_name(library: &Library) -> String {
    library.file.replacen("peerjs", &format!("peerjs-{PEERJS_VERSION}"), 1)
}

fn preset(mounted: &Mounted, request: &HttpRequest, library: &Library, template: &str) -> HttpResponse {
    let text = filled(mounted, request, library, template);
    let mut response = pages::cached(request, text.into_bytes().into());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn filled(mounted: &Mounted, request: &HttpRequest, library: &Library, template: &str) -> String {
    let has_key = mounted.parts.config().default_key;
    let key = has_key.then(|| forwarded::client_options(mounted, request).key);
    // The source map is not embedded, so browsers would ask for it in vain.
    let code = library.text.rsplit_once("//# sourceMappingURL").map_or(library.text, |(code, _)| code);
    let values = Values::default()
        .with_html("{{version}}", PEERJS_VERSION.to_owned())
        .with_html("{{plain}}", unchanged_name(library))
        .with_html("{{integrity}}", library.integrity.to_owned())
        .with_html("{{key}}", serde_json::json!(key).to_string())
        .with_html("{{library}}", code.to_owned());
    let has_ice = ice::has_servers(mounted, request);
    let preset = values.clone().with_html("{{ice}}", values.part("ice.js")).part("preset.js");
    values
        .with_html("{{preset}}", preset)
        .with_html("{{has_ice_servers}}", has_ice.to_string())
        .part(template)
}

/// The published build, byte by byte.
fn unchanged(request: &HttpRequest, library: &Library) -> HttpResponse {
    let mut response = pages::cached(request, library.text.as_bytes().into());
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    response.headers_mut().insert(header::CACHE_CONTROL, forever);
    response
}
