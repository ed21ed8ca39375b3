//! Unix.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::parent_id;
use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The things that this build lacks, for `--help`.
pub const LACKS: Option<&str> = None;

/// The socket of the system's log: syslog(3). Containers have none.
pub const SYSLOG: &str = "/dev/log";

/// Longest time for which a log without a reader delays the caller.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// A variable of a service manager that this system cannot obey, with the reason.
pub fn unusable_variable() -> Option<String> {
    None
}

/// True for the first process of a machine or container, and for one that the first has started, as with
/// `docker run --init`.
pub fn is_main() -> bool {
    std::process::id() == 1 || parent_id() == 1
}

/// The signals that stop the server.
pub struct Stops {
    terminate: Signal,
    interrupt: Signal,
}

impl Stops {
    pub fn listen() -> io::Result<Self> {
        Ok(Stops { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next one.
    pub async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
        }
    }
}

/// The signal that asks for a reload. Until there is a handler, it ends the process.
pub struct Hangups(Signal);

impl Hangups {
    pub fn listen() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Hangups)
    }

    /// False if there will be no more.
    pub async fn next(&mut self) -> bool {
        self.0.recv().await.is_some()
    }
}

/// Raises the limit of open files to the highest that this user may have, and returns it.
pub fn raise_file_limit() -> io::Result<u64> {
    rlimit::increase_nofile_limit(u64::MAX)
}

/// The memory in bytes that this process may have: that of the machine, or what its control groups may have
/// (cgroups(7)). `root` is `/`.
pub fn memory(root: &Path) -> Option<u64> {
    let read = |path: &Path| fs::read_to_string(root.join(path)).ok();
    let groups = read(Path::new("proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().flat_map(|line| {
        // Its number, its controllers, its path. A group of the second version has no controllers there.
        let mut parts = line.splitn(3, ':').skip(1);
        let controllers = parts.next().unwrap_or_default();
        let path = parts.next().unwrap_or_default();
        let (dir, file) = match controllers.split(',').any(|controller| controller == "memory") {
            true => ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            false => ("sys/fs/cgroup", "memory.max"),
        };
        // In a container, the path may be that of the host: the directory itself has the limit then.
        let above = Path::new(path.trim_start_matches('/')).ancestors();
        let texts = above.filter_map(|group| read(&Path::new(dir).join(group).join(file)));
        texts.filter_map(|text| text.trim().parse().ok()).collect::<Vec<u64>>()
    });
    let machine = read(Path::new("proc/meminfo")).and_then(|text| {
        let kib: u64 = text
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))?
            .trim()
            .strip_suffix(" kB")?
            .parse()
            .ok()?;
        Some(kib << 10)
    });
    limits.chain(machine).min()
}

/// Writes a line to a socket of syslog.
pub fn write_syslog(socket: &Path, line: &[u8]) -> io::Result<()> {
    let from = UnixDatagram::unbound()?;
    from.set_write_timeout(Some(WRITE_TIMEOUT))?;
    from.send_to(line, socket).map(drop)
}

/// The user of this process.
pub fn user() -> Option<u32> {
    owner(Path::new("/proc/self"))
}

/// The owner of a file or of a directory.
pub fn owner(path: &Path) -> Option<u32> {
    fs::metadata(path).map(|found| found.uid()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_of_the_machine_and_of_groups_of_both_versions_counts() {
        const MIB: u64 = 1 << 20;
        for (files, memory) in [
            (&[][..], None),
            (&[("proc/meminfo", "MemFree: 1 kB\nMemTotal:  1048576 kB\n")], Some(1024 * MIB)),
            (
                &[("proc/self/cgroup", "0::/a.slice/b\n"), ("sys/fs/cgroup/a.slice/b/memory.max", "max\n")],
                None,
            ),
            (&[("sys/fs/cgroup/a.slice/memory.max", "268435456\n")], Some(256 * MIB)),
            // Of the host, as a container sees it.
            (
                &[
                    ("proc/self/cgroup", "5:cpu:/\n4:memory:/docker/1f\n"),
                    ("sys/fs/cgroup/memory/memory.limit_in_bytes", "134217728\n"),
                ],
                Some(128 * MIB),
            ),
        ] {
            let directory = testkit::directory::Directory::new();
            let all = [&[("proc/self/cgroup", "0::/a.slice/b\n")], files].concat();
            for (path, text) in all {
                let path = directory.at(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            assert_eq!(super::memory(&directory.at("")), memory, "{files:?}");
        }
    }
}
