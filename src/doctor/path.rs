//! Whether a PeerJS broker answers at the path, and otherwise where it does.

use hyper::StatusCode;

use super::finding::Finding;
use super::http::{Answer, Server};
use super::told::Told;

/// Paths that tutorials and set-ups use.
const USUAL: [&str; 5] = ["/", "/peerjs/", "/myapp/", "/peerbroker/", "/broker/"];
/// In the JSON of every broker at its path.
const ABOUT: &str = "\"PeerJS Server\"";
/// Most bytes of an id.
const MAX_ID_BYTES: usize = 512;

/// The broker's answer to the question for an id, and the server with the path where it was.
pub(super) struct Found {
    pub(super) server: Server,
    pub(super) answer: Answer,
}

/// Looks for the broker at the path that was given, and then at others. `answer` is that to the question for an id.
pub(super) async fn path(server: &Server, answer: Answer) -> (Finding, Option<Found>) {
    if is_of_broker(&answer) {
        let Server { target, .. } = server;
        let page = server.get(&target.path, server.origin.as_deref()).await;
        let found = if page.is_ok_and(|page| page.body.contains(ABOUT)) {
            format!("a PeerJS broker answers at the path {}", target.path)
        } else {
            format!(
                "a PeerJS broker answers below the path {0}; {0} itself shows something else, which clients do not need",
                target.path
            )
        };
        return (Finding::ok("path", found), Some(Found { server: server.clone(), answer }));
    }
    let told = Told::read(&answer.body).map(|told| told.path);
    let usual = USUAL.map(str::to_owned);
    for path in told.into_iter().chain(usual).filter(|path| *path != server.target.path) {
        let mut other = server.clone();
        other.target.path.clone_from(&path);
        let Ok(answer) = other.get(&other.path_of_key("id"), other.origin.as_deref()).await else { continue };
        if is_of_broker(&answer) {
            let asked = &server.target.path;
            // Nobody starts a broker at / on purpose because a URL has no path.
            let or = if asked == "/" {
                String::new()
            } else {
                format!(", or start the broker with --path {asked}")
            };
            let finding = Finding::failed(
                "path",
                format!("no broker answers at the path {asked}, but one does at {path}"),
                format!("Set path: '{path}' in the client's options{or}. The next checks use {path}."),
            );
            return (finding, Some(Found { server: other, answer }));
        }
    }
    (nowhere(server, &answer), None)
}

fn nowhere(server: &Server, answer: &Answer) -> Finding {
    let path = server.path_of_key("id");
    let failed = |found: String, advice: String| Finding::failed("path", found, advice);
    let location = answer.header("location");
    if let Some(told) = Told::read(&answer.body) {
        return failed(
            format!("a broker answers {path}, but its path is {}, and nothing that is sent there arrives there", told.path),
            "The proxy in front changes the path: have it pass the path unchanged (nginx: no / behind the port in proxy_pass). docs/PROXY.md."
                .to_owned(),
        );
    }
    match answer.status {
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => failed(
            format!("a proxy answers {path} with {}: it does not reach the broker", answer.shown()),
            "Check that the broker runs, and that the proxy leads to its host and port (nginx: proxy_pass; the log of the proxy says \
             what fails). In containers, 127.0.0.1 is the proxy's own container."
                .to_owned(),
        ),
        status if status.is_redirection() => failed(
            format!("{path} is redirected to {location}"),
            "Use that address in clients and here. WebSockets do not follow redirects.".to_owned(),
        ),
        StatusCode::UNAUTHORIZED => failed(
            format!("a proxy wants a password for {path}"),
            "Leave the broker's path out of the password protection: PeerJS cannot send one.".to_owned(),
        ),
        status if status.is_success() || answer.is_html() => failed(
            format!("another site answers {path} with {}, not a PeerJS broker", answer.shown()),
            format!(
                "Check the host and the port. If a proxy or a web server is there, have it pass {} on to the broker.",
                server.target.path
            ),
        ),
        _ => failed(
            format!("no PeerJS broker answers at {}, nor at the usual paths: {path} gives {}", server.target.path, answer.shown()),
            "Check host, port and path. The broker prints its path when it starts.".to_owned(),
        ),
    }
}

/// Whether an answer to the question for an id is that of a broker: an id, or the refusal of a page.
fn is_of_broker(answer: &Answer) -> bool {
    let body = answer.body.trim();
    match answer.status {
        StatusCode::OK => {
            let is_word = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '<' | '{' | '[');
            !body.is_empty() && body.len() <= MAX_ID_BYTES && body.chars().all(is_word)
        }
        StatusCode::FORBIDDEN => body == "Forbidden",
        _ => false,
    }
}
