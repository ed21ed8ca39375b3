//! Refusals of handshakes, and their answers.

use std::borrow::Cow;

use actix_http::{Method, RequestHead, StatusCode};
use actix_web::HttpResponse;

use crate::http::mounted::Mounted;
use crate::http::{forwarded, not_found};
use crate::limits::LimitExceeded;
use crate::wire::HandshakeRefusal;

impl HandshakeRefusal {
    /// The status of the answer.
    pub(in crate::http) fn status(self) -> StatusCode {
        // Never anything else: a test goes through all rows.
        StatusCode::from_u16(self.ending().status).unwrap_or(StatusCode::BAD_REQUEST)
    }

    /// The headers of this refusal. [`Refused`] adds the common ones and `Retry-After`.
    fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            // The text contains the host, and the key of a cache in front may lack it.
            HandshakeRefusal::NotFound => &[("Cache-Control", "no-store")],
            HandshakeRefusal::BadMethod => &[("Allow", "GET")],
            HandshakeRefusal::BadVersion => &[("Sec-WebSocket-Version", "13, 8")],
            HandshakeRefusal::NoUpgrade
            | HandshakeRefusal::BadBody
            | HandshakeRefusal::BadKey
            | HandshakeRefusal::TooManyConnections => &[],
        }
    }
}

/// The answer that refuses a handshake.
pub(crate) struct Refused {
    pub(in crate::http) why: HandshakeRefusal,
    text: Cow<'static, str>,
    retry_after: Option<u64>,
    /// An answer to HEAD has no body.
    is_to_head: bool,
}

impl Refused {
    /// The answer to a request. `is_secure` says whether it came over TLS.
    pub(in crate::http) fn new(
        why: HandshakeRefusal,
        mounted: &Mounted,
        head: &RequestHead,
        is_secure: bool,
    ) -> Self {
        let text = why.ending().text.map_or_else(
            || {
                not_found::note(mounted, head);
                let options =
                    forwarded::client_options_of(mounted, head.headers(), head.peer_addr, is_secure);
                not_found::text(mounted, head.method.as_str(), head.uri.path(), &options).into()
            },
            Cow::Borrowed,
        );
        Refused { why, text, retry_after: None, is_to_head: head.method == Method::HEAD }
    }

    /// The answer to a client whose address has too many connections.
    pub(crate) fn too_many(too_many: LimitExceeded) -> Self {
        let why = HandshakeRefusal::TooManyConnections;
        let text = why.ending().text.unwrap_or_default().into();
        Refused { why, text, retry_after: Some(too_many.seconds()), is_to_head: false }
    }

    fn headers(&self) -> impl Iterator<Item = (&'static str, Cow<'static, str>)> + use<> {
        let common = [("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")];
        let fixed = self.why.headers().iter().copied().chain(common);
        let retry_after = self.retry_after.map(|seconds| ("Retry-After", seconds.to_string().into()));
        retry_after.into_iter().chain(fixed.map(|(name, value)| (name, value.into())))
    }

    /// The bytes of the answer, for a connection that was taken over from HTTP.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        let (status, length) = (self.why.status(), self.text.len());
        let reason = status.canonical_reason().unwrap_or_default();
        let mut answer = format!("HTTP/1.1 {} {reason}\r\n", status.as_str());
        for (name, value) in self.headers() {
            answer.extend([name, ": ", &value, "\r\n"]);
        }
        answer += &format!("Content-Length: {length}\r\nConnection: close\r\n\r\n");
        if !self.is_to_head {
            answer += &self.text;
        }
        answer.into_bytes()
    }

    /// The answer for actix-web, which omits the body if the request is a HEAD.
    pub(crate) fn into_response(self) -> HttpResponse {
        let mut response = HttpResponse::build(self.why.status());
        for (name, value) in self.headers() {
            response.insert_header((name, value.as_ref()));
        }
        response.force_close().body(self.text.into_owned())
    }
}
