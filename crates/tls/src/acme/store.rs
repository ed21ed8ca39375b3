//! Keeps the account and the certificate in a directory.

use std::cell::RefCell;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use instant_acme::AccountCredentials;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use peerbroker_system as system;
use peerbroker_system::files::{self, FileError};

const ACCOUNT: &str = "account.json";
/// The private key and the chain. They are one file, so that they always fit.
const CERTIFICATE: &str = "certificate.pem";
const LOCK: &str = "lock";

/// Most bytes of a file. A chain of certificates has a few KB.
const MAX_BYTES: u64 = 1 << 20;

/// As many bytes as an account and a certificate have at most, as a rule.
const TRIED_BYTES: usize = 32 << 10;

/// The account at the ACME server.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredAccount {
    pub(super) credentials: AccountCredentials,
}

/// The store cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {path}: {error}. The server keeps its ACME account and certificate there", path = .path.display())]
pub struct StoreError {
    /// The failed operation.
    what: &'static str,
    /// The file or the directory.
    path: PathBuf,
    /// Its error.
    error: FileError,
}

impl StoreError {
    fn new(what: &'static str, path: &Path, error: impl Into<FileError>) -> Self {
        StoreError { what, path: path.to_owned(), error: error.into() }
    }
}

/// A directory for one ACME server, so that certificates of a staging server are never taken for others.
/// Processes of one machine may share it.
pub(super) struct Store {
    dir: PathBuf,
    /// Open while this process has the right to order.
    lock: RefCell<Option<File>>,
}

impl Store {
    /// Opens the directory of an ACME server, and creates it if it does not exist.
    pub(super) fn open(parent: &Path, url: &str) -> Result<Self, StoreError> {
        let dir = parent.join(dir_name(url));
        let made = files::private_dir().recursive(true).create(&dir);
        made.map_err(|error| StoreError::new("create", &dir, error))?;
        Ok(Store { dir, lock: RefCell::default() })
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.dir.join(name);
        match files::read_regular(&path, MAX_BYTES) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(FileError::System(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::new("read", &path, error)),
        }
    }

    /// Writes a file that is there as a whole or not at all, even after a power cut.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.dir.join(name);
        let written = || {
            fs::rename(self.write_new(name, bytes)?, &path)?;
            files::sync_dir(&self.dir)
        };
        written().map_err(|error| StoreError::new("write", &path, error))
    }

    /// Writes a new file beside the one of this name.
    fn write_new(&self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let new = self.dir.join(format!("{name}.new"));
        // A file of an earlier run may have other rights.
        remove(&new)?;
        let mut file = files::new_private().open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(new)
    }

    /// Fails if an account or a certificate could not be kept.
    pub(super) fn try_to_write(&self) -> Result<(), StoreError> {
        let tried = self.write_new(CERTIFICATE, &[0; TRIED_BYTES]).and_then(|new| remove(&new));
        tried.map_err(|error| StoreError::new("write", &self.dir.join(CERTIFICATE), error))
    }

    /// The place of the certificate, for people.
    pub(super) fn place(&self) -> String {
        self.dir.join(CERTIFICATE).display().to_string()
    }

    /// The key and the chain, if there are any.
    pub(super) fn certificate(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(CERTIFICATE)
    }

    pub(super) fn keep_certificate(&self, pem: &str) -> Result<(), StoreError> {
        self.write(CERTIFICATE, pem.as_bytes())
    }

    /// The account, if there is one that can be read.
    pub(super) fn account(&self) -> Result<Option<StoredAccount>, StoreError> {
        let Some(json) = self.read(ACCOUNT)? else { return Ok(None) };
        let account = serde_json::from_slice(&json).inspect_err(|error| {
            let path = self.dir.join(ACCOUNT);
            log::warn!("{} cannot be read, so a new ACME account is made: {error}", path.display());
        });
        Ok(account.ok())
    }

    pub(super) fn keep_account(&self, account: &StoredAccount) -> Result<(), StoreError> {
        let json = serde_json::to_vec(account).map_err(io::Error::other);
        let json = json.map_err(|error| StoreError::new("write", &self.dir.join(ACCOUNT), error));
        self.write(ACCOUNT, &json?)
    }

    pub(super) fn forget_account(&self) -> Result<(), StoreError> {
        let path = self.dir.join(ACCOUNT);
        remove(&path).map_err(|error| StoreError::new("remove", &path, error))
    }

    /// Takes the right to order, which one process has at a time. The system gives it back if the process
    /// dies. False if another one has it.
    pub(super) fn lock(&self) -> Result<bool, StoreError> {
        // One of an attempt that has panicked.
        drop(self.lock.take());
        let path = self.dir.join(LOCK);
        let file = system::private_file().write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|error| StoreError::new("create", &path, error))?;
        match file.try_lock() {
            Ok(()) => {
                self.lock.replace(Some(file));
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(StoreError::new("lock", &path, error)),
        }
    }

    /// Gives the right to order back.
    pub(super) fn unlock(&self) {
        drop(self.lock.take());
    }
}

/// The first bytes of the digest of a text, in hexadecimal.
fn hex_digest(text: &str, bytes: usize) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
}

/// Removes a file, if it exists.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A name that people recognise, with a digest, because several URLs may read alike.
fn dir_name(url: &str) -> String {
    let readable: String = url
        .trim_start_matches("https://")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .take(80)
        .collect();
    format!("{}-{}", readable.trim_matches(['-', '.']), hex_digest(url, 4))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn parent(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("peerbroker-acme-{name}-{}", std::process::id()))
    }

    #[test]
    fn files_are_private_and_a_half_written_one_does_no_harm() {
        let parent = parent("files");
        let store = Store::open(&parent, "https://ca.example/dir").unwrap();
        assert!(store.read(CERTIFICATE).unwrap().is_none() && store.account().unwrap().is_none());
        let path = store.dir.join(CERTIFICATE);
        // A process died while it wrote.
        fs::write(path.with_extension("pem.new"), "half").unwrap();
        store.write(CERTIFICATE, b"first").unwrap();
        store.write(CERTIFICATE, b"second").unwrap();
        assert_eq!(store.read(CERTIFICATE).unwrap().unwrap(), b"second");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        fs::write(store.dir.join(ACCOUNT), "{").unwrap();
        assert!(store.account().unwrap().is_none());
        store.forget_account().unwrap();
        store.forget_account().unwrap();
        fs::remove_dir_all(&parent).unwrap();
    }

    #[test]
    fn each_acme_server_has_a_directory_of_its_own() {
        let names =
            ["https://a.example/dir", "https://a.example/dir/", "https://a.example-dir", "https://../.."];
        let mut dirs: Vec<String> = names.into_iter().map(dir_name).collect();
        assert!(dirs[0].starts_with("a.example-dir-"), "{dirs:?}");
        assert!(dirs.iter().all(|dir| !dir.contains('/') && !dir.starts_with('.')), "{dirs:?}");
        dirs.sort();
        dirs.dedup();
        assert_eq!(dirs.len(), names.len());
    }

    #[test]
    fn one_process_orders_at_a_time() {
        let parent = parent("lock");
        let [one, other] = [0, 1].map(|_| Store::open(&parent, "https://ca.example/dir").unwrap());
        assert!(one.lock().unwrap() && !other.lock().unwrap());
        one.unlock();
        assert!(other.lock().unwrap());
        fs::remove_dir_all(&parent).unwrap();
    }

    #[test]
    fn an_unusable_directory_is_an_error_that_names_it() {
        let parent = parent("unusable");
        fs::write(&parent, "a file").unwrap();
        let Err(error) = Store::open(&parent, "https://ca.example/dir") else { panic!("opened") };
        assert!(error.to_string().contains(parent.to_str().unwrap()), "{error}");
        fs::remove_file(&parent).unwrap();
    }
}
