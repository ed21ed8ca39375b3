//! An ACME server of a test with a DNS server: child processes on free ports, killed when the test ends.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::ports::free_ports;
use crate::raw_client::RawClient;
use crate::tools::{fixture, need};
use crate::wait::look_for;
use crate::{signal, tls, tools};

/// The behaviour of the ACME server.
pub struct Behaviour {
    /// Seconds for which its certificates are valid.
    pub validity: u32,
    /// Percentage of good nonces that it refuses.
    pub refused_nonces: u32,
    /// Names that it gives no certificates for.
    pub blocked: &'static [&'static str],
}

impl Default for Behaviour {
    fn default() -> Self {
        Behaviour { validity: 90 * 24 * 3600, refused_nonces: 0, blocked: &[] }
    }
}

pub struct Pebble {
    /// The port to which it goes for HTTP-01.
    pub http_port: u16,
    /// The port to which it goes for TLS-ALPN-01.
    pub tls_port: u16,
    pub directory: PathBuf,
    port: u16,
    management_port: u16,
    dns_port: u16,
    behaviour: Behaviour,
    dns: Child,
    pebble: Option<Child>,
}

impl Pebble {
    /// Starts one that validates as a real one does. `None` if pebble is not installed.
    pub fn start(behaviour: Behaviour) -> Option<Self> {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        need("pebble")?;
        let challtestsrv = need("pebble-challtestsrv")?;
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("peerbroker-acme-{}-{number}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let [port, management_port, http_port, tls_port, dns_management] = free_ports();
        let dns_port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dns = Command::new(challtestsrv)
            .args([
                "-http01",
                "",
                "-https01",
                "",
                "-tlsalpn01",
                "",
                "-defaultIPv4",
                "127.0.0.1",
                "-defaultIPv6",
                "",
            ])
            .args(["-dns01", &format!("127.0.0.1:{dns_port}")])
            .args(["-management", &format!("127.0.0.1:{dns_management}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.join("dns.log")).unwrap())
            .spawn()
            .unwrap();
        let mut pebble = Pebble {
            http_port,
            tls_port,
            directory,
            port,
            management_port,
            dns_port,
            behaviour,
            dns,
            pebble: None,
        };
        pebble.resume();
        Some(pebble)
    }

    /// Starts it with nothing in its memory.
    pub fn resume(&mut self) {
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{}", self.port),
            "managementListenAddress": format!("127.0.0.1:{}", self.management_port),
            "certificate": fixture("ec-chain.pem"),
            "privateKey": fixture("ec-pkcs8.key"),
            "httpPort": self.http_port,
            "tlsPort": self.tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "certificateValidityPeriod": self.behaviour.validity,
            "domainBlocklist": self.behaviour.blocked,
        }});
        fs::write(self.directory.join("pebble.json"), config.to_string()).unwrap();
        let log = fs::File::create(self.directory.join("pebble.log")).unwrap();
        let mut command = Command::new(tools::find("pebble").unwrap());
        command
            .args([
                "-strict",
                "-config",
                "pebble.json",
                "-dnsserver",
                &format!("127.0.0.1:{}", self.dns_port),
            ])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_AUTHZREUSE", "0")
            .env("PEBBLE_WFE_NONCEREJECT", self.behaviour.refused_nonces.to_string())
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.pebble = Some(command.spawn().unwrap());
        let address: SocketAddr = ([127, 0, 0, 1], self.management_port).into();
        let connection = look_for(|| std::net::TcpStream::connect(address).ok());
        assert!(connection.is_some(), "pebble does not start: {}", self.log());
    }

    /// Ends it: it can be reached no more, and forgets everything.
    pub fn stop(&mut self) {
        if let Some(mut pebble) = self.pebble.take() {
            let _ = pebble.kill();
            let _ = pebble.wait();
        }
    }

    /// Stops or continues it, without a word to its clients.
    pub fn signal(&self, name: &str) {
        signal::send(name, self.pebble.as_ref().unwrap().id());
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}/dir", self.port)
    }

    /// The flags of a program that gets its certificates here, and listens where the validations come to.
    pub fn flags(&self) -> Vec<String> {
        [
            ("--host", "127.0.0.1".to_owned()),
            ("--port", self.tls_port.to_string()),
            ("--data_dir", self.directory.join("data").display().to_string()),
            ("--acme_directory", self.url()),
            ("--acme_ca", fixture("root.pem").display().to_string()),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value])
        .collect()
    }

    /// Trusts the certificates of this ACME server only.
    pub fn trust(&self) -> Arc<ClientConfig> {
        let address = ([127, 0, 0, 1], self.management_port).into();
        let mut http = RawClient::connect_tls(address, "roots", tls::trusting_everybody());
        http.send_raw("GET /roots/0 HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let root = http.expect_response();
        tls::trusting(CertificateDer::from_pem_slice(&root.body).unwrap())
    }

    /// The number of orders so far.
    pub fn orders(&self) -> usize {
        self.log().matches("Added order").count()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("pebble.log")).unwrap_or_default()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
        let _ = self.dns.kill();
        let _ = self.dns.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}
