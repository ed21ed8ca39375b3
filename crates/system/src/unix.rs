//! Unix.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::Path;

use listenfd::ListenFd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, StatVfsMountFlags};
use socket2::SockRef;

/// A file that only its owner can read, if this creates it.
pub fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// A directory that only its owner can enter, if this creates it.
pub fn private_dir() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

/// Opens a file for reading. It does not wait for the writer of a pipe.
pub fn open_at_once(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

/// True for the paths of what the process was started with, such as a shell's `<(…)`.
pub fn is_inherited(path: &Path) -> bool {
    ["/dev/fd", "/dev/stdin", "/proc/self/fd"].iter().any(|place| path.starts_with(place))
}

/// Identifies a file beyond its path: device number and inode number.
pub fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// The time of the last change of a file's content or its properties: seconds, and nanoseconds.
pub fn changed(found: &Metadata) -> (i64, i64) {
    (found.ctime(), found.ctime_nsec())
}

/// Fails if this user may not read and write a file.
pub fn may_write(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::access(path, Access::READ_OK | Access::WRITE_OK)?)
}

/// Fails if this user may not create files in a directory.
pub fn may_create_in(dir: &Path) -> io::Result<()> {
    Ok(rustix::fs::access(dir, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// True if a directory has hardly any space for files: less than SQLite needs for one change.
pub fn is_full(dir: &Path) -> bool {
    const NEEDED: u64 = 64 << 10;
    rustix::fs::statvfs(dir).is_ok_and(|found| {
        let has_no_names = found.f_files > 0 && found.f_favail == 0;
        has_no_names || found.f_bavail.saturating_mul(found.f_frsize) < NEEDED
    })
}

/// True if the file system of a directory is mounted read-only.
pub fn is_read_only(dir: &Path) -> bool {
    rustix::fs::statvfs(dir).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Gives a file that root has created to the owner of its directory, who runs the server. SQLite does the
/// same with its other files.
pub fn give_to_owner(dir: &Path, path: &Path) -> io::Result<()> {
    let owner = fs::metadata(dir)?;
    let file = fs::metadata(path)?;
    if file.uid() != 0 || owner.uid() == 0 {
        return Ok(());
    }
    chown(path, Some(owner.uid()), Some(owner.gid()))
}

/// Keeps the names in a directory over a power cut.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// True if a name in a URL can mean only the file of this name.
pub fn is_plain_name(_: &str) -> bool {
    true
}

/// Takes the sockets that `LISTEN_FDS` describes. `None` if this system has no such sockets, but the variable
/// is set.
pub fn inherited_sockets() -> Option<Vec<io::Result<TcpListener>>> {
    let mut given = ListenFd::from_env();
    let count = given.len();
    let mut take = |index| {
        let taken = given.take_tcp_listener(index);
        taken.map_err(|error| match (given.take_unix_listener(index), given.take_udp_socket(index)) {
            (Ok(Some(_)), _) => {
                io::Error::other("it is a Unix socket: write a TCP port, as in ListenStream=9000")
            }
            (_, Ok(Some(_))) => {
                io::Error::other("it takes datagrams: write ListenStream= in place of ListenDatagram=")
            }
            _ => error,
        })
    };
    Some((0..count).filter_map(|index| take(index).transpose()).collect())
}

/// True if a socket has a peer, so it cannot listen.
pub fn is_connected(socket: &TcpListener) -> bool {
    SockRef::from(socket).peer_addr().is_ok()
}

/// True if a connection waits for [`TcpListener::accept`].
pub fn has_connections(socket: &TcpListener) -> bool {
    poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}
