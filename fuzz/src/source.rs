//! Bytes as choices.

/// Takes choices from the front of an input. When nothing is left, every choice is zero, so zero
/// should mean the most ordinary thing.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    rest: &'a [u8],
}

impl<'a> Source<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn u8(&mut self) -> u8 {
        self.number(1) as u8
    }

    pub(crate) fn u16(&mut self) -> u16 {
        self.number(2) as u16
    }

    pub(crate) fn u32(&mut self) -> u32 {
        self.number(4) as u32
    }

    pub(crate) fn u64(&mut self) -> u64 {
        self.number(8)
    }

    /// Little-endian; bytes that are missing are zero.
    fn number(&mut self, length: usize) -> u64 {
        let taken = self.bytes(length);
        taken
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// A number below `n`, of one byte.
    pub(crate) fn below(&mut self, n: u8) -> u8 {
        self.u8() % n.max(1)
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.u8() & 1 == 1
    }

    /// One of `all`, which must not be empty.
    pub(crate) fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        let place = usize::from(self.u8()) % all.len();
        all[place].clone()
    }

    /// At most this many bytes.
    pub(crate) fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// Bytes whose number is a choice too: at most 255.
    pub(crate) fn few(&mut self) -> &'a [u8] {
        let length = self.u8();
        self.bytes(length.into())
    }

    /// A text whose length is a choice too. What is not UTF-8 is replaced.
    pub(crate) fn text(&mut self) -> String {
        let length = self.u16() % 4096;
        String::from_utf8_lossy(self.bytes(length.into())).into_owned()
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        self.bytes(usize::MAX)
    }
}
