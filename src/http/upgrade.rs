//! Requests that upgrade: taken over from HTTP before actix-web sees them.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_codec::{Framed, FramedParts};
use actix_http::{HttpMessage as _, Request, h1};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::endpoint::{self, Endpoint, TOO_MANY, retry_after};
use super::routes;
use super::{Mounted, not_found, seen};
use crate::limits::TooMany;
use crate::transport::exchange::Exchange;
use crate::transport::handshake::{self, BadHandshake};
use crate::transport::upgrade::{Takeover, UpgradedSocket};

/// How long a client may take to read why it was turned away.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers the handshake and lets the session go on by itself, so that HTTP's task can end.
pub(crate) async fn upgrade<T>(mounted: Arc<Mounted>, request: Request, framed: Framed<T, h1::Codec>)
where
    T: Takeover + AsyncWrite + Unpin + 'static,
{
    let route = routes::find(&mounted.path, request.path());
    let endpoint = Endpoint::at(&mounted.service, route, request.headers());
    let (answer, endpoint) = match (handshake::accept(request.head()), endpoint) {
        (Ok(answer), Some(endpoint)) => (answer, endpoint),
        (Err(why), Some(_)) => return refuse(framed, bad_handshake(why)).await,
        (_, None) => {
            let options = seen::by_client(&mounted, request.headers(), request.peer_addr(), mounted.secure);
            let text = not_found::text(&mounted, request.method().as_str(), request.path(), &options);
            return refuse(framed, response("404 Not Found", "Cache-Control: no-store\r\n", &text)).await;
        }
    };
    let service = &mounted.service;
    let query = request.uri().query().unwrap_or_default();
    let exchange = request.conn_data::<Rc<Exchange>>();
    let caller = match endpoint::caller(service, query, request.headers(), request.peer_addr(), exchange) {
        Ok(caller) => caller,
        Err(too_many) => return refuse(framed, too_many_requests(too_many)).await,
    };
    let socket = UpgradedSocket::new(framed.into_parts(), answer, endpoint::bounds(service));
    endpoint.serve(socket, service, caller);
}

/// Says to a client that its address has too many connections, if that goes through at once.
pub(crate) async fn turn_away(io: &TcpStream, too_many: TooMany) {
    let said = io.writable().await.and_then(|()| io.try_write(too_many_requests(too_many).as_bytes()));
    if let Err(error) = said {
        log::debug!("could not turn a client away: {error}");
    }
}

fn too_many_requests(too_many: TooMany) -> String {
    let headers = format!("Retry-After: {}\r\n", retry_after(too_many));
    response("429 Too Many Requests", &headers, TOO_MANY)
}

fn bad_handshake(why: BadHandshake) -> String {
    let (status, headers) = match why {
        BadHandshake::Method => ("405 Method Not Allowed", "Allow: GET\r\n"),
        BadHandshake::Version => ("400 Bad Request", "Sec-WebSocket-Version: 13, 8\r\n"),
        BadHandshake::NoUpgrade | BadHandshake::Body | BadHandshake::Key => ("400 Bad Request", ""),
    };
    response(status, headers, &format!("{why}\n"))
}

fn response(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Type: text/plain; charset=utf-8\r\n\
         X-Content-Type-Options: nosniff\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

async fn refuse<T: AsyncWrite + Unpin>(framed: Framed<T, h1::Codec>, response: String) {
    let FramedParts { mut io, write_buf, .. } = framed.into_parts();
    let sent = async {
        // Answers to requests in front of this one.
        io.write_all(&write_buf).await?;
        io.write_all(response.as_bytes()).await?;
        io.shutdown().await
    };
    if let Ok(Err(error)) = timeout(PATIENCE, sent).await {
        log::debug!("could not turn a client away: {error}");
    }
}
