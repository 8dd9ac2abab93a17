//! What the server's answers, and its silence, mean.

use core::net::SocketAddr;
use core::time::Duration;

use super::message::{Ask, Challenge, Response};
use super::requests::Request;
use super::schedule::Schedule;
use super::{Family, MOST_HOPS, SILENCE, State, Turn, TurnEvent, TurnFailure};

/// How many challenges in a row one request takes. One or two are usual.
const MOST_ROUNDS: u8 = 4;

/// What a server means that does not say how long an allocation lasts (RFC 8656 section 3.2).
const USUAL_LIFETIME: Duration = Duration::from_secs(600);

/// However long the server keeps an allocation, so often it is refreshed.
const LONGEST_LIFETIME: Duration = Duration::from_secs(3600);

/// What is kept for less is not worth having: a lost packet or two, and it is gone.
const SHORTEST_LIFETIME: Duration = Duration::from_secs(2);

/// The rest of its life when an allocation is refreshed, if it lives for more than twice that.
const REST: Duration = Duration::from_secs(60);

impl Turn {
    /// An answer to one of our requests, or so it says.
    pub(super) fn response(&mut self, response: Response) {
        let Some(request) = self.requests.get(&response.transaction) else {
            self.drop_one();
            return;
        };
        let is_authentic = match &request.signed {
            Some((credentials, realm)) => response.is_authentic(credentials, realm),
            None => true,
        };
        let counts = match response.error {
            None => is_authentic,
            // Who says these cannot know our key, or comes before it is asked for.
            Some(300 | 400 | 401 | 420 | 438 | 441) => true,
            // There is nothing to lose yet, and not all servers sign these.
            Some(_) => is_authentic || matches!(request.ask, Ask::Allocate(_)),
        };
        if !counts || !response.answers(&request.ask) {
            self.drop_one();
            return;
        }
        let Some(request) = self.requests.take(&response.transaction) else {
            return;
        };
        self.heard = self.now;
        match response.error {
            None => self.success(request, &response),
            Some(code @ (401 | 438)) => self.challenged(request, response, code),
            Some(300) => self.redirected(request, response.alternate),
            Some(code) => self.failed(request, TurnFailure::of_code(code)),
        }
    }

    fn success(&mut self, request: Request, response: &Response) {
        match request.ask {
            Ask::Allocate(_) => self.allocated(&request, response),
            Ask::Refresh => {
                let lifetime = response.lifetime.unwrap_or(USUAL_LIFETIME);
                if lifetime < SHORTEST_LIFETIME {
                    self.end(TurnFailure::Expired);
                } else if let State::Standing { until, refresh, .. } = &mut self.state {
                    *until = request.sent.plus(lifetime);
                    *refresh = Schedule::at(request.sent.plus(before_the_end(lifetime)));
                }
            }
            Ask::Release => self.released(),
            Ask::Permit(peers) => self.permissions.granted(&peers, request.sent),
            Ask::Bind { number, .. } => self.channels.bound(number, request.sent),
        }
    }

    fn allocated(&mut self, request: &Request, response: &Response) {
        let lifetime = response.lifetime.unwrap_or(USUAL_LIFETIME);
        let relayed = response.relayed.filter(|it| is_somewhere(*it));
        let (Some(relayed), Some(mapped)) = (relayed, response.mapped) else {
            self.end(TurnFailure::Protocol);
            return;
        };
        if Family::of(relayed.ip()) != self.family {
            self.end(TurnFailure::AddressFamily);
            return;
        }
        if lifetime < SHORTEST_LIFETIME {
            self.end(TurnFailure::Expired);
            return;
        }
        self.state = State::Standing {
            relayed,
            until: request.sent.plus(lifetime),
            refresh: Schedule::at(request.sent.plus(before_the_end(lifetime))),
        };
        self.events.push_back(TurnEvent::Allocated {
            relayed,
            mapped,
            lifetime,
        });
    }

    /// The server wants the request signed, or signed with another nonce.
    fn challenged(&mut self, request: Request, response: Response, code: u16) {
        let ours = self.challenge.as_ref().map(|it| it.realm.clone());
        let realm = response.realm.or_else(|| ours.filter(|_| code == 438));
        let (Some(realm), Some(nonce)) = (realm, response.nonce) else {
            self.failed(request, TurnFailure::Protocol);
            return;
        };
        // RFC 8489 section 9.2.5: the same once more would be refused once more.
        let is_refused = code == 401
            && request
                .signed
                .as_ref()
                .is_some_and(|(signer, known)| *signer == self.credentials && *known == realm);
        self.challenge = Some(Challenge { realm, nonce });
        if is_refused {
            self.refused(request);
        } else if request.round >= MOST_ROUNDS {
            self.failed(request, TurnFailure::StaleNonce);
        } else {
            self.ask(request.ask, request.round + 1);
        }
    }

    /// The server refuses our credentials.
    fn refused(&mut self, request: Request) {
        if !matches!(self.state, State::Standing { .. }) {
            self.failed(request, TurnFailure::Unauthorized);
            return;
        }
        if let Some(spare) = self.spare.take() {
            self.credentials = spare;
            self.ask(request.ask, request.round.saturating_add(1));
            return;
        }
        if !core::mem::replace(&mut self.refused, true) {
            self.events.push_back(TurnEvent::CredentialsRefused);
        }
        self.postpone(request.ask);
    }

    fn redirected(&mut self, request: Request, alternate: Option<SocketAddr>) {
        if !matches!(request.ask, Ask::Allocate(_)) {
            self.failed(request, TurnFailure::Protocol);
            return;
        }
        let fits = |to: &SocketAddr| {
            *to != self.server
                && is_somewhere(*to)
                && to.is_ipv4() == self.server.is_ipv4()
                && (!to.ip().is_loopback() || self.server.ip().is_loopback())
        };
        match alternate.filter(fits) {
            Some(to) if self.hops < MOST_HOPS => self.over(TurnEvent::Redirected { to }),
            Some(_) | None => self.end(TurnFailure::Redirects),
        }
    }

    /// The server says no.
    fn failed(&mut self, request: Request, failure: TurnFailure) {
        match (&request.ask, failure) {
            (Ask::Allocate(_), TurnFailure::Mismatch) => self.occupied(),
            (Ask::Allocate(_), failure) => self.end(failure),
            (Ask::Release, _) => self.released(),
            (_, TurnFailure::Mismatch) => self.end(TurnFailure::Forgotten),
            // What stands there is another name's: ours is of no use to it, or gone. Only a new
            // allocation is for our name.
            (_, TurnFailure::Unauthorized) => self.end(TurnFailure::Unauthorized),
            // What may pass.
            (
                _,
                TurnFailure::StaleNonce | TurnFailure::Protocol | TurnFailure::Server(500..=599),
            ) => {
                self.postpone(request.ask);
            }
            (Ask::Refresh, _) => self.postpone(request.ask),
            (Ask::Permit(peers), failure) => {
                if let Some(peer) = self.permissions.refused(peers, self.now) {
                    self.events.push_back(TurnEvent::Denied { peer, failure });
                }
            }
            (Ask::Bind { number, .. }, _) => self.channels.refused(*number),
        }
    }

    /// Nobody has answered.
    pub(super) fn silence(&mut self, request: Request) {
        match request.ask {
            Ask::Allocate(_) => self.end(TurnFailure::Unreachable),
            Ask::Release => self.released(),
            Ask::Refresh | Ask::Permit(_) | Ask::Bind { .. }
                if request.sent.since(self.heard) >= SILENCE =>
            {
                self.end(TurnFailure::Unreachable);
            }
            ask @ (Ask::Refresh | Ask::Permit(_) | Ask::Bind { .. }) => self.postpone(ask),
        }
    }

    /// Our address and port at this server are taken.
    fn occupied(&mut self) {
        // Commonly by one of ours from before: then it is given back first. But where another server has sent
        // us, there may be one that we use.
        if self.hops == 0 {
            self.ask(Ask::Release, 0);
        } else {
            self.elsewhere();
        }
    }

    /// An allocation is given back, as far as we can do that: ours, or the one in its way.
    fn released(&mut self) {
        if matches!(self.state, State::Allocating) {
            self.elsewhere();
        } else {
            self.over(TurnEvent::Released);
        }
    }

    /// Another port has to be tried.
    fn elsewhere(&mut self) {
        if self.hops < MOST_HOPS {
            self.over(TurnEvent::Occupied);
        } else {
            self.end(TurnFailure::Mismatch);
        }
    }

    /// Later again.
    fn postpone(&mut self, ask: Ask) {
        match ask {
            Ask::Refresh => {
                if let State::Standing { refresh, .. } = &mut self.state {
                    refresh.postpone(self.now);
                }
            }
            Ask::Permit(peers) => self.permissions.postpone(&peers, self.now),
            Ask::Bind { number, .. } => self.channels.postpone(number, self.now),
            Ask::Allocate(_) | Ask::Release => {}
        }
    }
}

/// When something that lives for so long is refreshed.
fn before_the_end(lifetime: Duration) -> Duration {
    let lifetime = lifetime.min(LONGEST_LIFETIME);
    if lifetime > REST * 2 {
        lifetime.saturating_sub(REST)
    } else {
        lifetime / 2
    }
}

/// Whether anything can be sent there at all.
fn is_somewhere(address: SocketAddr) -> bool {
    let ip = address.ip();
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast()
}
