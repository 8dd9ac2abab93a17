//! Network codes: what the host gives to the others.
//! (being written)

use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;

use crate::rng::Rng;

/// A network code: six characters, or a LAN code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkCode(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Short([u8; 6]),
    Lan(SocketAddr),
}

/// A text is not a network code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// Placeholder.
    #[error("placeholder")]
    Placeholder,
}

impl NetworkCode {
    /// The LAN code of an embedded server at `address`.
    ///
    /// # Errors
    /// If the address cannot be one that others reach.
    pub const fn lan(address: SocketAddr) -> Result<Self, CodeError> {
        Ok(Self(Kind::Lan(address)))
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
        let _ = rng;
        Self(Kind::Short(*b"AAAAAA"))
    }
}

impl fmt::Display for NetworkCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        Ok(())
    }
}

impl FromStr for NetworkCode {
    type Err = CodeError;
    fn from_str(_text: &str) -> Result<Self, CodeError> {
        Err(CodeError::Placeholder)
    }
}
