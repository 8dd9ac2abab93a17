//! `wattle demo`: a whole network in one process, over real sockets.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use smol::Timer;
use smol::future::or;
use wattle_smol::{
    Config, ConfigError, ConnectError, EndReason, Event, Hosting, LeaveReason, Network, NodeId,
    Options, SendError,
};

use crate::FAILED;
use crate::args::{Demo, Topology};
use crate::human::{self, BRIGHT, FAINT, NAME, duration, say, short, styled};
use crate::json::{self, At, Line};

/// How long each step may take: long for this machine, short for a person.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many states a node sends, and how often: a second of a game.
const STATES: u32 = 20;
const STATE_INTERVAL: Duration = Duration::from_millis(50);

/// A pause between the steps, for the eye; nothing waits for it.
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) async fn run(args: Demo) -> ExitCode {
    let json = args.common.report.json;
    let begun = Instant::now();
    let mut show = Show {
        address: args.common.bind.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        args,
        nodes: Vec::new(),
        messages: 0,
        states: 0,
    };
    let result = or(show.play(), async {
        stop().await;
        Err(Failure::Stopped)
    })
    .await;
    for node in &show.nodes {
        node.start_leave();
    }
    match result {
        Ok(()) => {
            show.finish(begun.elapsed());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let (kind, remedy) = match &error {
                Failure::Connect(error) => (error.kind(), error.remedy()),
                _ => ("demo_failed", ""),
            };
            if json {
                json::print(&Line::error(kind, &error, remedy));
                json::print(&Line::Ended {
                    reason: kind,
                    message: error.to_string(),
                });
            } else {
                human::failure(&error.to_string(), remedy);
            }
            ExitCode::from(FAILED)
        }
    }
}

async fn stop() {
    crate::run::stop_signal().await;
}

/// Why the demo could not be shown to its end.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("a node left too early: {0}")]
    Ended(EndReason),
    #[error("after {} seconds still waiting for {what}", PATIENCE.as_secs())]
    Late { what: &'static str },
    #[error("stopped")]
    Stopped,
}

struct Show {
    args: Demo,
    address: IpAddr,
    /// The host first.
    nodes: Vec<Network>,
    messages: u64,
    states: u64,
}

impl Show {
    fn is_json(&self) -> bool {
        self.args.common.report.json
    }

    fn say(&self, line: impl std::fmt::Display) {
        if !self.is_json() {
            say(line);
        }
    }

    fn options(&self) -> Result<Options, Failure> {
        let config = Config::default()
            .with_max_nodes(self.args.nodes)?
            .with_topology(self.args.topology.into())
            // Nothing outside this machine is contacted.
            .with_ice_servers(Vec::new());
        Ok(self.args.common.options(config).with_bind(self.address))
    }

    async fn play(&mut self) -> Result<(), Failure> {
        self.connect().await?;
        Timer::after(PAUSE).await;
        self.talk().await?;
        Timer::after(PAUSE).await;
        self.move_about().await?;
        Timer::after(PAUSE).await;
        self.part().await
    }

    async fn connect(&mut self) -> Result<(), Failure> {
        let count = self.args.nodes;
        self.say(format_args!(
            "{} {count} nodes in this process, over UDP at {}\n",
            styled(BRIGHT, "wattle demo:"),
            self.address
        ));
        let place = Hosting::LanAt(SocketAddr::new(self.address, 0));
        let host = in_time("the host", Network::host(place, self.options()?)).await??;
        let code = host.code().ok_or(Failure::Late { what: "the code" })?;
        self.say(format_args!(
            "  {} hosts, the code is {}\n",
            styled(NAME, short(host.id())),
            styled(BRIGHT, code)
        ));
        self.say(styled(
            FAINT,
            "  joiner    signaling        ice  datachannel      total",
        ));
        self.nodes.push(host);
        self.tell_news(0);
        for place in 1..usize::from(count) {
            let joiner = Network::start_join(&code, self.options()?)?;
            let connected = in_time("a joiner", joiner.connected()).await?;
            let (id, timing) = (joiner.id(), joiner.timing());
            self.nodes.push(joiner);
            self.tell_news(place);
            connected?;
            self.say(format_args!(
                "  {}  {:>11} {:>10} {:>12} {:>10}",
                styled(NAME, short(id)),
                duration(timing.signaling),
                duration(timing.ice),
                duration(timing.datachannel),
                styled(BRIGHT, format_args!("{:>10}", duration(timing.total)))
            ));
        }
        // Everyone is to know everyone before they talk.
        for place in 0..self.nodes.len() {
            self.until(place, "the roster", |network, _| {
                network.nodes().len() == usize::from(count)
            })
            .await?;
        }
        if self.args.topology == Topology::Mesh {
            self.weave().await?;
        }
        Ok(())
    }

    /// The joiners of a mesh link to each other, through the host.
    async fn weave(&self) -> Result<(), Failure> {
        let begun = Instant::now();
        for place in 1..self.nodes.len() {
            self.until(place, "links between the joiners", |network, _| {
                network.stats().nodes.iter().all(|node| !node.relayed)
            })
            .await?;
        }
        let count = u32::from(self.args.nodes);
        self.say(format_args!(
            "\n  {} links, everybody to everybody, after another {}",
            count * (count - 1) / 2,
            duration(Some(begun.elapsed()))
        ));
        Ok(())
    }

    async fn talk(&mut self) -> Result<(), Failure> {
        self.say(format_args!("\n  {}", styled(FAINT, "messages")));
        let text = "hello, everybody";
        let begun = Instant::now();
        self.node(0)?.broadcast(text)?;
        for place in 1..self.nodes.len() {
            self.until_message(place, text).await?;
        }
        self.tell_sent(0, "all", text, begun)?;

        let last = self.nodes.len().saturating_sub(1);
        let (from, to) = (1, if last > 1 { last } else { 0 });
        let text = "and this is for you alone";
        let target = self.node(to)?.id();
        let begun = Instant::now();
        self.node(from)?.send_to(target, text)?;
        self.until_message(to, text).await?;
        self.tell_sent(from, &short(target), text, begun)?;

        let text = "thank you";
        let target = self.node(from)?.id();
        let begun = Instant::now();
        self.node(to)?.send_to(target, text)?;
        self.until_message(from, text).await?;
        self.tell_sent(to, &short(target), text, begun)
    }

    fn tell_sent(
        &mut self,
        from: usize,
        to: &str,
        text: &str,
        begun: Instant,
    ) -> Result<(), Failure> {
        self.messages = self.messages.saturating_add(1);
        self.say(format_args!(
            "  {} → {:<6}  {text:<28} {}",
            styled(NAME, short(self.node(from)?.id())),
            to,
            styled(FAINT, duration(Some(begun.elapsed())))
        ));
        Ok(())
    }

    /// Every node sends states, all at once, as a game does.
    async fn move_about(&mut self) -> Result<(), Failure> {
        self.say(format_args!("\n  {}", styled(FAINT, "states")));
        for number in 0..STATES {
            for node in &self.nodes {
                let position = f64::from(number) / f64::from(STATES);
                node.broadcast_state(format!("x={position:.2}"))?;
                self.states = self.states.saturating_add(1);
            }
            Timer::after(STATE_INTERVAL).await;
            for place in 0..self.nodes.len() {
                self.tell_news(place);
            }
        }
        // The last ones may still be on their way.
        Timer::after(STATE_INTERVAL).await;
        for place in 0..self.nodes.len() {
            self.tell_news(place);
        }
        for node in &self.nodes {
            let stats = node.stats();
            let seen = stats.nodes.iter().map(|of| of.state.received);
            let all = u64::from(STATES).saturating_mul(stats.nodes.len() as u64);
            let latency = match stats.latency_best {
                Some(_) => format!(", best round trip {}", duration(stats.latency_best)),
                None => String::new(),
            };
            self.say(format_args!(
                "  {} saw {} of {all} states of the others{}",
                styled(NAME, short(node.id())),
                seen.sum::<u64>(),
                styled(FAINT, latency)
            ));
        }
        Ok(())
    }

    /// One node goes, and then the host closes the network.
    async fn part(&mut self) -> Result<(), Failure> {
        self.say(format_args!("\n  {}", styled(FAINT, "parting")));
        let last = self.nodes.len().saturating_sub(1);
        let leaver = self.node(last)?.id();
        let begun = Instant::now();
        self.node(last)?.start_leave();
        for place in 0..last {
            self.until(place, "a goodbye", |_, event| {
                matches!(event, Some(Event::NodeLeft { node, reason: LeaveReason::Left })
                    if *node == leaver)
            })
            .await?;
        }
        self.say(format_args!(
            "  {} leaves, and all others know after {}",
            styled(NAME, short(leaver)),
            duration(Some(begun.elapsed()))
        ));
        let goes_on = self.args.topology == Topology::Mesh && last > 2;
        if goes_on {
            self.outlive_the_host(last).await?;
        }
        let begun = Instant::now();
        let host = self.node(0)?.id();
        self.node(0)?.start_leave();
        for place in 1..last {
            let reason = in_time("the end", self.node(place)?.ended()).await?;
            self.tell_news(place);
            if !reason.is_clean() {
                return Err(Failure::Ended(reason));
            }
        }
        for place in [0, last] {
            in_time("the end", self.node(place)?.ended()).await?;
            self.tell_news(place);
        }
        if !goes_on {
            self.say(format_args!(
                "  {} closes the network, all have left after {}",
                styled(NAME, short(host)),
                duration(Some(begun.elapsed()))
            ));
        }
        Ok(())
    }

    /// The host of a mesh goes, and the joiners 1 to `last - 1` go on; then they leave, too.
    async fn outlive_the_host(&mut self, last: usize) -> Result<(), Failure> {
        let host = self.node(0)?.id();
        self.node(0)?.start_leave();
        for place in 1..last {
            self.until(place, "the host's goodbye", |_, event| {
                matches!(event, Some(Event::HostLost { .. }))
            })
            .await?;
        }
        self.say(format_args!(
            "  {} leaves, the host; the others go on without it",
            styled(NAME, short(host))
        ));
        let text = "we are still here";
        let begun = Instant::now();
        self.node(1)?.broadcast(text)?;
        for place in 2..last {
            self.until_message(place, text).await?;
        }
        self.tell_sent(1, "all", text, begun)?;
        for place in 1..last {
            self.node(place)?.start_leave();
        }
        Ok(())
    }

    fn finish(&self, took: Duration) {
        if self.is_json() {
            json::print(&Line::Summary {
                nodes: self.args.nodes,
                seconds: json::milliseconds(took) / 1_000.0,
                messages: self.messages,
                states: self.states,
            });
            json::print(&Line::ended(EndReason::Left));
        } else {
            self.say(format_args!(
                "\n{} {} nodes, {} messages, {} states in {:.1} s",
                styled(BRIGHT, "Done:"),
                self.args.nodes,
                self.messages,
                self.states,
                took.as_secs_f64()
            ));
            self.say(styled(
                FAINT,
                "Next: `wattle host --lan` here, `wattle join CODE` on another machine.",
            ));
        }
    }

    fn node(&self, place: usize) -> Result<&Network, Failure> {
        self.nodes.get(place).ok_or(Failure::Stopped)
    }

    async fn until_message(&self, place: usize, text: &str) -> Result<(), Failure> {
        self.until(place, "a message", |_, event| {
            matches!(event, Some(Event::Message { payload, .. }) if payload == text.as_bytes())
        })
        .await
    }

    /// Takes events of a node, and tells them, until `enough`.
    async fn until(
        &self,
        place: usize,
        what: &'static str,
        enough: impl Fn(&Network, Option<&Event>) -> bool,
    ) -> Result<(), Failure> {
        let node = self.node(place)?;
        if enough(node, None) {
            return Ok(());
        }
        let wait = async {
            while let Some(event) = node.next_event().await {
                let done = enough(node, Some(&event));
                let end = match &event {
                    Event::Ended { reason } => Some(*reason),
                    _ => None,
                };
                self.tell(node, event);
                if done {
                    return Ok(());
                }
                if let Some(reason) = end {
                    return Err(Failure::Ended(reason));
                }
            }
            Err(Failure::Stopped)
        };
        in_time(what, wait).await?
    }

    /// Tells the events that there are now.
    fn tell_news(&self, place: usize) {
        if let Some(node) = self.nodes.get(place) {
            while let Some(event) = node.try_next_event() {
                self.tell(node, event);
            }
        }
    }

    fn tell(&self, node: &Network, event: Event) {
        if self.is_json() {
            let at: NodeId = node.id();
            json::print(&At {
                line: Line::from_event(event, at),
                at: at.to_string(),
            });
        } else if let Event::Diagnostic(diagnostic) = event {
            let phase = diagnostic.phase();
            self.say(styled(
                FAINT,
                format_args!("  {} [{phase}] {diagnostic:?}", short(node.id())),
            ));
        }
    }
}

async fn in_time<T>(what: &'static str, wait: impl Future<Output = T>) -> Result<T, Failure> {
    or(async { Ok(wait.await) }, async {
        Timer::after(PATIENCE).await;
        Err(Failure::Late { what })
    })
    .await
}
