//! The scripts in `tests/scripts`: here over model links and over whole native nodes, in virtual time.
//! `tests/interop` runs the same with processes, `tests/browser` with pages; `tests/scripts/script.mjs` says
//! how they are written. With the variable `WATTLE_SHOW` this prints what each step leads to instead of
//! looking whether it is as written.

use core::time::Duration;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wattle_core::sim::{NodeIndex, World};
use wattle_core::{Config, Event, Hosting, NetworkCode, NodeId, Route, Timeouts, Topology};

/// As in the tests with processes: who is lost for good has left a second later.
const GRACE: Duration = Duration::from_secs(6);

/// Longer than anything takes that a step leads to.
const STEP: Duration = Duration::from_secs(15);

/// A line at the margin and the indented ones below it.
struct Step {
    line: usize,
    doing: String,
    leads_to: BTreeMap<String, Vec<String>>,
}

fn read(path: &Path) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (number, line) in std::fs::read_to_string(path).unwrap().lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(event) = line.strip_prefix("    ") {
            let (node, event) = event.split_once(' ').unwrap();
            let leads_to = &mut steps.last_mut().unwrap().leads_to;
            leads_to
                .entry(node.to_owned())
                .or_default()
                .push(event.to_owned());
        } else {
            steps.push(Step {
                line: number + 1,
                doing: line.to_owned(),
                leads_to: BTreeMap::new(),
            });
        }
    }
    steps
}

struct Play {
    world: World,
    native: bool,
    nodes: BTreeMap<String, NodeIndex>,
    names: Vec<(NodeId, String)>,
    code: Option<NetworkCode>,
    /// What was refused, and what the nodes were told: of this step.
    told: BTreeMap<String, Vec<String>>,
}

impl Play {
    fn new(native: bool) -> Self {
        Self {
            world: World::new(1),
            native,
            nodes: BTreeMap::new(),
            names: Vec::new(),
            code: None,
            told: BTreeMap::new(),
        }
    }

    fn node(&mut self, name: &str, config: impl FnOnce(Config) -> Config) -> NodeIndex {
        if let Some(node) = self.nodes.get(name) {
            return *node;
        }
        let timeouts = Timeouts {
            grace: GRACE,
            ..Timeouts::default()
        };
        let config = config(Config::default().with_timeouts(timeouts).unwrap());
        let node = if self.native {
            self.world.add_native(config)
        } else {
            self.world.add_model(config)
        };
        self.nodes.insert(name.to_owned(), node);
        let id = self.world.id(node).unwrap();
        self.names.push((id, name.to_owned()));
        node
    }

    fn id(&self, name: &str) -> NodeId {
        self.world.id(self.nodes[name]).unwrap()
    }

    fn do_it(&mut self, doing: &str) {
        let (name, rest) = doing.split_once(' ').unwrap();
        let (verb, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        match (name, verb) {
            ("server", "stop") => return self.world.stop_server(),
            ("server", "start") => return self.world.start_server(),
            _ => {}
        }
        if verb == "host" {
            let words: Vec<_> = rest.split(' ').collect();
            let topology = if words[0] == "mesh" {
                Topology::Mesh
            } else {
                Topology::Star
            };
            let node = self.node(name, |config| {
                config
                    .with_topology(topology)
                    .with_auto_relay(words.get(2) != Some(&"alone"))
                    .with_max_nodes(words[1].parse().unwrap())
                    .unwrap()
            });
            let hosting = Hosting::Signaling { code: None };
            return self.world.try_host(node, hosting).unwrap();
        }
        let node = self.node(name, |config| config);
        let refused = match verb {
            "join" => {
                let code = rest.parse().ok().or(self.code).unwrap();
                self.world.join(node, &code);
                None
            }
            "broadcast" => self.world.broadcast(node, rest.to_owned()).err(),
            "state" => self.world.broadcast_state(node, rest.to_owned()).err(),
            "send" => {
                let (to, text) = rest.split_once(' ').unwrap();
                let to = self.id(to);
                self.world.send_to(node, to, text.to_owned()).err()
            }
            "kick" => {
                let whom = self.id(rest);
                let refused = self.world.kick(node, whom).err();
                self.tell(name, refused.map(|error| format!("error {}", error.kind())));
                None
            }
            "leave" => {
                self.world.leave(node);
                None
            }
            "crash" => {
                self.world.crash(node);
                None
            }
            _ => panic!("no such thing to do: {verb}"),
        };
        self.tell(name, refused.map(|error| format!("error {}", error.kind())));
    }

    fn tell(&mut self, name: &str, what: Option<String>) {
        if let Some(what) = what {
            self.told.entry(name.to_owned()).or_default().push(what);
        }
    }

    /// Takes in what the nodes were told since.
    fn listen(&mut self) {
        for (name, node) in self.nodes.clone() {
            for event in self.world.take_events(node) {
                if let Event::NetworkCreated { code } = event {
                    self.code = Some(code);
                }
                let line = self.line(&event);
                self.tell(&name, Some(line));
            }
        }
    }

    fn name(&self, id: NodeId) -> &str {
        let found = self.names.iter().find(|(named, _)| *named == id);
        found.map_or("nobody", |(_, name)| name)
    }

    /// An event without what differs between one run and another: times, names, addresses.
    fn line(&self, event: &Event) -> String {
        let text = |payload: &[u8]| String::from_utf8(payload.to_vec()).unwrap();
        match event {
            Event::NetworkCreated { .. } => "network_created".to_owned(),
            Event::Phase(phase) => format!("phase {phase}"),
            Event::Joined { nodes, .. } => {
                let names: Vec<_> = nodes.iter().map(|node| self.name(*node)).collect();
                format!("joined {}", names.join(" "))
            }
            Event::NodeJoined { node } => format!("node_joined {}", self.name(*node)),
            Event::NodeSuspect { node } => format!("node_suspect {}", self.name(*node)),
            Event::NodeLost { node } => format!("node_lost {}", self.name(*node)),
            Event::NodeBack { node } => format!("node_back {}", self.name(*node)),
            Event::NodeStalled { node } => format!("node_stalled {}", self.name(*node)),
            Event::NodeRoute { node, route } => {
                let route = match route {
                    Route::Direct => "direct",
                    Route::Relayed => "relayed",
                };
                format!("node_route {} {route}", self.name(*node))
            }
            Event::NodeLeft { node, reason } => {
                format!("node_left {} {}", self.name(*node), reason.name())
            }
            Event::HostLost { reason } => format!("host_lost {}", reason.name()),
            Event::Message { from, payload } => {
                format!("message {} {}", self.name(*from), text(payload))
            }
            Event::State { from, payload, .. } => {
                format!("state {} {}", self.name(*from), text(payload))
            }
            Event::Writable => "writable".to_owned(),
            Event::SignalingLost { .. } => "signaling_lost".to_owned(),
            Event::SignalingRestored => "signaling_restored".to_owned(),
            Event::ConnectReport(report) => format!("connect_report {}", report.verdict.name()),
            Event::Ended { reason } => format!("ended {}", reason.kind()),
            other => format!("{other:?}"),
        }
    }

    /// Runs a step until it has led to what it should, and for a moment longer; if it should lead to
    /// nothing, for as long as it might.
    fn play(&mut self, step: &Step) {
        self.do_it(&step.doing);
        let deadline = self.world.now().plus(STEP);
        while self.world.now() < deadline {
            self.listen();
            if self.told == step.leads_to && !step.leads_to.is_empty() {
                break;
            }
            self.world.run_for(Duration::from_millis(10));
        }
        self.world.run_for(Duration::from_secs(1));
        self.listen();
    }
}

fn all() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let files = std::fs::read_dir(folder).unwrap();
    let mut all: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    all.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    all.sort();
    all
}

fn run(native: bool) {
    let scripts = all();
    assert!(scripts.len() >= 4, "{scripts:?}");
    for path in scripts {
        let mut play = Play::new(native);
        for step in read(&path) {
            play.play(&step);
            let told = std::mem::take(&mut play.told);
            let place = format!("{}:{}: {}", path.display(), step.line, step.doing);
            if std::env::var_os("WATTLE_SHOW").is_some() {
                println!("{}", step.doing);
                for (name, events) in &told {
                    for event in events {
                        println!("    {name} {event}");
                    }
                }
                continue;
            }
            assert_eq!(told, step.leads_to, "{place}");
        }
    }
}

#[test]
fn scripts_over_model_links() {
    run(false);
}

#[test]
fn scripts_of_native_nodes() {
    run(true);
}
