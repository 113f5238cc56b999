//! How full the tables of a node are: for metrics, and for oracles that no table outgrows its capacity.

use super::Node;
use crate::cx::Env;
use crate::storage::Table;

/// Number of tables.
const TABLES: usize = 19;

/// All tables of a node at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occupancy([Table; TABLES]);

impl Occupancy {
    /// The tables, always in the same order: close list, searches, candidates, announced, path nodes, onion paths,
    /// onion friends, onion self nodes, onion pending, sessions, friends, friend requests, blocked keys, keys, blocks,
    /// group announcements, DHT announcements, relays, punches.
    #[must_use]
    pub const fn tables(&self) -> &[Table; TABLES] {
        &self.0
    }

    /// The table with a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Table> {
        self.0.iter().find(|table| table.name == name).copied()
    }
}

impl<E: Env> Node<'_, E> {
    /// How full the tables are. Large tables keep count, so this is cheap enough for every second.
    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        let friends = &self.friends.table;
        let (keys, blocks) = (&self.shared.keys, &self.shared.blocks);
        let [close, searches, candidates, punches] = self.dht.tables();
        let [path_nodes, paths, onion_friends, self_nodes, pending] = self.onion.tables(friends.extent());
        let [requests, blocked] = self.requests.tables();
        let [announced, group_peers] = self.store.tables();
        Occupancy([
            close,
            searches,
            candidates,
            announced,
            path_nodes,
            paths,
            onion_friends,
            self_nodes,
            pending,
            self.sessions.table(),
            Table::of_slots("friends", friends),
            requests,
            blocked,
            Table { name: "keys", used: keys.len(), capacity: keys.capacity() },
            Table { name: "blocks", used: blocks.capacity() - blocks.available(), capacity: blocks.capacity() },
            group_peers,
            self.announcements.table(),
            self.relays.table(),
            punches,
        ])
    }
}
