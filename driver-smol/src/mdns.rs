//! Multicast DNS (RFC 6762): mostly for the names under which browsers hide the addresses of their
//! host candidates (draft-ietf-mmusic-mdns-ice-candidates).

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use mdns_sd::{HostnameResolutionEvent, IfKind, ServiceDaemon};
use smol::Timer;
use smol::future::or;

/// How long an answer may take. On a LAN it takes a few milliseconds, and a second or two on a busy machine; a question
/// that got lost is asked again after one second and after three.
const DEADLINE: Duration = Duration::from_secs(4);

/// Looks up names on all interfaces, or on that of one address.
#[derive(Debug)]
pub(crate) struct Mdns {
    bind: Option<IpAddr>,
    /// There is one while names are looked up: nothing listens on port 5353 at other times.
    daemon: Mutex<Weak<Daemon>>,
}

/// A thread of its own; it ends when it is dropped.
struct Daemon(ServiceDaemon);

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Daemon")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Refused only if its queue is full or it has ended.
        let _ = self.0.shutdown();
    }
}

impl Mdns {
    pub(crate) const fn new(bind: Option<IpAddr>) -> Self {
        Self {
            bind,
            daemon: Mutex::new(Weak::new()),
        }
    }

    /// The addresses of a name that ends in `.local`; none if nobody answers.
    pub(crate) async fn resolve(&self, name: &str) -> Vec<IpAddr> {
        let found = self.ask(name).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "multicast DNS does not work here");
            None
        });
        if found.is_none() {
            tracing::debug!("nobody answers to a .local name");
        }
        found.unwrap_or_default()
    }

    async fn ask(&self, name: &str) -> mdns_sd::Result<Option<Vec<IpAddr>>> {
        let name = format!("{}.", name.trim_end_matches('.'));
        let daemon = self.daemon()?;
        let millis = u64::try_from(DEADLINE.as_millis()).unwrap_or(u64::MAX);
        let events = daemon.0.resolve_hostname(&name, Some(millis))?;
        let answer = async {
            loop {
                match events.recv_async().await {
                    Ok(HostnameResolutionEvent::AddressesFound(_, found)) => {
                        let mut addresses: Vec<IpAddr> =
                            found.iter().map(mdns_sd::ScopedIp::to_ip_addr).collect();
                        addresses.sort_unstable();
                        return Some(addresses);
                    }
                    Ok(
                        HostnameResolutionEvent::SearchTimeout(_)
                        | HostnameResolutionEvent::SearchStopped(_),
                    )
                    | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        };
        // The daemon has the same deadline; this is for one that does not run.
        let timed_out = async {
            Timer::after(DEADLINE.saturating_mul(2)).await;
            None
        };
        let found = or(answer, timed_out).await;
        let _ = daemon.0.stop_resolve_hostname(&name);
        Ok(found)
    }

    /// The daemon that runs, or a new one.
    fn daemon(&self) -> mdns_sd::Result<Arc<Daemon>> {
        let mut known = self.daemon.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(daemon) = known.upgrade() {
            return Ok(daemon);
        }
        let daemon = Arc::new(Daemon(ServiceDaemon::new()?));
        if let Some(address) = self.bind {
            daemon.0.disable_interface(IfKind::All)?;
            daemon.0.enable_interface(IfKind::Addr(address))?;
        }
        *known = Arc::downgrade(&daemon);
        Ok(daemon)
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
#[path = "tests/mdns.rs"]
mod tests;
