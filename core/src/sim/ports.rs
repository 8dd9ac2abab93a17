//! Sockets that nodes open for one server alone.

use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;
use core::time::Duration;

use super::run::What;
use super::world::World;
use crate::native;

/// A UDP socket that a node has opened for a server alone.
#[derive(Clone, Copy, Debug)]
struct Port {
    node: usize,
    life: u64,
    stream: native::StreamId,
    local: SocketAddr,
    remote: SocketAddr,
}

impl Port {
    fn is(&self, node: usize, life: u64, stream: native::StreamId) -> bool {
        (self.node, self.life, self.stream) == (node, life, stream)
    }
}

/// All that are open.
#[derive(Debug, Default)]
pub(super) struct Ports(Vec<Port>);

impl World {
    /// A node does something with a stream. There is no TCP in the simulation, but UDP.
    pub(super) fn stream_command(
        &mut self,
        node: usize,
        stream: native::StreamId,
        command: native::StreamCommand,
    ) {
        let Some(life) = self.life(node) else {
            return;
        };
        let local = match command {
            native::StreamCommand::Open { .. } => None,
            native::StreamCommand::OpenUdp { remote, beside } => {
                let local = self.places.internet.open_port(node, beside);
                let port = local.map(|local| Port {
                    node,
                    life,
                    stream,
                    local,
                    remote,
                });
                self.places.ports.0.extend(port);
                local
            }
            native::StreamCommand::Send(payload) => {
                let mut ports = self.places.ports.0.iter();
                if let Some(port) = ports.find(|port| port.is(node, life, stream)).copied() {
                    let transmit = native::Transmit {
                        local: port.local,
                        remote: port.remote,
                        payload,
                    };
                    self.transmit(node, transmit);
                }
                return;
            }
            native::StreamCommand::Close => {
                let ports = &mut self.places.ports.0;
                ports.retain(|port| !port.is(node, life, stream));
                return;
            }
        };
        let after = match local {
            Some(_) => Duration::ZERO,
            None => self.default_path.delay,
        };
        let opened = What::Stream {
            node,
            life,
            stream,
            local,
        };
        self.schedule(self.now.plus(after), opened);
    }

    /// A datagram came to a socket that is for one server alone.
    pub(super) fn datagram_at_port(
        &mut self,
        node: usize,
        (local, remote): (SocketAddr, SocketAddr),
        payload: &Bytes,
    ) {
        let is_it = |port: &&Port| (port.node, port.local, port.remote) == (node, local, remote);
        let port = self.places.ports.0.iter().find(is_it).copied();
        if let Some(port) = port.filter(|port| self.life(node) == Some(port.life)) {
            let update = native::StreamUpdate::Bytes(payload);
            let stream = port.stream;
            self.input_native(node, native::Input::Stream { stream, update });
        }
    }
}
