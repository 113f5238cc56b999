//! Hostile datagrams: what they are made of, who sends them, and what a device must stand.
//!
//! The sender runs in the network of the scenario as a process of its own. A whole network leads to it, so each
//! datagram can come from another address. It asks the node for the device's DHT key, as anybody could.

mod packets;
pub(crate) mod scenario;

use bluering_core::Endpoint;
use bluering_core::crypto::PublicKey;
use bluering_tests::{Failure, Outcome, ensure};
use chacha20::ChaCha8Rng;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use packets::Sender;
use rand_core::{Rng, SeedableRng};
use std::net::UdpSocket;
use std::thread::sleep;
use std::time::Instant;

/// How long the node may take to know the device.
const FIND_TIMEOUT: Duration = Duration::from_secs(20);
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);
/// How many datagrams are sent between two looks at the clock.
const BATCH: u64 = 10;

/// What the sender is told.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The device's address
    to: SocketAddr,
    /// The node that knows its DHT key
    node: SocketAddr,
    /// The node's key
    node_key: String,
    /// Datagrams in a second
    #[arg(long, default_value_t = 1000)]
    rate: u64,
    /// How long
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Which datagrams
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Sends, and tells how much.
pub(crate) fn run(options: &Options) -> Outcome {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let node_key = PublicKey::from_hex(&options.node_key).ok_or_else(|| Failure::new("no key of a node"))?;
    let key = find(options, node_key, &mut rng)?;
    println!("found {key}");
    let total = options.rate * options.seconds;
    let (start, mut sent, mut refused) = (Instant::now(), 0, 0u64);
    while sent < total {
        for _ in 0..BATCH {
            let bytes = packets::hostile(&key, &mut rng);
            refused += u64::from(send(&bytes, options.to, &mut rng).is_err());
        }
        sent += BATCH;
        let due = Duration::from_micros(sent * 1_000_000 / options.rate);
        sleep(due.saturating_sub(start.elapsed()));
    }
    println!("sent {} in {:.1} s", sent - refused, start.elapsed().as_secs_f64());
    ensure(refused * 100 < total, || format!("{refused} of {total} datagrams could not be sent"))
}

/// From an address in 198.18.0.0/15 that nobody has seen.
fn send(bytes: &[u8], to: SocketAddr, rng: &mut ChaCha8Rng) -> std::io::Result<()> {
    let [.., b, c, d] = rng.next_u32().to_be_bytes();
    let source = Ipv4Addr::new(198, 18 + (b & 1), c, d);
    UdpSocket::bind((source, 0))?.send_to(bytes, to).map(|_| ())
}

/// The device's DHT key: the node names it at its address.
fn find(options: &Options, node: PublicKey, rng: &mut ChaCha8Rng) -> Outcome<PublicKey> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let (me, start, wanted) = (Sender::new(rng), Instant::now(), Endpoint::from(options.to));
    while start.elapsed() < FIND_TIMEOUT {
        let mut target = [0; 32];
        rng.fill_bytes(&mut target);
        socket.send_to(&me.nodes_request(&node, PublicKey(target), rng), options.node)?;
        let mut buffer = [0; 2048];
        // Other packets of the node come here too; a lost answer is asked for again.
        while let Ok(len) = socket.recv(&mut buffer) {
            let named = me.named(&buffer[..len]).unwrap_or_default();
            if let Some(found) = named.iter().find(|named| named.at == wanted) {
                return Ok(found.key);
            }
        }
    }
    Err(Failure(format!("the node does not name {}", options.to)))
}
