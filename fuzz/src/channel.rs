//! Channel messages made of choices, by docs/wire.md: whole frames, broken ones, and any bytes.

use bytes::Bytes;

use crate::source::Source;

/// The frame types that there are.
const KINDS: [u8; 20] = [
    0x10, 0x11, 0x12, 0x14, 0x15, 0x16, 0x18, 0x19, 0x1a, 0x20, 0x21, 0x22, 0x01, 0x02, 0x03, 0x04,
    0x05, 0x06, 0x07, 0x08,
];

/// What a frame may speak of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// Ids of nodes that the other side may know.
    pub nodes: Vec<[u8; 16]>,
}

/// A channel message.
pub(crate) fn message(source: &mut Source<'_>, names: &Names) -> Bytes {
    match source.below(16) {
        14 => source.few().to_vec().into(),
        15 => {
            // As many as there is room for, and more.
            let mut one = Vec::new();
            frame(source, names, &mut one);
            one.truncate(400);
            one.repeat([2, 255, 256, 257][usize::from(source.below(4))])
                .into()
        }
        choice => {
            let mut out = Vec::new();
            for _ in 0..=choice / 4 {
                frame(source, names, &mut out);
            }
            if source.below(8) == 7 {
                let place = usize::from(source.u16()) % out.len().max(1);
                out[place] = source.u8();
            }
            out.into()
        }
    }
}

/// One frame; also one that docs/wire.md does not know.
pub(crate) fn frame(source: &mut Source<'_>, names: &Names, out: &mut Vec<u8>) {
    let kind = match source.u8() {
        choice @ 0..=239 => KINDS[usize::from(choice) % KINDS.len()],
        _ => source.u8(),
    };
    let mut body = Vec::new();
    match kind {
        0x01 => {
            put(&mut body, source.one_of(&[1, 1, 1, 0, 2, 65_536]));
            put(&mut body, source.one_of(&[0, 0, 1, 65_535]));
            node(source, names, &mut body);
        }
        0x02 => {
            put(&mut body, source.one_of(&[0, 0, 1, u64::from(u32::MAX)]));
            number(source, &mut body);
            body.extend_from_slice(&[1; 16]);
            let count = source.below(6);
            put(&mut body, count.into());
            for _ in 0..count {
                number(source, &mut body);
                node(source, names, &mut body);
            }
        }
        0x03 => {
            number(source, &mut body);
            node(source, names, &mut body);
        }
        0x04 => {
            number(source, &mut body);
            body.push(source.u8());
        }
        0x05 => body.push(source.u8()),
        0x06 | 0x07 => put(&mut body, source.u32().into()),
        0x08 => {
            let count = source.below(4);
            put(&mut body, count.into());
            for _ in 0..count {
                number(source, &mut body);
                put(&mut body, source.u32().into());
            }
        }
        0x10 => {
            sequence(source, &mut body);
            piece(source, &mut body);
        }
        0x11 => {
            let count = source.one_of(&[1, 2, 3, 0, 5, 64, 65]);
            put(&mut body, count);
            for _ in 0..count.min(5) {
                number(source, &mut body);
                sequence(source, &mut body);
            }
            for _ in 5..count {
                put(&mut body, 1);
                put(&mut body, 0);
            }
            piece(source, &mut body);
        }
        0x12 => {
            number(source, &mut body);
            sequence(source, &mut body);
            piece(source, &mut body);
        }
        0x14 => ack(source, &mut body),
        0x15 | 0x16 => {
            number(source, &mut body);
            ack(source, &mut body);
        }
        0x18 => state(source, &mut body),
        0x19 => {
            let count = source.one_of(&[1, 2, 0, 64, 65]);
            put(&mut body, count);
            for _ in 0..count.min(2) {
                number(source, &mut body);
            }
            for _ in 2..count {
                put(&mut body, 3);
            }
            state(source, &mut body);
        }
        0x1a => {
            number(source, &mut body);
            state(source, &mut body);
        }
        0x20 | 0x21 => {
            number(source, &mut body);
            signal(source, &mut body);
        }
        0x22 => {
            put(&mut body, source.one_of(&[0, 0, 0, 1]));
            number(source, &mut body);
        }
        // Of a later version than this file.
        _ => {
            for _ in 0..source.below(8) {
                match source.below(6) {
                    0 => number(source, &mut body),
                    1 => node(source, names, &mut body),
                    2 => sequence(source, &mut body),
                    3 => put(&mut body, source.u32().into()),
                    4 => body.push(source.u8()),
                    _ => body.extend_from_slice(source.few()),
                }
            }
        }
    }
    out.push(kind);
    let length = body.len() as u64;
    put(
        out,
        if source.below(64) == 63 {
            length + 1
        } else {
            length
        },
    );
    out.extend_from_slice(&body);
}

/// A step of the negotiation between two joiners.
fn signal(source: &mut Source<'_>, out: &mut Vec<u8>) {
    put(out, source.one_of(&[0, 0, 0, 1]));
    put(out, source.one_of(&[1, 0, 2, 3, u64::from(u32::MAX)]));
    out.push(source.one_of(&[0, 1, 2, 3, 4]));
    out.push(source.one_of(&[0, 1]));
    let texts: [&[u8]; 4] = [
        b"a description",
        b"",
        b"candidate:1 1 udp 1 10.0.0.1 5 typ host",
        b"\xff",
    ];
    out.extend_from_slice(source.one_of(&texts));
    if source.below(32) == 31 {
        out.resize(out.len() + 20_000, b'x');
    }
}

fn number(source: &mut Source<'_>, out: &mut Vec<u8>) {
    put(
        out,
        source.one_of(&[0, 1, 2, 3, 4, 5, 6, 77, 65_535, 65_536]),
    );
}

fn node(source: &mut Source<'_>, names: &Names, out: &mut Vec<u8>) {
    let choice = usize::from(source.u8());
    let known = names.nodes.get(choice).copied();
    out.extend_from_slice(&known.unwrap_or([choice as u8; 16]));
}

fn sequence(source: &mut Source<'_>, out: &mut Vec<u8>) {
    let choice = source.u8();
    put(
        out,
        match choice {
            0..=199 => u64::from(choice % 8),
            200..=229 => u64::from(source.u16()),
            230..=242 => u64::from(u32::MAX) + u64::from(choice % 3),
            _ => u64::MAX - u64::from(choice % 3),
        },
    );
}

fn piece(source: &mut Source<'_>, out: &mut Vec<u8>) {
    let length = source.one_of(&[1, 0, 5, 100, 1023, 1024, 1025, 5000, 16_384, 16_385]);
    let total = source.one_of(&[
        Some(length),
        Some(length),
        None,
        Some(0),
        Some(length + 1),
        Some(5000),
        Some(20_000),
        Some(262_144),
        Some(262_145),
        Some(u64::from(u32::MAX)),
    ]);
    match total {
        Some(total) => {
            out.push(1);
            put(out, total);
        }
        None => out.push(source.one_of(&[0, 0, 2, 0xfe])),
    }
    payload(source, length, out);
}

/// Payloads are told apart by their first bytes.
fn payload(source: &mut Source<'_>, length: u64, out: &mut Vec<u8>) {
    let end = out.len() + length as usize;
    out.push(source.u8());
    out.resize(end, 7);
}

fn ack(source: &mut Source<'_>, out: &mut Vec<u8>) {
    sequence(source, out);
    put(
        out,
        match source.below(8) {
            0 => 524_288,
            1 => 524_288 + u64::from(source.u16()),
            2 => u64::from(source.u32()),
            3 => 1_048_576,
            4 => 0,
            5 => u64::MAX,
            6 => 524_288 + 32 * u64::from(source.u8()),
            _ => source.u64(),
        },
    );
    put(
        out,
        source.one_of(&[0, 4_999, 5_000, 20_000, u64::from(u32::MAX)]),
    );
}

fn state(source: &mut Source<'_>, out: &mut Vec<u8>) {
    let choice = source.u8();
    put(
        out,
        match choice {
            0..=199 => u64::from(choice),
            200..=219 => u64::from(u32::MAX) - u64::from(choice % 4),
            220..=239 => (1 << 31) - 2 + u64::from(choice % 4),
            _ => u64::from(source.u32()),
        },
    );
    let length = source.one_of(&[1, 0, 100, 16_384, 16_385]);
    payload(source, length, out);
}

/// LEB128, as in docs/wire.md.
fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Frames that an ordinary node says first.
pub(crate) fn hello(node: [u8; 16]) -> Bytes {
    let mut out = vec![0x01, 18, 1, 0];
    out.extend_from_slice(&node);
    out.into()
}

/// The host's first frame: the joiner is number 1, and the nodes of `others` are there.
pub(crate) fn welcome(host: [u8; 16], joiner: [u8; 16], others: &[(u8, [u8; 16])]) -> Bytes {
    let mut body = vec![0, 1];
    body.extend_from_slice(&[1; 16]);
    body.push(2 + others.len() as u8);
    for (number, node) in std::iter::once(&(0, host))
        .chain(others)
        .chain([&(1, joiner)])
    {
        body.push(*number);
        body.extend_from_slice(node);
    }
    let mut out = vec![0x02];
    put(&mut out, body.len() as u64);
    out.extend_from_slice(&body);
    out.into()
}
