//! Names that the core asks about: by the system's resolver, or by multicast DNS for `.local` ones.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use smol::channel::Sender;
use smol::future::or;
use smol::lock::Semaphore;
use smol::{Executor, Task, Timer};

use crate::mdns::Mdns;

/// How long an answer may take: as long as a resolver takes that asks its first server again.
const DEADLINE: Duration = Duration::from_secs(6);

/// How many threads the system's resolver may hold: it blocks them for as long as it likes, also
/// when nobody waits any more.
const AT_ONCE: usize = 8;

/// How many names may be under way; more are answered at once, with nothing.
const UNDER_WAY: usize = 64;

/// How many addresses of a name are told.
const ADDRESSES: usize = 16;

/// What a name stands for; no addresses if there is no such name, or no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) name: String,
    pub(crate) addresses: Vec<IpAddr>,
    /// Which look-up of the name it was.
    number: u64,
}

/// The look-ups of a node. Dropping it ends them all.
#[derive(Debug)]
pub(crate) struct Names {
    executor: Arc<Executor<'static>>,
    inbox: Sender<Resolved>,
    under_way: BTreeMap<String, (u64, Task<()>)>,
    numbers: u64,
    threads: Arc<Semaphore>,
    mdns: Arc<Mdns>,
}

impl Names {
    /// `bind` is the only address of ours that may be used, if there is one.
    pub(crate) fn new(
        executor: Arc<Executor<'static>>,
        inbox: Sender<Resolved>,
        bind: Option<IpAddr>,
    ) -> Self {
        Self {
            executor,
            inbox,
            under_way: BTreeMap::new(),
            numbers: 0,
            threads: Arc::new(Semaphore::new(AT_ONCE)),
            mdns: Arc::new(Mdns::new(bind)),
        }
    }

    /// Begins to look up a name. Gives the answer if there is one at once; else it comes through
    /// the inbox. A name that is being looked up is begun anew, for the network may be another by
    /// now: one answer is for both.
    pub(crate) fn resolve(&mut self, name: String) -> Option<Resolved> {
        self.numbers = self.numbers.wrapping_add(1);
        let number = self.numbers;
        if self.under_way.len() >= UNDER_WAY && !self.under_way.contains_key(&name) {
            tracing::debug!("too many names at once");
            let addresses = Vec::new();
            return Some(Resolved {
                name,
                addresses,
                number,
            });
        }
        let look_up = look_up(
            name.clone(),
            number,
            Arc::clone(&self.threads),
            Arc::clone(&self.mdns),
            self.inbox.clone(),
        );
        let task = self.executor.spawn(look_up);
        self.under_way.insert(name, (number, task));
        None
    }

    /// Takes note of an answer. `false`: it is from before the name was asked for again.
    pub(crate) fn note(&mut self, answer: &Resolved) -> bool {
        let newest = self.under_way.get(&answer.name);
        let is_newest = newest.is_some_and(|(number, _)| *number == answer.number);
        if is_newest {
            self.under_way.remove(&answer.name);
        }
        is_newest
    }
}

async fn look_up(
    name: String,
    number: u64,
    threads: Arc<Semaphore>,
    mdns: Arc<Mdns>,
    inbox: Sender<Resolved>,
) {
    let found = if is_local(&name) {
        mdns.resolve(&name).await
    } else {
        let timed_out = async {
            Timer::after(DEADLINE).await;
            Err(io::ErrorKind::TimedOut.into())
        };
        or(by_system(name.clone(), &threads), timed_out)
            .await
            .unwrap_or_else(|error| {
                tracing::debug!(%error, "a name cannot be resolved");
                Vec::new()
            })
    };
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) && addresses.len() < ADDRESSES {
            addresses.push(address);
        }
    }
    // Fails only if the loop is gone.
    let _ = inbox
        .send(Resolved {
            name,
            addresses,
            number,
        })
        .await;
}

/// Whether a name belongs to multicast DNS (RFC 6762 section 3).
fn is_local(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.rsplit('.')
        .next()
        .is_some_and(|last| last.eq_ignore_ascii_case("local"))
}

async fn by_system(name: String, threads: &Arc<Semaphore>) -> io::Result<Vec<IpAddr>> {
    let place = threads.acquire_arc().await;
    smol::unblock(move || {
        // Given back when the resolver returns, also if nobody waits for it any more.
        let _place = place;
        let found = (name.as_str(), 0).to_socket_addrs()?;
        Ok(found.map(|address: SocketAddr| address.ip()).collect())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn answer_of(name: &str) -> (Vec<IpAddr>, Duration) {
        let executor = Arc::new(Executor::new());
        let (sender, inbox) = smol::channel::bounded(4);
        let mut names = Names::new(Arc::clone(&executor), sender, None);
        let begun = Instant::now();
        assert_eq!(names.resolve(name.to_owned()), None);
        let answer = smol::block_on(executor.run(inbox.recv())).unwrap();
        assert_eq!(answer.name, name);
        (answer.addresses, begun.elapsed())
    }

    #[test]
    fn both_families_of_this_machine_are_found_once_each() {
        let (addresses, _) = answer_of("localhost");
        assert!(addresses.contains(&IpAddr::from([127, 0, 0, 1])));
        assert!(addresses.iter().all(IpAddr::is_loopback));
        let v4 = addresses.iter().filter(|address| address.is_ipv4());
        assert_eq!(v4.count(), 1);
    }

    #[test]
    fn a_name_that_cannot_be_is_answered_with_nothing() {
        // A label has at most 63 characters: no server is asked about this one.
        let (addresses, _) = answer_of(&"x".repeat(70));
        assert!(addresses.is_empty());
    }

    #[test]
    fn a_name_is_under_way_once_and_names_are_bounded() {
        let executor = Arc::new(Executor::new());
        let (sender, inbox) = smol::channel::bounded(1000);
        let mut names = Names::new(Arc::clone(&executor), sender, None);
        let name = |n: usize| format!("{}{n}", "x".repeat(70));
        for n in 0..UNDER_WAY {
            assert_eq!(names.resolve(name(n)), None);
            assert_eq!(names.resolve(name(n)), None);
        }
        let refused = names.resolve(name(UNDER_WAY)).unwrap();
        assert_eq!((refused.name, refused.addresses), (name(UNDER_WAY), vec![]));
        smol::block_on(executor.run(async {
            for _ in 0..UNDER_WAY {
                let answer = inbox.recv().await.unwrap();
                assert!(names.note(&answer));
                assert!(!names.note(&answer));
            }
            assert!(inbox.is_empty());
        }));
        assert_eq!(names.resolve(name(0)), None);
    }

    #[test]
    fn an_answer_from_before_a_name_was_asked_for_again_does_not_count() {
        let executor = Arc::new(Executor::new());
        let (sender, inbox) = smol::channel::bounded(4);
        let mut names = Names::new(Arc::clone(&executor), sender, None);
        let name = "x".repeat(70);
        smol::block_on(executor.run(async {
            names.resolve(name.clone());
            let early = inbox.recv().await.unwrap();
            names.resolve(name.clone());
            assert!(!names.note(&early));
            let answer = inbox.recv().await.unwrap();
            assert!(names.note(&answer));
        }));
    }

    #[test]
    fn what_is_local() {
        for yes in ["a.local", "A.LOCAL", "a.b.local.", "local"] {
            assert!(is_local(yes), "{yes}");
        }
        for no in ["a.localx", "local.example", "localhost", ""] {
            assert!(!is_local(no), "{no}");
        }
    }
}
