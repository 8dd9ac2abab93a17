//! STUN and TURN servers, as browsers are given them, and what they may be used for.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

mod url;

pub use self::url::{IceHost, IceScheme, IceTransport, IceUrl, IceUrlError};
use crate::json::{self, Value};

/// RFC 8489 section 14.3: USERNAME has fewer than 509 bytes. A password has no limit there.
const USERNAME: usize = 508;
const CREDENTIAL: usize = 1024;

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
                urls: vec![IceUrl::stun(name, 19302)],
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
        if url.scheme() != IceScheme::Stun {
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
            if urls.iter().all(|url| url.scheme() == IceScheme::Stun) {
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
