//! The law of the loop, checked in debug builds: drained before sleeping. And what follows from it: once all is
//! drained, nothing is to be done before the deadline or the next input, so nobody needs to look for it.

use crate::time::{Deadline, Instant};

/// The outputs that a receiver can block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Output {
    /// [`poll_action`](super::Node::poll_action).
    Action = 1,
    /// [`poll_transmit`](super::Node::poll_transmit).
    Transmit = 2,
    /// [`poll_event`](super::Node::poll_event).
    Event = 4,
    /// [`next_stream`](super::Node::next_stream).
    Stream = 8,
}

const ALL: u8 = Output::Action as u8 | Output::Transmit as u8 | Output::Event as u8;

/// Which outputs may still hold something.
#[derive(Debug)]
pub(super) struct Law {
    undrained: u8,
    /// Not drained, but blocked.
    blocked: u8,
    /// Until when nothing is to be done unless something comes in; the inner `None` is for ever.
    rest: Option<Option<Deadline>>,
    /// What there is besides actions, transmits and events.
    extra: u8,
}

impl Law {
    /// With streams, or without.
    pub(super) const fn new(streams: bool) -> Self {
        let extra = if streams { Output::Stream as u8 } else { 0 };
        Self { undrained: 0, blocked: 0, rest: None, extra }
    }

    /// Something came in: every output may have something.
    pub(super) const fn input(&mut self) {
        self.undrained = ALL | self.extra;
        self.rest = None;
    }

    /// An output was polled until `None`.
    pub(super) const fn drained(&mut self, output: Output) {
        self.undrained &= !(output as u8);
        self.blocked &= !(output as u8);
    }

    /// An output's receiver is blocked.
    pub(super) const fn blocked(&mut self, output: Output) {
        self.undrained &= !(output as u8);
        self.blocked |= output as u8;
        self.rest = None;
    }

    /// The driver asks how long it may sleep. The answer, if it is still that of the last time.
    pub(super) fn sleeps(&self) -> Option<Option<Deadline>> {
        debug_assert!(self.undrained == 0, "outputs not drained before sleeping: {:#05b}", self.undrained);
        self.rest
    }

    /// What it was told.
    pub(super) fn rest(&mut self, until: Option<Deadline>) {
        if self.undrained | self.blocked == 0 {
            self.rest = Some(until);
        }
    }

    /// Whether everything was drained, nothing has come in since, and no timer has come. Otherwise the rest is over.
    pub(super) fn is_resting(&mut self, now: Instant) -> bool {
        self.rest = self.rest.filter(|until| until.is_none_or(|due| now < due.at));
        self.rest.is_some()
    }
}
