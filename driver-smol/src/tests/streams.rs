use super::*;
use futures_rustls::TlsAcceptor;
use smol::channel::Receiver;
use smol::net::TcpListener;

const ID: StreamId = StreamId(7);

struct Test {
    streams: Streams,
    inbox: Receiver<StreamNews>,
    executor: Arc<Executor<'static>>,
}

impl Test {
    fn new(roots: &[CertificateDer<'static>]) -> Self {
        let executor = Arc::new(Executor::new());
        let (sender, inbox) = smol::channel::bounded(8);
        Self {
            streams: Streams::new(Arc::clone(&executor), sender, roots.to_vec()),
            inbox,
            executor,
        }
    }

    fn open(&mut self, remote: SocketAddr, tls: Option<&str>) {
        let tls = tls.map(str::to_owned);
        let command = StreamCommand::Open { remote, tls };
        assert_eq!(self.streams.command(ID, command), None);
    }

    fn send(&mut self, bytes: &'static [u8]) {
        let command = StreamCommand::Send(Bytes::from_static(bytes));
        assert_eq!(self.streams.command(ID, command), None);
    }

    async fn next(&mut self) -> What {
        let news = self.inbox.recv().await.unwrap();
        assert_eq!(news.stream, ID);
        assert!(self.streams.note(&news));
        news.what
    }

    async fn opened(&mut self) -> SocketAddr {
        match self.next().await {
            What::Opened(local) => local,
            other => panic!("{other:?}"),
        }
    }

    async fn failure(&mut self) -> StreamFailure {
        match self.next().await {
            What::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    /// So many bytes, however they come.
    async fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            match self.next().await {
                What::Bytes(more) => bytes.extend_from_slice(&more),
                other => panic!("{other:?}"),
            }
        }
        bytes
    }
}

/// Plays `play` with streams, next to a server.
fn with<F: Future<Output = ()>>(
    test: Test,
    server: impl Future<Output = ()>,
    play: impl FnOnce(Test) -> F,
) {
    let executor = Arc::clone(&test.executor);
    let late = async {
        Timer::after(Duration::from_secs(40)).await;
        panic!("too late");
    };
    let server = async {
        server.await;
        std::future::pending().await
    };
    smol::block_on(executor.run(or(play(test), or(server, late))));
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut buffer = [0; 1000];
    loop {
        let length = stream.read(&mut buffer).await.unwrap_or(0);
        if length == 0 {
            break;
        }
        stream.write_all(&buffer[..length]).await.unwrap();
        stream.flush().await.unwrap();
    }
}

#[test]
fn bytes_go_both_ways_and_what_was_sent_leaves_before_the_end() {
    let (listener, address) = smol::block_on(listener());
    let (sender, heard) = smol::channel::bounded(1);
    let server = async move {
        let (mut stream, from) = listener.accept().await.unwrap();
        let mut start = [0; 4];
        stream.read_exact(&mut start).await.unwrap();
        stream.write_all(&start).await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        sender.send((from, rest)).await.unwrap();
    };
    with(Test::new(&[]), server, |mut test| async move {
        test.open(address, None);
        // Also what is sent before it is open.
        test.send(b"pi");
        test.send(b"ng");
        let local = test.opened().await;
        assert_eq!(test.bytes(4).await, b"ping");
        test.send(b"last ");
        test.send(b"words");
        assert_eq!(test.streams.command(ID, StreamCommand::Close), None);
        let Test { streams, inbox, .. } = test;
        streams.finish(Duration::from_secs(20)).await;
        assert_eq!(heard.recv().await.unwrap(), (local, b"last words".to_vec()));
        while let Ok(news) = inbox.try_recv() {
            assert!(matches!(news.what, What::Closed), "{news:?}");
        }
    });
}

#[test]
fn a_port_of_its_own_is_for_one_server_and_survives_errors() {
    let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let remote = server.local_addr().unwrap();
    let beside = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let beside = beside.local_addr().unwrap();
    with(Test::new(&[]), async {}, |mut test| async move {
        let command = StreamCommand::OpenUdp { remote, beside };
        assert_eq!(test.streams.command(ID, command), None);
        test.send(b"one");
        test.send(b"two");
        let local = test.opened().await;
        assert_eq!(local.ip(), beside.ip());
        assert_ne!(local.port(), beside.port());
        let receive = |server: std::net::UdpSocket| {
            smol::unblock(move || {
                let mut buffer = [0; 100];
                let (length, from) = server.recv_from(&mut buffer).unwrap();
                (server, buffer[..length].to_vec(), from)
            })
        };
        // Datagram by datagram.
        let (server, bytes, from) = receive(server).await;
        assert_eq!((&bytes[..], from), (&b"one"[..], local));
        let (server, bytes, _) = receive(server).await;
        assert_eq!(bytes, b"two");
        let stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        stranger.send_to(b"stranger", local).unwrap();
        for answer in [b"three", b"four\n"] {
            server.send_to(answer, local).unwrap();
            assert_eq!(test.bytes(1).await, answer);
        }
        // For a while nobody listens there to us, but to another port, which keeps this one.
        server.connect(beside).unwrap();
        test.send(b"lost");
        Timer::after(Duration::from_millis(50)).await;
        server.connect(local).unwrap();
        server.send(b"back").unwrap();
        assert_eq!(test.bytes(4).await, b"back");
        test.send(b"last words");
        assert_eq!(test.streams.command(ID, StreamCommand::Close), None);
        let (_, bytes, _) = receive(server).await;
        assert_eq!(bytes, b"last words");
    });
    // An address that is not ours.
    with(Test::new(&[]), async {}, |mut test| async move {
        let beside = SocketAddr::from(([192, 0, 2, 99], 1));
        let command = StreamCommand::OpenUdp { remote, beside };
        assert_eq!(test.streams.command(ID, command), None);
        assert_eq!(test.failure().await, StreamFailure::Unreachable);
    });
}

#[test]
fn the_core_hears_nothing_of_a_stream_that_it_has_closed() {
    let (listener, address) = smol::block_on(listener());
    let server = async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        std::future::pending::<()>().await;
    };
    with(Test::new(&[]), server, |mut test| async move {
        test.open(address, None);
        test.opened().await;
        let news = test.inbox.recv().await.unwrap();
        test.streams.command(ID, StreamCommand::Close);
        assert!(!test.streams.note(&news));
    });
}

#[test]
fn a_stream_whose_address_is_gone_is_given_up() {
    let (listener, address) = smol::block_on(listener());
    let server = async move {
        let _kept = listener.accept().await.unwrap();
        std::future::pending::<()>().await;
    };
    with(Test::new(&[]), server, |mut test| async move {
        test.open(address, None);
        assert_eq!(test.streams.give_up(&[]), [], "it is not open yet");
        test.opened().await;
        assert_eq!(test.streams.give_up(&[]), [], "loopback does not go");
        let elsewhere: SocketAddr = "[::ffff:192.0.2.1]:5".parse().unwrap();
        test.streams.streams.get_mut(&ID).unwrap().local = Some(elsewhere);
        let here = ["192.0.2.1".parse().unwrap()];
        assert_eq!(test.streams.give_up(&here), []);
        assert_eq!(test.streams.give_up(&[]), [ID]);
        assert_eq!(test.streams.give_up(&[]), [], "once");
    });
}

#[test]
fn a_server_that_hangs_up_is_told() {
    let (listener, address) = smol::block_on(listener());
    let server = async move {
        drop(listener.accept().await.unwrap());
    };
    with(Test::new(&[]), server, |mut test| async move {
        test.open(address, None);
        test.opened().await;
        assert!(matches!(test.next().await, What::Closed));
        // Whatever the core still says to it.
        test.send(b"x");
    });
}

#[test]
fn where_nobody_listens_it_is_refused() {
    // Taken, so that nobody else listens there.
    let unheard = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    unheard.bind(&any.into()).unwrap();
    let address = unheard.local_addr().unwrap().as_socket().unwrap();
    with(Test::new(&[]), async {}, |mut test| async move {
        test.open(address, None);
        assert_eq!(test.failure().await, StreamFailure::Refused);
    });
}

#[test]
fn messages_over_the_limit_are_dropped_whole() {
    let (listener, address) = smol::block_on(listener());
    let (go, wait) = smol::channel::bounded::<()>(1);
    let (sender, heard) = smol::channel::bounded(1);
    let server = async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        wait.recv().await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        sender.send(all).await.unwrap();
    };
    with(Test::new(&[]), server, |mut test| async move {
        test.open(address, None);
        // Nothing leaves before it is open: this many wait.
        let message = Bytes::from(vec![1; 1000]);
        for _ in 0..10_000 {
            test.streams
                .command(ID, StreamCommand::Send(message.clone()));
        }
        let stream = test.streams.streams.get(&ID).unwrap();
        let kept = WAITING / 1000;
        assert_eq!(stream.dropped, 10_000 - kept as u64);
        test.opened().await;
        go.send(()).await.unwrap();
        test.streams.command(ID, StreamCommand::Close);
        let Test { streams, .. } = test;
        streams.finish(Duration::from_secs(20)).await;
        assert_eq!(heard.recv().await.unwrap().len(), kept * 1000);
    });
}

#[test]
fn tls_is_verified_always() {
    let outcome = |trusted: bool, name: &'static str| {
        let (acceptor, certificate) = tls::tests::server("turn.example");
        let (listener, address) = smol::block_on(listener());
        let server = async move {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(stream) = TlsAcceptor::accept(&acceptor, stream).await {
                echo(stream).await;
            }
        };
        let test = Test::new(if trusted {
            std::slice::from_ref(&certificate)
        } else {
            &[]
        });
        let (sender, outcome) = smol::channel::bounded(1);
        with(test, server, |mut test| async move {
            test.open(address, Some(name));
            test.send(b"over TLS");
            let what = match test.next().await {
                What::Opened(_) => Ok(test.bytes(8).await),
                What::Failed(failure) => Err(failure),
                other => panic!("{other:?}"),
            };
            sender.send(what).await.unwrap();
        });
        smol::block_on(outcome.recv()).unwrap()
    };
    assert_eq!(outcome(true, "turn.example"), Ok(b"over TLS".to_vec()));
    assert_eq!(outcome(false, "turn.example"), Err(StreamFailure::Tls));
    assert_eq!(outcome(true, "else.example"), Err(StreamFailure::Tls));
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for() {
    let (listener, address) = smol::block_on(listener());
    let server = async move {
        let _kept = listener.accept().await.unwrap();
        std::future::pending::<()>().await;
    };
    with(Test::new(&[]), server, |mut test| async move {
        test.open(address, Some("turn.example"));
        assert_eq!(test.failure().await, StreamFailure::TimedOut);
    });
}

#[test]
fn streams_are_bounded_in_number() {
    let (_listener, remote) = smol::block_on(listener());
    let mut test = Test::new(&[]);
    let open = || StreamCommand::Open { remote, tls: None };
    for n in 0..STREAMS {
        let id = StreamId(n as u64);
        assert_eq!(test.streams.command(id, open()), None);
    }
    let one_more = StreamId(STREAMS as u64);
    let refused = test.streams.command(one_more, open());
    assert_eq!(refused, Some(StreamFailure::Unreachable));
    test.streams.command(StreamId(0), StreamCommand::Close);
    assert_eq!(test.streams.command(one_more, open()), None);
}
