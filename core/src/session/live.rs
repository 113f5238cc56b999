//! An established session: what a data packet changes, and which data packet goes out next.

use super::cipher::{Age, Cipher};
use super::receive::ReceiveWindow;
use super::send::{Outgoing, SendWindow};
use crate::crypto::Suite;
use crate::storage::Blocks;
use crate::time::{Instant, Why};
use crate::wire::session::{DATA_TEXT, DataText, content};
use crate::{DropReason, Env, cx::Cx};
use core::ops::Range;
use core::time::Duration;

/// A session without any packet for so long is dead (`friend_connection.h`, FRIEND_CONNECTION_TIMEOUT).
const SILENCE_MAX_MS: u16 = 32_000;
/// A session is silent after so long: toxcore believes in a direct connection for 8 s (`net_crypto.h`,
/// UDP_DIRECT_TIMEOUT).
const DIRECT_LIFE: Duration = Duration::from_secs(8);
/// Pause between packets on an idle session: two of them reach toxcore within its 8 s.
const KEEPALIVE: Duration = Duration::from_millis(3_800);
/// A keepalive goes out so much early when we are awake anyway, for another session's or because the peer's came: in
/// time all idle sessions share their wake-ups.
const KEEPALIVE_EARLY: Duration = Duration::from_millis(1_000);
/// The first such pause, so that a lost confirmation is made up for soon.
const KEEPALIVE_FIRST: Duration = Duration::from_millis(250);
/// Number of the first lossless packet.
const NUMBER_FIRST: u32 = 0;
/// Room for a request packet: content, and a name for where it stands.
const REQUEST_LEN_MAX: usize = 1 + super::request::LIST_LEN_MAX;

/// Keys, windows and timers.
#[derive(Debug)]
pub(crate) struct Live {
    cipher: Cipher,
    pub(super) send: SendWindow,
    pub(super) receive: ReceiveWindow,
    heard: Instant,
    /// How long the session lives after that.
    silence_ms: u16,
    keep_at: Instant,
    /// Keepalives so far, up to where the pause is full.
    keeps: u8,
    want_request: bool,
}

/// What a data packet brought, beside what went into the windows.
pub(crate) enum Heard {
    Nothing,
    /// A lossy packet: where its content stands in the packet.
    Lossy(Range<usize>),
    Kill,
}

impl Live {
    pub(crate) fn new(now: Instant, cipher: Cipher, round_trip: Option<Duration>) -> Self {
        Self {
            cipher,
            send: SendWindow::new(NUMBER_FIRST, round_trip),
            receive: ReceiveWindow::new(NUMBER_FIRST),
            heard: now,
            silence_ms: SILENCE_MAX_MS,
            keep_at: now + KEEPALIVE_FIRST,
            keeps: 0,
            want_request: true,
        }
    }

    pub(crate) fn open<S: Suite>(&mut self, suite: &S, packet: &mut [u8]) -> Result<Age, DropReason> {
        self.cipher.open(suite, packet)
    }

    /// A packet that opened: its plaintext stands in `packet[DATA_TEXT..]`.
    pub(crate) fn on_packet(
        &mut self,
        now: Instant,
        blocks: &mut Blocks<'_>,
        age: Age,
        packet: &[u8],
    ) -> Result<Heard, DropReason> {
        let text = DataText::parse(&packet[DATA_TEXT..]).ok_or(DropReason::Malformed)?;
        let (id, data) = text.content.split_first().ok_or(DropReason::Malformed)?;
        let is_lossless = content::LOSSLESS.contains(id);
        if age == Age::Late && !is_lossless {
            return Err(DropReason::Duplicate);
        }
        let is_current = self.send.on_ack(now, blocks, text.recv_start)?;
        if age == Age::Fresh {
            self.hear(now);
        }
        let rtt = self.send.rtt().min();
        match *id {
            content::REQUEST => {
                if is_current {
                    self.send.on_request(now, blocks, data);
                }
                self.receive.on_number(now, text.number, rtt);
                self.keep_alive_early(now);
                Ok(Heard::Nothing)
            }
            content::KILL => Ok(Heard::Kill),
            _ if is_lossless => {
                self.receive.on_data(now, blocks, text.number, text.content, rtt)?;
                self.hear(now);
                Ok(Heard::Nothing)
            }
            _ if content::LOSSY.contains(id) => {
                self.receive.on_number(now, text.number, rtt);
                Ok(Heard::Lossy(packet.len() - text.content.len()..packet.len()))
            }
            _ => Err(DropReason::Malformed),
        }
    }

    /// Writes the next packet.
    pub(crate) fn encode<E: Env>(&mut self, cx: &mut Cx<'_, '_, E>, buf: &mut [u8]) -> Option<usize> {
        if self.want_request {
            self.want_request = false;
            return Some(self.encode_request(cx, buf));
        }
        let outgoing = self.send.next_packet(cx.now, cx.blocks)?;
        let (recv_start, next) = (self.receive.start(), self.send.next_number());
        let len = match outgoing {
            Outgoing::Lossless { block, again } => {
                cx.stats.packets_resent += u64::from(again);
                let text = DataText { recv_start, number: block.number, content: block.bytes() };
                self.cipher.seal(cx.suite, &text, buf)
            }
            Outgoing::Lossy(id) => {
                let text = DataText { recv_start, number: next, content: cx.blocks.get(&id).bytes() };
                let len = self.cipher.seal(cx.suite, &text, buf);
                cx.blocks.give(id);
                len
            }
        };
        self.receive.on_sent();
        self.keep_at = cx.now + self.keep_pause();
        Some(len)
    }

    fn encode_request<E: Env>(&mut self, cx: &mut Cx<'_, '_, E>, buf: &mut [u8]) -> usize {
        let mut list = [0; REQUEST_LEN_MAX];
        let rtt = self.send.rtt().min();
        let len = self.receive.encode_request(cx.now, cx.blocks, &mut list, rtt);
        self.keep_at = cx.now + self.keep_pause();
        self.seal_content(cx.suite, &list[..len], buf)
    }

    /// Writes a small packet that the peer answers if it hears us.
    pub(crate) fn encode_probe<E: Env>(&mut self, cx: &mut Cx<'_, '_, E>, buf: &mut [u8]) -> usize {
        self.seal_content(cx.suite, &[content::REQUEST], buf)
    }

    /// The peer is to hear from us soon.
    pub(crate) const fn answer(&mut self) {
        self.want_request = true;
    }

    /// Writes the packet that ends the session.
    pub(crate) fn encode_kill<S: Suite>(&mut self, suite: &S, buf: &mut [u8]) -> usize {
        self.seal_content(suite, &[content::KILL], buf)
    }

    fn seal_content<S: Suite>(&mut self, suite: &S, content: &[u8], buf: &mut [u8]) -> usize {
        let text = DataText { recv_start: self.receive.start(), number: self.send.next_number(), content };
        self.cipher.seal(suite, &text, buf)
    }

    /// Turns timers that are due into packets to be sent. False when the peer is gone.
    pub(crate) fn on_timeout(&mut self, now: Instant, blocks: &mut Blocks<'_>) -> bool {
        if self.is_keepalive_due(now) {
            self.keep_alive(now);
        }
        self.receive.on_room(now, blocks);
        self.want_request |= self.send.on_timeout(now, blocks);
        self.settle(now);
        now < self.dead_at()
    }

    /// Whether a keepalive is due, for which the node must wake up.
    pub(crate) fn is_keepalive_due(&self, now: Instant) -> bool {
        now >= self.keep_at
    }

    /// Sends the next keepalive now if it would be due soon.
    pub(crate) fn keep_alive_early(&mut self, now: Instant) {
        if self.keep_pause() == KEEPALIVE && now + KEEPALIVE_EARLY >= self.keep_at {
            self.keep_alive(now);
        }
    }

    fn keep_alive(&mut self, now: Instant) {
        self.keeps = self.keeps.saturating_add(1);
        self.keep_at = now + self.keep_pause();
        self.want_request = true;
    }

    /// After each change: a request packet that is due now is sent with this round of packets.
    pub(crate) fn settle(&mut self, now: Instant) {
        self.want_request |= self.receive.take_due(now);
    }

    pub(crate) fn has_packet(&self) -> bool {
        self.want_request || self.send.has_packet()
    }

    pub(crate) fn deadline(&self) -> (Instant, Why) {
        let timers = [
            (self.send.deadline(), Why::SessionSend),
            (self.receive.deadline().min(self.keep_at), Why::SessionRequest),
            (self.dead_at(), Why::SessionTimeout),
        ];
        timers.into_iter().fold((Instant::FAR, Why::SessionTimeout), |a, b| if b.0 < a.0 { b } else { a })
    }

    /// Asks the peer for a sign of life at once, and again and again: it may have to learn where we are now.
    pub(crate) fn probe(&mut self, now: Instant) {
        self.keeps = 0;
        self.keep_at = now + KEEPALIVE_FIRST;
        self.want_request = true;
    }

    /// The session is dead if nothing is heard for `span` from now on.
    pub(crate) fn expect_sign(&mut self, now: Instant, span: Duration) {
        let silence = (now.since(self.heard) + span).as_millis();
        self.silence_ms = u16::try_from(silence).map_or(SILENCE_MAX_MS, |silence| silence.min(SILENCE_MAX_MS));
    }

    /// Whether the packet heard last was sent after all others that were heard.
    pub(crate) const fn heard_newest(&self) -> bool {
        self.cipher.is_newest()
    }

    #[cfg(test)]
    pub(crate) const fn heard(&self) -> Instant {
        self.heard
    }

    /// Whether the peer was heard lately.
    pub(crate) fn was_heard(&self, now: Instant) -> bool {
        now < self.heard + DIRECT_LIFE
    }

    /// Gives all blocks back.
    pub(crate) fn clear(&mut self, blocks: &mut Blocks<'_>) {
        self.send.clear(blocks);
        self.receive.clear(blocks);
    }

    const fn hear(&mut self, now: Instant) {
        (self.heard, self.silence_ms) = (now, SILENCE_MAX_MS);
    }

    fn dead_at(&self) -> Instant {
        self.heard + Duration::from_millis(self.silence_ms.into())
    }

    fn keep_pause(&self) -> Duration {
        (KEEPALIVE_FIRST * (1 << self.keeps.min(4))).min(KEEPALIVE)
    }
}
