//! Checks answers over HTTP: the path, the key, the origin of pages, the clock, proxy headers, discovery, and
//! HTTP-01.

use hyper::StatusCode;
use jiff::Timestamp;
use jiff::fmt::rfc2822;

use super::http::{NoAnswer, Response, Server, header, shown};
use super::report::Finding;
use super::target::Target;

/// Paths that tutorials and set-ups use.
const USUAL_PATHS: [&str; 5] = ["/", "/peerjs/", "/myapp/", "/peerbroker/", "/broker/"];
/// In the JSON of every broker at its path.
const ABOUT: &str = "\"PeerJS Server\"";
/// The header of an id that a peerbroker gives at a wrong path.
const RIGHT_PATH: &str = "x-peerbroker-path";
/// The text of a broker that knows too little to admit or refuse a client.
const UNAVAILABLE: &str = "Server is not available at the moment";
/// The beginning of a broker's answer to plain HTTP at its port with TLS.
const PLAIN_ON_TLS: &str = "400: this port speaks HTTPS";
/// The beginning of a broker's answer to a proxy that sends the PROXY protocol in vain.
const PROXY_PROTOCOL: &str = "400: the proxy in front sends the PROXY protocol";
/// The header that says that the relay waits for its port.
const RELAY: &str = "x-peerbroker-relay";
/// Most bytes of an id.
const MAX_ID_BYTES: usize = 512;
/// A larger difference between two clocks gets a warning.
const MAX_SKEW: u64 = 30;
/// The origin of requests if the user gives none. Nobody can own it (RFC 2606).
const ANY_PAGE: &str = "https://page.invalid";
/// A token of no validation, so the broker's HTTP port answers that it does not know it.
const CHALLENGE: &str = "/.well-known/acme-challenge/peerbroker-doctor";
/// The answer of the broker's HTTP port.
const UNKNOWN_CHALLENGE: &str = "no such challenge";

/// The 404 of a peerbroker: its path, its key, and how clients reach it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    path: String,
    /// The built-in key, if there is one.
    key: Option<String>,
    /// The client options as the server sees them: host, port and whether they are secure.
    host: String,
    port: u16,
    secure: bool,
}

impl Told {
    /// `None` if the text is not that of a peerbroker.
    fn read(text: &str) -> Option<Self> {
        let (_, text) = text.split_once("This is a peerbroker")?;
        let (_, options) = text.split_once("new Peer(")?;
        let (_, port) = options.split_once(" port: ")?;
        Some(Told {
            path: quoted(text, "Its path is ")?,
            key: quoted(text, "its key is "),
            host: quoted(options, "host: ")?,
            port: port.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?,
            secure: options.contains("secure: true"),
        })
    }
}

/// The string literal behind a word. JSON also reads Rust's literals without unusual escapes.
fn quoted(text: &str, word: &str) -> Option<String> {
    let (_, literal) = text.split_once(word)?;
    serde_json::Deserializer::from_str(literal).into_iter().next()?.ok()
}

/// Asks the server if it serves; without a scheme in the URL, also over TLS.
pub(super) async fn health(server: &Server) -> Finding {
    let mut found = String::new();
    for secure in server.target.secure.map_or(vec![false, true], |secure| vec![secure]) {
        match (Server { secure, ..server.clone() }).get("/healthz").await {
            Ok(answer) if answer.status() == StatusCode::OK => return ok!("the server serves"),
            // The broker's own reason.
            Ok(answer) if answer.status() == StatusCode::SERVICE_UNAVAILABLE && is_short_text(&answer) => {
                return failed!("{}", answer.body().trim() => "Clients are told to come back. Look at the log of the server.");
            }
            Ok(answer) => found = format!("/healthz answers {}", shown(&answer)),
            Err(error) if found.is_empty() => found = error.to_string(),
            Err(_) => {}
        }
    }
    failed!("{found}" => "Look at the log of the server.")
}

/// True for a line of text, and not a page of a proxy.
fn is_short_text(answer: &Response) -> bool {
    let body = answer.body().trim();
    header(answer, "content-type").starts_with("text/plain") && (1..200).contains(&body.len())
}

/// The server's text for a GET of the WebSocket's path, which names the URL for clients.
pub(super) async fn told(server: &Server) -> Option<Told> {
    let answer = server.get(&server.target.socket_path()).await.ok()?;
    Told::read(answer.body())
}

/// Checks if a broker answers at the given path, and tries others if not. `answer` is the response to the
/// request for an id. Returns that of the broker, and the server with its path.
pub(super) async fn path(server: Server, answer: Response) -> Result<(Finding, (Server, Response)), Finding> {
    let asked = &server.target.path;
    if is_of_broker(&answer) {
        let page = server.get(asked).await;
        let finding = if page.is_ok_and(|page| page.body().contains(ABOUT)) {
            ok!("a PeerJS broker answers at the path {asked}")
        } else {
            ok!(
                "a PeerJS broker answers below the path {asked}; {asked} itself shows something else, which clients do not need"
            )
        };
        return Ok((finding, (server, answer)));
    }
    let usual = USUAL_PATHS.map(str::to_owned);
    for path in told_path(&answer).into_iter().chain(usual).filter(|path| path != asked) {
        let other = Server { target: Target { path, ..server.target.clone() }, ..server.clone() };
        let Ok(answer) = other.get(&other.path_of_key("id")).await else { continue };
        if is_of_broker(&answer) {
            let path = &other.target.path;
            // A URL without a path does not mean that the broker should be at /.
            let or = if asked == "/" { "" } else { &format!(", or start the broker with --path {asked}") };
            let finding = failed!("no broker answers at the path {asked}, but one does at {path}" =>
                "Set path: '{path}' in the client's options{or}. The next checks use {path}.");
            return Ok((finding, (other, answer)));
        }
    }
    if answer.status() == StatusCode::SERVICE_UNAVAILABLE && answer.body().trim() == UNAVAILABLE {
        return Err(unavailable(&server).await);
    }
    Err(no_broker(&server, &answer))
}

/// The finding for a broker that does not know its keys: `/healthz` says why.
async fn unavailable(server: &Server) -> Finding {
    let health = server.get("/healthz").await.ok();
    let why =
        health.filter(|health| health.status() == StatusCode::SERVICE_UNAVAILABLE && is_short_text(health));
    let why = why.map_or_else(|| UNAVAILABLE.to_owned(), |health| health.body().trim().to_owned());
    failed!("a broker answers, and admits nobody: {why}" =>
        "Clients are told to come back. Check that the broker reaches the store of its keys: --redis, or the disk of --data_dir.")
}

fn no_broker(server: &Server, answer: &Response) -> Finding {
    let path = server.path_of_key("id");
    let mount = &server.target.path;
    let shown = shown(answer);
    if let Some(own) = told_path(answer) {
        return failed!(
            "a broker answers {path}, but its path is {own}, and nothing that is sent there arrives there" =>
            "The proxy in front changes the path: have it pass the path unchanged (nginx: no / behind the port in \
             proxy_pass; Caddy: handle, not handle_path). \
             docs/PROXY.md.");
    }
    // Only the API answers with a problem (RFC 9457).
    if header(answer, "content-type").starts_with("application/problem+json") {
        return failed!("port {} is that of the broker's API, not the one for clients", server.target.port =>
            "Give the doctor the port of --port, which is 9000 by default. --ops_port is for operators only.");
    }
    if let Some(finding) = proxy_protocol(answer) {
        return finding;
    }
    if answer.body().starts_with(PLAIN_ON_TLS) {
        return failed!("{path} gives {}", answer.body().lines().next().unwrap_or_default() =>
            "The proxy in front speaks plain HTTP to the broker: have it speak HTTPS (nginx: proxy_pass https://…), or start the broker \
             without --sslkey and --sslcert.");
    }
    match answer.status() {
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => failed!(
            "a proxy answers {path} with {shown}: it does not reach the broker" =>
            "Check that the broker runs, and that the proxy leads to its host and port (nginx: proxy_pass, with https:// only if the broker has \
             --sslcert; the log of the proxy says what fails). In containers, 127.0.0.1 is the proxy's own container."),
        status if status.is_redirection() => {
            failed!("{path} is redirected to {}", header(answer, "location") =>
            "Use that address in clients and here. WebSockets do not follow redirects.")
        }
        StatusCode::UNAUTHORIZED => failed!("a proxy wants a password for {path}" =>
            "Leave the broker's path out of the password protection: PeerJS cannot send one."),
        status if status.is_success() || answer.body().trim_start().starts_with('<') => failed!(
            "another site answers {path} with {shown}, not a PeerJS broker" =>
            "Check the host and the port. If a proxy or a web server is there, have it pass {mount} on to the broker."),
        _ => failed!("no PeerJS broker answers at {mount}, nor at the usual paths: {path} gives {shown}" =>
            "Check host, port and path. The broker prints its path when it starts."),
    }
}

/// The finding for the answer of a broker that does not take the PROXY protocol.
pub(super) fn proxy_protocol(answer: &Response) -> Option<Finding> {
    answer.body().starts_with(PROXY_PROTOCOL).then(|| {
        failed!("the proxy in front sends the PROXY protocol, which the broker does not take from it" =>
            "Start the broker with --proxy_protocol, and with the address of the proxy in --trusted_proxy if that is public; or take \
             send-proxy out of the proxy (docs/PROXY.md).")
    })
}

/// The path of a peerbroker, in its answer to a request for an id at another path.
fn told_path(answer: &Response) -> Option<String> {
    match header(answer, RIGHT_PATH) {
        "" => Told::read(answer.body()).map(|told| told.path),
        path => Some(path.to_owned()),
    }
}

/// True if a server says, in its answer to the question for an id, that its relay waits for a port.
pub(super) fn relay_waits(answer: &Response) -> bool {
    header(answer, RELAY) == "waits"
}

/// True if an answer to the question for an id is that of a broker at this path.
fn is_of_broker(answer: &Response) -> bool {
    let body = answer.body().trim();
    let is_word = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '<' | '{' | '[');
    header(answer, RIGHT_PATH).is_empty()
        && answer.status() == StatusCode::OK
        && (1..=MAX_ID_BYTES).contains(&body.len())
        && body.chars().all(is_word)
}

/// Compares the clocks, right after an answer.
pub(super) fn clock(answer: &Response) -> Finding {
    let Ok(theirs) = rfc2822::DateTimeParser::new().parse_timestamp(header(answer, "date")) else {
        return skipped!("the server does not say its time");
    };
    let ours = Timestamp::now().as_second();
    let theirs = theirs.as_second();
    let apart = theirs.abs_diff(ours);
    let which = if theirs > ours { "ahead of" } else { "behind" };
    if apart <= MAX_SKEW {
        return ok!("the clocks of the server and of this machine agree");
    }
    warning!("the server's clock is {apart} s {which} the one of this machine" =>
        "Set the wrong one with NTP (timedatectl set-ntp true). Credentials of TURN, tokens and certificates depend on the time.")
}

/// Checks if the server has the key. `answer` is that to the question for an id.
pub(super) fn key(server: &Server, answer: &Response, told: Option<&Told>) -> Finding {
    let key = &server.target.key;
    let own = match told {
        Some(Told { key: Some(own), .. }) => format!("Its built-in key is '{own}'. "),
        Some(_) => "It has no built-in key. ".to_owned(),
        None => String::new(),
    };
    match (header(answer, "x-peerbroker-key"), &server.origin) {
        ("foreign_origin", Some(origin)) => failed!(
            "pages of {origin} may not use the key '{key}'" =>
            "Add the page: peerbroker keys set {key} --origin {origin} (with the key's other origins)."),
        ("foreign_origin", None) => failed!(
            "the key '{key}' is for pages of certain origins only" =>
            "Run the doctor with --origin and the address of your page."),
        ("banned", _) => failed!(
            "the address of this machine is banned for the key '{key}'" =>
            "GET /api/bans lists the bans, and the dashboard ends one: docs/OPERATING.md."),
        ("unknown", _) => failed!(
            "the server has no key '{key}', or it is disabled" =>
            "{own}Give the key of your client with --key; `peerbroker keys list` shows the stored ones."),
        _ if told.is_some() => ok!("the server has the key '{key}'"),
        _ => skipped!("this server says only to a WebSocket whether it has the key"),
    }
}

/// Checks if pages may read answers. `answer` is that to the question for an id.
pub(super) async fn cors(server: &Server, mut answer: Response) -> Result<Finding, Finding> {
    let (page, pages) = match &server.origin {
        Some(origin) => (&**origin, format!("pages of {origin}")),
        None => {
            let any = Server { origin: Some(ANY_PAGE.to_owned()), ..server.clone() };
            answer = any.get(&any.path_of_key("id")).await?;
            (ANY_PAGE, "pages of any origin".to_owned())
        }
    };
    let allowed = answer.headers().get_all("access-control-allow-origin").iter();
    let allowed: Vec<&str> = allowed.filter_map(|value| value.to_str().ok()).collect();
    Ok(match allowed.as_slice() {
        [one] if *one == "*" || *one == page => ok!("{pages} may read the answers"),
        [_, _, ..] => failed!("the answer has Access-Control-Allow-Origin twice, so browsers refuse it" =>
            "The broker sets this header. Take it out of the proxy in front (nginx: add_header)."),
        _ if server.origin.is_none() => {
            skipped!("only pages of certain origins may use the server: name yours with --origin to check it")
        }
        _ => failed!("browsers do not let {pages} read the answers: their console has an error about CORS" =>
            "Start the broker with --cors {page} beside its other origins. A proxy must not remove the header."),
    })
}

/// Checks if the server knows under which address clients reach it.
pub(super) fn proxy(server: &Server, told: Option<&Told>) -> Finding {
    let Some(Told { host, port, secure, .. }) = told else {
        return skipped!("only a peerbroker tells under which address clients reach it");
    };
    let is_host = host.trim_matches(['[', ']']).eq_ignore_ascii_case(&server.target.host);
    let header = match (is_host, *secure == server.secure) {
        (true, true) if *port == server.target.port => {
            return ok!("the server knows the address under which clients reach it");
        }
        (true, true) => "X-Forwarded-Host with the port",
        (true, false) => "X-Forwarded-Proto",
        (false, true) => "X-Forwarded-Host",
        (false, false) => "X-Forwarded-Host and X-Forwarded-Proto",
    };
    let scheme = if *secure { "https" } else { "http" };
    warning!(
        "the server believes that clients reach it at {scheme}://{host}:{port}: so its pages and its peerjs.js lead there" =>
        "Start the broker with --proxied, and have the proxy in front set {header}, and X-Forwarded-For too: without it, all \
         clients share the limits of one address (docs/PROXY.md).")
}

/// Checks if clients may list the ids of peers. Two peers of ours are connected.
pub(super) async fn discovery(server: &Server, ours: [&String; 2]) -> Result<Finding, Finding> {
    let answer = server.get(&server.path_of_key("peers")).await?;
    let ids: Option<Vec<String>> = serde_json::from_str(answer.body()).ok();
    Ok(match (answer.status(), ids) {
        (StatusCode::OK, Some(ids)) if ours.iter().all(|id| ids.contains(id)) => {
            ok!("clients may list the ids of peers of the key: {} now", ids.len())
        }
        (StatusCode::OK, Some(ids)) if ids.is_empty() => {
            warning!("the list of peers is empty, and two peers are connected" =>
            "With --allow_discovery near, the broker has to know the address of each client: with a proxy in front, by --proxied and \
             X-Forwarded-For (docs/PROXY.md).")
        }
        (StatusCode::OK, Some(_)) => warning!("the list of peers lacks a peer that is connected" =>
            "Several servers seem to be behind this address that do not know each other: make them a cluster (docs/CLUSTER.md)."),
        (StatusCode::UNAUTHORIZED, _) => ok!("off: clients cannot list the ids of other peers"),
        _ => skipped!("the server has no list of peers ({})", shown(&answer)),
    })
}

/// Checks if HTTP-01 reaches a broker with `--acme` that has no certificate yet. The ACME server comes to
/// this port.
pub(super) async fn acme(server: &Server, port: u16) -> Finding {
    const FOUND: &str = "the broker has no certificate yet, so browsers refuse it";
    let mut http = server.clone();
    let host = &server.target.host;
    http.address.set_port(port);
    http.target.port = port;
    http.secure = false;
    http.origin = None;
    match http.get(CHALLENGE).await {
        Ok(answer) if answer.body().trim() == UNKNOWN_CHALLENGE => failed!(
            "{FOUND}. Port {port} leads to it, as the ACME server needs it" =>
            "Wait for a minute. If nothing changes, the log of the broker says why the ACME server gives none, and so does \
             certificate.error of GET /api/stats."),
        Ok(answer) => {
            failed!("{FOUND}. At port {port} another program answers the ACME server ({})", shown(&answer) =>
            "Stop that program, or have it pass /.well-known/acme-challenge/ on to the broker's --acme_http_port. Or let port 443 of \
             {host} lead to the broker without a proxy that ends TLS.")
        }
        Err(error @ NoAnswer::NotHttp(_)) => failed!("{FOUND}. At port {port} {error}" =>
            "Let port {port} of {host} lead to the broker's --acme_http_port."),
        Err(error) => failed!("{FOUND}. At port {port} {error}" =>
            "Open TCP port {port} of {host} to the internet in every firewall, and let it lead to the broker's --acme_http_port; or \
             let port 443 lead to the broker's --port. Check that DNS has the address of this machine."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_the_404_is_read() {
        let text = "404: GET /y was not found.\n\nThis is a peerbroker, a server for PeerJS. Its path is \"/x/\" and its key is \"a \\\"b\".\n\
                    A client finds it with\n\n    new Peer({host: \"h\", port: 443, path: \"/x/\", key: \"a\", secure: true})\n";
        let told = Told::read(text).unwrap();
        let expected = ("/x/", Some("a \"b"), "h", 443, true);
        assert_eq!((&*told.path, told.key.as_deref(), &*told.host, told.port, told.secure), expected);
        for other in
            ["", "Cannot GET /peerjs", "This is a peerbroker", "This is a peerbroker Its path is 7 new Peer("]
        {
            assert_eq!(Told::read(other), None, "{other}");
        }
    }
}
