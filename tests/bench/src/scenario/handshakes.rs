//! TLS clients that come back with their sessions, and the cost of a handshake beside that of its
//! cryptography.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};
use rustls::SignatureScheme;
use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use testkit::tools::fixture;

use crate::figures::{Record, micros};
use crate::fleet::{Fleet, Target};
use crate::link;
use crate::servers::{Kind, LOAD_CORE, SERVER_CORE, Server, pin};

const PEERS: usize = 10_000;
/// Peers around which the cost of an open is measured.
const FEW: usize = 100;
/// The kinds of opens take so many short turns: a machine that others share is slower for seconds.
const TURNS: usize = 10;
/// Batches of opens in a turn.
const BATCHES: usize = 5;
/// Signatures and key exchanges in a turn.
const TIMES: u32 = 500;

pub fn run(server: &mut Server, record: &mut Record) -> Result<()> {
    let plain = Server::start(&server.places, Kind::Peerbroker)?;
    let mut without_tls = plain.fleet()?;
    let mut newcomers = server.fleet()?;
    // rustls counts eight sessions for each name.
    let tls = Some(link::tls(Resumption::in_memory_sessions(8 * PEERS)));
    let mut fleet = Fleet::new(Target { tls, ..server.target.clone() })?;
    // The first time, nobody has a session.
    open_us(&mut fleet, server)?;
    for _ in 0..TURNS {
        let crypto_us = crypto_us()?;
        let plain_us = open_us(&mut without_tls, &plain)?;
        let full_us = open_us(&mut newcomers, server)?;
        record.add("CPU of a signature and a key exchange", crypto_us);
        record.add("CPU per open, full handshake", full_us);
        record.add("CPU of a full handshake, without the open", full_us - plain_us);
        record.add("CPU per open, resumed", open_us(&mut fleet, server)?);
    }
    fleet.open(PEERS)?;
    fleet.leave(0)?;
    fleet.open(PEERS)?;
    record.add("10,000 clients come back: resumed", 100.0 * fleet.resumed() as f64 / PEERS as f64);
    Ok(())
}

/// CPU time of an open. Afterwards all have left: fleets have the same ids.
fn open_us(fleet: &mut Fleet, server: &Server) -> Result<f64> {
    let cost = super::open_us(fleet, server, FEW, BATCHES)?;
    fleet.leave(0)?;
    Ok(cost)
}

/// CPU time of a signature and of a new key with one key exchange. On the server's core, because cores
/// differ, and while the other one does the same, as in handshakes: it may be the same core for the hardware,
/// which is then slower.
fn crypto_us() -> Result<f64> {
    let provider = default_provider();
    let key = PrivateKeyDer::from_pem_file(fixture("ec-pkcs8.key")).map_err(anyhow::Error::msg)?;
    let key = provider.key_provider.load_private_key(key)?;
    let signer = key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]).context("no signer")?;
    let group = provider.kx_groups.first().context("no group")?;
    let client = group.start()?;
    let work = || {
        signer.sign(b"a handshake")?;
        group.start_and_complete(client.pub_key()).map(drop)
    };
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        // On the core of the load generator.
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let _ = work();
            }
        });
        let pinned = pin(SERVER_CORE);
        let before = thread_time();
        let worked = (0..TIMES).try_for_each(|_| work());
        let cpu = thread_time() - before;
        is_over.store(true, Ordering::Relaxed);
        pinned.and(pin(LOAD_CORE))?;
        worked?;
        Ok(micros(cpu) / f64::from(TIMES))
    })
}

/// CPU time of this thread. In `/proc`, that of a running thread is as old as the last tick.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
