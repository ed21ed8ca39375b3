//! All peers connect and leave, repeatedly. Memory must not grow.

use anyhow::Result;

use super::settled;
use crate::fleet::Fleet;
use crate::measured::Churn;
use crate::servers::Servers;

pub fn run(fleet: &mut Fleet, server: &Servers, peers: usize, rounds: usize) -> Result<Churn> {
    let mut bytes_after = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        fleet.open(peers)?;
        fleet.leave(0)?;
        bytes_after.push(settled(fleet, server)?);
    }
    Ok(Churn { peers, bytes_after })
}
