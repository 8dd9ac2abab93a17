//! Frames that wait, and frames that travel together.

use alloc::vec::Vec;
use bytes::Bytes;

use crate::io::ChannelMessage;

/// A frame in a queue: its own head, and a payload that other receivers share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) head: Vec<u8>,
    pub(crate) payload: Bytes,
}

impl Outgoing {
    pub(crate) fn len(&self) -> usize {
        self.head.len().saturating_add(self.payload.len())
    }
}

/// Payloads up to this many bytes are copied next to their heads: a part of their own costs more.
pub(super) const COPIED: usize = 256;

/// A channel message in the making.
#[derive(Debug, Default)]
pub(crate) struct Bundle {
    parts: Vec<Bytes>,
    tail: Vec<u8>,
    length: usize,
    frames: u16,
}

impl Bundle {
    pub(crate) const fn len(&self) -> usize {
        self.length
    }

    pub(crate) const fn frames(&self) -> u16 {
        self.frames
    }

    pub(crate) fn push(&mut self, frame: Outgoing) {
        self.length = self.length.saturating_add(frame.len());
        self.frames = self.frames.saturating_add(1);
        if self.tail.is_empty() {
            self.tail = frame.head;
        } else {
            self.tail.extend_from_slice(&frame.head);
        }
        if frame.payload.len() <= COPIED {
            self.tail.extend_from_slice(&frame.payload);
        } else {
            self.parts.push(core::mem::take(&mut self.tail).into());
            self.parts.push(frame.payload);
        }
    }

    pub(crate) fn finish(mut self) -> ChannelMessage {
        if !self.tail.is_empty() {
            self.parts.reserve_exact(1);
            self.parts.push(self.tail.into());
        }
        ChannelMessage::new(self.parts)
    }
}
