//! The one task that owns the node: it drains the socket and the commands, pumps the node, and sleeps until one of
//! them, or the node's next deadline, calls. It never polls on a tick, and it allocates nothing per packet.

use crate::env::unix_now;
use crate::outside::Outside;
use crate::profile_store::SaveError;
use crate::relay::RelayGate;
use crate::room::{Job, Outlet, Room};
use crate::snapshot::snapshot;
use crate::socket::UdpPort;
use crate::streams::Streams;
use crate::trains::{Arrivals, Departures, Replies};
use crate::workers::{Parcel, Workers};
use crate::{EventSender, ToxEvent};
use bluering_core::driver::{Idle, Scratch, Sent, pump};
use bluering_core::time::Deadline;
use bluering_core::{DATAGRAM_MAX, Disposition, Endpoint, Frame};
use smol::channel::{Receiver, Sender};
use smol::future::FutureExt;
use smol::stream::Stream;
use smol::{Timer, future};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Datagrams handled before the node may send: large enough to save calls, small enough to answer promptly.
const DATAGRAMS_AT_ONCE: usize = 64;
/// Commands handled before the socket is looked at again.
const JOBS_AT_ONCE: usize = 64;
/// How often the wall clock is looked at, at most. Only wake-ups that happen anyway do it.
const CLOCK_EVERY: Duration = Duration::from_secs(60);
/// How long the last packets may wait for a full socket.
const FAREWELL: Duration = Duration::from_secs(1);

/// The task of a node. Run it with [`run`](Self::run) on any executor; [`Builder::start`](crate::Builder::start) gives
/// it a thread of its own.
pub struct Runner {
    pub(crate) room: Room,
    /// None when there is TCP only.
    pub(crate) socket: Option<UdpPort>,
    pub(crate) streams: Streams,
    pub(crate) jobs: Pin<Box<Receiver<Job>>>,
    pub(crate) events: EventSender,
    pub(crate) ended: Sender<Result<(), SaveError>>,
    pub(crate) scratch: Box<Scratch>,
    pub(crate) arrivals: Arrivals,
    pub(crate) departures: Departures,
    pub(crate) replies: Replies,
    pub(crate) buf: Box<[u8; DATAGRAM_MAX]>,
    pub(crate) timer: Timer,
    pub(crate) deadline: Option<Deadline>,
    pub(crate) clock_at: Option<Instant>,
    pub(crate) outside: Outside,
    /// The way to our TCP relay, if there is one.
    pub(crate) relay: Option<RelayGate>,
    /// Threads that receive beside us, if there are any.
    pub(crate) workers: Option<Workers>,
    pub(crate) parcel: Parcel,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// What to do after a turn.
pub(crate) enum Turn {
    /// There may be more at once.
    Again,
    /// Nothing until something of this happens.
    Sleep(Idle),
}

/// What ended a sleep.
pub(crate) enum Wake {
    Job(Job),
    /// All handles are gone.
    Orphaned,
    Saved(Result<(), SaveError>),
    /// The system tells something.
    Outside,
    Other,
}

impl Runner {
    /// Runs until [`Tox::shutdown`](crate::Tox::shutdown) or the last handle's end; then says goodbye to friends and
    /// saves.
    pub async fn run(mut self) {
        while let Some(turn) = self.turn() {
            let Turn::Sleep(idle) = turn else {
                future::yield_now().await;
                continue;
            };
            self.arm(idle);
            let wake = poll_fn(|cx| self.poll_wake(cx, idle)).await;
            self.woken(wake);
        }
        self.finish().await;
    }

    /// Handles all that has come in and sends what follows; `None` at the end.
    pub(crate) fn turn(&mut self) -> Option<Turn> {
        let more = self.take_datagrams();
        self.take_parcel();
        self.send_replies();
        let more = more | self.take_bytes() | self.run_jobs();
        self.look_at_clocks();
        let idle = self.pump();
        match (self.room.stopping, more || self.streams.has_ended()) {
            (true, _) => None,
            (false, true) => Some(Turn::Again),
            (false, false) => Some(Turn::Sleep(idle)),
        }
    }

    /// Acts on what ended a sleep.
    pub(crate) fn woken(&mut self, wake: Wake) {
        match wake {
            Wake::Job(job) => job(&mut self.room),
            Wake::Orphaned => self.room.stopping = true,
            Wake::Saved(result) => self.report(result),
            Wake::Outside => self.look_outside(),
            Wake::Other => {}
        }
    }

    /// Handles what has arrived; true when there may be more.
    fn take_datagrams(&mut self) -> bool {
        for _ in 0..DATAGRAMS_AT_ONCE {
            let Some(socket) = &self.socket else { return false };
            let Some((len, from)) = self.arrivals.next(socket, &mut self.buf) else { return false };
            if self.relay.as_ref().is_some_and(|relay| relay.door.takes(&self.buf[..len])) {
                continue;
            }
            self.room.traffic.count_received(&self.buf[..len]);
            self.handle(len, from);
        }
        true
    }

    /// Handles what workers have received, and counted.
    fn take_parcel(&mut self) {
        let Some(workers) = &self.workers else { return };
        let mut parcel = std::mem::take(&mut self.parcel);
        workers.post.take(&mut parcel);
        parcel.open(|from, datagram, key| {
            if let Some(key) = key {
                self.room.node.learn_key(key);
            }
            let len = datagram.len().min(DATAGRAM_MAX);
            self.buf[..len].copy_from_slice(&datagram[..len]);
            self.handle(len, from);
        });
        self.parcel = parcel;
    }

    fn handle(&mut self, len: usize, from: Endpoint) {
        let now = self.room.now();
        match self.room.node.handle_datagram(now, &mut Frame::new(&mut self.buf, len, from)) {
            Disposition::Reply { to, len } => self.reply(to, len),
            Disposition::Consumed | Disposition::Dropped(_) => {}
        }
    }

    fn reply(&mut self, to: Endpoint, len: usize) {
        if let Some(to) = self.socket.as_ref().and_then(|socket| socket.address(to))
            && self.replies.push(&self.buf[..len], to)
        {
            self.send_replies();
        }
    }

    fn send_replies(&mut self) {
        let Some(socket) = &self.socket else { return };
        let traffic = &mut self.room.traffic;
        self.replies.depart(socket.socket(), |datagram| traffic.count_sent(datagram));
    }

    /// Handles what has come from relays; true when there may be more.
    fn take_bytes(&mut self) -> bool {
        let now = self.room.now();
        self.streams.serve(&mut self.room.node, now)
    }

    /// Runs waiting commands; true when there may be more.
    fn run_jobs(&mut self) -> bool {
        for _ in 0..JOBS_AT_ONCE {
            match self.jobs.try_recv() {
                Ok(job) => job(&mut self.room),
                Err(_) => return false,
            }
        }
        true
    }

    /// After a jump of the clock the wall clock is read anew, and the node sees for itself that it has slept.
    pub(crate) fn look_outside(&mut self) {
        if let Some(changed) = self.outside.hear() {
            self.clock_at = None;
            if changed.network {
                let now = self.room.now();
                self.room.node.handle_network_change(now);
            }
        }
    }

    fn look_at_clocks(&mut self) {
        let (now, host_now) = (self.room.now(), Instant::now());
        if self.clock_at.is_none_or(|at| host_now.duration_since(at) >= CLOCK_EVERY) {
            self.clock_at = Some(host_now);
            self.room.node.handle_clock(now, unix_now());
        }
        if self.deadline.is_some_and(|deadline| deadline.at <= now) {
            self.room.node.handle_timeout(now);
        }
        if self.room.saver.is_due(host_now) {
            let bytes = snapshot(&self.room);
            self.room.saver.start(bytes);
        }
    }

    fn pump(&mut self) -> Idle {
        let now = self.room.now();
        let Room { node, contacts, saver, traffic, .. } = &mut self.room;
        let (socket, streams) = (self.socket.as_ref(), &mut self.streams);
        let (departures, events) = (&mut self.departures, &mut self.events);
        let mut outlet = Outlet { socket, streams, departures, events, contacts, saver, traffic };
        let mut idle = pump(node, now, &mut self.scratch, &mut outlet);
        if let Some(socket) = &self.socket {
            idle.transmit_blocked |= self.departures.depart(socket) == Sent::Blocked;
        }
        self.events.deliver();
        self.deadline = idle.deadline;
        idle
    }

    /// When the sleep ends at the latest.
    pub(crate) fn alarm(&self, idle: Idle) -> Option<Instant> {
        let node = idle.deadline.and_then(|deadline| self.room.clock.to_host(deadline.at));
        node.into_iter().chain(self.room.saver.deadline()).min()
    }

    /// Sets the one timer to what comes first.
    fn arm(&mut self, idle: Idle) {
        match self.alarm(idle) {
            Some(at) => self.timer.set_at(at),
            None => self.timer = Timer::never(),
        }
    }

    fn poll_wake(&mut self, cx: &mut Context<'_>, idle: Idle) -> Poll<Wake> {
        if let Poll::Ready(wake) = self.poll_told(cx, idle) {
            return Poll::Ready(wake);
        }
        if self.outside.poll(cx).is_ready() {
            return Poll::Ready(Wake::Outside);
        }
        let awake = self.socket.as_ref().is_some_and(|socket| socket.poll_readable(cx).is_ready())
            || self.streams.poll_ready(cx).is_ready()
            || Pin::new(&mut self.timer).poll_next(cx).is_ready()
            || (idle.transmit_blocked && self.poll_writable(cx).is_ready());
        if awake { Poll::Ready(Wake::Other) } else { Poll::Pending }
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.socket.as_ref().map_or(Poll::Pending, |socket| socket.poll_writable(cx).map(drop))
    }

    /// What other threads tell.
    pub(crate) fn poll_told(&mut self, cx: &mut Context<'_>, idle: Idle) -> Poll<Wake> {
        match self.jobs.as_mut().poll_next(cx) {
            Poll::Ready(Some(job)) => return Poll::Ready(Wake::Job(job)),
            Poll::Ready(None) => return Poll::Ready(Wake::Orphaned),
            Poll::Pending => {}
        }
        if let Poll::Ready(result) = self.room.saver.poll_written(cx) {
            return Poll::Ready(Wake::Saved(result));
        }
        let has_room = idle.events_blocked && self.events.poll_read(cx).is_ready();
        if has_room { Poll::Ready(Wake::Other) } else { Poll::Pending }
    }

    /// When a socket that was full takes more.
    fn poll_flushable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match (self.poll_writable(cx), self.streams.poll_ready(cx)) {
            (Poll::Pending, Poll::Pending) => Poll::Pending,
            (Poll::Ready(()), _) | (_, Poll::Ready(())) => Poll::Ready(()),
        }
    }

    /// A failure is an event; when there is no room for it, the next save tells.
    fn report(&mut self, result: Result<(), SaveError>) {
        if let Err(error) = result {
            self.room.saver.changed();
            if self.events.has_room() {
                self.events.give(ToxEvent::ProfileNotSaved { reason: error.to_string() });
                self.events.deliver();
            }
        }
    }

    /// Kill packets to friends, the last state to disk.
    pub(crate) async fn finish(mut self) {
        let now = self.room.now();
        self.room.node.shutdown(now);
        let farewell = async {
            while self.pump().transmit_blocked || self.streams.is_blocked() {
                poll_fn(|cx| self.poll_flushable(cx)).await;
                self.take_bytes();
            }
        };
        let too_long = async {
            Timer::after(FAREWELL).await;
        };
        farewell.or(too_long).await;
        let Self { mut room, ended, .. } = self;
        let saver = std::mem::take(&mut room.saver);
        let _ = ended.try_send(saver.finish(|| snapshot(&room)).await);
    }
}
