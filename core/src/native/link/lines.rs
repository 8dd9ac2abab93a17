//! The two channels of a link: what waits, what is inside str0m, and what was said of it.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::{Rtc, RtcError};

use super::outbox::Update;
use crate::config::Limits;
use crate::event::Side;
use crate::io::{Channel, ChannelMessage};

/// Both channels.
#[derive(Debug)]
pub(super) struct Lines {
    lines: [Line; 2],
    limit: usize,
    /// Whether the channels are made in-band, and by whom: none of them has to be there then.
    in_band: Option<Side>,
    /// Where the parts of a message come together for str0m.
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Line {
    channel: Channel,
    id: Option<ChannelId>,
    open: bool,
    reported: bool,
    /// What str0m does not take yet.
    waiting: VecDeque<ChannelMessage>,
    /// Something was given to it and has not all gone.
    busy: bool,
    /// The most that was buffered since the last report.
    peak: usize,
}

impl Lines {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            lines: Channel::ALL.map(|channel| Line {
                channel,
                id: None,
                open: false,
                reported: false,
                waiting: VecDeque::new(),
                busy: false,
                peak: 0,
            }),
            limit: Self::inside_limit(limits),
            in_band: None,
            scratch: Vec::new(),
        }
    }

    /// How much str0m may hold: what the network lets itself have there, and as much again for the
    /// message that crosses that line. More only costs time (trap 10); a message that is larger
    /// would be refused for ever (trap 9).
    pub(super) fn inside_limit(limits: &Limits) -> usize {
        (limits.channel_buffer as usize).saturating_mul(2)
    }

    /// Has both channels made.
    pub(super) fn create(&mut self, mut create: impl FnMut(ChannelConfig) -> ChannelId) {
        for line in &mut self.lines {
            line.id = Some(create(config(line.channel)));
        }
    }

    /// From here on the remote's channels are taken.
    pub(super) const fn take(&mut self) {
        self.in_band = Some(Side::Remote);
    }

    pub(super) fn are_taken(&self) -> bool {
        self.in_band == Some(Side::Remote)
    }

    pub(super) const fn are_in_band(&self) -> bool {
        self.in_band.is_some()
    }

    /// Has one channel made in-band; negotiated ones are not used any more.
    pub(super) fn make(
        &mut self,
        channel: Channel,
        create: impl FnOnce(ChannelConfig) -> ChannelId,
    ) {
        if self.in_band.replace(Side::Local).is_none() {
            for line in &mut self.lines {
                line.id = None;
            }
        }
        let id = create(ChannelConfig {
            negotiated: None,
            ..config(channel)
        });
        self.line(channel).id = Some(id);
    }

    const fn line(&mut self, channel: Channel) -> &mut Line {
        let [data, state] = &mut self.lines;
        match channel {
            Channel::Data => data,
            Channel::State => state,
        }
    }

    pub(super) fn channel(&self, id: ChannelId) -> Option<Channel> {
        let line = self.lines.iter().find(|line| line.id == Some(id));
        line.map(|line| line.channel)
    }

    pub(super) fn opened(&mut self, id: ChannelId, label: &str) {
        if self.are_taken() && self.channel(id).is_none() {
            let state = label == Channel::State.label();
            let channel = if state { Channel::State } else { Channel::Data };
            self.line(channel).id.get_or_insert(id);
        }
        for line in &mut self.lines {
            line.open |= line.id == Some(id);
        }
    }

    /// Whether the network knows that all are open that will be for certain.
    pub(super) fn are_reported(&self) -> bool {
        if self.in_band.is_some() {
            return self.lines.iter().any(|line| line.reported);
        }
        self.lines.iter().all(|line| line.reported)
    }

    /// Takes a message in. `false`: it will never fit, or too much waits.
    pub(super) fn push(&mut self, channel: Channel, message: ChannelMessage) -> bool {
        let limit = self.limit;
        let line = self.line(channel);
        let fits = message.len() <= limit && line.waiting() <= limit.saturating_mul(2);
        line.waiting.push_back(message);
        line.busy = true;
        fits
    }

    /// Gives one message to str0m, which has to be drained then; `false` if there is none that it
    /// takes.
    pub(super) fn write(&mut self, rtc: &mut Rtc) -> Result<bool, RtcError> {
        for line in &mut self.lines {
            let (Some(message), Some(id)) = (line.waiting.front(), line.id) else {
                continue;
            };
            let Some(mut channel) = rtc.channel(id) else {
                continue;
            };
            message.write_into(&mut self.scratch);
            if channel.write(true, &self.scratch)? {
                line.waiting.pop_front();
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Tells which channels can be written to.
    pub(super) fn report_opened(&mut self, updates: &mut Vec<Update>) {
        for line in &mut self.lines {
            if line.open && !line.reported {
                line.reported = true;
                updates.push(Update::ChannelOpened(line.channel));
            }
        }
    }

    /// Tells what has fallen to half of what it was, or to nothing.
    ///
    /// It looks instead of being told: str0m's own event needs a threshold that is known before,
    /// and comes in random order for several channels (trap 5).
    pub(super) fn report_amounts(&mut self, rtc: &mut Rtc, updates: &mut Vec<Update>) {
        for line in &mut self.lines {
            if !line.busy {
                continue;
            }
            let amount = line.inside(rtc).saturating_add(line.waiting());
            line.peak = line.peak.max(amount);
            if amount <= line.peak / 2 {
                line.peak = amount;
                line.busy = amount > 0;
                updates.push(Update::BufferedAmount {
                    channel: line.channel,
                    bytes: u32::try_from(amount).unwrap_or(u32::MAX),
                });
            }
        }
    }

    #[cfg(test)]
    pub(super) fn inside(&self, rtc: &mut Rtc, channel: Channel) -> usize {
        self.lines[usize::from(channel.id())].inside(rtc)
    }
}

impl Line {
    fn waiting(&self) -> usize {
        self.waiting.iter().map(ChannelMessage::len).sum()
    }

    /// What str0m holds, which is what has not been acknowledged.
    fn inside(&self, rtc: &mut Rtc) -> usize {
        self.id
            .and_then(|id| rtc.channel(id))
            .map_or(0, |mut channel| channel.buffered_amount())
    }
}

fn config(channel: Channel) -> ChannelConfig {
    ChannelConfig {
        label: channel.label().into(),
        ordered: channel == Channel::Data,
        reliability: match channel {
            Channel::Data => Reliability::Reliable,
            Channel::State => Reliability::MaxRetransmits { retransmits: 0 },
        },
        negotiated: Some(channel.id()),
        protocol: String::new(),
    }
}
