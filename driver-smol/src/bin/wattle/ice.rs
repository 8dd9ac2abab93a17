//! STUN and TURN servers from `--ice`, from a file, and from the environment: a credential on the
//! command line can be read by everybody on the machine.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;

use serde::Deserialize;
use serde_json::value::RawValue;
use wattle_smol::{IceServer, IceServerError};

/// The environment's servers: used where neither `--ice` nor `--no-ice` is given.
const VARIABLE: &str = "WATTLE_ICE";

/// The longest file that is read.
const LONGEST: u64 = 64 * 1024;

/// Servers that were given together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IceServers(pub(crate) Vec<IceServer>);

/// Servers cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IceError {
    #[error(transparent)]
    Server(#[from] IceServerError),
    #[error("no ICE server is named")]
    Nothing,
    #[error("not a list of ICE servers: {0}")]
    Json(#[from] serde_json::Error),
    #[error("{name}: {source}")]
    File {
        name: String,
        source: std::io::Error,
    },
    #[error("{name}: {source}")]
    InFile { name: String, source: Box<Self> },
    #[error("{VARIABLE}: {0}")]
    InVariable(Box<Self>),
    #[error("{VARIABLE}: not a text")]
    NoText,
}

/// The configuration of an `RTCPeerConnection`, as services give it.
#[derive(Deserialize)]
struct Configuration<'a> {
    #[serde(borrow, rename = "iceServers")]
    ice_servers: &'a RawValue,
}

/// Reads a value of `--ice`: servers, or `@` and the name of a file with servers.
pub(crate) fn from_argument(text: &str) -> Result<IceServers, IceError> {
    let Some(name) = text.strip_prefix('@') else {
        return parse(text);
    };
    let mut text = String::new();
    let read = File::open(name).and_then(|file| file.take(LONGEST).read_to_string(&mut text));
    let name = name.to_owned();
    match read {
        Ok(_) => parse(&text).map_err(|error| IceError::InFile {
            name,
            source: Box::new(error),
        }),
        Err(source) => Err(IceError::File { name, source }),
    }
}

/// Reads what stands behind the command `ice`: values of `--ice`, or JSON, which may have blanks.
pub(crate) fn from_line(text: &str) -> Result<IceServers, IceError> {
    if text.starts_with(['[', '{']) {
        return parse(text);
    }
    let mut servers = Vec::new();
    for word in text.split_whitespace() {
        servers.extend(from_argument(word)?.0);
    }
    Ok(IceServers(servers))
}

/// Reads what `WATTLE_ICE` says, if it is set: the same as a value of `--ice`.
pub(crate) fn from_environment() -> Result<Option<IceServers>, IceError> {
    from_variable(std::env::var_os(VARIABLE))
}

fn from_variable(value: Option<OsString>) -> Result<Option<IceServers>, IceError> {
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let text = value.into_string().map_err(|_| IceError::NoText)?;
    match from_argument(&text) {
        Ok(servers) => Ok(Some(servers)),
        Err(error) => Err(IceError::InVariable(Box::new(error))),
    }
}

/// One URL a line (after `#`: a comment), the JSON of a server or of a list of servers and URLs, or
/// that of a configuration with `iceServers`.
fn parse(text: &str) -> Result<IceServers, IceError> {
    let text = text.trim();
    let servers = match text.chars().next() {
        None => return Err(IceError::Nothing),
        Some('[') => {
            let list: Vec<&RawValue> = serde_json::from_str(text)?;
            let one = |server: &&RawValue| match serde_json::from_str::<String>(server.get()) {
                Ok(url) => url.parse(),
                Err(_) => server.get().parse(),
            };
            list.iter()
                .map(one)
                .collect::<Result<_, IceServerError>>()?
        }
        Some('{') => match serde_json::from_str::<Configuration<'_>>(text) {
            Ok(configuration) => return parse(configuration.ice_servers.get()),
            Err(_) => vec![text.parse()?],
        },
        Some(_) => text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(str::parse)
            .collect::<Result<Vec<IceServer>, IceServerError>>()?,
    };
    if servers.is_empty() {
        return Err(IceError::Nothing);
    }
    Ok(IceServers(servers))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(servers: &IceServers) -> Vec<String> {
        let urls = servers.0.iter().flat_map(IceServer::urls);
        urls.map(ToString::to_string).collect()
    }

    const TURN: &str = r#"{"urls":"turn:t.example","username":"u","credential":"secret"}"#;

    #[test]
    fn servers_stand_alone_or_together() {
        for (text, expected) in [
            ("stun:a.example", &["stun:a.example:3478"][..]),
            (
                " # ours\nstun:a.example\n\n stun:b.example:1 \n",
                &["stun:a.example:3478", "stun:b.example:1"],
            ),
            (TURN, &["turn:t.example:3478?transport=udp"]),
            (&format!("[{TURN}]"), &["turn:t.example:3478?transport=udp"]),
            (
                &format!("{{\"iceServers\": {TURN}}}"),
                &["turn:t.example:3478?transport=udp"],
            ),
            (
                &format!("{{\"iceServers\": [{{\"urls\":[\"stun:a\"]}},{TURN}], \"more\": 1}}"),
                &["stun:a:3478", "turn:t.example:3478?transport=udp"],
            ),
        ] {
            let found = parse(text).unwrap();
            let plain = |text: &String| text.replace("?transport=udp", "").replace(":3478", "");
            let found: Vec<String> = urls(&found).iter().map(plain).collect();
            let expected: Vec<String> = expected
                .iter()
                .map(|url| plain(&(*url).to_owned()))
                .collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for (text, part) in [
            ("", "no ICE server"),
            ("[]", "no ICE server"),
            ("# nothing\n", "no ICE server"),
            ("stun:a\nhttp://b", "http://b"),
            ("[1]", "\"1\""),
            ("[\"stun:x:0\"]", "stun:x:0"),
            ("[{", "list"),
            ("{\"urls\":\"turn:x\",\"username\":\"u\"}", "credential"),
            ("@/no/such/file", "/no/such/file"),
        ] {
            let error = from_argument(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_line_holds_several() {
        let count = |text: &str| from_line(text).map(|servers| servers.0.len());
        for (text, expected) in [
            ("stun:a", 1),
            ("stun:a  stun:b stun:c", 3),
            (TURN, 1),
            (&TURN.replace(',', ", "), 1),
            (&TURN.replace('{', "{ "), 1),
            (&format!("[{TURN}, \"stun:a\"]"), 2),
            (&format!("stun:a {TURN}"), 2),
        ] {
            assert_eq!(count(text).unwrap(), expected, "{text}");
        }
        for (text, part) in [
            ("stun:a http://b", "http://b"),
            ("@/no/such/file", "/no/such/file"),
            ("[]", "no ICE server"),
            ("{\"urls\": \"turn:x\", \"username\": \"a\"}", "credential"),
        ] {
            let error = from_line(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn the_environment_is_read_as_an_argument() {
        assert!(from_variable(None).unwrap().is_none());
        assert!(from_variable(Some("".into())).unwrap().is_none());
        let found = from_variable(Some("stun:a".into())).unwrap().unwrap();
        assert_eq!(found.0.len(), 1);
        let wrong = from_variable(Some("stun:a:0".into())).unwrap_err();
        let wrong = wrong.to_string();
        assert!(
            wrong.starts_with("WATTLE_ICE: ") && wrong.contains("port"),
            "{wrong}"
        );
    }

    #[test]
    fn a_credential_is_not_shown() {
        let broken = TURN.replace("username", "user");
        let error = format!("{:?}", from_argument(&broken).unwrap_err());
        assert!(!error.contains("secret"), "{error}");
        assert!(!format!("{:?}", parse(TURN).unwrap()).contains("secret"));
    }
}
