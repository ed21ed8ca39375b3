//! The HTTP port: it answers HTTP-01, and redirects all other requests to HTTPS.

use std::convert::Infallible;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::http::uri::Authority;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use super::challenge_responses::ChallengeResponses;
use peerbroker_config::AcmeName;

/// Path of the responses (RFC 8555, section 8.3).
const CHALLENGES: &str = "/.well-known/acme-challenge/";
/// Most connections at a time. Each has one request.
const MAX_CONNECTIONS: usize = 256;
/// The timeout of a connection.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of a request's head.
const MAX_HEAD_BYTES: usize = 8 << 10;
/// The pause after an error of the listener, such as too many open files.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// The service of the HTTP port.
pub(super) struct HttpPort {
    pub(super) responses: Rc<ChallengeResponses>,
    /// The names that a redirect may lead to. Others lead to the first one.
    pub(super) names: Vec<AcmeName>,
    /// The port of HTTPS as clients see it.
    pub(super) https_port: u16,
}

impl HttpPort {
    /// Serves until it is dropped.
    pub(super) async fn serve(self, listener: TcpListener) {
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return log::error!("cannot serve --acme_http_port: {error}"),
        };
        let this = Rc::new(self);
        let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            // Others wait in the queue of the kernel.
            let permit = Arc::clone(&free).acquire_owned().await;
            match listener.accept().await {
                Ok((stream, _)) => {
                    let this = Rc::clone(&this);
                    spawn_local(async move {
                        // A client that is slow or says nonsense is no news.
                        let _ = timeout(TIMEOUT, this.talk(stream)).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    log::debug!("cannot accept a connection on --acme_http_port: {error}");
                    sleep(RETRY_DELAY).await;
                }
            }
        }
    }

    async fn talk(self: Rc<Self>, stream: TcpStream) -> Result<(), hyper::Error> {
        let answer = service_fn(|request: Request<Incoming>| {
            let this = Rc::clone(&self);
            async move { Ok::<_, Infallible>(this.respond(&request).await) }
        });
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(TIMEOUT)
            .keep_alive(false)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), answer)
            .await
    }

    async fn respond<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if let Some(token) = path.strip_prefix(CHALLENGES) {
            return match self.responses.file(token) {
                Some(file) => response(StatusCode::OK, file),
                None => response(StatusCode::NOT_FOUND, "no such challenge\n".to_owned()),
            };
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            // A client that sends a body must not send it again over another protocol.
            return response(StatusCode::FORBIDDEN, "use https\n".to_owned());
        }
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let location = self.location(host, request.uri().path_and_query().map_or("/", |path| path.as_str()));
        let mut redirect = response(StatusCode::MOVED_PERMANENTLY, String::new());
        if let Ok(location) = location.parse() {
            redirect.headers_mut().insert(header::LOCATION, location);
        }
        redirect
    }

    /// The URL of a page over HTTPS, only at a name of the certificate: a client can send any host.
    fn location(&self, host: Option<&str>, path: &str) -> String {
        let host = host.and_then(|host| host.parse::<Authority>().ok());
        let asked = host.and_then(|host| AcmeName::parse(host.host()).ok());
        let name = asked.filter(|name| self.names.contains(name)).or_else(|| self.names.first().cloned());
        let host = name.map_or("localhost".to_owned(), |name| name.in_url());
        match self.https_port {
            443 => format!("https://{host}{path}"),
            port => format!("https://{host}:{port}{path}"),
        }
    }
}

fn response(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Certificates;
    use crate::acme::challenge_responses::provisional;

    fn port(https_port: u16) -> HttpPort {
        let names: Vec<AcmeName> = ["example.org", "www.example.org", "2001:db8::7"]
            .map(|name| AcmeName::parse(name).unwrap())
            .into();
        let responses = ChallengeResponses::new(&[], Certificates::new(provisional(&names).unwrap()));
        HttpPort { responses, names, https_port }
    }

    #[test]
    fn a_redirect_leads_to_a_name_of_the_certificate_only() {
        for (host, path, https_port, location) in [
            (Some("example.org"), "/a?b=c", 443, "https://example.org/a?b=c"),
            (Some("WWW.example.org:80"), "/", 443, "https://www.example.org/"),
            (Some("example.org"), "/", 9000, "https://example.org:9000/"),
            (Some("[2001:db8::7]:80"), "/x", 443, "https://[2001:db8::7]/x"),
            (Some("[2001:db8::7]"), "/x", 443, "https://[2001:db8::7]/x"),
            (Some("evil.example"), "/a", 443, "https://example.org/a"),
            (Some("evil.example/@example.org"), "/", 443, "https://example.org/"),
            (None, "/", 443, "https://example.org/"),
        ] {
            assert_eq!(port(https_port).location(host, path), location);
        }
    }

    #[tokio::test]
    async fn nothing_but_reading_is_redirected_and_unknown_tokens_are_not_found() {
        for (method, path, status) in [
            (Method::GET, "/", 301),
            (Method::HEAD, "/peerjs", 301),
            (Method::POST, "/", 403),
            (Method::GET, "/.well-known/acme-challenge/x", 404),
            (Method::GET, "/.well-known/acme-challenge/", 404),
        ] {
            let request = Request::builder().method(method).uri(path).body(()).unwrap();
            assert_eq!(port(443).respond(&request).await.status().as_u16(), status, "{path}");
        }
    }
}
