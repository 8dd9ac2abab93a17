//! What an HTTP request to the server asks for.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::json::Object;

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// A WebSocket, with these parameters.
    WebSocket(Parameters),
    /// A free id: `GET …/KEY/id`, which PeerJS does when the application names none.
    Id,
    /// The list of all ids: `GET …/KEY/peers`.
    Peers,
    /// What this is: `GET …/`.
    Greeting,
    /// Whether a page of another origin may ask.
    Preflight,
    /// A WebSocket at another path.
    WrongPath,
    /// A WebSocket by another method.
    WrongMethod,
    /// Anything else.
    Unknown,
}

/// What a client says about itself in its URL; empty is the same as missing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    pub(super) id: String,
    pub(super) token: String,
    pub(super) key: String,
}

impl Request {
    pub(super) fn parse(method: &str, target: &str, upgrade: bool) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if upgrade {
            return if method != "GET" {
                Self::WrongMethod
            } else if path.starts_with('/') && path.ends_with("/peerjs") {
                // PeerServer takes one path. Ours is behind any, so that no URL that PeerJS or a
                // proxy in front of us makes of a configured path is wrong.
                Self::WebSocket(Parameters::parse(query))
            } else {
                Self::WrongPath
            };
        }
        match method {
            "GET" => {}
            "OPTIONS" => return Self::Preflight,
            _ => return Self::Unknown,
        }
        // Any mount, any key, any case, and a slash at the end: as PeerServer's router.
        let last_two = path.strip_suffix('/').unwrap_or(path).rsplit_once('/');
        let (before, last) = last_two.unwrap_or_default();
        let under_a_key = before.starts_with('/') && !before.ends_with('/');
        if under_a_key && last.eq_ignore_ascii_case("id") {
            Self::Id
        } else if under_a_key && last.eq_ignore_ascii_case("peers") {
            Self::Peers
        } else if path.starts_with('/') && path.ends_with('/') {
            Self::Greeting
        } else {
            Self::Unknown
        }
    }
}

impl Parameters {
    /// Reads a query as `URLSearchParams` does; of two with one name the last one counts.
    fn parse(query: &str) -> Self {
        let mut parameters = Self::default();
        for part in query.split('&') {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match decode(name).as_str() {
                "id" => parameters.id = decode(value),
                "token" => parameters.token = decode(value),
                "key" => parameters.key = decode(value),
                _ => {}
            }
        }
        parameters
    }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        bytes.push(match (*first, tail) {
            (b'+', _) => b' ',
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    high << 4 | low
                }
                _ => b'%',
            },
            (other, _) => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// What `GET /` says, with the members that PeerServer has.
pub(super) fn greeting() -> String {
    let mut greeting = Object::new();
    greeting.text("name", "wattle signaling server");
    greeting.text(
        "description",
        "Brings nodes together: they exchange their WebRTC descriptions here.",
    );
    greeting.text("website", env!("CARGO_PKG_REPOSITORY"));
    greeting.end()
}

/// A random UUID (RFC 9562, section 5.4), which is what PeerServer gives to those who ask for an id.
pub(super) fn uuid(random: [u8; 16]) -> String {
    let version = 4_u128 << 76;
    let variant = 2_u128 << 62;
    let bits = u128::from_be_bytes(random) & !(0xf << 76) & !(0b11 << 62) | version | variant;
    let digits = format!("{bits:032x}");
    let part = |range| digits.get(range).unwrap_or_default();
    let (a, b, c, d, e) = (
        part(0..8),
        part(8..12),
        part(12..16),
        part(16..20),
        part(20..32),
    );
    format!("{a}-{b}-{c}-{d}-{e}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;

    fn web_socket(target: &str) -> Option<(String, String, String)> {
        let request = Request::parse("GET", target, true);
        if let Request::WebSocket(Parameters { id, token, key }) = request {
            return Some((id, token, key));
        }
        assert_eq!(request, Request::WrongPath, "{target}");
        None
    }

    #[test]
    fn uuids_are_of_version_4() {
        assert_eq!(uuid([0; 16]), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid([255; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn any_path_that_ends_in_peerjs() {
        for path in ["/peerjs", "/peerjs/peerjs", "/some/where/peerjs"] {
            assert!(web_socket(path).is_some(), "{path}");
        }
        for path in [
            "/",
            "",
            "peerjs",
            "/peerjs/",
            "/xpeerjs",
            "/PEERJS",
            "/a?/peerjs",
        ] {
            assert_eq!(web_socket(path), None, "{path}");
        }
        assert_eq!(
            Request::parse("POST", "/peerjs", true),
            Request::WrongMethod
        );
    }

    #[test]
    fn queries_are_read_as_a_browser_writes_them() {
        let read = |query: &str| web_socket(&["/peerjs?", query].concat()).unwrap();
        let all =
            |id: &str, token: &str, key: &str| (id.to_string(), token.to_string(), key.to_string());
        assert_eq!(
            read("key=peerjs&id=a-b&token=t&version=1.5.5"),
            all("a-b", "t", "peerjs")
        );
        assert_eq!(read("id=a&id=b&token"), all("b", "", ""));
        assert_eq!(
            read("%69d=a+b%20c%2B&key==&token=%zz%"),
            all("a b c+", "%zz%", "=")
        );
        assert_eq!(read("id=%ff%00"), all("\u{fffd}\0", "", ""));
        assert_eq!(read("id=a?b=c&&&"), all("a?b=c", "", ""));
    }

    #[test]
    fn plain_requests() {
        let get = |target| Request::parse("GET", target, false);
        assert_eq!(get("/peerjs/id?ts=1"), Request::Id);
        assert_eq!(get("/game/other/ID/"), Request::Id);
        assert_eq!(get("/peerjs/peers"), Request::Peers);
        assert_eq!(get("/"), Request::Greeting);
        assert_eq!(get("/game/?x"), Request::Greeting);
        for target in [
            "",
            "id",
            "/id",
            "//id",
            "/peerjs",
            "/nowhere",
            "*",
            "x/id",
            "/peerjs/idx",
        ] {
            assert_eq!(get(target), Request::Unknown, "{target}");
        }
        assert_eq!(
            Request::parse("POST", "/peerjs/id", false),
            Request::Unknown
        );
        assert_eq!(
            Request::parse("OPTIONS", "/peerjs/id", false),
            Request::Preflight
        );
    }
}
