//! Reads regular files that operators name, up to a size, and creates private ones. A path may lead to an
//! endless device, or to a pipe, whose writer may never come. A byte order mark in front of a file is
//! skipped.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::SystemTime;

pub use crate::bounded_read::FileError;
use crate::bounded_read::read_all;

/// Identifies the version of a file, also if a link leads to another file now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    modified: Option<SystemTime>,
    /// The time of the last change of anything, which no program sets: a copy may keep the size and the other
    /// time.
    changed: (i64, i64),
    len: u64,
    identity: (u64, u64),
}

impl Stamp {
    /// The stamp of a file; `None` if it does not exist. Take it before reading, so that a write during the
    /// read counts as another change.
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Stamp {
            modified: metadata.modified().ok(),
            changed: crate::changed(&metadata),
            len: metadata.len(),
            identity: crate::identity(&metadata),
        })
    }
}

/// Opens a regular file. It never waits, not even for a pipe, so the path may come from the API.
pub fn open_regular(path: &Path) -> Result<File, FileError> {
    let file = crate::open_at_once(path).map_err(|error| match fs::metadata(path) {
        // A socket cannot be opened.
        Ok(found) if !found.is_file() => FileError::NotRegular,
        _ => error.into(),
    })?;
    // Checks the opened file: the path could lead to another one by now.
    if file.metadata()?.is_file() { Ok(file) } else { Err(FileError::NotRegular) }
}

/// Reads a regular file of at most `max` bytes.
pub fn read_regular(path: &Path, max: u64) -> Result<Vec<u8>, FileError> {
    let file = open_regular(path)?;
    // Avoids reading a long file. Files in /proc report a size of 0, so the limit below is needed too.
    if file.metadata()?.len() > max {
        return Err(FileError::TooLong(max));
    }
    read_all(file, max)
}

/// Reads a file of at most `max` bytes that the user of this program chose: a regular file, or a pipe that
/// the program was started with. With `<(…)`, a shell keeps a secret out of the file system.
pub fn read(path: &Path, max: u64) -> Result<Vec<u8>, FileError> {
    if crate::is_inherited(path) { read_all(File::open(path)?, max) } else { read_regular(path, max) }
}

/// Reads a text file like [`read`].
pub fn read_text(path: &Path, max: u64) -> Result<String, FileError> {
    String::from_utf8(read(path, max)?).map_err(|_| FileError::NotText)
}

/// Reads text of at most `max` bytes from stdin, also if it is a socket, which has no path.
pub fn read_stdin(max: u64) -> Result<String, FileError> {
    String::from_utf8(read_all(io::stdin().lock(), max)?).map_err(|_| FileError::NotText)
}

/// Options to create a file that only its owner can read. It must not exist. On Windows, its directory
/// decides who can.
pub fn new_private() -> OpenOptions {
    let mut options = crate::private_file();
    options.write(true).create_new(true);
    options
}

/// A builder of directories that only their owner can enter. On Windows, the directory above decides who can.
pub fn private_dir() -> DirBuilder {
    crate::private_dir()
}

/// Keeps the names in a directory over a power cut.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    crate::sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_device_is_read_only_up_to_the_limit() {
        let zero = Path::new("/dev/zero");
        assert!(matches!(read_regular(zero, 10), Err(FileError::NotRegular)));
        let inherited = File::open(zero).unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&inherited));
        assert!(matches!(read(Path::new(&path), 10), Err(FileError::TooLong(10))));
    }

    #[test]
    fn only_regular_files_are_opened_and_nothing_waits_for_the_writer_of_a_pipe() {
        let dir = testkit::directory::Directory::new();
        let pipe = dir.at("pipe");
        let socket = dir.at("socket");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [&*pipe, &*socket, Path::new("/dev/zero"), Path::new("/")] {
            for read in [read, read_regular] {
                assert!(matches!(read(path, 10), Err(FileError::NotRegular)), "{path:?}");
            }
        }
        assert!(matches!(open_regular(&dir.at("missing")), Err(FileError::System(_))));
    }

    #[test]
    fn a_file_may_have_exactly_as_many_bytes_as_the_limit() {
        let path = std::env::temp_dir().join(format!("peerbroker-files-{}", std::process::id()));
        std::fs::write(&path, "four").unwrap();
        for read in [read, read_regular] {
            assert_eq!(read(&path, 4).unwrap(), b"four");
            assert!(matches!(read(&path, 3), Err(FileError::TooLong(3))));
        }
        std::fs::write(&path, b"\xff").unwrap();
        assert!(matches!(read_text(&path, 4), Err(FileError::NotText)));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(read_regular(&path, 4), Err(FileError::System(_))));
    }

    #[test]
    fn a_file_that_reports_no_size_is_read_only_up_to_the_limit() {
        let proc = Path::new("/proc/self/status");
        assert_eq!(std::fs::metadata(proc).unwrap().len(), 0);
        assert!(matches!(read_regular(proc, 10), Err(FileError::TooLong(10))));
    }
}
