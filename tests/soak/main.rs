//! Hours of ordinary life on the release binary: clients that come and go, floods, takeovers, slow readers,
//! keys, calls, reloads.
//!
//! `make soak ARGS='--minutes N'` runs it. Every scene checks that each message was delivered or expired
//! once. Between two rounds all clients leave, and then memory, descriptors and threads must be what they
//! were.

mod fate;
mod scenes;

use testkit::{
    api, directory, http_client, messages, process, program, raw_client, relay_client, turn_client, wire,
};

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use api::Api;
use directory::Directory;
use process::Process;
use program::{Program, command};
use turn_client::{SECRET, turn_of};

/// Time between two rests.
const ROUND: Duration = Duration::from_secs(25);
/// Longest time until a server without clients has closed all their descriptors.
const SETTLE: Duration = Duration::from_secs(20);
/// Rounds in which threads, pools and tables reach their size.
const WARM_UP: usize = 2;
/// Resident memory at rest may be this much above that after the warm-up: a few arenas of the allocator that
/// it keeps.
const GROWTH_MIB: f64 = 8.0;
/// Threads at rest beyond those after the warm-up: a pool for blocking work ends its idle ones after ten
/// seconds.
const POOL: usize = 8;

/// The server, and all that happened.
pub struct Stage {
    pub address: SocketAddr,
    pub turn: SocketAddr,
    pub api: Api,
    program: Mutex<Program>,
    directory: Directory,
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

impl Stage {
    fn start() -> Self {
        let directory = Directory::new();
        let file = directory.file("soak.toml", &configuration(&directory, "*"));
        let mut program = Program::start_command(&mut command(&["--config", &file]));
        let (api, _) = program.expect_api();
        let address = program.address;
        let turn = turn_of(&program);
        Stage { address, turn, api, program: Mutex::new(program), directory, counts: Mutex::default() }
    }

    /// Replaces the configuration file at once, as editors do it.
    pub fn configure(&self, origin: &str) {
        let new = self.directory.file("new.toml", &configuration(&self.directory, origin));
        fs::rename(new, self.directory.at("soak.toml")).expect("another configuration");
        self.program.lock().expect("no scene panics here").signal("-HUP");
    }

    pub fn count(&self, what: &'static str, times: usize) {
        *self.counts.lock().expect("no scene panics here").entry(what).or_default() += times as u64;
    }

    /// Plays all scenes at once, each again and again. Returns what they found wrong.
    fn play(&self, deadline: Instant) -> Vec<String> {
        thread::scope(|scope| {
            let playing: Vec<_> = scenes::ALL
                .iter()
                .map(|(name, scene)| {
                    let again = || {
                        while Instant::now() < deadline {
                            scene(self);
                            self.count(name, 1);
                        }
                    };
                    (name, scope.spawn(again))
                })
                .collect();
            let ended = playing.into_iter().map(|(name, scene)| (name, scene.join()));
            ended.filter(|(_, end)| end.is_err()).map(|(name, _)| format!("{name} broke")).collect()
        })
    }

    /// Waits until the server has noticed that all clients are gone.
    fn rest(&self, descriptors: Option<usize>) -> Result<Rest, String> {
        let server = Process(self.program.lock().expect("no scene panics here").id());
        let deadline = Instant::now() + SETTLE;
        loop {
            let stats = self.api.get("/api/stats").json;
            let rest = Rest::of(server);
            let is_idle = ["clients", "queued_messages", "outbox_bytes"].iter().all(|name| stats[name] == 0)
                && stats["turn"]["allocations"] == 0
                && descriptors.is_none_or(|before| rest.descriptors <= before);
            if is_idle {
                // The allocator returns memory over ten seconds.
                thread::sleep(Duration::from_secs(5));
                return Ok(Rest::of(server));
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "not at rest: {} descriptors, at most {descriptors:?}; {stats}",
                    rest.descriptors
                ));
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

fn configuration(directory: &Directory, origin: &str) -> String {
    let data = directory.arg("data");
    format!(
        "host = '127.0.0.1'\nport = 0\nops_port = 0\nquiet = true\ndata_dir = '{data}'\nexpire_timeout = 1000\n\
         messages_per_second = 500\ncors = ['{origin}']\nrelay = '127.0.0.1:0'\nrelay_private = true\n\
         turn = '127.0.0.1:0'\nturn_secret = '{SECRET}'\n"
    )
}

/// The server without clients.
#[derive(Clone, Copy)]
struct Rest {
    mib: f64,
    descriptors: usize,
    threads: usize,
}

impl Rest {
    fn of(server: Process) -> Self {
        let entries =
            |name: &str| fs::read_dir(format!("/proc/{}/{name}", server.0)).map_or(0, Iterator::count);
        let resident = server.resident().expect("the server runs");
        Rest {
            mib: resident as f64 / f64::from(1 << 20),
            descriptors: entries("fd"),
            threads: entries("task"),
        }
    }
}

/// Plays rounds until the time is over. All that went wrong.
fn soak(stage: &Stage, time: Duration) -> Vec<String> {
    let begun = Instant::now();
    let mut rests: Vec<Rest> = Vec::new();
    let mut failures = Vec::new();
    println!("minute  MiB at rest  descriptors  threads  messages");
    while failures.is_empty() && (begun.elapsed() < time || rests.len() <= WARM_UP) {
        failures = stage.play(Instant::now() + ROUND);
        let before = rests.get(WARM_UP - 1);
        let rest = match stage.rest(before.map(|before| before.descriptors)) {
            Ok(rest) => rest,
            Err(failure) => {
                failures.push(failure);
                break;
            }
        };
        let messages = stage.counts.lock().expect("no scene panics here").get("messages").copied();
        println!(
            "{:>6.1} {:>12.1} {:>12} {:>8} {:>9}",
            begun.elapsed().as_secs_f64() / 60.0,
            rest.mib,
            rest.descriptors,
            rest.threads,
            messages.unwrap_or_default()
        );
        if let Some(before) = before {
            if rest.mib > before.mib + GROWTH_MIB {
                failures.push(format!("memory grows: {:.1} MiB, {:.1} before", rest.mib, before.mib));
            }
            if rest.threads > before.threads + POOL {
                failures.push(format!("threads: {}, {} before", rest.threads, before.threads));
            }
        }
        rests.push(rest);
    }
    failures
}

fn main() -> ExitCode {
    // nextest asks for the tests of each binary, and gets none: this runs for minutes.
    if std::env::args().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let mut arguments = std::env::args().skip(1);
    let minutes = match (arguments.next().as_deref(), arguments.next()) {
        (Some("--minutes"), Some(minutes)) => minutes.parse().expect("a number of minutes"),
        _ => {
            println!("skipped: make soak ARGS='--minutes N'");
            return ExitCode::SUCCESS;
        }
    };
    let stage = Stage::start();
    let failures = soak(&stage, Duration::from_secs(60) * minutes);
    let counts = stage.counts.into_inner().expect("no scene panics here");
    for (what, count) in &counts {
        println!("{count:>10} {what}");
    }
    for failure in &failures {
        println!("BROKE: {failure}");
    }
    let never: Vec<_> = scenes::OUTCOMES.iter().filter(|what| !counts.contains_key(*what)).collect();
    println!("never seen: {never:?}");
    if failures.is_empty() && never.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
