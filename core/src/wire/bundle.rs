//! Frames that wait, and frames that travel together.

use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

use super::Frame;
use crate::io::ChannelMessage;

/// A frame in a queue: what is its own, and a long payload, which other receivers share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) head: Bytes,
    pub(crate) payload: Bytes,
}

impl Outgoing {
    pub(crate) fn len(&self) -> usize {
        self.head.len().saturating_add(self.payload.len())
    }
}

/// Payloads up to this many bytes are copied next to their heads: a part of their own costs more.
pub(super) const COPIED: usize = 256;

/// A channel message in the making; its memory is used again for the next.
#[derive(Debug, Default)]
pub(crate) struct Bundle {
    /// The first frame: if no other follows it is not copied again.
    alone: Option<Outgoing>,
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
        self.count(frame.len());
        if self.frames == 1 {
            self.alone = Some(frame);
        } else {
            self.join_first();
            self.append(&frame.head, frame.payload);
        }
    }

    /// Pushes a frame that nobody else gets, unless it is longer than `room`; says whether it was pushed.
    pub(crate) fn write(&mut self, frame: &Frame, room: usize) -> bool {
        self.join_first();
        let before = self.tail.len();
        let payload = frame.write(&mut self.tail);
        let length = self.tail.len().saturating_sub(before);
        let length = length.saturating_add(payload.len());
        if length > room {
            self.tail.truncate(before);
            return false;
        }
        self.count(length);
        self.append(&[], payload);
        true
    }

    /// A frame that has to wait.
    pub(crate) fn encode(&mut self, frame: &Frame) -> Outgoing {
        let before = self.tail.len();
        let payload = frame.write(&mut self.tail);
        let head = self.tail.get(before..).unwrap_or_default();
        let head = Bytes::copy_from_slice(head);
        self.tail.truncate(before);
        Outgoing { head, payload }
    }

    /// All that was pushed; the next message begins.
    pub(crate) fn finish(&mut self) -> ChannelMessage {
        (self.length, self.frames) = (0, 0);
        if let Some(Outgoing { head, payload }) = self.alone.take() {
            if payload.is_empty() {
                return head.into();
            }
            return ChannelMessage::new(vec![head, payload]);
        }
        if self.parts.is_empty() {
            return self.take_tail().into();
        }
        let mut parts = core::mem::take(&mut self.parts);
        if !self.tail.is_empty() {
            parts.push(self.take_tail());
        }
        ChannelMessage::new(parts)
    }

    fn take_tail(&mut self) -> Bytes {
        let tail = Bytes::copy_from_slice(&self.tail);
        self.tail.clear();
        tail
    }

    fn count(&mut self, length: usize) {
        self.length = self.length.saturating_add(length);
        self.frames = self.frames.saturating_add(1);
    }

    fn join_first(&mut self) {
        if let Some(Outgoing { head, payload }) = self.alone.take() {
            self.append(&head, payload);
        }
    }

    fn append(&mut self, head: &[u8], payload: Bytes) {
        self.tail.extend_from_slice(head);
        if !payload.is_empty() {
            let tail = self.take_tail();
            self.parts.extend([tail, payload]);
        }
    }
}
