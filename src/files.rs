//! Files that people name, read within bounds. A path may lead to a device without an end, or to a pipe.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system says so.
    #[error(transparent)]
    System(#[from] io::Error),
    /// It is a directory, a device or a pipe.
    #[error("it is not a regular file")]
    NotRegular,
    /// It is longer than this.
    #[error("it has more than {0} bytes")]
    TooLong(u64),
    /// It is no text.
    #[error("it is not UTF-8 text")]
    NotText,
}

/// Reads a regular file of at most `max` bytes. It answers at once, whatever the path names, so it can be called
/// for a path that somebody else chose.
pub fn read_regular(path: &Path, max: u64) -> Result<Vec<u8>, FileError> {
    // Without O_NONBLOCK, opening a pipe waits for its writer. For regular files it means nothing.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    // Asks the opened file: the path could name another one by now.
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(FileError::NotRegular);
    }
    // Spares reading a long one. Files of /proc say that they have no bytes, so this alone proves nothing.
    if metadata.len() > max {
        return Err(FileError::TooLong(max));
    }
    read_all(file, max)
}

/// Reads at most `max` bytes of a file that the caller's own user chose. It may be a pipe, and is waited for: a
/// shell's `<(…)` keeps a secret out of the file system.
pub fn read(path: &Path, max: u64) -> Result<Vec<u8>, FileError> {
    read_all(File::open(path)?, max)
}

/// [`read`], for a text.
pub fn read_text(path: &Path, max: u64) -> Result<String, FileError> {
    String::from_utf8(read(path, max)?).map_err(|_| FileError::NotText)
}

fn read_all(file: File, max: u64) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    file.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max { Err(FileError::TooLong(max)) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_an_end_is_read_to_the_bound_at_most() {
        let zero = Path::new("/dev/zero");
        assert!(matches!(read(zero, 10), Err(FileError::TooLong(10))));
        assert!(matches!(read_regular(zero, 10), Err(FileError::NotRegular)));
    }

    #[test]
    fn a_file_may_have_exactly_as_many_bytes_as_the_bound() {
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
    fn a_file_that_says_it_is_empty_is_read_within_the_bound() {
        let proc = Path::new("/proc/self/status");
        assert_eq!(std::fs::metadata(proc).unwrap().len(), 0);
        assert!(matches!(read_regular(proc, 10), Err(FileError::TooLong(10))));
    }
}
