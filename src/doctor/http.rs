//! Requests to the server under examination. Each has a connection of its own, a timeout and a limit.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::target::Target;
use super::tls;

/// The timeout of a request, from the connection to the last byte of the answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of an answer's body.
const MAX_BODY_BYTES: usize = 256 << 10;
/// Sent as `User-Agent`, so that operators know whose requests these are.
pub(super) const AGENT: &str = concat!("peerbroker-doctor/", env!("CARGO_PKG_VERSION"));

/// A connection, with TLS or without.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// The server under examination.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) target: Target,
    pub(super) address: SocketAddr,
    pub(super) secure: bool,
    /// The page that is to use it.
    pub(super) origin: Option<String>,
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
    /// When it came by this machine's clock.
    pub(super) at: SystemTime,
}

/// Why there is no answer.
pub(super) enum NoAnswer {
    Timeout,
    Connection(io::Error),
    /// The answer is not HTTP, or too long.
    NotHttp(String),
}

impl Server {
    /// Connects to it.
    pub(super) async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        if self.secure {
            return Ok(Box::new(tls::connect(self.address, &self.target.host, &["http/1.1"]).await?));
        }
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }

    /// Its name for the header `Host`.
    pub(super) fn host(&self) -> String {
        self.target.authority(self.secure)
    }

    /// A path below the mount path.
    pub(super) fn path(&self, below: &str) -> String {
        format!("{}{below}", self.target.path)
    }

    /// The path of a resource of the key.
    pub(super) fn path_of_key(&self, resource: &str) -> String {
        format!("{}{}/{resource}", self.target.path, self.target.encoded_key())
    }

    /// Sends a GET, as a page of this origin would.
    pub(super) async fn get(&self, path: &str, origin: Option<&str>) -> Result<Answer, NoAnswer> {
        timeout(TIMEOUT, self.exchange(path, origin)).await.unwrap_or(Err(NoAnswer::Timeout))
    }

    async fn exchange(&self, path: &str, origin: Option<&str>) -> Result<Answer, NoAnswer> {
        let not_http = |error: &dyn std::error::Error| NoAnswer::NotHttp(error.to_string());
        let mut request = Request::get(path)
            .header(header::HOST, self.host())
            .header(header::USER_AGENT, AGENT)
            .header(header::ACCEPT, "*/*")
            .header(header::CONNECTION, "close");
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| not_http(&error))?;
        let stream = self.connect().await.map_err(NoAnswer::Connection)?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| not_http(&error))?;
        // Ends with the answer, or with the timeout, because then the sender is dropped.
        tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await.map_err(|error| not_http(&error))?.into_parts();
        let at = SystemTime::now();
        let body = Limited::new(body, MAX_BODY_BYTES).collect().await.map_err(|error| not_http(&*error))?;
        let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        Ok(Answer { status: head.status, headers: head.headers, body, at })
    }
}

impl Answer {
    /// The text of a header; empty if it is not there.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The status, and which program says it, as in `404 from nginx`.
    pub(super) fn shown(&self) -> String {
        match self.header("server") {
            "" => self.status.as_u16().to_string(),
            program => format!("{} from {program}", self.status.as_u16()),
        }
    }

    /// Whether it is a page for people.
    pub(super) fn is_html(&self) -> bool {
        self.body.trim_start().starts_with('<')
    }
}

impl NoAnswer {
    pub(super) fn shown(&self) -> String {
        match self {
            NoAnswer::Timeout => format!("there is no answer within {} s", TIMEOUT.as_secs()),
            NoAnswer::Connection(error) => format!("the connection fails ({error})"),
            NoAnswer::NotHttp(error) => format!("the answer is not HTTP ({error})"),
        }
    }
}
