//! Candidates of browsers that hide their address behind a name, `<uuid>.local`
//! (draft-ietf-mmusic-mdns-ice-candidates): whoever is on the same LAN can look it up.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::id::LinkId;

/// A browser has one name per address of its own. More than so many at a time are not looked up
/// for one link: the remote could make up any number.
const NAMES: usize = 8;

/// A name stands for one address, or one of each family.
const ADDRESSES: usize = 4;

/// Candidates whose names are being looked up.
#[derive(Debug, Default)]
pub(super) struct Hidden {
    /// For each name, who told it, and the whole candidate.
    waiting: BTreeMap<String, Vec<(LinkId, String)>>,
}

/// What is to be done with a candidate that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Look the name up.
    Resolve(String),
    /// Nothing: it is being looked up.
    Waits,
    /// It is not taken: it is one too many.
    Refused,
}

impl Hidden {
    /// Takes a candidate for which [`is_hidden`] holds.
    pub(super) fn add(&mut self, link: LinkId, candidate: &str) -> Asked {
        let Some(name) = name(candidate) else {
            return Asked::Refused;
        };
        let all = self.waiting.values().flatten();
        if all.filter(|(of, _)| *of == link).count() >= NAMES {
            return Asked::Refused;
        }
        let name = name.to_ascii_lowercase();
        let asked = self.waiting.contains_key(&name);
        let waiting = self.waiting.entry(name.clone()).or_default();
        let new = (link, candidate.to_string());
        if !waiting.contains(&new) {
            waiting.push(new);
        }
        if asked {
            Asked::Waits
        } else {
            Asked::Resolve(name)
        }
    }

    /// What a name stands for is known: the links and candidates, with addresses now.
    pub(super) fn resolved(&mut self, name: &str, addresses: &[IpAddr]) -> Vec<(LinkId, String)> {
        let waiting = self.waiting.remove(name).unwrap_or_default();
        let of = |(link, candidate): &(LinkId, String)| {
            let shown = addresses
                .iter()
                .take(ADDRESSES)
                .map(|address| (*link, shown(candidate, *address)));
            shown.collect::<Vec<_>>()
        };
        waiting.iter().flat_map(of).collect()
    }

    /// A link is no more. What is being looked up for it alone is answered into nothing.
    pub(super) fn forget(&mut self, link: LinkId) {
        self.waiting.retain(|_, waiting| {
            waiting.retain(|(of, _)| *of != link);
            !waiting.is_empty()
        });
    }
}

/// Whether a candidate has a name that a browser has made up in the place of its address. Whoever
/// sends us candidates does not get to ask our LAN about printers.
pub(super) fn is_hidden(candidate: &str) -> bool {
    name(candidate).is_some_and(is_browsers)
}

/// The fifth word (RFC 8839 section 5.1): foundation, component, transport, priority, address.
fn name(candidate: &str) -> Option<&str> {
    candidate.split_ascii_whitespace().nth(4)
}

fn is_browsers(name: &str) -> bool {
    let Some((uuid, suffix)) = name.split_at_checked(36) else {
        return false;
    };
    suffix.eq_ignore_ascii_case(".local")
        && uuid.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// The candidate with an address in the place of its name.
fn shown(candidate: &str, address: IpAddr) -> String {
    let address = address.to_string();
    let words = candidate.split_ascii_whitespace().enumerate();
    let words = words.map(|(place, word)| if place == 4 { &address } else { word });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "d0b3ae24-5ba4-4b3c-a5ac-31a0a5b4d1f0.local";

    const fn link(number: u64) -> LinkId {
        LinkId(number)
    }

    fn candidate(name: &str) -> String {
        alloc::format!("candidate:1 1 udp 2122 {name} 5000 typ host generation 0")
    }

    fn numbered(number: usize) -> String {
        candidate(&alloc::format!("{number:08}{}", &NAME[8..]))
    }

    #[test]
    fn only_names_as_browsers_make_them() {
        for yes in [NAME, &NAME.to_uppercase()] {
            assert!(is_hidden(&candidate(yes)), "{yes}");
        }
        for no in [
            "192.0.2.1",
            "2001:db8::1",
            ".local",
            "printer.local",
            &NAME.replace(".local", ""),
            &NAME.replace("local", "example"),
            &NAME.replace(".local", ".local."),
            &NAME.replace(".local", ".x.local"),
            &NAME.replace('d', "x"),
            &NAME.replacen('-', "0", 1),
            "€€€€€€€€€€€€€€€€",
        ] {
            assert!(!is_hidden(&candidate(no)), "{no}");
        }
        for no in ["", "candidate:1 1 udp 1", NAME] {
            assert!(!is_hidden(no), "{no}");
        }
    }

    #[test]
    fn a_name_is_asked_for_once_and_each_link_gets_its_candidate() {
        let mut hidden = Hidden::default();
        let asked = hidden.add(link(1), &candidate(&NAME.to_uppercase()));
        assert_eq!(asked, Asked::Resolve(NAME.to_string()));
        assert_eq!(hidden.add(link(1), &candidate(NAME)), Asked::Waits);
        assert_eq!(hidden.add(link(2), &candidate(NAME)), Asked::Waits);
        assert_eq!(hidden.add(link(3), &candidate(NAME)), Asked::Waits);
        hidden.forget(link(3));
        let addresses = ["192.0.2.7", "2001:db8::7"].map(|ip| ip.parse().unwrap());
        let found = hidden.resolved(NAME, &addresses);
        let of = |number| {
            let of = found.iter().filter(move |(of, _)| *of == link(number));
            of.map(|(_, candidate)| candidate.as_str())
                .collect::<Vec<_>>()
        };
        assert_eq!(of(2), [candidate("192.0.2.7"), candidate("2001:db8::7")]);
        assert!(of(1).contains(&candidate("192.0.2.7").as_str()));
        assert!(of(3).is_empty());
        assert_eq!(hidden.resolved(NAME, &addresses), []);
        // Nobody has it now; later somebody may.
        let again = hidden.add(link(1), &candidate(NAME));
        assert_eq!(again, Asked::Resolve(NAME.to_string()));
        assert_eq!(hidden.resolved(NAME, &[]), []);
    }

    #[test]
    fn names_and_addresses_are_bounded() {
        let mut hidden = Hidden::default();
        for number in 0..NAMES {
            let asked = hidden.add(link(1), &numbered(number));
            assert!(matches!(asked, Asked::Resolve(_)));
        }
        assert_eq!(hidden.add(link(1), &numbered(99)), Asked::Refused);
        assert!(matches!(
            hidden.add(link(2), &numbered(99)),
            Asked::Resolve(_)
        ));
        let many = [IpAddr::from([192, 0, 2, 1]); 50];
        let name = &numbered(99).split(' ').nth(4).unwrap().to_string();
        assert_eq!(hidden.resolved(name, &many).len(), ADDRESSES);
        hidden.forget(link(1));
        assert!(matches!(
            hidden.add(link(1), &numbered(98)),
            Asked::Resolve(_)
        ));
    }
}
