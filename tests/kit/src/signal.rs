//! Signals to processes.

use std::fs;
use std::process::Command;

use crate::wait::wait_until;

/// Sends a signal, named as `kill` names it: `-TERM`. A process that gets `-STOP` has stopped when this
/// returns.
pub fn send(name: &str, process: u32) {
    let killed = Command::new("kill").args([name, &process.to_string()]).status().expect("kill");
    assert!(killed.success(), "kill {name} {process}");
    if name == "-STOP" {
        // One thread takes the signal when it gets a processor. Until then, the others run on.
        wait_until("the process to stop", || has_stopped(process));
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
