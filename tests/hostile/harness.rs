//! Runs one attack against its own server, while a pair of bystanders exchanges messages, and
//! compares the server's resources with the limits of the attack.

use std::any::Any;
use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::api::Api;
use crate::bystanders::Bystanders;
use crate::directory::Directory;
use crate::http_client;
use crate::process::Process;
use crate::program::{self, Program};
use crate::raw_client::RawClient;
use crate::redis_server::RedisServer;

/// Resident memory that a server may keep once an attack has ended.
const LEFT_MIB: u64 = 64;
/// Time in which the server must return the rest.
const SETTLE: Duration = Duration::from_secs(30);
/// Longest wait of a bystander for an answer. Generous: the tests share few cores.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// On a busy machine the limit is this many times the longest wait before the attack.
const SLOWER: u32 = 10;
/// Rounds of the bystanders before the attack.
const ROUNDS_BEFORE: usize = 20;
/// The server is killed when an attack takes longer. Then all connections of the attack end, and
/// so do the loops that read from them.
const LONGEST_ATTACK: Duration = Duration::from_secs(180);
/// A server with this much memory is killed at once, to protect the machine.
const HOPELESS_MIB: u64 = 2048;

/// One row of the table.
pub struct Attack {
    pub name: &'static str,
    /// The attack itself.
    pub sends: &'static str,
    run: fn(&mut Target),
    flags: &'static [&'static str],
    /// Maximum resident memory during the attack.
    peak_mib: u64,
    /// Maximum wait of a bystander.
    longest_wait: Duration,
    /// Maximum CPU time per second of the attack, in cores.
    cores: f64,
    /// True if new clients must be admitted during the attack.
    newcomers: bool,
    /// Maximum file descriptors of the server.
    descriptors: Option<u32>,
    /// True if the server is a node of a cluster. Then some bystanders are at another node.
    clustered: bool,
    /// True if the attack mostly waits, so that others may run at the same time.
    pub waits: bool,
}

impl Attack {
    pub const fn new(name: &'static str, sends: &'static str, run: fn(&mut Target)) -> Self {
        Attack {
            name,
            sends,
            run,
            flags: &[],
            peak_mib: LEFT_MIB,
            longest_wait: LONGEST_WAIT,
            cores: f64::INFINITY,
            newcomers: true,
            descriptors: None,
            clustered: false,
            waits: false,
        }
    }

    pub const fn flags(self, flags: &'static [&'static str]) -> Self {
        Attack { flags, ..self }
    }

    pub const fn peak_mib(self, peak_mib: u64) -> Self {
        Attack { peak_mib, ..self }
    }

    pub const fn longest_wait(self, longest_wait: Duration) -> Self {
        Attack { longest_wait, ..self }
    }

    pub const fn cores(self, cores: f64) -> Self {
        Attack { cores, ..self }
    }

    pub const fn descriptors(self, most: u32) -> Self {
        Attack { descriptors: Some(most), newcomers: false, ..self }
    }

    pub const fn clustered(self) -> Self {
        Attack { clustered: true, ..self }
    }

    pub const fn waits(self) -> Self {
        Attack { waits: true, ..self }
    }

    /// Runs the attack.
    pub fn run(&self) -> Ended<'_> {
        let mut target = Target::start(self);
        let address = target.address;
        let server = Process(target.program.id());
        let other = target.other.as_ref().map_or(address, |node| node.address);
        let mut bystanders = Bystanders::open(address, other, self.newcomers);
        let before = bystanders.talk(|round| round == ROUNDS_BEFORE);
        let done = AtomicBool::new(false);
        let began = Instant::now();
        let mut failures = Vec::new();
        let (attack, service, time, in_time) = thread::scope(|scope| {
            let service = scope.spawn(|| bystanders.talk(|_| done.load(Ordering::SeqCst)));
            let (ended, end) = channel::<()>();
            let watch = scope.spawn(move || {
                let in_time = end.recv_timeout(LONGEST_ATTACK) != Err(RecvTimeoutError::Timeout);
                if !in_time {
                    let _ = Command::new("kill").args(["-KILL", &server.0.to_string()]).status();
                }
                in_time
            });
            let attack = catch_unwind(AssertUnwindSafe(|| (self.run)(&mut target)));
            let time = began.elapsed();
            done.store(true, Ordering::SeqCst);
            let service = service.join();
            drop(ended);
            (attack, service, time, watch.join().unwrap_or(false))
        });
        failures.extend(attack.err().map(said));
        let service = service.map_err(|panic| failures.push(format!("a bystander: {}", said(panic))));
        let longest = service.unwrap_or_default();
        if !in_time {
            failures.push(format!("killed: the attack took longer than {LONGEST_ATTACK:?}"));
        }
        let cpu = server.cpu().unwrap_or_default();
        let longest_wait = self.longest_wait.max(SLOWER * before);
        Ended { attack: self, _bystanders: bystanders, target, cpu, time, longest, longest_wait, failures }
    }
}

/// An attack that has ended, and its server.
pub struct Ended<'a> {
    attack: &'a Attack,
    target: Target,
    /// They stay connected until the memory is measured.
    _bystanders: Bystanders,
    cpu: Duration,
    time: Duration,
    longest: Duration,
    longest_wait: Duration,
    failures: Vec<String>,
}

impl<'a> Ended<'a> {
    /// Waits until the server has returned its memory, and returns the outcome.
    pub fn settle(self) -> Row<'a> {
        let Ended { attack, cpu, time, longest, longest_wait, mut failures, .. } = self;
        let server = Process(self.target.program.id());
        let peak = mib(server.peak_resident());
        let left = settled(server);
        let mut bound = |what: &str, is: u64, most: u64| {
            if is > most {
                failures.push(format!("{what}: {is}, at most {most}"));
            }
        };
        bound("peak MiB", peak, attack.peak_mib);
        bound("MiB left", left, LEFT_MIB);
        bound("ms of the longest wait", millis(longest), millis(longest_wait));
        let cores = cpu.as_secs_f64() / time.as_secs_f64();
        if cores > attack.cores {
            failures.push(format!("cores: {cores:.2}, at most {}", attack.cores));
        }
        if server.cpu().is_err() {
            failures.push("the server has ended".to_owned());
        }
        Row { attack, peak, left, cpu, time, longest, failures }
    }
}

/// The outcome of an attack.
pub struct Row<'a> {
    attack: &'a Attack,
    peak: u64,
    left: u64,
    cpu: Duration,
    time: Duration,
    longest: Duration,
    pub failures: Vec<String>,
}

impl Row<'_> {
    pub const HEAD: &'static str =
        "attack                                  peak MiB   left    CPU s  time s   wait ms";

    pub fn name(&self) -> &'static str {
        self.attack.name
    }

    pub fn print(&self) {
        let Row { attack, peak, left, cpu, time, longest, failures } = self;
        let cpu = cpu.as_secs_f64();
        let time = time.as_secs_f64();
        let wait = millis(*longest);
        let verdict = if failures.is_empty() { "held" } else { "BROKE" };
        println!(
            "{:<38} {peak:>5} ({:>3}) {left:>6} {cpu:>8.1} {time:>7.1} {wait:>9}  {verdict}",
            attack.name, attack.peak_mib
        );
        if !failures.is_empty() {
            println!("    sent: {}", attack.sends);
        }
        for failure in failures {
            println!("    {failure}");
        }
    }
}

/// The server under attack, behind a proxy that tells the addresses of clients.
pub struct Target {
    pub program: Program,
    pub address: SocketAddr,
    /// The operator's API.
    pub api: Api,
    /// A directory for the attack.
    pub directory: Directory,
    /// Another node of the same cluster, which is not attacked.
    other: Option<Program>,
    _redis: Option<RedisServer>,
}

/// The admin token of the API.
pub const ADMIN_TOKEN: &str = "the-admin-token-of-the-target";

impl Target {
    fn start(attack: &Attack) -> Self {
        let directory = Directory::new();
        let redis = attack.clustered.then(RedisServer::start);
        let url = redis.as_ref().map(RedisServer::url_of_user);
        let cluster: Vec<&str> = url.iter().flat_map(|url| ["--redis", url]).collect();
        let data = directory.arg("data");
        let ours = ["--host", "127.0.0.1", "--port", "0", "--proxied", "--data_dir", &data];
        let api = ["--ops_port", "0", "--admin_token", ADMIN_TOKEN];
        let args = [&ours[..], &api, &cluster, attack.flags].concat();
        let mut command = program::command(&args);
        if let Some(most) = attack.descriptors {
            let program = command.get_program().to_owned();
            command = Command::new("sh");
            command.args(["-c", &format!("ulimit -n {most}; exec \"$0\" \"$@\"")]).arg(program).args(&args);
        }
        let mut program = Program::start_command(&mut command);
        let (api, _) = program.expect_api();
        let address = program.address;
        let other = redis.is_some().then(|| {
            let node =
                Program::start_with_env(&[&["--proxied"], &cluster[..]].concat(), &[("RUST_LOG", "info")]);
            node.expect_log(" joined (");
            node
        });
        Target { program, address, api: api.with_token(ADMIN_TOKEN), directory, other, _redis: redis }
    }

    /// Waits until every worker has handled the input of earlier connections: the workers get new
    /// connections in turn.
    pub fn settle(&self) {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..2 * workers {
            assert_eq!(self.program.get("/healthz").status, 200);
        }
    }

    pub fn connect(&self) -> TcpStream {
        http_client::connect(self.address)
    }

    /// A client whose handshake is accepted, with an address from the proxy.
    pub fn accepted(&self, from: &str, id: &str, token: &str) -> RawClient {
        accepted(self.connect(), from, id, token)
    }

    /// Waits until a metric has a value.
    pub fn expect_metric(&self, name: &str, value: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let wanted = format!("{name} {value}");
        while !String::from_utf8_lossy(&self.api.get("/metrics").response.body)
            .lines()
            .any(|line| line == wanted)
        {
            assert!(Instant::now() < deadline, "not {wanted}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// A registered client.
    pub fn client(&self, from: &str, id: &str, token: &str) -> RawClient {
        let mut client = self.accepted(from, id, token);
        client.expect_open();
        client
    }
}

/// Opens a WebSocket over a connection.
pub fn accepted(stream: TcpStream, from: &str, id: &str, token: &str) -> RawClient {
    let mut client = RawClient::over(stream, id);
    client.send_raw(handshake(from, id, token));
    client.expect_accepted();
    client
}

/// The handshake of a client, with an address from the proxy.
pub fn handshake(from: &str, id: &str, token: &str) -> String {
    with_address(&RawClient::handshake(&format!("/peerjs?key=peerjs&id={id}&token={token}")), from)
}

/// A handshake with an address from the proxy.
pub fn with_address(handshake: &str, from: &str) -> String {
    handshake.replacen("\r\n\r\n", &format!("\r\nX-Forwarded-For: {from}\r\n\r\n"), 1)
}

/// Resident memory once it is within its limit, or after the timeout.
fn settled(server: Process) -> u64 {
    let deadline = Instant::now() + SETTLE;
    loop {
        let resident = mib(server.resident());
        if resident <= LEFT_MIB || resident > HOPELESS_MIB || Instant::now() > deadline {
            return resident;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn mib(bytes: anyhow::Result<u64>) -> u64 {
    bytes.unwrap_or_default() >> 20
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The message of a panic.
fn said(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}
