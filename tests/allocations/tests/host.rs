//! What a host allocates to relay a message, and what joins leave behind.
//!
//! One test in one process, because the allocator counts for all of it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use wattle_core::signaling::{SignalingCommand, SignalingId, SignalingUpdate};
use wattle_core::{
    Channel, Config, Event, Hosting, Input, LinkCommand, LinkId, LinkUpdate, Network, Output,
    Timestamp,
};
use wattle_tests_allocations::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

const CODE: &str = "ABCDEF";

/// Nodes in one piece of memory; the first is the host, whose allocations are counted.
struct Room {
    now: Timestamp,
    nodes: Vec<Network>,
    news: VecDeque<(usize, News)>,
    wires: BTreeMap<(usize, LinkId), (usize, LinkId)>,
    connections: BTreeMap<usize, (SignalingId, String)>,
    /// What the host allocated while it took in what came and said what is to be done.
    spent: usize,
    messages: usize,
}

enum News {
    Signaling(SignalingId, String),
    Link(LinkId, LinkNews),
}

enum LinkNews {
    Described,
    Opened(Channel),
    Message(Channel, Bytes),
    Emptied(Channel),
    Closed,
}

impl Room {
    fn new(joiners: usize) -> Self {
        let config = Config::default().with_max_nodes(64).unwrap();
        let nodes = (0..=joiners)
            .map(|index| Network::new(config.clone(), [index as u8; 32], Timestamp::ZERO))
            .collect();
        let mut room = Self {
            now: Timestamp::ZERO,
            nodes,
            news: VecDeque::new(),
            wires: BTreeMap::new(),
            connections: BTreeMap::new(),
            spent: 0,
            messages: 0,
        };
        let code = Some(CODE.parse().unwrap());
        room.call(0, |node, now| {
            node.host(now, Hosting::Signaling { code }).unwrap()
        });
        room
    }

    fn join(&mut self, joiner: usize) {
        let code = CODE.parse().unwrap();
        self.call(joiner, |node, now| node.join(now, &code).unwrap());
        assert!(self.nodes[joiner].nodes().count() > 1, "it must be in");
    }

    fn call(&mut self, node: usize, call: impl FnOnce(&mut Network, Timestamp)) {
        call(&mut self.nodes[node], self.now);
        self.drain(node);
        self.run();
    }

    /// Time passes: acknowledgements and heartbeats become due.
    fn pass(&mut self, time: Duration) {
        let end = self.now.plus(time);
        loop {
            let due = self.nodes.iter().enumerate();
            let due = due.filter_map(|(index, node)| Some((node.poll_timeout()?, index)));
            let Some((at, node)) = due.min().filter(|(at, _)| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            self.nodes[node].handle_timeout(self.now);
            self.drain(node);
            self.run();
        }
        self.now = end;
    }

    fn run(&mut self) {
        while let Some((node, news)) = self.news.pop_front() {
            let described;
            let input = match &news {
                News::Signaling(connection, text) => {
                    Input::Signaling(SignalingUpdate::Frame(*connection, text))
                }
                News::Link(link, news) => {
                    let update = match news {
                        LinkNews::Described => {
                            described = format!("end {node} {}", link.as_u64());
                            LinkUpdate::LocalDescription(&described)
                        }
                        LinkNews::Opened(channel) => LinkUpdate::ChannelOpened(*channel),
                        LinkNews::Message(channel, payload) => LinkUpdate::Message {
                            channel: *channel,
                            payload: payload.clone(),
                        },
                        LinkNews::Emptied(channel) => LinkUpdate::BufferedAmount {
                            channel: *channel,
                            bytes: 0,
                        },
                        LinkNews::Closed => LinkUpdate::Closed,
                    };
                    Input::Link {
                        link: *link,
                        update,
                    }
                }
            };
            let before = ALLOCATOR.allocated();
            self.nodes[node].handle_input(self.now, input);
            self.count(node, before);
            self.drain(node);
        }
    }

    fn drain(&mut self, node: usize) {
        loop {
            let before = ALLOCATOR.allocated();
            let output = self.nodes[node].poll_output();
            self.count(node, before);
            match output {
                Some(output) => self.see_to(node, output),
                None => return,
            }
        }
    }

    fn count(&mut self, node: usize, before: usize) {
        if node == 0 {
            self.spent += ALLOCATOR.allocated() - before;
        }
    }

    fn see_to(&mut self, node: usize, output: Output) {
        match output {
            Output::Signaling(SignalingCommand::Open(connection, url)) => {
                let id = url.split("&id=").nth(1).unwrap().split('&').next().unwrap();
                self.connections.insert(node, (connection, id.to_owned()));
                let open = r#"{"type":"OPEN"}"#.to_owned();
                self.news
                    .push_back((node, News::Signaling(connection, open)));
            }
            Output::Signaling(SignalingCommand::Send(_, text)) => {
                let target = self
                    .connections
                    .iter()
                    .find(|(_, (_, id))| text.contains(&format!(r#""dst":"{id}""#)));
                if let Some((to, (connection, _))) = target {
                    let text = format!(r#"{{"src":"{}",{}"#, self.connections[&node].1, &text[1..]);
                    self.news
                        .push_back((*to, News::Signaling(*connection, text)));
                }
            }
            Output::Link { link, command } => self.link_command(node, link, command),
            Output::Event(Event::Message { .. }) => self.messages += 1,
            _ => {}
        }
    }

    fn link_command(&mut self, node: usize, link: LinkId, command: LinkCommand) {
        match command {
            LinkCommand::CreateOffer => self.tell(node, link, LinkNews::Described),
            LinkCommand::AcceptOffer { sdp, .. } => {
                let (other, of) = sdp.strip_prefix("end ").unwrap().split_once(' ').unwrap();
                let end = (
                    other.parse().unwrap(),
                    LinkId::from_u64(of.parse().unwrap()),
                );
                self.wires.insert((node, link), end);
                self.wires.insert(end, (node, link));
                self.tell(node, link, LinkNews::Described);
            }
            LinkCommand::AcceptAnswer { .. } => {
                for (node, link) in [(node, link), self.wires[&(node, link)]] {
                    for channel in Channel::ALL {
                        self.tell(node, link, LinkNews::Opened(channel));
                    }
                }
            }
            LinkCommand::Send { channel, message } => {
                if let Some((to, other)) = self.wires.get(&(node, link)).copied() {
                    self.tell(to, other, LinkNews::Message(channel, message.to_bytes()));
                }
                self.tell(node, link, LinkNews::Emptied(channel));
            }
            LinkCommand::Close => {
                if let Some((to, other)) = self.wires.remove(&(node, link)) {
                    self.wires.remove(&(to, other));
                    self.tell(to, other, LinkNews::Closed);
                }
            }
            _ => {}
        }
    }

    fn tell(&mut self, node: usize, link: LinkId, news: LinkNews) {
        self.news.push_back((node, News::Link(link, news)));
    }
}

#[test]
fn a_relay_copies_no_payload_and_joins_leave_nothing() {
    relaying_ten_kilobytes_to_seven();
    a_thousand_joins();
}

/// The design's law: relaying one 10 KB message to 7 receivers allocates less than 10 KB.
fn relaying_ten_kilobytes_to_seven() {
    const RECEIVERS: usize = 7;
    let mut room = Room::new(RECEIVERS + 1);
    for joiner in 1..=RECEIVERS + 1 {
        room.join(joiner);
    }
    let mut worst = 0;
    for _ in 0..20 {
        let all: Vec<_> = room.nodes[0].nodes().collect();
        let payload = Bytes::from(vec![7; 10 * 1024]);
        let (before, heard) = (room.spent, room.messages);
        // To each of the seven by name would be seven messages; to all it is one frame.
        assert_eq!(all.len(), RECEIVERS + 2);
        room.call(1, |node, now| node.broadcast(now, payload).unwrap());
        // The host itself, and the seven.
        assert_eq!(room.messages - heard, RECEIVERS + 1);
        worst = worst.max(room.spent - before);
        room.pass(Duration::from_secs(1));
    }
    println!("relaying 10 KB to {RECEIVERS} receivers allocates {worst} bytes in the host");
    assert!(worst < 10 * 1024, "{worst}");
}

/// Memory and tables stay flat.
fn a_thousand_joins() {
    let mut room = Room::new(3);
    room.join(1);
    room.join(2);
    let mut live = Vec::new();
    for round in 0..=1_100 {
        room.join(3);
        let payload = Bytes::from(vec![7; 3_000]);
        room.call(3, |node, now| node.broadcast(now, payload).unwrap());
        if round % 2 == 0 {
            room.call(3, |node, now| node.leave(now));
        } else {
            let guest = room.nodes[3].id();
            room.call(0, |node, now| node.kick(now, guest).unwrap());
        }
        room.pass(Duration::from_secs(3));
        assert_eq!(room.nodes[0].nodes().count(), 3);
        if round == 100 || round == 1_100 {
            live.push(ALLOCATOR.live());
        }
    }
    println!("live bytes after 100 and after 1,100 joins: {live:?}");
    // Vectors and queues keep what they once grew to; a thousand leaks of a few bytes would show.
    assert!(live[1] < live[0] + 4_000, "{live:?}");
}
