//! TLS clients that come back with their sessions, and the cost of a handshake beside that of its cryptography.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};
use rustls::SignatureScheme;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;

use super::micros;
use super::opens::open_cost;
use crate::fleet::{Fleet, Target};
use crate::measured::{Handshakes, Returning};
use crate::process;
use crate::servers::Servers;

/// Peers around which the cost of an open is measured.
const FEW: usize = 100;
/// The kinds of opens take so many short turns: a machine that others share is slower for seconds.
const TURNS: usize = 10;
/// Batches of opens in a turn.
const BATCHES: usize = 5;
/// Signatures and key exchanges in a turn.
const CALLS: u32 = 500;

/// `plain` is a server without TLS and its clients.
pub fn run(
    server: &Servers,
    target: Target,
    (plain, without_tls): (&Servers, &mut Fleet),
    peers: usize,
) -> Result<Returning> {
    let mut newcomers = Fleet::new(target.clone())?;
    let mut fleet = Fleet::new(target)?.keep_sessions();
    // The first time, nobody has a session.
    open_us(&mut fleet, server)?;
    let turn = |_| {
        let [sign_us, exchange_us] = crypto_us(server)?;
        Ok(Handshakes {
            sign_us,
            exchange_us,
            plain_us: open_us(without_tls, plain)?,
            full_us: open_us(&mut newcomers, server)?,
            resumed_us: open_us(&mut fleet, server)?,
        })
    };
    let handshakes = (0..TURNS).map(turn).collect::<Result<_>>()?;
    fleet.open(peers)?;
    fleet.leave(0)?;
    fleet.open(peers)?;
    Ok(Returning { peers, resumed: fleet.resumed(), handshakes })
}

/// CPU time of an open. Afterwards all have left: fleets have the same ids.
fn open_us(fleet: &mut Fleet, server: &Servers) -> Result<f64> {
    let cost = open_cost(fleet, server, FEW, BATCHES)?;
    fleet.leave(0)?;
    Ok(cost.cpu_us)
}

/// CPU time of a signature, and of a new key with one key exchange. On the server's core, because cores differ, and while the other
/// one does the same, as in handshakes: it may be the same core for the hardware, which is then slower.
fn crypto_us(server: &Servers) -> Result<[f64; 2]> {
    let provider = default_provider();
    let key =
        PrivateKeyDer::try_from(rcgen::KeyPair::generate()?.serialize_der()).map_err(anyhow::Error::msg)?;
    let key = provider.key_provider.load_private_key(key)?;
    let signer = key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]).context("no signer")?;
    let group = provider.kx_groups.first().context("no group")?;
    let client = group.start()?;
    let sign = || signer.sign(b"a handshake").map(drop);
    let exchange = || group.start_and_complete(client.pub_key()).map(drop);
    let this = process::this();
    let own_cores = this.cores()?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        // On the core of the load generator.
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let _ = sign().and_then(|()| exchange());
            }
        });
        let measure = || {
            this.pin(&server.nodes.first().context("no server")?.cores()?)?;
            let both = [cpu_us(sign)?, cpu_us(exchange)?];
            this.pin(&own_cores)?;
            Ok(both)
        };
        let measured = measure();
        is_over.store(true, Ordering::Relaxed);
        measured
    })
}

/// CPU time of a call, on average.
fn cpu_us(call: impl Fn() -> Result<(), rustls::Error>) -> Result<f64> {
    let before = thread_time();
    for _ in 0..CALLS {
        call()?;
    }
    Ok(micros(thread_time() - before) / f64::from(CALLS))
}

/// CPU time of this thread. In `/proc`, that of a running thread is as old as the last tick.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
