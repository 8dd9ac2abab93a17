//! WebSockets: opening one as a client, and moving frames over one in either role.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use async_tungstenite::tungstenite::http::Uri;
use async_tungstenite::tungstenite::protocol::WebSocketConfig;
use async_tungstenite::tungstenite::{self, Message};
use async_tungstenite::{WebSocketStream, client_async_with_config};
use futures_rustls::pki_types::{CertificateDer, ServerName};
use smol::Timer;
use smol::channel::Sender;
use smol::future::or;
use smol::io::{AsyncRead, AsyncWrite};
use smol::net::TcpStream;
use smol::stream::StreamExt as _;

use crate::outbox::{self, Outbox, Outgoing};
use crate::{tcp, tls};
use wattle_core::signaling::SignalingFailure;

/// A WebSocket over whatever its URL asks for.
pub(crate) type ClientStream = WebSocketStream<Box<dyn Transport>>;

/// A byte stream that a WebSocket can lie on.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// How long one address may be tried alone before the next is tried beside it (RFC 8305, 5:
/// "Connection Attempt Delay", 250 ms recommended).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How long nothing may come through; there is a heartbeat every 5 s.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long one frame may take to leave before the other side counts as stuck.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many frames may wait to be sent on one connection.
const OUTBOX_FRAMES: usize = 512;

/// How many bytes may wait to be sent on one connection.
const OUTBOX_BYTES: usize = 1024 * 1024;

/// Opens a WebSocket to `url` (`ws://` or `wss://`). Tells also from which address.
pub(crate) async fn connect(
    url: &str,
    roots: &[CertificateDer<'static>],
    frame_limit: usize,
) -> Result<(ClientStream, Option<IpAddr>), SignalingFailure> {
    let uri: Uri = url.parse().map_err(|_| SignalingFailure::UnknownHost)?;
    let host = uri.host().ok_or(SignalingFailure::UnknownHost)?;
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let encrypted = uri.scheme_str() == Some("wss");
    let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });

    let tcp = connect_tcp(&host, port).await?;
    let local = tcp::prepare(&tcp, PATIENCE);
    let transport: Box<dyn Transport> = if encrypted {
        let roots = roots.to_vec();
        let connector = smol::unblock(move || tls::connector(&roots))
            .await
            .map_err(|error| {
                tracing::warn!(%error, "TLS cannot be set up");
                SignalingFailure::Tls
            })?;
        let name = ServerName::try_from(host).map_err(|_| SignalingFailure::UnknownHost)?;
        let stream = connector.connect(name, tcp).await.map_err(|error| {
            tracing::debug!(%error, "TLS handshake failed");
            tls::failure(&error)
        })?;
        Box::new(stream)
    } else {
        Box::new(tcp)
    };

    let (stream, _response) = client_async_with_config(url, transport, Some(config(frame_limit)))
        .await
        .map_err(|error| {
            tracing::debug!(%error, "WebSocket handshake failed");
            websocket_failure(&error)
        })?;
    Ok((stream, local))
}

/// Connects to the first of the host's addresses that answers, each tried a little after the one
/// before it, IPv6 and IPv4 by turns.
async fn connect_tcp(host: &str, port: u16) -> Result<TcpStream, SignalingFailure> {
    let resolved = smol::net::resolve((host, port)).await.map_err(|error| {
        tracing::debug!(%error, "the name of the signaling server cannot be resolved");
        SignalingFailure::UnknownHost
    })?;
    let mut waiting = by_turns(resolved).into_iter();
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut failure = SignalingFailure::UnknownHost;
    loop {
        let next = waiting.next();
        let last = next.is_none();
        if let Some(address) = next {
            attempts.push(Box::pin(TcpStream::connect(address)));
        } else if attempts.is_empty() {
            return Err(failure);
        }
        let delay = async {
            if last {
                std::future::pending::<()>().await;
            }
            Timer::after(ATTEMPT_DELAY).await;
            None
        };
        let finished = async { Some(first_finished(&mut attempts).await) };
        match or(finished, delay).await {
            Some(Ok(stream)) => return Ok(stream),
            Some(Err(error)) => failure = io_failure(&error),
            None => {}
        }
    }
}

type Attempt = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// The result of the attempt that ends first; the attempt is taken out.
async fn first_finished(attempts: &mut Vec<Attempt>) -> io::Result<TcpStream> {
    poll_fn(|context| {
        for (place, attempt) in attempts.iter_mut().enumerate() {
            if let Poll::Ready(result) = attempt.as_mut().poll(context) {
                drop(attempts.swap_remove(place));
                return Poll::Ready(result);
            }
        }
        Poll::Pending
    })
    .await
}

/// Addresses with the two families by turns, in the resolver's order otherwise.
fn by_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let mut mixed = Vec::with_capacity(first.len().saturating_add(second.len()));
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        match (first.next(), second.next()) {
            (None, None) => return mixed,
            (one, other) => mixed.extend(one.into_iter().chain(other)),
        }
    }
}

/// What an error of a TCP connection means.
pub(crate) fn io_failure(error: &io::Error) -> SignalingFailure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => SignalingFailure::ConnectionRefused,
        io::ErrorKind::TimedOut => SignalingFailure::TimedOut,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => SignalingFailure::Closed,
        _ => SignalingFailure::Unreachable,
    }
}

/// What an error of a WebSocket means.
fn websocket_failure(error: &tungstenite::Error) -> SignalingFailure {
    use tungstenite::Error;
    use tungstenite::error::ProtocolError;
    match error {
        Error::Http(response) => SignalingFailure::Http(response.status().as_u16()),
        Error::Io(error) => match tls::failure(error) {
            SignalingFailure::Unreachable => SignalingFailure::Closed,
            failure => failure,
        },
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(
            ProtocolError::ResetWithoutClosingHandshake | ProtocolError::HandshakeIncomplete,
        ) => SignalingFailure::Closed,
        Error::Tls(_) => SignalingFailure::Tls,
        Error::Capacity(_)
        | Error::Protocol(_)
        | Error::WriteBufferFull(_)
        | Error::Utf8(_)
        | Error::AttackAttempt
        | Error::Url(_)
        | Error::HttpFormat(_) => SignalingFailure::Protocol,
    }
}

/// The limits of a WebSocket that carries frames of at most `frame_limit` bytes.
pub(crate) fn config(frame_limit: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(8 * 1024)
        .write_buffer_size(0)
        .max_message_size(Some(frame_limit))
        .max_frame_size(Some(frame_limit))
}

/// A queue of frames for one connection.
pub(crate) fn outbox() -> (Outbox<String>, Outgoing<String>) {
    outbox::outbox(OUTBOX_FRAMES, OUTBOX_BYTES)
}

/// Moves frames both ways until one side closes; says why it ended.
///
/// While `inbox` is full the other side is not read from.
pub(crate) async fn pump<S, T>(
    stream: WebSocketStream<S>,
    outgoing: Outgoing<String>,
    inbox: &Sender<T>,
    wrap: impl Fn(String) -> T,
) -> SignalingFailure
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, mut receiver) = stream.split();
    let read = async {
        loop {
            let text = match receiver.next().await {
                Some(Ok(Message::Text(text))) => text.as_str().to_owned(),
                // As PeerServer does; what is no text is nothing to us.
                Some(Ok(Message::Binary(bytes))) => match str::from_utf8(&bytes) {
                    Ok(text) => text.to_owned(),
                    Err(_) => continue,
                },
                Some(Ok(
                    Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_),
                )) => continue,
                Some(Err(error)) => return websocket_failure(&error),
                None => return SignalingFailure::Closed,
            };
            if inbox.send(wrap(text)).await.is_err() {
                return SignalingFailure::Closed;
            }
        }
    };
    let write = async {
        while let Some(text) = outgoing.next().await {
            let timed_out = async {
                Timer::after(WRITE_TIMEOUT).await;
                Err(tungstenite::Error::AlreadyClosed)
            };
            if or(sender.send(Message::text(text)), timed_out)
                .await
                .is_err()
            {
                return SignalingFailure::Closed;
            }
        }
        let timed_out = async {
            Timer::after(Duration::from_secs(1)).await;
            Ok(())
        };
        let _ = or(sender.close(None), timed_out).await;
        SignalingFailure::Closed
    };
    or(write, read).await
}

/// Waits for `tasks` to end, but not longer than `limit`.
pub(crate) async fn finish(tasks: Vec<smol::Task<()>>, limit: Duration) {
    let all = async {
        for task in tasks {
            task.await;
        }
    };
    or(all, async {
        Timer::after(limit).await;
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_rustls::TlsAcceptor;
    use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[test]
    fn families_take_turns() {
        let parse = |text: &str| text.parse::<SocketAddr>().unwrap();
        let addresses = ["[::1]:1", "[::2]:1", "1.1.1.1:1", "[::3]:1"].map(parse);
        assert_eq!(
            by_turns(addresses.to_vec()),
            ["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"].map(parse)
        );
        assert!(by_turns(Vec::new()).is_empty());
    }

    /// What `connect` says of a server that treats its first client like this.
    fn outcome<T, F>(scheme: &str, roots: &[CertificateDer<'static>], serve: T) -> Outcome
    where
        T: FnOnce(TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send,
    {
        smol::block_on(async {
            let listener = smol::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let serve = async {
                let (stream, _) = listener.accept().await.unwrap();
                serve(stream).await;
                std::future::pending().await
            };
            let url = format!("{scheme}://localhost:{port}/peerjs?key=peerjs");
            or(
                async { connect(&url, roots, 1024).await.map(|_opened| ()) },
                serve,
            )
            .await
        })
    }

    type Outcome = Result<(), SignalingFailure>;

    /// Waits for the client's first bytes, answers, hangs up.
    async fn answer(mut stream: TcpStream, text: &'static str) {
        let mut first = [0; 2048];
        let _ = stream.read(&mut first).await;
        stream.write_all(text.as_bytes()).await.unwrap();
        stream.close().await.unwrap();
    }

    #[test]
    fn what_is_not_a_websocket_is_told_apart() {
        let of = |text| outcome("ws", &[], move |stream| answer(stream, text));
        assert_eq!(
            of("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
            Err(SignalingFailure::Http(404))
        );
        assert_eq!(
            of("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
            Err(SignalingFailure::Http(200))
        );
        assert_eq!(of("SSH-2.0-x\r\n\r\n"), Err(SignalingFailure::Protocol));
        assert_eq!(of(""), Err(SignalingFailure::Closed));
        // A switch of protocols without the proof that our key was read.
        assert_eq!(
            of("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                Connection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"),
            Err(SignalingFailure::Protocol)
        );
    }

    #[test]
    fn nothing_listens_at_a_closed_port() {
        // Taken, so that nobody else listens there.
        let unheard =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        unheard.bind(&any.into()).unwrap();
        let port = unheard.local_addr().unwrap().as_socket().unwrap().port();
        let url = format!("ws://127.0.0.1:{port}/peerjs?key=peerjs");
        let result = smol::block_on(connect(&url, &[], 1024));
        assert_eq!(result.err(), Some(SignalingFailure::ConnectionRefused));
    }

    #[test]
    fn a_name_that_cannot_be_is_an_unknown_host() {
        // A label has at most 63 characters: no server is asked about this one.
        let url = format!("ws://{}/peerjs", "x".repeat(70));
        let result = smol::block_on(connect(&url, &[], 1024));
        assert_eq!(result.err(), Some(SignalingFailure::UnknownHost));
    }

    async fn accept_tls(acceptor: TlsAcceptor, stream: TcpStream) {
        if let Ok(stream) = acceptor.accept(stream).await {
            let _ = async_tungstenite::accept_async(stream).await;
        }
    }

    #[test]
    fn a_certificate_is_verified_always() {
        let (acceptor, certificate) = tls::tests::server("localhost");
        let serve = move |stream| accept_tls(acceptor, stream);
        assert_eq!(outcome("wss", &[certificate], serve), Ok(()));

        let (acceptor, _) = tls::tests::server("localhost");
        let serve = move |stream| accept_tls(acceptor, stream);
        assert_eq!(
            outcome("wss", &[], serve),
            Err(SignalingFailure::Certificate),
            "signed by nobody we trust"
        );

        let (acceptor, certificate) = tls::tests::server("elsewhere.example");
        let serve = move |stream| accept_tls(acceptor, stream);
        assert_eq!(
            outcome("wss", &[certificate], serve),
            Err(SignalingFailure::Certificate),
            "trusted, but of another server"
        );
    }

    #[test]
    fn what_does_not_speak_tls_is_a_tls_failure() {
        let serve = |stream| answer(stream, "HTTP/1.1 400 Bad Request\r\n\r\n");
        assert_eq!(outcome("wss", &[], serve), Err(SignalingFailure::Tls));
        let serve = |stream| answer(stream, "");
        assert_eq!(outcome("wss", &[], serve), Err(SignalingFailure::Tls));
    }
}
