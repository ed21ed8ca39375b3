//! Requests to the server under examination. Each has a connection of its own, a timeout and a limit.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::report::Finding;
use super::target::{AGENT, TIMEOUT, Target};
use super::tls;

/// Most bytes of an answer's body.
const MAX_BODY_BYTES: usize = 256 << 10;

type BoxError = Box<dyn Error + Send + Sync>;

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

/// The answer to a request.
pub(super) type Response = hyper::Response<String>;

/// The reason why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("there is no answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    #[error("the connection fails ({0})")]
    Connection(io::Error),
    /// The answer is not HTTP, or too long.
    #[error("the answer is not HTTP ({0})")]
    NotHttp(BoxError),
}

impl From<NoAnswer> for Finding {
    fn from(error: NoAnswer) -> Self {
        failed!("{error}" => "Run the doctor again.")
    }
}

impl Server {
    /// Connects to it.
    pub(super) async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        if self.secure {
            return Ok(Box::new(tls::connect(self.address, &self.target.host, tls::OF_HTTP).await?));
        }
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }

    /// The path of a resource of the key.
    pub(super) fn path_of_key(&self, resource: &str) -> String {
        format!("{}{}/{resource}", self.target.path, self.target.encoded_key())
    }

    /// Sends a GET, as a page of this origin would.
    pub(super) async fn get(&self, path: &str) -> Result<Response, NoAnswer> {
        let exchanging = async {
            let stream = self.connect().await.map_err(NoAnswer::Connection)?;
            self.exchange(stream, path).await.map_err(NoAnswer::NotHttp)
        };
        timeout(TIMEOUT, exchanging).await.unwrap_or(Err(NoAnswer::Timeout))
    }

    async fn exchange(&self, stream: Box<dyn Stream>, path: &str) -> Result<Response, BoxError> {
        let mut request = Request::get(path)
            .header(header::HOST, self.target.authority(self.secure))
            .header(header::USER_AGENT, AGENT)
            .header(header::ACCEPT, "*/*")
            .header(header::CONNECTION, "close");
        if let Some(origin) = &self.origin {
            request = request.header(header::ORIGIN, origin);
        }
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the answer, or with the timeout, because then the sender is dropped.
        tokio::spawn(connection);
        let (head, body) = sender.send_request(request.body(Empty::<Bytes>::new())?).await?.into_parts();
        let body = Limited::new(body, MAX_BODY_BYTES).collect().await?.to_bytes();
        Ok(Response::from_parts(head, String::from_utf8_lossy(&body).into_owned()))
    }
}

/// The text of a header; empty if it is not there.
pub(super) fn header<'a, B>(answer: &'a hyper::Response<B>, name: &str) -> &'a str {
    answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The status, and the program that sent it, as in `404 from nginx`.
pub(super) fn shown(answer: &Response) -> String {
    match (answer.status().as_u16(), header(answer, "server")) {
        (status, "") => status.to_string(),
        (status, program) => format!("{status} from {program}"),
    }
}
