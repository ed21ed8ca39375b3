//! Files and variables that look as if they were read, and other notes at the start that are no warnings.

use std::env;
use std::path::Path;

use peerbroker::Config;
use peerbroker_config::WebhookEvent;
use peerbroker_system::files;

use super::command::Cli;
use super::draft::Draft;
use super::read::variables_of_services;
use super::row::variable;
use super::service_links::PREFIX;
use super::table::ROWS;
use crate::process::memory;

/// The file of variables that other programs read by themselves.
const VARIABLES: &str = ".env";

/// Most bytes of it that are read.
const MAX_BYTES: u64 = 64 << 10;

impl Cli {
    /// Notes about what may have been meant to be read, and is not: all that is no mistake for sure.
    pub fn notes(&self) -> Vec<String> {
        let memory = memory(Path::new("/"));
        let notes = [
            variables_of_services(),
            self.left_out(),
            self.ignored_redis(),
            self.unsent_events(),
            Self::smaller_defaults(memory),
        ];
        notes.into_iter().flatten().chain(self.unread_files()).collect()
    }

    /// A note about the defaults that follow the memory of this process.
    fn smaller_defaults(memory: Option<u64>) -> Option<String> {
        let [usual, fitting] = [Draft::default(), Draft::for_memory(memory)].map(|draft| {
            let Config { unfinished_total_bytes, limits, .. } = draft.config;
            [("unfinished messages", unfinished_total_bytes), ("queues", limits.queue_total_bytes)]
        });
        let mut smaller = Vec::from(fitting);
        smaller.retain(|limit| !usual.contains(limit));
        let smaller: Vec<String> =
            smaller.iter().map(|(name, bytes)| format!("{name} {bytes} bytes")).collect();
        (!smaller.is_empty()).then(|| {
            let mib = memory.unwrap_or_default() >> 20;
            format!(
                "this process may have {mib} MiB of memory, so these limits are smaller: {}",
                smaller.join(", ")
            )
        })
    }

    /// A note that the variable of many hosts for a Redis is not read, if there is one.
    fn ignored_redis(&self) -> Option<String> {
        let url = variable("REDIS_URL").filter(|_| self.draft.redis.url.is_empty())?;
        url.to_str()?.starts_with("redis").then(|| {
            "REDIS_URL is ignored: to make this server a node of a cluster, pass the URL in --redis or PEERBROKER_REDIS".to_owned()
        })
    }

    /// A note about the events that a webhook gets only by name, if none is named.
    fn unsent_events(&self) -> Option<String> {
        let has_default =
            !self.draft.config.webhooks.operator.url.is_empty() && !self.given.has("webhook_events");
        let unsent = WebhookEvent::ALL.iter().filter(|event| !event.is_default()).map(|event| event.label());
        let unsent = unsent.collect::<Vec<_>>().join(", ");
        has_default
            .then(|| format!("--webhook gets all events but these, which --webhook_events can add: {unsent}"))
    }

    /// A note for each file of the working directory that has settings, and is not read.
    fn unread_files(&self) -> Vec<String> {
        let names = names_in(VARIABLES);
        let of_variables = (!names.is_empty()).then(|| {
            let names = names.join(", ");
            format!("{VARIABLES} of this directory has {names}, and is not read: `set -a; . ./{VARIABLES}; set +a` reads it")
        });
        let file = crate::init_command::FILE;
        let is_unread = self.file.is_none() && Path::new(file).is_file();
        let of_file =
            is_unread.then(|| format!("{file} of this directory is not read: --config {file} reads it"));
        of_variables.into_iter().chain(of_file).collect()
    }
}

/// The variables of this program that a file sets, and the environment does not. Their values may be secret.
fn names_in(file: &str) -> Vec<String> {
    let Ok(bytes) = files::read_regular(Path::new(file), MAX_BYTES) else { return Vec::new() };
    let text = String::from_utf8_lossy(&bytes);
    let name = |line: &str| {
        let (name, _) = line.trim().split_once('=')?;
        let name = name.trim_start_matches("export ").trim();
        let is_ours = name.starts_with(PREFIX) || ROWS.iter().any(|row| row.fallback == Some(name));
        let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        (is_ours && is_name && env::var_os(name).is_none()).then(|| name.to_owned())
    };
    text.lines().filter_map(name).collect()
}
