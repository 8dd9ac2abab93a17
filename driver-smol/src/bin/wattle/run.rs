//! `wattle host` and `wattle join`: events out, lines in, until the network ends.

use std::process::ExitCode;
use std::time::Duration;

use async_signal::{Signal, Signals};
use smol::Timer;
use smol::channel::Receiver;
use smol::future::{or, race};
use smol::stream::StreamExt as _;
use wattle_smol::{
    Config, ConnectError, EndReason, Event, Hosting, Network, SendError, SignalingUrl, Status,
};

use crate::FAILED;
use crate::args::{Common, Host, Join};
use crate::command::{self, Command};
use crate::ice;
use crate::input::{self, Input};
use crate::output::Output;

pub(crate) async fn host(args: Host) -> ExitCode {
    let join_with = match &args.signal {
        Some(url) => format!(" --signal '{url}'"),
        None => String::new(),
    };
    let output = Output::new(args.common.report, join_with);
    let config = config(&args.common, args.signal.as_ref())
        .with_topology(args.topology.into())
        .with_auto_relay(!args.no_relay)
        .with_max_nodes(args.max_nodes);
    let config = match config {
        Ok(config) => config,
        // Clap has checked the range.
        Err(error) => return output.refused("usage", &error.to_string(), ""),
    };
    let hosting = match args.code {
        _ if args.lan => Hosting::Lan,
        Some(code) => Hosting::Code(code),
        None => Hosting::Signaling,
    };
    let is_free = args.lan && args.common.bind.is_none();
    let started = Network::start_host(hosting, args.common.options(config));
    begin(started, output, is_free).await
}

pub(crate) async fn join(args: Join) -> ExitCode {
    let output = Output::new(args.common.report, String::new());
    let config = config(&args.common, args.signal.as_ref());
    let started = Network::start_join(&args.code, args.common.options(config));
    begin(started, output, false).await
}

fn config(common: &Common, signal: Option<&SignalingUrl>) -> Config {
    let config = Config::default().with_verbose(common.report.verbose);
    match signal {
        // The URL has been parsed before: it cannot be refused now.
        Some(url) => config
            .clone()
            .with_signaling_url(&url.to_string())
            .unwrap_or(config),
        None => config,
    }
}

async fn begin(
    started: Result<Network, ConnectError>,
    output: Output,
    warn_of_loopback: bool,
) -> ExitCode {
    match started {
        Ok(network) => {
            let run = Run {
                network,
                output,
                lines: Some(input::lines()),
                held: None,
                interrupted: false,
                warn_of_loopback,
            };
            run.until_the_end().await
        }
        Err(error) => output.refused(error.kind(), &error.to_string(), error.remedy()),
    }
}

/// Waits for SIGINT or SIGTERM (elsewhere: Ctrl-C).
pub(crate) async fn stop_signal() {
    if let Some(mut signals) = signals() {
        signals.next().await;
    } else {
        std::future::pending::<()>().await;
    }
}

fn signals() -> Option<Signals> {
    #[cfg(unix)]
    let wanted = [Signal::Int, Signal::Term, Signal::Hup];
    #[cfg(not(unix))]
    let wanted = [Signal::Int];
    Signals::new(wanted)
        .inspect_err(|error| tracing::warn!(%error, "signals cannot be caught"))
        .ok()
}

/// How often the moving line moves.
const TICK: Duration = Duration::from_millis(80);

struct Run {
    network: Network,
    output: Output,
    /// `None` after the end of the input.
    lines: Option<Receiver<Input>>,
    /// A command that waits for the network; nothing behind it is read.
    held: Option<Command>,
    interrupted: bool,
    warn_of_loopback: bool,
}

/// What happened next.
enum Next {
    Event(Option<Event>),
    Line(Option<Input>),
    Signal,
    Tick,
}

impl Run {
    async fn until_the_end(mut self) -> ExitCode {
        let mut signals = signals();
        loop {
            match self.next(&mut signals).await {
                Next::Event(Some(event)) => {
                    if let Event::Ended { reason } = event {
                        return self.end(reason).await;
                    }
                    self.event(event);
                }
                // Only a defect of the driver ends the events without `Ended`.
                Next::Event(None) => {
                    let error = ConnectError::DriverStopped;
                    return self
                        .output
                        .refused(error.kind(), &error.to_string(), error.remedy());
                }
                Next::Line(Some(Input::Line(line))) => self.line(&line),
                Next::Line(Some(Input::Bad(what))) => self.output.error("usage", what, ""),
                Next::Line(None) => {
                    self.lines = None;
                    // A person who ends the input wants to go. Of a program it only means that
                    // no more commands come: it may have been started without any input.
                    if self.output.input_is_terminal() {
                        self.network.start_leave();
                    }
                }
                Next::Signal => {
                    if self.interrupted {
                        return ExitCode::from(FAILED);
                    }
                    self.interrupted = true;
                    self.network.start_leave();
                }
                Next::Tick => {
                    let phase = self.network.phase();
                    self.output.tick(phase);
                }
            }
            if self.output.is_gone() && !self.interrupted {
                self.interrupted = true;
                self.network.start_leave();
            }
        }
    }

    async fn next(&mut self, signals: &mut Option<Signals>) -> Next {
        let event = async { Next::Event(self.network.next_event().await) };
        let lines = self.lines.as_ref().filter(|_| self.held.is_none());
        let line = async {
            match lines {
                Some(lines) => Next::Line(lines.recv().await.ok()),
                None => std::future::pending().await,
            }
        };
        let signal = async {
            match signals {
                Some(signals) => {
                    signals.next().await;
                    Next::Signal
                }
                None => std::future::pending().await,
            }
        };
        let connecting = self.network.status() == Status::Connecting;
        let moves = connecting && self.output.moves();
        let tick = async {
            if !moves {
                std::future::pending::<()>().await;
            }
            Timer::after(TICK).await;
            Next::Tick
        };
        // A signal is heard even if events and lines never cease, and neither shuts out the other.
        or(signal, race(event, or(line, tick))).await
    }

    fn event(&mut self, event: Event) {
        let begun = matches!(event, Event::NetworkCreated { .. } | Event::Joined { .. });
        let lonely = match &event {
            Event::NetworkCreated { code } => code
                .lan_address()
                .is_some_and(|address| address.ip().is_loopback()),
            _ => false,
        };
        self.output.event(event, self.network.id());
        if lonely && self.warn_of_loopback {
            self.output.warning(
                "loopback_only",
                "this machine has no network but loopback: only nodes on this machine can join",
            );
        }
        if begun && let Some(command) = self.held.take() {
            self.obey(command);
        }
    }

    fn line(&mut self, line: &str) {
        match self.output.read_line(line) {
            Ok(command)
                if command.needs_network() && self.network.status() == Status::Connecting =>
            {
                self.held = Some(command);
            }
            Ok(command) => self.obey(command),
            Err(usage) => self.output.error("usage", &usage, ""),
        }
    }

    fn obey(&mut self, command: Command) {
        let name = command.name();
        match command {
            Command::Broadcast(text) => {
                let sent = self.network.broadcast(text);
                self.report(sent, name);
            }
            Command::State(text) => {
                let sent = self.network.broadcast_state(text).map(|_number| ());
                self.report(sent, name);
            }
            Command::Send { node, text } => match command::find(&node, &self.network.nodes()) {
                Ok(node) => {
                    let sent = self.network.send_to(node, text);
                    self.report(sent, name);
                }
                Err(error) => self.output.error(error.kind(), &error.to_string(), name),
            },
            Command::Kick { node } => match command::find(&node, &self.network.nodes()) {
                Ok(node) => {
                    if let Err(error) = self.network.kick(node) {
                        self.output.error(error.kind(), &error.to_string(), name);
                    }
                }
                Err(error) => self.output.error(error.kind(), &error.to_string(), name),
            },
            Command::Nodes => self.output.nodes(&self.network),
            Command::Stats => self.output.stats(self.network.stats()),
            Command::Ice(servers) => match ice::from_line(&servers) {
                Ok(servers) => self.network.set_ice_servers(&servers.0),
                Err(error) => self.output.error("ice_servers", &error.to_string(), name),
            },
            Command::Leave => self.network.start_leave(),
            Command::Help => self.output.help(),
            Command::Nothing => {}
        }
    }

    fn report(&mut self, sent: Result<(), SendError>, command: &'static str) {
        if let Err(error) = sent {
            self.output.error(error.kind(), &error.to_string(), command);
        }
    }

    async fn end(mut self, reason: EndReason) -> ExitCode {
        self.output.ended(reason);
        // The goodbye is under way in the background of this process.
        self.network.ended().await;
        if reason.is_clean() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(FAILED)
        }
    }
}
