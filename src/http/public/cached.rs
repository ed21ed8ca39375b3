//! Files of the binary, as browsers get and keep them: compressed, and asked for again with a tag.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;

use actix_web::http::header::{self, AcceptEncoding, ContentEncoding, Encoding, Header as _};
use actix_web::{HttpRequest, HttpResponse, web};
use brotli::enc::BrotliEncoderParams;
use flate2::Compression;
use flate2::write::GzEncoder;
use parking_lot::Mutex;
use ring::digest::{SHA256, digest};
use web::Bytes;

use super::files;

/// A smaller file is one packet anyway.
const SMALLEST: usize = 1024;

/// Of brotli. Above it, each percent less takes twice the time.
const QUALITY: i32 = 5;

/// Compressed files by their tags. Only settings change the text of a file, so these are few.
static COMPRESSED: Mutex<BTreeMap<String, Bytes>> = Mutex::new(BTreeMap::new());
const MOST_COMPRESSED: usize = 256;

/// A file as an answer that browsers keep, and ask for again with its tag.
pub(crate) async fn cached(request: &HttpRequest, name: &str, content: Cow<'static, [u8]>) -> HttpResponse {
    let hash = digest(&SHA256, &content);
    let mut tag: String = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let coding = coding(request).filter(|_| content.len() >= SMALLEST);
    // Each coding is another sequence of bytes (RFC 9110, section 8.8.3.3).
    tag.extend(coding.into_iter().flat_map(|coding| ["-", coding.as_str()]));
    let etag = header::EntityTag::new_strong(tag.clone());
    let is_cached = match header::IfNoneMatch::parse(request) {
        Ok(header::IfNoneMatch::Any) => true,
        Ok(header::IfNoneMatch::Items(tags)) => tags.iter().any(|cached| cached.weak_eq(&etag)),
        Err(_) => false,
    };
    let mut response = if is_cached { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.content_type(files::content_type(Path::new(name)));
    response.insert_header(header::ETag(etag)).insert_header((header::VARY, "Accept-Encoding"));
    match coding {
        _ if is_cached => response.finish(),
        None => response.body(content),
        Some(coding) => response.insert_header(coding).body(compressed(tag, coding, content).await),
    }
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

/// The compressed file with this tag: the first time from the blocking pool, so that clients of this worker do not wait.
async fn compressed(tag: String, coding: ContentEncoding, content: Cow<'static, [u8]>) -> Bytes {
    if let Some(kept) = COMPRESSED.lock().get(&tag) {
        return kept.clone();
    }
    let compressed = web::block(move || compress(coding, &content).unwrap_or_default()).await;
    let bytes = Bytes::from(compressed.unwrap_or_default());
    let mut all = COMPRESSED.lock();
    if all.len() >= MOST_COMPRESSED {
        all.clear();
    }
    all.insert(tag, bytes.clone());
    bytes
}

fn compress(coding: ContentEncoding, mut content: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    if coding == ContentEncoding::Brotli {
        let parameters = BrotliEncoderParams { quality: QUALITY, ..BrotliEncoderParams::default() };
        brotli::BrotliCompress(&mut content, &mut out, &parameters)?;
        return Ok(out);
    }
    let mut encoder = GzEncoder::new(out, Compression::best());
    encoder.write_all(content)?;
    encoder.finish()
}
