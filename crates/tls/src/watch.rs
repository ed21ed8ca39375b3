//! Watches the files of a certificate and of its key.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::{Certificates, TlsError, TlsFiles};
use peerbroker_system::files::Stamp;
use peerbroker_system::threads::Threads;

/// Interval at which the files are checked.
const INTERVAL: Duration = Duration::from_secs(2);

/// Reads the files and shows their certificate. True if it has changed.
pub fn reread(files: &TlsFiles, certificates: &Certificates) -> Result<bool, TlsError> {
    let certificate = super::load(files).inspect_err(|error| {
        certificates.set_problem(Some(error.to_string()));
    })?;
    Ok(certificates.swap(certificate))
}

/// Shows a new certificate soon after its files have changed, and then calls `loaded`, until the drop of the
/// returned value. Pipes are not watched: they can be read only once.
pub fn watch(
    files: TlsFiles,
    certificates: Arc<Certificates>,
    threads: &Threads,
    mut loaded: impl FnMut(&TlsFiles) + Send + 'static,
) -> io::Result<Option<Sender<()>>> {
    if !files.are_regular() {
        log::info!(
            "--sslkey and --sslcert are not both regular files, so the server does not look for new ones"
        );
        return Ok(None);
    }
    let (stop, stopped) = channel();
    let mut watched = Watched { files, certificates, seen: None };
    threads.keep("certificate", move || {
        while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
            if watched.look() {
                loaded(&watched.files);
            }
        }
    })?;
    Ok(Some(stop))
}

struct Watched {
    files: TlsFiles,
    certificates: Arc<Certificates>,
    /// The active files. Nothing before the first look: they may have changed since they were read.
    seen: Option<[Option<Stamp>; 2]>,
}

impl Watched {
    /// True if another certificate is shown now.
    fn look(&mut self) -> bool {
        // Taken first, so a write during the read counts as another change.
        let stamps = [Stamp::of(&self.files.key), Stamp::of(&self.files.cert)];
        if self.seen == Some(stamps) {
            return false;
        }
        match super::load(&self.files) {
            Ok(certificate) => {
                self.seen = Some(stamps);
                self.certificates.swap(certificate)
            }
            // One file may be written before the other. So they are read each time until they fit, and the
            // error is logged once.
            Err(error) => {
                if self.certificates.set_problem(Some(error.to_string())) {
                    log::warn!("the previous certificate stays in use until the files can be read: {error}");
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn fixture(name: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tls").join(name)
    }

    #[test]
    fn a_pair_is_taken_when_both_files_fit_and_until_then_the_old_one_stays() {
        let dir = std::env::temp_dir().join(format!("peerbroker-watch-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let files = TlsFiles { key: dir.join("key.pem"), cert: dir.join("cert.pem") };
        let copy = |from: &str, to: &Path| {
            fs::remove_file(to).unwrap_or_default();
            fs::copy(fixture(from), to).unwrap();
        };
        copy("ec-pkcs8.key", &files.key);
        copy("ec-chain.pem", &files.cert);
        let certificates = Certificates::new(super::super::load(&files).unwrap());
        let shown = || certificates.current.load().cert.clone();
        let first = shown();
        let mut watched =
            Watched { files: files.clone(), certificates: Arc::clone(&certificates), seen: None };
        assert!(!watched.look() && !watched.look(), "nothing has changed");
        copy("rsa-chain.pem", &files.cert);
        assert!(!watched.look());
        assert_eq!(shown(), first);
        assert!(certificates.problem().unwrap().contains("is not the key of the first certificate"));
        fs::remove_file(&files.key).unwrap();
        assert!(!watched.look());
        assert!(certificates.problem().unwrap().contains("cannot read --sslkey"));
        copy("rsa-pkcs8.key", &files.key);
        assert!(watched.look());
        assert_ne!(shown(), first);
        assert_eq!(certificates.problem(), None);
        assert!(!watched.look());
        // The same pair in other files is no news.
        copy("rsa-pkcs1.key", &files.key);
        assert!(!watched.look());
        let shows = |other| reread(&files, &certificates).map_err(|error| error.to_string()) == Ok(other);
        assert!(shows(false));
        copy("ec-pkcs8.key", &files.key);
        assert!(reread(&files, &certificates).is_err() && certificates.problem().is_some());
        copy("ec-chain.pem", &files.cert);
        assert!(shows(true) && certificates.problem().is_none());
        fs::remove_dir_all(&dir).unwrap();
    }
}
