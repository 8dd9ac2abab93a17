//! Where a STUN or TURN server is, as a URL.

use alloc::string::{String, ToString as _};
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// RFC 7064 section 3.2, RFC 7065 section 3.2.
const PORT: u16 = 3478;
const PORT_TLS: u16 = 5349;

/// RFC 1035 section 2.3.4.
const NAME: usize = 253;
const LABEL: usize = 63;

/// Where a STUN or TURN server is and how it is reached (RFC 7064, RFC 7065).
///
/// `stun:host`, `turn:host` or `turns:host`, each with an optional `:port` (3478, for `turns:` 5349),
/// the TURN ones with an optional `?transport=udp` or `?transport=tcp`. An IPv6 address stands in
/// brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IceUrl {
    scheme: IceScheme,
    host: IceHost,
    port: u16,
    transport: IceTransport,
}

/// What a server is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the schemes of RFC 7064 and 7065")]
pub enum IceScheme {
    /// Which address the world sees.
    Stun,
    /// To pass datagrams on.
    Turn,
    /// The same, over TLS.
    Turns,
}

impl IceScheme {
    /// As it stands in a URL.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stun => "stun",
            Self::Turn => "turn",
            Self::Turns => "turns",
        }
    }
}

/// A name, which the driver looks up, or an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "as RFC 3986 has it")]
pub enum IceHost {
    /// A name of the DNS.
    Name(String),
    /// An address literal.
    Address(IpAddr),
}

impl fmt::Display for IceHost {
    /// As it stands in a URL: an IPv6 address in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(v4)) => v4.fmt(f),
            Self::Address(IpAddr::V6(v6)) => write!(f, "[{v6}]"),
        }
    }
}

/// How a server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "TURN has these; not DTLS")]
pub enum IceTransport {
    /// Datagrams from one of our sockets.
    Udp,
    /// A TCP connection.
    Tcp,
    /// TLS over TCP.
    Tls,
}

impl IceTransport {
    /// A short name: `udp`, `tcp` or `tls`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

// (Not with `{:?}`: the module of a page has no Debug texts.)
/// A text is not the URL of a STUN or TURN server; each names it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IceUrlError {
    /// It does not begin with a scheme that can be used here.
    #[error(
        "\"{url}\" does not begin with stun:, turn: or turns:, or not with the one wanted here"
    )]
    Scheme {
        /// The text.
        url: String,
    },
    /// There is no host, or one that cannot be.
    #[error("\"{url}\" has no host, or one that cannot be")]
    Host {
        /// The text.
        url: String,
    },
    /// The port is not a number from 1 to 65535.
    #[error("\"{url}\" has a port that is not a number from 1 to 65535")]
    Port {
        /// The text.
        url: String,
    },
    /// Something other than a transport of TURN follows.
    #[error(
        "\"{url}\": only ?transport=udp and ?transport=tcp may follow, and only turn: and turns:"
    )]
    Query {
        /// The text.
        url: String,
    },
    /// `turns:` over UDP is TURN over DTLS.
    #[error("\"{url}\": TURN over DTLS is not supported: use turns: with ?transport=tcp, or turn:")]
    Dtls {
        /// The text.
        url: String,
    },
}

impl IceUrl {
    /// A STUN server by its name.
    pub(super) fn stun(name: &str, port: u16) -> Self {
        Self {
            scheme: IceScheme::Stun,
            host: IceHost::Name(name.to_string()),
            port,
            transport: IceTransport::Udp,
        }
    }

    /// What the server is asked for.
    #[must_use]
    pub const fn scheme(&self) -> IceScheme {
        self.scheme
    }

    /// Its name or address.
    #[must_use]
    pub const fn host(&self) -> &IceHost {
        &self.host
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// How it is reached.
    #[must_use]
    pub const fn transport(&self) -> IceTransport {
        self.transport
    }
}

impl FromStr for IceUrl {
    type Err = IceUrlError;

    fn from_str(url: &str) -> Result<Self, IceUrlError> {
        // Named in an error, but not at any length.
        let named = || url.chars().take(300).collect::<String>();
        let (scheme, rest) = url
            .split_once(':')
            .ok_or_else(|| IceUrlError::Scheme { url: named() })?;
        let scheme = [IceScheme::Stun, IceScheme::Turn, IceScheme::Turns]
            .into_iter()
            .find(|known| scheme.eq_ignore_ascii_case(known.name()))
            .ok_or_else(|| IceUrlError::Scheme { url: named() })?;
        let (place, query) = match rest.split_once('?') {
            Some((place, query)) => (place, Some(query)),
            None => (rest, None),
        };
        let (host, port) = match place.strip_prefix('[') {
            Some(literal) => {
                let (host, port) = literal
                    .split_once(']')
                    .ok_or_else(|| IceUrlError::Host { url: named() })?;
                let port = match port.strip_prefix(':') {
                    Some(port) => Some(port),
                    None if port.is_empty() => None,
                    None => return Err(IceUrlError::Port { url: named() }),
                };
                let address = host.parse::<Ipv6Addr>().ok();
                (address.map(|v6| IceHost::Address(v6.into())), port)
            }
            None => match place.split_once(':') {
                Some((host, port)) => (parse_host(host), Some(port)),
                None => (parse_host(place), None),
            },
        };
        let host = host
            .filter(is_somewhere)
            .ok_or_else(|| IceUrlError::Host { url: named() })?;
        let port = match port {
            None if scheme == IceScheme::Turns => PORT_TLS,
            None => PORT,
            Some(port) => {
                // `parse` would take a sign.
                let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
                let port = port.parse().ok().filter(|port| is_number && *port > 0);
                port.ok_or_else(|| IceUrlError::Port { url: named() })?
            }
        };
        let transport = match (scheme, query) {
            (IceScheme::Stun, None) => IceTransport::Udp,
            (IceScheme::Turn, None | Some("transport=udp")) => IceTransport::Udp,
            (IceScheme::Turn, Some("transport=tcp")) => IceTransport::Tcp,
            (IceScheme::Turns, None | Some("transport=tcp")) => IceTransport::Tls,
            (IceScheme::Turns, Some("transport=udp")) => {
                return Err(IceUrlError::Dtls { url: named() });
            }
            (_, Some(_)) => return Err(IceUrlError::Query { url: named() }),
        };
        Ok(Self {
            scheme,
            host,
            port,
            transport,
        })
    }
}

impl fmt::Display for IceUrl {
    /// As browsers write it, without what is the default.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scheme.name(), self.host)?;
        let default = match self.scheme {
            IceScheme::Stun | IceScheme::Turn => PORT,
            IceScheme::Turns => PORT_TLS,
        };
        if self.port != default {
            write!(f, ":{}", self.port)?;
        }
        if self.transport == IceTransport::Tcp {
            f.write_str("?transport=tcp")?;
        }
        Ok(())
    }
}

/// An IPv4 address or a name.
fn parse_host(host: &str) -> Option<IceHost> {
    if let Ok(v4) = host.parse::<Ipv4Addr>() {
        return Some(IceHost::Address(v4.into()));
    }
    // The dot at the end that stands for the root.
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_label = |label: &str| {
        (1..=LABEL).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let last = name.rsplit('.').next()?;
    // A last label of digits is an IPv4 address gone wrong: no such name can be.
    let is_name = host.len() <= NAME
        && name.split('.').all(is_label)
        && !last.bytes().all(|byte| byte.is_ascii_digit());
    is_name.then(|| IceHost::Name(host.to_ascii_lowercase()))
}

/// Whether something can be sent there.
fn is_somewhere(host: &IceHost) -> bool {
    match host {
        IceHost::Name(_) => true,
        IceHost::Address(ip) => !ip.is_unspecified() && !ip.is_multicast(),
    }
}
