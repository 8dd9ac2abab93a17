//! STUN and TURN servers in the browser's own form.

use js_sys::{Array, JsString};
use wattle_core::{IcePolicy, IceServer};
use web_sys::{RtcConfiguration, RtcIceServer, RtcIceTransportPolicy};

/// The configuration of a connection.
pub(crate) fn configuration(servers: &[IceServer], policy: IcePolicy) -> RtcConfiguration {
    let list = Array::new();
    for server in servers {
        let entry = RtcIceServer::new();
        let urls: Array = server
            .urls()
            .iter()
            .map(|url| JsString::from(url.to_string()))
            .collect();
        entry.set_urls(&urls);
        if let (Some(username), Some(credential)) = (server.username(), server.credential()) {
            entry.set_username(username);
            entry.set_credential(credential);
        }
        list.push(&entry);
    }
    let configuration = RtcConfiguration::new();
    configuration.set_ice_servers(&list);
    configuration.set_ice_transport_policy(match policy {
        IcePolicy::RelayOnly => RtcIceTransportPolicy::Relay,
        _ => RtcIceTransportPolicy::All,
    });
    configuration
}
