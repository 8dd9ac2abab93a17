//! The TCP side of the signaling server.

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test, which has std and may panic"
)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use wattle_smol::{ServerConfig, SignalingServer};

/// Serves on a thread for as long as the test lasts.
fn serve() -> SocketAddr {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = smol::block_on(SignalingServer::bind(address, ServerConfig::default())).unwrap();
    let address = server.local_addr().unwrap();
    std::thread::spawn(move || smol::block_on(server.run()));
    address
}

fn ask(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn what_is_not_http_is_refused() {
    let address = serve();
    let answer = ask(address, b"\0\0\0\0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let answer = ask(
        address,
        b"GET /peerjs HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[test]
fn an_endless_head_is_refused() {
    let address = serve();
    let mut request = b"GET / HTTP/1.1\r\nA: ".to_vec();
    request.resize(20_000, b'x');
    let answer = ask(address, &request);
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let many = "A: b\r\n".repeat(200);
    let answer = ask(address, format!("GET / HTTP/1.1\r\n{many}\r\n").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}
