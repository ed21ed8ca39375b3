//! Answers pages and programs: `cargo run -p peerbroker-peer --example echo -- http://localhost:9000 echo`.

use std::env::args;

use peerbroker_peer::{Connection, Options, Peer, SendError};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(broker) = args().nth(1) else {
        println!("usage: echo BROKER [ID]");
        return Ok(());
    };
    let mut peer = Peer::open(&broker, Options { id: args().nth(2), ..Options::default() }).await?;
    println!("{}", peer.id());
    while let Some(connection) = peer.incoming().await {
        match connection {
            Ok(connection) => drop(tokio::spawn(echo(connection))),
            Err(error) => eprintln!("{error}"),
        }
    }
    Ok(())
}

async fn echo(mut connection: Connection) -> Result<(), SendError> {
    while let Some(message) = connection.next().await? {
        connection.send(message).await?;
    }
    Ok(())
}
