//! Serves the files of `--static_dir`.
//!
//! `NamedFile` of actix-files sends them, because it knows ranges and conditions. Its service `Files` is not
//! used: it follows links out of the directory, and opens whatever is there.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use actix_files::NamedFile;
use actix_web::body::{BodySize, MessageBody as _, SizedStream};
use actix_web::http::header::{self, HeaderValue};
use actix_web::{Error, HttpMessage as _, HttpRequest, HttpResponse, http::Method, web};
use futures_util::stream;
use mime::Mime;

use super::cached::{compressed, content_type};
use super::handler::{NO_CACHE, NOSNIFF, with};
use crate::http::path::decode;
use peerbroker_config::{Config, PrivateFile};
use peerbroker_system::{self as system, files};

/// The file that is served for a directory.
const INDEX: &str = "index.html";

/// The target of a path.
enum Found {
    File(Box<NamedFile>),
    /// A directory with an index. The path lacks the final slash, without which relative links would break.
    Directory,
    /// No file of this name, but a page with `.html` behind it.
    WithoutHtml,
}

/// The requested file, with `.html` behind its name, exists.
pub(super) struct WithoutHtml;

/// The requested file, if it exists. `below` is the path below the mount path, still percent-encoded.
pub(super) async fn answer(config: Arc<Config>, request: &HttpRequest, below: &str) -> Option<HttpResponse> {
    let name = local_name(below)?;
    let with_slash = request.path().ends_with('/');
    // Disks and network drives may be slow, so this does not run on the worker.
    let found = web::block(move || find(&config, &name, with_slash)).await.ok()??;
    let response = match found {
        Found::File(file) => send(*file, request).await,
        Found::Directory => redirect(request)?,
        Found::WithoutHtml => {
            request.extensions_mut().insert(WithoutHtml);
            return None;
        }
    };
    Some(with(response, [NOSNIFF, NO_CACHE]))
}

/// The one hidden directory that is served: apps and programs find files about a site there (RFC 8615).
const WELL_KNOWN: &str = ".well-known";

/// The relative path that a URL names. Refuses other hidden names, `..`, and encoded separators.
fn local_name(below: &str) -> Option<PathBuf> {
    if below.is_empty() {
        return Some(PathBuf::new());
    }
    let segment = |(index, encoded)| {
        let name = decode(encoded)?.into_owned();
        let is_hidden = name.starts_with('.') && (index > 0 || name != WELL_KNOWN);
        let is_named = !name.is_empty() && !is_hidden;
        (is_named && !name.contains(['/', '\\', '\0']) && system::is_plain_name(&name)).then_some(name)
    };
    below.strip_suffix('/').unwrap_or(below).split('/').enumerate().map(segment).collect()
}

fn find(config: &Config, name: &Path, with_slash: bool) -> Option<Found> {
    // Resolved for each request: operators may switch a link to another release while the server runs.
    let root = config.static_dir.as_ref()?.canonicalize().ok()?;
    let open = |name: &Path| open(&root, name, &config.private_files);
    let index = || open(&name.join(INDEX));
    if with_slash {
        return index().map(Box::new).map(Found::File);
    }
    let file = open(name).map(Box::new).map(Found::File);
    file.or_else(|| index().map(|_| Found::Directory)).or_else(|| {
        let page = format!("{}.html", name.to_str()?);
        open(Path::new(&page)).map(|_| Found::WithoutHtml)
    })
}

/// Opens a regular file below `root`. Links that lead out of `root`, and private files, are refused.
fn open(root: &Path, name: &Path, private: &[PrivateFile]) -> Option<NamedFile> {
    let path = root.join(name).canonicalize().ok()?;
    if !path.starts_with(root) {
        return None;
    }
    let file =
        files::open_regular(&path).inspect_err(|error| log::debug!("cannot serve {path:?}: {error}")).ok()?;
    let found = file.metadata().ok()?;
    if let Some(of) = private.iter().find(|private| is_same(private, &path, &found)) {
        log::warn!("refused to serve {path:?}: it is a file of {}. Move it out of --static_dir", of.setting);
        return None;
    }
    // The type follows from the requested name; the target of a link may have another extension.
    let file = NamedFile::from_file(file, name).ok()?;
    Some(file.set_content_type(content_type(name)).disable_content_disposition())
}

/// True if an opened file is private, or in a private directory. Another name may be a link to the same file.
fn is_same(private: &PrivateFile, path: &Path, found: &Metadata) -> bool {
    let (device, inode) = system::identity(found);
    let is_linked = || fs::metadata(&private.path).is_ok_and(|of| system::identity(&of) == (device, inode));
    (inode != 0 && is_linked()) || private.resolved().is_some_and(|private| path.starts_with(private))
}

async fn send(file: NamedFile, request: &HttpRequest) -> HttpResponse {
    if file.metadata().len() == 0 {
        // For a range at the end of an empty file, actix-files would count below zero.
        return HttpResponse::Ok().content_type(file.content_type().clone()).finish();
    }
    let name = file.path().to_string_lossy().into_owned();
    let is_text = is_text(file.content_type());
    let mut response = file.into_response(request);
    if is_text {
        response = compressed(request, &name, response).await;
    }
    // In an answer to HEAD, actix-http would read the whole file and discard it.
    if *request.method() == Method::HEAD
        && let BodySize::Sized(size) = response.body().size()
    {
        return response
            .set_body(SizedStream::new(size, stream::empty::<Result<_, Error>>()))
            .map_into_boxed_body();
    }
    response
}

/// True if a file of this type becomes much smaller by compression.
fn is_text(kind: &Mime) -> bool {
    let is_of =
        |name: mime::Name<'_>| [mime::JSON, mime::XML, mime::JAVASCRIPT].contains(&name) || name == "wasm";
    kind.type_() == mime::TEXT || is_of(kind.subtype()) || kind.suffix().is_some_and(is_of)
}

/// Redirects to the same path with a final slash. The URL is relative, so it works behind any proxy and
/// cannot lead to another host. It starts with a dot because a name with a colon would look like a scheme.
fn redirect(request: &HttpRequest) -> Option<HttpResponse> {
    let (_, last) = request.path().rsplit_once('/')?;
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let location = HeaderValue::from_str(&format!("./{last}/{query}")).ok()?;
    Some(HttpResponse::TemporaryRedirect().insert_header((header::LOCATION, location)).finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_leave_its_directory_or_name_a_hidden_file() {
        for (below, name) in [
            ("", Some("")),
            ("a", Some("a")),
            ("a/", Some("a")),
            ("a/b.c", Some("a/b.c")),
            ("caf%C3%A9%20%25.txt", Some("café %.txt")),
            ("a..b/c...", Some("a..b/c...")),
            ("%41", Some("A")),
            ("/", None),
            ("//", None),
            ("/etc/passwd", None),
            ("a//b", None),
            ("a//", None),
            (".", None),
            ("..", None),
            ("../a", None),
            ("a/../b", None),
            ("a/..", None),
            ("%2e%2e/a", None),
            (".%2E/a", None),
            ("%252e%252e/a", Some("%2e%2e/a")),
            ("..%2fa", None),
            ("a%2fb", None),
            ("%2Fetc", None),
            ("a%5cb", None),
            ("..\\a", None),
            ("a%00", None),
            (".git/config", None),
            ("a/.env", None),
            (".well-known/assetlinks.json", Some(".well-known/assetlinks.json")),
            (".well-known/.env", None),
            ("a/.well-known/b", None),
            (".well-known2/b", None),
            ("a/%2eenv", None),
            ("%", None),
            ("%2", None),
            ("%zz", None),
            ("%ff", None),
            ("%c0%ae%c0%ae/a", None),
        ] {
            assert_eq!(local_name(below), name.map(PathBuf::from), "{below:?}");
        }
    }

    #[test]
    fn types_are_those_that_browsers_ask_for() {
        for (name, kind) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a.css", "text/css; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.MJS", "text/javascript; charset=utf-8"),
            ("a.txt", "text/plain; charset=utf-8"),
            ("a.d.ts", "text/plain; charset=utf-8"),
            ("a.md", "text/markdown; charset=utf-8"),
            ("a.vtt", "text/vtt; charset=utf-8"),
            ("a.json", "application/json"),
            ("a.js.map", "application/json"),
            ("a.webmanifest", "application/manifest+json"),
            ("a.wasm", "application/wasm"),
            ("a.svg", "image/svg+xml"),
            ("a.png", "image/png"),
            ("a.jpg", "image/jpeg"),
            ("a.webp", "image/webp"),
            ("a.avif", "image/avif"),
            ("a.ico", "image/x-icon"),
            ("a.woff", "font/woff"),
            ("a.woff2", "font/woff2"),
            ("a.ttf", "font/ttf"),
            ("a.otf", "font/otf"),
            ("a.mp3", "audio/mpeg"),
            ("a.m4a", "audio/mp4"),
            ("a.ogg", "audio/ogg"),
            ("a.opus", "audio/ogg"),
            ("a.wav", "audio/wav"),
            ("a.mp4", "video/mp4"),
            ("a.webm", "video/webm"),
            ("a.glb", "model/gltf-binary"),
            ("a.gltf", "model/gltf+json"),
            ("a.usdz", "model/vnd.usdz+zip"),
            ("a.ktx2", "image/ktx2"),
            ("a.pdf", "application/pdf"),
            ("a.bin", "application/octet-stream"),
            (".well-known/apple-app-site-association", "application/json"),
            ("LICENSE", "application/octet-stream"),
        ] {
            assert_eq!(content_type(Path::new(name)).to_string(), kind, "{name}");
        }
    }
}
