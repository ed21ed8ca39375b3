//! `peerbroker listen`.

use std::io;
use std::sync::Arc;

use peerbroker_peer::{Connection, Peer};
use tokio::io::{AsyncBufRead, AsyncWrite};
use tokio::sync::{Semaphore, TryAcquireError};
use tokio::task::JoinSet;

use crate::code::{Code, Guesses, MAX_WRONG, demand};
use crate::exec::{self, MAX_PROCESSES};
use crate::lines::Hub;
use crate::screen::note;
use crate::session::{Other, Session, end};
use crate::streams::Stream;
use crate::tcp;
use crate::{NO_BROKER, NO_CODE, NOT_THERE, NetcatFailed, failed};

/// The program's side of each connection.
pub(crate) enum Service {
    Stdio,
    Exec(String),
    Tcp(String),
    Json(Hub),
}

/// The rules for all connections.
pub(crate) struct Listener {
    pub(crate) service: Service,
    pub(crate) code: Option<Code>,
    pub(crate) number: bool,
    guesses: Guesses,
    processes: Semaphore,
}

impl Listener {
    pub(crate) fn new(service: Service, code: Option<Code>, number: bool) -> Self {
        let processes = Semaphore::new(MAX_PROCESSES);
        Listener { service, code, number, guesses: Guesses::new(), processes }
    }

    /// Serves a connection, if its end knows the code. Returns it if it is for stdin and stdout.
    async fn serve(self: Arc<Self>, connection: Connection) -> Result<Option<Session>, String> {
        let peer = connection.peer().to_owned();
        let served = async {
            let session = self.admit(connection).await?;
            match &self.service {
                Service::Stdio => return Ok(Some(session)),
                Service::Json(hub) => session.script(hub).await?,
                _ => Arc::clone(&self).serve_each(session).await?,
            }
            Ok::<_, NetcatFailed>(None)
        };
        served.await.map_err(|error| format!("{peer}: {error}"))
    }

    /// Demands the code, if there is one.
    async fn admit(&self, connection: Connection) -> Result<Session, NetcatFailed> {
        if self.number {
            crate::show_number(&connection).await?;
        }
        let binding = connection.binding();
        let mut session = Session::new(connection);
        match (&self.code, &mut session.other) {
            (None, _) => {}
            (Some(code), Other::Command(to, from)) => demand(code, binding, &self.guesses, to, from).await?,
            (Some(_), Other::Page(..)) => {
                let why = "refused, because a page cannot prove a code";
                return Err(failed(NO_CODE)(why));
            }
        }
        if !matches!(self.service, Service::Json(_)) {
            note(&format!("{} is connected", session.peer));
        }
        Ok(session)
    }

    /// Gives each stream of a connection, or the connection to a page, a process or a TCP connection.
    async fn serve_each(self: Arc<Self>, session: Session) -> Result<(), NetcatFailed> {
        if let Other::Page(..) = session.other {
            let Service::Exec(command) = &self.service else {
                let why = "it is a page, which cannot use --tcp: `peerbroker connect … --tcp PORT` can";
                return Err(failed(NOT_THERE)(why));
            };
            let _process = self.processes.try_acquire().map_err(full)?;
            return Ok(session.exec(command).await?);
        }
        let peer = Arc::<str>::from(&*session.peer);
        let Some((mut streams, closer)) = session.streams() else { return Ok(()) };
        let mut joined = JoinSet::new();
        while let Some(stream) = streams.next().await {
            while joined.try_join_next().is_some() {}
            let listener = Arc::clone(&self);
            let peer = Arc::clone(&peer);
            joined.spawn(async move {
                if let Err(error) = listener.join(&peer, stream).await {
                    note(&format!("{peer}: {error}"));
                }
            });
        }
        Ok(end(streams, closer, false).await?)
    }

    async fn join(&self, peer: &str, stream: Stream) -> io::Result<()> {
        match &self.service {
            Service::Exec(command) => {
                let _process = self.processes.try_acquire().map_err(full)?;
                exec::run(command, peer, stream).await
            }
            Service::Tcp(target) => tcp::connect(target, stream).await,
            Service::Stdio | Service::Json(_) => Ok(()),
        }
    }
}

fn full(_: TryAcquireError) -> io::Error {
    io::Error::other(format!("{MAX_PROCESSES} processes run already"))
}

/// Accepts connections. Those for stdin and stdout have them one after the other.
pub(crate) async fn accept(
    peer: &mut Peer,
    listener: Arc<Listener>,
    keep: bool,
    input: &mut (impl AsyncBufRead + Unpin),
    output: &mut (impl AsyncWrite + Unpin),
) -> Result<(), NetcatFailed> {
    let mut served = JoinSet::new();
    loop {
        let ended = tokio::select! {
            connection = peer.incoming() => {
                match connection.ok_or("the broker is gone").map_err(failed(NO_BROKER))? {
                    Ok(connection) => drop(served.spawn(Arc::clone(&listener).serve(connection))),
                    Err(error) => note(&error.to_string()),
                }
                continue;
            }
            Some(ended) = served.join_next() => ended.unwrap_or_else(|error| Err(error.to_string())),
        };
        match ended {
            Ok(None) => {}
            Ok(Some(session)) => {
                let joined = session.join(input, output).await;
                if !keep {
                    return Ok(joined?);
                }
                if let Err(error) = joined {
                    note(&error.to_string());
                }
            }
            Err(why) => note(&why),
        }
        if listener.guesses.are_spent() {
            return Err(failed(NO_CODE)(format!(
                "{MAX_WRONG} wrong codes: somebody guesses, or mistypes. Start again, with a new code"
            )));
        }
    }
}
