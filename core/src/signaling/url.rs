//! The address of a signaling server.

use alloc::format;
use alloc::string::{String, ToString as _};
use core::fmt;
use core::net::{Ipv6Addr, SocketAddr};
use core::str::FromStr;

/// `ws://` or `wss://`, host, port, path and key of a PeerJS signaling server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalingUrl {
    tls: bool,
    /// As it stands in a URL: an IPv6 address in brackets.
    host: String,
    port: Option<u16>,
    path: String,
    key: String,
}

impl Default for SignalingUrl {
    /// The public PeerJS server.
    fn default() -> Self {
        Self {
            tls: true,
            host: "0.peerjs.com".to_string(),
            port: None,
            path: "/peerjs".to_string(),
            key: "peerjs".to_string(),
        }
    }
}

impl SignalingUrl {
    /// The embedded server of a host on the LAN.
    pub(crate) fn lan(address: SocketAddr) -> Self {
        let host = match address {
            SocketAddr::V4(v4) => v4.ip().to_string(),
            SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
        };
        Self {
            tls: false,
            host,
            port: Some(address.port()),
            path: "/peerjs".to_string(),
            key: "peerjs".to_string(),
        }
    }

    /// Whether the server is in the internet, as far as its name or address tells.
    pub(crate) fn is_outside(&self) -> bool {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        match host.parse() {
            Ok(address) => crate::report::is_public(address),
            Err(_) => host.contains('.') && !host.ends_with(".local"),
        }
    }

    /// The URL to open for a client with this id and token.
    pub(crate) fn for_client(&self, id: &str, token: &str) -> String {
        format!(
            "{}?key={}&id={id}&token={token}",
            self.without_query(),
            self.key
        )
    }

    /// The URL without its key.
    pub(crate) fn without_query(&self) -> String {
        let scheme = if self.tls { "wss" } else { "ws" };
        match self.port {
            Some(port) => format!("{scheme}://{}:{port}{}", self.host, self.path),
            None => format!("{scheme}://{}{}", self.host, self.path),
        }
    }
}

impl fmt::Display for SignalingUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}?key={}", self.without_query(), self.key)
    }
}

/// A text is not the URL of a signaling server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignalingUrlError {
    /// It does not begin with `ws://` or `wss://`.
    #[error("it must begin with ws:// or wss://")]
    Scheme,
    /// There is no host, or it has characters that no host has.
    #[error("the host is missing or has characters that no host has")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("the port must be a number from 1 to 65535")]
    Port,
    /// The path or query has characters that a URL cannot have.
    #[error("the path has characters that a URL cannot have")]
    Path,
    /// The query has something other than `key=`.
    #[error("the query may have `key=…` only, and the key letters, digits, `-`, `_`, `.`")]
    Query,
    /// It has a user name, a password or a fragment.
    #[error("a signaling URL has no user name, password or fragment")]
    Extra,
}

impl FromStr for SignalingUrl {
    type Err = SignalingUrlError;

    fn from_str(text: &str) -> Result<Self, SignalingUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(SignalingUrlError::Scheme)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "ws" => false,
            "wss" => true,
            _ => return Err(SignalingUrlError::Scheme),
        };
        if rest.contains('#') {
            return Err(SignalingUrlError::Extra);
        }
        let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(authority_end);
        if authority.contains('@') {
            return Err(SignalingUrlError::Extra);
        }
        let (host, port) = parse_authority(authority)?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !path
            .chars()
            .all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\'))
        {
            return Err(SignalingUrlError::Path);
        }
        let path = if path.is_empty() || path == "/" {
            "/peerjs"
        } else {
            path
        };
        let key = parse_query(query)?;
        Ok(Self {
            tls,
            host,
            port,
            path: path.to_string(),
            key,
        })
    }
}

fn parse_authority(authority: &str) -> Result<(String, Option<u16>), SignalingUrlError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(SignalingUrlError::Host)?;
            let address: Ipv6Addr = address.parse().map_err(|_| SignalingUrlError::Host)?;
            let port = match port {
                "" => None,
                port => Some(port.strip_prefix(':').ok_or(SignalingUrlError::Port)?),
            };
            (format!("[{address}]"), port)
        }
        None => {
            let (host, port) = match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            };
            let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            if host.is_empty() || host.len() > 253 || !host.chars().all(is_host) {
                return Err(SignalingUrlError::Host);
            }
            (host.to_ascii_lowercase(), port)
        }
    };
    let port = match port {
        None => None,
        Some(digits) if digits.chars().all(|c| c.is_ascii_digit()) => match digits.parse::<u16>() {
            Ok(0) | Err(_) => return Err(SignalingUrlError::Port),
            Ok(port) => Some(port),
        },
        Some(_) => return Err(SignalingUrlError::Port),
    };
    Ok((host, port))
}

fn parse_query(query: &str) -> Result<String, SignalingUrlError> {
    let mut key = "peerjs".to_string();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let value = part.strip_prefix("key=").ok_or(SignalingUrlError::Query)?;
        let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if value.is_empty() || !value.chars().all(is_key) {
            return Err(SignalingUrlError::Query);
        }
        key = value.to_string();
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, SignalingUrlError> {
        text.parse::<SignalingUrl>().map(|url| url.to_string())
    }

    #[test]
    fn defaults_fill_the_gaps() {
        assert_eq!(
            shown("ws://localhost:9000").as_deref(),
            Ok("ws://localhost:9000/peerjs?key=peerjs")
        );
        assert_eq!(
            shown("WSS://Example.org/app/peerjs?key=abc").as_deref(),
            Ok("wss://example.org/app/peerjs?key=abc")
        );
        assert_eq!(
            shown("ws://[::1]:80/").as_deref(),
            Ok("ws://[::1]:80/peerjs?key=peerjs")
        );
        assert_eq!(
            SignalingUrl::default().to_string(),
            "wss://0.peerjs.com/peerjs?key=peerjs"
        );
    }

    #[test]
    fn wrong_ones_are_named() {
        assert_eq!(shown("http://x"), Err(SignalingUrlError::Scheme));
        assert_eq!(shown("ws://"), Err(SignalingUrlError::Host));
        assert_eq!(shown("ws://a b"), Err(SignalingUrlError::Host));
        assert_eq!(shown("ws://[::1"), Err(SignalingUrlError::Host));
        assert_eq!(shown("ws://a:0"), Err(SignalingUrlError::Port));
        assert_eq!(shown("ws://a:65536"), Err(SignalingUrlError::Port));
        assert_eq!(shown("ws://a:+1"), Err(SignalingUrlError::Port));
        assert_eq!(shown("ws://a/ä"), Err(SignalingUrlError::Path));
        assert_eq!(shown("ws://a/?id=1"), Err(SignalingUrlError::Query));
        assert_eq!(shown("ws://user@a"), Err(SignalingUrlError::Extra));
        assert_eq!(shown("ws://a/#b"), Err(SignalingUrlError::Extra));
    }

    #[test]
    fn a_client_brings_key_id_and_token() {
        let lan = SignalingUrl::lan(SocketAddr::from(([192, 168, 1, 42], 9000)));
        assert_eq!(
            lan.for_client("HOST", "t"),
            "ws://192.168.1.42:9000/peerjs?key=peerjs&id=HOST&token=t"
        );
    }
}
