//! Reading and writing numbers and slices: LEB128 for numbers, as in protocol buffers.

use alloc::vec::Vec;
use bytes::{Buf as _, Bytes};

use super::coding::WireError;

/// Appends `value` in 7-bit groups, the lowest first.
pub(super) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The bytes that `put` appends.
pub(super) fn groups(value: u64) -> impl Iterator<Item = u8> {
    let mut rest = Some(value);
    core::iter::from_fn(move || {
        let value = rest?;
        let more = value >> 7;
        rest = (more > 0).then_some(more);
        let top = if more > 0 { 0x80 } else { 0 };
        Some(value as u8 & 0x7f | top)
    })
}

/// How many bytes `put` takes.
#[cfg(test)]
pub(super) const fn length(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Takes values from the front of a message.
#[derive(Debug)]
pub(super) struct Reader {
    whole: Bytes,
    /// How much of it was taken.
    at: usize,
}

impl Reader {
    pub(super) const fn new(whole: Bytes) -> Self {
        Self { whole, at: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.whole.len()
    }

    pub(super) fn u8(&mut self) -> Result<u8, WireError> {
        let byte = *self.whole.get(self.at).ok_or(WireError::Short)?;
        self.at = self.at.saturating_add(1);
        Ok(byte)
    }

    pub(super) fn u64(&mut self) -> Result<u64, WireError> {
        let first = self.u8()?;
        if first < 0x80 {
            return Ok(first.into());
        }
        let mut value = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(WireError::Number);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError::Number)
    }

    pub(super) fn u32(&mut self) -> Result<u32, WireError> {
        self.u64()?.try_into().map_err(|_| WireError::Number)
    }

    pub(super) fn u16(&mut self) -> Result<u16, WireError> {
        self.u64()?.try_into().map_err(|_| WireError::Number)
    }

    /// The next `length` bytes, shared with the message.
    pub(super) fn bytes(&mut self, length: usize) -> Result<Bytes, WireError> {
        let end = self.at.saturating_add(length);
        if end > self.whole.len() {
            return Err(WireError::Short);
        }
        if end == self.whole.len() {
            // Nothing comes behind it: it takes the message with it.
            let rest = core::mem::replace(self, Self::new(Bytes::new()));
            return Ok(rest.rest());
        }
        let bytes = self.whole.slice(self.at..end);
        self.at = end;
        Ok(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let rest = self.whole.get(self.at..).unwrap_or_default();
        let array = rest.first_chunk::<N>().ok_or(WireError::Short)?;
        self.at = self.at.saturating_add(N);
        Ok(*array)
    }

    /// All that is left, shared with the message.
    pub(super) fn rest(mut self) -> Bytes {
        self.whole.advance(self.at.min(self.whole.len()));
        self.whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [
            0,
            1,
            127,
            128,
            300,
            16_383,
            16_384,
            u64::from(u32::MAX),
            u64::MAX,
        ] {
            let mut out = Vec::new();
            put(&mut out, value);
            assert_eq!(out.len(), length(value));
            let mut reader = Reader::new(out.into());
            assert_eq!(reader.u64(), Ok(value));
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn wrong_numbers_are_refused() {
        assert_eq!(
            Reader::new(Bytes::from_static(&[0x80])).u64(),
            Err(WireError::Short)
        );
        assert_eq!(
            Reader::new(Bytes::from_static(&[0xff; 11])).u64(),
            Err(WireError::Number)
        );
        assert_eq!(
            Reader::new(Bytes::from_static(&[0xff, 0xff, 0x7f])).u16(),
            Err(WireError::Number)
        );
    }
}
