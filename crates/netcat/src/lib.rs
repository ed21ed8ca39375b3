#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod code;
mod exec;
mod lines;
mod listen;
mod screen;
mod session;
mod streams;
mod tcp;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use code::{Code, NotProven, prove};
use lines::{Hub, write_lines};
use listen::{Listener, Service, accept};
use peerbroker_peer::{Address, ConnectOptions, Connection, OpenError, Options, Peer};
use peerbroker_system::bounded_read::read_file;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use screen::note;
use session::{Other, Session, WITH_CODE, WITHOUT_CODE, end};
use tokio::io::{AsyncBufReadExt as _, BufReader, Stdin, empty, sink, stdin, stdout};
use tokio::net::TcpListener;
use tokio::time::timeout;

const BROKER: &str = "PEERBROKER_BROKER";
/// The variables of these commands: the broker, and in a process of `--exec` the other end's id.
pub const VARIABLES: [&str; 2] = [BROKER, exec::PEER];
const DEFAULT_KEY: &str = "peerjs";
const DEFAULT_BROKER: &str = "http://127.0.0.1:9000";
/// The page that talks to a listener, below the broker's URL.
const PAGE: &str = "broker/talk";
/// Characters of ids that links escape.
const ID: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
/// Most bytes of the file of authorities.
const MAX_CA_BYTES: u64 = 1 << 20;
/// The time that the other ends have to hear of the end.
const GRACE: Duration = Duration::from_secs(2);

/// The text below `peerbroker listen --help` and `peerbroker connect --help`.
pub const HELP: &str = r#"All data is encrypted from end to end. Only a broker that replaces the keys of both ends
could read it, unless you compare:
  --code    Both ends prove that they know a short code, which you tell by voice. A connection is
            one guess; `listen` ends after three wrong ones. --exec and --tcp require a code,
            unless --no_code is given. Pages have none.
  --number  Both ends print twelve digits. If they are the same, nobody stands in between.

With a page, a line is a message. With --json, stdout has {"from":"ID","event":"open"}, then
{"from":"ID","data":…} for each message, and {"from":"ID","event":"close"}; stdin takes
{"to":"ID","data":…}, or without "to" for all. Bytes are {"bytes":"base64…"}.

Exit codes: 0 if both ends have ended, 1 if the connection was lost, 2 for wrong arguments, 3 if
the other end is not there, 4 for a wrong or missing code, 5 without a broker, 130 after Ctrl-C.

  peerbroker listen > file                 there: peerbroker connect ID < file
  peerbroker listen --tcp localhost:22     there: peerbroker connect ID --tcp 2222
  peerbroker listen --exec date --no_code"#;

/// The broker, and the client of it. The fields are described as in `--help`, which is no Markdown.
#[derive(Clone, Debug, Default, clap::Args)]
#[allow(rustdoc::bare_urls, rustdoc::broken_intra_doc_links)]
pub struct Broker {
    /// URL of the broker [default: http://127.0.0.1:9000]
    #[arg(long, value_name = "URL", env = BROKER, hide_env_values = true)]
    pub broker: Option<String>,

    /// API key of the broker [default: that in the URL, or peerjs]
    #[arg(long, short)]
    pub key: Option<String>,

    /// Token of this client [default: a random one]
    #[arg(long)]
    pub token: Option<String>,

    /// Authorities to trust besides the public ones (PEM)
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

/// The arguments of `peerbroker listen`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ListenArgs {
    /// Id under which others find this end [default: a random one]
    pub id: Option<String>,

    /// The broker.
    #[command(flatten)]
    pub broker: Broker,

    /// Take the next connection when one has ended
    #[arg(long, conflicts_with_all = ["exec", "tcp", "json"])]
    pub keep: bool,

    /// Run this command of the shell for each connection; PEERBROKER_PEER is the other end's id
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["tcp", "json"])]
    pub exec: Option<String>,

    /// Connect the others to this TCP port
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "json")]
    pub tcp: Option<String>,

    /// Write and read one line of JSON for each message
    #[arg(long)]
    pub json: bool,

    /// Require a code from each connection: a random one, or this
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        conflicts_with_all = ["json", "no_code"],
        hide_possible_values = true
    )]
    pub code: Option<Option<String>>,

    /// Require no code for --exec and --tcp
    #[arg(long = "no_code", alias = "no-code")]
    pub no_code: bool,

    /// Print the safety number of each connection
    #[arg(long)]
    pub number: bool,
}

/// The arguments of `peerbroker connect`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ConnectArgs {
    /// Id of the other end, or the link that it shows
    pub id: String,

    /// The broker.
    #[command(flatten)]
    pub broker: Broker,

    /// Accept TCP connections at this port of 127.0.0.1, and pass them to the other end
    #[arg(long, value_name = "PORT", conflicts_with = "json")]
    pub tcp: Option<u16>,

    /// Write and read one line of JSON for each message
    #[arg(long, conflicts_with = "code")]
    pub json: bool,

    /// Code that the other end shows
    #[arg(long)]
    pub code: Option<String>,

    /// Print the safety number of the connection
    #[arg(long)]
    pub number: bool,
}

/// The reason why a command failed.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct NetcatFailed {
    text: String,
    exit_code: u8,
}

const LOST: u8 = 1;
const WRONG_ARGUMENTS: u8 = 2;
const NOT_THERE: u8 = 3;
const NO_CODE: u8 = 4;
const NO_BROKER: u8 = 5;
/// As shells have it.
const INTERRUPTED: u8 = 130;

impl NetcatFailed {
    /// The exit code, as in the help.
    pub fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

/// An error for `map_err`.
fn failed<E: ToString>(exit_code: u8) -> impl Fn(E) -> NetcatFailed {
    move |error| NetcatFailed { text: error.to_string(), exit_code }
}

impl From<io::Error> for NetcatFailed {
    fn from(error: io::Error) -> Self {
        failed(LOST)(error)
    }
}

impl From<NotProven> for NetcatFailed {
    fn from(error: NotProven) -> Self {
        failed(if matches!(error, NotProven::Lost(_)) { LOST } else { NO_CODE })(error)
    }
}

/// Waits for others, and joins them to stdin and stdout, processes, a port or a script. Returns the exit
/// code.
pub fn listen(args: &ListenArgs) -> Result<u8, NetcatFailed> {
    let code = match &args.code {
        Some(Some(code)) => Some(read_code(code)?),
        None if args.no_code || args.exec.is_none() && args.tcp.is_none() => None,
        _ => Some(Code::random()?),
    };
    let address = address(&args.broker, None)?;
    let (hub, lines) = Hub::new();
    let service = match args {
        ListenArgs { exec: Some(command), .. } => Service::Exec(command.clone()),
        ListenArgs { tcp: Some(target), .. } => Service::Tcp(target.clone()),
        ListenArgs { json: true, .. } => Service::Json(hub),
        _ => Service::Stdio,
    };
    let protocol = if code.is_some() { WITH_CODE } else { WITHOUT_CODE };
    let mut options = options(&args.broker, &address)?;
    options.id = args.id.clone();
    if !args.json {
        options.protocols = vec![protocol.to_owned()];
    }
    let listener = Arc::new(Listener::new(service, code, args.number));
    run(&address, options, async |peer| {
        let spoken = listener.code.as_ref().map(Code::spoken);
        let invitation = screen::invitation(peer.id(), &link(&address, peer.id()), spoken.as_deref());
        eprintln!("{invitation}");
        let mut input = stdin_reader();
        let mut output = stdout();
        let Service::Json(hub) = &listener.service else {
            return accept(peer, listener, args.keep, &mut input, &mut output).await;
        };
        let script = async {
            hub.read(&mut input, |why| note(&why)).await?;
            // The script reads on.
            std::future::pending().await
        };
        let mut nothing = empty();
        let mut nowhere = sink();
        tokio::select! {
            ended = accept(peer, Arc::clone(&listener), true, &mut nothing, &mut nowhere) => ended,
            ended = write_lines(lines, output) => Ok(ended?),
            ended = script => ended,
        }
    })
}

/// Connects to a listener or a page. Returns the exit code.
pub fn connect(args: &ConnectArgs) -> Result<u8, NetcatFailed> {
    let (link, id) = match args.id.split_once('#') {
        Some((link, id)) => (Some(link), percent_decode_str(id).decode_utf8_lossy().into_owned()),
        None => (None, args.id.clone()),
    };
    let address = address(&args.broker, link)?;
    let code = args.code.as_deref().map(read_code).transpose()?;
    run(&address, options(&args.broker, &address)?, async |peer| {
        let mut input = stdin_reader();
        let mut options = ConnectOptions::default();
        if !args.json {
            options.protocols = [WITH_CODE, WITHOUT_CODE].map(str::to_owned).into();
        }
        let connection = peer.connect(&id, options).await.map_err(failed(NOT_THERE))?;
        let session = admit(connection, code, args.number, &mut input).await?;
        if let Some(port) = args.tcp {
            return pass_tcp(session, port).await;
        }
        if !args.json {
            return Ok(session.join(&mut input, &mut stdout()).await?);
        }
        let (hub, lines) = Hub::new();
        let served = async move {
            let read = async {
                hub.read(&mut input, |why| note(&why)).await?;
                hub.end();
                std::future::pending().await
            };
            // First the script, so that the first line has its connection.
            tokio::select! { biased; ended = session.script(&hub) => ended, ended = read => ended }
        };
        let (served, written) = tokio::join!(served, write_lines(lines, stdout()));
        Ok(served.and(written)?)
    })
}

/// Proves the code that the other end demands, which is asked for if it was not given.
async fn admit(
    connection: Connection,
    code: Option<Code>,
    number: bool,
    input: &mut BufReader<Stdin>,
) -> Result<Session, NetcatFailed> {
    if number {
        show_number(&connection).await?;
    }
    let binding = connection.binding();
    let demands_code = connection.protocol() == Some(WITH_CODE);
    let mut session = Session::new(connection);
    let code = match code {
        Some(_) if !demands_code => {
            return Err(failed(NO_CODE)(format!(
                "{} asks for no code, so --code proves nothing: somebody in between may have taken it off",
                session.peer
            )));
        }
        None if demands_code && screen::is_interactive() => {
            eprint!("Code: ");
            let mut line = String::new();
            input.read_line(&mut line).await?;
            Some(read_code(&line)?)
        }
        None if demands_code => {
            return Err(failed(NO_CODE)(format!("{} asks for a code: add --code", session.peer)));
        }
        code => code,
    };
    if let (Some(code), Other::Command(to, from)) = (code, &mut session.other) {
        prove(&code, binding, to, from).await?;
    }
    Ok(session)
}

/// Passes the TCP connections to a port.
async fn pass_tcp(session: Session, port: u16) -> Result<(), NetcatFailed> {
    let unfit = "the other end is a page, which has no TCP: `peerbroker listen --tcp` has";
    let (streams, closer) = session.streams().ok_or(unfit).map_err(failed(NOT_THERE))?;
    let used = |error| failed(WRONG_ARGUMENTS)(format!("cannot listen at --tcp {port}: {error}"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(used)?;
    note(&format!("Listening at {}", listener.local_addr()?));
    tcp::listen(&listener, &streams).await;
    Ok(end(streams, closer, true).await?)
}

/// Prints the digits that both ends compare.
async fn show_number(connection: &Connection) -> Result<(), NetcatFailed> {
    let number = connection.safety_number().await.map_err(failed(NO_CODE))?;
    note(&format!("Safety number with {}: {number}", connection.peer()));
    Ok(())
}

/// Opens a peer, works with it, and closes it, also after Ctrl-C.
fn run(
    address: &Address,
    options: Options,
    work: impl AsyncFnOnce(&mut Peer) -> Result<(), NetcatFailed>,
) -> Result<u8, NetcatFailed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let mut peer = Peer::open(&address.to_string(), options).await.map_err(failed(NO_BROKER))?;
        let ended = tokio::select! {
            ended = work(&mut peer) => ended.map(|()| 0),
            stopped = interrupted() => stopped.map(|()| INTERRUPTED).map_err(NetcatFailed::from),
        };
        // The broker may be gone as well.
        drop(timeout(GRACE, peer.close()).await);
        ended
    });
    // Does not wait for a read of stdin.
    runtime.shutdown_background();
    ended
}

async fn interrupted() -> io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! { ended = tokio::signal::ctrl_c() => ended, _ = terminate.recv() => Ok(()) }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

fn stdin_reader() -> BufReader<Stdin> {
    BufReader::with_capacity(streams::MAX_MESSAGE, stdin())
}

fn read_code(text: &str) -> Result<Code, NetcatFailed> {
    Code::parse(text).map_err(|why| failed(WRONG_ARGUMENTS)(format!("--code: {why}")))
}

/// The broker of the arguments, or of a link, which beats the variable.
fn address(args: &Broker, link: Option<&str>) -> Result<Address, NetcatFailed> {
    let is_flag = args.broker.is_some() && std::env::var(BROKER).ok() != args.broker;
    let text = match link {
        Some(link) if !is_flag => link.replacen(PAGE, "", 1),
        _ => args.broker.clone().unwrap_or_else(|| DEFAULT_BROKER.to_owned()),
    };
    let address = Address::parse(&text, args.key.as_deref());
    address.ok_or(OpenError::Address(text)).map_err(failed(WRONG_ARGUMENTS))
}

/// The link of a listener: for `peerbroker connect`, and a page that talks to it.
fn link(address: &Address, id: &str) -> String {
    let key = if address.key == DEFAULT_KEY { "" } else { &format!("?key={}", address.encoded_key()) };
    format!("{address}{PAGE}{key}#{}", utf8_percent_encode(id, ID))
}

fn options(args: &Broker, address: &Address) -> Result<Options, NetcatFailed> {
    Ok(Options {
        token: args.token.clone(),
        key: Some(address.key.clone()),
        ca: args.ca.as_deref().map(authorities).transpose()?.unwrap_or_default(),
        ..Options::default()
    })
}

/// Reads a file of authorities.
fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, NetcatFailed> {
    let wrong =
        |why: &dyn Display| failed(WRONG_ARGUMENTS)(format!("cannot read --ca {}: {why}", path.display()));
    let pem = read_file(path, MAX_CA_BYTES).map_err(|error| wrong(&error))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem).map_while(Result::ok).collect();
    if found.is_empty() { Err(wrong(&"it has no 'BEGIN CERTIFICATE'")) } else { Ok(found) }
}
