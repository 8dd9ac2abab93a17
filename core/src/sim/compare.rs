//! Whether a scenario does the same twice, and where it first does not.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::world::World;

/// Where two runs of the same scenario part.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The number of the first entry of the trace that is not the same, from 0.
    pub entry: u64,
    /// The last entries that both had, one a line, as in [`World::timeline`].
    pub before: String,
    /// The entry in the first run: when, which node, what. Empty if there is none, or if two more
    /// runs, which were to tell, did not differ there.
    pub first: String,
    /// The entry in the second run.
    pub second: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            entry,
            before,
            first,
            second,
        } = self;
        write!(
            f,
            "two runs of the same seed differ from entry {entry} on:\n{before}first run:\n{first}\n\
             second run:\n{second}\n"
        )
    }
}

impl core::error::Error for Difference {}

/// How many entries that are the same are shown.
const BEFORE: u64 = 8;

/// Runs a scenario twice in worlds of the same seed, and says where the two first differ: at which
/// entry of the trace, when, at which node, and what happened there in each.
///
/// For tests of determinism: of a game's logic that decides what is sent as much as of this library.
/// Only what goes into and comes out of the nodes is compared. If there is a difference, the
/// scenario runs twice more, for the text.
///
/// ```
/// use core::time::Duration;
/// use wattle_core::Config;
/// use wattle_core::sim::{World, first_difference};
///
/// let mut draws = 0;
/// let difference = first_difference(7, |world: &mut World| {
///     let host = world.add_model(Config::default());
///     world.host(host);
///     draws += 1; // not from the seed: each run sends something else
///     let _ = world.broadcast(host, vec![draws]);
///     world.run_for(Duration::from_secs(1));
/// });
/// // Nobody was there to hear it.
/// assert_eq!(difference, None);
/// ```
pub fn first_difference(seed: u64, mut scenario: impl FnMut(&mut World)) -> Option<Difference> {
    let mut hashes = |wanted| {
        let mut world = World::new(seed);
        world.trace.keep_hashes();
        world.trace.keep_text(wanted);
        scenario(&mut world);
        (
            Vec::from(world.trace.hashes()),
            String::from(world.trace.text()),
        )
    };
    let entry = parting(&hashes(0..0).0, &hashes(0..0).0)?;
    let from = entry.saturating_sub(BEFORE);
    let wanted = from..entry.saturating_add(BEFORE);
    let (first, second) = (hashes(wanted.clone()), hashes(wanted));
    let again = parting(&first.0, &second.0);
    let entry = again.filter(|again| *again >= from).unwrap_or(entry);
    let line = |text: &str| -> String {
        let place = usize::try_from(entry.saturating_sub(from)).unwrap_or(usize::MAX);
        text.lines().nth(place).unwrap_or_default().into()
    };
    let (one, other) = (line(&first.1), line(&second.1));
    let same = first.1.lines().zip(second.1.lines());
    let mut before = String::new();
    for (line, _) in same.take(usize::try_from(entry.saturating_sub(from)).unwrap_or_default()) {
        before.push_str(line);
        before.push('\n');
    }
    let differs = again.is_some();
    Some(Difference {
        entry,
        before,
        first: if differs { one } else { String::new() },
        second: if differs { other } else { String::new() },
    })
}

/// The first place at which two lists differ.
fn parting(first: &[u64], second: &[u64]) -> Option<u64> {
    let same = first.iter().zip(second).take_while(|(a, b)| a == b).count();
    (same < first.len() || same < second.len()).then_some(same as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use core::time::Duration;

    #[test]
    fn the_first_difference_is_named() {
        let mut run = 0u8;
        let mut star = |honest: bool| {
            first_difference(3, |world| {
                run = run.wrapping_add(1);
                let host = world.add_model(Config::default());
                let joiner = world.add_model(Config::default());
                world.set_name(joiner, "bob");
                let code = world.host(host);
                world.join(joiner, &code);
                world.run_for(Duration::from_secs(2));
                let said = if honest { 0 } else { run };
                world.broadcast(joiner, vec![b'a' + said]).unwrap();
                world.run_for(Duration::from_secs(2));
            })
        };
        assert_eq!(star(true), None);
        let difference = star(false).unwrap();
        assert!(difference.first.contains("bob"), "{difference}");
        assert!(difference.first.contains("2.0"), "{difference}");
        assert!(difference.first.contains("Send"), "{difference}");
        assert_ne!(difference.first, difference.second);
        assert_eq!(difference.before.lines().count(), 8, "{difference}");
    }
}
