//! `bluering node`: a bootstrap node.

use super::{Failure, bootstrap_all, end_signal};
use bluering::core::Limits;
use bluering::core::crypto::SecretKey;
use bluering::{BootstrapNode, Builder, Listen, MOTD_LEN_MAX, private_file};
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Version that bootstrap info tells: a leading digit of our own (toxcore has 1, tox-rs 3), then this program's
/// version.
const INFO_VERSION: u32 = 4_000_001_000;

/// Options of `bluering node`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Address and port to listen on, such as 0.0.0.0:33445 or [::]:33445 (both families)
    #[arg(long, value_name = "ADDR:PORT")]
    udp: SocketAddr,
    /// Address and port of the TCP relay; may be given several times
    #[arg(long, value_name = "ADDR:PORT")]
    tcp: Vec<SocketAddr>,
    /// The node's keys: 64 bytes, public and secret, as tox-bootstrapd has them; created if missing
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
    /// A node to enter the network through; may be given several times
    #[arg(long, value_name = "HOST:PORT:PUBLICKEY")]
    bootstrap: Vec<BootstrapNode>,
    /// Message of the day for those who ask, at most 256 bytes
    #[arg(long, value_name = "TEXT", default_value = "bluering")]
    motd: String,
}

pub(super) async fn run(options: Options) -> Result<(), Failure> {
    if options.motd.len() > MOTD_LEN_MAX {
        return Err(Failure::usage(format!("--motd: {} bytes, at most {MOTD_LEN_MAX} fit", options.motd.len())));
    }
    let end = end_signal()?;
    let secret = load_or_create(&options.keys)?;
    let builder = options.tcp.iter().fold(Builder::new(), |builder, at| builder.relay(*at));
    let (tox, events) = builder
        .listen(Listen::At(options.udp))
        .dht_secret_key(secret)
        .limits(Limits::SERVER)
        .info(INFO_VERSION, options.motd.into_bytes())
        .start()?;
    drop(events);
    let relays: String = tox.relay_at().iter().map(|at| format!(", TCP {at}")).collect();
    println!("bluering node: public key {}, UDP {}{relays}", tox.dht_key(), tox.local());
    std::io::stdout().flush()?;
    bootstrap_all(&tox, &options.bootstrap).await?;
    let _ = end.recv().await;
    tox.shutdown().await?;
    Ok(())
}

/// The secret key in a keys file, which is made first if it is missing. One that does not fit is left as it is.
fn load_or_create(path: &Path) -> Result<SecretKey, Failure> {
    let name = path.display();
    let failed = |what: &dyn std::fmt::Display| Failure { code: 1, message: format!("keys file {name}: {what}") };
    match std::fs::read(path) {
        Ok(bytes) => parse_keys(&bytes).map_err(|why| failed(&why)),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let secret = SecretKey::generate(&mut bluering::rng()?);
            let mut bytes = secret.public_key().0.to_vec();
            bytes.extend_from_slice(secret.as_bytes());
            let written = private_file(path).and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()));
            written.map_err(|error| failed(&error))?;
            Ok(secret)
        }
        Err(error) => Err(failed(&error)),
    }
}

fn parse_keys(bytes: &[u8]) -> Result<SecretKey, &'static str> {
    let (public, secret) = bytes.split_first_chunk::<32>().ok_or("it does not have 64 bytes")?;
    let secret = SecretKey::from_bytes(secret.try_into().map_err(|_| "it does not have 64 bytes")?);
    if secret.public_key().0 == *public { Ok(secret) } else { Err("its public key does not belong to its secret key") }
}
