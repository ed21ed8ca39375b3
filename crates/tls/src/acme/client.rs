//! The HTTP client of instant_acme.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::http::uri::Scheme;
use instant_acme::{BodyWrapper, BytesResponse, Error};

use super::AcmeError;
use crate::outbound::{Bounds, HttpClient, Reach, retry_after, trust};

const BOUNDS: Bounds =
    Bounds { reach: Reach::Anywhere, idle: 4, timeout: Duration::from_secs(30), max_body: 256 << 10 };

/// A client for one ACME server. Clones share their connections.
#[derive(Clone)]
pub(super) struct AcmeClient {
    http: HttpClient,
    /// `Retry-After` of the last answer that was an error, in seconds; 0 if it was missing.
    retry_after: Arc<AtomicU64>,
}

impl AcmeClient {
    /// A client that trusts the authorities of this file; without one, the public authorities.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self, AcmeError> {
        let http = match ca {
            Some(path) => {
                let trusted = trust(path).map_err(|why| AcmeError::Ca(path.to_owned(), why.to_string()))?;
                HttpClient::with_tls(trusted, BOUNDS)
            }
            None => HttpClient::new(BOUNDS).map_err(AcmeError::Tls)?,
        };
        Ok(AcmeClient { http, retry_after: Arc::default() })
    }

    /// Seconds of pause that the server's last error asked for.
    pub(super) fn take_retry_after(&self) -> u64 {
        self.retry_after.swap(0, Ordering::Relaxed)
    }

    async fn exchange(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        // The server's directory names URLs, too.
        if request.uri().scheme() != Some(&Scheme::HTTPS) {
            return Err(failed(format!("{} does not begin with https://", request.uri())));
        }
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(failed)?.to_bytes();
        let answer = self.http.send(Request::from_parts(head, body)).await.map_err(failed)?;
        let answer = answer.read().await.map_err(failed)?;
        if answer.status().is_client_error() || answer.status().is_server_error() {
            let pause = retry_after(answer.headers()).unwrap_or_default();
            self.retry_after.store(pause.as_secs(), Ordering::Relaxed);
        }
        Ok(BytesResponse::from(answer.map(Full::new)))
    }
}

fn failed(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Other(why.into())
}

impl instant_acme::HttpClient for AcmeClient {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().exchange(request))
    }
}
