//! What two joiners say to each other, through the host, before they have a link.

use alloc::vec::Vec;
use bytes::Bytes;

use super::coding::WireError;
use super::varint::{Reader, put};

/// A step of the negotiation of a link between two joiners.
///
/// The host passes it on without reading the text, so that stays bytes until it is at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signal {
    /// In which epoch of the network the two numbers mean these two nodes.
    pub(crate) epoch: u32,
    /// The offerer counts its attempts, so that late words of an earlier one are known as such.
    pub(crate) attempt: u32,
    pub(crate) step: Step,
    /// In an offer: the offerer's links are native. In an answer: the answerer took the lead.
    pub(crate) flag: bool,
    /// A session description or a candidate, in UTF-8.
    pub(crate) text: Bytes,
}

/// Which step it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Offer,
    Answer,
    Candidate,
    /// The attempt, or the link that came of it, is over on this side.
    GiveUp,
}

impl Step {
    const ALL: [(Self, u8); 4] = [
        (Self::Offer, 0),
        (Self::Answer, 1),
        (Self::Candidate, 2),
        (Self::GiveUp, 3),
    ];
}

const FLAG: u8 = 1;

impl Signal {
    /// Writes all but the text.
    pub(super) fn write_head(&self, out: &mut Vec<u8>) {
        put(out, self.epoch.into());
        put(out, self.attempt.into());
        let step = Step::ALL.iter().find(|(step, _)| *step == self.step);
        out.push(step.map_or(0, |(_, byte)| *byte));
        out.push(if self.flag { FLAG } else { 0 });
    }

    pub(super) fn read(mut from: Reader) -> Result<Self, WireError> {
        let (epoch, attempt, byte) = (from.u32()?, from.u32()?, from.u8()?);
        let step = Step::ALL.iter().find(|(_, other)| *other == byte);
        Ok(Self {
            epoch,
            attempt,
            step: step.ok_or(WireError::Number)?.0,
            flag: from.u8()? & FLAG != 0,
            text: from.rest(),
        })
    }
}
