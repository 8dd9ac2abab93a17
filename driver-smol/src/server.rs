//! The TCP side of a signaling server: HTTP heads in, WebSockets and answers out.
//!
//! What is answered, and who may stay, is decided by [`wattle_core::signaling::Server`]: embedded
//! in a host on the LAN, or on its own as [`SignalingServer`].

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::protocol::Role;
use smol::channel::{Receiver, Sender};
use smol::future::{or, yield_now};
use smol::io::AsyncWriteExt as _;
use smol::net::{TcpListener, TcpStream};
use smol::{Executor, Task, Timer};
use wattle_core::signaling::{ConnectionId, Server, ServerConfig, ServerInput, ServerOutput};

use crate::Clock;
use crate::http_head::{HeadError, read_head, respond};
use crate::outbox::{Outbox, Outgoing};
use crate::websocket;

/// How long to wait after `accept` failed, which it does when files run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long the last frames may take to leave when the server stops.
const FINISH: Duration = Duration::from_millis(500);

/// How many inputs are given to the server before its outputs are taken.
const BUDGET: usize = 64;

/// A signaling server of its own, as PeerServer: what `wattle serve` runs.
#[derive(Debug)]
pub struct SignalingServer {
    listener: TcpListener,
    config: ServerConfig,
}

impl SignalingServer {
    /// Listens at `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// If the system does not allow it: the address is not this machine's, or the port is taken.
    pub async fn bind(address: SocketAddr, config: ServerConfig) -> io::Result<Self> {
        Ok(Self {
            listener: TcpListener::bind(address).await?,
            config,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system cannot tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the future is dropped, which closes all connections.
    ///
    /// # Errors
    /// If the system has no random bytes.
    pub async fn run(self) -> io::Result<()> {
        let clock = Clock::new();
        let frame_limit = usize::try_from(self.config.frame).unwrap_or(usize::MAX);
        let mut server = Server::new(self.config, crate::seed()?, clock.now());
        let executor = Arc::new(Executor::new());
        let (sender, inbox) = smol::channel::bounded(INBOX);
        let mut clients = Clients::new(Arc::clone(&executor), sender, self.listener, frame_limit);
        executor
            .run(async {
                loop {
                    drive(&mut server, &mut clients, &inbox, &clock).await;
                }
            })
            .await
    }
}

/// How many pieces of news may wait for the loop; a full inbox makes the clients wait.
const INBOX: usize = 64;

/// One turn: waits for news or the deadline, then takes what there is.
async fn drive(
    server: &mut Server,
    clients: &mut Clients,
    inbox: &Receiver<ClientNews>,
    clock: &Clock,
) {
    let deadline = server
        .poll_timeout()
        .and_then(|timeout| clock.instant(timeout));
    let timer = async {
        match deadline {
            Some(deadline) => {
                Timer::at(deadline).await;
            }
            None => std::future::pending().await,
        }
        None
    };
    let first = or(async { inbox.recv().await.ok() }, timer).await;
    let mut next = first;
    for _ in 0..BUDGET {
        let Some(news) = next else { break };
        clients.note(&news);
        server.handle_input(clock.now(), news.input());
        next = inbox.try_recv().ok();
    }
    // The budget may have ended with one piece of news in hand.
    if let Some(news) = next {
        clients.note(&news);
        server.handle_input(clock.now(), news.input());
    }
    let now = clock.now();
    if server.poll_timeout().is_some_and(|timeout| timeout <= now) {
        server.handle_timeout(now);
    }
    while let Some(output) = server.poll_output() {
        if let Some(connection) = clients.command(output) {
            server.handle_input(clock.now(), ServerInput::Closed { connection });
        }
    }
    yield_now().await;
}

/// What a client's connection tells the loop.
#[derive(Debug)]
pub(crate) enum ClientNews {
    Accepted {
        connection: ConnectionId,
        peer: IpAddr,
    },
    Request {
        connection: ConnectionId,
        peer: IpAddr,
        method: String,
        target: String,
        upgrade: bool,
    },
    Frame {
        connection: ConnectionId,
        text: String,
    },
    Closed {
        connection: ConnectionId,
    },
}

impl ClientNews {
    /// The same for the machine.
    pub(crate) fn input(&self) -> ServerInput<'_> {
        match self {
            Self::Accepted { connection, peer } => ServerInput::Accepted {
                connection: *connection,
                peer: *peer,
            },
            Self::Request {
                connection,
                peer,
                method,
                target,
                upgrade,
            } => ServerInput::Request {
                connection: *connection,
                peer: *peer,
                method,
                target,
                upgrade: *upgrade,
            },
            Self::Frame { connection, text } => ServerInput::Frame {
                connection: *connection,
                text,
            },
            Self::Closed { connection } => ServerInput::Closed {
                connection: *connection,
            },
        }
    }
}

/// What a connection that has asked is answered.
#[derive(Debug)]
enum Verdict {
    Upgrade,
    Respond { status: u16, body: String },
}

/// The connections of a signaling server.
#[derive(Debug)]
pub(crate) struct Clients {
    /// Shared with the acceptor; locked for map operations only.
    table: Arc<Mutex<Table>>,
    closing: Vec<Task<()>>,
    acceptor: Task<()>,
}

type Table = BTreeMap<ConnectionId, Client>;

#[derive(Debug)]
struct Client {
    outbox: Outbox<String>,
    verdict: Sender<Verdict>,
    /// Dropping it closes the connection at once.
    task: Option<Task<()>>,
    /// Whether its request has come: before that there is nothing to finish.
    has_asked: bool,
}

impl Clients {
    /// Accepts connections at `listener` on `executor`, and sends their news to `inbox`.
    pub(crate) fn new(
        executor: Arc<Executor<'static>>,
        inbox: Sender<ClientNews>,
        listener: TcpListener,
        frame_limit: usize,
    ) -> Self {
        let table = Arc::new(Mutex::new(Table::default()));
        let door = Door {
            // Weak: the executor owns the acceptor, which must not own the executor.
            executor: Arc::downgrade(&executor),
            table: Arc::clone(&table),
            inbox,
            frame_limit,
        };
        Self {
            acceptor: executor.spawn(accept(listener, door)),
            table,
            closing: Vec::new(),
        }
    }

    /// To be called with all news, before the machine sees it.
    pub(crate) fn note(&mut self, news: &ClientNews) {
        match news {
            ClientNews::Request { connection, .. } => {
                if let Some(client) = lock(&self.table).get_mut(connection) {
                    client.has_asked = true;
                }
            }
            ClientNews::Closed { connection } => {
                lock(&self.table).remove(connection);
            }
            ClientNews::Accepted { .. } | ClientNews::Frame { .. } => {}
        }
    }

    /// Does what the machine asks. Returns a connection that had to be closed for it.
    pub(crate) fn command(&mut self, output: ServerOutput) -> Option<ConnectionId> {
        let mut table = lock(&self.table);
        match output {
            ServerOutput::Upgrade { connection } => {
                if let Some(client) = table.get(&connection) {
                    let _ = client.verdict.try_send(Verdict::Upgrade);
                }
            }
            ServerOutput::Respond {
                connection,
                status,
                body,
            } => {
                if let Some(mut client) = table.remove(&connection) {
                    let _ = client.verdict.try_send(Verdict::Respond { status, body });
                    self.closing.extend(client.task.take());
                }
            }
            ServerOutput::Send { connection, text } => {
                if let Some(client) = table.get(&connection)
                    && client.outbox.send(text).is_err()
                {
                    tracing::debug!("a signaling client takes nothing, closing");
                    table.remove(&connection);
                    return Some(connection);
                }
            }
            ServerOutput::Close { connection } => {
                if let Some(mut client) = table.remove(&connection) {
                    client.outbox.close();
                    client.verdict.close();
                    if client.has_asked {
                        self.closing.extend(client.task.take());
                    }
                }
            }
            _ => tracing::error!("a server command that this driver does not know"),
        }
        drop(table);
        // Ends by itself within the write timeout of each; here only the list is pruned.
        if self.closing.len() > 64 {
            self.closing.retain(|task| !task.is_finished());
        }
        None
    }

    /// Stops to accept and lets last frames leave.
    pub(crate) async fn finish(self) {
        let Self {
            table,
            mut closing,
            acceptor,
            ..
        } = self;
        acceptor.cancel().await;
        let clients = std::mem::take(&mut *lock(&table));
        for mut client in clients.into_values() {
            client.outbox.close();
            client.verdict.close();
            if client.has_asked {
                closing.extend(client.task.take());
            }
        }
        websocket::finish(closing, FINISH).await;
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the acceptor needs for each connection.
struct Door {
    executor: Weak<Executor<'static>>,
    table: Arc<Mutex<Table>>,
    inbox: Sender<ClientNews>,
    frame_limit: usize,
}

async fn accept(listener: TcpListener, door: Door) {
    let numbers = AtomicU64::new(0);
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "accept failed");
                Timer::after(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let peer = peer.ip();
        let Some(executor) = door.executor.upgrade() else {
            return;
        };
        let _ = stream.set_nodelay(true);
        let connection = ConnectionId(numbers.fetch_add(1, Ordering::Relaxed));
        let (outbox, outgoing) = websocket::outbox();
        let (verdict, verdicts) = smol::channel::bounded(1);
        let visit = Visit {
            connection,
            peer,
            outgoing,
            verdicts,
            inbox: door.inbox.clone(),
            frame_limit: door.frame_limit,
        };
        let client = Client {
            outbox,
            verdict,
            task: None,
            has_asked: false,
        };
        // Known before anything is said of it.
        lock(&door.table).insert(connection, client);
        // A full inbox makes new clients wait, too.
        let accepted = ClientNews::Accepted { connection, peer };
        if door.inbox.send(accepted).await.is_err() {
            return;
        }
        let inbox = door.inbox.clone();
        let task = executor.spawn(async move {
            visit.run(stream).await;
            let _ = inbox.send(ClientNews::Closed { connection }).await;
        });
        // If it is not there any more, it was not wanted: the task ends here.
        if let Some(client) = lock(&door.table).get_mut(&connection) {
            client.task = Some(task);
        }
    }
}

/// One connection, from its head to its end.
struct Visit {
    connection: ConnectionId,
    peer: IpAddr,
    outgoing: Outgoing<String>,
    verdicts: Receiver<Verdict>,
    inbox: Sender<ClientNews>,
    frame_limit: usize,
}

impl Visit {
    async fn run(self, mut stream: TcpStream) {
        let connection = self.connection;
        let (head, rest) = match read_head(&mut stream).await {
            Ok(read) => read,
            Err(HeadError::Silent) => return,
            Err(HeadError::Bad(status)) => {
                respond(&mut stream, status, "").await;
                return;
            }
        };
        let request = ClientNews::Request {
            connection,
            peer: self.peer,
            method: head.method,
            target: head.target,
            upgrade: head.upgrade.is_some(),
        };
        if self.inbox.send(request).await.is_err() {
            return;
        }
        match self.verdicts.recv().await {
            Ok(Verdict::Upgrade) => {
                let Some(response) = head.upgrade else {
                    return;
                };
                if stream.write_all(&response).await.is_err() {
                    return;
                }
                // Frames over the limit are for the machine to judge: it counts them and says
                // goodbye. What is far over it is not even read.
                let limit = self.frame_limit.saturating_mul(4);
                let config = Some(websocket::config(limit));
                let socket =
                    WebSocketStream::from_partially_read(stream, rest, Role::Server, config).await;
                let wrap = |text| ClientNews::Frame { connection, text };
                let _why = websocket::pump(socket, self.outgoing, &self.inbox, wrap).await;
            }
            Ok(Verdict::Respond { status, body }) => respond(&mut stream, status, &body).await,
            Err(_closed) => {}
        }
    }
}
