//! A host and a joiner in one blocking loop over `std` sockets, without async.
//!
//! Signaling frames go in memory to the server that the host embeds, where a WebSocket would be.
#![allow(clippy::disallowed_types, reason = "a driver has a clock")]
#![allow(clippy::disallowed_methods, reason = "a driver has a clock")]
#![allow(clippy::indexing_slicing, reason = "two of each")]
#![allow(clippy::std_instead_of_core, reason = "a program with std")]
#![allow(clippy::wildcard_enum_match_arm, reason = "not all is needed")]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use wattle_core::native::{Input, Interface, Node, Output};
use wattle_core::signaling::{ConnectionId, ServerInput as ToHost, ServerOutput as FromHost};
use wattle_core::signaling::{SignalingCommand as FromJoiner, SignalingUpdate as ToJoiner};
use wattle_core::signaling::{SignalingFailure, SignalingId};
use wattle_core::{Config, Event, Hosting, Timestamp};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let origin = Instant::now();
    let now = || Timestamp::ZERO.plus(origin.elapsed());
    let (mut nodes, mut sockets) = (Vec::new(), Vec::new());
    for seed in [1, 2] {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let config = Config::default()
            .with_loopback(true)
            .with_ice_servers(Vec::new());
        // A real program takes its seed from the system's secure randomness.
        let mut node = Node::new(config, [seed; 32], now(), origin);
        let (name, address) = ("lo".into(), socket.local_addr()?);
        node.handle_input(now(), Input::Interfaces(&[Interface { name, address }]));
        nodes.push(node);
        sockets.push(socket);
    }
    let server: SocketAddr = "127.0.0.1:9000".parse()?;
    nodes[0].host(now(), Hosting::Lan { address: server })?;
    let code = nodes[0].code().ok_or("a host has a code")?;
    nodes[1].join(now(), &code)?;
    let (mut line, mut ended) = (None, 0);
    while ended < 2 {
        assert!(origin.elapsed() < Duration::from_secs(20), "too slow");
        for me in 0..2 {
            // 1. Do what the node asks for, until it asks for nothing more.
            while let Some(output) = nodes[me].poll_output() {
                match output {
                    Output::Transmit(it) => drop(sockets[me].send_to(&it.payload, it.remote)),
                    Output::Signaling(command) => up(&mut nodes[0], now(), &mut line, command),
                    Output::Server(output) => down(&mut nodes[1], now(), line, output),
                    Output::Event(event) => {
                        println!("node {me}: {event:?}");
                        match event {
                            Event::NodeJoined { node } => {
                                nodes[me].send_to(now(), node, "hello".into())?;
                            }
                            Event::Message { .. } => nodes[me].leave(now()),
                            Event::Ended { .. } => ended += 1,
                            _ => {}
                        }
                    }
                    _ => {}
                }
            }
            // 2. Wait for a datagram until the node is due; 1 ms at most, as there are two sockets.
            let due = nodes[me].poll_timeout().unwrap_or_else(now).since(now());
            let wait = due.clamp(Duration::from_micros(1), Duration::from_millis(1));
            sockets[me].set_read_timeout(Some(wait))?;
            let (mut buffer, local) = ([0; 2048], sockets[me].local_addr()?);
            if let Ok((length, remote)) = sockets[me].recv_from(&mut buffer) {
                #[rustfmt::skip]
                nodes[me].handle_input(now(), Input::Datagram { local, remote, payload: &buffer[..length] });
            }
            // 3. Tell the time. A call too many changes nothing.
            nodes[me].handle_timeout(now());
        }
    }
    Ok(())
}

/// To the host's embedded server, as a WebSocket would carry it; and back, below.
#[rustfmt::skip]
fn up(host: &mut Node, now: Timestamp, line: &mut Option<SignalingId>, command: FromJoiner) {
    let (connection, peer, method) = (ConnectionId(0), Ipv4Addr::LOCALHOST.into(), "GET");
    host.handle_input(now, Input::Server(match &command {
        FromJoiner::Open(id, url) => {
            *line = Some(*id);
            let target = url.find("/peerjs").map_or("", |path| &url[path..]);
            ToHost::Request { connection, peer, method, target, upgrade: true }
        }
        FromJoiner::Send(_, text) => ToHost::Frame { connection, text },
        _ => ToHost::Closed { connection },
    }));
}

fn down(joiner: &mut Node, now: Timestamp, line: Option<SignalingId>, output: FromHost) {
    let Some(line) = line else { return };
    let update = match &output {
        FromHost::Upgrade { .. } => ToJoiner::Opened(line),
        FromHost::Send { text, .. } => ToJoiner::Frame(line, text),
        _ => ToJoiner::Closed(line, SignalingFailure::Closed),
    };
    joiner.handle_input(now, Input::Signaling(update));
}
