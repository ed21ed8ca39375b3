//! TLS clients that come back with the sessions that they have had, and what no handshake can do without.

use anyhow::{Context as _, Result};
use rustls::SignatureScheme;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;

use super::micros;
use super::opens::open_cost;
use crate::fleet::{Fleet, Target};
use crate::measured::Returning;
use crate::process::Process;
use crate::servers::Servers;

/// Peers around which the cost of an open is measured.
const FEW: usize = 100;
/// Signatures and key exchanges that are measured.
const EXCHANGES: u32 = 3000;

pub fn run(server: &Servers, target: Target, peers: usize) -> Result<Returning> {
    let mut newcomers = Fleet::new(target.clone())?;
    let full = open_cost(&mut newcomers, server, FEW)?;
    newcomers.leave(0)?;
    let mut fleet = Fleet::new(target)?.keep_sessions();
    // The first time, nobody has a session.
    open_cost(&mut fleet, server, FEW)?;
    let cost = open_cost(&mut fleet, server, FEW)?;
    fleet.open(peers)?;
    fleet.leave(0)?;
    fleet.open(peers)?;
    Ok(Returning {
        peers,
        resumed: fleet.resumed(),
        full_us: full.cpu_us,
        open_us: cost.cpu_us,
        sign_and_exchange_us: sign_and_exchange_us()?,
    })
}

/// CPU time of what a server must do in a full handshake: one signature, a new key, and one key exchange.
fn sign_and_exchange_us() -> Result<f64> {
    let provider = default_provider();
    let key =
        PrivateKeyDer::try_from(rcgen::KeyPair::generate()?.serialize_der()).map_err(anyhow::Error::msg)?;
    let key = provider.key_provider.load_private_key(key)?;
    let signer = key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]).context("no signer")?;
    let group = provider.kx_groups.first().context("no group")?;
    let client = group.start()?;
    let this = Process(std::process::id());
    let before = this.cpu()?;
    for count in 0..EXCHANGES {
        signer.sign(&count.to_be_bytes())?;
        group.start_and_complete(client.pub_key())?;
    }
    Ok(micros(this.cpu()? - before) / f64::from(EXCHANGES))
}
