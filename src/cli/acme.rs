//! The flags of certificates that the server gets by itself.

use std::path::{Path, PathBuf};

use clap::Args;
use peerbroker::config::{
    AcmeConfig, AcmeName, AcmeStore, DEFAULT_ACME_HTTP_PORT, LETS_ENCRYPT, MAX_ACME_NAMES, RedisAddress,
};

use super::backup::ACME_DIR;
use super::help;
use super::values::port;

#[derive(Debug, Args)]
pub(super) struct AcmeArgs {
    /// Get and renew a certificate for these host names and IP addresses by itself; needs --data_dir or --redis
    ///
    /// You accept the terms of the ACME server, which is Let's Encrypt by default. Port 80 or port 443 must be open to the internet.
    #[arg(help_heading = help::TLS, long, env = "PEERBROKER_ACME", value_name = "NAME", num_args = 1.., value_delimiter = ' ', value_parser = name)]
    acme: Vec<AcmeName>,

    /// Mail address that the ACME server may write to
    #[arg(help_heading = help::TLS, long = "acme_email", alias = "acme-email", env = "PEERBROKER_ACME_EMAIL", value_name = "ADDRESS", value_parser = email)]
    acme_email: Option<String>,

    /// Directory of the ACME server
    #[arg(help_heading = help::TLS, long = "acme_directory", alias = "acme-directory", env = "PEERBROKER_ACME_DIRECTORY", value_name = "URL", default_value = LETS_ENCRYPT, value_parser = directory)]
    acme_directory: String,

    /// TCP port that answers HTTP-01 and redirects to HTTPS; 0 means none, so port 443 must lead to --port
    #[arg(help_heading = help::TLS, long = "acme_http_port", alias = "acme-http-port", env = "PEERBROKER_ACME_HTTP_PORT", value_name = "PORT", default_value_t = DEFAULT_ACME_HTTP_PORT, value_parser = port)]
    acme_http_port: u16,

    /// Authorities that may certify the ACME server (PEM) [default: the public ones]
    #[arg(help_heading = help::TLS, long = "acme_ca", alias = "acme-ca", env = "PEERBROKER_ACME_CA", value_name = "FILE")]
    acme_ca: Option<PathBuf>,
}

/// Why there can be no certificate by ACME with these flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAcme {
    /// There is no place for the certificate.
    #[error(
        "--acme needs --data_dir or --redis: the certificate and its key are kept there, so that a restart orders no other"
    )]
    WithoutDataDir,
    /// Only the node that orders has the certificate of TLS-ALPN-01.
    #[error(
        "--acme with --redis needs an --acme_http_port: the ACME server may come to any node, and only answers to HTTP-01 are shared"
    )]
    ClusterWithoutHttp,
    /// There are two certificates.
    #[error("--acme cannot be used with --{0}: the server gets its certificate by itself, or from files")]
    WithFiles(&'static str),
    /// No ACME server takes so many names.
    #[error("--acme takes at most {MAX_ACME_NAMES} names, and {0} are given")]
    TooMany(usize),
    /// The redirect has no port of its own.
    #[error(
        "--{flag} and --acme_http_port are both {port}: give the HTTP port another number, or 0 for none"
    )]
    SamePort {
        /// The flag of the other port.
        flag: &'static str,
        /// The port.
        port: u16,
    },
}

/// Other flags that matter.
pub(super) struct Others<'a> {
    pub(super) data_dir: Option<&'a Path>,
    /// That of the cluster.
    pub(super) redis: Option<&'a RedisAddress>,
    pub(super) sslkey: bool,
    pub(super) sslcert: bool,
    pub(super) port: u16,
    pub(super) ops_port: Option<u16>,
}

impl AcmeArgs {
    pub(super) fn is_given(&self) -> bool {
        !self.acme.is_empty()
    }

    /// The certificate by ACME, if there is to be one.
    pub(super) fn config(&self, others: &Others<'_>) -> Result<Option<AcmeConfig>, BadAcme> {
        if !self.is_given() {
            return Ok(None);
        }
        for (flag, is_given) in [("sslcert", others.sslcert), ("sslkey", others.sslkey)] {
            if is_given {
                return Err(BadAcme::WithFiles(flag));
            }
        }
        let store = match (others.redis, others.data_dir) {
            (Some(_), _) if self.acme_http_port == 0 => return Err(BadAcme::ClusterWithoutHttp),
            (Some(redis), _) => AcmeStore::Redis(redis.clone()),
            (None, Some(dir)) => AcmeStore::Directory(dir.join(ACME_DIR)),
            (None, None) => return Err(BadAcme::WithoutDataDir),
        };
        let mut names = Vec::new();
        for name in &self.acme {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        if names.len() > MAX_ACME_NAMES {
            return Err(BadAcme::TooMany(names.len()));
        }
        for (flag, other) in [("port", Some(others.port)), ("ops_port", others.ops_port)] {
            if self.acme_http_port != 0 && other == Some(self.acme_http_port) {
                return Err(BadAcme::SamePort { flag, port: self.acme_http_port });
            }
        }
        Ok(Some(AcmeConfig {
            names,
            email: self.acme_email.clone(),
            directory: self.acme_directory.clone(),
            http_port: Some(self.acme_http_port).filter(|port| *port != 0),
            ca: self.acme_ca.clone(),
            store,
        }))
    }
}

fn name(text: &str) -> Result<AcmeName, String> {
    AcmeName::parse(text).map_err(|error| error.to_string())
}

fn email(text: &str) -> Result<String, String> {
    let is_address = text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.contains('.'));
    let is_one = text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, ',' | '?' | ':' | '<' | '>'));
    if is_address && is_one {
        Ok(text.to_owned())
    } else {
        Err("expected one mail address, as in admin@example.org".to_owned())
    }
}

fn directory(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
    if host && text.chars().all(|c| c.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err(format!("expected the https:// URL of a directory, as in {LETS_ENCRYPT}"))
    }
}
