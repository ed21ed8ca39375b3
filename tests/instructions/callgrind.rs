//! The program under callgrind, and the counts in its dumps.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use testkit::program::{self, Program};
use testkit::tools::scratch;
use testkit::wait::wait_until;

/// The functions by which jemalloc gives memory.
const ALLOCATORS: [&str; 5] =
    ["_rjem_malloc", "_rjem_calloc", "_rjem_mallocx", "_rjem_realloc", "_rjem_rallocx"];

/// The cost of one operation in user space.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Cost {
    pub instructions: f64,
    pub allocations: f64,
}

/// A program under callgrind, with one worker. The drop ends it.
pub struct Callgrind {
    pub program: Program,
    files: PathBuf,
    dumps: usize,
}

impl Callgrind {
    pub fn start(args: &[&str]) -> Self {
        let files = scratch().join(format!("callgrind-{}", std::process::id()));
        let _ = fs::remove_dir_all(&files);
        fs::create_dir_all(&files).expect("a directory");
        // On one processor, so that a port has one thread: with more, the kernel chooses the one for a
        // client, and the relay's timer is on one of them.
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &a_processor(), "valgrind"]);
        // A file for each thread, so that timers of other threads do not count.
        command.args(["--tool=callgrind", "--separate-threads=yes"]);
        command.arg(format!("--callgrind-out-file={}/out", files.display()));
        command.arg(program::path()).args(["--host", "127.0.0.1", "--port", "0", "--workers", "1"]);
        // A busy machine takes longer than the usual interval of pings.
        // Clients answer no ping, and are not silent for that long.
        command.args(["--messages_per_second", "1000000", "--alive_timeout", "1800000"]).args(args);
        Callgrind { program: Program::start_command(&mut command), files, dumps: 0 }
    }

    /// Does `operation` this often in each of ten rounds, and returns the cost of each in the cheapest: the
    /// others have timers among them, which go by the clock.
    pub fn count(&mut self, times: u32, mut operation: impl FnMut(&Program)) -> Cost {
        let mut round = |callgrind: &mut Self| {
            (0..times).for_each(|_| operation(&callgrind.program));
            callgrind.dump()
        };
        // The first warms up.
        round(self);
        let mut rounds: Vec<Counts> = (0..10).map(|_| round(self)).collect();
        rounds.sort_by_key(|counts| counts.instructions);
        let dearest = rounds.last().map_or(0, |counts| counts.instructions);
        // Between two sweeps, nothing but timers runs.
        let cheapest = rounds.into_iter().find(|counts| 4 * counts.instructions >= dearest);
        let Counts { instructions, allocations } = cheapest.expect("the dearest one at least");
        let each = |count: u64| (10.0 * count as f64 / f64::from(times)).round() / 10.0;
        Cost { instructions: each(instructions), allocations: each(allocations) }
    }

    /// The instructions of an operation, by the mean of so many.
    pub fn count_once(&mut self, times: u32, mut operation: impl FnMut(&Program)) -> f64 {
        (0..times).for_each(|_| operation(&self.program));
        self.dump().instructions as f64 / f64::from(times)
    }

    /// Forgets what was counted since the last dump.
    pub fn forget(&mut self) {
        self.dump();
    }

    /// The counts of the busiest thread since the last dump.
    fn dump(&mut self) -> Counts {
        let told = Command::new("vgdb")
            .arg(format!("--pid={}", self.program.id()))
            .arg("dump")
            .stderr(Stdio::null())
            .output()
            .expect("vgdb, which comes with valgrind");
        assert!(told.status.success(), "{told:?}");
        self.dumps += 1;
        let prefix = format!("out.{}-", self.dumps);
        let files = fs::read_dir(&self.files).expect("the dumps").map(|file| file.expect("a file"));
        files
            .filter(|file| file.file_name().to_string_lossy().starts_with(&prefix))
            .map(|file| Counts::read(&fs::read_to_string(file.path()).expect("a dump")))
            .max_by_key(|counts| counts.instructions)
            .expect("a thread")
    }
}

/// Waits until all threads of the program are asleep. Otherwise the load of the machine decides whether a
/// thread finds the next datagram before it sleeps, which costs a fifth less.
pub fn wait_until_asleep(program: &Program) {
    wait_until("all threads are asleep", || is_asleep(program.id()));
}

/// True if each thread waits in a system call of the program: one that waits for valgrind's lock reads from a
/// pipe.
fn is_asleep(process: u32) -> bool {
    const READ: &str = "0";
    let mut threads = fs::read_dir(format!("/proc/{process}/task")).expect("the threads of the program");
    threads.all(|thread| {
        let file = thread.expect("a thread").path().join("syscall");
        let call = fs::read_to_string(file).expect("the system call of a thread");
        !matches!(call.split_whitespace().next(), None | Some("running" | READ))
    })
}

/// The number of the first processor on which this process may run.
fn a_processor() -> String {
    let status = fs::read_to_string("/proc/self/status").expect("the status of a process");
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("a list");
    list.trim().split(['-', ',']).next().expect("a number").to_owned()
}

impl Drop for Callgrind {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.files);
    }
}

struct Counts {
    instructions: u64,
    allocations: u64,
}

impl Counts {
    /// Reads a dump ("Callgrind Format Specification", the manual of valgrind). A name stands there once, as
    /// `(7) name`, and is `(7)` from then on.
    fn read(dump: &str) -> Self {
        let mut names: HashMap<&str, &str> = HashMap::new();
        let mut counts = Counts { instructions: 0, allocations: 0 };
        let mut called = "";
        for line in dump.lines() {
            let (key, value) = line.split_once('=').unwrap_or_default();
            match key {
                "fn" | "cfn" => {
                    let (number, name) = value.split_once(' ').unwrap_or((value, ""));
                    if !name.is_empty() {
                        names.insert(number, name);
                    }
                    if key == "cfn" {
                        called = names.get(number).copied().unwrap_or_default();
                    }
                }
                "calls" if ALLOCATORS.contains(&called) => {
                    let times = value.split(' ').next().and_then(|times| times.parse::<u64>().ok());
                    counts.allocations += times.expect("a number of calls");
                }
                _ => {
                    if let Some(total) = line.strip_prefix("totals: ") {
                        counts.instructions = total.trim().parse().expect("a total");
                    }
                }
            }
        }
        counts
    }
}
