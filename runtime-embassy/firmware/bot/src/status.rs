//! The line that tells how everything is: to whoever asks on the console, and to friends.

use crate::Board;
use bluering_core::Connection;
use bluering_embassy::Tox;
use core::fmt;
use core::iter::successors;
use embassy_time::Instant;

/// `status key=value key=value ...`, as things are when it is written.
pub struct Status<'a, 'd, B> {
    /// Whose.
    pub tox: Tox<'d>,
    /// How many messages of ours have arrived.
    pub receipts: u32,
    /// Where; its own values come last.
    pub board: &'a B,
}

impl<B: Board> fmt::Display for Status<'_, '_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tox = self.tox;
        let friends = successors(tox.next_friend(None), |last| tox.next_friend(Some(*last)));
        let (all, online) = friends.fold((0, 0), |(all, online), friend| {
            let is_online = tox.friend(friend).is_some_and(|friend| friend.connection != Connection::None);
            (all + 1, online + u32::from(is_online))
        });
        let (stats, counters, tables) = (tox.stats(), tox.counters(), tox.occupancy());
        let table = |name| tables.get(name).map_or((0, 0), |table| (table.used, table.capacity));
        let (blocks, capacity) = table("blocks");
        write!(f, "status uptime_ms={}", Instant::now().as_millis())?;
        write!(f, " connection={} friends_online={online} friends={all}", named(tox.connection()))?;
        write!(f, " rx={} tx={}", stats.datagrams_in, stats.datagrams_out)?;
        write!(f, " agreements={}", stats.keys_computed)?;
        write!(f, " dropped={} nodes={}", stats.dropped_total(), table("close list").0)?;
        write!(f, " receipts={}", self.receipts)?;
        write!(f, " blocks_free={} flash_writes={}", capacity - blocks, counters.snapshots)?;
        if cfg!(feature = "relays") {
            write!(f, " relays={}", table("relays").0)?;
        }
        self.board.status(f)
    }
}

/// How a connection is called on the console.
pub(crate) const fn named(connection: Connection) -> &'static str {
    match connection {
        Connection::None => "none",
        Connection::Tcp => "tcp",
        Connection::Udp => "udp",
    }
}
