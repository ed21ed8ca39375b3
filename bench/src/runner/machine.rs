//! The machine, the time, and the versions of a run.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::Places;

/// Conditions of the run that affect the numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    pub date: String,
    pub cpu: String,
    pub cores: usize,
    pub memory_bytes: u64,
    pub kernel: String,
    /// The load average of the minute before the run.
    pub load_average: f64,
    /// Names and versions of the compared servers, and of their build tools.
    pub versions: Vec<(String, String)>,
}

impl Machine {
    pub(super) fn look(places: &Places) -> Result<Self> {
        let package = &places.package;
        let field = |file: &str, name: &str| {
            let text = fs::read_to_string(file).ok()?;
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        // This process may use only one of them.
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let memory = field("/proc/meminfo", "MemTotal").unwrap_or_default();
        let memory_kb = memory.split(' ').next().and_then(|kb| kb.parse::<u64>().ok()).unwrap_or_default();
        let load = fs::read_to_string("/proc/loadavg").context("no /proc/loadavg: this needs Linux")?;
        let rustc = output(package, "rustc", &["--version"]);
        let mut versions = vec![
            ("peerbroker".to_owned(), commit(package)),
            ("rustc".to_owned(), rustc.split(' ').nth(1).unwrap_or("unknown").to_owned()),
            ("node".to_owned(), output(package, "node", &["--version"])),
            ("peer".to_owned(), super::peer_version(package).unwrap_or_else(|| "not installed".to_owned())),
        ];
        let redis = output(package, &places.redis.to_string_lossy(), &["--version"]);
        let redis = redis.split_once("v=").and_then(|(_, rest)| rest.split(' ').next());
        versions.extend(redis.map(|version| ("redis".to_owned(), version.to_owned())));
        let lock = fs::read_to_string(package.join("Cargo.lock")).unwrap_or_default();
        for name in ["actix-web", "actix-http", "actix-ws", "tokio", "rustls"] {
            versions.extend(locked(&lock, name).map(|version| (name.to_owned(), version)));
        }
        Ok(Machine {
            date: output(package, "date", &["-u", "+%Y-%m-%d"]),
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: cpus.lines().filter(|line| line.starts_with("processor")).count(),
            memory_bytes: memory_kb << 10,
            kernel: output(package, "uname", &["-sr"]),
            load_average: load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default(),
            versions,
        })
    }
}

fn commit(package: &Path) -> String {
    let commit = output(package, "git", &["rev-parse", "--short", "HEAD"]);
    let changed = output(package, "git", &["status", "--porcelain", "--", "../src", "../Cargo.lock"]);
    if changed.is_empty() { commit } else { format!("{commit} with changes") }
}

fn locked(lock: &str, name: &str) -> Option<String> {
    let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// The output of a program; empty if it fails.
fn output(directory: &Path, program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(directory).output();
    output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
