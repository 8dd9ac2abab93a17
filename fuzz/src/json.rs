//! The JSON dialect: what a Clayground node or a PeerJS page says, as a joiner and as a host.

use bytes::Bytes;
use std::time::Duration;

use wattle_core::{Channel, LinkFailure, LinkId, LinkUpdate, fuzzing};

use crate::network::{CODE, Stage};
use crate::source::Source;

/// Words of nodes of the dialect, one to a line, to a `Network` that hosts or joins them.
///
/// The first line is the settings and who we are. A line that begins with `@` is no word: `@0` to `@5`
/// choose who speaks, and on which channel; `@offer NAME LABEL` is one more that wants to join;
/// `@wait MILLISECONDS` lets time pass; `@say` and `@show` have the application send the rest of the line;
/// `@full`, `@open`, `@break` and `@close` are news of the link.
pub fn json(data: &[u8]) {
    let mut source = Source::new(data);
    let mut stage = Stage::set(&mut source);
    let text = String::from_utf8_lossy(source.rest()).into_owned();
    if stage.watched.network.code().is_none() || text.len() % 3 == 0 {
        stage.watched.finish();
        stage.offering();
        let connection = &stage.heard.connection;
        let browser = if text.len() % 2 == 0 {
            r#","browser":"libdatachannel""#
        } else {
            ""
        };
        let answer = format!(
            r#"{{"type":"ANSWER","src":"{CODE}","payload":{{"sdp":{{"type":"answer","sdp":"v=0"}},"type":"data","connectionId":"{connection}"{browser}}}}}"#
        );
        stage.frame(&answer);
    }
    let mut speaker = 0;
    for line in text.split('\n').take(200) {
        comes_back(line);
        match line.strip_prefix('@') {
            Some(what) => order(&mut stage, what, &mut speaker),
            None => {
                let payload = Bytes::copy_from_slice(line.as_bytes());
                tell(&mut stage, speaker, |channel| LinkUpdate::Message { channel, payload });
            }
        }
        assert!(stage.watched.links().count() <= 64, "links without end");
        assert!(stage.watched.network.nodes().count() <= 64);
    }
    stage.watched.finish();
}

/// What is read can be written, and is the same when it is read again.
fn comes_back(line: &str) {
    if let Some((read, Some(written))) = fuzzing::rewrite_json(line.as_bytes()) {
        let again = fuzzing::rewrite_json(&written).expect("what we write can be read");
        assert_eq!(read, again.0);
    }
}

fn speaks(stage: &Stage, speaker: usize) -> Option<(LinkId, Channel)> {
    let link = stage.watched.links().nth(speaker / 2)?;
    Some((link, Channel::ALL[speaker % 2]))
}

fn tell<'a>(stage: &mut Stage, speaker: usize, update: impl FnOnce(Channel) -> LinkUpdate<'a>) {
    if let Some((link, channel)) = speaks(stage, speaker) {
        stage.link(link, update(channel));
    }
}

fn order(stage: &mut Stage, what: &str, speaker: &mut usize) {
    let (name, rest) = what.split_once(' ').unwrap_or((what, ""));
    let now = stage.now;
    match name {
        "offer" => {
            let (peer, label) = rest.split_once(' ').unwrap_or((rest, "data"));
            let offer = serde_json::json!({
                "type": "OFFER",
                "src": peer,
                "payload": {
                    "sdp": { "type": "offer", "sdp": "v=0" },
                    "type": "data",
                    "connectionId": format!("dc_{label}"),
                    "label": label,
                    "serialization": "json",
                },
            });
            stage.frame(&offer.to_string());
        }
        "wait" => {
            let millis: u16 = rest.trim().parse().unwrap_or(100);
            let end = now.plus(Duration::from_millis(millis.into()));
            for _ in 0..1_000 {
                let next = stage.watched.network.poll_timeout();
                let Some(at) = next.filter(|at| *at <= end) else {
                    break;
                };
                stage.now = stage.now.max(at);
                let _ = stage.watched.wake(stage.now);
            }
            stage.now = end;
        }
        "say" => {
            let payload = Bytes::copy_from_slice(rest.as_bytes());
            let _ = stage.watched.network.broadcast(now, payload);
            stage.drain();
        }
        "show" => {
            let payload = Bytes::copy_from_slice(rest.as_bytes());
            let _ = stage.watched.network.broadcast_state(now, payload);
            stage.drain();
        }
        "full" => {
            let bytes = rest.trim().parse().unwrap_or(0);
            tell(stage, *speaker, |channel| LinkUpdate::BufferedAmount { channel, bytes });
        }
        "open" => {
            tell(stage, *speaker, |_| LinkUpdate::LocalDescription("a description"));
            tell(stage, *speaker, |_| LinkUpdate::Connected);
            tell(stage, *speaker, LinkUpdate::ChannelOpened);
        }
        "break" => tell(stage, *speaker, |_| LinkUpdate::Failed(LinkFailure::Ice)),
        "close" => tell(stage, *speaker, |_| LinkUpdate::Closed),
        number => *speaker = number.parse().unwrap_or(0) % 6,
    }
}
