//! Files and pages, as browsers get and keep them: compressed, and asked for again with a tag.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::ops::RangeInclusive;
use std::path::Path;

use actix_web::body::{self, BodySize, BoxBody, MessageBody as _};
use actix_web::http::header::{self, AcceptEncoding, ContentEncoding, Encoding, EntityTag, Header as _};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use brotli::enc::BrotliEncoderParams;
use flate2::Compression;
use flate2::write::GzEncoder;
use mime::Mime;
use parking_lot::Mutex;
use ring::digest::{SHA256, digest};
use tokio::sync::Semaphore;
use web::Bytes;

use super::handler::{bare, vary};

/// Sizes of texts that are compressed: a smaller one is one packet anyway, a larger one takes a core for too
/// long.
const COMPRESSIBLE: RangeInclusive<u64> = 1024..=2 * 1024 * 1024;

/// Quality of brotli. Above it, each percent less takes twice the time.
const QUALITY: i32 = 5;

/// Compressed texts by their names and tags.
static KEPT: Mutex<BTreeMap<String, Bytes>> = Mutex::new(BTreeMap::new());
const MOST_KEPT: usize = 16 * 1024 * 1024;
/// Charged for each text, beside its size.
const OVERHEAD: usize = 512;

/// Bounds the CPU that strangers take by pages for ever new hosts. Without a permit, a text is sent as it is.
static COMPRESSING: Semaphore = Semaphore::const_new(2);

/// A file or page as an answer that browsers keep, and ask for again with its tag.
pub(crate) async fn cached(request: &HttpRequest, name: &str, content: Cow<'static, [u8]>) -> HttpResponse {
    let hash = digest(&SHA256, &content);
    let tag = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let mut response = HttpResponse::Ok();
    response.content_type(content_type(Path::new(name)));
    response.insert_header(header::ETag(EntityTag::new_strong(tag)));
    compressed(request, name, response.body(content)).await
}

/// A text of this name as the request prefers it: compressed, or not at all if the client has it.
pub(super) async fn compressed(
    request: &HttpRequest,
    name: &str,
    mut response: HttpResponse,
) -> HttpResponse {
    vary(&mut response, "Accept-Encoding");
    let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok()?.parse().ok());
    let is_whole = response.status() == StatusCode::OK;
    let Some::<EntityTag>(tag) = tag.filter(|_| is_whole) else { return response };
    let is_fit = matches!(response.body().size(), BodySize::Sized(size) if COMPRESSIBLE.contains(&size));
    let coding = coding(request).filter(|_| is_fit);
    // Each coding is another sequence of bytes (RFC 9110, section 8.8.3.3).
    let coded = coding.map(|coding| EntityTag::new_strong(format!("{}-{}", tag.tag(), coding.as_str())));
    if let Some(tag) = [Some(tag), coded.clone()].into_iter().flatten().find(|tag| has(request, tag)) {
        let mut response = tagged(response.drop_body(), BoxBody::new(()), &tag);
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    let Some((coding, tag)) = coding.zip(coded) else { return response };
    let key = format!("{name} {tag}");
    let kept = KEPT.lock().get(&key).cloned();
    let permit = COMPRESSING.try_acquire();
    if kept.is_none() && permit.is_err() {
        return response;
    }
    let (head, body) = response.into_parts();
    let bytes = match kept {
        Some(bytes) => bytes,
        None => match compress(coding, body).await {
            Ok(bytes) => keep(key, bytes),
            Err(error) => {
                log::error!("cannot compress {name}: {error}");
                return bare(StatusCode::INTERNAL_SERVER_ERROR);
            }
        },
    };
    let mut response = tagged(head, BoxBody::new(bytes), &tag);
    response.headers_mut().insert(header::CONTENT_ENCODING, coding.to_header_value());
    response.headers_mut().remove(header::ACCEPT_RANGES);
    response
}

/// True if the client has the text with this tag.
fn has(request: &HttpRequest, tag: &EntityTag) -> bool {
    match header::IfNoneMatch::parse(request) {
        Ok(header::IfNoneMatch::Any) => true,
        Ok(header::IfNoneMatch::Items(tags)) => tags.iter().any(|cached| cached.weak_eq(tag)),
        Err(_) => false,
    }
}

fn tagged(head: HttpResponse<()>, body: BoxBody, tag: &EntityTag) -> HttpResponse {
    let mut response = head.set_body(body);
    if let Ok(tag) = tag.to_string().parse() {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// The coding that a request prefers, unless that is none.
fn coding(request: &HttpRequest) -> Option<ContentEncoding> {
    let accepted = AcceptEncoding::parse(request).ok()?;
    let supported = [Encoding::brotli(), Encoding::gzip(), Encoding::identity()];
    match accepted.negotiate(supported.iter())? {
        Encoding::Known(coding) if coding != ContentEncoding::Identity => Some(coding),
        _ => None,
    }
}

fn keep(key: String, bytes: Bytes) -> Bytes {
    let mut kept = KEPT.lock();
    let size: usize = kept.iter().map(|(key, bytes)| key.len() + bytes.len() + OVERHEAD).sum();
    if size > MOST_KEPT {
        kept.clear();
    }
    kept.insert(key, bytes.clone());
    bytes
}

/// Compresses a body, on the blocking pool, so that clients of this worker do not wait.
async fn compress(coding: ContentEncoding, body: BoxBody) -> Result<Bytes, Box<dyn std::error::Error>> {
    let content = body::to_bytes(body).await?;
    let compressed =
        web::block(move || if coding == ContentEncoding::Brotli { brotli(&content) } else { gzip(&content) });
    Ok(compressed.await??.into())
}

fn brotli(mut content: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let parameters = BrotliEncoderParams { quality: QUALITY, ..BrotliEncoderParams::default() };
    brotli::BrotliCompress(&mut content, &mut out, &parameters)?;
    Ok(out)
}

fn gzip(content: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    encoder.finish()
}

/// The media type of a file by its extension. Text is UTF-8.
pub(super) fn content_type(name: &Path) -> Mime {
    let extension = name.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    // mime_guess does not know these, or knows an unregistered name.
    let known = match extension.to_ascii_lowercase().as_str() {
        "mjs" | "cjs" => "text/javascript",
        "map" | "importmap" => "application/json",
        // The file of Apple's links to apps.
        "" if name.ends_with("apple-app-site-association") => "application/json",
        // Types of TypeScript. Other `.ts` files are video.
        "ts" if name.to_str().is_some_and(|name| name.ends_with(".d.ts")) => "text/plain",
        "m4a" => "audio/mp4",
        "otf" => "font/otf",
        "woff" => "font/woff",
        "ktx2" => "image/ktx2",
        "obj" => "model/obj",
        "usdz" => "model/vnd.usdz+zip",
        _ => "",
    };
    let kind = known.parse().unwrap_or_else(|_| mime_guess::from_path(name).first_or_octet_stream());
    match kind.type_() {
        mime::TEXT => format!("{kind}; charset=utf-8").parse().unwrap_or(kind),
        _ => kind,
    }
}
