//! What the runner's task owns: the node, and what people see beside it.

use crate::contacts::Contacts;
use crate::env::Clock;
use crate::lan;
use crate::saver::Saver;
use crate::socket::UdpPort;
use crate::streams::Streams;
use crate::trains::Departures;
use crate::vitals::Traffic;
use crate::workers::Worker;
use crate::{EventSender, HostEnv, ToxEvent};
use bluering_core::driver::{Ports, Sent};
use bluering_core::relay::StreamId;
use bluering_core::time::Instant;
use bluering_core::{Action, Event, Node, Transmit};

/// A command: it runs on the node's own task, between two packets.
pub(crate) type Job = Box<dyn FnOnce(&mut Room) + Send>;

/// The node and its surroundings, lent to commands.
pub(crate) struct Room {
    pub(crate) node: Box<Node<'static, HostEnv>>,
    pub(crate) contacts: Contacts,
    pub(crate) saver: Saver,
    pub(crate) clock: Clock,
    pub(crate) traffic: Box<Traffic>,
    /// Other threads that have counted something.
    pub(crate) workers: Vec<Worker>,
    /// Somebody asked for the end.
    pub(crate) stopping: bool,
}

impl Room {
    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }
}

/// The way out of the node.
pub(crate) struct Outlet<'a> {
    pub(crate) socket: Option<&'a UdpPort>,
    pub(crate) streams: &'a mut Streams,
    pub(crate) departures: &'a mut Departures,
    pub(crate) events: &'a mut EventSender,
    pub(crate) contacts: &'a mut Contacts,
    pub(crate) saver: &'a mut Saver,
    pub(crate) traffic: &'a mut Traffic,
}

impl Ports for Outlet<'_> {
    fn datagram(&mut self, packet: &Transmit<'_>) -> Sent {
        let Some(socket) = self.socket else { return Sent::Ok };
        let sent = self.departures.push(socket, packet);
        if sent == Sent::Ok {
            self.traffic.count_sent(packet.bytes);
        }
        sent
    }

    fn stream(&mut self, id: StreamId, fill: &mut dyn FnMut(&mut [u8]) -> usize) -> bool {
        self.streams.fill(id, fill)
    }

    fn action(&mut self, action: Action) {
        match action {
            Action::Persist => self.saver.changed(),
            Action::LanDiscovery(call) => {
                let sent = self.socket.map_or(0, |socket| lan::tell(socket, &call));
                (0..sent).for_each(|_| self.traffic.count_sent(&call.packet()));
            }
            Action::Open { id, to } => self.streams.open(id, to),
            Action::Close { id } => self.streams.close(id),
            _ => {}
        }
    }

    fn event_room(&mut self) -> bool {
        self.events.has_room()
    }

    fn event(&mut self, event: Event<'_>) {
        if self.contacts.learn(&event) {
            self.saver.changed();
        }
        if let Some(event) = ToxEvent::from_core(event) {
            self.events.give(event);
        }
    }
}
