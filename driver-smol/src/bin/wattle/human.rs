//! What a person sees.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::builder::styling::{AnsiColor, Style};
use wattle_smol::{
    ConnectReport, EndReason, Event, NodeId, Phase, PhaseTiming, Route, Stats, Verdict,
};

use crate::report;

/// The network code, and what else is to be seen first.
pub(crate) const BRIGHT: Style = AnsiColor::Green.on_default().bold();
/// Names of nodes.
pub(crate) const NAME: Style = AnsiColor::Cyan.on_default();
/// What need not be read.
pub(crate) const FAINT: Style = Style::new().dimmed();
/// What went wrong.
pub(crate) const WRONG: Style = AnsiColor::Red.on_default().bold();

/// Text in a style.
pub(crate) fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// The first characters of a node's name: enough for a person, and for a command.
pub(crate) fn short(node: NodeId) -> String {
    node.to_string().chars().take(6).collect()
}

/// A duration for a person.
pub(crate) fn duration(duration: Option<Duration>) -> String {
    match duration {
        None => "-".to_owned(),
        Some(duration) if duration >= Duration::from_secs(10) => {
            format!("{:.1} s", duration.as_secs_f64())
        }
        Some(duration) => format!("{:.1} ms", duration.as_secs_f64() * 1_000.0),
    }
}

/// Prints a line; `false` when nobody reads any more. Colours only where they are wanted.
pub(crate) fn say(line: impl Display) -> bool {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
}

pub(crate) fn listening(address: SocketAddr, url: &str) {
    say(format_args!(
        "Signaling server at {}. Stop it with Ctrl-C.",
        styled(BRIGHT, address)
    ));
    say(styled(
        FAINT,
        format_args!("Hosts and joiners use it with: --signal {url}"),
    ));
}

/// Cause and remedy, on the standard error.
pub(crate) fn failure(message: &str, remedy: &str) {
    let mut out = anstream::stderr().lock();
    let _ = writeln!(out, "{} {message}", styled(WRONG, "error:"));
    if !remedy.is_empty() {
        let _ = writeln!(out, "  {remedy}");
    }
}

/// The screen of `wattle host` and `wattle join`.
pub(crate) struct Screen {
    since: Instant,
    /// What joiners have to say besides the code.
    join_with: String,
    moves: bool,
    frame: usize,
    /// Whether the moving line is on the screen.
    drawn: bool,
    gone: bool,
    /// The first node is not the host any more.
    without_host: bool,
    /// Everything is told.
    verbose: bool,
    /// There is, or was, a network: what attempts come to from now on is not its end.
    begun: bool,
    /// Why our own attempt failed.
    verdict: Option<Verdict>,
}

/// The frames of the moving line.
const FRAMES: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

impl Screen {
    pub(crate) fn new(join_with: String, verbose: bool) -> Self {
        Self {
            since: Instant::now(),
            join_with,
            moves: std::io::stderr().is_terminal(),
            frame: 0,
            drawn: false,
            gone: false,
            without_host: false,
            verbose,
            begun: false,
            verdict: None,
        }
    }

    pub(crate) const fn moves(&self) -> bool {
        self.moves
    }

    pub(crate) const fn is_gone(&self) -> bool {
        self.gone
    }

    /// Moves the line that shows the phase.
    pub(crate) fn tick(&mut self, phase: Option<Phase>) {
        self.frame = self.frame.wrapping_add(1);
        let turn = self.frame.checked_rem(FRAMES.len()).unwrap_or(0);
        let sign = FRAMES.get(turn).copied().unwrap_or(' ');
        let what = match phase {
            None | Some(Phase::Signaling) => "signaling: reaching the host through the server",
            Some(Phase::Ice) => "ice: looking for a path to the host",
            Some(Phase::Datachannel) => "datachannel: encrypting and saying hello",
        };
        let seconds = self.since.elapsed().as_secs_f64();
        let mut err = anstream::stderr().lock();
        let _ = write!(
            err,
            "\r\x1b[2K{} {what} {}",
            styled(BRIGHT, sign),
            styled(FAINT, format_args!("{seconds:.1} s"))
        );
        let _ = err.flush();
        self.drawn = true;
    }

    fn say(&mut self, line: impl Display) {
        self.clear();
        self.gone |= !say(line);
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let mut err = anstream::stderr().lock();
            let _ = write!(err, "\r\x1b[2K");
            let _ = err.flush();
        }
    }

    pub(crate) fn event(&mut self, event: Event, own: NodeId) {
        let name = |node: NodeId| styled(NAME, short(node));
        self.begun |= matches!(event, Event::NetworkCreated { .. } | Event::Joined { .. });
        match event {
            Event::NetworkCreated { code } => {
                let code = code.to_string();
                let line = "─".repeat(code.len().saturating_add(4));
                self.say(format_args!("╭{line}╮"));
                self.say(format_args!("│  {}  │", styled(BRIGHT, &code)));
                self.say(format_args!("╰{line}╯"));
                let more = self.join_with.clone();
                self.say(format_args!("Others join with: wattle join {code}{more}"));
                self.say(styled(
                    FAINT,
                    format_args!(
                        "You are {}. What you type goes to all; /help shows more.",
                        short(own)
                    ),
                ));
            }
            Event::Phase(phase) => {
                // Without a line that moves, each phase is told once.
                if !self.moves {
                    self.say(styled(FAINT, format_args!("{phase} …")));
                }
            }
            Event::Joined {
                node,
                nodes,
                timing,
            } => {
                self.say(format_args!(
                    "{} as {}, {} nodes {}",
                    styled(BRIGHT, "Joined"),
                    name(node),
                    nodes.len(),
                    styled(FAINT, timing_text(&timing))
                ));
                self.say(styled(
                    FAINT,
                    "What you type goes to all; /help shows more.",
                ));
            }
            Event::NodeJoined { node } => self.say(format_args!("+ {} is here", name(node))),
            Event::NodeLeft { node, reason } => {
                self.say(format_args!("- {} is gone: {reason}", name(node)));
            }
            Event::NodeSuspect { node } => {
                self.say(styled(FAINT, format_args!("? {} is silent", short(node))));
            }
            Event::NodeLost { node } => {
                let text = format_args!("? {} is lost; looking for another path", short(node));
                self.say(styled(FAINT, text));
            }
            Event::NodeStalled { node } => {
                let text =
                    format_args!("? {} takes no messages, and gets none for now", short(node));
                self.say(styled(FAINT, text));
            }
            Event::NodeBack { node } => {
                self.say(styled(FAINT, format_args!("! {} is back", short(node))));
            }
            Event::NodeRoute { node, route } => {
                self.say(styled(
                    FAINT,
                    format_args!("~ {}: {}", short(node), way(route)),
                ));
            }
            Event::HostLost { .. } => {
                self.without_host = true;
                self.say("The host is gone: nobody can join any more. Who has links goes on.");
            }
            Event::Message { from, payload } => {
                self.say(format_args!("{} {}", name(from), shown(&payload)));
            }
            Event::State {
                from,
                sequence,
                payload,
            } => self.say(format_args!(
                "{} {} {}",
                name(from),
                styled(FAINT, format_args!("state {sequence}:")),
                shown(&payload)
            )),
            Event::Writable => self.say(styled(FAINT, "there is room again")),
            Event::SignalingLost { failure } => self.say(styled(
                FAINT,
                format_args!("the signaling server is lost ({failure}); links stay, trying again"),
            )),
            Event::SignalingRestored => {
                self.say(styled(FAINT, "the signaling server is back"));
            }
            Event::Diagnostic(diagnostic) => {
                let phase = diagnostic.phase();
                self.say(styled(FAINT, format_args!("[{phase}] {diagnostic:?}")));
            }
            Event::ConnectReport(report) => self.report(&report),
            Event::Ended { reason } => self.ended(reason),
            other => self.say(styled(FAINT, format_args!("{other:?}"))),
        }
    }

    /// What was tried, if it came to nothing or everything is to be told.
    fn report(&mut self, report: &ConnectReport) {
        let given_up = report.verdict == Verdict::GivenUp;
        if (report.ended_in.is_none() || given_up) && !self.verbose {
            return;
        }
        if !self.begun && !given_up {
            self.verdict = Some(report.verdict);
        }
        for (what, text) in report::lines(report) {
            self.say(format_args!(
                "  {} {text}",
                styled(FAINT, format_args!("{what:<11}"))
            ));
        }
        let verdict = report.verdict;
        self.say(format_args!("  {} {verdict}", styled(FAINT, "verdict    ")));
    }

    pub(crate) fn ended(&mut self, reason: EndReason) {
        if reason.is_clean() {
            self.say(format_args!("The end: {reason}."));
        } else {
            let remedy = self
                .verdict
                .map_or_else(|| reason.remedy(), Verdict::remedy);
            self.failure(&reason.to_string(), remedy);
        }
    }

    pub(crate) fn failure(&mut self, message: &str, remedy: &str) {
        self.clear();
        failure(message, remedy);
    }

    pub(crate) fn complaint(&mut self, message: &str) {
        self.say(format_args!("{} {message}", styled(WRONG, "!")));
    }

    /// `nodes` in join order, `stats` about all but ourselves.
    pub(crate) fn nodes(&mut self, nodes: &[NodeId], own: NodeId, stats: &Stats) {
        if nodes.is_empty() {
            self.say("in no network yet");
        }
        for (place, node) in nodes.iter().enumerate() {
            let host = if place == 0 && !self.without_host {
                " host"
            } else {
                ""
            };
            let us = if *node == own { " (you)" } else { "" };
            let of = stats.nodes.iter().find(|of| of.node == *node);
            let way = of.map_or("", |of| way(route(of.relayed)));
            self.say(format_args!(
                "  {}{host}{us}  {}",
                styled(NAME, node),
                styled(FAINT, way)
            ));
        }
    }

    pub(crate) fn stats(&mut self, stats: &Stats) {
        self.say(styled(
            FAINT,
            "  node     latency     best      sent   received  waiting  states  way",
        ));
        for node in &stats.nodes {
            self.say(format_args!(
                "  {}  {:>8}  {:>8}  {:>7}  {:>7}  {:>8}  {:>5}   {}",
                styled(NAME, short(node.node)),
                duration(node.latency),
                duration(node.latency_best),
                node.messages_sent,
                node.messages_received,
                node.bytes_in_flight,
                node.state.received,
                way(route(node.relayed))
            ));
        }
    }

    pub(crate) fn help(&mut self) {
        for line in [
            "text            to all nodes (// for text that begins with a slash)",
            "/to NODE text   to one node, named by its first 4 characters or more",
            "/state text     as a state: unreliable, the latest wins",
            "/nodes          who is here, and how each is reached",
            "/stats          latencies and counters",
            "/ice SERVERS    other STUN and TURN servers, as --ice takes them",
            "/kick NODE      host: remove a node",
            "/leave          leave the network",
        ] {
            self.say(format_args!("  {line}"));
        }
    }
}

const fn route(relayed: bool) -> Route {
    if relayed {
        Route::Relayed
    } else {
        Route::Direct
    }
}

/// How a node is reached.
const fn way(route: Route) -> &'static str {
    match route {
        Route::Direct => "direct",
        Route::Relayed => "through the host",
    }
}

/// A payload for a terminal: text without control characters, which could move its cursor.
pub(crate) fn shown(payload: &[u8]) -> String {
    match str::from_utf8(payload) {
        Ok(text) => text
            .chars()
            .map(|c| if c.is_control() { '\u{fffd}' } else { c })
            .collect(),
        Err(_) => format!("({} bytes)", payload.len()),
    }
}

fn timing_text(timing: &PhaseTiming) -> String {
    format!(
        "({}: signaling {}, ice {}, datachannel {})",
        duration(timing.total),
        duration(timing.signaling),
        duration(timing.ice),
        duration(timing.datachannel)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_draw_on_the_terminal() {
        assert_eq!(shown(b"a\x1b[2Jb"), "a\u{fffd}[2Jb");
        assert_eq!(shown(&[0xff, 0xfe]), "(2 bytes)");
    }

    #[test]
    fn durations_are_readable() {
        assert_eq!(duration(None), "-");
        assert_eq!(duration(Some(Duration::from_micros(1234))), "1.2 ms");
        assert_eq!(duration(Some(Duration::from_secs(12))), "12.0 s");
    }
}
