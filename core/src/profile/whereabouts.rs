//! Where a friend was last: a section of our own, which toxcore passes over.
//!
//! ```text
//! key 32 | DHT key 32 | count of nodes u8 | packed nodes: the address under the DHT key, relays
//! ```

use super::Sink;
use crate::Endpoint;
use crate::crypto::PublicKey;
use crate::storage::Full;
use crate::wire::{NODE_LEN_MAX, NodeInfo, Reader, Writer};

/// Relays of a friend that are remembered.
pub const FRIEND_RELAYS_MAX: usize = 3;

/// Where a friend was last. All of it is true only as long as the friend's client runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// The friend's long-term key.
    pub key: PublicKey,
    /// The DHT key of the friend's client.
    pub dht_key: PublicKey,
    /// Its UDP address.
    pub at: Option<Endpoint>,
    /// TCP relays where it can be met.
    pub relays: heapless::Vec<NodeInfo, FRIEND_RELAYS_MAX>,
}

impl Whereabouts {
    /// Reads a record; `None` for what is none. Nodes that there is no room for are left out.
    pub(super) fn parse(r: &mut Reader<'_>) -> Option<Self> {
        let (key, dht_key, count) = (r.key()?, r.key()?, r.u8()?);
        let mut this = Self { key, dht_key, at: None, relays: heapless::Vec::new() };
        for _ in 0..count {
            let (node, tcp) = NodeInfo::parse(r)?;
            if tcp {
                // The first ones count.
                let _ = this.relays.push(node);
            } else if node.key == dht_key {
                this.at = this.at.or(Some(node.at));
            }
        }
        Some(this)
    }

    pub(super) fn write(&self, sink: &mut impl Sink) -> Result<(), Full> {
        let count = self.address().iter().count() + self.relays.len();
        sink.write(&self.key.0)?;
        sink.write(&self.dht_key.0)?;
        sink.write(&[count as u8])?;
        let mut packed = [0; (1 + FRIEND_RELAYS_MAX) * NODE_LEN_MAX];
        let mut w = Writer::new(&mut packed);
        self.address().iter().for_each(|node| node.emit(&mut w));
        self.relays.iter().for_each(|relay| relay.emit_tcp(&mut w));
        let len = w.len();
        sink.write(&packed[..len])
    }

    pub(super) fn len(&self) -> usize {
        65 + self.address().iter().chain(&self.relays).map(NodeInfo::packed_len).sum::<usize>()
    }

    fn address(&self) -> Option<NodeInfo> {
        self.at.map(|at| NodeInfo { key: self.dht_key, at })
    }
}
