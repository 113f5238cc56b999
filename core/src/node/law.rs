//! The law of the loop, checked in debug builds: drained before sleeping.

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
}

const ALL: u8 = Output::Action as u8 | Output::Transmit as u8 | Output::Event as u8;

/// Which outputs may still hold something.
#[derive(Debug, Default)]
pub(super) struct Law {
    undrained: u8,
}

impl Law {
    /// Something came in: every output may have something.
    pub(super) const fn input(&mut self) {
        self.undrained = ALL;
    }

    /// An output was polled until `None`, or is blocked.
    pub(super) const fn drained(&mut self, output: Output) {
        self.undrained &= !(output as u8);
    }

    /// The driver asks how long it may sleep.
    pub(super) fn sleeps(&self) {
        debug_assert!(self.undrained == 0, "outputs not drained before sleeping: {:#05b}", self.undrained);
    }
}
