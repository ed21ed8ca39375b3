//! Reads whole files, up to a size.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// The mark with which editors on Windows begin files (RFC 3629, section 6). It is not part of the text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The reason why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// An error of the system.
    #[error(transparent)]
    System(#[from] io::Error),
    /// The path is a directory, a device or a pipe.
    #[error("it is not a regular file")]
    NotRegular,
    /// The file is longer than this many bytes.
    #[error("it has more than {0} bytes")]
    TooLong(u64),
    /// The file is not text.
    #[error("it is not UTF-8 text")]
    NotText,
}

/// Reads at most `max` bytes, without a byte order mark in front.
pub fn read_all(from: impl Read, max: u64) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    from.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(FileError::TooLong(max));
    }
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(bytes)
}

/// Reads a regular file. Checked before opening, which would wait for the writer of a pipe.
pub fn read_file(path: &Path, max: u64) -> Result<Vec<u8>, FileError> {
    if !fs::metadata(path)?.is_file() {
        return Err(FileError::NotRegular);
    }
    read_all(File::open(path)?, max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_in_front_is_skipped_and_counts() {
        for (file, text) in [
            (&b"\xef\xbb\xbftext"[..], &b"text"[..]),
            (b"\xef\xbb\xbf", b""),
            (b"\xef\xbb", b"\xef\xbb"),
            (b"a\xef\xbb\xbf", b"a\xef\xbb\xbf"),
            (b"\xef\xbb\xbf\xef\xbb\xbf", b"\xef\xbb\xbf"),
        ] {
            assert_eq!(read_all(file, file.len() as u64).unwrap(), text, "{file:?}");
            let less = file.len() as u64 - 1;
            assert!(matches!(read_all(file, less), Err(FileError::TooLong(max)) if max == less));
        }
    }
}
