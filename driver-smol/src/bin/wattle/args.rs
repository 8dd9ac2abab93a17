//! The arguments.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, CommandFactory as _, Parser, Subcommand, ValueEnum};
use wattle_core::sim::plan::Family;
use wattle_smol::{Config, IcePolicy, NetworkCode, Options, SignalingUrl, Timeouts};

use crate::ice::{self, IceServers};

/// Small peer-to-peer networks: one node hosts, others join with its code.
#[derive(Debug, Parser)]
#[command(name = "wattle", version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) action: Action,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Show a whole network in one process, and end by itself
    ///
    /// A host and its joiners over real UDP sockets, with the embedded signaling server in
    /// between. Nothing outside this machine is contacted.
    Demo(Demo),
    /// Host a network and show its code
    ///
    /// On a public signaling server unless --lan or --signal says otherwise.
    Host(Host),
    /// Join the network with a code
    Join(Join),
    /// Examine this machine's network: what gets through, and what would help
    ///
    /// Asks the signaling, STUN and TURN servers that host and join would use, and nobody else.
    Doctor(Doctor),
    /// Run a signaling server, compatible with PeerJS
    Serve(Serve),
    /// Run simulated networks in virtual time, and check that all laws hold
    ///
    /// Each seed stands for a world: some nodes that join, talk and leave, while packets get lost,
    /// nodes crash, the signaling server restarts, and so on. The same seed leads to the same.
    /// Nothing is sent anywhere.
    Sim(Sim),
}

impl Args {
    /// Reads the arguments, and the servers of the environment where none are given.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        let mut args = Self::try_parse()?;
        let (ice, no_ice) = match &mut args.action {
            Action::Host(host) => (&mut host.common.ice, host.common.no_ice),
            Action::Join(join) => (&mut join.common.ice, join.common.no_ice),
            Action::Doctor(doctor) => (&mut doctor.ice, doctor.no_ice),
            // The demo uses none unless it is told to.
            Action::Demo(_) | Action::Serve(_) | Action::Sim(_) => return Ok(args),
        };
        if ice.is_empty() && !no_ice {
            let servers = ice::from_environment().map_err(|error| {
                let mut command = Self::command();
                command.error(clap::error::ErrorKind::ValueValidation, error)
            })?;
            ice.extend(servers);
        }
        Ok(args)
    }
}

impl Action {
    pub(crate) const fn is_verbose(&self) -> bool {
        match self {
            Self::Demo(demo) => demo.common.report.verbose,
            Self::Doctor(doctor) => doctor.report.verbose,
            Self::Host(host) => host.common.report.verbose,
            Self::Join(join) => join.common.report.verbose,
            Self::Serve(serve) => serve.report.verbose,
            Self::Sim(sim) => sim.report.verbose,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// How many nodes, the host included
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(2..=16))]
    pub(crate) nodes: u8,
    /// Whom the joiners are linked to
    #[arg(long, value_enum, default_value_t = Topology::Star)]
    pub(crate) topology: Topology,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// The word for a topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Topology {
    /// Everybody to the host, which passes on what joiners say
    Star,
    /// Everybody to everybody; the others live on if the host goes
    Mesh,
}

impl From<Topology> for wattle_smol::Topology {
    fn from(topology: Topology) -> Self {
        match topology {
            Topology::Star => Self::Star,
            Topology::Mesh => Self::Mesh,
        }
    }
}

/// The word for a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Policy {
    /// Any
    All,
    /// Through a TURN server alone: nobody else learns an address of this machine
    RelayOnly,
}

impl From<Policy> for IcePolicy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::All => Self::All,
            Policy::RelayOnly => Self::RelayOnly,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Host {
    /// Host on this LAN, with the signaling server inside this process
    #[arg(long, conflicts_with_all = ["signal", "code"])]
    pub(crate) lan: bool,
    /// The signaling server: ws:// or wss://, with host, port, path and ?key= as needed
    #[arg(long, value_name = "URL")]
    pub(crate) signal: Option<SignalingUrl>,
    /// The 6-character code to host with [default: a random one]
    #[arg(long, value_parser = short_code)]
    pub(crate) code: Option<NetworkCode>,
    /// How many nodes the network may have, the host included
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(2..=64))]
    pub(crate) max_nodes: u8,
    /// Whom the joiners are linked to
    #[arg(long, value_enum, default_value_t = Topology::Star)]
    pub(crate) topology: Topology,
    /// Do not pass the joiners' messages on to each other
    #[arg(long)]
    pub(crate) no_relay: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Join {
    /// The code that the host shows
    pub(crate) code: NetworkCode,
    /// The signaling server that the host uses; a LAN code brings its own
    #[arg(long, value_name = "URL")]
    pub(crate) signal: Option<SignalingUrl>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    /// The signaling server to ask [default: that of host and join]
    #[arg(long, value_name = "URL")]
    pub(crate) signal: Option<SignalingUrl>,
    /// Do not ask a signaling server
    #[arg(long, conflicts_with = "signal")]
    pub(crate) no_signal: bool,
    /// A STUN or TURN server to ask, as for host and join; may be given several times
    #[arg(long, value_name = "URL-or-JSON", action = ArgAction::Append, value_parser = ice::from_argument)]
    pub(crate) ice: Vec<IceServers>,
    /// Ask no STUN or TURN servers
    #[arg(long, conflicts_with = "ice")]
    pub(crate) no_ice: bool,
    /// Use this address of this machine alone
    #[arg(long, value_name = "ADDR", value_parser = own_address)]
    pub(crate) bind: Option<IpAddr>,
    #[command(flatten)]
    pub(crate) report: Report,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:9000")]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) report: Report,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Sim {
    /// How many worlds, one for each seed
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seeds: u64,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) first: u64,
    /// star, mesh, or mixed: one of both, some of full nodes with real ICE, DTLS and SCTP
    /// [default: star for even seeds, mesh for odd ones]
    #[arg(long, value_name = "KIND", value_parser = family)]
    pub(crate) topology: Option<Family>,
    /// How many nodes each world has, the host included [default: 2 to 8, as the seed says]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) nodes: Option<u8>,
    /// Run the world of this seed alone
    #[arg(long, group = "one", conflicts_with_all = ["seeds", "first"])]
    pub(crate) seed: Option<u64>,
    /// Run the world of this plan, a file as a failure shows it
    #[arg(
        long,
        group = "one",
        value_name = "FILE",
        conflicts_with_all = ["seeds", "first", "topology", "nodes"]
    )]
    pub(crate) plan: Option<PathBuf>,
    /// With --seed or --plan: tell everything that happens
    #[arg(long, requires = "one")]
    pub(crate) trace: bool,
    #[command(flatten)]
    pub(crate) report: Report,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// A STUN or TURN server: stun:HOST, turn:HOST:PORT?transport=tcp,
    /// {"urls":…,"username":…,"credential":…}, or @FILE with such; may be given several times.
    /// Without it WATTLE_ICE is read, else public STUN servers are used
    #[arg(long, value_name = "URL-or-JSON", action = ArgAction::Append, value_parser = ice::from_argument)]
    pub(crate) ice: Vec<IceServers>,
    /// Use no STUN or TURN servers
    #[arg(long, conflicts_with = "ice")]
    pub(crate) no_ice: bool,
    /// Which ways to other nodes may be used
    #[arg(long, value_name = "POLICY", value_enum, default_value_t = Policy::All)]
    pub(crate) ice_policy: Policy,
    /// How long connecting may take
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
    /// After how much silence a node is lost [default: 5]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) lost_after: Option<Duration>,
    /// After how much silence a lost node has left [default: 20]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) grace: Option<Duration>,
    /// Use this address of this machine alone
    #[arg(long, value_name = "ADDR", value_parser = own_address)]
    pub(crate) bind: Option<IpAddr>,
    #[command(flatten)]
    pub(crate) report: Report,
}

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Report {
    /// Tell what goes on inside
    #[arg(long)]
    pub(crate) verbose: bool,
    /// Write one JSON object a line, and read commands
    #[arg(long)]
    pub(crate) json: bool,
}

impl Common {
    /// The settings that every node has.
    pub(crate) fn options(&self, config: Config) -> Options {
        let mut config = config
            .with_verbose(self.report.verbose)
            .with_ice_policy(self.ice_policy.into());
        if self.no_ice || !self.ice.is_empty() {
            let servers = self.ice.iter().flat_map(|together| together.0.clone());
            config = config.with_ice_servers(servers.collect());
        }
        let mut timeouts = Timeouts::default();
        if let Some(total) = self.timeout {
            timeouts.connect = total;
            // A longer time than the default is meant for every phase.
            timeouts.signaling = timeouts.signaling.max(total);
            timeouts.ice = timeouts.ice.max(total);
            timeouts.datachannel = timeouts.datachannel.max(total);
        }
        if let Some(lost_after) = self.lost_after {
            timeouts.lost_after = lost_after;
            timeouts.suspect_after = timeouts.suspect_after.min(lost_after * 2 / 5);
        }
        timeouts.grace = self.grace.unwrap_or(timeouts.grace);
        // The parser has refused what this could refuse.
        config = config.clone().with_timeouts(timeouts).unwrap_or(config);
        let options = Options::new(config);
        match self.bind {
            Some(address) => options.with_bind(address),
            None => options,
        }
    }
}

fn family(text: &str) -> Result<Family, String> {
    text.parse().map_err(|error| format!("{error}"))
}

fn short_code(text: &str) -> Result<NetworkCode, String> {
    let code: NetworkCode = text.parse().map_err(|error| format!("{error}"))?;
    if code.lan_address().is_some() {
        return Err("a LAN code cannot be chosen: use --lan".to_owned());
    }
    Ok(code)
}

fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || "a number of seconds, more than 0 and at most 3600".to_owned();
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
    if duration < Duration::from_millis(1) || duration > Duration::from_secs(3600) {
        return Err(wrong());
    }
    Ok(duration)
}

fn own_address(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text
        .parse()
        .map_err(|_| "an IPv4 or IPv6 address without a port".to_owned())?;
    if address.is_unspecified() || address.is_multicast() {
        return Err("one address of this machine".to_owned());
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn durations_are_positive_numbers() {
        assert_eq!(seconds("2.5"), Ok(Duration::from_millis(2500)));
        for wrong in ["0", "-1", "NaN", "inf", "x", "", "1e9"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
