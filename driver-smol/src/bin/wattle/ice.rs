//! The values of `--ice`: STUN and TURN servers.
//!
//! Servers are not used by this version; what is given is checked all the same, so that a
//! mistake shows now and not in the field.

use std::net::Ipv6Addr;

use serde::Deserialize;

/// One value of `--ice`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct IceServer {
    /// `stun:`, `turn:` or `turns:` URLs (RFC 7064, RFC 7065).
    pub(crate) urls: Vec<String>,
    username: Option<String>,
    credential: Option<String>,
}

impl std::fmt::Debug for IceServer {
    /// Without the credential.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceServer")
            .field("urls", &self.urls)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// A value of `--ice` cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IceError {
    #[error("{url:?} does not begin with stun:, turn: or turns:")]
    Scheme { url: String },
    #[error("{url:?} has no host, or one that cannot be")]
    Host { url: String },
    #[error("{url:?} has a port that is not a number from 1 to 65535")]
    Port { url: String },
    #[error(
        "{url:?}: only ?transport=udp and ?transport=tcp may follow, and only turn: and turns:"
    )]
    Query { url: String },
    #[error("\"username\" and \"credential\" belong together, and only to turn: and turns:")]
    Credential,
    #[error("\"urls\" is empty")]
    NoUrls,
    #[error("not the JSON of an ICE server: {reason}")]
    Json { reason: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    urls: OneOrMany,
    username: Option<String>,
    credential: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Reads a URL, or the JSON form of `RTCIceServer`.
pub(crate) fn parse(text: &str) -> Result<IceServer, IceError> {
    let text = text.trim();
    let server = if text.starts_with('{') {
        let given: Given = serde_json::from_str(text).map_err(|error| IceError::Json {
            reason: error.to_string(),
        })?;
        IceServer {
            urls: match given.urls {
                OneOrMany::One(url) => vec![url],
                OneOrMany::Many(urls) => urls,
            },
            username: given.username,
            credential: given.credential,
        }
    } else {
        IceServer {
            urls: vec![text.to_owned()],
            username: None,
            credential: None,
        }
    };
    if server.urls.is_empty() {
        return Err(IceError::NoUrls);
    }
    let mut has_turn = false;
    for url in &server.urls {
        has_turn |= check(url)?;
    }
    // A TURN server without credentials is rare, but there are some.
    match (&server.username, &server.credential) {
        (None, None) => Ok(server),
        (Some(_), Some(_)) if has_turn => Ok(server),
        _ => Err(IceError::Credential),
    }
}

/// Whether the URL is that of a TURN server.
fn check(url: &str) -> Result<bool, IceError> {
    let named = || url.to_owned();
    let (scheme, rest) = url
        .split_once(':')
        .ok_or_else(|| IceError::Scheme { url: named() })?;
    let is_turn = match scheme.to_ascii_lowercase().as_str() {
        "stun" => false,
        "turn" | "turns" => true,
        _ => return Err(IceError::Scheme { url: named() }),
    };
    let (place, query) = match rest.split_once('?') {
        Some((place, query)) => (place, Some(query)),
        None => (rest, None),
    };
    let (host_is_good, port) = match place.strip_prefix('[') {
        Some(literal) => {
            let (host, port) = literal
                .split_once(']')
                .ok_or_else(|| IceError::Host { url: named() })?;
            let port = match port.strip_prefix(':') {
                Some(port) => Some(port),
                None if port.is_empty() => None,
                None => return Err(IceError::Port { url: named() }),
            };
            (host.parse::<Ipv6Addr>().is_ok(), port)
        }
        None => match place.split_once(':') {
            Some((host, port)) => (is_host(host), Some(port)),
            None => (is_host(place), None),
        },
    };
    if !host_is_good {
        return Err(IceError::Host { url: named() });
    }
    let port_is_good = port.is_none_or(|port| {
        port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if !port_is_good {
        return Err(IceError::Port { url: named() });
    }
    match query {
        None => Ok(is_turn),
        Some("transport=udp" | "transport=tcp") if is_turn => Ok(is_turn),
        Some(_) => Err(IceError::Query { url: named() }),
    }
}

fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= 253
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_ones_are_taken() {
        for good in [
            "stun:stun.example.org",
            "stun:stun.example.org:19302",
            "STUN:192.0.2.1",
            "stun:[2001:db8::1]:3478",
            "turn:turn.example.org:3478?transport=tcp",
            r#"{"urls":"turn:t.example:3478?transport=udp","username":"u","credential":"c"}"#,
            r#"{"urls":["turns:[::1]?transport=tcp","stun:s"],"username":"u","credential":"c"}"#,
        ] {
            assert!(parse(good).is_ok(), "{good}: {:?}", parse(good));
        }
    }

    #[test]
    fn bad_ones_are_named() {
        let url = |text: &str| text.to_owned();
        let cases = [
            (
                "example.org",
                IceError::Scheme {
                    url: url("example.org"),
                },
            ),
            (
                "http://x",
                IceError::Scheme {
                    url: url("http://x"),
                },
            ),
            ("stun:", IceError::Host { url: url("stun:") }),
            (
                "stun://x",
                IceError::Host {
                    url: url("stun://x"),
                },
            ),
            (
                "stun:[::1",
                IceError::Host {
                    url: url("stun:[::1"),
                },
            ),
            (
                "stun:[1.2.3.4]",
                IceError::Host {
                    url: url("stun:[1.2.3.4]"),
                },
            ),
            (
                "stun:x:0",
                IceError::Port {
                    url: url("stun:x:0"),
                },
            ),
            (
                "stun:x:",
                IceError::Port {
                    url: url("stun:x:"),
                },
            ),
            (
                "stun:x:+1",
                IceError::Port {
                    url: url("stun:x:+1"),
                },
            ),
            (
                "stun:[::1]3478",
                IceError::Port {
                    url: url("stun:[::1]3478"),
                },
            ),
            (
                "stun:x?transport=udp",
                IceError::Query {
                    url: url("stun:x?transport=udp"),
                },
            ),
            (
                "turn:x?transport=sctp",
                IceError::Query {
                    url: url("turn:x?transport=sctp"),
                },
            ),
            (r#"{"urls":[]}"#, IceError::NoUrls),
            (r#"{"urls":"turn:x","username":"u"}"#, IceError::Credential),
            (
                r#"{"urls":"stun:x","username":"u","credential":"c"}"#,
                IceError::Credential,
            ),
        ];
        for (text, error) in cases {
            assert_eq!(parse(text), Err(error), "{text}");
        }
        for json in [
            "{",
            r#"{"urls":1}"#,
            r#"{"url":"stun:x"}"#,
            r#"{"urls":"stun:x","a":1}"#,
        ] {
            assert!(matches!(parse(json), Err(IceError::Json { .. })), "{json}");
        }
    }

    #[test]
    fn a_credential_is_not_shown() {
        let server = parse(r#"{"urls":"turn:x","username":"u","credential":"secret"}"#).unwrap();
        assert!(!format!("{server:?}").contains("secret"));
    }
}
