//! The driver's connections to a signaling server, as the core asks for them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures_rustls::pki_types::CertificateDer;
use smol::channel::Sender;
use smol::{Executor, Task};
use std::sync::Arc;
use wattle_core::signaling::{SignalingCommand, SignalingFailure, SignalingId, SignalingUpdate};

use crate::event_loop::SignalingNews;
use crate::outbox::{Outbox, Outgoing};
use crate::{tcp, websocket};

/// All of them; usually there is one.
#[derive(Debug)]
pub(crate) struct Connections {
    executor: Arc<Executor<'static>>,
    inbox: Sender<SignalingNews>,
    roots: Vec<CertificateDer<'static>>,
    frame_limit: usize,
    connections: BTreeMap<SignalingId, Connection>,
    /// Told to close, still sending what was queued.
    closing: Vec<Task<()>>,
}

#[derive(Debug)]
struct Connection {
    outbox: Outbox<String>,
    task: Task<()>,
    is_open: bool,
    /// Our end, once it is open.
    local: Option<IpAddr>,
}

impl Connections {
    pub(crate) fn new(
        executor: Arc<Executor<'static>>,
        inbox: Sender<SignalingNews>,
        roots: Vec<CertificateDer<'static>>,
        frame_limit: usize,
    ) -> Self {
        Self {
            executor,
            inbox,
            roots,
            frame_limit,
            connections: BTreeMap::new(),
            closing: Vec::new(),
        }
    }

    /// Does what the core asks. Returns the news that this makes at once, if any.
    pub(crate) fn command(
        &mut self,
        command: SignalingCommand,
    ) -> Option<(SignalingId, SignalingFailure)> {
        match command {
            SignalingCommand::Open(id, url) => {
                let (outbox, outgoing) = websocket::outbox();
                let run = run(
                    id,
                    url,
                    self.roots.clone(),
                    self.frame_limit,
                    self.inbox.clone(),
                    outgoing,
                );
                let connection = Connection {
                    outbox,
                    task: self.executor.spawn(run),
                    is_open: false,
                    local: None,
                };
                self.connections.insert(id, connection);
            }
            SignalingCommand::Send(id, text) => {
                if let Some(connection) = self.connections.get(&id)
                    && connection.outbox.send(text).is_err()
                {
                    tracing::warn!("the signaling server takes nothing, closing");
                    self.connections.remove(&id);
                    return Some((id, SignalingFailure::Closed));
                }
            }
            SignalingCommand::Close(id) => {
                if let Some(connection) = self.connections.remove(&id) {
                    self.close(connection);
                }
            }
            _ => tracing::error!("a signaling command that this driver does not know"),
        }
        None
    }

    /// Takes note of what a connection says, and puts it as the core wants it.
    pub(crate) fn note<'news>(&mut self, news: &'news SignalingNews) -> SignalingUpdate<'news> {
        match news {
            SignalingNews::Opened(id, local) => {
                self.opened(*id, *local);
                SignalingUpdate::Opened(*id)
            }
            SignalingNews::Frame(id, text) => SignalingUpdate::Frame(*id, text),
            SignalingNews::Closed(id, failure) => {
                self.connections.remove(id);
                SignalingUpdate::Closed(*id, *failure)
            }
        }
    }

    /// Takes note that a connection is open, so that closing it lets its frames leave first.
    fn opened(&mut self, id: SignalingId, local: Option<IpAddr>) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.is_open = true;
            connection.local = local;
        }
    }

    /// Gives up connections whose address this machine has not any more: nothing comes through them,
    /// and nobody would say so. Returns which.
    pub(crate) fn give_up(&mut self, addresses: &[IpAddr]) -> Vec<SignalingId> {
        let mut gone = Vec::new();
        self.connections.retain(|id, connection| {
            let is_gone = connection
                .local
                .is_some_and(|local| tcp::is_gone(local, addresses));
            gone.extend(is_gone.then_some(*id));
            !is_gone
        });
        gone
    }

    fn close(&mut self, connection: Connection) {
        self.closing.retain(|task| !task.is_finished());
        // Dropping the task of a connection that is still being made gives it up at once.
        if connection.is_open {
            connection.outbox.close();
            self.closing.push(connection.task);
        }
    }

    /// Lets last frames leave, for at most `limit`.
    pub(crate) async fn finish(mut self, limit: Duration) {
        for connection in std::mem::take(&mut self.connections).into_values() {
            self.close(connection);
        }
        websocket::finish(self.closing, limit).await;
    }
}

/// One connection, from its opening to its end.
async fn run(
    id: SignalingId,
    url: String,
    roots: Vec<CertificateDer<'static>>,
    frame_limit: usize,
    inbox: Sender<SignalingNews>,
    outgoing: Outgoing<String>,
) {
    let failure = match websocket::connect(&url, &roots, frame_limit).await {
        Ok((stream, local)) => {
            if inbox.send(SignalingNews::Opened(id, local)).await.is_err() {
                return;
            }
            let wrap = |text| SignalingNews::Frame(id, text);
            websocket::pump(stream, outgoing, &inbox, wrap).await
        }
        Err(failure) => failure,
    };
    // Fails only if the loop is gone.
    let _ = inbox.send(SignalingNews::Closed(id, failure)).await;
}
