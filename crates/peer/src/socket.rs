//! Connections to a broker, and WebSockets over them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Error, http};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::address::Address;

/// The timeout until a WebSocket is open. In a cluster, the broker waits up to 12 s for the lease of a dead
/// node to end.
const OPENING: Duration = Duration::from_secs(15);
/// Most bytes of a message of the broker: `--max_message_bytes` may be raised.
const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// Most bytes of a text with which a handshake is refused.
const MAX_TEXT: usize = 200;

/// The reason why no WebSocket opens. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nothing accepts connections there.
    #[error("no broker can be reached at {0} ({1}): is it running, and is its port the right one?")]
    Unreachable(Address, io::Error),
    /// No answer in time.
    #[error("the broker at {0} does not answer: look at the machine, and for a firewall in between")]
    Silent(Address),
    /// TLS fails, most likely because of the certificate.
    #[error(
        "no TLS with {0} ({1}): `peerbroker doctor {0}` examines the certificate; --ca trusts your own authority"
    )]
    Tls(Address, io::Error),
    /// The port speaks another protocol.
    #[error(
        "what answers at {0} speaks no WebSocket ({1}): give the broker as https://… or http://…, or ask `peerbroker doctor {0}`"
    )]
    NotHttp(Address, Box<Error>),
    /// The handshake was answered over HTTP.
    #[error("{address} answers a WebSocket with {status}{text}: {}", advice(*status))]
    Answered {
        /// The broker.
        address: Address,
        /// The status of HTTP.
        status: u16,
        /// The beginning of the answer, behind a colon.
        text: String,
        /// The seconds of `Retry-After`, if later attempts can help.
        wait: Option<u64>,
    },
}

fn advice(status: u16) -> &'static str {
    match status {
        404 => "is it the address of a peerbroker, with its --path?",
        403 => "its operator has banned this address, or a proxy protects the path",
        429 | 503 => "try again later",
        301 | 302 | 307 | 308 => "use the address to which it leads",
        _ => "a proxy in front must pass WebSockets on; `peerbroker doctor` examines it",
    }
}

impl DialError {
    /// Later attempts cannot help.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            DialError::Unreachable(..) | DialError::Silent(_) => false,
            DialError::Tls(..) | DialError::NotHttp(..) => false,
            DialError::Answered { status, .. } => matches!(status, 301..=308 | 400..=404 | 405),
        }
    }

    /// The time that the broker has asked for.
    pub(crate) fn wait(&self) -> Duration {
        match self {
            DialError::Answered { wait, .. } => Duration::from_secs(wait.unwrap_or(0)),
            _ => Duration::ZERO,
        }
    }
}

/// A connection, with TLS or without.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

pub(crate) type Socket = WebSocketStream<Box<dyn Stream>>;

/// A way to open WebSockets. Tests have one in memory.
pub(crate) trait Dial: Send + Sync {
    /// Opens one at a path with its query.
    fn dial(self: Arc<Self>, path: String) -> BoxFuture<'static, Result<Socket, DialError>>;
}

/// The network.
pub(crate) struct Network {
    address: Address,
    tls: Option<Arc<ClientConfig>>,
    origin: Option<String>,
}

impl Network {
    /// `ca` are trusted besides the public authorities. `None` if one is no certificate.
    pub(crate) fn new(
        address: Address,
        ca: &[CertificateDer<'static>],
        origin: Option<String>,
    ) -> Option<Self> {
        let tls = if address.is_secure() { Some(Arc::new(trusting(ca)?)) } else { None };
        Some(Network { address, tls, origin })
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, DialError> {
        let Address { host, port, .. } = &self.address;
        let stream = TcpStream::connect((host.as_str(), *port)).await;
        let stream = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        let stream = stream.map_err(|error| DialError::Unreachable(self.address.clone(), error))?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let failed = |error| DialError::Tls(self.address.clone(), error);
        let name = ServerName::try_from(host.clone()).map_err(|error| failed(io::Error::other(error)))?;
        Ok(Box::new(TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.map_err(failed)?))
    }

    async fn open(&self, path: &str) -> Result<Socket, DialError> {
        let host = self.address.authority(self.address.is_secure());
        let no_http = |error: Error| DialError::NotHttp(self.address.clone(), Box::new(error));
        let url = format!("ws://{host}{path}")
            .parse()
            .map_err(|error: http::uri::InvalidUri| no_http(error.into()))?;
        let mut request = ClientRequestBuilder::new(url)
            .with_header("User-Agent", concat!("peerbroker-peer/", env!("CARGO_PKG_VERSION")));
        if let Some(origin) = &self.origin {
            request = request.with_header("Origin", origin);
        }
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let opened = client_async_with_config(request, self.connect().await?, Some(config)).await;
        opened.map(|(socket, _)| socket).map_err(|error| match error {
            Error::Http(answer) => self.answered(&answer),
            error => no_http(error),
        })
    }

    fn answered(&self, answer: &http::Response<Option<Vec<u8>>>) -> DialError {
        let body = answer.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        let is_text = |value: &http::HeaderValue| value.as_bytes().starts_with(b"text/plain");
        let has_text = answer.headers().get("content-type").is_some_and(is_text);
        let line: String = body.lines().next().unwrap_or_default().escape_debug().take(MAX_TEXT).collect();
        let text = if has_text && !line.is_empty() { format!(" ({line})") } else { String::new() };
        let wait = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        DialError::Answered { address: self.address.clone(), status: answer.status().as_u16(), text, wait }
    }
}

impl Dial for Network {
    fn dial(self: Arc<Self>, path: String) -> BoxFuture<'static, Result<Socket, DialError>> {
        Box::pin(async move {
            let silent = |_| DialError::Silent(self.address.clone());
            timeout(OPENING, self.open(&path)).await.map_err(silent)?
        })
    }
}

fn trusting(ca: &[CertificateDer<'static>]) -> Option<ClientConfig> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for certificate in ca {
        roots.add(certificate.clone()).ok()?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().ok()?;
    Some(builder.with_root_certificates(roots).with_no_client_auth())
}
