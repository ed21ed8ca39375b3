//! A peer with Matchbox's own socket. It exchanges messages with all others of its room, and says on stdout
//! what happens.
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
    let others = others.parse()?;
    let messages = messages.parse()?;
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

/// Asks if the other one hears it. A socket loses what it gets before its channel has a reader.
const HELLO: &[u8] = b"hello";

/// The answer.
const READY: &[u8] = b"ready";

/// The state of one of the others.
#[derive(Default)]
struct Other {
    /// It hears this peer, which has sent it all messages.
    hears: bool,
    /// The number of messages that came from it.
    came: u32,
}

/// Sends messages to each of so many others, and hears as many of each.
async fn talk(socket: &mut WebRtcSocket, count: usize, messages: u32) -> Result<()> {
    let mut others: HashMap<PeerId, Other> = HashMap::new();
    let mut ticks = interval(INTERVAL);
    let mut is_here = false;
    while others.len() < count || others.values().any(|other| !other.hears || other.came < messages) {
        ticks.tick().await;
        if !is_here && socket.id().is_some() {
            println!("here");
            is_here = true;
        }
        for (peer, state) in socket.update_peers() {
            ensure!(state == PeerState::Connected, "{peer} has left");
            others.entry(peer).or_default();
            ensure!(others.len() <= count, "{peer} is one too many");
        }
        let channel = socket.channel_mut(0);
        for (peer, _) in others.iter().filter(|(_, other)| !other.hears) {
            channel.send(HELLO.into(), *peer);
        }
        for (peer, packet) in channel.receive() {
            let other = others.entry(peer).or_default();
            match &*packet {
                HELLO => channel.send(READY.into(), peer),
                READY if other.hears => {}
                READY => {
                    other.hears = true;
                    (0..messages).for_each(|n| channel.send(n.to_string().into_bytes().into(), peer));
                }
                number => {
                    let next = other.came;
                    ensure!(
                        number == next.to_string().as_bytes(),
                        "{peer} sent {packet:?} instead of {next}"
                    );
                    other.came += 1;
                }
            }
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
