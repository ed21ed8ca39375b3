//! The answers to handshakes that open no WebSocket.

use std::borrow::Cow;

use actix_http::{Method, RequestHead, StatusCode};
use actix_web::HttpResponse;

use crate::http::{Mounted, not_found, seen};
use crate::limits::LimitExceeded;

/// Why a handshake opens no WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandshakeRefusal {
    /// No WebSocket is at this address.
    NotFound,
    /// Only GET opens a WebSocket.
    BadMethod,
    /// HTTP/1.0, or a header of the upgrade is missing.
    NoUpgrade,
    /// The body is chunked, so frames would come in chunks, which no WebSocket client sends.
    BadBody,
    BadVersion,
    BadKey,
    /// The address of the client has too many connections, or opens too many.
    TooManyConnections,
}

impl HandshakeRefusal {
    /// Every refusal.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the table of endings"))]
    pub(crate) const ALL: [HandshakeRefusal; 7] = [
        HandshakeRefusal::NotFound,
        HandshakeRefusal::BadMethod,
        HandshakeRefusal::NoUpgrade,
        HandshakeRefusal::BadBody,
        HandshakeRefusal::BadVersion,
        HandshakeRefusal::BadKey,
        HandshakeRefusal::TooManyConnections,
    ];

    pub(crate) fn status(self) -> StatusCode {
        match self {
            HandshakeRefusal::NotFound => StatusCode::NOT_FOUND,
            HandshakeRefusal::BadMethod => StatusCode::METHOD_NOT_ALLOWED,
            HandshakeRefusal::NoUpgrade
            | HandshakeRefusal::BadBody
            | HandshakeRefusal::BadVersion
            | HandshakeRefusal::BadKey => StatusCode::BAD_REQUEST,
            HandshakeRefusal::TooManyConnections => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// The headers of this refusal; [`Refused`] adds those of all, and `Retry-After`.
    pub(crate) fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            // The text repeats the host, and a cache in front may not use it as a part of its key.
            HandshakeRefusal::NotFound => &[("Cache-Control", "no-store")],
            HandshakeRefusal::BadMethod => &[("Allow", "GET")],
            HandshakeRefusal::BadVersion => &[("Sec-WebSocket-Version", "13, 8")],
            HandshakeRefusal::NoUpgrade
            | HandshakeRefusal::BadBody
            | HandshakeRefusal::BadKey
            | HandshakeRefusal::TooManyConnections => &[],
        }
    }

    /// The body of the answer. The text of a 404 depends on the request, so it is not here.
    pub(crate) fn text(self) -> Option<&'static str> {
        Some(match self {
            HandshakeRefusal::NotFound => return None,
            HandshakeRefusal::BadMethod => "a WebSocket is opened with GET\n",
            HandshakeRefusal::NoUpgrade => {
                "a WebSocket needs HTTP/1.1 and the headers 'Upgrade: websocket' and 'Connection: Upgrade'\n"
            }
            HandshakeRefusal::BadBody => "a WebSocket is opened without Transfer-Encoding\n",
            HandshakeRefusal::BadVersion => "Sec-WebSocket-Version must be 13 or 8\n",
            HandshakeRefusal::BadKey => "Sec-WebSocket-Key must be 16 bytes in base64\n",
            HandshakeRefusal::TooManyConnections => "Too many connections from this address\n",
        })
    }

    /// Its name in metrics.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the table of endings"))]
    pub(crate) fn label(self) -> &'static str {
        match self {
            HandshakeRefusal::NotFound => "not_found",
            HandshakeRefusal::BadMethod => "bad_method",
            HandshakeRefusal::NoUpgrade => "no_upgrade",
            HandshakeRefusal::BadBody => "bad_body",
            HandshakeRefusal::BadVersion => "bad_version",
            HandshakeRefusal::BadKey => "bad_websocket_key",
            HandshakeRefusal::TooManyConnections => "too_many_connections",
        }
    }

    /// Whether the same handshake may succeed later.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the table of endings"))]
    pub(crate) fn retry(self) -> bool {
        self == HandshakeRefusal::TooManyConnections
    }
}

/// A whole answer that refuses a handshake.
pub(crate) struct Refused {
    why: HandshakeRefusal,
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
        let text = why.text().map_or_else(
            || {
                let options = seen::by_client(mounted, head.headers(), head.peer_addr, is_secure);
                not_found::text(mounted, head.method.as_str(), head.uri.path(), &options).into()
            },
            Cow::Borrowed,
        );
        Refused { why, text, retry_after: None, is_to_head: head.method == Method::HEAD }
    }

    /// The answer to a client whose address has too many connections.
    pub(crate) fn too_many(too_many: LimitExceeded) -> Self {
        let why = HandshakeRefusal::TooManyConnections;
        let text = why.text().unwrap_or_default().into();
        Refused { why, text, retry_after: Some(too_many.seconds()), is_to_head: false }
    }

    fn headers(&self) -> impl Iterator<Item = (&'static str, Cow<'static, str>)> + use<> {
        let common = [("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")];
        let fixed = self.why.headers().iter().copied().chain(common);
        let retry_after = self.retry_after.map(|seconds| ("Retry-After", seconds.to_string().into()));
        retry_after.into_iter().chain(fixed.map(|(name, value)| (name, value.into())))
    }

    /// The answer as it goes over the wire, for a connection that was taken over from HTTP.
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

    /// The answer for actix-web, which leaves out the body if the request is a HEAD.
    pub(crate) fn into_response(self) -> HttpResponse {
        let mut response = HttpResponse::build(self.why.status());
        for (name, value) in self.headers() {
            response.insert_header((name, value.as_ref()));
        }
        response.force_close().body(self.text.into_owned())
    }
}
