//! A peer with Matchbox's own socket. It exchanges messages with all others of its room, and says on stdout what happens.
//!
//! Usage: matchbox-peer URL OTHERS MESSAGES

use std::collections::HashMap;
use std::env;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use matchbox_socket::{ChannelConfig, PeerId, PeerState, RtcIceServerConfig, WebRtcSocket};
use tokio::io::{AsyncReadExt as _, stdin};
use tokio::time::{interval, timeout};

/// The socket has to be asked what happened.
const INTERVAL: Duration = Duration::from_millis(5);

/// Time in which the others have to be connected.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let [url, others, messages] =
        env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| {
            anyhow!("expected a URL, the number of other peers, and that of messages to each")
        })?;
    let (others, messages) = (others.parse()?, messages.parse()?);
    // No server of STUN: the peers are on one machine or use the broker's relay.
    let (mut socket, message_loop) = WebRtcSocket::builder(url)
        .ice_server(RtcIceServerConfig { urls: Vec::new(), ..RtcIceServerConfig::default() })
        .reconnect_attempts(Some(1))
        .add_channel(ChannelConfig::reliable())
        .build();
    let mut message_loop = tokio::spawn(message_loop);
    let talk = async {
        timeout(PATIENCE, talk(&mut socket, others, messages)).await.context("others are missing")??;
        println!("done");
        hear_departures(&mut socket).await
    };
    tokio::select! {
        ended = &mut message_loop => bail!("the message loop has ended: {ended:?}"),
        ended = talk => ended,
        // The suite closes it when all are done.
        _ = async { stdin().read_to_end(&mut Vec::new()).await } => Ok(()),
    }
}

/// Sends messages to each of so many others, and hears as many of each.
async fn talk(socket: &mut WebRtcSocket, others: usize, messages: u32) -> Result<()> {
    let mut heard: HashMap<PeerId, u32> = HashMap::new();
    let mut ticks = interval(INTERVAL);
    let mut connected = 0;
    while connected < others || heard.values().any(|count| *count < messages) || heard.len() < others {
        ticks.tick().await;
        for (peer, state) in socket.update_peers() {
            ensure!(state == PeerState::Connected, "{peer} has left");
            connected += 1;
            ensure!(connected <= others, "{peer} is one too many");
            for n in 0..messages {
                socket.channel_mut(0).send(n.to_string().into_bytes().into(), peer);
            }
        }
        for (peer, packet) in socket.channel_mut(0).receive() {
            let next = heard.entry(peer).or_default();
            ensure!(*packet == *next.to_string().as_bytes(), "{peer} sent {packet:?} instead of {next}");
            *next += 1;
        }
    }
    Ok(())
}

/// Says whenever a peer has left.
async fn hear_departures(socket: &mut WebRtcSocket) -> Result<()> {
    let mut ticks = interval(INTERVAL);
    loop {
        ticks.tick().await;
        for (peer, state) in socket.update_peers() {
            ensure!(state == PeerState::Disconnected, "{peer} is one too many");
            println!("left");
        }
    }
}
