//! A broker with `--acme` that has no certificate yet: does the way of HTTP-01 lead to it?

use super::finding::Finding;
use super::http::{NoAnswer, Server};

/// No validation has this token, so the broker's port answers that it does not know it.
const PATH: &str = "/.well-known/acme-challenge/peerbroker-doctor";
/// The answer of the broker's port.
const OURS: &str = "no such challenge";

/// Asks at the port to which the ACME server comes.
pub(super) async fn waiting(server: &Server, port: u16) -> Finding {
    const FOUND: &str = "the broker has no certificate yet, so browsers refuse it";
    let (mut http, host) = (server.clone(), &server.target.host);
    http.address.set_port(port);
    http.target.port = port;
    http.secure = false;
    let (found, advice) = match http.get(PATH, None).await {
        Ok(answer) if answer.body.trim() == OURS => (
            format!("{FOUND}. Port {port} leads to it, as the ACME server needs it"),
            "Wait for a minute. If nothing changes, the log of the broker says why the ACME server gives none, and so does \
             certificate.error of GET /api/stats."
                .to_owned(),
        ),
        Ok(answer) => (
            format!("{FOUND}. At port {port} another program answers the ACME server ({})", answer.shown()),
            format!(
                "Stop that program, or have it pass /.well-known/acme-challenge/ on to the broker's --acme_http_port. Or let port 443 \
                 of {host} lead to the broker without a proxy that ends TLS."
            ),
        ),
        Err(error @ (NoAnswer::Connection(_) | NoAnswer::Timeout)) => (
            format!("{FOUND}. At port {port} {}", error.shown()),
            format!(
                "Open TCP port {port} of {host} to the internet in every firewall, and let it lead to the broker's --acme_http_port; or \
                 let port 443 lead to the broker's --port. Check that DNS has the address of this machine."
            ),
        ),
        Err(error) => (
            format!("{FOUND}. At port {port} {}", error.shown()),
            format!("Let port {port} of {host} lead to the broker's --acme_http_port."),
        ),
    };
    Finding::failed("acme", found, advice)
}
