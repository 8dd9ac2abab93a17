//! What an application can set, besides the core's [`Config`].

use std::net::{IpAddr, SocketAddr};

use futures_rustls::pki_types::CertificateDer;
use wattle_core::{Config, NetworkCode};

/// Where a network is hosted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "made by its users")]
pub enum Hosting {
    /// On the signaling server of [`Config::with_signaling_url`], with a free random code.
    #[default]
    Signaling,
    /// The same, with this 6-character code. It fails if somebody else has it.
    Code(NetworkCode),
    /// On a signaling server inside this node, for joiners on the same LAN: no other server is
    /// needed. The code names the address of this machine's most likely LAN interface.
    Lan,
    /// The same at this very address; port 0 takes a free one.
    LanAt(SocketAddr),
}

/// The settings of one node: the core's [`Config`], and what only a driver with sockets has.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub(crate) config: Config,
    pub(crate) bind: Option<IpAddr>,
    pub(crate) roots: Vec<CertificateDer<'static>>,
}

impl Options {
    /// The defaults, with this configuration.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            ..Self::default()
        }
    }

    /// Use this address of this machine alone, for links and for the embedded signaling server.
    ///
    /// A loopback address implies [`Config::with_loopback`].
    #[must_use]
    pub const fn with_bind(mut self, address: IpAddr) -> Self {
        self.bind = Some(address);
        self
    }

    /// Trust this certificate authority (DER) too when a signaling server is verified: for a
    /// server of one's own, and for tests. Certificates are verified in any case.
    #[must_use]
    pub fn with_root(mut self, certificate: Vec<u8>) -> Self {
        self.roots.push(CertificateDer::from(certificate));
        self
    }
}

impl From<Config> for Options {
    fn from(config: Config) -> Self {
        Self::new(config)
    }
}
