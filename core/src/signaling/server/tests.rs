use alloc::format;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use super::*;

const OPEN: &str = r#"{"type":"OPEN"}"#;
const ID_TAKEN: &str = r#"{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}"#;

/// A server, and what it says in words: `1 upgrade`, `1 < frame`, `1 close`, `1 http 404`.
struct World {
    server: Server,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        Self::with(ServerConfig::default())
    }

    fn with(config: ServerConfig) -> Self {
        let now = Timestamp::from_millis(1_000);
        let server = Server::new(config, [9; 32], now);
        Self { server, now }
    }

    fn input(&mut self, input: ServerInput<'_>) -> Vec<String> {
        self.server.handle_input(self.now, input);
        self.drain()
    }

    fn get_from(&mut self, peer: IpAddr, number: u64, target: &str, upgrade: bool) -> Vec<String> {
        self.input(ServerInput::Request {
            connection: ConnectionId(number),
            peer,
            method: "GET",
            target,
            upgrade,
        })
    }

    fn get(&mut self, number: u64, target: &str) -> Vec<String> {
        self.get_from(Ipv4Addr::LOCALHOST.into(), number, target, false)
    }

    fn connect(&mut self, number: u64, query: &str) -> Vec<String> {
        let target = format!("/peerjs?{query}");
        self.get_from(Ipv4Addr::LOCALHOST.into(), number, &target, true)
    }

    /// A client that is registered.
    fn open(&mut self, number: u64, id: &str) {
        let said = self.connect(number, &format!("key=peerjs&id={id}&token=t{number}"));
        assert!(said.starts_with(&upgraded(number, OPEN)[..2]), "{said:?}");
    }

    fn frame(&mut self, number: u64, text: &str) -> Vec<String> {
        let connection = ConnectionId(number);
        self.input(ServerInput::Frame { connection, text })
    }

    fn closed(&mut self, number: u64) -> Vec<String> {
        let connection = ConnectionId(number);
        self.input(ServerInput::Closed { connection })
    }

    fn host_sends(&mut self, text: &str) -> Vec<String> {
        self.server.host_sends(self.now, text);
        self.drain()
    }

    fn after(&mut self, millis: u64) -> Vec<String> {
        self.now = self.now.plus(Duration::from_millis(millis));
        self.server.handle_timeout(self.now);
        assert!(
            self.server
                .poll_timeout()
                .is_none_or(|next| next > self.now)
        );
        self.drain()
    }

    fn drain(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(output) = self.server.poll_output() {
            said.push(match output {
                ServerOutput::Upgrade { connection } => format!("{} upgrade", connection.0),
                ServerOutput::Send { connection, text } => format!("{} < {text}", connection.0),
                ServerOutput::Close { connection } => format!("{} close", connection.0),
                ServerOutput::Respond {
                    connection, status, ..
                } => format!("{} http {status}", connection.0),
            });
        }
        while let Some(text) = self.server.poll_host_frame() {
            said.push(format!("host < {text}"));
        }
        said
    }

    fn is_flat(&self) -> bool {
        let server = &self.server;
        server.connections.is_empty()
            && server.waiting.is_empty()
            && server.clients.is_empty()
            && server.poll_timeout().is_none()
            && server.load() == ServerLoad::default()
    }
}

fn upgraded(number: u64, text: &str) -> Vec<String> {
    [format!("{number} upgrade"), format!("{number} < {text}")].into()
}

fn refused(number: u64, text: &str) -> Vec<String> {
    let mut said = upgraded(number, text);
    said.push(format!("{number} close"));
    said
}

fn error(msg: &str) -> String {
    format!(r#"{{"type":"ERROR","payload":{{"msg":"{msg}"}}}}"#)
}

#[test]
fn a_client_gets_open() {
    let mut world = World::new();
    assert_eq!(
        world.connect(1, "key=peerjs&id=a&token=t&version=1.5.5"),
        upgraded(1, OPEN)
    );
    assert_eq!(world.closed(1), [""; 0]);
    assert!(world.is_flat());
}

#[test]
fn parameters_are_checked_in_peerservers_order() {
    let wrong = error("No id, token, or key supplied to websocket server");
    let mut world = World::new();
    let long = "a".repeat(129);
    for query in [
        "",
        "key=peerjs&id=a",
        "key=peerjs&token=t",
        "id=a&token=t",
        "key=wrong&id=a",
        "key=peerjs&id=&token=t",
        "key=peerjs&id=%0a&token=t",
        "key=peerjs&id=%c3%a4&token=t",
        &format!("key=peerjs&id={long}&token=t"),
        &format!("key=peerjs&id=a&token={long}"),
    ] {
        assert_eq!(world.connect(1, query), refused(1, &wrong), "{query}");
        assert!(world.is_flat());
    }
    world.open(2, "a");
    assert_eq!(
        world.connect(3, "key=wrong&id=a&token=x"),
        refused(3, &error("Invalid key provided"))
    );
    assert_eq!(
        world.connect(4, "key=peerjs&id=a&token=x"),
        refused(4, ID_TAKEN)
    );
    let counters = world.server.counters();
    assert_eq!(counters.refused_parameters, 10);
    assert_eq!((counters.refused_key, counters.refused_id_taken), (1, 1));
}

#[test]
fn another_key_can_be_set() {
    let mut world = World::with(ServerConfig {
        key: "other".to_string(),
        ..ServerConfig::default()
    });
    assert_eq!(
        world.connect(1, "key=peerjs&id=a&token=t"),
        refused(1, &error("Invalid key provided"))
    );
    assert_eq!(
        world.connect(2, "key=other&id=a&token=t"),
        upgraded(2, OPEN)
    );
}

#[test]
fn http_answers() {
    let mut world = World::new();
    assert_eq!(world.get(1, "/"), ["1 http 200"]);
    assert_eq!(world.get(1, "/peerjs/id?ts=1"), ["1 http 200"]);
    assert_eq!(world.get(1, "/peerjs/peers"), ["1 http 401"]);
    assert_eq!(world.get(1, "/peerjs"), ["1 http 404"]);
    let here = Ipv4Addr::LOCALHOST.into();
    assert_eq!(world.get_from(here, 1, "/other", true), ["1 http 400"]);
    assert_eq!(
        world.get_from(here, 1, "/peerjs/peerjs?id=a&key=peerjs&token=t", true),
        upgraded(1, OPEN)
    );
    assert_eq!(world.server.counters().http_requests, 4);
    assert_eq!(world.server.counters().refused_path, 1);
}

#[test]
fn ids_are_given_away_once() {
    let mut world = World::new();
    let mut given = Vec::new();
    for number in 0..50 {
        world.server.handle_input(
            world.now,
            ServerInput::Request {
                connection: ConnectionId(number),
                peer: Ipv4Addr::LOCALHOST.into(),
                method: "GET",
                target: "/peerjs/id",
                upgrade: false,
            },
        );
        match world.server.poll_output() {
            Some(ServerOutput::Respond { body, .. }) => given.push(body),
            other => panic!("{other:?}"),
        }
    }
    assert!(given.iter().all(|id| id.len() == 36));
    given.sort();
    given.dedup();
    assert_eq!(given.len(), 50);
    assert!(world.is_flat());
}

#[test]
fn frames_are_rebuilt_and_src_is_forced() {
    let mut world = World::new();
    world.open(1, "a");
    world.open(2, "b");
    assert_eq!(
        world.frame(
            1,
            r#"{"payload":{"sdp": 1.50},"extra":1,"dst":"b","src":"HOST","type":"OFFER"}"#
        ),
        [r#"2 < {"type":"OFFER","src":"a","dst":"b","payload":{"sdp": 1.50}}"#]
    );
    for kind in ["ANSWER", "CANDIDATE", "LEAVE", "EXPIRE"] {
        assert_eq!(
            world.frame(2, &format!(r#"{{"type":"{kind}","dst":"a"}}"#)),
            [format!(r#"1 < {{"type":"{kind}","src":"b","dst":"a"}}"#)]
        );
    }
    // To oneself too.
    assert_eq!(
        world.frame(1, r#"{"type":"OFFER","dst":"a","payload":null}"#),
        [r#"1 < {"type":"OFFER","src":"a","dst":"a","payload":null}"#]
    );
    assert_eq!(world.server.counters().relayed, 6);
}

#[test]
fn what_is_dropped_without_a_word() {
    let mut world = World::new();
    world.open(1, "a");
    world.open(2, "b");
    for text in [
        r#"{"type":"REJECT","dst":"b"}"#,
        r#"{"type":"OPEN","dst":"b"}"#,
        r#"{"type":"ERROR","dst":"b"}"#,
        r#"{"type":"ID-TAKEN","dst":"b"}"#,
        r#"{"type":"offer","dst":"b"}"#,
        r#"{"type":"HEARTBEAT","dst":"b"}"#,
        r#"{"type":"OFFER"}"#,
        r#"{"type":"EXPIRE"}"#,
        r#"{"type":"OFFER","dst":""}"#,
        r#"{"type":"OFFER","dst":["b"]}"#,
        r#"{"type":"LEAVE","dst":"nobody"}"#,
        r#"{"type":"EXPIRE","dst":"nobody"}"#,
        r#"{"type":"OFFER","dst":"b""#,
        r#"["OFFER","a","b",1]"#,
        "null",
        "",
        r#"{"id":"a"}"#,
    ] {
        assert_eq!(world.frame(1, text), [""; 0], "{text}");
    }
    assert_eq!(world.server.load().waiting_frames, 0);
    let counters = world.server.counters();
    assert_eq!(counters.dropped_type, 5);
    assert_eq!(counters.dropped_target, 5);
    assert_eq!(counters.dropped_malformed, 6);
}

#[test]
fn the_same_token_takes_the_id_again_in_silence() {
    let mut world = World::new();
    world.open(9, "b");
    assert_eq!(
        world.connect(1, "key=peerjs&id=a&token=t"),
        upgraded(1, OPEN)
    );
    assert_eq!(world.connect(2, "key=peerjs&id=a&token=t"), ["2 upgrade"]);
    let to_a = r#"{"type":"OFFER","dst":"a"}"#;
    assert_eq!(
        world.frame(9, to_a),
        [r#"2 < {"type":"OFFER","src":"b","dst":"a"}"#]
    );
    // The old connection stays, and speaks for the same client.
    let to_b = r#"{"type":"OFFER","dst":"b"}"#;
    let from_a = [r#"9 < {"type":"OFFER","src":"a","dst":"b"}"#];
    assert_eq!(world.frame(1, to_b), from_a);
    assert_eq!(world.frame(2, to_b), from_a);
    assert_eq!(world.closed(1), [""; 0]);
    assert_eq!(world.frame(2, to_b), from_a);
    assert_eq!(world.server.load().clients, 2);
    assert_eq!(world.closed(2), [""; 0]);
    assert_eq!(world.server.load().clients, 1);
    assert_eq!(
        world.connect(3, "key=peerjs&id=a&token=u"),
        upgraded(3, OPEN)
    );
}

#[test]
fn an_old_connection_cannot_speak_for_the_next_owner() {
    let mut world = World::new();
    world.open(9, "b");
    world.connect(1, "key=peerjs&id=a&token=t");
    world.connect(2, "key=peerjs&id=a&token=t");
    world.closed(2);
    world.connect(3, "key=peerjs&id=a&token=u");
    assert_eq!(world.frame(1, r#"{"type":"OFFER","dst":"b"}"#), [""; 0]);
    assert_eq!(world.frame(1, r#"{"type":"LEAVE"}"#), [""; 0]);
    world.closed(1);
    assert_eq!(world.server.load().clients, 2);
    assert_eq!(world.server.counters().dropped_unregistered, 2);
}

#[test]
fn leave_without_a_target_frees_the_id() {
    let mut world = World::new();
    world.open(1, "a");
    assert_eq!(world.frame(1, r#"{"type":"LEAVE"}"#), [""; 0]);
    world.open(2, "a");
    assert_eq!(world.frame(1, r#"{"type":"HEARTBEAT"}"#), [""; 0]);
    assert_eq!(world.after(9_999), [""; 0]);
    assert_eq!(world.after(1), ["1 close"]);
    assert_eq!(world.server.counters().closed_idle, 1);
    assert_eq!(world.server.load().clients, 1);
}

#[test]
fn late_targets_get_what_waits() {
    let mut world = World::new();
    world.open(1, "a");
    world.open(2, "b");
    for (number, text) in [
        (1, r#"{"type":"OFFER","dst":"late","payload":1}"#),
        (2, r#"{"type":"OFFER","dst":"late","payload":2}"#),
        (1, r#"{"type":"CANDIDATE","dst":"late","payload":3}"#),
        (1, r#"{"type":"LEAVE","dst":"late","payload":4}"#),
    ] {
        assert_eq!(world.frame(number, text), [""; 0]);
    }
    assert_eq!(world.after(4_999), [""; 0]);
    assert_eq!(
        world.connect(3, "key=peerjs&id=late&token=t"),
        [
            "3 upgrade",
            r#"3 < {"type":"OPEN"}"#,
            r#"3 < {"type":"OFFER","src":"a","dst":"late","payload":1}"#,
            r#"3 < {"type":"OFFER","src":"b","dst":"late","payload":2}"#,
            r#"3 < {"type":"CANDIDATE","src":"a","dst":"late","payload":3}"#,
        ]
    );
    assert_eq!(world.server.load().waiting_frames, 0);
    assert_eq!(world.after(10_000), [""; 0]);
    assert_eq!(world.server.counters().relayed_late, 3);
}

#[test]
fn expire_comes_once_per_pair() {
    let mut world = World::new();
    world.open(1, "a");
    world.open(2, "b");
    for dst in ["x", "y"] {
        for _ in 0..3 {
            world.frame(1, &format!(r#"{{"type":"OFFER","dst":"{dst}"}}"#));
        }
    }
    world.after(1_000);
    world.frame(2, r#"{"type":"OFFER","dst":"x"}"#);
    assert_eq!(world.after(3_999), [""; 0]);
    assert_eq!(
        world.after(1),
        [
            r#"1 < {"type":"EXPIRE","src":"x","dst":"a"}"#,
            r#"1 < {"type":"EXPIRE","src":"y","dst":"a"}"#,
        ]
    );
    assert_eq!(
        world.after(1_000),
        [r#"2 < {"type":"EXPIRE","src":"x","dst":"b"}"#]
    );
    assert_eq!(world.after(60_000), [""; 0]);
    assert_eq!(world.server.counters().expired, 7);
    // Who is gone is not told.
    world.frame(1, r#"{"type":"OFFER","dst":"x"}"#);
    world.closed(1);
    assert_eq!(world.after(5_000), [""; 0]);
}

#[test]
fn only_heartbeats_are_life() {
    let mut world = World::new();
    world.open(1, "a");
    world.open(2, "b");
    for _ in 0..10 {
        world.after(8_999);
        world.frame(1, r#"{"type":"HEARTBEAT"}"#);
        world.frame(2, r#"{"type":"OFFER","dst":"a"}"#);
    }
    assert_eq!(world.after(10), ["2 close"]);
    assert_eq!(world.server.counters().closed_silent, 1);
    world.open(3, "b");
    assert_eq!(world.after(89_999), ["1 close"]);
    assert_eq!(world.after(1), ["3 close"]);
    assert!(world.is_flat());
}

#[test]
fn heartbeats_of_an_old_connection_are_life_of_its_client() {
    let mut world = World::new();
    world.connect(1, "key=peerjs&id=a&token=t");
    world.connect(2, "key=peerjs&id=a&token=t");
    world.after(60_000);
    world.frame(1, r#"{"type":"HEARTBEAT"}"#);
    assert_eq!(world.after(89_999), [""; 0]);
    assert_eq!(world.after(1), ["1 close", "2 close"]);
    assert!(world.is_flat());
}

#[test]
fn claygrounds_lan_client_is_let_in() {
    let mut world = World::with(ServerConfig::embedded());
    world.server.register_host(world.now);
    assert_eq!(world.drain(), [r#"host < {"type":"OPEN"}"#]);
    assert_eq!(world.connect(1, "id=a"), upgraded(1, OPEN));
    assert_eq!(world.frame(1, r#"{"id":"a"}"#), [""; 0]);
    assert_eq!(
        world.frame(1, r#"{"type":"OFFER","dst":"HOST","payload":{}}"#),
        [r#"host < {"type":"OFFER","src":"a","dst":"HOST","payload":{}}"#]
    );
    // Its id has no token, so nobody has the right one.
    for query in ["id=a", "id=a&key=peerjs&token=t"] {
        assert_eq!(world.connect(2, query), refused(2, ID_TAKEN));
    }
    let wrong = error("No id, token, or key supplied to websocket server");
    let mut strict = World::with(ServerConfig {
        bare_ids: false,
        ..ServerConfig::default()
    });
    assert_eq!(strict.connect(1, "id=a"), refused(1, &wrong));
}

#[test]
fn nobody_takes_host_from_the_host() {
    let mut world = World::new();
    // Without a host in the process it is an id like any other.
    world.open(1, "HOST");
    world.open(2, "b");
    assert_eq!(world.host_sends(r#"{"type":"OFFER","dst":"b"}"#), [""; 0]);
    world.server.register_host(world.now);
    assert_eq!(world.drain(), ["1 close", r#"host < {"type":"OPEN"}"#]);
    for query in [
        "key=peerjs&id=HOST&token=t1",
        "key=peerjs&id=%48OST&token=",
        "id=HOST",
    ] {
        let said = world.connect(3, query);
        assert_eq!(said.last().unwrap(), "3 close", "{query}");
    }
    assert_eq!(
        world.frame(2, r#"{"type":"OFFER","src":"HOST","dst":"HOST"}"#),
        [r#"host < {"type":"OFFER","src":"b","dst":"HOST"}"#]
    );
    assert_eq!(
        world.host_sends(r#"{"type":"ANSWER","src":"b","dst":"b","payload":[]}"#),
        [r#"2 < {"type":"ANSWER","src":"HOST","dst":"b","payload":[]}"#]
    );
    // It needs no heartbeat, and learns of targets that are not there.
    world.host_sends(r#"{"type":"OFFER","dst":"gone"}"#);
    assert_eq!(
        world.after(5_000),
        [r#"host < {"type":"EXPIRE","src":"gone","dst":"HOST"}"#]
    );
    world.after(1_000_000);
    assert_eq!(world.server.load().clients, 1);
}

#[test]
fn a_host_gets_what_came_before_it() {
    let mut world = World::new();
    world.open(1, "a");
    world.frame(1, r#"{"type":"OFFER","dst":"HOST"}"#);
    world.server.register_host(world.now);
    assert_eq!(
        world.drain(),
        [
            r#"host < {"type":"OPEN"}"#,
            r#"host < {"type":"OFFER","src":"a","dst":"HOST"}"#
        ]
    );
}

#[test]
fn a_closed_server_turns_everybody_away() {
    let mut world = World::new();
    world.server.register_host(world.now);
    world.open(1, "a");
    world.frame(1, r#"{"type":"OFFER","dst":"x"}"#);
    world.drain();
    world.server.close(world.now);
    assert_eq!(world.drain(), ["1 close"]);
    assert!(world.is_flat());
    assert_eq!(world.connect(2, "key=peerjs&id=a&token=t"), ["2 http 503"]);
    let accepted = ServerInput::Accepted {
        connection: ConnectionId(3),
        peer: Ipv4Addr::LOCALHOST.into(),
    };
    assert_eq!(world.input(accepted), ["3 close"]);
    world.server.register_host(world.now);
    assert_eq!(world.drain(), [""; 0]);
    assert!(world.is_flat());
}

#[test]
fn connections_are_limited() {
    let full = error("Server has reached its concurrent user limit");
    let mut world = World::with(ServerConfig {
        connections: 3,
        connections_per_address: 2,
        ..ServerConfig::default()
    });
    let url = |id: &str| format!("/peerjs?key=peerjs&token=t&id={id}");
    let v6 = |text: &str| -> IpAddr { text.parse().unwrap() };
    let (here, same, other) = (v6("2001:db8::1"), v6("2001:db8::2"), v6("2001:db8:0:1::"));
    world.get_from(here, 1, &url("a"), true);
    world.get_from(same, 2, &url("b"), true);
    assert_eq!(world.get_from(same, 3, &url("c"), true), refused(3, &full));
    assert_eq!(world.server.counters().refused_address, 1);
    assert_eq!(world.get_from(other, 4, &url("c"), true), upgraded(4, OPEN));
    assert_eq!(world.get_from(other, 5, &url("d"), true), refused(5, &full));
    assert_eq!(world.server.counters().refused_full, 1);
    // Whoever comes back takes the place that it had.
    assert_eq!(
        world.get_from(same, 6, &url("a"), true),
        ["1 close", "6 upgrade"]
    );
    // But not one that it had not: this address is full, the place was another's.
    assert_eq!(world.get_from(here, 7, &url("c"), true), refused(7, &full));
    assert_eq!(world.server.load().connections, 3);
    assert_eq!(world.server.load().clients, 3);
    for number in 1..8 {
        world.closed(number);
    }
    assert!(world.is_flat());
}

#[test]
fn connections_without_a_request_are_limited() {
    let mut world = World::with(ServerConfig {
        pending: 5,
        ..ServerConfig::default()
    });
    let accept = |world: &mut World, number: u64, last: u8| {
        world.input(ServerInput::Accepted {
            connection: ConnectionId(number),
            peer: [10, 0, 0, last].into(),
        })
    };
    assert_eq!(accept(&mut world, 1, 1), [""; 0]);
    assert_eq!(accept(&mut world, 2, 1), [""; 0]);
    assert_eq!(
        accept(&mut world, 3, 1),
        ["3 close"],
        "a quarter, rounded up"
    );
    assert_eq!(accept(&mut world, 4, 2), [""; 0]);
    assert_eq!(accept(&mut world, 5, 3), [""; 0]);
    assert_eq!(accept(&mut world, 6, 4), [""; 0]);
    assert_eq!(accept(&mut world, 7, 5), ["7 close"]);
    world.open(1, "a");
    assert_eq!(world.get(4, "/"), ["4 http 200"]);
    assert_eq!(world.frame(2, "{}"), [""; 0], "no WebSocket yet");
    assert_eq!(world.after(10_000), ["2 close", "5 close", "6 close"]);
    assert_eq!(world.server.counters().refused_pending, 2);
    assert_eq!(world.server.counters().closed_idle, 3);
    world.closed(1);
    assert!(world.is_flat());
}

#[test]
fn a_request_that_comes_too_late_finds_a_closed_connection() {
    let mut world = World::new();
    world.input(ServerInput::Accepted {
        connection: ConnectionId(1),
        peer: Ipv4Addr::LOCALHOST.into(),
    });
    world.now = world.now.plus(Duration::from_secs(10));
    assert_eq!(world.connect(1, "key=peerjs&id=a&token=t"), ["1 close"]);
    assert!(world.is_flat());
}

#[test]
fn frames_are_limited_in_size_and_rate() {
    let mut world = World::with(ServerConfig {
        frame: 100,
        frames_per_second: 10,
        frame_burst: 2,
        flood: 5,
        ..ServerConfig::default()
    });
    world.open(1, "a");
    let frame = r#"{"type":"OFFER","dst":"a"}"#;
    let back = [r#"1 < {"type":"OFFER","src":"a","dst":"a"}"#];
    for _ in 0..2 {
        assert_eq!(world.frame(1, frame), back);
    }
    for _ in 0..5 {
        assert_eq!(world.frame(1, frame), [""; 0]);
    }
    assert_eq!(world.frame(1, frame), ["1 close"]);
    assert_eq!(world.server.counters().dropped_rate, 5);
    assert_eq!(world.server.counters().closed_flood, 1);

    world.open(2, "a");
    assert_eq!(world.frame(2, &"x".repeat(100)), [""; 0]);
    assert_eq!(world.frame(2, &"x".repeat(101)), ["2 close"]);
    assert_eq!(world.server.counters().closed_frame_size, 1);
    assert!(world.is_flat());
}

#[test]
fn waiting_frames_are_limited() {
    let mut world = World::with(ServerConfig {
        waiting_frames: 4,
        waiting_frames_per_sender: 3,
        waiting_bytes_per_sender: 200,
        ..ServerConfig::default()
    });
    world.open(1, "a");
    world.open(2, "b");
    let to = |dst: &str| format!(r#"{{"type":"OFFER","dst":"{dst}"}}"#);
    for _ in 0..3 {
        assert_eq!(world.frame(1, &to("x")), [""; 0]);
    }
    // The EXPIRE of those that wait stands for this one too.
    assert_eq!(world.frame(1, &to("x")), [""; 0]);
    let expire = |number: u64, src: &str, dst: &str| {
        [format!(
            r#"{number} < {{"type":"EXPIRE","src":"{src}","dst":"{dst}"}}"#
        )]
    };
    assert_eq!(world.frame(1, &to("y")), expire(1, "y", "a"));
    assert_eq!(world.server.counters().dropped_waiting_sender, 2);
    assert_eq!(world.frame(2, &to("x")), [""; 0]);
    assert_eq!(world.frame(2, &to("y")), expire(2, "y", "b"));
    assert_eq!(world.server.counters().dropped_waiting, 1);
    assert_eq!(world.server.load().waiting_frames, 4);
    world.open(3, "x");
    assert_eq!(world.server.load().waiting_bytes, 0);
    // Bytes are limited too, and an id that nobody can have is not waited for.
    let big = format!(
        r#"{{"type":"OFFER","dst":"y","payload":"{}"}}"#,
        "p".repeat(200)
    );
    assert_eq!(world.frame(2, &big), expire(2, "y", "b"));
    assert_eq!(world.frame(2, &to("\u{e4}")), expire(2, "\u{e4}", "b"));
    assert_eq!(world.server.counters().dropped_target_id, 1);
    for number in 1..4 {
        world.closed(number);
    }
    assert!(world.is_flat());
}

#[test]
fn time_never_runs_backwards() {
    let mut world = World::new();
    world.open(1, "a");
    let start = world.now;
    world.frame(1, r#"{"type":"OFFER","dst":"x"}"#);
    world.after(4_000);
    let next = world.server.poll_timeout();
    for earlier in [Timestamp::ZERO, start] {
        world.server.handle_timeout(earlier);
        assert_eq!(world.server.poll_timeout(), next);
        assert_eq!(world.drain(), [""; 0]);
    }
    world.now = Timestamp::ZERO;
    world.frame(1, r#"{"type":"OFFER","dst":"y"}"#);
    assert_eq!(world.server.poll_timeout(), next);
    // At the end of time there is nothing left to wait for.
    world.now = Timestamp::from_nanos(u64::MAX);
    assert_eq!(world.after(0).first().unwrap(), "1 close");
    world.open(2, "b");
    assert_eq!(world.after(1), ["2 close"]);
    assert!(world.is_flat());
}

/// A random input of any kind, from few enough choices that they meet.
fn random_call(world: &mut World, rng: &mut Rng, fast: bool) {
    fn pick<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
        let count = u64::try_from(from.len()).unwrap();
        from[usize::try_from(rng.below(count)).unwrap()]
    }
    const IDS: [&str; 6] = ["a", "b", "c", "HOST", "", "\u{1}"];
    const PATHS: &[&str] = &[
        "/peerjs",
        "/peerjs",
        "/peerjs",
        "/peerjs",
        "/peerjs",
        "/a/peerjs",
        "/peerjs/id",
        "\u{0}",
    ];
    const TEXTS: [&str; 8] = [
        "",
        "null",
        "{",
        "[[[[",
        "\u{0}",
        r#"{"type":{}}"#,
        r#"{"id":"a"}"#,
        r#"{"type":"LEAVE"}"#,
    ];
    let step = rng.below(if fast { 3_000_000 } else { 3_000_000_000 });
    let connection = ConnectionId(rng.below(if fast { 10 } else { 40 }));
    let peer = IpAddr::from([10, 0, 0, u8::try_from(rng.below(3)).unwrap()]);
    // Mostly forward, sometimes far, sometimes back.
    world.now = match rng.below(20) {
        0 => Timestamp::from_nanos(world.now.as_nanos().saturating_sub(step)),
        1 => world.now.plus(Duration::from_nanos(step) * 20),
        _ => world.now.plus(Duration::from_nanos(step / 100)),
    };
    let (id, token) = (pick(rng, &IDS), pick(rng, &["t", "u", ""]));
    match rng.below(16) {
        0 => world.server.handle_timeout(world.now),
        1 => world
            .server
            .handle_input(world.now, ServerInput::Closed { connection }),
        2 => world
            .server
            .handle_input(world.now, ServerInput::Accepted { connection, peer }),
        3 if rng.below(10) == 0 => world.server.register_host(world.now),
        4 => {
            let text = format!(r#"{{"type":"ANSWER","dst":"{id}"}}"#);
            world.server.host_sends(world.now, &text);
        }
        5..8 => {
            let path = pick(rng, PATHS);
            let key = pick(rng, &["peerjs", "peerjs", "peerjs", "", "%f"]);
            let input = ServerInput::Request {
                connection,
                peer,
                method: pick(
                    rng,
                    &["GET", "GET", "GET", "GET", "GET", "GET", "GET", "POST"],
                ),
                target: &format!("{path}?id={id}&key={key}&token={token}"),
                upgrade: rng.below(8) != 0,
            };
            world.server.handle_input(world.now, input);
        }
        8 => {
            let mut text = String::from(pick(rng, &TEXTS));
            if rng.below(10) == 0 {
                text = "x".repeat(3_000);
            }
            let input = ServerInput::Frame {
                connection,
                text: &text,
            };
            world.server.handle_input(world.now, input);
        }
        _ => {
            let kind = pick(
                rng,
                &["OFFER", "CANDIDATE", "LEAVE", "EXPIRE", "HEARTBEAT", "X"],
            );
            let input = ServerInput::Frame {
                connection,
                text: &format!(r#"{{"type":"{kind}","dst":"{id}","payload":"\uD800"}}"#),
            };
            world.server.handle_input(world.now, input);
        }
    }
}

#[test]
fn hostile_inputs() {
    let config = ServerConfig {
        connections: 4,
        connections_per_address: 2,
        pending: 8,
        frame: 2_000,
        frames_per_second: 5,
        frame_burst: 5,
        flood: 3,
        waiting_frames: 20,
        waiting_frames_per_sender: 8,
        ..ServerConfig::default()
    };
    let most = 4 + 8 + 20 + 3;
    let mut seen = ServerCounters::default();
    for seed in 0..40_u8 {
        let play = || {
            let mut rng = Rng::new([seed; 32]);
            let mut world = World::with(config.clone());
            let mut said = Vec::new();
            for _ in 0..1_000 {
                random_call(&mut world, &mut rng, seed % 2 == 0);
                let now = world.drain();
                assert!(now.len() <= most, "{now:?}");
                said.extend(now);
                let load = world.server.load();
                assert!(load.connections <= 12 && load.clients <= 5, "{load:?}");
                assert!(load.waiting_frames <= 20, "{load:?}");
            }
            // Nothing hangs: without further inputs it comes to rest, one deadline after another.
            let counters = world.server.counters();
            world.server.handle_timeout(world.now);
            while let Some(next) = world.server.poll_timeout() {
                world.server.handle_timeout(next);
                assert!(world.server.poll_timeout().is_none_or(|after| after > next));
                said.extend(world.drain());
            }
            assert!(world.server.connections.is_empty() && world.server.waiting.is_empty());
            assert!(world.server.load().clients <= 1, "only the host is left");
            (said, counters)
        };
        let (said, counters) = play();
        assert_eq!(play().0, said, "the same seed, the same outputs");
        seen.registered += counters.registered;
        seen.replaced += counters.replaced;
        seen.refused_full += counters.refused_full;
        seen.refused_address += counters.refused_address;
        seen.refused_pending += counters.refused_pending;
        seen.closed_silent += counters.closed_silent;
        seen.closed_idle += counters.closed_idle;
        seen.closed_flood += counters.closed_flood;
        seen.closed_frame_size += counters.closed_frame_size;
        seen.dropped_rate += counters.dropped_rate;
        seen.dropped_unregistered += counters.dropped_unregistered;
        seen.dropped_waiting_sender += counters.dropped_waiting_sender;
        seen.relayed_late += counters.relayed_late;
        seen.expired += counters.expired;
    }
    // The inputs are worth something only if they get everywhere.
    for (name, count) in [
        ("registered", seen.registered),
        ("replaced", seen.replaced),
        ("full", seen.refused_full),
        ("address", seen.refused_address),
        ("pending", seen.refused_pending),
        ("silent", seen.closed_silent),
        ("idle", seen.closed_idle),
        ("size", seen.closed_frame_size),
        ("flood", seen.closed_flood),
        ("rate", seen.dropped_rate),
        ("sender", seen.dropped_waiting_sender),
        ("unregistered", seen.dropped_unregistered),
        ("late", seen.relayed_late),
        ("expired", seen.expired),
    ] {
        assert!(count > 0, "{name}: {seen:?}");
    }
}

#[test]
fn a_thousand_clients_come_and_go() {
    let mut world = World::new();
    for number in 0..1_000 {
        world.open(number, &format!("id-{number}"));
        world.frame(number, r#"{"type":"OFFER","dst":"nobody"}"#);
        world.frame(number, r#"{"type":"HEARTBEAT"}"#);
        world.closed(number);
        world.closed(number);
    }
    assert_eq!(world.server.load().connections, 0);
    world.after(5_000);
    assert!(world.is_flat());
}
