//! Reads the configuration again while the server runs: on SIGHUP, and when its file or one with a secret
//! changes.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use peerbroker::PeerBroker;
use peerbroker_system::files::Stamp;

use crate::cli::{Cli, Reread, SecretStamps, Settings, refuse_new_pipes};
use crate::console::Log;

/// Interval at which the files are checked.
const INTERVAL: Duration = Duration::from_secs(2);

/// The active configuration, and the parts that have to hear of another one.
pub struct Reloader {
    broker: PeerBroker,
    cli: Cli,
    settings: Settings,
    log: &'static Log,
    /// The configuration file and the files of secrets, when they were read last.
    seen: (Option<Stamp>, SecretStamps),
    /// The last look found settings or keys taken away, which counts if the next one finds the same: an
    /// editor, or a full disk, may have written half of the file.
    is_in_doubt: bool,
    /// The store of keys could not be read, so the keys of the configuration are not active yet.
    owes_keys: bool,
}

/// The settings that are active after a reload, and those that need a restart.
struct Reloaded {
    changed: Vec<String>,
    pending: Vec<String>,
}

impl Reloader {
    pub fn new(broker: PeerBroker, cli: Cli, settings: Settings, log: &'static Log) -> Self {
        let seen = (cli.file.as_ref().and_then(|file| file.stamp), settings.secret_stamps.clone());
        Reloader { broker, cli, settings, log, seen, is_in_doubt: false, owes_keys: false }
    }

    /// Starts the thread. Any value sent to it requests a reload.
    pub fn start(mut self) -> io::Result<Sender<()>> {
        let (ask, asked) = channel();
        let broker = self.broker.clone();
        broker.keep_thread("reload", move || self.run(&asked))?;
        Ok(ask)
    }

    fn run(&mut self, asked: &Receiver<()>) {
        refuse_new_pipes();
        loop {
            let is_asked = match asked.recv_timeout(INTERVAL) {
                Ok(()) => true,
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            // One reload answers all that asked until now.
            while asked.try_recv().is_ok() {}
            let is_changed = self.has_changed();
            self.is_in_doubt &= !is_changed;
            if is_asked || is_changed || self.is_in_doubt {
                self.reload();
            } else if self.owes_keys {
                self.owes_keys = self.broker.read_keys().is_err();
            }
            if is_asked {
                self.reread_certificate();
            }
        }
    }

    /// True if a file is another one than at the last call. A pipe never is.
    fn has_changed(&mut self) -> bool {
        let file = self.cli.file.as_ref().filter(|file| file.stamp.is_some());
        let now = (file.and_then(|file| Stamp::of(&file.path)), self.cli.draft.secret_stamps());
        let is_other = now != self.seen;
        self.seen = now;
        is_other
    }

    fn reload(&mut self) {
        match self.try_to_reload() {
            Ok(Some(Reloaded { changed, pending })) => self.broker.reloaded(changed, pending),
            Ok(None) => {}
            Err(why) => self.broker.reload_failed(why),
        }
    }

    /// Changes nothing if anything is wrong. `None` if the next look decides.
    fn try_to_reload(&mut self) -> Result<Option<Reloaded>, String> {
        let was_in_doubt = std::mem::take(&mut self.is_in_doubt);
        let Reread { new, in_force, mut changed, pending, taken_away } = self.cli.reread()?;
        // All of the file has to be right, so that a restart works too.
        checked(&new)?;
        let settings = checked(&in_force)?;
        if !taken_away.is_empty() && !was_in_doubt {
            log::warn!(
                "the configuration file no longer has {}: that counts in {} seconds, unless the file changes again",
                taken_away.join(", "),
                INTERVAL.as_secs()
            );
            self.is_in_doubt = true;
            return Ok(None);
        }
        changed.extend(self.other_secrets(&settings, &changed));
        for warning in in_force.warnings().iter().filter(|warning| !self.cli.warnings().contains(warning)) {
            log::warn!("{warning}");
        }
        self.owes_keys = false;
        if let Err(error) = self.broker.reconfigure(settings.config.clone()) {
            log::error!("{error}");
            self.owes_keys = true;
        }
        if let Some(ops) = &settings.listen.ops {
            self.broker.set_api_tokens(ops.tokens.clone());
        }
        self.log.configure(in_force.draft.log.as_deref());
        if let Some(warning) =
            in_force.silence().filter(|warning| self.cli.silence().as_ref() != Some(warning))
        {
            self.log.warn(&warning);
        }
        self.cli = in_force;
        self.settings = settings;
        Ok(Some(Reloaded { changed, pending }))
    }

    /// Secrets that are in files of the same name as before.
    fn other_secrets(&self, new: &Settings, changed: &[String]) -> Vec<String> {
        let others = new.secrets.iter().filter(|(name, text)| {
            let is_other = self.settings.secrets.get(*name).is_some_and(|old| old != *text);
            is_other && !changed.iter().any(|text| text.starts_with(*name))
        });
        others.map(|(name, _)| format!("the secret in {name}_file changed")).collect()
    }

    fn reread_certificate(&self) {
        let Some(files) = self.settings.listen.tls.as_ref().filter(|files| files.are_regular()) else {
            return;
        };
        if let Err(error) = self.broker.reread_certificate(files) {
            log::warn!("the previous certificate stays in use: {error}");
        }
    }
}

fn checked(cli: &Cli) -> Result<Settings, String> {
    cli.settings().map_err(|error| cli.given.reworded(&error.text))
}
