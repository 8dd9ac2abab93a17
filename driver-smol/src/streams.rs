//! Connections to TURN servers, as the core asks for them: TCP, TLS, and UDP from a port of their own.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_rustls::pki_types::{CertificateDer, ServerName};
use smol::channel::Sender;
use smol::future::or;
use smol::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use smol::net::TcpStream;
use smol::{Executor, Task, Timer};
use wattle_core::native::{StreamCommand, StreamFailure, StreamId, StreamUpdate};

use crate::outbox::{self, Outbox, Outgoing};
use crate::{port, tcp, tls, websocket};

/// How long a stream may take to open, TLS included; tests do not wait for so long.
const OPEN: Duration = Duration::from_secs(6);

/// How long what was sent may take to leave before the other side counts as stuck: UDP would lose
/// it, and a stream that holds up the newest for the sake of the oldest is worse than none.
const WRITE: Duration = Duration::from_secs(5);

/// How long nothing may come through before a new stream is better.
const PATIENCE: Duration = Duration::from_secs(8);

/// How many streams there may be; more cannot be opened.
const STREAMS: usize = 64;

/// How much may wait to be sent on one stream: messages over this are dropped, each as a whole.
const WAITING: usize = 256 * 1024;
const MESSAGES: usize = 4096;

/// How much is read, and written, at once.
const READ: usize = 16 * 1024;
const WRITTEN: usize = 64 * 1024;

/// What a stream tells the loop.
#[derive(Debug)]
pub(crate) struct StreamNews {
    pub(crate) stream: StreamId,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    Opened(SocketAddr),
    Bytes(Bytes),
    Closed,
    Failed(StreamFailure),
}

impl What {
    /// As the core is told.
    pub(crate) fn update(&self) -> StreamUpdate<'_> {
        match self {
            Self::Opened(local) => StreamUpdate::Opened { local: *local },
            Self::Bytes(bytes) => StreamUpdate::Bytes(bytes),
            Self::Closed => StreamUpdate::Closed,
            Self::Failed(failure) => StreamUpdate::Failed(*failure),
        }
    }
}

/// All streams of a node.
#[derive(Debug)]
pub(crate) struct Streams {
    executor: Arc<Executor<'static>>,
    inbox: Sender<StreamNews>,
    roots: Vec<CertificateDer<'static>>,
    streams: BTreeMap<StreamId, Stream>,
    /// Told to close, still sending what was queued.
    closing: Vec<Task<()>>,
}

#[derive(Debug)]
struct Stream {
    outbox: Outbox<Bytes>,
    task: Task<()>,
    /// Our end, once it is open.
    local: Option<SocketAddr>,
    dropped: u64,
}

impl Streams {
    pub(crate) const fn new(
        executor: Arc<Executor<'static>>,
        inbox: Sender<StreamNews>,
        roots: Vec<CertificateDer<'static>>,
    ) -> Self {
        Self {
            executor,
            inbox,
            roots,
            streams: BTreeMap::new(),
            closing: Vec::new(),
        }
    }

    /// Does what the core asks. Returns why it cannot be done, if so.
    pub(crate) fn command(
        &mut self,
        stream: StreamId,
        command: StreamCommand,
    ) -> Option<StreamFailure> {
        match command {
            StreamCommand::Open { remote, tls } => {
                let tls = tls.map(|name| (name, self.roots.clone()));
                return self.open(stream, |inbox, outgoing| {
                    run(stream, remote, tls, inbox, outgoing)
                });
            }
            StreamCommand::OpenUdp { remote, beside } => {
                return self.open(stream, |inbox, outgoing| {
                    port::run(stream, remote, beside, inbox, outgoing)
                });
            }
            StreamCommand::Send(bytes) => {
                if let Some(known) = self.streams.get_mut(&stream)
                    && known.outbox.send(bytes).is_err()
                {
                    known.dropped = known.dropped.saturating_add(1);
                    if known.dropped.is_power_of_two() {
                        tracing::debug!(%stream, count = known.dropped, "messages dropped: it is full");
                    }
                }
            }
            StreamCommand::Close => {
                if let Some(known) = self.streams.remove(&stream) {
                    self.close(known);
                }
            }
            _ => tracing::error!("a stream command that this driver does not know"),
        }
        None
    }

    fn open<R: Future<Output = ()> + Send + 'static>(
        &mut self,
        stream: StreamId,
        run: impl FnOnce(Sender<StreamNews>, Outgoing<Bytes>) -> R,
    ) -> Option<StreamFailure> {
        if self.streams.len() >= STREAMS {
            tracing::warn!("too many streams");
            return Some(StreamFailure::Unreachable);
        }
        let (outbox, outgoing) = outbox::outbox(MESSAGES, WAITING);
        let new = Stream {
            outbox,
            task: self.executor.spawn(run(self.inbox.clone(), outgoing)),
            local: None,
            dropped: 0,
        };
        self.streams.insert(stream, new);
        None
    }

    /// Takes note of news. `false`: the core has closed the stream and is to hear no more of it.
    pub(crate) fn note(&mut self, news: &StreamNews) -> bool {
        let Some(known) = self.streams.get_mut(&news.stream) else {
            return false;
        };
        match news.what {
            What::Opened(local) => known.local = Some(local),
            What::Bytes(_) => {}
            What::Closed | What::Failed(_) => {
                self.streams.remove(&news.stream);
            }
        }
        true
    }

    /// Gives up streams whose address this machine has not any more. Returns which.
    pub(crate) fn give_up(&mut self, addresses: &[IpAddr]) -> Vec<StreamId> {
        let mut gone = Vec::new();
        self.streams.retain(|id, stream| {
            let local = stream.local.map(|local| local.ip().to_canonical());
            let is_gone = local.is_some_and(|local| tcp::is_gone(local, addresses));
            gone.extend(is_gone.then_some(*id));
            !is_gone
        });
        gone
    }

    fn close(&mut self, stream: Stream) {
        self.closing.retain(|task| !task.is_finished());
        // Dropping the task of a stream that is still being opened gives it up at once.
        if stream.local.is_some() {
            stream.outbox.close();
            self.closing.push(stream.task);
        }
    }

    /// Lets last messages leave, for at most `limit`.
    pub(crate) async fn finish(mut self, limit: Duration) {
        for stream in std::mem::take(&mut self.streams).into_values() {
            self.close(stream);
        }
        websocket::finish(self.closing, limit).await;
    }
}

/// One stream, from its opening to its end. `tls` has the server's name and our extra roots.
async fn run(
    stream: StreamId,
    remote: SocketAddr,
    tls: Option<(String, Vec<CertificateDer<'static>>)>,
    inbox: Sender<StreamNews>,
    outgoing: Outgoing<Bytes>,
) {
    let tell = |what| inbox.send(StreamNews { stream, what });
    let timed_out = async {
        Timer::after(OPEN).await;
        Err(StreamFailure::TimedOut)
    };
    let what = match or(open(remote, tls), timed_out).await {
        Ok((socket, local)) => {
            if tell(What::Opened(local)).await.is_err() {
                return;
            }
            pump(stream, socket, outgoing, &inbox).await
        }
        Err(failure) => What::Failed(failure),
    };
    // Fails only if the loop is gone.
    let _ = tell(what).await;
}

type Socket = Box<dyn websocket::Transport>;

async fn open(
    remote: SocketAddr,
    tls: Option<(String, Vec<CertificateDer<'static>>)>,
) -> Result<(Socket, SocketAddr), StreamFailure> {
    let stream = TcpStream::connect(remote).await.map_err(|error| {
        tracing::debug!(%error, "a stream cannot be opened");
        match error.kind() {
            io::ErrorKind::ConnectionRefused => StreamFailure::Refused,
            io::ErrorKind::TimedOut => StreamFailure::TimedOut,
            _ => StreamFailure::Unreachable,
        }
    })?;
    let _ = tcp::prepare(&stream, PATIENCE);
    let local = stream.local_addr().map_err(|_| StreamFailure::Broken)?;
    let Some((name, roots)) = tls else {
        return Ok((Box::new(stream), local));
    };
    let connector = smol::unblock(move || tls::connector(&roots))
        .await
        .map_err(|error| {
            tracing::warn!(%error, "TLS cannot be set up");
            StreamFailure::Tls
        })?;
    let name = ServerName::try_from(name).map_err(|_| StreamFailure::Tls)?;
    let secured = connector.connect(name, stream).await.map_err(|error| {
        tracing::debug!(%error, "TLS handshake failed");
        StreamFailure::Tls
    })?;
    Ok((Box::new(secured), local))
}

/// Moves bytes both ways until one side closes; says how it ended.
///
/// While `inbox` is full the server is not read from.
async fn pump(
    stream: StreamId,
    socket: impl AsyncRead + AsyncWrite + Unpin,
    outgoing: Outgoing<Bytes>,
    inbox: &Sender<StreamNews>,
) -> What {
    let (mut reader, mut writer) = smol::io::split(socket);
    let read = async {
        let mut buffer = vec![0; READ];
        loop {
            let bytes = match reader.read(&mut buffer).await {
                Ok(0) => return What::Closed,
                Ok(length) => buffer.get(..length).unwrap_or_default(),
                // A TLS connection that ends without a word.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return What::Closed,
                Err(error) => {
                    tracing::debug!(%error, "a stream broke");
                    return What::Failed(StreamFailure::Broken);
                }
            };
            let what = What::Bytes(Bytes::copy_from_slice(bytes));
            if inbox.send(StreamNews { stream, what }).await.is_err() {
                return What::Closed;
            }
        }
    };
    let write = async {
        let mut batch = Vec::new();
        while let Some(first) = outgoing.next().await {
            batch.clear();
            batch.extend_from_slice(&first);
            while batch.len() < WRITTEN
                && let Some(next) = outgoing.try_next()
            {
                batch.extend_from_slice(&next);
            }
            let leave = async {
                writer.write_all(&batch).await?;
                writer.flush().await
            };
            let timed_out = async {
                Timer::after(WRITE).await;
                Err(io::ErrorKind::TimedOut.into())
            };
            if let Err(error) = or(leave, timed_out).await {
                tracing::debug!(%error, "a stream broke");
                return What::Failed(StreamFailure::Broken);
            }
        }
        let timed_out = async {
            Timer::after(Duration::from_secs(1)).await;
            Ok(())
        };
        let _ = or(writer.close(), timed_out).await;
        What::Closed
    };
    or(write, read).await
}

#[cfg(test)]
#[path = "tests/streams.rs"]
mod tests;
