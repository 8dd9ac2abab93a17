//! How a simulated TURN server behaves, and what is wrong with it.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

/// How a TURN server behaves, for [`World::add_turn_server`](crate::sim::World::add_turn_server).
///
/// The default is honest, has room for all, and knows one user, `player` with the password `secret`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by tests, with `..Default::default()`"
)]
pub struct TurnConfig {
    /// What goes wrong. Default: nothing.
    pub fault: TurnFault,
    /// The user that it knows.
    pub username: String,
    /// The user's password.
    pub password: String,
    /// Whose users these are. Default `wattle.example`.
    pub realm: String,
    /// How long an allocation lasts without a refresh at most. Default 10 minutes. Only what is asked
    /// for is shortened, as coturn does it: who asks for nothing gets 10 minutes.
    pub lifetime: Duration,
    /// How long a nonce may be used. Default an hour.
    pub nonce_lifetime: Duration,
    /// How long a permission lasts. Default 5 minutes.
    pub permission_lifetime: Duration,
    /// How long a channel lasts. Default 10 minutes.
    pub channel_lifetime: Duration,
    /// How many allocations the user may have, else error 486. Default 1000.
    pub quota: u32,
    /// How many allocations there may be, else error 508. Default 10,000 (which no quota reaches).
    pub capacity: u32,
    /// Whether it has IPv6 addresses to relay from, else error 440. Default: yes.
    pub ipv6: bool,
    /// To which addresses it does not relay (error 403).
    pub forbidden: Vec<IpAddr>,
    /// How long it knows an address and port by the first name that was said there, refused or not, when
    /// they have no allocation: another name is told that it has the wrong credentials (437 and 441).
    /// Default a minute, as coturn does it.
    pub name_lifetime: Duration,
    /// How long it thinks about requests. Default: not at all.
    pub pause: Duration,
    /// How many messages of clients in a thousand it loses. Default 0.
    pub loss_per_mille: u16,
}

impl Default for TurnConfig {
    fn default() -> Self {
        Self {
            fault: TurnFault::None,
            username: "player".into(),
            password: "secret".into(),
            realm: "wattle.example".into(),
            lifetime: Duration::from_secs(600),
            nonce_lifetime: Duration::from_secs(3600),
            permission_lifetime: Duration::from_secs(300),
            channel_lifetime: Duration::from_secs(600),
            quota: 1000,
            capacity: 10_000,
            ipv6: true,
            forbidden: Vec::new(),
            name_lifetime: Duration::from_secs(60),
            pause: Duration::ZERO,
            loss_per_mille: 0,
        }
    }
}

/// What is wrong with a TURN server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TurnFault {
    /// Nothing.
    #[default]
    None,
    /// It says nothing and relays nothing.
    Silence,
    /// Every signed request gets this error, 300 to 599.
    Error(u16),
    /// Every Allocate request is sent to another server (error 300).
    Redirect(SocketAddr),
    /// Every nonce is stale, also one that was just given (error 438).
    StaleNonce,
    /// Its answers are signed with another password, as by somebody in between.
    BadIntegrity,
    /// Its answers cannot be read on behind the header.
    Garbage,
    /// Bytes that are no STUN.
    Noise,
}
