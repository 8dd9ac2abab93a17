//! What becomes of the frames that clients send.

use alloc::string::{String, ToString as _};

use tracing::debug;

use super::rate::Verdict;
use super::waiting::{NoRoom, Pair};
use super::{Seat, Server, as_usize, count};
use crate::signaling::io::{ConnectionId, ServerOutput};
use crate::signaling::message::{Frame, FrameOut};

impl Server {
    /// A frame came from a connection.
    pub(super) fn frame(&mut self, connection: ConnectionId, text: &str) {
        let rate = self
            .connections
            .admit_frame(connection, self.now, &self.config);
        let Some(rate) = rate else {
            return count(&mut self.counters.unexpected);
        };
        if text.len() > as_usize(self.config.frame) {
            count(&mut self.counters.closed_frame_size);
            return self.close_connection(connection);
        }
        match rate {
            Verdict::Pass => {}
            Verdict::Drop => return count(&mut self.counters.dropped_rate),
            Verdict::Close => {
                count(&mut self.counters.closed_flood);
                return self.close_connection(connection);
            }
        }
        match self.speaker(connection) {
            Some((id, seat)) => self.client_sends(&id, text, Some((connection, seat))),
            None => count(&mut self.counters.dropped_unregistered),
        }
    }

    /// A frame from a registered client; `from` is its connection, and the one that it sits on.
    pub(super) fn client_sends(
        &mut self,
        src: &str,
        text: &str,
        from: Option<(ConnectionId, Seat)>,
    ) {
        // Clayground's LAN client says `{"id":…}` first. It ends here, like anything malformed.
        let Some(frame) = Frame::parse(text) else {
            return count(&mut self.counters.dropped_malformed);
        };
        let kind = frame.kind.as_ref();
        let waits = match kind {
            "HEARTBEAT" => {
                if let Some((connection, seat)) = from {
                    self.set_life(connection, self.config.alive);
                    if let Seat::Connection(current) = seat
                        && current != connection
                    {
                        self.set_life(current, self.config.alive);
                    }
                }
                return;
            }
            "OFFER" | "ANSWER" | "CANDIDATE" => true,
            "LEAVE" | "EXPIRE" => false,
            _ => return count(&mut self.counters.dropped_type),
        };
        let dst = frame.dst.as_deref().unwrap_or_default();
        if dst.is_empty() {
            if kind == "LEAVE" {
                return self.give_up(src, from);
            }
            return count(&mut self.counters.dropped_target);
        }
        let out = FrameOut {
            kind,
            src: Some(src),
            dst: Some(dst),
            payload: frame.payload,
        };
        if let Some(seat) = self.clients.get(dst).map(|client| client.seat) {
            count(&mut self.counters.relayed);
            self.send(seat, out.to_text());
        } else if waits {
            self.wait(src, dst, out.to_text());
        } else {
            count(&mut self.counters.dropped_target);
        }
    }

    fn wait(&mut self, src: &str, dst: &str, text: String) {
        let pair = Pair {
            dst: dst.to_string(),
            src: src.to_string(),
        };
        if !self.is_id(dst) {
            count(&mut self.counters.dropped_target_id);
            return self.send_expire(&pair);
        }
        match self.waiting.push(self.now, &pair, text, &self.config) {
            Ok(()) => return,
            Err(NoRoom::Total) => count(&mut self.counters.dropped_waiting),
            Err(NoRoom::Sender) => count(&mut self.counters.dropped_waiting_sender),
        }
        if !self.waiting.contains(&pair) {
            self.send_expire(&pair);
        }
    }

    /// LEAVE without a target: the client's id is free, its connection stays open.
    fn give_up(&mut self, id: &str, from: Option<(ConnectionId, Seat)>) {
        debug!(?from, "gave its id up");
        self.clients.remove(id);
        if let Some((connection, seat)) = from {
            self.set_life(connection, self.config.idle);
            if let Seat::Connection(current) = seat {
                self.set_life(current, self.config.idle);
            }
        }
    }

    /// Tells the sender of a pair that its target is not there, if it still is there itself.
    pub(super) fn send_expire(&mut self, pair: &Pair) {
        if let Some(seat) = self.clients.get(&pair.src).map(|client| client.seat) {
            let expire = FrameOut {
                kind: "EXPIRE",
                src: Some(&pair.dst),
                dst: Some(&pair.src),
                payload: None,
            };
            self.send(seat, expire.to_text());
        }
    }

    pub(super) fn send(&mut self, seat: Seat, text: String) {
        match seat {
            Seat::Host => self.host_frames.push_back(text),
            Seat::Connection(connection) => self
                .outputs
                .push_back(ServerOutput::Send { connection, text }),
        }
    }
}
