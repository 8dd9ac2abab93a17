//! TCP connections that notice when nobody is there any more.

use std::net::IpAddr;
use std::time::Duration;

use smol::net::TcpStream;
use socket2::{SockRef, TcpKeepalive};

/// Sets a new connection up: small messages leave at once, and a connection over which nothing comes
/// through for `patience` is broken. Without that the system takes a quarter of an hour and more to
/// say so, as after a sleep, or when a NAT has forgotten the connection.
///
/// Gives our address, by which [`is_gone`] tells that the connection has lost it.
pub(crate) fn prepare(stream: &TcpStream, patience: Duration) -> Option<IpAddr> {
    let socket = SockRef::from(stream);
    let step = patience.checked_div(4).unwrap_or(patience);
    let keepalive = TcpKeepalive::new().with_time(step).with_interval(step);
    #[cfg(not(windows))]
    let keepalive = keepalive.with_retries(3);
    let set = [
        stream.set_nodelay(true),
        socket.set_tcp_keepalive(&keepalive),
        // What was sent and is not acknowledged; keep-alive is for a connection that is silent.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        socket.set_tcp_user_timeout(Some(patience)),
    ];
    for error in set.into_iter().filter_map(Result::err) {
        tracing::debug!(%error, "a TCP option cannot be set");
    }
    let address = stream.local_addr().ok()?;
    Some(address.ip().to_canonical())
}

/// Whether a connection from `local` leads nowhere, because the address is none of this machine's.
pub(crate) fn is_gone(local: IpAddr, addresses: &[IpAddr]) -> bool {
    !local.is_loopback() && !addresses.contains(&local)
}

#[cfg(test)]
mod tests {
    use super::*;
    use smol::net::TcpListener;

    #[test]
    fn a_connection_is_kept_alive_and_knows_its_address() {
        smol::block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await;
            let stream = stream.unwrap();
            let local = prepare(&stream, Duration::from_secs(8));
            assert_eq!(local, Some([127, 0, 0, 1].into()));
            let socket = SockRef::from(&stream);
            assert!(socket.keepalive().unwrap() && stream.nodelay().unwrap());
            #[cfg(target_os = "linux")]
            {
                assert_eq!(socket.tcp_keepalive_time().unwrap().as_secs(), 2);
                let patience = socket.tcp_user_timeout().unwrap();
                assert_eq!(patience, Some(Duration::from_secs(8)));
            }
        });
    }
}
