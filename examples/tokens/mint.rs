//! Creates a token that proves that a client owns an id.
//!
//! ```sh
//! # HS256, for a key with a secret.
//! JWT_SECRET=… cargo run --example mint -- --id alice
//! # RS256, ES256 or EdDSA, by the kind of the key: PKCS#8.
//! cargo run --example mint -- --id alice --pem private.pem
//! ```
//!
//! An `--id` that ends in `*` allows all ids with that prefix. Never let users choose it freely.
//!
//! In your own program: `jsonwebtoken = { version = "11", features = ["rust_crypto"] }`.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::Parser;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Serialize;

#[derive(Parser)]
struct Options {
    /// The id that the token proves.
    #[arg(long)]
    id: String,
    /// The private key that signs; without it, the secret in `JWT_SECRET` signs.
    #[arg(long)]
    pem: Option<PathBuf>,
    /// Makes the token valid for this API key only.
    #[arg(long)]
    key: Option<String>,
    /// Time that the token is valid, in seconds.
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
    /// The name of the signing key, if the broker has a JSON Web Key Set.
    #[arg(long)]
    kid: Option<String>,
}

#[derive(Serialize)]
struct Claims {
    sub: String,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let Options { id, pem, key, seconds, kid } = Options::parse();
    let (algorithm, signer) = match pem {
        Some(path) => {
            let pem = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            of_pem(&pem).context("no private key for RS256, ES256 or EdDSA")?
        }
        None => {
            let secret = std::env::var("JWT_SECRET").context("set JWT_SECRET, or name a key with --pem")?;
            (Algorithm::HS256, EncodingKey::from_secret(secret.as_bytes()))
        }
    };
    let until = SystemTime::now() + Duration::from_secs(seconds);
    let claims = Claims { sub: id, exp: until.duration_since(UNIX_EPOCH)?.as_secs(), aud: key };
    let header = Header { kid, ..Header::new(algorithm) };
    println!("{}", encode(&header, &claims, &signer)?);
    Ok(())
}

/// The type of the key decides the algorithm.
fn of_pem(pem: &[u8]) -> Option<(Algorithm, EncodingKey)> {
    let rsa = EncodingKey::from_rsa_pem(pem).map(|key| (Algorithm::RS256, key));
    let ec = || EncodingKey::from_ec_pem(pem).map(|key| (Algorithm::ES256, key));
    let ed = || EncodingKey::from_ed_pem(pem).map(|key| (Algorithm::EdDSA, key));
    rsa.or_else(|_| ec()).or_else(|_| ed()).ok()
}
