//! The documentation is true: its examples are replayed against a real server, its table of flags
//! is that of `--help`, its Rust stands in code that is compiled, and what it points at is there.

// Not all of it is needed here.
#[allow(dead_code, reason = "shared with the tests of the API")]
mod api {
    pub mod harness;
}

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use peerbroker::Config;

use api::harness::wire::{FIN, Frame, frame, opcode};
use api::harness::{RawClient, TestServer, Transport};

#[test]
fn the_exchanges_happen_as_they_are_written() {
    let blocks = blocks("docs/PROTOCOL.md", "exchange");
    assert!(blocks.len() > 10, "{} examples", blocks.len());
    for transport in Transport::ALL {
        for block in &blocks {
            eprintln!("{} on the transport {transport:?}", block.at(0));
            let mut play = Play {
                clients: BTreeMap::new(),
                server: TestServer::start(transport, |config| block.configure(config)),
            };
            for (number, line) in block.lines.iter().enumerate() {
                play.line(line.trim(), &block.at(number + 1));
            }
            play.finish(&block.at(block.lines.len() + 1));
        }
    }
}

#[test]
fn the_http_answers_are_as_they_are_written() {
    let blocks = blocks("docs/PROTOCOL.md", "http");
    assert!(blocks.len() > 3, "{} examples", blocks.len());
    for block in &blocks {
        let server = TestServer::start(Transport::Own, |config| block.configure(config));
        let mut lines = block.lines.iter();
        let request = lines.next().unwrap_or_else(|| panic!("{}: no request", block.at(1)));
        let (method, target) = request.split_once(' ').expect("a method and a path");
        let mut headers = String::new();
        let status = loop {
            let line = lines.next().unwrap_or_else(|| panic!("{}: no status", block.at(1)));
            if line.starts_with(|c: char| c.is_ascii_digit()) {
                break line;
            }
            headers.push_str(line);
            headers.push_str("\r\n");
        };
        let body: Vec<&str> = lines.map(String::as_str).collect();
        let answer = server.request(method, target, &headers);
        let kind = answer.header("content-type").unwrap_or_default();
        let found = format!("{} {kind}", answer.status);
        assert_eq!(found.trim(), status, "{}", block.at(1));
        match body[..] {
            ["…"] => {}
            ["<uuid>"] => assert_eq!(answer.text().len(), 36, "{}", block.at(1)),
            _ => assert_eq!(answer.text().trim_end(), body.join("\n").trim_end(), "{}", block.at(1)),
        }
    }
}

#[test]
fn the_table_of_flags_is_that_of_the_help() {
    let documented: BTreeSet<Flag> = lines("docs/OPERATING.md")
        .filter(|line| line.starts_with("| `-"))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let bare = |cell: &str| Some(cell.replace('`', "")).filter(|text| text != "–");
            let names: Vec<&str> = cells[1].split(", ").map(|name| name.trim_matches('`')).collect();
            let long = names[0].to_owned();
            let short = names.get(1).map(|&name| name.to_owned());
            Flag { long, short, variable: bare(cells[2]), default: bare(cells[3]) }
        })
        .collect();
    assert_eq!(documented, flags_of_the_help());
}

#[test]
fn every_flag_that_is_named_exists() {
    let known: BTreeSet<String> = flags_of_the_help().into_iter().map(|flag| flag.long).collect();
    for page in pages() {
        for (line, span) in code_spans(&page) {
            let name = span.split(['=', ' ']).next().unwrap_or_default();
            if let Some(name) = name.strip_prefix("--") {
                let with_underscores = format!("--{}", name.replace('-', "_"));
                assert!(known.contains(&with_underscores), "{page}:{line}: there is no flag --{name}");
            }
        }
    }
}

#[test]
fn what_the_pages_point_at_is_there() {
    let mut missing = Vec::new();
    for page in pages() {
        let directory = root().join(&page).parent().unwrap().to_owned();
        for (line, target) in links(&page) {
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = if path.is_empty() { root().join(&page) } else { directory.join(path) };
            if !file.exists() {
                missing.push(format!("{page}:{line}: {target}"));
            } else if !anchor.is_empty() && !anchors(&file).contains(anchor) {
                missing.push(format!("{page}:{line}: no heading for #{anchor}"));
            }
        }
        for (line, path) in code_spans(&page).filter(|(_, span)| is_path(span)) {
            if !root().join(&path).exists() {
                missing.push(format!("{page}:{line}: {path}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_source_file_is_on_the_map() {
    let map = read("docs/ARCHITECTURE.md");
    let unnamed: Vec<String> =
        sources().into_iter().filter(|name| !map.contains(&format!("`{name}`"))).collect();
    assert!(unnamed.is_empty(), "not in docs/ARCHITECTURE.md: {unnamed:?}");
}

#[test]
fn the_rust_in_the_pages_stands_in_code_that_is_compiled() {
    let sources = [read("tests/docs.rs"), read("examples/embed.rs")];
    for block in pages().iter().flat_map(|page| blocks(page, "rust")) {
        let wanted: Vec<&str> = block.lines.iter().map(|line| line.trim()).collect();
        let found = sources.iter().any(|source| {
            let lines: Vec<&str> = source.lines().map(str::trim).collect();
            lines.windows(wanted.len()).any(|window| window == wanted)
        });
        assert!(found, "{}: this code is nowhere", block.at(1));
    }
}

/// The snippets of docs/EMBEDDING.md.
mod embedding {
    use std::thread;
    use std::time::Duration;

    use actix_web::test::{TestRequest, call_service, init_service, read_body};
    use actix_web::{App, HttpServer, web};
    use peerbroker::broker::{Clock, Limits};
    use peerbroker::{Config, Listen, PeerBroker, Server};

    use crate::api::harness::RawClient;

    #[actix_web::test]
    async fn an_app_closes_its_broker_before_it_stops() {
        let broker = PeerBroker::new();
        let server = HttpServer::new({
            let broker = broker.clone();
            move || App::new().configure(broker.mount("/myapp"))
        })
        .bind("127.0.0.1:0")
        .unwrap()
        .disable_signals();
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        let serving = actix_web::rt::spawn(server);
        let client = thread::spawn(move || {
            let target = "/myapp/peerjs?key=peerjs&id=alice&token=secret";
            let mut client = RawClient::connect(address, "alice");
            client.send_raw(RawClient::handshake(target));
            client.expect_accepted();
            client.expect_open();
            client
        });
        let client = web::block(|| client.join().unwrap());
        let mut client = client.await.unwrap();
        let goodbye = thread::spawn(move || client.expect_closed_with(Some(1001)));

        broker.broker().close();
        handle.stop(true).await;
        serving.await.unwrap().unwrap();
        goodbye.join().unwrap();
    }

    #[actix_web::test]
    async fn at_the_root_it_answers_what_nothing_before_it_does() {
        async fn hello() -> &'static str {
            "hello"
        }
        let broker = PeerBroker::new();
        let app = App::new().route("/", web::get().to(hello)).configure(broker.mount("/"));
        let app = init_service(app).await;
        let get = async |path| {
            let request = TestRequest::get().uri(path).to_request();
            call_service(&app, request).await
        };
        assert_eq!(read_body(get("/").await).await, "hello");
        assert_eq!(read_body(get("/peerjs/id").await).await.len(), 36);
        assert_eq!(get("/other").await.status(), 404);
    }

    #[actix_web::test]
    async fn a_broker_is_served_by_itself() {
        let broker = PeerBroker::builder()
            .config(Config {
                limits: Limits { expire_timeout: Duration::from_secs(2), ..Limits::default() },
                allow_discovery: true,
                ..Config::default()
            })
            .build();
        let listen = Listen { host: "127.0.0.1".to_owned(), port: 0, ..Listen::default() };
        let server = Server::bind(&broker, &listen).unwrap();
        println!("listening on {}", server.address());
        server.run(async {}).await.unwrap();
    }

    #[test]
    fn time_passes_when_a_test_says_so() {
        let clock = Clock::manual();
        let broker = PeerBroker::builder().clock(clock.clone()).build();
        // … clients connect …
        clock.advance(Duration::from_secs(6));
        broker.broker().sweep();
        assert_eq!(broker.broker().peers(), 0);
    }
}

/// A block of code in a page: what follows its language, and its lines.
struct Block {
    page: String,
    line: usize,
    settings: Vec<String>,
    lines: Vec<String>,
}

impl Block {
    /// Where the line `number` of the block stands.
    fn at(&self, number: usize) -> String {
        format!("{}:{}", self.page, self.line + number)
    }

    fn configure(&self, config: &mut Config) {
        for setting in &self.settings {
            match setting.split_once('=').unwrap_or((setting, "")) {
                ("allow_discovery", "") => config.allow_discovery = true,
                ("concurrent_limit", count) => config.limits.concurrent_limit = count.parse().unwrap(),
                ("max_message_bytes", count) => config.max_message_bytes = count.parse().unwrap(),
                ("queue_messages", count) => config.limits.queue_messages = count.parse().unwrap(),
                _ => panic!("{}: no such setting: {setting}", self.at(0)),
            }
        }
    }
}

/// One exchange as it goes on.
struct Play {
    // Dropped first: a server that stops waits for its clients.
    clients: BTreeMap<String, Actor>,
    server: TestServer,
}

/// A client of an exchange.
struct Actor {
    id: String,
    client: RawClient,
    /// The answer to its handshake was read.
    accepted: bool,
    /// What it was sent while something else was waited for.
    inbox: VecDeque<Said>,
    /// It got its OPEN and no close frame, and answers.
    takes_part: bool,
}

/// What the server sent, as a line of an exchange has it.
type Said = String;

const MARKER: &str = r#""marker""#;

impl Play {
    fn line(&mut self, line: &str, at: &str) {
        if line.is_empty() || line.starts_with('#') {
            return;
        }
        if let Some(time) = line.strip_prefix("time passes ") {
            self.settle();
            let seconds = time.strip_suffix('s').and_then(|seconds| seconds.parse().ok());
            return self
                .server
                .advance(Duration::from_secs(seconds.unwrap_or_else(|| panic!("{at}: {line}"))));
        }
        let (name, rest) = line.split_once(' ').unwrap_or_else(|| panic!("{at}: {line}"));
        if rest == "connects" {
            return self.connect(name, name, &format!("key=peerjs&id={name}&token=secret-of-{name}"));
        }
        if let Some(query) = rest.strip_prefix("connects with ") {
            let id = query.split('&').find_map(|pair| pair.strip_prefix("id="));
            return self.connect(name, id.unwrap_or_default(), query);
        }
        let actor = self.clients.get_mut(name).unwrap_or_else(|| panic!("{at}: who is {name}?"));
        match rest.split_once(' ') {
            Some(("<", said)) => actor.expect(said, at),
            Some((">", says)) => actor.say(says, at),
            Some(("falls", "silent")) => actor.takes_part = false,
            Some(("breaks", "off")) => {
                let Actor { id, client, .. } = self.clients.remove(name).unwrap();
                drop(client);
                self.server.wait_until_gone(&id);
            }
            _ => panic!("{at}: {line}"),
        }
    }

    fn connect(&mut self, name: &str, id: &str, query: &str) {
        let client = self.server.begin_at(&format!("/peerjs?{query}"));
        let id = id.to_owned();
        let actor = Actor { id, client, accepted: false, inbox: VecDeque::new(), takes_part: false };
        self.clients.insert(name.to_owned(), actor);
    }

    /// Waits until every worker has put down what it had in hand: a session notes that its client was
    /// heard only after it has answered, and that must not happen at a later time. Connections go to
    /// the two workers in turn, and a worker does one thing at a time.
    fn settle(&self) {
        for _ in 0..4 {
            assert_eq!(self.server.get("/healthz").status, 200);
        }
    }

    /// Nothing was sent that is not in the example. Twice, because what one client said last may
    /// have gone to one that was asked before it.
    fn finish(mut self, at: &str) {
        for _ in 0..2 {
            for (name, actor) in &mut self.clients {
                actor.sync(at);
                assert!(actor.inbox.is_empty(), "{at}: {name} was also sent {:?}", actor.inbox);
            }
        }
    }
}

impl Actor {
    fn say(&mut self, says: &str, at: &str) {
        let (word, rest) = says.split_once(' ').unwrap_or((says, ""));
        match word {
            "ping" => self.client.ping(rest.as_bytes()),
            "pong" => self.client.pong(rest.as_bytes()),
            "bytes" => self.client.send_raw(frame(FIN | opcode::BINARY, rest.as_bytes())),
            "close" => {
                self.client.close(rest.parse().ok());
                self.takes_part = false;
            }
            _ => self.client.send(says),
        }
        self.sync(at);
    }

    fn expect(&mut self, wanted: &str, at: &str) {
        let said = self.inbox.pop_front().unwrap_or_else(|| self.next(at));
        assert_eq!(said, wanted, "{at}");
        match wanted.split(' ').next() {
            Some(r#"{"type":"OPEN"}"#) => self.takes_part = true,
            Some("close") => {
                self.takes_part = false;
                self.client.close(None);
            }
            _ => {}
        }
    }

    /// Waits until the server has handled what this client said: a message to itself comes back.
    fn sync(&mut self, at: &str) {
        if !self.takes_part {
            return;
        }
        let id = serde_json::Value::from(self.id.as_str());
        self.client.send(format!(r#"{{"type":"CANDIDATE","dst":{id},"payload":{MARKER}}}"#));
        loop {
            let said = self.next(at);
            if said.ends_with(&format!(r#","payload":{MARKER}}}"#)) {
                return;
            }
            let is_last = said.starts_with("close") || said == "end";
            self.inbox.push_back(said);
            if is_last {
                self.takes_part = false;
                return;
            }
        }
    }

    fn next(&mut self, at: &str) -> Said {
        self.client.name = format!("{at}: {}", self.id);
        if !self.accepted {
            self.client.expect_accepted();
            self.accepted = true;
        }
        self.client.next_frame(at).map_or_else(|| "end".to_owned(), |frame| said(&frame))
    }
}

fn said(frame: &Frame) -> Said {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (word, rest) = match (frame.opcode(), &frame.payload[..]) {
        (opcode::TEXT, payload) => return text(payload),
        (opcode::PING, payload) => ("ping", text(payload)),
        (opcode::PONG, payload) => ("pong", text(payload)),
        (opcode::CLOSE, []) => ("close", String::new()),
        (opcode::CLOSE, [high, low, reason @ ..]) => {
            ("close", format!("{} {}", u16::from_be_bytes([*high, *low]), text(reason)))
        }
        other => panic!("not a frame of this server: {other:?}"),
    };
    format!("{word} {rest}").trim_end().to_owned()
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flag {
    long: String,
    short: Option<String>,
    variable: Option<String>,
    default: Option<String>,
}

fn flags_of_the_help() -> BTreeSet<Flag> {
    let help = Command::new(env!("CARGO_BIN_EXE_peerbroker")).arg("--help").env_clear().output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let mut flags: Vec<(String, String)> = Vec::new();
    for line in help.lines().map(str::trim) {
        if line.starts_with('-') && !line.starts_with("- ") {
            flags.push((line.to_owned(), String::new()));
        } else if let Some((_, text)) = flags.last_mut() {
            text.push_str(line);
            text.push(' ');
        }
    }
    let bracketed = |text: &str, name: &str| {
        let (_, rest) = text.split_once(&format!("[{name}: "))?;
        rest.split(']').next().map(|value| value.trim_end_matches('=').to_owned())
    };
    let flag = |(names, text): (String, String)| {
        let names: Vec<&str> = names.split([',', ' ']).filter(|name| name.starts_with('-')).collect();
        let long = names.iter().find(|name| name.starts_with("--")).unwrap();
        let short = names.iter().find(|name| !name.starts_with("--"));
        Flag {
            long: (*long).to_owned(),
            short: short.map(|&name| name.to_owned()),
            variable: bracketed(&text, "env"),
            default: bracketed(&text, "default"),
        }
    };
    flags.into_iter().map(flag).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn lines(name: &str) -> impl Iterator<Item = String> {
    read(name).lines().map(str::to_owned).collect::<Vec<_>>().into_iter()
}

/// Every source file, as `src/…`.
fn sources() -> Vec<String> {
    let mut sources = Vec::new();
    let mut directories = vec![root().join("src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            if entry.is_dir() {
                directories.push(entry);
            } else if name.ends_with(".rs") {
                sources.push(name);
            }
        }
    }
    sources
}

/// README and the like, and all of docs/.
fn pages() -> Vec<String> {
    let mut pages = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(str::to_owned).to_vec();
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let names = docs.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    pages.extend(names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}")));
    pages
}

fn blocks(page: &str, language: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    // Outside of a block, in one, or in one of this language.
    let mut inside = None;
    for (number, line) in lines(page).enumerate() {
        match (line.strip_prefix("```"), inside) {
            (Some(info), None) => {
                let mut words = info.split_whitespace().map(str::to_owned);
                let wanted = words.next().as_deref() == Some(language);
                inside = Some(wanted);
                if wanted {
                    let (page, settings) = (page.to_owned(), words.collect());
                    blocks.push(Block { page, line: number + 1, settings, lines: Vec::new() });
                }
            }
            (Some(_), Some(_)) => inside = None,
            (None, Some(true)) => blocks.last_mut().unwrap().lines.push(line),
            (None, _) => {}
        }
    }
    assert_eq!(inside, None, "{page}: a block without an end");
    blocks
}

/// The lines outside of blocks, with their numbers.
fn prose(page: &str) -> impl Iterator<Item = (usize, String)> {
    let mut inside = false;
    lines(page).enumerate().filter_map(move |(number, line)| {
        let fence = line.starts_with("```");
        inside ^= fence;
        (!inside && !fence).then_some((number + 1, line))
    })
}

fn code_spans(page: &str) -> impl Iterator<Item = (usize, String)> {
    prose(page).flat_map(|(number, line)| {
        let spans: Vec<_> =
            line.split('`').skip(1).step_by(2).map(|span| (number, span.to_owned())).collect();
        spans
    })
}

/// The relative links.
fn links(page: &str) -> impl Iterator<Item = (usize, String)> {
    prose(page).flat_map(|(number, line)| {
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let relative = targets.filter(|target| !target.contains("://"));
        relative.map(|target| (number, target.to_owned())).collect::<Vec<_>>()
    })
}

/// Whether a text in backticks names a file of the project that is not made by a build.
fn is_path(span: &str) -> bool {
    let directories =
        ["src/", "tests/", "docs/", "static/", "client-tests/", "examples/", "vendor/", "scripts/"];
    let made = ["vendor/dist", "client-tests/clients"];
    directories.iter().any(|directory| span.starts_with(directory))
        && !made.iter().any(|made| span.starts_with(made))
        && !span.contains(['*', '{', ' '])
}

/// What a link to a heading of a page may be, as GitHub makes it.
fn anchors(page: &PathBuf) -> BTreeSet<String> {
    let text = fs::read_to_string(page).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter(|&c| c.is_alphanumeric() || " -_".contains(c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}
