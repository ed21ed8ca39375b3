//! The HTTP client for the ACME server. Every request has a timeout, and every answer a limit.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, Response, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::time::timeout;

use super::error::AcmeError;
use crate::files;

/// The timeout of a request, from DNS to the last byte of the answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of an answer's body, and of its head.
const MAX_ANSWER_BYTES: usize = 256 << 10;
const MAX_HEAD_BYTES: usize = 16 << 10;
/// Most bytes of the file of authorities.
const MAX_CA_BYTES: u64 = 1 << 20;

type Https = Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>;

/// A client for one ACME server. Clones share their connections.
#[derive(Clone)]
pub(super) struct AcmeClient {
    https: Https,
    /// `Retry-After` of the last answer that was an error, in seconds; 0 if it had none.
    retry_after: Arc<AtomicU64>,
}

impl AcmeClient {
    /// A client that trusts the authorities of this file, or else the public ones.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self, AcmeError> {
        let builder = HttpsConnectorBuilder::new();
        let connector = match ca {
            Some(path) => builder.with_tls_config(trust(path)?),
            // The embedded ones, because a container may have none. Names ring, because rustls has no default provider if
            // the build has two.
            None => builder.with_provider_and_webpki_roots(default_provider()).map_err(AcmeError::Tls)?,
        };
        let https = Client::builder(TokioExecutor::new())
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .build(connector.https_only().enable_http1().build());
        Ok(AcmeClient { https, retry_after: Arc::default() })
    }

    /// Seconds for which the server wants to be left alone, if its last error said so.
    pub(super) fn take_retry_after(&self) -> u64 {
        self.retry_after.swap(0, Ordering::Relaxed)
    }
}

impl HttpClient for AcmeClient {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.clone();
        Box::pin(async move {
            let exchange = async {
                let (head, body) = client.https.request(request).await.map_err(other)?.into_parts();
                let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await.map_err(Error::Other)?;
                if head.status.is_client_error() || head.status.is_server_error() {
                    client.retry_after.store(retry_after(&head.headers), Ordering::Relaxed);
                }
                Ok(BytesResponse::from(Response::from_parts(head, Full::new(body.to_bytes()))))
            };
            timeout(TIMEOUT, exchange).await.unwrap_or_else(|_| {
                Err(Error::Other(format!("no answer within {} seconds", TIMEOUT.as_secs()).into()))
            })
        })
    }
}

fn other(error: hyper_util::client::legacy::Error) -> Error {
    Error::Other(Box::new(error))
}

/// Seconds; ACME servers send no dates there.
fn retry_after(headers: &header::HeaderMap) -> u64 {
    let value = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
}

/// Trusts the authorities of a file only.
fn trust(path: &Path) -> Result<ClientConfig, AcmeError> {
    let unusable = |why: String| AcmeError::Ca { path: path.to_owned(), why };
    let pem = files::read_regular(path, MAX_CA_BYTES).map_err(|error| unusable(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable(
            "it has no certificate: it must be a PEM file with 'BEGIN CERTIFICATE'".to_owned(),
        ));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(AcmeError::Tls)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
