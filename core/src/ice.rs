//! STUN and TURN servers, as browsers write them, and what they may be used for.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use crate::json::{self, Value};

/// RFC 7064 section 3.2, RFC 7065 section 3.2.
const PORT: u16 = 3478;
const PORT_TLS: u16 = 5349;

/// RFC 8489 section 14.3: USERNAME has fewer than 509 bytes. A password has no limit there.
const USERNAME: usize = 508;
const CREDENTIAL: usize = 1024;

/// RFC 1035 section 2.3.4.
const NAME: usize = 253;
const LABEL: usize = 63;

/// STUN and TURN servers that belong together: `RTCIceServer` in a browser.
///
/// Parsed from one URL (`stun:stun.example.org:19302`) or from the JSON form,
/// `{"urls": "turn:turn.example.org", "username": "…", "credential": "…"}`, where `urls` may be a list.
///
/// ```
/// use wattle_core::IceServer;
///
/// let stun: IceServer = "stun:stun.example.org".parse()?;
/// let turn = IceServer::turn("turn:turn.example.org?transport=tcp", "ada", "secret")?;
/// assert_eq!(stun.urls()[0].port(), 3478);
/// assert!("turn:turn.example.org:0".parse::<IceServer>().is_err());
/// # Ok::<(), wattle_core::IceServerError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct IceServer {
    urls: Vec<IceUrl>,
    username: Option<String>,
    credential: Option<String>,
}

impl fmt::Debug for IceServer {
    /// Without the credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServer")
            .field("urls", &self.urls)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// Servers that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IceServerError {
    /// A URL cannot be read.
    #[error(transparent)]
    Url(#[from] IceUrlError),
    /// One of the two is missing, or they are given for a `stun:` URL alone.
    #[error("\"username\" and \"credential\" belong together, and only to turn: and turns:")]
    Credential,
    /// The user name has more than 508 bytes, or the credential more than 1024.
    #[error(
        "a \"username\" has 508 bytes at most (this one has {username}), a \"credential\" 1024 \
         (this one has {credential})"
    )]
    TooLong {
        /// How many bytes the user name has.
        username: u32,
        /// How many bytes the credential has.
        credential: u32,
    },
    /// The list of URLs is empty.
    #[error("\"urls\" is empty")]
    NoUrls,
    /// It begins with `{`, but is not the JSON of an ICE server.
    #[error("not the JSON of an ICE server: {reason}")]
    Json {
        /// What is wrong with it, and where.
        reason: String,
    },
}

impl IceServer {
    /// The two public STUN servers that [`Config::default`](crate::Config) uses:
    /// `stun:stun.l.google.com:19302` and `stun:stun1.l.google.com:19302`.
    ///
    /// They say which address the world sees, and learn that you play; whoever minds that, or has
    /// servers, sets [`Config::with_ice_servers`](crate::Config::with_ice_servers).
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        ["stun.l.google.com", "stun1.l.google.com"]
            .map(|name| Self {
                urls: vec![IceUrl {
                    scheme: IceScheme::Stun,
                    host: IceHost::Name(name.to_string()),
                    port: 19302,
                    transport: IceTransport::Udp,
                }],
                username: None,
                credential: None,
            })
            .into()
    }

    /// A STUN server, such as `stun:stun.example.org:3478`.
    ///
    /// # Errors
    /// [`IceServerError::Url`] if the URL cannot be read or is not a `stun:` one.
    pub fn stun(url: &str) -> Result<Self, IceServerError> {
        let url: IceUrl = url.parse()?;
        if url.scheme != IceScheme::Stun {
            let url = url.to_string();
            return Err(IceUrlError::Scheme { url }.into());
        }
        Self::new(vec![url], None)
    }

    /// A TURN server, such as `turn:turn.example.org:3478?transport=tcp`, with its credentials.
    ///
    /// # Errors
    /// [`IceServerError::Url`] if the URL cannot be read, [`IceServerError::Credential`] if it is a
    /// `stun:` one, [`IceServerError::TooLong`] if a credential is.
    pub fn turn(url: &str, username: &str, credential: &str) -> Result<Self, IceServerError> {
        Self::new(vec![url.parse()?], Some((username, credential)))
    }

    /// Servers with the same user name and credential; without any for STUN.
    ///
    /// # Errors
    /// [`IceServerError::NoUrls`] if there are none, [`IceServerError::Credential`] if there are
    /// credentials but no TURN server, [`IceServerError::TooLong`] if one is too long.
    pub fn new(
        urls: Vec<IceUrl>,
        credentials: Option<(&str, &str)>,
    ) -> Result<Self, IceServerError> {
        if urls.is_empty() {
            return Err(IceServerError::NoUrls);
        }
        if let Some((username, credential)) = credentials {
            if urls.iter().all(|url| url.scheme == IceScheme::Stun) {
                return Err(IceServerError::Credential);
            }
            if username.len() > USERNAME || credential.len() > CREDENTIAL {
                let length = |text: &str| u32::try_from(text.len()).unwrap_or(u32::MAX);
                return Err(IceServerError::TooLong {
                    username: length(username),
                    credential: length(credential),
                });
            }
        }
        let (username, credential) = credentials
            .map(|(username, credential)| (username.to_string(), credential.to_string()))
            .unzip();
        Ok(Self {
            urls,
            username,
            credential,
        })
    }

    /// Where the servers are, and how they are reached.
    #[must_use]
    pub fn urls(&self) -> &[IceUrl] {
        &self.urls
    }

    /// The user name for TURN.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// The password for TURN.
    #[must_use]
    pub fn credential(&self) -> Option<&str> {
        self.credential.as_deref()
    }
}

/// `RTCIceServer`, with what some services still add: `url`, of which `urls` is the newer form, and
/// `credentialType`, which is always `password`.
const MEMBERS: [&str; 5] = ["urls", "username", "credential", "url", "credentialType"];

/// Reads the JSON form; the error is the reason.
fn read_given(text: &str) -> Result<Given<'_>, String> {
    if let Some(at) = json::broken_at(text) {
        return Err(format!("it breaks off, or goes on, after {at} bytes"));
    }
    let mut unknown = None;
    let _ = json::each_member(text, &mut |name, _| {
        let known = MEMBERS.contains(&name.as_ref());
        unknown = (!known).then(|| name.into_owned());
        known.then_some(())
    });
    if let Some(name) = unknown {
        let known = MEMBERS.join(", ");
        return Err(format!("\"{name}\" is not one of its members: {known}"));
    }
    let [urls, username, credential, url, credential_type] =
        json::members(text, MEMBERS).ok_or("a member is there twice")?;
    let wanted = |name: &str| format!("\"{name}\" must be a text");
    let text = |name, member| json::optional(member, Value::text).ok_or_else(|| wanted(name));
    text("url", url)?;
    match text("credentialType", credential_type)?.as_deref() {
        None | Some("password") => {}
        Some(_) => return Err("\"credentialType\" can only be \"password\"".to_string()),
    }
    let urls = urls.ok_or("\"urls\" is missing")?;
    let urls = match urls.elements(u16::MAX) {
        Some(urls) => urls.into_iter().map(Value::text).collect(),
        None => urls.text().map(|url| vec![url]),
    };
    Ok(Given {
        urls: urls.ok_or("\"urls\" must be a text or a list of texts")?,
        username: text("username", username)?,
        credential: text("credential", credential)?,
    })
}

struct Given<'a> {
    urls: Vec<Cow<'a, str>>,
    username: Option<Cow<'a, str>>,
    credential: Option<Cow<'a, str>>,
}

impl FromStr for IceServer {
    type Err = IceServerError;

    /// Reads a URL, or the JSON form of `RTCIceServer`.
    fn from_str(text: &str) -> Result<Self, IceServerError> {
        let text = text.trim();
        if !text.starts_with('{') {
            return Self::new(vec![text.parse()?], None);
        }
        let given = read_given(text).map_err(|reason| IceServerError::Json { reason })?;
        let urls = given
            .urls
            .iter()
            .map(|url| url.parse())
            .collect::<Result<_, IceUrlError>>()?;
        // A TURN server without credentials is rare, but there are some.
        match (&given.username, &given.credential) {
            (None, None) => Self::new(urls, None),
            (Some(username), Some(credential)) => Self::new(urls, Some((username, credential))),
            (Some(_), None) | (None, Some(_)) => Err(IceServerError::Credential),
        }
    }
}

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

/// Which ways to another node may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IcePolicy {
    /// All that there are, the direct ones first.
    #[default]
    All,
    /// Only through a TURN server: no address of ours ever reaches another node. Without a TURN
    /// server nothing connects.
    RelayOnly,
}

#[cfg(test)]
#[path = "ice/tests.rs"]
mod tests;
