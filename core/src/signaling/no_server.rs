//! In place of the signaling server, where there is none: no value of it can exist.

use alloc::string::String;

use super::{ServerInput, ServerOutput};
use crate::time::Timestamp;

/// Never there.
#[derive(Debug)]
pub(crate) enum Server {}

impl Server {
    pub(crate) fn handle_input(&mut self, _: Timestamp, _: ServerInput<'_>) {
        match *self {}
    }

    pub(crate) fn handle_timeout(&mut self, _: Timestamp) {
        match *self {}
    }

    pub(crate) fn poll_output(&mut self) -> Option<ServerOutput> {
        match *self {}
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        match *self {}
    }

    pub(crate) fn host_sends(&mut self, _: Timestamp, _: &str) {
        match *self {}
    }

    pub(crate) fn poll_host_frame(&mut self) -> Option<String> {
        match *self {}
    }

    pub(crate) fn close(&mut self, _: Timestamp) {
        match *self {}
    }
}
