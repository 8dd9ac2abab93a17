//! The options of `Network.host` and `Network.join`, as `js/wattle.d.ts` has them.

use std::time::Duration;

use js_sys::{Array, Object, Reflect};
use wasm_bindgen::{JsCast as _, JsValue};
use wattle_core::{Config, IcePolicy, IceServer, Timeouts, Topology};

/// Reads the options; the error says what is wrong with them. Names that are not known are mistakes.
pub(super) fn read(options: &JsValue) -> Result<Config, String> {
    let mut config = Config::default();
    let mut timeouts = *config.timeouts();
    let mut limits = *config.limits();
    for (name, value) in members("options", options)? {
        config = match name.as_str() {
            "signalingUrl" => config
                .with_signaling_url(&text(&name, &value)?)
                .map_err(|error| error.to_string())?,
            "maxNodes" => {
                let most = u8::try_from(number(&name, &value)?).unwrap_or(u8::MAX);
                let config = config.with_max_nodes(most);
                config.map_err(|error| error.to_string())?
            }
            "topology" => config.with_topology(match text(&name, &value)?.as_str() {
                "star" => Topology::Star,
                "mesh" => Topology::Mesh,
                _ => return Err("topology is \"star\" or \"mesh\"".to_owned()),
            }),
            "iceTransportPolicy" => config.with_ice_policy(match text(&name, &value)?.as_str() {
                "all" => IcePolicy::All,
                "relay" => IcePolicy::RelayOnly,
                _ => return Err("iceTransportPolicy is \"all\" or \"relay\"".to_owned()),
            }),
            "autoRelay" => config.with_auto_relay(flag(&name, &value)?),
            "verbose" => config.with_verbose(flag(&name, &value)?),
            "iceServers" => config.with_ice_servers(ice_servers(&value)?),
            "maxMessage" => {
                limits.message = number(&name, &value)?;
                // Room for two, so that one can be on its way while the other is read.
                let two = limits.message.saturating_mul(2).max(64);
                limits.window = limits.window.max(two);
                config
            }
            "timeouts" => {
                read_timeouts(&mut timeouts, &value)?;
                config
            }
            _ => return Err(unknown(&name)),
        };
    }
    config
        .with_timeouts(timeouts)
        .and_then(|config| config.with_limits(limits))
        .map_err(|error| error.to_string())
}

fn read_timeouts(timeouts: &mut Timeouts, given: &JsValue) -> Result<(), String> {
    for (name, value) in members("timeouts", given)? {
        let place = match name.as_str() {
            "signaling" => &mut timeouts.signaling,
            "ice" => &mut timeouts.ice,
            "datachannel" => &mut timeouts.datachannel,
            "connect" => &mut timeouts.connect,
            "suspectAfter" => &mut timeouts.suspect_after,
            "lostAfter" => &mut timeouts.lost_after,
            "grace" => &mut timeouts.grace,
            "tooSlow" => &mut timeouts.too_slow,
            "leave" => &mut timeouts.leave,
            _ => return Err(unknown(&name)),
        };
        *place = Duration::from_millis(u64::from(number(&name, &value)?));
    }
    Ok(())
}

/// Reads a list of `RTCIceServer`s.
pub(super) fn ice_servers(list: &JsValue) -> Result<Vec<IceServer>, String> {
    if !Array::is_array(list) {
        return Err("iceServers is a list".to_owned());
    }
    list.unchecked_ref::<Array>()
        .iter()
        .map(|server| ice_server(&server))
        .collect()
}

fn ice_server(server: &JsValue) -> Result<IceServer, String> {
    let (mut urls, mut username, mut credential) = (Vec::new(), None, None);
    for (name, value) in members("an ICE server", server)? {
        match name.as_str() {
            "urls" if Array::is_array(&value) => {
                for url in value.unchecked_ref::<Array>().iter() {
                    urls.push(text(&name, &url)?);
                }
            }
            "urls" => urls.push(text(&name, &value)?),
            "username" => username = Some(text(&name, &value)?),
            "credential" => credential = Some(text(&name, &value)?),
            // What some services still add: older forms of the others.
            "url" | "credentialType" => {}
            _ => return Err(unknown(&name)),
        }
    }
    let urls = urls.iter().map(|url| url.parse()).collect::<Result<_, _>>();
    let urls = urls.map_err(|error: wattle_core::IceUrlError| error.to_string())?;
    let server = match (&username, &credential) {
        (None, None) => IceServer::new(urls, None),
        (Some(username), Some(credential)) => IceServer::new(urls, Some((username, credential))),
        (Some(_), None) | (None, Some(_)) => Err(wattle_core::IceServerError::Credential),
    };
    server.map_err(|error| error.to_string())
}

/// The members of an object; those that are `undefined` are as if they were not there.
fn members(what: &str, object: &JsValue) -> Result<Vec<(String, JsValue)>, String> {
    let object = object
        .dyn_ref::<Object>()
        .ok_or_else(|| [what, ": an object is wanted"].concat())?;
    let read = |name: JsValue| {
        let value = Reflect::get(object, &name).ok()?;
        (!value.is_undefined()).then_some((name.as_string()?, value))
    };
    Ok(Object::keys(object).iter().filter_map(read).collect())
}

fn unknown(name: &str) -> String {
    ["there is no option ", name].concat()
}

fn text(name: &str, value: &JsValue) -> Result<String, String> {
    value
        .as_string()
        .ok_or_else(|| [name, ": a text is wanted"].concat())
}

fn flag(name: &str, value: &JsValue) -> Result<bool, String> {
    value
        .as_bool()
        .ok_or_else(|| [name, ": true or false is wanted"].concat())
}

fn number(name: &str, value: &JsValue) -> Result<u32, String> {
    let number = value
        .as_f64()
        .filter(|number| *number >= 0.0 && *number <= f64::from(u32::MAX) && number.fract() == 0.0);
    number
        .map(|number| number as u32)
        .ok_or_else(|| [name, ": a whole number is wanted"].concat())
}
