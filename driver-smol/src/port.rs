//! A UDP socket for one TURN server alone, moved like a stream whose messages are datagrams.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use bytes::Bytes;
use smol::channel::Sender;
use smol::future::or;
use smol::{Async, Timer};
use socket2::SockRef;
use wattle_core::native::{StreamFailure, StreamId};

use crate::outbox::Outgoing;
use crate::streams::{StreamNews, What};

/// What the kernel is asked to buffer, each way; less than it usually grants is no failure.
const BUFFER: usize = 1 << 20;

/// The longest UDP payload.
const LONGEST: usize = 64 * 1024;

/// How long an error is looked past: commonly word of datagrams that nobody has taken.
const PAUSE: Duration = Duration::from_millis(10);

/// The port, from its opening to its end.
pub(crate) async fn run(
    stream: StreamId,
    remote: SocketAddr,
    beside: SocketAddr,
    inbox: Sender<StreamNews>,
    outgoing: Outgoing<Bytes>,
) {
    let tell = |what| inbox.send(StreamNews { stream, what });
    let what = match open(remote, beside) {
        Ok((socket, local)) => {
            if tell(What::Opened(local)).await.is_err() {
                return;
            }
            let read = read(stream, &socket, &inbox);
            or(write(&socket, &outgoing), read).await;
            What::Closed
        }
        Err(error) => {
            tracing::debug!(%error, "a port cannot be opened");
            What::Failed(StreamFailure::Unreachable)
        }
    };
    // Fails only if the loop is gone.
    let _ = tell(what).await;
}

fn open(remote: SocketAddr, mut beside: SocketAddr) -> io::Result<(Async<UdpSocket>, SocketAddr)> {
    beside.set_port(0);
    let socket = Async::<UdpSocket>::bind(beside)?;
    // From nobody else.
    socket.get_ref().connect(remote)?;
    let options = SockRef::from(socket.get_ref());
    let _ = options.set_recv_buffer_size(BUFFER);
    let _ = options.set_send_buffer_size(BUFFER);
    let local = socket.get_ref().local_addr()?;
    Ok((socket, local))
}

/// Sends what is queued, until the queue is closed and empty.
async fn write(socket: &Async<UdpSocket>, outgoing: &Outgoing<Bytes>) {
    while let Some(datagram) = outgoing.next().await {
        if let Err(error) = socket.send(&datagram).await {
            tracing::trace!(%error, "send failed");
        }
    }
}

/// Reads for as long as the loop takes what comes.
async fn read(stream: StreamId, socket: &Async<UdpSocket>, inbox: &Sender<StreamNews>) {
    let mut buffer = vec![0; LONGEST];
    loop {
        match socket.recv(&mut buffer).await {
            Ok(length) => {
                let datagram = buffer.get(..length).unwrap_or_default();
                let what = What::Bytes(Bytes::copy_from_slice(datagram));
                if inbox.send(StreamNews { stream, what }).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::trace!(%error, "receive failed");
                Timer::after(PAUSE).await;
            }
        }
    }
}
