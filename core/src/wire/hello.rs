//! What two nodes say of themselves first.

use alloc::vec::Vec;

use super::Number;
use super::coding::{WireError, count};
use super::frame::Farewell;
use super::varint::{Reader, put};
use crate::id::NodeId;

/// The version of the wire format. Another major is refused; a minor adds only frames that can be
/// skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) major: u16,
    pub(crate) minor: u16,
}

impl Version {
    /// What this crate speaks.
    pub(crate) const OURS: Self = Self { major: 1, minor: 0 };
}

/// The secret with which a node can take its place again after its link broke.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token(pub(crate) [u8; 16]);

impl core::fmt::Debug for Token {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The joiner's first frame; repeats what its OFFER said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) version: Version,
    pub(crate) node: NodeId,
}

impl Hello {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        put(out, self.version.major.into());
        put(out, self.version.minor.into());
        out.extend_from_slice(self.node.as_bytes());
    }

    /// Members that a later minor version adds at the end are not read.
    pub(super) fn read(from: &mut Reader) -> Result<Self, WireError> {
        Ok(Self {
            version: Version {
                major: from.u16()?,
                minor: from.u16()?,
            },
            node: NodeId::from_bytes(from.array()?),
        })
    }
}

/// The joiner's first frame on a link that takes the place of its old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resume {
    pub(crate) hello: Hello,
    /// The number that it has.
    pub(crate) number: Number,
    /// What the welcome gave it to prove that.
    pub(crate) token: Token,
}

impl Resume {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        self.hello.write(out);
        put(out, self.number.into());
        out.extend_from_slice(&self.token.0);
    }

    pub(super) fn read(mut from: Reader) -> Result<Self, WireError> {
        Ok(Self {
            hello: Hello::read(&mut from)?,
            number: from.u16()?,
            token: Token(from.array()?),
        })
    }
}

/// The host's first frame on such a link: what happened meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resumed {
    pub(crate) epoch: u32,
    /// All nodes in join order, the host first.
    pub(crate) roster: Vec<Member>,
    /// Why those left that left last; the joiner may know of some.
    pub(crate) departed: Vec<(Number, Farewell)>,
}

impl Resumed {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        put(out, self.epoch.into());
        write_roster(&self.roster, out);
        put(out, self.departed.len() as u64);
        for (number, why) in &self.departed {
            put(out, (*number).into());
            out.push(why.to_byte());
        }
    }

    pub(super) fn read(mut from: Reader) -> Result<Self, WireError> {
        let epoch = from.u32()?;
        let roster = read_roster(&mut from)?;
        let gone = count(&mut from)?;
        let departed = (0..gone)
            .map(|_| Ok((from.u16()?, Farewell::from_byte(from.u8()?))))
            .collect::<Result<_, WireError>>()?;
        Ok(Self {
            epoch,
            roster,
            departed,
        })
    }
}

/// A line of the roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) number: Number,
    pub(crate) node: NodeId,
}

impl Member {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        put(out, self.number.into());
        out.extend_from_slice(self.node.as_bytes());
    }

    pub(super) fn read(from: &mut Reader) -> Result<Self, WireError> {
        Ok(Self {
            number: from.u16()?,
            node: NodeId::from_bytes(from.array()?),
        })
    }
}

/// The host's first frame: the joiner is a node now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Welcome {
    /// Counts the hosts of this network; 0 for the one that made it.
    pub(crate) epoch: u32,
    /// The joiner's number.
    pub(crate) number: Number,
    pub(crate) token: Token,
    /// All nodes in join order: the host first, the joiner last.
    pub(crate) roster: Vec<Member>,
}

impl Welcome {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        put(out, self.epoch.into());
        put(out, self.number.into());
        out.extend_from_slice(&self.token.0);
        write_roster(&self.roster, out);
    }

    pub(super) fn read(mut from: Reader) -> Result<Self, WireError> {
        let epoch = from.u32()?;
        let number = from.u16()?;
        let token = Token(from.array()?);
        let roster = read_roster(&mut from)?;
        Ok(Self {
            epoch,
            number,
            token,
            roster,
        })
    }
}

fn write_roster(roster: &[Member], out: &mut Vec<u8>) {
    put(out, roster.len() as u64);
    for member in roster {
        member.write(out);
    }
}

fn read_roster(from: &mut Reader) -> Result<Vec<Member>, WireError> {
    let count = count(from)?;
    (0..count).map(|_| Member::read(from)).collect()
}
