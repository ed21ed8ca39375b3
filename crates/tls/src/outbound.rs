//! Requests to HTTP servers of others: webhooks, those that vouch for clients, and ACME. Says which URLs can
//! be requested, and which addresses are reached. Each request has a timeout, and each answer a limit.

use std::error::Error;
use std::io;
use std::iter;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::vec;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::http::response::Parts;
use hyper::upgrade::{self, Upgraded};
use hyper::{HeaderMap, Request, Response, StatusCode, Uri, header};
use hyper_rustls::builderstates::WantsSchemes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::time::{Instant, timeout_at};
use tower_service::Service;

use peerbroker_core::address::is_public;
use peerbroker_system::files;

/// Most bytes of an answer's head.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Most bytes of a file of authorities.
const MAX_TRUST_BYTES: u64 = 1 << 20;

/// The limits of a client.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The addresses that it connects to.
    pub reach: Reach,
    /// Most connections to each host that are kept.
    pub idle: usize,
    /// The timeout of a request, from DNS to the last byte of the answer.
    pub timeout: Duration,
    /// Most bytes of an answer's body.
    pub max_body: usize,
}

/// The addresses that a client connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All, for URLs of an operator.
    Anywhere,
    /// Addresses of the Internet: a stranger's URL must not lead into the network of this machine.
    Public,
}

impl Reach {
    /// Checks if a client may connect to this address.
    fn check(self, address: IpAddr) -> io::Result<()> {
        if self == Reach::Anywhere || is_public(address) {
            return Ok(());
        }
        let why = format!("{address} is not an address of the Internet");
        Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
    }
}

/// Gives the addresses of a name that may be reached. A client connects to one of them, without a second
/// resolution. An address in a URL is not resolved, so it must be checked before.
impl Service<Name> for Reach {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let reach = *self;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let is_reachable = |found: &&SocketAddr| reach.check(found.ip()).is_ok();
            let reachable: Vec<SocketAddr> = found.iter().filter(is_reachable).copied().collect();
            // One public address is enough.
            if let ([], Some(found)) = (reachable.as_slice(), found.first()) {
                reach.check(found.ip())?;
            }
            Ok(reachable.into_iter())
        })
    }
}

/// Sends requests. Clones share their connections.
#[derive(Clone)]
pub struct HttpClient {
    client: Client<HttpsConnector<HttpConnector<Reach>>, Full<Bytes>>,
    bounds: Bounds,
}

/// The head of an answer. Its body may still be on its way.
pub struct IncomingResponse {
    /// Its status and headers.
    pub head: Parts,
    body: Incoming,
    until: Instant,
    bounds: Bounds,
}

/// The reason why a request has no answer.
#[expect(missing_docs, reason = "the messages say it")]
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    #[error("no answer within {} seconds", .0.as_secs())]
    TimedOut(Duration),
    #[error("the answer has more than {0} bytes")]
    TooLong(usize),
    #[error("{}", with_sources(&**.0))]
    Failed(Box<dyn Error + Send + Sync>),
}

impl HttpClient {
    /// A client that trusts the certificate authorities in the binary, because a container may have none.
    pub fn new(bounds: Bounds) -> Result<Self, rustls::Error> {
        // Names ring, because rustls has no default provider if the build has two.
        let tls = HttpsConnectorBuilder::new().with_provider_and_webpki_roots(default_provider())?;
        Ok(Self::build(tls, bounds))
    }

    /// A client that trusts other authorities.
    pub fn with_tls(tls: ClientConfig, bounds: Bounds) -> Self {
        Self::build(HttpsConnectorBuilder::new().with_tls_config(tls), bounds)
    }

    fn build(tls: HttpsConnectorBuilder<WantsSchemes>, bounds: Bounds) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(bounds.reach);
        // The layer of TLS above it refuses other schemes.
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let connector = tls.https_or_http().enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(bounds.idle)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .build(connector);
        HttpClient { client, bounds }
    }

    /// Sends a request. Redirects are not followed.
    pub async fn send(&self, request: Request<impl Into<Bytes>>) -> Result<IncomingResponse, NoAnswer> {
        let HttpClient { client, bounds } = self;
        let host = request.uri().host().unwrap_or_default().trim_matches(['[', ']']);
        if let Ok(address) = host.parse() {
            bounds.reach.check(address).map_err(|error| NoAnswer::Failed(error.into()))?;
        }
        let until = Instant::now() + bounds.timeout;
        let answer = timeout_at(until, client.request(request.map(|body| Full::new(body.into())))).await;
        let answer = answer.map_err(|_| NoAnswer::TimedOut(bounds.timeout))?;
        let (head, body) = answer.map_err(|error| NoAnswer::Failed(error.into()))?.into_parts();
        Ok(IncomingResponse { head, body, until, bounds: *bounds })
    }
}

impl HttpClient {
    /// A client for servers that have a secret of ours, and may have no certificate for their addresses:
    /// whoever answers is trusted.
    pub fn trusting_anybody(bounds: Bounds) -> Result<Self, rustls::Error> {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?;
        let tls = builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(default_provider())));
        Ok(Self::with_tls(tls.with_no_client_auth(), bounds))
    }

    /// Sends a request that changes the protocol of its connection, and returns the connection. The timeout
    /// is for both.
    pub async fn upgrade(&self, request: Request<()>) -> Result<TokioIo<Upgraded>, NoAnswer> {
        let IncomingResponse { head, body, until, .. } = self.send(request.map(|()| Bytes::new())).await?;
        if head.status != StatusCode::SWITCHING_PROTOCOLS {
            return Err(NoAnswer::Failed(format!("the answer is {}", head.status).into()));
        }
        let upgraded = timeout_at(until, upgrade::on(Response::from_parts(head, body))).await;
        let upgraded = upgraded.map_err(|_| NoAnswer::TimedOut(self.bounds.timeout))?;
        Ok(TokioIo::new(upgraded.map_err(|error| NoAnswer::Failed(error.into()))?))
    }
}

/// Accepts every certificate.
#[derive(Debug)]
struct Anybody(CryptoProvider);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl IncomingResponse {
    /// The whole answer.
    pub async fn read(self) -> Result<Response<Bytes>, NoAnswer> {
        let IncomingResponse { head, body, until, bounds: Bounds { timeout, max_body, .. } } = self;
        let body = timeout_at(until, Limited::new(body, max_body).collect()).await;
        match body.map_err(|_| NoAnswer::TimedOut(timeout))? {
            Ok(body) => Ok(Response::from_parts(head, body.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => Err(NoAnswer::TooLong(max_body)),
            Err(error) => Err(NoAnswer::Failed(error)),
        }
    }
}

/// The pause that an answer asks for: seconds, or a date (RFC 9110, section 10.2.3), by the clock of its
/// server if that is known.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok();
    let date = |text: &str| rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok();
    let asked = text(header::RETRY_AFTER)?;
    if let Ok(seconds) = asked.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let sent = text(header::DATE).and_then(date).unwrap_or_else(Timestamp::now);
    Duration::try_from(date(asked)?.duration_since(sent)).ok()
}

/// Reads the URL of a webhook. The error describes the fault, to be read after "the URL".
pub fn parse_url(text: &str) -> Result<Uri, &'static str> {
    // The parser accepts non-ASCII text, and drops a fragment.
    if !text.chars().all(|c| c.is_ascii_graphic()) {
        return Err("must have no spaces and no letters beyond ASCII: percent-encode them");
    }
    if text.contains('#') {
        return Err("must have no fragment (#…): it would not be sent");
    }
    let url: Uri = text.parse().map_err(|_| "cannot be read: http:// or https:// and a host are needed")?;
    let (Some("http" | "https"), Some(authority)) = (url.scheme_str(), url.authority()) else {
        return Err("must begin with http:// or https://, and a host");
    };
    // It would not be sent, and would be visible in lists of keys.
    if authority.as_str().contains('@') {
        return Err("must not have a user name: put a secret into its path or query");
    }
    if authority.host().is_empty() {
        return Err("must have a host");
    }
    let port = authority.as_str().strip_prefix(authority.host());
    if port.is_some_and(|port| !port.is_empty()) && authority.port_u16().is_none_or(|port| port == 0) {
        return Err("must have a port from 1 to 65535, or none");
    }
    Ok(url)
}

/// Trusts the authorities of a PEM file instead of the public ones. The error says what is wrong with the
/// file.
pub fn trust(path: &Path) -> Result<ClientConfig, Box<dyn Error>> {
    let pem = files::read_regular(path, MAX_TRUST_BYTES)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate?)?;
    }
    if roots.is_empty() {
        return Err("it has no certificate: it must be a PEM file with 'BEGIN CERTIFICATE'".into());
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// The error with its sources. The outermost message of hyper is only "client error".
pub fn with_sources(error: &(dyn Error + 'static)) -> String {
    let errors = iter::successors(Some(error), |&error| error.source());
    errors.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn failure(url: &str, reach: Reach) -> String {
        let client =
            HttpClient::new(Bounds { reach, idle: 0, timeout: Duration::from_secs(60), max_body: 0 })
                .unwrap();
        let request = Request::get(parse_url(url).unwrap()).body("").unwrap();
        client.send(request).await.err().unwrap().to_string()
    }

    #[tokio::test]
    async fn no_form_of_a_private_address_is_connected_to() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0",
            "0.0.0.0",
            "localhost",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[64:ff9b::7f00:1]",
            "169.254.169.254",
            "10.0.0.1",
            "[fe80::1]",
            "[fd00::1]",
        ] {
            let why = failure(&format!("http://{host}:{port}/"), Reach::Public).await;
            assert!(why.contains("is not an address of the Internet"), "{host}: {why}");
        }
        let nobody = listener.accept().unwrap_err();
        assert_eq!(nobody.kind(), io::ErrorKind::WouldBlock);
    }

    #[tokio::test]
    async fn an_operators_own_url_may_lead_anywhere() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        for host in ["127.0.0.1", "2130706433", "localhost"] {
            let why = failure(&format!("http://{host}:{port}/"), Reach::Anywhere).await;
            assert!(!why.contains("address of the Internet"), "{host}: {why}");
        }
    }
}
