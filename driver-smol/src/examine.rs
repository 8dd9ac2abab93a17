//! An examination of this machine's network, without a network of nodes.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use smol::future::or;
use smol::{Executor, Timer};
use wattle_core::doctor::Examination;
use wattle_core::native::{Doctor, Input, Output, StreamUpdate};
use wattle_core::signaling::SignalingUpdate;

use crate::error::ConnectError;
use crate::event_loop::SignalingNews;
use crate::names::{Names, Resolved};
use crate::options::Options;
use crate::signaling::Connections;
use crate::streams::{StreamNews, Streams};
use crate::udp::Sockets;
use crate::{Clock, interfaces, seed};

/// How much news may wait.
const INBOX: usize = 64;

/// How long what was sent last may take to leave.
const FINISH: Duration = Duration::from_millis(500);

/// Asks the STUN and TURN servers of these options, and the signaling server if `signaling` says so, and
/// tells what they and the answers mean for connections from this machine. It takes 9 s at most.
///
/// Nobody else is contacted, and no network is hosted or joined.
///
/// # Errors
/// [`ConnectError::Bind`] if the address to use is not one of this machine,
/// [`ConnectError::System`] if the system does not give what is needed.
pub async fn examine(
    options: impl Into<Options>,
    signaling: bool,
) -> Result<Examination, ConnectError> {
    let options = options.into();
    let own = options.bind.is_some_and(|address| address.is_loopback());
    let loopback = options.config.loopback() || own || interfaces::only_loopback();
    let mut sockets = Sockets::new();
    let addresses = interfaces::addresses(options.bind, loopback);
    if let (_, Some(source)) = sockets.reconcile(&addresses)
        && let Some(address) = options.bind
    {
        return Err(ConnectError::Bind { address, source });
    }
    let clock = Clock::new();
    let config = options.config.clone().with_loopback(loopback);
    let doctor = Doctor::new(config, seed()?, clock.now(), signaling);
    let executor = Arc::new(Executor::new());
    let visit = Visit::new(options, Arc::clone(&executor), sockets, doctor, clock);
    Ok(executor.run(visit.run()).await)
}

/// The doctor at work.
struct Visit {
    doctor: Doctor,
    clock: Clock,
    sockets: Sockets,
    signaling: Connections,
    news: smol::channel::Receiver<SignalingNews>,
    names: Names,
    resolved: smol::channel::Receiver<Resolved>,
    streams: Streams,
    stream_news: smol::channel::Receiver<StreamNews>,
}

/// What happened next.
enum Next {
    Datagrams(Vec<(SocketAddr, SocketAddr, Vec<u8>)>),
    Signaling(SignalingNews),
    Resolved(Resolved),
    Stream(StreamNews),
    Timeout,
}

impl Visit {
    fn new(
        options: Options,
        executor: Arc<Executor<'static>>,
        sockets: Sockets,
        doctor: Doctor,
        clock: Clock,
    ) -> Self {
        let (signaling_sender, news) = smol::channel::bounded(INBOX);
        let (names_sender, resolved) = smol::channel::bounded(INBOX);
        let (stream_sender, stream_news) = smol::channel::bounded(INBOX);
        let frame_limit =
            usize::try_from(options.config.limits().signaling_frame).unwrap_or(usize::MAX);
        Self {
            doctor,
            clock,
            sockets,
            signaling: Connections::new(
                Arc::clone(&executor),
                signaling_sender,
                options.roots.clone(),
                frame_limit,
            ),
            news,
            names: Names::new(Arc::clone(&executor), names_sender, options.bind),
            resolved,
            streams: Streams::new(executor, stream_sender, options.roots),
            stream_news,
        }
    }

    async fn run(mut self) -> Examination {
        let interfaces = self.sockets.interfaces();
        self.input(Input::Interfaces(&interfaces));
        let examination = loop {
            if let Some(examination) = self.doctor.examination() {
                break examination.clone();
            }
            match self.next().await {
                Next::Datagrams(datagrams) => {
                    for (local, remote, payload) in &datagrams {
                        self.input(Input::Datagram {
                            local: *local,
                            remote: *remote,
                            payload,
                        });
                    }
                }
                Next::Signaling(news) => {
                    let update = self.signaling.note(&news);
                    self.input(Input::Signaling(update));
                }
                Next::Resolved(answer) => {
                    if self.names.note(&answer) {
                        self.input(Input::Resolved {
                            name: &answer.name,
                            addresses: &answer.addresses,
                        });
                    }
                }
                Next::Stream(news) => {
                    if self.streams.note(&news) {
                        self.input(Input::Stream {
                            stream: news.stream,
                            update: news.what.update(),
                        });
                    }
                }
                Next::Timeout => {
                    self.doctor.handle_timeout(self.clock.now());
                    self.obey();
                }
            }
        };
        // What was borrowed is given back.
        let flush = poll_fn(|context| self.sockets.poll_send(context));
        let enough = async {
            Timer::after(FINISH).await;
        };
        or(flush, enough).await;
        let Self {
            signaling, streams, ..
        } = self;
        smol::future::zip(signaling.finish(FINISH), streams.finish(FINISH)).await;
        examination
    }

    async fn next(&mut self) -> Next {
        let timer = match self.doctor.poll_timeout() {
            Some(at) => self.clock.instant(at).map_or_else(Timer::never, Timer::at),
            None => Timer::never(),
        };
        let sockets = &mut self.sockets;
        let datagrams = poll_fn(|context| {
            let _ = sockets.poll_send(context);
            let mut taken = Vec::new();
            for number in 0..sockets.len() {
                let take = |local, remote, payload: &[u8]| {
                    taken.push((local, remote, payload.to_vec()));
                };
                let _ = sockets.poll_receive(number, context, take);
            }
            if taken.is_empty() {
                return Poll::Pending;
            }
            context.waker().wake_by_ref();
            Poll::Ready(Next::Datagrams(taken))
        });
        // The inboxes never end: their senders are kept.
        let never = std::future::pending::<Next>;
        let news = async {
            match self.news.recv().await {
                Ok(news) => Next::Signaling(news),
                Err(_) => never().await,
            }
        };
        let resolved = async {
            match self.resolved.recv().await {
                Ok(answer) => Next::Resolved(answer),
                Err(_) => never().await,
            }
        };
        let streams = async {
            match self.stream_news.recv().await {
                Ok(news) => Next::Stream(news),
                Err(_) => never().await,
            }
        };
        let timeout = async {
            timer.await;
            Next::Timeout
        };
        let rest = pin!(or(news, or(resolved, or(streams, timeout))));
        or(datagrams, rest).await
    }

    fn input(&mut self, input: Input<'_>) {
        self.doctor.handle_input(self.clock.now(), input);
        self.obey();
    }

    /// Does what the doctor asks, until it asks for nothing more.
    fn obey(&mut self) {
        let now = self.clock.now();
        while let Some(output) = self.doctor.poll_output() {
            match output {
                Output::Transmit(datagram) => {
                    self.sockets
                        .send(datagram.local, datagram.remote, datagram.payload);
                }
                Output::Signaling(command) => {
                    if let Some((id, failure)) = self.signaling.command(command) {
                        let update = SignalingUpdate::Closed(id, failure);
                        self.doctor.handle_input(now, Input::Signaling(update));
                    }
                }
                Output::Resolve { name } => {
                    if let Some(answer) = self.names.resolve(name) {
                        self.doctor.handle_input(
                            now,
                            Input::Resolved {
                                name: &answer.name,
                                addresses: &answer.addresses,
                            },
                        );
                    }
                }
                Output::Stream { stream, command } => {
                    if let Some(failure) = self.streams.command(stream, command) {
                        let update = StreamUpdate::Failed(failure);
                        self.doctor
                            .handle_input(now, Input::Stream { stream, update });
                    }
                }
                Output::Server(_) | Output::Event(_) => {}
                _ => tracing::error!("an output that this driver does not know"),
            }
        }
    }
}
