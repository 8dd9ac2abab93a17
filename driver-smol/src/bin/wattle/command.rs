//! What can be typed or piped in.

use wattle_smol::NodeId;

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Broadcast(String),
    State(String),
    Send {
        node: String,
        text: String,
    },
    Kick {
        node: String,
    },
    Nodes,
    Stats,
    /// Other STUN and TURN servers.
    Ice(String),
    Leave,
    Help,
    /// An empty line.
    Nothing,
}

impl Command {
    /// Whether it has to wait for the network.
    pub(crate) const fn needs_network(&self) -> bool {
        matches!(
            self,
            Self::Broadcast(_) | Self::State(_) | Self::Send { .. } | Self::Kick { .. }
        )
    }

    /// Its name in error events.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Broadcast(_) => "broadcast",
            Self::State(_) => "state",
            Self::Send { .. } => "send",
            Self::Kick { .. } => "kick",
            Self::Nodes => "nodes",
            Self::Stats => "stats",
            Self::Ice(_) => "ice",
            Self::Leave => "leave",
            Self::Help => "help",
            Self::Nothing => "",
        }
    }
}

/// Reads a line of a program: `broadcast TEXT`, `state TEXT`, `send NODE TEXT`, `kick NODE`,
/// `stats`, `ice SERVERS`, `leave`.
pub(crate) fn from_program(line: &str) -> Result<Command, String> {
    let (word, rest) = split(line);
    match (word, rest) {
        ("", _) => Ok(Command::Nothing),
        ("broadcast", Some(text)) => Ok(Command::Broadcast(text.to_owned())),
        ("state", Some(text)) => Ok(Command::State(text.to_owned())),
        ("send", Some(rest)) => addressed(rest).ok_or_else(|| "usage: send NODE TEXT".to_owned()),
        ("kick", Some(node)) if !node.trim().is_empty() => Ok(Command::Kick {
            node: node.trim().to_owned(),
        }),
        ("stats", None) => Ok(Command::Stats),
        ("ice", Some(servers)) if !servers.trim().is_empty() => {
            Ok(Command::Ice(servers.trim().to_owned()))
        }
        ("leave", None) => Ok(Command::Leave),
        ("broadcast" | "state", None) => Err(format!("usage: {word} TEXT")),
        ("send", None) => Err("usage: send NODE TEXT".to_owned()),
        ("kick", _) => Err("usage: kick NODE".to_owned()),
        ("ice", _) => Err("usage: ice URL-or-JSON".to_owned()),
        ("stats" | "leave", Some(_)) => Err(format!("usage: {word}")),
        _ => Err(format!(
            "unknown command {word:?}: broadcast, state, send, kick, stats, ice or leave"
        )),
    }
}

/// Reads a line of a person: text is broadcast, commands begin with a slash, two slashes are text
/// that begins with one.
pub(crate) fn from_person(line: &str) -> Result<Command, String> {
    if line.trim().is_empty() {
        return Ok(Command::Nothing);
    }
    let Some(line) = line.strip_prefix('/') else {
        return Ok(Command::Broadcast(line.to_owned()));
    };
    if line.starts_with('/') {
        return Ok(Command::Broadcast(line.to_owned()));
    }
    let (word, rest) = split(line);
    match (word, rest) {
        ("to", Some(rest)) => addressed(rest).ok_or_else(|| "usage: /to NODE text".to_owned()),
        ("to", None) => Err("usage: /to NODE text".to_owned()),
        ("state", Some(text)) => Ok(Command::State(text.to_owned())),
        ("state", None) => Err("usage: /state text".to_owned()),
        ("kick", Some(node)) if !node.trim().is_empty() => Ok(Command::Kick {
            node: node.trim().to_owned(),
        }),
        ("kick", _) => Err("usage: /kick NODE".to_owned()),
        ("nodes", _) => Ok(Command::Nodes),
        ("ice", Some(servers)) if !servers.trim().is_empty() => {
            Ok(Command::Ice(servers.trim().to_owned()))
        }
        ("ice", _) => Err("usage: /ice URL-or-JSON".to_owned()),
        ("stats", _) => Ok(Command::Stats),
        ("leave" | "quit", _) => Ok(Command::Leave),
        ("help" | "?", _) => Ok(Command::Help),
        _ => Err(format!("there is no /{word}; /help shows what there is")),
    }
}

/// The first word, and what stands after the one blank behind it.
fn split(line: &str) -> (&str, Option<&str>) {
    match line.split_once(' ') {
        Some((word, rest)) => (word, Some(rest)),
        None => (line, None),
    }
}

fn addressed(rest: &str) -> Option<Command> {
    let (node, text) = rest.split_once(' ')?;
    if node.is_empty() {
        return None;
    }
    Some(Command::Send {
        node: node.to_owned(),
        text: text.to_owned(),
    })
}

/// Why a NODE names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    #[error("a node is named by its 26 characters or at least the first 4 of them")]
    TooShort,
    #[error("no such node in the network")]
    Unknown,
    #[error("{count} nodes begin like this: give more characters")]
    Ambiguous { count: usize },
}

impl NameError {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::TooShort => "usage",
            Self::Unknown => "unknown_node",
            Self::Ambiguous { .. } => "ambiguous_node",
        }
    }
}

/// The node that `name`, a whole id or a beginning of one, stands for.
pub(crate) fn find(name: &str, nodes: &[NodeId]) -> Result<NodeId, NameError> {
    if name.chars().count() < 4 {
        return Err(NameError::TooShort);
    }
    let name = name.to_ascii_lowercase();
    let mut found = nodes
        .iter()
        .filter(|node| node.to_string().starts_with(&name));
    match (found.next(), found.count()) {
        (Some(node), 0) => Ok(*node),
        (Some(_), more) => Err(NameError::Ambiguous {
            count: more.saturating_add(1),
        }),
        // A whole id of a node that has just left is for the core to judge.
        (None, _) => name.parse().map_err(|_| NameError::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_taken_by_the_word() {
        let text = |text: &str| text.to_owned();
        let cases = [
            (
                "broadcast  two  blanks ",
                Command::Broadcast(text(" two  blanks ")),
            ),
            ("broadcast ", Command::Broadcast(text(""))),
            ("state x", Command::State(text("x"))),
            (
                "send abcd hello there",
                Command::Send {
                    node: text("abcd"),
                    text: text("hello there"),
                },
            ),
            ("kick abcd", Command::Kick { node: text("abcd") }),
            ("stats", Command::Stats),
            (
                "ice stun:a.example  stun:b.example ",
                Command::Ice(text("stun:a.example  stun:b.example")),
            ),
            ("leave", Command::Leave),
            ("", Command::Nothing),
        ];
        for (line, command) in cases {
            assert_eq!(from_program(line), Ok(command), "{line}");
        }
        for line in [
            "broadcast",
            "send",
            "send abcd",
            "kick",
            "kick ",
            "stats now",
            "ice",
            "ice ",
            "dance",
            "/leave",
        ] {
            assert!(from_program(line).is_err(), "{line}");
        }
    }

    #[test]
    fn people_just_type() {
        let text = |text: &str| text.to_owned();
        assert_eq!(from_person("hello"), Ok(Command::Broadcast(text("hello"))));
        assert_eq!(from_person("//x"), Ok(Command::Broadcast(text("/x"))));
        assert_eq!(from_person("  "), Ok(Command::Nothing));
        assert_eq!(
            from_person("/to abcd hi you"),
            Ok(Command::Send {
                node: text("abcd"),
                text: text("hi you")
            })
        );
        assert_eq!(from_person("/leave"), Ok(Command::Leave));
        assert!(from_person("/dance").is_err());
        assert!(from_person("/to abcd").is_err());
    }

    #[test]
    fn nodes_are_found_by_their_beginning() {
        let nodes = [[0; 16], [1; 16]].map(NodeId::from_bytes);
        let mut near = [0; 16];
        near[15] = 4;
        let near = NodeId::from_bytes(near);
        assert_eq!(find("AAAA", &nodes), Ok(nodes[0]));
        assert_eq!(find("aea", &nodes), Err(NameError::TooShort));
        assert_eq!(find("zzzz", &nodes), Err(NameError::Unknown));
        assert_eq!(
            find("aaaaaa", &[nodes[0], near]),
            Err(NameError::Ambiguous { count: 2 })
        );
        assert_eq!(find(&near.to_string(), &nodes), Ok(near));
    }
}
