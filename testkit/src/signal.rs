//! Signals to processes.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// Longest time until a process has stopped.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Sends a signal, named as `kill` names it: `-TERM`. A process that gets `-STOP` has stopped when this returns.
pub fn send(name: &str, process: u32) {
    let killed = Command::new("kill").args([name, &process.to_string()]).status().expect("kill");
    assert!(killed.success(), "kill {name} {process}");
    if name == "-STOP" {
        // One thread takes the signal when it gets a processor. Until then, the others run on.
        let deadline = Instant::now() + TIMEOUT;
        while !has_stopped(process) {
            assert!(Instant::now() < deadline, "process {process} does not stop");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn has_stopped(process: u32) -> bool {
    let is_stopped = |stat: String| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'));
    let mut threads = fs::read_dir(format!("/proc/{process}/task")).expect("a process");
    // A thread that has ended meanwhile has no state.
    threads.all(|thread| {
        let thread = thread.expect("a thread");
        fs::read_to_string(thread.path().join("stat")).map_or(true, is_stopped)
    })
}
