//! What browsers do to those who use their connections.

use core::time::Duration;

use super::draw::{self, Draw, Kind};
use super::model_link::{EndIndex, ModelUpdate, Stale};
use super::world::World;
use crate::io::{Channel, LinkFailure};

/// How model links behave towards their nodes, beyond what paths do to packets.
///
/// All chances are in a thousand, and zero by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by tests, with `..Default::default()`"
)]
pub struct Quirks {
    /// How often a completion (a description, a candidate, connected, a channel opened, what left a
    /// buffer) comes late.
    pub late_per_mille: u16,
    /// Up to how late it comes then. Default one second.
    pub late: Duration,
    /// How often a completion comes once more, up to [`late`](Self::late) after the first.
    pub repeated_per_mille: u16,
    /// How often there is news of a link that was closed.
    pub stale_per_mille: u16,
    /// How often the other end of a link is never told that it was closed.
    pub close_unnoticed_per_mille: u16,
    /// How often it is told late: up to ten times [`late`](Self::late).
    pub close_late_per_mille: u16,
    /// How often a link that has connected is said to be disconnected, and connected again, within
    /// its first minute and without any reason.
    pub flicker_per_mille: u16,
    /// How often the platform fails to make a link at all.
    pub fail_per_mille: u16,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            late_per_mille: 0,
            late: Duration::from_secs(1),
            repeated_per_mille: 0,
            stale_per_mille: 0,
            close_unnoticed_per_mille: 0,
            close_late_per_mille: 0,
            flicker_per_mille: 0,
            fail_per_mille: 0,
        }
    }
}

impl Quirks {
    const NONE: Self = Self {
        late_per_mille: 0,
        late: Duration::from_secs(1),
        repeated_per_mille: 0,
        stale_per_mille: 0,
        close_unnoticed_per_mille: 0,
        close_late_per_mille: 0,
        flicker_per_mille: 0,
        fail_per_mille: 0,
    };

    fn is_none(&self) -> bool {
        *self == Self::NONE
    }
}

impl World {
    /// What is drawn for the next quirk of an end: of its node, its life, its link and its number.
    fn quirk(&mut self, end: EndIndex) -> Option<Draw> {
        if self.quirks.is_none() {
            return None;
        }
        let (node, life, link) = self.links.link(end)?;
        let node = (node as u64) << 32 | life;
        let key = draw::key(self.seed, Kind::Link, node, link.as_u64());
        Some(Draw::of(key, self.links.next_draw(end)))
    }

    /// A completion: comes after a while, or later.
    pub(super) fn complete(&mut self, end: EndIndex, after: Duration, update: ModelUpdate) {
        let mut late = Duration::ZERO;
        if let Some(draw) = self.quirk(end)
            && draw.chance(0, self.quirks.late_per_mille)
        {
            late = draw.up_to(1, self.quirks.late);
        }
        self.update_later(end, after + late, update);
    }

    /// A completion was told: perhaps it is once more.
    pub(super) fn maybe_again(&mut self, end: EndIndex, stale: Stale) {
        if let Some(draw) = self.quirk(end)
            && draw.chance(0, self.quirks.repeated_per_mille)
        {
            let after = draw.up_to(1, self.quirks.late);
            self.update_later(end, after, ModelUpdate::Stale(stale));
        }
    }

    /// A link was closed: perhaps its browser has not noticed.
    pub(super) fn tell_after_close(&mut self, end: EndIndex) {
        for stale in [
            Stale::Description,
            Stale::Candidate,
            Stale::Connected,
            Stale::Opened(Channel::Data),
            Stale::Message(Channel::State),
            Stale::Message(Channel::Data),
            Stale::Buffered(Channel::Data, 0),
            Stale::Disconnected,
            Stale::Failed(LinkFailure::Ice),
            Stale::Closed,
        ] {
            if let Some(draw) = self.quirk(end)
                && draw.chance(0, self.quirks.stale_per_mille)
            {
                let after = draw.up_to(1, self.quirks.late);
                self.update_later(end, after, ModelUpdate::Stale(stale));
            }
        }
    }

    /// How much later the other end notices that this one was closed; `None`: never.
    pub(super) fn close_is_noticed(&mut self, end: EndIndex) -> Option<Duration> {
        let Some(draw) = self.quirk(end) else {
            return Some(Duration::ZERO);
        };
        if draw.chance(0, self.quirks.close_unnoticed_per_mille) {
            return None;
        }
        let late = draw.chance(1, self.quirks.close_late_per_mille);
        Some(if late {
            draw.up_to(2, self.quirks.late * 10)
        } else {
            Duration::ZERO
        })
    }

    /// A link has connected.
    pub(super) fn flicker(&mut self, end: EndIndex) {
        if let Some(draw) = self.quirk(end)
            && draw.chance(0, self.quirks.flicker_per_mille)
        {
            let after = draw.up_to(1, Duration::from_secs(60));
            let back = after + draw.up_to(2, Duration::from_secs(10));
            self.update_later(end, after, ModelUpdate::Stale(Stale::Disconnected));
            self.update_later(end, back, ModelUpdate::Stale(Stale::Connected));
        }
    }

    /// A link is to be made.
    pub(super) fn fail_at_random(&mut self, end: EndIndex) {
        if let Some(draw) = self.quirk(end)
            && draw.chance(0, self.quirks.fail_per_mille)
        {
            let after = draw.up_to(1, self.quirks.late);
            let failed = Stale::Failed(LinkFailure::Platform);
            self.update_later(end, after, ModelUpdate::Stale(failed));
        }
    }
}
