//! Network codes: what the host gives to the others.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str::FromStr;

use crate::rng::Rng;

/// The characters of a short code: no `I`, `O`, `0`, `1`, which look like each other.
const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// The digits of base 36, in which LAN codes write numbers.
const BASE36: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// The host's id at its own embedded signaling server.
pub(crate) const LAN_HOST_ID: &str = "HOST";

/// A network code: six characters, or a LAN code.
///
/// Six characters (`K7QX2M`) name a network at the signaling server. A LAN code names the address
/// of the host's embedded signaling server: `L1HGE14A-6Y0` is 192.168.1.42:9000, and
/// `L6-…-…` is an IPv6 address and port. Case does not matter on input, nor does white space
/// around it; [`Display`](fmt::Display) writes the one canonical form, in upper case.
///
/// ```
/// # use wattle_core::NetworkCode;
/// let code: NetworkCode = " l1hge14a-6y0\n".parse()?;
/// assert_eq!(code.lan_address(), Some(([192, 168, 1, 42], 9000).into()));
/// assert_eq!(code.to_string(), "L1HGE14A-6Y0");
/// # Ok::<(), wattle_core::CodeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkCode(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    /// Six bytes of [`ALPHABET`].
    Short([u8; 6]),
    /// A usable address, without flow or scope, never an IPv4 address in IPv6 clothes.
    Lan(SocketAddr),
}

/// A text is not a network code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// There is nothing but white space.
    #[error("the network code is empty")]
    Empty,
    /// It is not a LAN code, and has not six characters.
    #[error("a network code has 6 characters, this has {length}")]
    Length {
        /// How many characters it has.
        length: usize,
    },
    /// A character occurs in no code of this kind.
    #[error("'{character}' does not occur in a network code")]
    Character {
        /// The first such character.
        character: char,
    },
    /// A LAN code has nothing where its address should be.
    #[error("the address is missing in this LAN code")]
    AddressMissing,
    /// The number that stands for the address is larger than any address.
    #[error("the address in this LAN code is larger than any address")]
    AddressRange,
    /// Nobody can be reached at this address: it is unspecified, multicast, broadcast, in 0.0.0.0/8
    /// or 240.0.0.0/4, or an IPv6 address that means nothing without more (link-local, IPv4-mapped).
    #[error("{address} is not an address at which others reach a host")]
    Address {
        /// The address.
        address: IpAddr,
    },
    /// A LAN code has nothing where its port should be.
    #[error("the port is missing in this LAN code")]
    PortMissing,
    /// The port is zero or larger than 65535.
    #[error("the port of a LAN code is a number from 1 to 65535")]
    PortRange,
    /// A number in a LAN code begins with a zero, which the host's own code never does.
    #[error("a number in a LAN code does not begin with 0")]
    LeadingZero,
}

impl NetworkCode {
    /// The LAN code of an embedded server at `address`.
    ///
    /// Loopback addresses are taken, for several nodes on one machine. An IPv4-mapped IPv6 address
    /// is taken as the IPv4 address that it is; the flow label and the scope of an IPv6 address are
    /// not part of a code.
    ///
    /// # Errors
    /// [`CodeError::Address`] and [`CodeError::PortRange`] if others cannot reach it.
    pub fn lan(address: SocketAddr) -> Result<Self, CodeError> {
        let ip = address.ip().to_canonical();
        Self::from_parts(ip, address.port())
    }

    fn from_parts(ip: IpAddr, port: u16) -> Result<Self, CodeError> {
        let usable = match ip {
            IpAddr::V4(v4) => is_usable_v4(v4),
            IpAddr::V6(v6) => is_usable_v6(v6),
        };
        if !usable {
            return Err(CodeError::Address { address: ip });
        }
        if port == 0 {
            return Err(CodeError::PortRange);
        }
        Ok(Self(Kind::Lan(SocketAddr::new(ip, port))))
    }

    /// Where the host's embedded server is, if this is a LAN code.
    #[must_use]
    pub const fn lan_address(&self) -> Option<SocketAddr> {
        match self.0 {
            Kind::Lan(address) => Some(address),
            Kind::Short(_) => None,
        }
    }

    /// A random six-character code.
    pub(crate) fn random(rng: &mut Rng) -> Self {
        let mut code = *b"AAAAAA";
        for place in &mut code {
            let drawn = usize::try_from(rng.below(32)).unwrap_or_default();
            *place = ALPHABET.get(drawn).copied().unwrap_or(b'A');
        }
        Self(Kind::Short(code))
    }

    /// The signaling id of the host behind this code: where a joiner sends its OFFER.
    pub(crate) fn signaling_id(&self) -> &str {
        match &self.0 {
            // ASCII by construction.
            Kind::Short(code) => core::str::from_utf8(code).unwrap_or_default(),
            Kind::Lan(_) => LAN_HOST_ID,
        }
    }
}

const fn is_usable_v4(ip: Ipv4Addr) -> bool {
    // 0.0.0.0/8 is "this network", 224.0.0.0/4 multicast, 240.0.0.0/4 reserved, with the broadcast
    // address at its end (RFC 6890, section 2.2.2).
    let [first, ..] = ip.octets();
    first != 0 && first < 224
}

const fn is_usable_v6(ip: Ipv6Addr) -> bool {
    // A link-local address is nothing without an interface, and the host's is not the joiner's.
    // A mapped address has a shorter code.
    !ip.is_unspecified()
        && !ip.is_multicast()
        && !ip.is_unicast_link_local()
        && ip.to_ipv4_mapped().is_none()
}

/// The code as people write it: events are read in logs and timelines.
impl fmt::Debug for NetworkCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NetworkCode({self})")
    }
}

impl fmt::Display for NetworkCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = match &self.0 {
            Kind::Short(_) => return f.write_str(self.signaling_id()),
            Kind::Lan(address) => address,
        };
        match address.ip() {
            IpAddr::V4(v4) => {
                f.write_str("L")?;
                write_base36(f, u32::from(v4).into())?;
            }
            IpAddr::V6(v6) => {
                f.write_str("L6-")?;
                write_base36(f, v6.into())?;
            }
        }
        f.write_str("-")?;
        write_base36(f, address.port().into())
    }
}

fn write_base36(f: &mut fmt::Formatter<'_>, number: u128) -> fmt::Result {
    // 36^25 is the first power of 36 above 2^128.
    let mut digits = [b'0'; 25];
    let mut rest = number;
    let mut used = 0;
    for place in digits.iter_mut().rev() {
        let digit = usize::try_from(rest % 36).unwrap_or_default();
        *place = BASE36.get(digit).copied().unwrap_or(b'0');
        rest /= 36;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    let start = digits.len() - used;
    let text = digits.get(start..).unwrap_or_default();
    f.write_str(core::str::from_utf8(text).unwrap_or_default())
}

impl FromStr for NetworkCode {
    type Err = CodeError;

    /// # Errors
    /// The first thing that is wrong with it.
    fn from_str(text: &str) -> Result<Self, CodeError> {
        // A pasted code often brings a blank or a line end with it.
        let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
        if text.is_empty() {
            return Err(CodeError::Empty);
        }
        // Short codes have no dash, so that one which begins with L is not taken for a LAN code.
        let lan = text.strip_prefix(['L', 'l']);
        match lan.and_then(|rest| rest.split_once('-')) {
            Some((address, port)) => parse_lan(address, port),
            None => parse_short(text),
        }
    }
}

fn parse_short(text: &str) -> Result<NetworkCode, CodeError> {
    let length = text.chars().count();
    if length != 6 {
        return Err(CodeError::Length { length });
    }
    let mut code = *b"AAAAAA";
    for (place, character) in code.iter_mut().zip(text.chars()) {
        *place = u8::try_from(character.to_ascii_uppercase())
            .ok()
            .filter(|byte| ALPHABET.contains(byte))
            .ok_or(CodeError::Character { character })?;
    }
    Ok(NetworkCode(Kind::Short(code)))
}

/// `before` and `after` are what stands between the `L` and the first dash, and behind it.
fn parse_lan(before: &str, after: &str) -> Result<NetworkCode, CodeError> {
    // `L6-…` with one dash would be 0.0.0.6, which is no address: nothing is ambiguous.
    let (ip, port) = match (before, after.split_once('-')) {
        ("6", Some((address, port))) => {
            let bits = parse_base36(address, CodeError::AddressMissing, CodeError::AddressRange)?;
            (IpAddr::V6(Ipv6Addr::from(bits)), port)
        }
        _ => {
            let bits = parse_base36(before, CodeError::AddressMissing, CodeError::AddressRange)?;
            let bits = u32::try_from(bits).map_err(|_| CodeError::AddressRange)?;
            (IpAddr::V4(Ipv4Addr::from(bits)), after)
        }
    };
    let port = parse_base36(port, CodeError::PortMissing, CodeError::PortRange)?;
    let port = u16::try_from(port).map_err(|_| CodeError::PortRange)?;
    NetworkCode::from_parts(ip, port)
}

fn parse_base36(text: &str, missing: CodeError, too_large: CodeError) -> Result<u128, CodeError> {
    if text.is_empty() {
        return Err(missing);
    }
    let mut number: u128 = 0;
    for character in text.chars() {
        let digit = character
            .to_digit(36)
            .ok_or(CodeError::Character { character })?;
        number = number
            .checked_mul(36)
            .and_then(|number| number.checked_add(digit.into()))
            .ok_or(too_large)?;
    }
    // Each address has one code, so that two people can compare theirs.
    if text.len() > 1 && text.starts_with('0') {
        return Err(CodeError::LeadingZero);
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString as _};
    use alloc::vec::Vec;

    fn shown(text: &str) -> Result<String, CodeError> {
        text.parse::<NetworkCode>().map(|code| code.to_string())
    }

    fn lan(text: &str) -> NetworkCode {
        NetworkCode::lan(text.parse().unwrap()).unwrap()
    }

    #[test]
    fn case_and_white_space_do_not_matter() {
        assert_eq!(shown("k7qx2m").as_deref(), Ok("K7QX2M"));
        assert_eq!(shown("\t K7QX2M\r\n").as_deref(), Ok("K7QX2M"));
        assert_eq!(shown("LABCDE").as_deref(), Ok("LABCDE"));
        assert_eq!(shown("l1hge14a-6y0").as_deref(), Ok("L1HGE14A-6Y0"));
    }

    #[test]
    fn the_known_lan_code() {
        let code: NetworkCode = "L1HGE14A-6Y0".parse().unwrap();
        assert_eq!(
            code.lan_address(),
            Some("192.168.1.42:9000".parse().unwrap())
        );
        assert_eq!(code, lan("192.168.1.42:9000"));
        assert_eq!(code.signaling_id(), "HOST");
        assert_eq!(lan("[::1]:9000").to_string(), "L6-1-6Y0");
        assert_eq!(
            shown("l6-1-6y0").as_deref(),
            Ok("L6-1-6Y0"),
            "IPv6 codes have two dashes"
        );
    }

    #[test]
    fn short_codes_that_are_none() {
        assert_eq!(shown(""), Err(CodeError::Empty));
        assert_eq!(shown(" \n"), Err(CodeError::Empty));
        assert_eq!(shown("K7QX2"), Err(CodeError::Length { length: 5 }));
        assert_eq!(shown("K7QX2MM"), Err(CodeError::Length { length: 7 }));
        for character in ['0', '1', 'I', 'o', '-', ' ', 'ä', '\u{212a}', '\0'] {
            let mut text = String::from("K7Q");
            text.push(character);
            text.push_str("2M");
            assert_eq!(shown(&text), Err(CodeError::Character { character }));
        }
    }

    /// PROTOCOL: garbage was accepted (`L-` as 0.0.0.0:0) and lower case refused.
    #[test]
    fn lan_codes_that_are_none() {
        assert_eq!(shown("L-"), Err(CodeError::AddressMissing));
        assert_eq!(shown("L-6Y0"), Err(CodeError::AddressMissing));
        assert_eq!(shown("L1HGE14A-"), Err(CodeError::PortMissing));
        assert_eq!(shown("L6-"), Err(CodeError::PortMissing));
        assert_eq!(shown("L6--6Y0"), Err(CodeError::AddressMissing));
        assert_eq!(shown("L1HGE14A"), Err(CodeError::Length { length: 8 }));
        assert_eq!(shown("L1HGE14A-0"), Err(CodeError::PortRange));
        assert_eq!(shown("L1HGE14A-1EKG"), Err(CodeError::PortRange));
        assert_eq!(shown("L1HGE14A-1EKF").as_deref(), Ok("L1HGE14A-1EKF"));
        assert_eq!(shown("L1HGE14A-06Y0"), Err(CodeError::LeadingZero));
        assert_eq!(shown("L01HGE14A-6Y0"), Err(CodeError::LeadingZero));
        assert_eq!(shown("L1Z141Z4-6Y0"), Err(CodeError::AddressRange));
        let huge = ["L", &"Z".repeat(500), "-6Y0"].concat();
        assert_eq!(shown(&huge), Err(CodeError::AddressRange));
        for (text, character) in [("L1HG-6-Y0", '-'), ("L1H_E14A-6Y0", '_'), ("L+1-1", '+')] {
            assert_eq!(shown(text), Err(CodeError::Character { character }));
        }
    }

    #[test]
    fn addresses_that_nobody_reaches() {
        for text in [
            "0.0.0.0",
            "0.0.0.6",
            "0.255.255.255",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "ff02::1",
            "fe80::1",
        ] {
            let address: IpAddr = text.parse().unwrap();
            let refused = Err(CodeError::Address { address });
            assert_eq!(NetworkCode::lan(SocketAddr::new(address, 9000)), refused);
            // The same, written by somebody else.
            let written = NetworkCode(Kind::Lan(SocketAddr::new(address, 9000))).to_string();
            assert_eq!(written.parse::<NetworkCode>(), refused, "{written}");
        }
        assert_eq!(
            NetworkCode::lan("127.0.0.1:0".parse().unwrap()),
            Err(CodeError::PortRange)
        );
        assert_eq!(lan("127.0.0.1:1").to_string(), "LZ8KFLT-1");
    }

    #[test]
    fn one_address_has_one_code() {
        assert_eq!(lan("[::ffff:10.0.0.1]:80"), lan("10.0.0.1:80"));
        let mapped: Ipv6Addr = "::ffff:10.0.0.1".parse().unwrap();
        let written = NetworkCode(Kind::Lan(SocketAddr::new(mapped.into(), 80))).to_string();
        assert_eq!(
            written.parse::<NetworkCode>(),
            Err(CodeError::Address {
                address: mapped.into()
            })
        );
    }

    #[test]
    fn round_trips() {
        let mut rng = Rng::new([3; 32]);
        let mut seen = [false; 32];
        for _ in 0..2_000 {
            let short = NetworkCode::random(&mut rng);
            assert_eq!(short.to_string().to_lowercase().parse(), Ok(short));
            assert_eq!(short.signaling_id(), short.to_string());
            assert_eq!(short.lan_address(), None);
            for byte in short.to_string().bytes() {
                seen[ALPHABET.iter().position(|&a| a == byte).unwrap()] = true;
            }

            let port = u16::try_from(rng.below(65_535)).unwrap() + 1;
            let v4 = SocketAddr::from((rng.bytes::<4>(), port));
            let v6 = SocketAddr::from((rng.bytes::<16>(), port));
            for address in [v4, v6] {
                if let Ok(code) = NetworkCode::lan(address) {
                    assert_eq!(code.to_string().parse(), Ok(code));
                    assert_eq!(code.lan_address(), Some(address));
                }
            }
        }
        assert_eq!(seen, [true; 32], "every character is drawn");
        let last = lan("[fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
        assert_eq!(last.to_string().parse(), Ok(last));
    }

    #[test]
    fn hostile_texts_do_not_panic() {
        const PIECES: [&str; 16] = [
            "L", "l", "-", "6", "L6-", "0", "Z", "K7QX2M", " ", "ß", "\u{0}", "１", "9",
            "\u{202e}", "z", "1HGE14A",
        ];
        let mut rng = Rng::new([4; 32]);
        for _ in 0..20_000 {
            let count = rng.below(12);
            let text: String = (0..count)
                .map(|_| PIECES[usize::try_from(rng.below(16)).unwrap()])
                .collect::<Vec<_>>()
                .concat();
            if let Ok(code) = text.parse::<NetworkCode>() {
                let canonical = text.trim().to_ascii_uppercase();
                assert_eq!(code.to_string(), canonical);
            }
        }
    }
}
