//! The options of `Network.host` and `Network.join`, as `js/wattle.d.ts` has them.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use wattle_core::{Config, IcePolicy, IceServer, Topology};

/// What can be set. Names that are not known are mistakes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Options<'a> {
    signaling_url: Option<String>,
    max_nodes: Option<u8>,
    topology: Option<String>,
    auto_relay: Option<bool>,
    verbose: Option<bool>,
    #[serde(borrow)]
    ice_servers: Option<Vec<&'a RawValue>>,
    ice_transport_policy: Option<String>,
    max_message: Option<u32>,
    timeouts: Option<Timeouts>,
}

/// Milliseconds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Timeouts {
    signaling: Option<u32>,
    ice: Option<u32>,
    datachannel: Option<u32>,
    connect: Option<u32>,
    suspect_after: Option<u32>,
    lost_after: Option<u32>,
    grace: Option<u32>,
    too_slow: Option<u32>,
    leave: Option<u32>,
}

/// Reads the JSON of the options; the error says what is wrong with it.
pub(super) fn read(json: &str) -> Result<Config, String> {
    let options: Options<'_> = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let mut config = Config::default();
    if let Some(url) = options.signaling_url {
        config = config.with_signaling_url(&url).map_err(text)?;
    }
    if let Some(max_nodes) = options.max_nodes {
        config = config.with_max_nodes(max_nodes).map_err(text)?;
    }
    config = match options.topology.as_deref() {
        None | Some("star") => config.with_topology(Topology::Star),
        Some("mesh") => config.with_topology(Topology::Mesh),
        Some(_) => return Err("topology: \"star\" or \"mesh\"".to_owned()),
    };
    config = match options.ice_transport_policy.as_deref() {
        None | Some("all") => config.with_ice_policy(IcePolicy::All),
        Some("relay") => config.with_ice_policy(IcePolicy::RelayOnly),
        Some(_) => return Err("iceTransportPolicy: \"all\" or \"relay\"".to_owned()),
    };
    if let Some(auto_relay) = options.auto_relay {
        config = config.with_auto_relay(auto_relay);
    }
    if let Some(servers) = options.ice_servers {
        config = config.with_ice_servers(ice_servers(&servers)?);
    }
    if let Some(message) = options.max_message {
        let mut limits = *config.limits();
        limits.message = message;
        // Room for two, so that one can be on its way while the other is read.
        limits.window = limits.window.max(message.saturating_mul(2).max(64));
        config = config.with_limits(limits).map_err(text)?;
    }
    if let Some(given) = options.timeouts {
        let mut timeouts = *config.timeouts();
        for (place, given) in [
            (&mut timeouts.signaling, given.signaling),
            (&mut timeouts.ice, given.ice),
            (&mut timeouts.datachannel, given.datachannel),
            (&mut timeouts.connect, given.connect),
            (&mut timeouts.suspect_after, given.suspect_after),
            (&mut timeouts.lost_after, given.lost_after),
            (&mut timeouts.grace, given.grace),
            (&mut timeouts.too_slow, given.too_slow),
            (&mut timeouts.leave, given.leave),
        ] {
            if let Some(milliseconds) = given {
                *place = Duration::from_millis(u64::from(milliseconds));
            }
        }
        config = config.with_timeouts(timeouts).map_err(text)?;
    }
    Ok(config.with_verbose(options.verbose.unwrap_or(false)))
}

/// Reads a list of `RTCIceServer`s.
pub(super) fn read_ice_servers(json: &str) -> Result<Vec<IceServer>, String> {
    let servers: Vec<&RawValue> = serde_json::from_str(json).map_err(|error| error.to_string())?;
    ice_servers(&servers)
}

fn ice_servers(servers: &[&RawValue]) -> Result<Vec<IceServer>, String> {
    servers
        .iter()
        .map(|server| {
            server
                .get()
                .parse()
                .map_err(|error| format!("iceServers: {error}"))
        })
        .collect()
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let config = read(
            r#"{"signalingUrl":"ws://127.0.0.1:9/peerjs","iceServers":[{"urls":["stun:a.example"]}],
                "topology":"mesh","maxMessage":1000000,"timeouts":{"lostAfter":4000}}"#,
        )
        .unwrap();
        assert_eq!(config.ice_servers().len(), 1);
        assert_eq!(config.timeouts().lost_after, Duration::from_secs(4));
        assert_eq!(config.limits().message, 1_000_000);
        assert!(read("{}").is_ok());
    }

    #[test]
    fn mistakes_have_words() {
        for (json, word) in [
            (r#"{"maxNode":3}"#, "maxNode"),
            (r#"{"maxNodes":1}"#, "2 to 64"),
            (r#"{"topology":"ring"}"#, "mesh"),
            (r#"{"iceServers":[{"urls":"http:x"}]}"#, "iceServers"),
            (r#"{"signalingUrl":"x"}"#, "signaling URL"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains(word), "{json}: {error}");
        }
    }
}
