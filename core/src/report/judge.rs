//! From facts to a verdict. What the facts do not show is not claimed.

use core::time::Duration;

use super::{CandidateCounts, CandidateReport, LinkReport, NatMapping, ServerReport, ServerResult};
use crate::error::EndReason;
use crate::event::{Phase, Refusal, Side};
use crate::io::LinkFailure;
use crate::report::Verdict;
use crate::signaling::SignalingFailure;

/// A server that was asked for so long, several times, and has not answered yet, is silent: RFC 8489
/// would have us wait for 39.5 s, which is longer than an attempt takes.
const SILENCE: Duration = Duration::from_secs(3);

/// What is known of an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    /// How it ended; `None`: connected.
    pub(crate) end: Option<EndReason>,
    /// How long it took.
    pub(crate) took: Duration,
    /// Whether the signaling server has registered us.
    pub(crate) registered: bool,
    /// Whether TCP connections out of our own network work.
    pub(crate) outside: bool,
    /// Whether nothing was heard of the other node for a while.
    pub(crate) silent: bool,
    /// What the link says.
    pub(crate) link: &'a LinkReport,
    /// Our candidates.
    pub(crate) local: &'a [CandidateReport],
    /// The other node's candidates.
    pub(crate) remote: &'a [CandidateReport],
}

/// What the facts mean.
pub(crate) fn judge(facts: &Facts<'_>) -> Verdict {
    let Some(end) = facts.end else {
        return match facts.link.selected {
            Some(pair) if pair.is_relayed() => Verdict::ConnectedByRelay,
            Some(_) | None => Verdict::Connected,
        };
    };
    match end {
        EndReason::Left => Verdict::GivenUp,
        EndReason::SignalingUnreachable(SignalingFailure::TimedOut) => Verdict::SignalingSilent,
        EndReason::SignalingUnreachable(failure) => Verdict::SignalingUnreachable(failure),
        EndReason::SignalingRefused(refusal) => Verdict::SignalingRefused(refusal),
        EndReason::CodeTaken => Verdict::SignalingRefused(crate::error::ServerRefusal::IdTaken),
        EndReason::CodeNotFound => Verdict::CodeNotFound,
        EndReason::ForeignHost => Verdict::ForeignHost,
        EndReason::HostClosed | EndReason::Kicked | EndReason::TooSlow => Verdict::HostClosed,
        EndReason::Refused(Refusal::NetworkFull) => Verdict::NetworkFull,
        EndReason::Refused(refusal) => Verdict::Refused(refusal),
        EndReason::Misbehaved | EndReason::HostMisbehaved => Verdict::Misbehaved,
        EndReason::HostLost => Verdict::PeerSilent,
        EndReason::HostLinkFailed(failure) | EndReason::LinkFailed(failure) => match failure {
            LinkFailure::FingerprintMismatch => Verdict::FingerprintMismatch,
            LinkFailure::Ice => no_path(facts),
            LinkFailure::Dtls if facts.silent => Verdict::PeerSilent,
            LinkFailure::Description
            | LinkFailure::Dtls
            | LinkFailure::Channel
            | LinkFailure::Platform => Verdict::LinkFailed(failure),
        },
        EndReason::TimedOut(Phase::Signaling) if facts.registered => Verdict::HostSilent,
        EndReason::TimedOut(Phase::Signaling) => Verdict::SignalingSilent,
        EndReason::TimedOut(Phase::Ice) => no_path(facts),
        EndReason::TimedOut(Phase::Datachannel) if facts.silent => Verdict::PeerSilent,
        EndReason::TimedOut(Phase::Datachannel) => Verdict::TimedOut(Phase::Datachannel),
    }
}

/// Why ICE found no path.
fn no_path(facts: &Facts<'_>) -> Verdict {
    // More than one packet of theirs: the last one may have come just at the end.
    if facts.link.checks.received > 1 && facts.link.checks.answered == 0 {
        return Verdict::OneWay;
    }
    let [local, remote] = [facts.local, facts.remote].map(CandidateCounts::of);
    if local.relay > 0 || remote.relay > 0 {
        return if facts.remote.is_empty() {
            Verdict::NoCandidates(Side::Remote)
        } else {
            Verdict::RelayUseless
        };
    }
    if let Some(verdict) = servers(facts) {
        return verdict;
    }
    if facts.local.is_empty() {
        return Verdict::NoCandidates(Side::Local);
    }
    if facts.took < SILENCE {
        return Verdict::TimedOut(Phase::Ice);
    }
    if facts.remote.is_empty() {
        return Verdict::NoCandidates(Side::Remote);
    }
    let answered = facts.link.servers.iter().any(|one| one.result.is_reached());
    if is_confined(facts.local) && !answered {
        return Verdict::OnlyHostCandidates(Side::Local);
    }
    if is_confined(facts.remote) && !is_confined(facts.local) {
        return Verdict::OnlyHostCandidates(Side::Remote);
    }
    let dependent = |mapping| mapping == NatMapping::Dependent;
    let ours = dependent(facts.link.mapping);
    let theirs = dependent(NatMapping::of_candidates(facts.remote));
    match (ours, theirs) {
        (true, true) => Verdict::SymmetricNats,
        (true, false) => Verdict::SymmetricNat(Side::Local),
        (false, true) => Verdict::SymmetricNat(Side::Remote),
        (false, false) => Verdict::NoDirectPath,
    }
}

/// Whether there is nothing but addresses that mean nothing outside their own network.
fn is_confined(candidates: &[CandidateReport]) -> bool {
    let counts = CandidateCounts::of(candidates);
    counts.server_reflexive == 0
        && counts.peer_reflexive == 0
        && counts.relay == 0
        && !candidates.iter().any(CandidateReport::is_public)
}

/// What the STUN and TURN servers tell, if it is they who are in the way.
pub(crate) fn servers(facts: &Facts<'_>) -> Option<Verdict> {
    let all = &facts.link.servers;
    let result = |one: &ServerReport| {
        if one.result == ServerResult::Pending && facts.took >= SILENCE {
            ServerResult::Silent
        } else {
            one.result
        }
    };
    let unresolved = |one: &ServerReport| result(one) == ServerResult::Unresolved;
    if !all.is_empty() && all.iter().all(unresolved) {
        return Some(Verdict::ServersUnresolved);
    }
    let by_udp = || all.iter().filter(|one| one.is_udp());
    let asked = || by_udp().filter(|one| result(one) == ServerResult::Silent);
    let udp_works = by_udp().any(|one| result(one).is_reached())
        || facts.link.checks.received > 0
        || facts.link.checks.answered > 0;
    let blocked = !udp_works && is_blocked(facts, asked().map(ServerReport::host));
    let turns = || all.iter().filter(|one| one.is_turn());
    // A TURN server that has something to say about us is nearest to the point.
    let refusals = || {
        turns().filter_map(|one| match result(one) {
            ServerResult::Refused(code) => Some(code),
            ServerResult::Pending
            | ServerResult::Answered { .. }
            | ServerResult::Silent
            | ServerResult::Unresolved
            | ServerResult::StreamFailed(_) => None,
        })
    };
    if refusals().any(|code| code == 401 || code == 441) {
        return Some(Verdict::TurnCredentialsRefused);
    }
    if let Some(code) = refusals().next() {
        return Some(Verdict::TurnRefused(code));
    }
    let failed = |one: &ServerReport| {
        matches!(
            result(one),
            ServerResult::Silent | ServerResult::Unresolved | ServerResult::StreamFailed(_)
        )
    };
    let stream_failed = turns().any(|one| !one.is_udp() && failed(one));
    if blocked && !stream_failed {
        return Some(Verdict::UdpBlocked);
    }
    if turns().any(failed) {
        return Some(Verdict::TurnUnreachable);
    }
    (!udp_works && asked().next().is_some()).then_some(Verdict::StunSilent)
}

/// Whether it is UDP that does not get out, rather than one server that is down: two servers are
/// silent, and something outside is reached over TCP.
fn is_blocked<'a>(facts: &Facts<'_>, mut silent: impl Iterator<Item = &'a str>) -> bool {
    let Some(first) = silent.next() else {
        return false;
    };
    let streams = facts.link.servers.iter().filter(|one| !one.is_udp());
    let mut reached = streams.filter(|one| one.result.is_reached());
    if reached.any(|one| one.host() == first) {
        return true;
    }
    (facts.outside || reached.next().is_some()) && silent.any(|host| host != first)
}
