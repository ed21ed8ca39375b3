//! Resources of a process, as reported by the kernel.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// A running process, by its id.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub u32);

/// Memory of the kernel's objects: sockets, files, and their entries in epoll.
pub fn kernel_bytes() -> Result<u64> {
    field(&fs::read_to_string("/proc/meminfo")?, "Slab:").context("no Slab in /proc/meminfo")
}

/// A number of kilobytes, in bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

/// The unit of `/proc/PID/stat` (`USER_HZ`, proc(5)), which is 100 on all common architectures.
const TICK: Duration = Duration::from_millis(10);

impl Process {
    /// CPU time of all its living threads, in user mode and in the kernel. Precise to nanoseconds if
    /// the kernel has `schedstat`, otherwise to ticks of 10 ms.
    pub fn cpu(self) -> Result<Duration> {
        self.schedstat().map_or_else(|| self.stat(), Ok)
    }

    fn schedstat(self) -> Option<Duration> {
        // /proc/PID/schedstat covers only the main thread.
        let mut nanos = 0;
        for thread in fs::read_dir(self.path("task")).ok()? {
            let line = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            nanos += line.split(' ').next()?.parse::<u64>().ok()?;
        }
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    fn stat(self) -> Result<Duration> {
        let line = self.read("stat")?;
        // The name in brackets may contain anything; utime and stime are the 12th and 13th field after it.
        let fields =
            line.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()).context("a strange stat")?;
        let ticks = fields.skip(11).take(2).map(str::parse::<u32>).sum::<Result<u32, _>>()?;
        Ok(TICK * ticks)
    }

    /// Resident memory in bytes: exact if the kernel has `smaps_rollup`, otherwise its estimate.
    pub fn resident(self) -> Result<u64> {
        self.field("smaps_rollup", "Rss:").or_else(|_| self.field("status", "VmRSS:"))
    }

    /// Maximum resident memory since [`forget_peak`](Self::forget_peak).
    pub fn peak_resident(self) -> Result<u64> {
        self.field("status", "VmHWM:")
    }

    pub fn forget_peak(self) -> Result<()> {
        fs::write(self.path("clear_refs"), "5").context("cannot reset the peak of resident memory")
    }

    fn field(self, file: &str, name: &str) -> Result<u64> {
        field(&self.read(file)?, name).with_context(|| format!("no {name} in {file}"))
    }

    fn read(self, file: &str) -> Result<String> {
        fs::read_to_string(self.path(file)).with_context(|| format!("process {} is gone", self.0))
    }

    fn path(self, file: &str) -> String {
        format!("/proc/{}/{file}", self.0)
    }
}
