//! Windows. It has no file modes: a file is as private as its directory.

use std::env;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::net::TcpListener;
use std::path::Path;

pub fn private_file() -> OpenOptions {
    OpenOptions::new()
}

pub fn private_dir() -> DirBuilder {
    DirBuilder::new()
}

pub fn open_at_once(path: &Path) -> io::Result<File> {
    File::open(path)
}

pub fn is_inherited(_: &Path) -> bool {
    false
}

/// Windows lets nobody remove or replace a file that SQLite has open. For others, time and length suffice.
pub fn identity(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

/// Its standard library does not tell.
pub fn changed(_: &Metadata) -> (i64, i64) {
    (0, 0)
}

pub fn may_write(path: &Path) -> io::Result<()> {
    let is_read_only = fs::metadata(path)?.permissions().readonly();
    if is_read_only { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(()) }
}

/// Only the attempt would show it.
pub fn may_create_in(_: &Path) -> io::Result<()> {
    Ok(())
}

/// SQLite says so itself, or not at all.
pub fn is_full(_: &Path) -> bool {
    false
}

pub fn is_read_only(_: &Path) -> bool {
    false
}

pub fn give_to_owner(_: &Path, _: &Path) -> io::Result<()> {
    Ok(())
}

/// NTFS keeps names in its journal.
pub fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Streams (`a.txt::$DATA`), short names (`ENV~1`), and dots and spaces at the end lead to files of other
/// names, also to hidden ones.
pub fn is_plain_name(name: &str) -> bool {
    !name.contains([':', '~']) && !name.ends_with(['.', ' '])
}

pub fn inherited_sockets() -> Option<Vec<io::Result<TcpListener>>> {
    env::var_os("LISTEN_FDS").is_none().then(Vec::new)
}

/// Programs inherit no sockets.
pub fn is_connected(_: &TcpListener) -> bool {
    false
}

/// Programs inherit no sockets.
pub fn has_connections(_: &TcpListener) -> bool {
    false
}
