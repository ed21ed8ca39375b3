//! The Unix socket at which a reverse proxy on the same machine finds the server.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::error::StartError;

/// All users of the machine may connect, as to a port of it. The directory can keep them out.
const MODE: u32 = 0o666;

/// The end of the name of a socket that is not published.
const SUFFIX: &[u8] = b".new";

/// Most bytes of the path of a socket: 103 on BSD and macOS, 107 on Linux.
const MAX_BYTES: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// A Unix socket that is bound and has not its name yet.
pub(super) struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    /// The name of the socket until it is [published](Self::publish).
    unpublished: PathBuf,
}

/// The name of a Unix socket that serves.
pub(super) struct SocketName {
    path: PathBuf,
    inode: Option<u64>,
}

impl UnixSocket {
    /// Checks a path without a change. With `is_shared`, another server may listen there.
    pub(super) fn check(path: &Path, is_shared: bool) -> Result<(), StartError> {
        let error = |error| StartError::UnixSocket { path: path.to_owned(), error };
        match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => Err(StartError::NoSocket(path.to_owned())),
            Ok(_) if !is_shared && UnixStream::connect(path).is_ok() => {
                Err(StartError::UnixSocketInUse(path.to_owned()))
            }
            Ok(_) => Ok(()),
            Err(missing) if missing.kind() == ErrorKind::NotFound => {
                let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
                dir.map_or(Ok(()), |dir| fs::read_dir(dir).map(drop).map_err(error))
            }
            Err(other) => Err(error(other)),
        }
    }

    /// Binds it under a name of its own, so that a server that still has `path` keeps it until this one
    /// serves.
    pub(super) fn bind(path: &Path, is_shared: bool) -> Result<Self, StartError> {
        Self::check(path, is_shared)?;
        let unpublished = unpublished(path);
        let open = || {
            match fs::remove_file(&unpublished) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = UnixListener::bind(&unpublished)?;
            listener.set_nonblocking(true)?;
            fs::set_permissions(&unpublished, Permissions::from_mode(MODE))?;
            Ok(listener)
        };
        let listener = open().map_err(|error| StartError::UnixSocket { path: path.to_owned(), error })?;
        Ok(UnixSocket { listener, path: path.to_owned(), unpublished })
    }

    /// Gives it its name. Clients that connect from now on find this server.
    pub(super) fn publish(self) -> io::Result<(UnixListener, SocketName)> {
        fs::rename(&self.unpublished, &self.path)?;
        let name = SocketName { inode: inode(&self.path), path: self.path };
        Ok((self.listener, name))
    }
}

/// The name of a socket that is not published: behind a long path there is no room for more (`sockaddr_un`),
/// so its last letter differs.
fn unpublished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().as_bytes().to_owned();
    if name.len() + SUFFIX.len() <= MAX_BYTES {
        name.extend(SUFFIX);
    } else if let Some(last) = name.last_mut() {
        *last = if *last == b'~' { b'-' } else { b'~' };
    }
    OsString::from_vec(name).into()
}

impl SocketName {
    /// Removes the name, unless the next server has it.
    pub(super) fn remove(&self) {
        if self.inode.is_some() && inode(&self.path) == self.inode {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> Option<u64> {
    Some(fs::symlink_metadata(path).ok()?.ino())
}
