//! Keeps the account and the certificate in a directory.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use instant_acme::AccountCredentials;
use ring::digest::{SHA256, digest};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::files::{self, FileError};

const ACCOUNT: &str = "account.json";
/// The private key and the chain. They are one file, so that they always fit.
const CERTIFICATE: &str = "certificate.pem";
const LOCK: &str = "lock";

/// Most bytes of a file. A chain of certificates has a few KB.
const MAX_BYTES: u64 = 1 << 20;

/// The directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {path}: {error}. The server keeps its ACME account and certificate there", path = .path.display())]
pub struct StoreError {
    what: &'static str,
    path: PathBuf,
    error: FileError,
}

/// The account at the ACME server.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredAccount {
    pub(super) email: Option<String>,
    pub(super) credentials: AccountCredentials,
}

/// A directory for one ACME server, so that certificates of a staging server are never taken for others.
pub(super) struct Store {
    dir: PathBuf,
}

/// The right to order. The drop gives it back.
pub(super) struct OrderLock(#[allow(dead_code, reason = "the drop unlocks it")] File);

impl Store {
    /// Opens the directory of an ACME server, and creates it if it does not exist.
    pub(super) fn open(parent: &Path, url: &str) -> Result<Self, StoreError> {
        let dir = parent.join(dir_name(url));
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.map_err(|error| failed("create", &dir, error))?;
        Ok(Store { dir })
    }

    pub(super) fn certificate_path(&self) -> PathBuf {
        self.dir.join(CERTIFICATE)
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
        let account = serde_json::from_slice(&json);
        Ok(account
            .inspect_err(|error| {
                let path = self.dir.join(ACCOUNT);
                log::warn!("{} cannot be read, so a new ACME account is made: {error}", path.display());
            })
            .ok())
    }

    pub(super) fn keep_account(&self, account: &StoredAccount) -> Result<(), StoreError> {
        let json = serde_json::to_vec(account).map_err(io::Error::other);
        let json = json.map_err(|error| failed("write", &self.dir.join(ACCOUNT), error))?;
        self.write(ACCOUNT, &json)
    }

    pub(super) fn forget_account(&self) -> Result<(), StoreError> {
        let path = self.dir.join(ACCOUNT);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path, error)),
            _ => Ok(()),
        }
    }

    /// The right to order, which one process has at a time. The system gives it back if the process dies.
    pub(super) fn lock(&self) -> Result<Option<OrderLock>, StoreError> {
        let path = self.dir.join(LOCK);
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(|error| failed("create", &path, error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(OrderLock(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(failed("lock", &path, error.into())),
        }
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.dir.join(name);
        match files::read_regular(&path, MAX_BYTES) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(FileError::System(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError { what: "read", path, error }),
        }
    }

    /// Writes a file that is there as a whole or not at all, even after a power cut.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let (path, new) = (self.dir.join(name), self.dir.join(format!("{name}.new")));
        let written = || {
            // A file of an earlier run may have other rights.
            match fs::remove_file(&new) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.dir)?.sync_all()
        };
        written().map_err(|error| failed("write", &path, error))
    }
}

fn failed(what: &'static str, path: &Path, error: io::Error) -> StoreError {
    StoreError { what, path: path.to_owned(), error: error.into() }
}

/// A name that people recognise, with a digest, because several URLs may read alike.
fn dir_name(url: &str) -> String {
    let readable: String = url
        .trim_start_matches("https://")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .take(80)
        .collect();
    let digest = digest(&SHA256, url.as_bytes());
    let digest: String = digest.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{digest}", readable.trim_matches(['-', '.']))
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
        assert!(store.certificate().unwrap().is_none() && store.account().unwrap().is_none());
        let path = store.certificate_path();
        // A process died while it wrote.
        fs::write(path.with_extension("pem.new"), "half").unwrap();
        store.keep_certificate("first").unwrap();
        store.keep_certificate("second").unwrap();
        assert_eq!(store.certificate().unwrap().unwrap(), b"second");
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
        let lock = one.lock().unwrap();
        assert!(lock.is_some() && other.lock().unwrap().is_none());
        drop(lock);
        assert!(other.lock().unwrap().is_some());
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
