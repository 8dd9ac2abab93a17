//! The loop that drives one node: one task owns the sockets, the connections and the timer.
//!
//! Every turn looks at each source in the same order, takes a bounded amount from it, gives it to
//! the node and does what the node then asks. There is no decision about the protocol here.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use smol::channel::Receiver;
use smol::net::TcpListener;
use smol::stream::Stream as _;
use smol::{Executor, Timer};
use wattle_core::native::{Input, Output, StreamFailure, StreamUpdate};
use wattle_core::signaling::{ServerInput, SignalingFailure, SignalingId, SignalingUpdate};

use crate::interfaces::{self, Watch};
use crate::names::{Names, Resolved};
use crate::options::Options;
use crate::server::{ClientNews, Clients};
use crate::shared::Shared;
use crate::signaling::Connections;
use crate::streams::{StreamNews, Streams};
use crate::udp::Sockets;

/// What a connection to a signaling server tells the loop.
#[derive(Debug)]
pub(crate) enum SignalingNews {
    /// From which address.
    Opened(SignalingId, Option<IpAddr>),
    Frame(SignalingId, String),
    Closed(SignalingId, SignalingFailure),
}

/// How many pieces of news may wait for the loop; then the connections wait.
const INBOX: usize = 64;

/// How many turns are made before the connections' tasks get theirs.
const TURNS: usize = 16;

/// How much is taken from an inbox in one turn.
const NEWS_PER_TURN: usize = 32;

/// How long what was sent last may take to leave once the network has ended.
const FINISH: Duration = Duration::from_millis(500);

/// Drives the node until its network has ended.
pub(crate) struct EventLoop {
    shared: Arc<Shared>,
    options: Options,
    loopback: bool,
    executor: Arc<Executor<'static>>,
    sockets: Sockets,
    watch: Watch,
    signaling: Connections,
    news: Pin<Box<Receiver<SignalingNews>>>,
    server: Option<(Clients, Pin<Box<Receiver<ClientNews>>>)>,
    names: Names,
    resolved: Pin<Box<Receiver<Resolved>>>,
    streams: Streams,
    stream_news: Pin<Box<Receiver<StreamNews>>>,
    timer: Timer,
    deadline: Option<Instant>,
}

impl EventLoop {
    /// Opens the sockets of `addresses`; `listener` is for the embedded signaling server.
    pub(crate) fn new(
        shared: Arc<Shared>,
        options: Options,
        loopback: bool,
        sockets: Sockets,
        listener: Option<TcpListener>,
    ) -> Self {
        let executor = Arc::new(Executor::new());
        let (sender, news) = smol::channel::bounded(INBOX);
        let frame_limit =
            usize::try_from(options.config.limits().signaling_frame).unwrap_or(usize::MAX);
        let signaling = Connections::new(
            Arc::clone(&executor),
            sender,
            options.roots.clone(),
            frame_limit,
        );
        let server = listener.map(|listener| {
            let (sender, news) = smol::channel::bounded(INBOX);
            let clients = Clients::new(Arc::clone(&executor), sender, listener, frame_limit);
            (clients, Box::pin(news))
        });
        let (sender, resolved) = smol::channel::bounded(INBOX);
        let names = Names::new(Arc::clone(&executor), sender, options.bind);
        let (sender, stream_news) = smol::channel::bounded(INBOX);
        let streams = Streams::new(Arc::clone(&executor), sender, options.roots.clone());
        Self {
            shared,
            options,
            loopback,
            executor,
            sockets,
            watch: Watch::new(),
            signaling,
            news: Box::pin(news),
            server,
            names,
            resolved: Box::pin(resolved),
            streams,
            stream_news: Box::pin(stream_news),
            timer: Timer::never(),
            deadline: None,
        }
    }

    /// Runs to the end of the network, and lets last words leave.
    pub(crate) async fn run(mut self) {
        let executor = Arc::clone(&self.executor);
        executor
            .run(async {
                self.announce_interfaces();
                poll_fn(|context| self.poll(context)).await;
                let _ =
                    smol::future::or(poll_fn(|context| self.sockets.poll_send(context)), async {
                        Timer::after(FINISH).await;
                    })
                    .await;
                let Self {
                    signaling,
                    server,
                    streams,
                    ..
                } = self;
                // All at once: each has its own limit.
                let serving = async {
                    if let Some((clients, _)) = server {
                        clients.finish().await;
                    }
                };
                let connections =
                    smol::future::zip(signaling.finish(FINISH), streams.finish(FINISH));
                smol::future::zip(connections, serving).await;
            })
            .await;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURNS {
            let mut busy = false;
            busy |= self.poll_interfaces(context);
            busy |= self.poll_datagrams(context);
            busy |= self.poll_signaling(context);
            busy |= self.poll_server(context);
            busy |= self.poll_names(context);
            busy |= self.poll_streams(context);
            busy |= self.poll_application(context);
            busy |= self.poll_timer(context);
            let _ = self.sockets.poll_send(context);
            if self.shared.lock().is_over() {
                return Poll::Ready(());
            }
            if !busy {
                return Poll::Pending;
            }
        }
        // There is more, but the connections' tasks run on this executor, too.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_interfaces(&mut self, context: &mut Context<'_>) -> bool {
        let Poll::Ready(look) = self.watch.poll_look(context) else {
            return false;
        };
        let found = interfaces::look(self.options.bind, self.loopback);
        let followed = self.sockets.follow(&look, found);
        if followed.changed {
            tracing::debug!(sockets = self.sockets.len(), "interfaces changed");
            self.announce_interfaces();
        }
        // Also when there is only more than before: what waits for a way is tried at once.
        if followed.changed || followed.anew {
            tracing::debug!("the network may be another");
            self.shared.lock().input(Input::NetworkChanged);
            self.drain();
        }
        if followed.changed || followed.anew || !look.went.is_empty() {
            self.give_up_connections();
        }
        true
    }

    /// Connections from an address that is gone are, too, without a word.
    fn give_up_connections(&mut self) {
        let Some(addresses) = interfaces::assigned() else {
            return;
        };
        for id in self.signaling.give_up(&addresses) {
            let update = SignalingUpdate::Closed(id, SignalingFailure::Closed);
            self.shared.lock().input(Input::Signaling(update));
        }
        for stream in self.streams.give_up(&addresses) {
            let update = StreamUpdate::Failed(StreamFailure::Broken);
            self.shared.lock().input(Input::Stream { stream, update });
        }
        self.drain();
    }

    fn announce_interfaces(&mut self) {
        let interfaces = self.sockets.interfaces();
        self.shared.lock().input(Input::Interfaces(&interfaces));
        self.drain();
    }

    fn poll_datagrams(&mut self, context: &mut Context<'_>) -> bool {
        let mut busy = false;
        for number in 0..self.sockets.len() {
            let shared = &self.shared;
            let mut node = None;
            let take = |local: SocketAddr, remote: SocketAddr, payload: &[u8]| {
                // Locked by the first datagram, not while the socket is asked.
                let node = node.get_or_insert_with(|| shared.lock());
                node.input(Input::Datagram {
                    local,
                    remote,
                    payload,
                });
            };
            if self.sockets.poll_receive(number, context, take).is_ready() {
                drop(node);
                busy = true;
                self.drain();
            }
        }
        busy
    }

    fn poll_signaling(&mut self, context: &mut Context<'_>) -> bool {
        for count in 0..NEWS_PER_TURN {
            // The inbox never ends: the sender for new connections is kept.
            let Poll::Ready(Some(news)) = self.news.as_mut().poll_next(context) else {
                return count > 0;
            };
            let update = self.signaling.note(&news);
            self.shared.lock().input(Input::Signaling(update));
            self.drain();
        }
        true
    }

    fn poll_server(&mut self, context: &mut Context<'_>) -> bool {
        for count in 0..NEWS_PER_TURN {
            let Some((clients, news)) = &mut self.server else {
                return false;
            };
            let Poll::Ready(Some(news)) = news.as_mut().poll_next(context) else {
                return count > 0;
            };
            clients.note(&news);
            self.shared.lock().input(Input::Server(news.input()));
            self.drain();
        }
        true
    }

    fn poll_names(&mut self, context: &mut Context<'_>) -> bool {
        for count in 0..NEWS_PER_TURN {
            let Poll::Ready(Some(answer)) = self.resolved.as_mut().poll_next(context) else {
                return count > 0;
            };
            if self.names.note(&answer) {
                self.shared.lock().input(Input::Resolved {
                    name: &answer.name,
                    addresses: &answer.addresses,
                });
                self.drain();
            }
        }
        true
    }

    fn poll_streams(&mut self, context: &mut Context<'_>) -> bool {
        for count in 0..NEWS_PER_TURN {
            let Poll::Ready(Some(news)) = self.stream_news.as_mut().poll_next(context) else {
                return count > 0;
            };
            if self.streams.note(&news) {
                self.shared.lock().input(Input::Stream {
                    stream: news.stream,
                    update: news.what.update(),
                });
                self.drain();
            }
        }
        true
    }

    /// Does what the application's calls have led to.
    fn poll_application(&mut self, context: &mut Context<'_>) -> bool {
        if !self.shared.lock().take_called(context) {
            return false;
        }
        self.drain();
        true
    }

    fn poll_timer(&mut self, context: &mut Context<'_>) -> bool {
        let deadline = self.shared.lock().deadline();
        if deadline != self.deadline {
            self.deadline = deadline;
            match deadline {
                Some(deadline) => self.timer.set_at(deadline),
                None => self.timer = Timer::never(),
            }
        }
        if Pin::new(&mut self.timer).poll(context).is_pending() {
            return false;
        }
        // A timer that has fired is not set again by the same deadline.
        self.deadline = None;
        self.shared.lock().timeout();
        self.drain();
        true
    }

    /// Does what the node asks, until it asks for nothing more.
    fn drain(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut node = shared.lock();
        while let Some(output) = node.output() {
            match output {
                Output::Transmit(datagram) => {
                    self.sockets
                        .send(datagram.local, datagram.remote, datagram.payload);
                }
                Output::Signaling(command) => {
                    if let Some((id, failure)) = self.signaling.command(command) {
                        node.input(Input::Signaling(SignalingUpdate::Closed(id, failure)));
                    }
                }
                Output::Server(output) => {
                    let closed = self
                        .server
                        .as_mut()
                        .and_then(|(clients, _)| clients.command(output));
                    if let Some(connection) = closed {
                        node.input(Input::Server(ServerInput::Closed { connection }));
                    }
                }
                Output::Event(event) => node.event(event),
                Output::Resolve { name } => {
                    if let Some(answer) = self.names.resolve(name) {
                        node.input(Input::Resolved {
                            name: &answer.name,
                            addresses: &answer.addresses,
                        });
                    }
                }
                Output::Stream { stream, command } => {
                    if let Some(failure) = self.streams.command(stream, command) {
                        let update = StreamUpdate::Failed(failure);
                        node.input(Input::Stream { stream, update });
                    }
                }
                _ => tracing::error!("an output that this driver does not know"),
            }
        }
        node.wake_reader();
        drop(node);
        shared.wake_waiting();
    }
}
