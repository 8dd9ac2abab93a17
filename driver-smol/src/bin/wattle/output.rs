//! Where events go: to a person or to a program.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use wattle_smol::{EndReason, Event, Network, NodeId, Phase, Stats};

use crate::FAILED;
use crate::args::Report;
use crate::command::{self, Command};
use crate::human::Screen;
use crate::json::{self, Line};

pub(crate) enum Output {
    Program { gone: bool },
    Person(Screen),
}

impl Output {
    /// For a program or for a person; `join_with` is what joiners have to say besides the code.
    pub(crate) fn new(report: Report, join_with: String) -> Self {
        if report.json {
            Self::Program { gone: false }
        } else {
            Self::Person(Screen::new(join_with, report.verbose))
        }
    }

    fn print(&mut self, line: &Line) {
        if let Self::Program { gone } = self
            && !*gone
        {
            *gone = !json::print(line);
        }
    }

    /// Whether nobody reads any more.
    pub(crate) const fn is_gone(&self) -> bool {
        match self {
            Self::Program { gone } => *gone,
            Self::Person(screen) => screen.is_gone(),
        }
    }

    /// Whether the end of the input is a person's wish to go.
    pub(crate) fn input_is_terminal(&self) -> bool {
        std::io::stdin().is_terminal()
    }

    /// Whether there is a line that moves while connecting.
    pub(crate) const fn moves(&self) -> bool {
        match self {
            Self::Program { .. } => false,
            Self::Person(screen) => screen.moves(),
        }
    }

    pub(crate) fn tick(&mut self, phase: Option<Phase>) {
        if let Self::Person(screen) = self {
            screen.tick(phase);
        }
    }

    /// An event other than `Ended`.
    pub(crate) fn event(&mut self, event: Event, own: NodeId) {
        match self {
            Self::Program { .. } => self.print(&Line::from_event(event, own)),
            Self::Person(screen) => screen.event(event, own),
        }
    }

    /// The end; a failed one is an error, too.
    pub(crate) fn ended(&mut self, reason: EndReason) {
        match self {
            Self::Program { .. } => {
                if !reason.is_clean() {
                    self.print(&Line::error(reason.kind(), reason, reason.remedy()));
                }
                self.print(&Line::ended(reason));
            }
            Self::Person(screen) => screen.ended(reason),
        }
    }

    /// It could not even begin.
    pub(crate) fn refused(
        mut self,
        kind: &'static str,
        message: &str,
        remedy: &'static str,
    ) -> ExitCode {
        match &mut self {
            Self::Program { .. } => {
                self.print(&Line::error(kind, message, remedy));
                self.print(&Line::Ended {
                    reason: kind,
                    message: message.to_owned(),
                });
            }
            Self::Person(screen) => screen.failure(message, remedy),
        }
        ExitCode::from(FAILED)
    }

    /// A command that was refused, or a line that is none.
    pub(crate) fn error(&mut self, kind: &'static str, message: &str, command: &'static str) {
        match self {
            Self::Program { .. } => self.print(&Line::Error {
                kind,
                message: message.to_owned(),
                remedy: "",
                command,
            }),
            Self::Person(screen) => screen.complaint(message),
        }
    }

    pub(crate) fn warning(&mut self, kind: &'static str, message: &str) {
        match self {
            Self::Program { .. } => self.print(&Line::Warning {
                kind,
                message: message.to_owned(),
            }),
            Self::Person(screen) => screen.complaint(message),
        }
    }

    pub(crate) fn read_line(&self, line: &str) -> Result<Command, String> {
        match self {
            Self::Program { .. } => command::from_program(line),
            Self::Person(_) => command::from_person(line),
        }
    }

    pub(crate) fn stats(&mut self, stats: Stats) {
        match self {
            Self::Program { .. } => self.print(&stats.into()),
            Self::Person(screen) => screen.stats(&stats),
        }
    }

    pub(crate) fn nodes(&mut self, network: &Network) {
        if let Self::Person(screen) = self {
            screen.nodes(&network.nodes(), network.id(), &network.stats());
        }
    }

    pub(crate) fn help(&mut self) {
        if let Self::Person(screen) = self {
            screen.help();
        }
    }
}
